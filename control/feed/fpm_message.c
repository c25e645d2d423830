/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zebra's messages are written for its own kernel: numbers of interfaces and next hops are
 * exchanged for Pewter's, then the handlers of the API socket take them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "control/feed/fpm_internal.h"
#include "control/links.h"
#include "control/nexthop.h"
#include "control/request.h"
#include "control/route.h"
#include "lib/log.h"

#define KEY_MESSAGE 128
#define LOG_LINES   10 /* refusals that are logged in so many seconds */
#define LOG_SECONDS 10

struct pw_fpm_counters pw_fpm_counters;
struct pw_feed pw_fpm_feed = {.source = PW_ROUTE_FPM, .session = 1};

/* What the hops of a message are. */
struct hops {
	bool gateway; /* one of them has a gateway */
	bool labels;
	bool nowhere; /* all of them lead into a multipoint tunnel, to no end of it */
	bool refused;
	char text[PW_FPM_TEXT];
};

/* ---- hops -------------------------------------------------------------------------------- */

static bool multipoint(const struct pw_link *link)
{
	return link->kind == PW_LINK_TUNNEL && !link->tunnel.remote.family;
}

static enum pw_fpm_verdict link_exchange(void *oif, bool gateway, bool labels, struct hops *hops)
{
	struct pw_link *link;
	uint32_t ifindex;
	char name[32];

	hops->gateway |= gateway;
	hops->labels |= labels;
	memcpy(&ifindex, oif, sizeof(ifindex));
	link = pw_fpm_interface_link(ifindex, name);
	if (!link) {
		snprintf(hops->text, sizeof(hops->text), "interface %s is no link of Pewter's",
			 name);
		return labels ? PW_FPM_REFUSED : PW_FPM_SKIPPED;
	}
	memcpy(oif, &link->index, sizeof(link->index));
	hops->nowhere &= multipoint(link) && !gateway && !labels;
	return PW_FPM_TAKEN;
}

static enum pw_fpm_verdict multipath_exchange(struct nlattr *attribute, struct hops *hops)
{
	char *at = mnl_attr_get_payload(attribute);
	size_t left = mnl_attr_get_payload_len(attribute);
	enum pw_fpm_verdict verdict;

	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop *rtnh = (struct rtnexthop *)at;
		bool gateway = false, labels = false;
		const struct nlattr *attr;
		size_t step;

		if (rtnh->rtnh_len < sizeof(*rtnh) || rtnh->rtnh_len > left)
			break; /* the handler says so */
		mnl_attr_for_each_payload((const struct nlattr *)(rtnh + 1),
					  rtnh->rtnh_len - sizeof(*rtnh))
		{
			uint16_t type = mnl_attr_get_type(attr);

			gateway |= type == RTA_GATEWAY || type == RTA_VIA;
			labels |= type == RTA_ENCAP || type == RTA_NEWDST;
		}
		verdict = link_exchange(&rtnh->rtnh_ifindex, gateway, labels, hops);
		if (verdict != PW_FPM_TAKEN)
			return verdict;
		if (gateway)
			rtnh->rtnh_flags |= RTNH_F_ONLINK;
		step = RTNH_ALIGN(rtnh->rtnh_len);
		step = step < left ? step : left;
		at += step;
		left -= step;
	}
	return PW_FPM_TAKEN;
}

static enum pw_fpm_verdict object_exchange(struct nlattr *attribute, struct hops *hops)
{
	uint32_t *nhid = mnl_attr_get_payload(attribute);
	enum pw_fpm_verdict verdict = pw_fpm_nexthop_id(*nhid, nhid, hops->text);
	const struct pw_object *object;
	const struct pw_leg *leg;
	uint32_t weight;

	if (verdict != PW_FPM_TAKEN)
		return verdict;
	object = pw_object_find(*nhid);
	for (unsigned int i = 0; (leg = pw_path_leg(&object->path, i, &weight)); i++) {
		const struct pw_link *link = pw_link_by_index(leg->hop.oif);

		hops->gateway |= leg->hop.gateway.family != 0;
		hops->labels |= leg->hop.label_count != 0;
		hops->nowhere &= link && multipoint(link) && !leg->hop.gateway.family;
	}
	return PW_FPM_TAKEN;
}

/* The attributes of a route by type; false when one that is looked at here is of a wrong size. */
static bool route_attributes(const struct nlmsghdr *nlh, struct nlattr **table)
{
	struct nlattr *attribute;

	memset(table, 0, (RTA_MAX + 1) * sizeof(*table));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct rtmsg))
		return false;
	mnl_attr_for_each(attribute, nlh, sizeof(struct rtmsg))
	{
		uint16_t type = mnl_attr_get_type(attribute);

		if ((type == RTA_OIF || type == RTA_TABLE || type == RTA_PRIORITY ||
		     type == RTA_NH_ID) &&
		    mnl_attr_get_payload_len(attribute) != sizeof(uint32_t))
			return false;
		if (type <= RTA_MAX)
			table[type] = attribute;
	}
	return true;
}

