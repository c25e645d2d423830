/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_LINKS_FIXTURE_H
#define PW_TEST_LINKS_FIXTURE_H

/* A control thread's state over two ports that lead nowhere, driven by netlink messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <rte_eal.h>

#include "control/core.h"
#include "control/links.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "lib/log.h"
#include "lib/retire.h"

static char message_buffer[4096];
static char said[256]; /* what the last refusal said */

static inline int fixture_start(void **state)
{
	char *arguments[] = {"test", "--no-huge", "--no-shconf",    "--no-pci",         "-m", "512",
			     "-l",   "0-1",       "--no-telemetry", "--log-level=error"};
	const struct pw_core_options core = {.workers = 1, .mbufs = 4096, .lpm_bytes = 64 << 20};
	static bool started;
	char error[256];

	if (!started && rte_eal_init(10, arguments) < 0)
		return -1;
	started = true;
	pw_log_set_level(PW_LOG_ERROR);
	assert_return_code(pw_core_start(&core), 0);
	for (int i = 0; i < 2; i++) {
		struct pw_port_spec spec;
		int port;

		assert_return_code(
			pw_port_parse(i ? "p1=null:" : "p0=null:", &spec, error, sizeof(error)), 0);
		port = pw_port_open(&spec, error, sizeof(error));
		if (port < 0)
			fail_msg("%s", error);
		assert_non_null(pw_link_add_port((uint16_t)port));
	}
	return 0;
}

static inline int fixture_stop(void **state)
{
	pw_port_close_all();
	pw_core_stop();
	return 0;
}

static inline struct nlmsghdr *message(uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);

	memset(message_buffer + sizeof(*nlh), 0, sizeof(message_buffer) - sizeof(*nlh));
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return nlh;
}

static inline int send_message(const struct nlmsghdr *nlh)
{
	int ret;

	said[0] = '\0';
	ret = pw_request_internal(nlh, said, sizeof(said));
	pw_resolve();
	pw_retire_poll();
	return ret;
}

static inline struct pw_link *link_named(const char *name)
{
	struct pw_link *link = pw_link_by_name(name);

	if (!link)
		fail_msg("no link named %s", name);
	return link;
}

static inline struct pw_address address_of(const char *text)
{
	struct pw_address address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	assert_int_equal(inet_pton(address.family, text, address.bytes), 1);
	return address;
}

static inline struct nlmsghdr *link_message(uint16_t type, uint16_t flags, const char *name)
{
	struct nlmsghdr *nlh = message(type, flags);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return nlh;
}

#define NEW (NLM_F_CREATE | NLM_F_EXCL)

static inline int link_up(const char *name, bool up)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, 0, name);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(nlh);

	header->ifi_change = IFF_UP;
	header->ifi_flags = up ? IFF_UP : 0;
	return send_message(nlh);
}

static inline int add_vlan(const char *parent, const char *name, uint16_t id)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, name);
	struct nlattr *info, *data;

	mnl_attr_put_u32(nlh, IFLA_LINK, parent ? link_named(parent)->index : 9999);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vlan");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u16(nlh, IFLA_VLAN_ID, id);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return send_message(nlh);
}

static inline int add_vrf(const char *name, uint32_t table)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, name);
	struct nlattr *info, *data;

	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vrf");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, table);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return send_message(nlh);
}

static inline int set_master(const char *name, const char *master)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, 0, name);

	mnl_attr_put_u32(nlh, IFLA_MASTER, master ? link_named(master)->index : 0);
	return send_message(nlh);
}

static inline int delete_link(const char *name)
{
	return send_message(link_message(RTM_DELLINK, 0, name));
}

static inline int change_address(uint16_t type, uint16_t flags, const char *link, const char *text,
				 uint8_t length)
{
	struct pw_address address = address_of(text);
	struct nlmsghdr *nlh = message(type, flags);
	struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	unsigned int size = pw_address_size(address.family);

	header->ifa_family = address.family;
	header->ifa_prefixlen = length;
	header->ifa_index = link_named(link)->index;
	mnl_attr_put(nlh, IFA_LOCAL, size, address.bytes);
	mnl_attr_put(nlh, IFA_ADDRESS, size, address.bytes);
	return send_message(nlh);
}

static inline int add_address(const char *link, const char *text, uint8_t length)
{
	return change_address(RTM_NEWADDR, NEW, link, text, length);
}

/* The type of next hop that a VRF's workers find for an address. */
static inline enum pw_nexthop_type way_in(uint16_t vrf, const char *text)
{
	struct pw_address address = address_of(text);

	pw_resolve();
	return pw_nexthop_get(pw_vrf_route_lookup(vrf, address.family, address.bytes))->type;
}

static inline void assert_said(const char *words)
{
	if (!strstr(said, words))
		fail_msg("refused with \"%s\" instead of \"%s\"", said, words);
}

#endif
