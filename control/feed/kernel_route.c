/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's main table for the underlay: routes that leave by faces of Pewter's links are
 * routes of its default table, behind what the operator configured. Whoever puts routes into
 * the kernel (ip, DHCP, FRR's OSPF) so routes Pewter's tunnels too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "control/feed/kernel.h"
#include "control/feed/kernel_hop.h"
#include "control/loop.h"
#include "control/nexthop.h"
#include "control/request.h"
#include "control/route.h"
#include "lib/log.h"

#define RESYNC_MS    100
#define RESYNC_SHARE 10    /* at most every so many times as long as one takes */
#define MESSAGE_SIZE 16384 /* PW_GROUP_BUCKETS ways out of at most 160 bytes each */
#define COMPLAINT_S  10
#define METRIC_IPV6  1024

static struct pw_feed feed = {.source = PW_ROUTE_KERNEL, .session = 1};
static bool enabled = true;
static bool running;
static bool duplicates; /* some prefix has several routes of one metric */
static bool dumping;
static struct pw_timer *resync_timer;
static uint32_t resync_took;

/* ---- Pewter's route ---------------------------------------------------------------------- */

static void copy(struct nlmsghdr *nlh, uint16_t type, const struct nlattr *attribute)
{
	if (attribute)
		mnl_attr_put(nlh, type, mnl_attr_get_payload_len(attribute),
			     mnl_attr_get_payload(attribute));
}

static struct nlmsghdr *route_begin(void *buffer, uint16_t type, const struct rtmsg *rtm,
				    const struct nlattr **table)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rtmsg *out = mnl_nlmsg_put_extra_header(nlh, sizeof(*out));

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	*out = (struct rtmsg){
		.rtm_family = rtm->rtm_family,
		.rtm_dst_len = rtm->rtm_dst_len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = rtm->rtm_protocol,
		.rtm_scope = rtm->rtm_scope,
		.rtm_type = RTN_UNICAST,
	};
	copy(nlh, RTA_DST, table[RTA_DST]);
	copy(nlh, RTA_PRIORITY, table[RTA_PRIORITY]);
	return nlh;
}

static int route_put(const struct rtmsg *rtm, const struct nlattr **table,
		     const struct pw_kernel_hops *hops, bool onlink, char *error, size_t size)
{
	static uint32_t buffer[MESSAGE_SIZE / sizeof(uint32_t)];
	struct nlmsghdr *nlh = route_begin(buffer, RTM_NEWROUTE, rtm, table);

	copy(nlh, RTA_PREFSRC, table[RTA_PREFSRC]);
	pw_kernel_hops_put(nlh, rtm->rtm_family, hops, onlink);
	return pw_request_feed(&feed, nlh, error, size);
}

static void route_withdraw(const struct rtmsg *rtm, const struct nlattr **table)
{
	uint32_t buffer[256 / sizeof(uint32_t)];
	struct nlmsghdr *nlh = route_begin(buffer, RTM_DELROUTE, rtm, table);
	struct rtmsg *out = mnl_nlmsg_get_payload(nlh);

	out->rtm_scope = RT_SCOPE_NOWHERE;
	pw_request_feed(&feed, nlh, NULL, 0);
}

static void complain(const struct nlattr *dst, const struct rtmsg *rtm, const char *why)
{
	static time_t last;
	struct timespec now;
	char text[INET6_ADDRSTRLEN] = "default";

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (last && now.tv_sec - last < COMPLAINT_S)
		return;
	last = now.tv_sec;
	if (dst)
		inet_ntop(rtm->rtm_family, mnl_attr_get_payload(dst), text, sizeof(text));
	pw_warning("the kernel's route to %s/%u cannot be Pewter's: %s", text, rtm->rtm_dst_len,
		   why);
}

static void route_new(const struct rtmsg *rtm, const struct nlattr **table)
{
	struct pw_kernel_hops hops;
	char error[160];

	hops.count = 0;
	hops.unknown = false;
	pw_kernel_hops_take(&hops, rtm, table);
	/* A gateway may be behind an address that the kernel has and Pewter has not. */
	if (hops.count && (!route_put(rtm, table, &hops, false, error, sizeof(error)) ||
			   !route_put(rtm, table, &hops, true, error, sizeof(error))))
		return;
	if (hops.count)
		complain(table[RTA_DST], rtm, error);
	if (hops.unknown && !dumping)
		pw_kernel_routes_changed();
	else
		route_withdraw(rtm, table);
}

/* ---- what the kernel says ---------------------------------------------------------------- */

static bool sizes_fit(const struct rtmsg *rtm, const struct nlattr **table)
{
	unsigned int size = pw_address_size(rtm->rtm_family);

	return (!table[RTA_DST] || mnl_attr_get_payload_len(table[RTA_DST]) == size) &&
	       (!table[RTA_PREFSRC] || mnl_attr_get_payload_len(table[RTA_PREFSRC]) == size) &&
	       (!table[RTA_PRIORITY] || mnl_attr_get_payload_len(table[RTA_PRIORITY]) == 4);
}

