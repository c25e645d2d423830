/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_ROUTES_FIXTURE_H
#define PW_TEST_ROUTES_FIXTURE_H

/* Tables, links without devices, and routes as text turned into netlink messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <rte_eal.h>

#include "control/core.h"
#include "control/endpoint.h"
#include "control/label.h"
#include "control/links.h"
#include "control/route.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"
#include "lib/retire.h"

#ifndef FIXTURE_MEMORY
#define FIXTURE_MEMORY    "512"
#define FIXTURE_LPM_BYTES (64u << 20)
#endif

static char said[256]; /* what the last refusal said */

static inline struct pw_address address_of(const char *text)
{
	struct pw_address address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(address.family, text, address.bytes) != 1)
		fail_msg("no address: %s", text);
	return address;
}

static inline struct pw_link *link_named(const char *name)
{
	struct pw_link *link = pw_link_by_name(name);

	if (!link)
		fail_msg("no link named %s", name);
	return link;
}

static inline void settle(void)
{
	pw_resolve();
	pw_retire_poll();
}

static inline void link_set(const char *name, bool up, bool carrier)
{
	struct pw_link *link = link_named(name);

	link->admin_up = up;
	link->carrier = carrier;
	assert_return_code(pw_link_publish(link), 0);
	pw_nexthop_link_changed(link);
	settle();
}

static inline struct pw_link *add_port(const char *name, uint16_t port)
{
	struct pw_link model = {
		.kind = PW_LINK_PORT, .mtu = 1500, .port = port, .admin_up = true, .carrier = true};

	snprintf(model.name, sizeof(model.name), "%s", name);
	assert_non_null(pw_link_register(&model));
	return link_named(name);
}

static inline struct pw_link *add_vrf(const char *name, uint32_t table)
{
	struct pw_link model = {.kind = PW_LINK_VRF,
				.mtu = 65535,
				.port = PW_PORT_NONE,
				.admin_up = true,
				.carrier = true,
				.table = table};
	char error[128];

	snprintf(model.name, sizeof(model.name), "%s", name);
	assert_non_null(pw_link_create(&model, error, sizeof(error)));
	return link_named(name);
}

static inline struct pw_link *add_tunnel(const char *name, const char *local, const char *remote)
{
	struct pw_link model = {.kind = PW_LINK_TUNNEL,
				.mtu = 1476,
				.port = PW_PORT_NONE,
				.admin_up = true,
				.carrier = true};
	char error[128];

	snprintf(model.name, sizeof(model.name), "%s", name);
	model.tunnel.local = address_of(local);
	if (remote)
		model.tunnel.remote = address_of(remote);
	model.tunnel.ttl = 255;
	model.tunnel.label_ttl = 255;
	model.tunnel.pmtudisc = true;
	if (!pw_link_create(&model, error, sizeof(error)))
		return NULL;
	settle();
	return link_named(name);
}

/* An address as address.c would announce it: local route and connected prefix. */
static inline void add_address(const char *link, const char *text, unsigned int length)
{
	struct pw_address address = address_of(text);
	unsigned int bits = 8 * pw_address_size(address.family);

	assert_return_code(
		pw_route_internal(PW_ROUTE_LOCAL, link_named(link), &address, bits, 0, true), 0);
	assert_return_code(
		pw_route_internal(PW_ROUTE_CONNECTED, link_named(link), &address, length, 0, true),
		0);
	settle();
}

static inline int fixture_start(void **state)
{
	char *arguments[] = {
		"test",         "--no-huge", "--no-shconf", "--no-pci",       "-m",
		FIXTURE_MEMORY, "-l",        "0",           "--no-telemetry", "--log-level=error"};
	const struct pw_core_options core = {
		.workers = 1, .mbufs = 4096, .lpm_bytes = FIXTURE_LPM_BYTES};
	static bool started;

	if (!started && rte_eal_init(10, arguments) < 0)
		return -1;
	started = true;
	pw_log_set_level(PW_LOG_ERROR);
	assert_return_code(pw_core_start(&core), 0);
	add_port("p0", 0);
	add_port("p1", 1);
	add_vrf("red", 10);
	add_address("p0", "10.0.0.1", 24);
	add_address("p0", "2001:db8::1", 64);
	add_address("p1", "10.1.0.1", 24);
	return 0;
}

static inline int fixture_stop(void **state)
{
	pw_core_stop();
	return 0;
}

/* ---- "route add ..." as text ------------------------------------------------------------- */

