/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_ROUTES_FIXTURE_H
#define PW_TEST_ROUTES_FIXTURE_H

/* Routes and next hops as text, turned into netlink messages. */
#include "tables_fixture.h"

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

/* ---- refusals ---------------------------------------------------------------------------- */

struct refusal {
	const char *command;
	int result;
	const char *text; /* is in what it says */
};

static inline void refused_all(const struct refusal *refusals, unsigned int count,
			       int (*request)(const char *))
{
	for (unsigned int i = 0; i < count; i++) {
		int ret = request(refusals[i].command);

		if (ret != refusals[i].result || !strstr(said, refusals[i].text))
			fail_msg("%s: %d \"%s\" instead of %d \"%s\"", refusals[i].command, ret,
				 said, refusals[i].result, refusals[i].text);
	}
}

#endif