static enum pw_fpm_verdict hops_exchange(struct rtmsg *rtm, struct nlattr **table,
					 struct hops *hops)
{
	bool gateway = table[RTA_GATEWAY] || table[RTA_VIA];
	bool labels = table[RTA_ENCAP] || table[RTA_NEWDST] || rtm->rtm_family == AF_MPLS;

	if (gateway)
		rtm->rtm_flags |= RTNH_F_ONLINK;
	if (table[RTA_NH_ID])
		return object_exchange(table[RTA_NH_ID], hops);
	if (table[RTA_MULTIPATH])
		return multipath_exchange(table[RTA_MULTIPATH], hops);
	if (table[RTA_OIF])
		return link_exchange(mnl_attr_get_payload(table[RTA_OIF]), gateway, labels, hops);
	hops->gateway = gateway;
	hops->nowhere = false;
	return PW_FPM_TAKEN;
}

/* ---- routes and labels ------------------------------------------------------------------- */

/* Takes out what the feed had for the route's key. */
static void route_withdraw(const struct nlmsghdr *nlh, struct nlattr **table)
{
	static const uint16_t key[] = {RTA_DST, RTA_TABLE, RTA_PRIORITY};
	uint32_t buffer[KEY_MESSAGE / sizeof(uint32_t)];
	struct nlmsghdr *out = mnl_nlmsg_put_header(buffer);
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct rtmsg *copy = mnl_nlmsg_put_extra_header(out, sizeof(*copy));

	out->nlmsg_type = RTM_DELROUTE;
	out->nlmsg_flags = NLM_F_REQUEST;
	*copy = (struct rtmsg){
		.rtm_family = rtm->rtm_family,
		.rtm_dst_len = rtm->rtm_dst_len,
		.rtm_table = rtm->rtm_table,
		.rtm_scope = RT_SCOPE_NOWHERE,
	};
	for (size_t i = 0; i < MNL_ARRAY_SIZE(key); i++) {
		const struct nlattr *attribute = table[key[i]];

		if (attribute && mnl_attr_get_payload_len(attribute) <= sizeof(struct in6_addr))
			mnl_attr_put(out, key[i], mnl_attr_get_payload_len(attribute),
				     mnl_attr_get_payload(attribute));
	}
	pw_request_feed(&pw_fpm_feed, out, NULL, 0);
}

/* Routes that mean something to a kernel only. */
static bool for_kernel(const struct rtmsg *rtm, const struct hops *hops, char *text)
{
	if (rtm->rtm_family == AF_MPLS || rtm->rtm_type != RTN_UNICAST)
		return false;
	if (rtm->rtm_protocol == RTPROT_KERNEL && !hops->gateway) {
		snprintf(text, PW_FPM_TEXT, "connected routes come from the links' addresses");
		return true;
	}
	/* zebra ends its recursion there; in Pewter the labelled routes name the remote. */
	if (hops->nowhere)
		snprintf(text, PW_FPM_TEXT, "a route into a multipoint tunnel to no end of it");
	return hops->nowhere;
}

static enum pw_fpm_verdict route_new(struct nlmsghdr *nlh, char *text)
{
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct hops hops = {.nowhere = true};
	struct nlattr *table[RTA_MAX + 1];
	enum pw_fpm_verdict verdict;

	if (!route_attributes(nlh, table)) {
		snprintf(text, PW_FPM_TEXT, "a route with an attribute of a wrong size");
		return PW_FPM_REFUSED;
	}
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	verdict = hops_exchange(rtm, table, &hops);
	if (verdict != PW_FPM_TAKEN)
		memcpy(text, hops.text, sizeof(hops.text));
	else if (for_kernel(rtm, &hops, text))
		verdict = PW_FPM_SKIPPED;
	else if (pw_request_feed(&pw_fpm_feed, nlh, text, PW_FPM_TEXT))
		verdict = PW_FPM_REFUSED;
	if (verdict == PW_FPM_REFUSED && rtm->rtm_family == AF_INET6 && hops.labels &&
	    !hops.gateway)
		snprintf(text, PW_FPM_TEXT,
			 "zebra leaves the next hop of IPv6 VPN routes (::ffff:PE) out");
	/* zebra holds that the new route is in force: the old one must not stay. */
	if (verdict != PW_FPM_TAKEN)
		route_withdraw(nlh, table);
	return verdict;
}

static uint32_t table_of(const struct rtmsg *rtm, struct nlattr **table)
{
	return table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : rtm->rtm_table;
}

