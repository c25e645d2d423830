/* SPDX-License-Identifier: BSD-3-Clause */
#include "request_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/un.h>

#include <linux/rtnetlink.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/request.h"
#include "lib/pewter_netlink.h"

char path[64];
struct pw_socket_options options = {.path = path};
unsigned int handled;
uint8_t packet[PACKET_MAX];

/* ---- handlers ---------------------------------------------------------------------------- */

static const struct pw_attribute_policy policy[] = {
	[RTA_DST] = {"RTA_DST", .min = 4, .max = 4},
	[RTA_OIF] = {"RTA_OIF", .min = 4, .max = 4},
	[RTA_METRICS] = {"RTA_METRICS"},
	[RTA_MULTIPATH] = {"RTA_MULTIPATH", .min = 8},
};
static const struct pw_attribute_policy nested_policy[] = {
	[RTAX_MTU] = {"RTAX_MTU", .min = 4, .max = 4},
};

static int handle_route(struct pw_request *request)
{
	const struct nlattr *table[RTA_MULTIPATH + 1], *metrics[RTAX_MTU + 1];
	int ret = pw_request_attributes(request, sizeof(struct rtmsg), "route", policy,
					RTA_MULTIPATH, table);

	if (!ret && table[RTA_METRICS])
		ret = pw_request_nested(request, table[RTA_METRICS], "route metric", nested_policy,
					RTAX_MTU, metrics);
	if (ret)
		return ret;
	if (!table[RTA_DST])
		return pw_refuse(request, NULL, -EINVAL, "route without RTA_DST");
	handled++;
	pw_notify(RTNLGRP_IPV4_ROUTE, request->nlh);
	return 0;
}

static int get_link(struct pw_request *request)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = RTM_NEWLINK;
	mnl_nlmsg_put_extra_header(nlh, 16);
	return pw_reply(request, nlh);
}

static int dump_links(struct pw_dump *dump)
{
	while (dump->cursor[0] < OBJECTS) {
		struct nlmsghdr *nlh = pw_dump_message(dump, RTM_NEWLINK, 120);

		if (!nlh)
			return 1;
		*(uint32_t *)mnl_nlmsg_put_extra_header(nlh, 100) = (uint32_t)dump->cursor[0]++;
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

static int dump_fails(struct pw_dump *dump)
{
	return pw_refuse(dump->request, NULL, -ENOENT, "no such table");
}

static int dump_huge(struct pw_dump *dump)
{
	struct nlmsghdr *nlh;
	size_t sizes[] = {40000, 100, 1000000};

	while (dump->cursor[0] < 3) {
		nlh = pw_dump_message(dump, RTM_NEWNEIGH, sizes[dump->cursor[0]]);
		if (!nlh)
			return 1;
		mnl_nlmsg_put_extra_header(nlh, sizes[dump->cursor[0]++] - 16);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

int setup(void **state)
{
	char error[128] = "";

	snprintf(path, sizeof(path), "/tmp/pewter-unit-%d/pewter.sock", getpid());
	handled = 0;
	if (pw_loop_init() || pw_socket_open(&options, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return -1;
	}
	pw_loop_after_round(pw_client_flush_all, NULL);
	pw_request_register(RTM_NEWROUTE, -1, handle_route, NULL);
	pw_request_register(RTM_GETLINK, -1, get_link, dump_links);
	pw_request_register(RTM_GETROUTE, AF_INET6, NULL, dump_fails);
	pw_request_register(RTM_GETNEIGH, -1, NULL, dump_huge);
	return 0;
}

int teardown(void **state)
{
	char directory[64];

	pw_socket_close();
	pw_loop_fini();
	if (access(path, F_OK) == 0)
		return -1;
	snprintf(directory, sizeof(directory), "/tmp/pewter-unit-%d", getpid());
	return rmdir(directory);
}

/* ---- a client ---------------------------------------------------------------------------- */

void rounds(unsigned int count)
{
	while (count--)
		pw_loop_step(0);
}

int dial(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	rounds(2);
	return fd;
}

struct nlmsghdr *message(void *buffer, uint16_t type, uint16_t flags, uint32_t seq, size_t header)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	if (header)
		mnl_nlmsg_put_extra_header(nlh, header);
	return nlh;
}

struct nlmsghdr *route(void *buffer, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = message(buffer, RTM_NEWROUTE, flags, seq, sizeof(struct rtmsg));

	mnl_attr_put_u32(nlh, RTA_DST, 1);
	return nlh;
}

void put(int fd, const void *data, size_t size)
{
	assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

ssize_t get(int fd)
{
	ssize_t size = -1;

	for (int i = 0; i < 20 && size < 0; i++) {
		rounds(1);
		size = recv(fd, packet, sizeof(packet), MSG_TRUNC);
	}
	return size;
}

void expect_error(int fd, int error, uint32_t seq, const char *text, uint32_t offset)
{
	ssize_t size = get(fd);
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)packet;
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attribute;
	unsigned int fixed = sizeof(*answer);
	const char *said = NULL;
	uint32_t at = 0;

	assert_true(size >= (ssize_t)(sizeof(*nlh) + sizeof(*answer)));
	assert_int_equal(nlh->nlmsg_len, size);
	assert_int_equal(nlh->nlmsg_type, NLMSG_ERROR);
	assert_int_equal(nlh->nlmsg_seq, seq);
	assert_int_equal(nlh->nlmsg_pid, 0);
	assert_int_equal(answer->error, error);
	/* An acknowledgement carries the header only, an error the whole request. */
	if (!error)
		assert_true(nlh->nlmsg_flags & NLM_F_CAPPED);
	else if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		fixed += answer->msg.nlmsg_len - sizeof(*nlh);
	assert_int_equal(answer->msg.nlmsg_seq, seq);
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_for_each(attribute, nlh, fixed)
		{
			if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
				said = mnl_attr_get_str(attribute);
			if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_OFFS)
				at = mnl_attr_get_u32(attribute);
		}
	if (text)
		assert_string_equal(said, text);
	else
		assert_null(said);
	assert_int_equal(at, offset);
}