struct words {
	char text[512];
	char *list[96];
	unsigned int count, at;
};

static inline const char *word(struct words *words)
{
	return words->at < words->count ? words->list[words->at++] : NULL;
}

static inline bool word_is(struct words *words, const char *text)
{
	if (words->at >= words->count || strcmp(words->list[words->at], text) != 0)
		return false;
	words->at++;
	return true;
}

static inline uint16_t verb_flags(const char *verb, uint16_t *type, uint16_t new, uint16_t del)
{
	*type = new;
	if (strcmp(verb, "del") == 0)
		*type = del;
	if (strcmp(verb, "add") == 0)
		return NLM_F_CREATE | NLM_F_EXCL;
	if (strcmp(verb, "append") == 0)
		return NLM_F_CREATE | NLM_F_APPEND;
	if (strcmp(verb, "prepend") == 0)
		return NLM_F_CREATE;
	if (strcmp(verb, "change") == 0)
		return NLM_F_REPLACE;
	if (strcmp(verb, "replace") == 0)
		return NLM_F_CREATE | NLM_F_REPLACE;
	return 0;
}

/* "16/17" as a label stack; a label of 2^20 and more spills over, as it would in a message. */
static inline void put_labels(struct nlmsghdr *nlh, uint16_t type, const char *text)
{
	uint32_t entries[16];
	unsigned int count = 0;
	char *end = (char *)text;

	do {
		entries[count++] = (uint32_t)strtoul(*end == '/' ? end + 1 : end, &end, 10) << 12;
	} while (*end == '/' && count < 16);
	entries[count - 1] |= 0x100;
	for (unsigned int i = 0; i < count; i++)
		entries[i] = htonl(entries[i]);
	mnl_attr_put(nlh, type, count * 4, entries);
}

static inline void put_address(struct nlmsghdr *nlh, uint16_t type,
			       const struct pw_address *address)
{
	mnl_attr_put(nlh, type, pw_address_size(address->family), address->bytes);
}

static inline void put_gateway(struct nlmsghdr *nlh, int family, const char *text)
{
	struct pw_address address = address_of(text);
	uint8_t via[18];
	uint16_t via_family = address.family;

	if (address.family == family) {
		put_address(nlh, RTA_GATEWAY, &address);
		return;
	}
	memcpy(via, &via_family, 2);
	memcpy(via + 2, address.bytes, pw_address_size(address.family));
	mnl_attr_put(nlh, RTA_VIA, 2 + pw_address_size(address.family), via);
}

/* What a hop and a route have in common; false when the word is another one. */
static inline bool put_hop_word(struct nlmsghdr *nlh, struct words *words, int family)
{
	struct nlattr *nest;

	if (word_is(words, "via")) {
		put_gateway(nlh, family, word(words));
	} else if (word_is(words, "as")) {
		put_labels(nlh, RTA_NEWDST, word(words));
	} else if (word_is(words, "encap")) {
		nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
		put_labels(nlh, MPLS_IPTUNNEL_DST, word(words));
		if (word_is(words, "ttl"))
			mnl_attr_put_u8(nlh, MPLS_IPTUNNEL_TTL, (uint8_t)atoi(word(words)));
		mnl_attr_nest_end(nlh, nest);
		mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
	} else {
		return false;
	}
	return true;
}

static inline uint32_t device_index(const char *name)
{
	struct pw_link *link = pw_link_by_name(name);

	return link ? link->index : 9999;
}

static inline void put_multipath(struct nlmsghdr *nlh, struct words *words, int family)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_MULTIPATH);

	while (word_is(words, "nexthop")) {
		struct rtnexthop *rtnh = mnl_nlmsg_get_payload_tail(nlh);

		memset(rtnh, 0, sizeof(*rtnh));
		nlh->nlmsg_len += sizeof(*rtnh);
		for (;;) {
			if (word_is(words, "dev"))
				rtnh->rtnh_ifindex = (int)device_index(word(words));
			else if (word_is(words, "weight"))
				rtnh->rtnh_hops = (unsigned char)(atoi(word(words)) - 1);
			else if (word_is(words, "onlink"))
				rtnh->rtnh_flags |= RTNH_F_ONLINK;
			else if (!put_hop_word(nlh, words, family))
				break;
		}
		rtnh->rtnh_len =
			(unsigned short)((char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)rtnh);
	}
	mnl_attr_nest_end(nlh, nest);
}