static uint32_t priority_of(struct nlattr **table)
{
	return table[RTA_PRIORITY] ? mnl_attr_get_u32(table[RTA_PRIORITY]) : 0;
}

/* A change comes as a deletion and the new route behind it: that one replaces. */
static bool replaced(const struct nlmsghdr *nlh, struct nlattr **table, const struct nlmsghdr *next)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh), *new;
	struct nlattr *with[RTA_MAX + 1];

	if (!next || next->nlmsg_type != RTM_NEWROUTE || !route_attributes(next, with))
		return false;
	new = mnl_nlmsg_get_payload(next);
	if (rtm->rtm_family != new->rtm_family || rtm->rtm_dst_len != new->rtm_dst_len ||
	    table_of(rtm, table) != table_of(new, with) ||
	    priority_of(table) != priority_of(with) || !table[RTA_DST] != !with[RTA_DST])
		return false;
	return !table[RTA_DST] ||
	       (table[RTA_DST]->nla_len == with[RTA_DST]->nla_len &&
		memcmp(mnl_attr_get_payload(table[RTA_DST]), mnl_attr_get_payload(with[RTA_DST]),
		       mnl_attr_get_payload_len(table[RTA_DST])) == 0);
}

static enum pw_fpm_verdict route_delete(struct nlmsghdr *nlh, const struct nlmsghdr *next,
					char *text)
{
	struct nlattr *table[RTA_MAX + 1];

	if (!route_attributes(nlh, table)) {
		snprintf(text, PW_FPM_TEXT, "a route with an attribute of a wrong size");
		return PW_FPM_REFUSED;
	}
	if (!replaced(nlh, table, next))
		route_withdraw(nlh, table);
	return PW_FPM_TAKEN;
}

/* ---- messages ---------------------------------------------------------------------------- */

static const char *what(const struct nlmsghdr *nlh, char *room, size_t size)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	char address[INET6_ADDRSTRLEN];
	struct nlattr *table[RTA_MAX + 1];

	if ((nlh->nlmsg_type != RTM_NEWROUTE && nlh->nlmsg_type != RTM_DELROUTE) ||
	    !route_attributes(nlh, table)) {
		snprintf(room, size, "message type %u", nlh->nlmsg_type);
		return room;
	}
	if (rtm->rtm_family == AF_MPLS && table[RTA_DST] &&
	    mnl_attr_get_payload_len(table[RTA_DST]) == 4)
		snprintf(room, size, "label %u", ntohl(mnl_attr_get_u32(table[RTA_DST])) >> 12);
	else if (table[RTA_DST] &&
		 mnl_attr_get_payload_len(table[RTA_DST]) == pw_address_size(rtm->rtm_family) &&
		 inet_ntop(rtm->rtm_family, mnl_attr_get_payload(table[RTA_DST]), address,
			   sizeof(address)))
		snprintf(room, size, "%s/%u table %u", address, rtm->rtm_dst_len,
			 table_of(rtm, table));
	else
		snprintf(room, size, "a default route of table %u", table_of(rtm, table));
	return room;
}

static void refusal_log(const char *of, const char *text)
{
	static time_t window;
	static unsigned int lines, more;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!window || now.tv_sec - window >= LOG_SECONDS) {
		if (more)
			pw_warning("FPM: %u more messages were refused", more);
		window = now.tv_sec;
		lines = more = 0;
	}
	if (lines++ < LOG_LINES)
		pw_warning("FPM: %s refused: %s", of, text);
	else
		more++;
}

void pw_fpm_message(struct nlmsghdr *nlh, const struct nlmsghdr *next)
{
	char text[PW_FPM_TEXT] = "", name[PW_FPM_TEXT / 2];
	enum pw_fpm_verdict verdict;

	pw_fpm_counters.messages++;
	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
		verdict = route_new(nlh, text);
		break;
	case RTM_DELROUTE:
		verdict = route_delete(nlh, next, text);
		break;
	case RTM_NEWNEXTHOP:
		verdict = pw_fpm_nexthop_new(nlh, text);
		break;
	case RTM_DELNEXTHOP:
		verdict = pw_fpm_nexthop_delete(nlh);
		break;
	default:
		snprintf(text, sizeof(text), "not a route, a label or a next hop");
		verdict = PW_FPM_REFUSED;
		break;
	}
	pw_fpm_counters.verdicts[verdict]++;
	if (verdict == PW_FPM_TAKEN)
		return;
	what(nlh, name, sizeof(name));
	if (verdict == PW_FPM_REFUSED) {
		snprintf(pw_fpm_counters.refused, PW_FPM_TEXT, "%s: %.90s", name, text);
		refusal_log(name, text);
	} else {
		snprintf(pw_fpm_counters.skipped, PW_FPM_TEXT, "%s: %.90s", name, text);
	}
}
