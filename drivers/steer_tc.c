/* SPDX-License-Identifier: BSD-3-Clause */
/* The steering program of an AF_PACKET port: its socket filter and its tc filter. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "drivers/port_internal.h"
#include "drivers/steer.h"

/* Our filter's place among an interface's; also how a stale one of ours is found again. */
#define TC_PRIORITY 0x5057
#define TC_HANDLE   1

static int object_program(const struct pw_steer *steer, const char *name)
{
	const struct bpf_program *program;

	if (!steer->object)
		return -ENOENT;
	program = bpf_object__find_program_by_name(steer->object, name);
	return program ? bpf_program__fd(program) : -ENOENT;
}

int pw_steer_filter(const struct pw_steer *steer)
{
	return object_program(steer, "pewter_filter");
}

static int filter_seen(const struct nlmsghdr *nlh, void *context)
{
	*(bool *)context = true;
	return MNL_CB_OK;
}

/* Are there filters in one direction of the clsact qdisc? When it cannot be said, there are. */
static bool has_filters(struct mnl_socket *netlink, uint32_t ifindex, uint32_t direction)
{
	char buffer[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct tcmsg *tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
	bool found = false;
	ssize_t size;
	int more = MNL_CB_OK;

	nlh->nlmsg_type = RTM_GETTFILTER;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = direction;
	tc->tcm_family = AF_UNSPEC;
	tc->tcm_ifindex = ifindex;
	tc->tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction);
	if (mnl_socket_sendto(netlink, nlh, nlh->nlmsg_len) < 0)
		return true;
	while (more == MNL_CB_OK) {
		size = mnl_socket_recvfrom(netlink, buffer, sizeof(buffer));
		if (size < 0)
			return true;
		more = mnl_cb_run(buffer, size, direction, 0, filter_seen, &found);
	}
	return found || more < 0;
}

/* Others may have put filters of theirs into the qdisc that we made. */
static bool clsact_in_use(uint32_t ifindex)
{
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	bool used = true;

	if (netlink && mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) == 0)
		used = has_filters(netlink, ifindex, TC_H_MIN_INGRESS) ||
		       has_filters(netlink, ifindex, TC_H_MIN_EGRESS);
	if (netlink)
		mnl_socket_close(netlink);
	return used;
}

static void filter_remove(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	bpf_tc_detach(&hook, &filter);
}

static void clsact_remove(uint32_t ifindex)
{
	/* Both directions at once is how libbpf says "the qdisc itself". */
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (!clsact_in_use(ifindex))
		bpf_tc_hook_destroy(&hook);
}

int pw_steer_tc_attach(struct pw_steer *steer, uint32_t ifindex, char *error, size_t size)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, stale, .handle = TC_HANDLE, .priority = TC_PRIORITY);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = TC_HANDLE, .priority = TC_PRIORITY);
	char name[BPF_OBJ_NAME_LEN];
	int result;

	pw_steer_xdp_detach(ifindex); /* of a pewterd that was killed */
	result = bpf_tc_hook_create(&hook);
	if (result && result != -EEXIST)
		return pw_port_refuse(result, error, size, "tc has no clsact here: %s",
				      strerror(-result));
	steer->clsact = result == 0;
	filter.prog_fd = object_program(steer, PW_STEER_PROGRAM);
	if (bpf_tc_query(&hook, &stale) == 0) {
		if (!pw_steer_program_is_ours(stale.prog_id, name))
			return pw_port_refuse(-EBUSY, error, size,
					      "the tc filter's place is taken by program \"%s\"",
					      name);
		filter.flags = BPF_TC_F_REPLACE;
		steer->clsact = true; /* that pewterd has made it */
	}
	result = bpf_tc_attach(&hook, &filter);
	if (result)
		return pw_port_refuse(result, error, size, "the tc filter cannot be attached: %s",
				      strerror(-result));
	steer->tc = true;
	return 0;
}

void pw_steer_tc_detach(struct pw_steer *steer, uint32_t ifindex)
{
	if (steer->tc)
		filter_remove(ifindex);
	if (steer->clsact)
		clsact_remove(ifindex);
	steer->tc = steer->clsact = false;
}

void pw_steer_tc_clear(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, stale, .handle = TC_HANDLE, .priority = TC_PRIORITY);
	char name[PW_STEER_NAME_SIZE];

	if (bpf_tc_query(&hook, &stale) || !pw_steer_program_is_ours(stale.prog_id, name))
		return;
	filter_remove(ifindex);
	clsact_remove(ifindex);
}