static inline void put_destination(struct nlmsghdr *nlh, struct rtmsg *rtm, const char *text)
{
	struct pw_address address;
	char copy[64], *slash;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (!slash && !strchr(copy, '.') && !strchr(copy, ':')) {
		rtm->rtm_family = AF_MPLS;
		rtm->rtm_dst_len = 20;
		put_labels(nlh, RTA_DST, copy);
		return;
	}
	if (slash)
		*slash = '\0';
	address = address_of(copy);
	rtm->rtm_family = address.family;
	rtm->rtm_dst_len = slash ? (unsigned char)atoi(slash + 1)
				 : (unsigned char)(8 * pw_address_size(address.family));
	if (rtm->rtm_dst_len)
		put_address(nlh, RTA_DST, &address);
}

static inline uint8_t route_type(struct words *words)
{
	static const struct {
		const char *name;
		uint8_t type;
	} types[] = {{"blackhole", RTN_BLACKHOLE}, {"unreachable", RTN_UNREACHABLE},
		     {"prohibit", RTN_PROHIBIT},   {"local", RTN_LOCAL},
		     {"throw", RTN_THROW},         {"broadcast", RTN_BROADCAST}};

	for (unsigned int i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (word_is(words, types[i].name))
			return types[i].type;
	return RTN_UNSPEC;
}

static inline void put_route_words(struct nlmsghdr *nlh, struct rtmsg *rtm, struct words *words)
{
	struct pw_address address;

	while (words->at < words->count) {
		if (strcmp(words->list[words->at], "nexthop") == 0) {
			put_multipath(nlh, words, rtm->rtm_family);
		} else if (word_is(words, "dev")) {
			mnl_attr_put_u32(nlh, RTA_OIF, device_index(word(words)));
		} else if (word_is(words, "table")) {
			mnl_attr_put_u32(nlh, RTA_TABLE, (uint32_t)atoi(word(words)));
		} else if (word_is(words, "metric")) {
			mnl_attr_put_u32(nlh, RTA_PRIORITY, (uint32_t)atoi(word(words)));
		} else if (word_is(words, "nhid")) {
			mnl_attr_put_u32(nlh, RTA_NH_ID, (uint32_t)atoi(word(words)));
		} else if (word_is(words, "proto")) {
			rtm->rtm_protocol = (unsigned char)atoi(word(words));
		} else if (word_is(words, "tos")) {
			rtm->rtm_tos = (unsigned char)atoi(word(words));
		} else if (word_is(words, "onlink")) {
			rtm->rtm_flags |= RTNH_F_ONLINK;
		} else if (word_is(words, "ttl-propagate")) {
			mnl_attr_put_u8(nlh, RTA_TTL_PROPAGATE, (uint8_t)atoi(word(words)));
		} else if (word_is(words, "mtu")) {
			struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_METRICS);

			mnl_attr_put_u32(nlh, RTAX_MTU, (uint32_t)atoi(word(words)));
			mnl_attr_nest_end(nlh, nest);
		} else if (word_is(words, "src")) {
			address = address_of(word(words));
			put_address(nlh, RTA_PREFSRC, &address);
		} else if (!put_hop_word(nlh, words, rtm->rtm_family)) {
			fail_msg("what is \"%s\"?", words->list[words->at]);
		}
	}
}