/* Connected routes come with addresses; what is not for forwarding alone is left out. */
static bool underlay_route(const struct rtmsg *rtm, const struct nlattr **table)
{
	uint32_t id = table[RTA_TABLE] ? pw_kernel_u32(table[RTA_TABLE]) : rtm->rtm_table;

	return (rtm->rtm_family == AF_INET || rtm->rtm_family == AF_INET6) && id == RT_TABLE_MAIN &&
	       !rtm->rtm_src_len && !rtm->rtm_tos && !(rtm->rtm_flags & RTM_F_CLONED) &&
	       rtm->rtm_protocol != RTPROT_KERNEL && rtm->rtm_protocol != RTPROT_REDIRECT &&
	       sizes_fit(rtm, table);
}

static const struct pw_route *route_present(const struct rtmsg *rtm, const struct nlattr **table)
{
	uint8_t bytes[16] = {0};
	uint32_t metric = pw_kernel_u32(table[RTA_PRIORITY]);

	if (table[RTA_DST])
		memcpy(bytes, mnl_attr_get_payload(table[RTA_DST]),
		       pw_address_size(rtm->rtm_family));
	if (!metric && rtm->rtm_family == AF_INET6)
		metric = METRIC_IPV6;
	return pw_route_feed_find(&feed, RT_TABLE_MAIN, rtm->rtm_family, bytes, rtm->rtm_dst_len,
				  metric);
}

/* The event says which of several went: what is left is looked up rather than worked out. */
static bool partial(const struct rtmsg *rtm, const struct nlattr **table)
{
	const struct pw_route *route = route_present(rtm, table);
	uint32_t weight;

	return route && (duplicates || (rtm->rtm_family == AF_INET6 && !table[RTA_MULTIPATH] &&
					pw_path_leg(route->path, 1, &weight)));
}

void pw_kernel_route(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *table[RTA_MAX + 1];
	const struct pw_route *present;

	if (!running || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return;
	pw_kernel_attributes(nlh, sizeof(*rtm), table, RTA_MAX);
	if (!underlay_route(rtm, table))
		return;
	if (nlh->nlmsg_type == RTM_DELROUTE) {
		if (partial(rtm, table))
			pw_kernel_routes_changed();
		else
			route_withdraw(rtm, table);
		return;
	}
	if (rtm->rtm_type != RTN_UNICAST) {
		route_withdraw(rtm, table);
		return;
	}
	/* Of several with one metric the kernel uses the first. */
	if (rtm->rtm_family == AF_INET) {
		present = route_present(rtm, table);
		if (dumping ? present && present->session == feed.session
			    : !(nlh->nlmsg_flags & (NLM_F_EXCL | NLM_F_REPLACE)))
			duplicates = true;
		if (duplicates && present && present->session == feed.session &&
		    (dumping || (nlh->nlmsg_flags & NLM_F_APPEND)))
			return;
	}
	route_new(rtm, table);
}

void pw_kernel_nexthop(const struct nlmsghdr *nlh)
{
	/* Routes by objects change with them, some of them without a word of their own. */
	if (nlh->nlmsg_type == RTM_DELNEXTHOP || (nlh->nlmsg_flags & NLM_F_REPLACE))
		pw_kernel_routes_changed();
}

/* ---- reading it all ---------------------------------------------------------------------- */

static int route_read(const struct nlmsghdr *nlh, void *context)
{
	if (nlh->nlmsg_type == RTM_NEWROUTE)
		pw_kernel_route(nlh);
	return 0;
}

static uint32_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

void pw_kernel_routes_read(void)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct pw_route_sweep sweep = {0};
	uint32_t begin = now_ms();
	int ret = 0;

	if (!running)
		return;
	pw_kernel_objects_read();
	feed.session++;
	duplicates = false;
	dumping = true;
	/* Some hosts have no IPv6. */
	for (size_t i = 0; i < MNL_ARRAY_SIZE(families) && !ret; i++) {
		ret = pw_kernel_dump_routes(RTM_GETROUTE, families[i], route_read, NULL);
		if (families[i] == AF_INET6 && (ret == -EOPNOTSUPP || ret == -EAFNOSUPPORT))
			ret = 0;
	}
	dumping = false;
	pw_kernel_objects_free();
	if (ret < 0)
		pw_warning("the kernel's routes cannot be read: %s", strerror(-ret));
	else
		while (pw_route_feed_sweep(&feed, &sweep, SIZE_MAX))
			;
	resync_took = now_ms() - begin;
}

static void resync(void *context)
{
	pw_timer_stop(resync_timer);
	resync_timer = NULL;
	pw_kernel_routes_read();
}

void pw_kernel_routes_changed(void)
{
	uint32_t delay = RESYNC_SHARE * resync_took;

	if (running && !resync_timer)
		resync_timer = pw_loop_timer(delay > RESYNC_MS ? delay : RESYNC_MS, resync, NULL);
}

void pw_kernel_routes_enable(bool enable)
{
	enabled = enable;
}

void pw_kernel_routes_start(void)
{
	running = enabled;
	pw_kernel_routes_read();
}

void pw_kernel_routes_stop(void)
{
	running = false;
	if (resync_timer)
		pw_timer_stop(resync_timer);
	resync_timer = NULL;
}