static inline void words_split(struct words *words, const char *text)
{
	char *rest;

	memset(words, 0, sizeof(*words));
	snprintf(words->text, sizeof(words->text), "%s", text);
	for (char *one = strtok_r(words->text, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
		words->list[words->count++] = one;
}

static char message_buffer[8192] __attribute__((aligned(8)));

static inline struct nlmsghdr *route_message(const char *text)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct words words;
	struct rtmsg *rtm;
	uint8_t type;

	words_split(&words, text);
	nlh->nlmsg_flags = verb_flags(word(&words), &nlh->nlmsg_type, RTM_NEWROUTE, RTM_DELROUTE);
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	type = route_type(&words);
	rtm->rtm_type = type || nlh->nlmsg_type == RTM_DELROUTE ? type : RTN_UNICAST;
	rtm->rtm_scope = nlh->nlmsg_type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE;
	rtm->rtm_protocol = nlh->nlmsg_type == RTM_DELROUTE ? 0 : RTPROT_BOOT;
	rtm->rtm_table = RT_TABLE_MAIN;
	put_destination(nlh, rtm, word(&words));
	put_route_words(nlh, rtm, &words);
	return nlh;
}

static inline int send_message(const struct nlmsghdr *nlh)
{
	int ret;

	said[0] = '\0';
	ret = pw_request_internal(nlh, said, sizeof(said));
	settle();
	return ret;
}

/* "add 10.0.0.0/8 via 10.0.0.2 table 10 ...": 0 or -errno, with the text in said[]. */
static inline int route(const char *text)
{
	return send_message(route_message(text));
}

static inline void must(const char *text)
{
	int ret = route(text);

	if (ret)
		fail_msg("%s: %s: %s", text, strerror(-ret), said);
}

/* "add 5 via 10.0.0.2 dev p0 encap 100", "replace 9 group 5,2/6", "add 7 blackhole". */
static inline int nexthop(const char *text)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct nexthop_grp group[80] = {0};
	struct pw_address address;
	struct words words;
	struct nhmsg *nhm;

	words_split(&words, text);
	nlh->nlmsg_flags =
		verb_flags(word(&words), &nlh->nlmsg_type, RTM_NEWNEXTHOP, RTM_DELNEXTHOP);
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	nhm = mnl_nlmsg_put_extra_header(nlh, sizeof(*nhm));
	nhm->nh_family = nlh->nlmsg_type == RTM_NEWNEXTHOP ? AF_INET : AF_UNSPEC;
	mnl_attr_put_u32(nlh, NHA_ID, (uint32_t)atoi(word(&words)));
	while (words.at < words.count) {
		if (word_is(&words, "dev")) {
			mnl_attr_put_u32(nlh, NHA_OIF, device_index(word(&words)));
		} else if (word_is(&words, "via")) {
			address = address_of(word(&words));
			nhm->nh_family = address.family;
			put_address(nlh, NHA_GATEWAY, &address);
		} else if (word_is(&words, "blackhole")) {
			mnl_attr_put(nlh, NHA_BLACKHOLE, 0, NULL);
		} else if (word_is(&words, "fdb")) {
			mnl_attr_put(nlh, NHA_FDB, 0, NULL);
		} else if (word_is(&words, "resilient")) {
			mnl_attr_put_u16(nlh, NHA_GROUP_TYPE, NEXTHOP_GRP_TYPE_RES);
		} else if (word_is(&words, "encap")) {
			struct nlattr *nest = mnl_attr_nest_start(nlh, NHA_ENCAP);

			put_labels(nlh, MPLS_IPTUNNEL_DST, word(&words));
			mnl_attr_nest_end(nlh, nest);
			mnl_attr_put_u16(nlh, NHA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
		} else if (word_is(&words, "group")) {
			char *end = (char *)word(&words);
			unsigned int count = 0;

			nhm->nh_family = AF_UNSPEC;
			do {
				group[count].id =
					(uint32_t)strtoul(*end == '/' ? end + 1 : end, &end, 10);
				if (*end == ',')
					group[count].weight =
						(uint8_t)(strtoul(end + 1, &end, 10) - 1);
				count++;
			} while (*end == '/' && count < 80);
			mnl_attr_put(nlh, NHA_GROUP, count * sizeof(*group), group);
		} else {
			fail_msg("what is \"%s\"?", words.list[words.at]);
		}
	}
	return send_message(nlh);
}

/* ---- what workers see -------------------------------------------------------------------- */

static inline const struct pw_nexthop *lookup(uint32_t table, const char *text)
{
	struct pw_address address = address_of(text);
	int vrf = pw_vrf_find(table);

	if (vrf < 0)
		return pw_nexthop_get(0);
	return pw_nexthop_get(pw_vrf_route_lookup((uint16_t)vrf, address.family, address.bytes));
}

/* The address that a NEIGHBOUR next hop leads to, as text; "" for any other. */
static inline const char *gateway_of(const struct pw_nexthop *nexthop)
{
	static char text[INET6_ADDRSTRLEN];
	const struct pw_neighbour *neighbour = pw_neighbour_get(nexthop->neighbour);

	text[0] = '\0';
	if (nexthop->type == PW_NEXTHOP_NEIGHBOUR)
		inet_ntop(neighbour->family, neighbour->address, text, sizeof(text));
	return text;
}

#define assert_gateway(table, to, gateway)                                                         \
	assert_string_equal(gateway_of(lookup(table, to)), gateway)
#define assert_type(table, to, expected) assert_int_equal(lookup(table, to)->type, expected)

#endif
