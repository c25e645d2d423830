/* SPDX-License-Identifier: BSD-3-Clause */
/* What Pewter is given: labels, remote PEs, routes. */
#include <errno.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/bgp/dataplane_internal.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define RETRY_MS      10000
#define RETIRE_MS     30000 /* neighbours have heard of a VRF's new label by then */
#define REFUSALS_SAID 10    /* in each RETRY_MS */
#define STRAYS_MAX    4096
#define NEVER         UINT64_MAX

static uint32_t metric, label_first, label_last, withdraw_delay;
static uint16_t multipath;
static bool backups;
static bool released; /* routes of an earlier life are no longer held */

/* Labels that are to be deleted, and when. */
static struct {
	uint32_t label;
	uint64_t due;
} strays[STRAYS_MAX];
static unsigned int stray_count;

static unsigned int refusals_said;
static uint64_t retry_at = NEVER;

void bgp_send_configure(const struct bgp_config *config)
{
	metric = config->metric;
	multipath = config->multipath;
	backups = config->backup;
	withdraw_delay = config->withdraw_delay;
	label_first = config->label_first;
	label_last = config->label_last;
}

bool bgp_send_released(void)
{
	return released;
}

void bgp_send_stray(uint32_t label)
{
	for (unsigned int i = 0; i < stray_count; i++)
		if (strays[i].label == label)
			return;
	if (label < label_first || label > label_last || stray_count == STRAYS_MAX)
		return;
	strays[stray_count].label = label;
	strays[stray_count++].due = released ? bgp_now() : NEVER;
}

void bgp_dataplane_release(void)
{
	struct bgp_route *route;
	struct bgp_vrf *vrf;
	size_t count = 0;

	if (released)
		return;
	released = true;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		TAILQ_FOREACH (route, &vrf->routes, next)
			if (route->held) {
				route->held = false;
				bgp_route_touch(route);
				count++;
			}
	for (unsigned int i = 0; i < stray_count; i++)
		if (strays[i].due == NEVER)
			strays[i].due = bgp_now();
	if (count)
		pw_info("deleting %zu routes of before the restart that nobody sent again", count);
}

/* ---- refusals ---------------------------------------------------------------------------- */

void bgp_send_refused(const struct nlmsghdr *request, int error, const char *text)
{
	static struct bgp_netlink_route refused;
	char prefix[BGP_PREFIX_TEXT];
	struct bgp_route *route;
	struct bgp_vrf *vrf;

	if ((request->nlmsg_type == RTM_DELROUTE && error == -ESRCH) ||
	    (request->nlmsg_type == RTM_DELNEXTHOP && error == -ENOENT))
		return; /* gone already */
	bgp_dataplane_counters()->refused++;
	if (retry_at == NEVER) {
		retry_at = bgp_now() + RETRY_MS;
		pw_loop_again(RETRY_MS);
	}
	if (request->nlmsg_type == RTM_NEWNEXTHOP || request->nlmsg_type == RTM_DELNEXTHOP) {
		pw_error("next hop: %s", text ? text : strerror(-error));
		return;
	}
	if (!bgp_netlink_parse(request, &refused)) {
		pw_error("pewterd: %s", text ? text : strerror(-error));
		return;
	}
	if (refusals_said++ < REFUSALS_SAID) {
		if (refused.family == AF_MPLS)
			pw_error("label %u: %s", refused.label, text ? text : strerror(-error));
		else
			pw_error("route %s of table %u: %s",
				 bgp_prefix_text(&refused.prefix, prefix), refused.table,
				 text ? text : strerror(-error));
	}
	if (refused.family == AF_MPLS) {
		TAILQ_FOREACH (vrf, &bgp_vrfs, next)
			if (vrf->label == refused.label)
				vrf->label_refused = true;
		return;
	}
	vrf = bgp_vrf_by_table(refused.table);
	route = vrf ? bgp_route_get(vrf, &refused.prefix, false) : NULL;
	if (!route)
		return;
	if (refused.metric == metric)
		bgp_route_set_installed(route, NULL);
	else
		bgp_route_set_backup(route, NULL);
	route->refused = true;
	bgp_route_collect(route);
}

static void retry(void)
{
	struct bgp_route *route;
	struct bgp_vrf *vrf;

	if (retry_at > bgp_now())
		return;
	retry_at = NEVER;
	if (refusals_said > REFUSALS_SAID)
		pw_error("%u more messages were refused", refusals_said - REFUSALS_SAID);
	refusals_said = 0;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		if (vrf->label_refused)
			vrf->label_installed = 0;
		vrf->label_refused = false;
		TAILQ_FOREACH (route, &vrf->routes, next)
			if (route->refused) {
				route->refused = false;
				bgp_route_touch(route);
			}
	}
	bgp_remotes_retry();
}

/* ---- sending ----------------------------------------------------------------------------- */

static bool send_route(const struct bgp_route *route, uint32_t priority,
		       const struct bgp_hops *hops)
{
	struct pw_api_batch *batch = bgp_dataplane_batch(false);

	for (unsigned int tries = 0; batch && tries < 2; tries++) {
		if (bgp_netlink_put_route(batch, route->vrf->table, priority, &route->prefix,
					  hops)) {
			if (hops)
				bgp_dataplane_counters()->added++;
			else
				bgp_dataplane_counters()->deleted++;
			return true;
		}
		batch = bgp_dataplane_batch(true);
	}
	return false;
}

static bool send_label(uint32_t label, uint32_t ifindex)
{
	struct pw_api_batch *batch = bgp_dataplane_batch(false);

	for (unsigned int tries = 0; batch && tries < 2; tries++) {
		if (bgp_netlink_put_label(batch, label, ifindex))
			return true;
		batch = bgp_dataplane_batch(true);
	}
	return false;
}

static bool send_nexthop(const struct bgp_address *address, uint32_t oif, uint32_t id)
{
	struct pw_api_batch *batch = bgp_dataplane_batch(false);

	for (unsigned int tries = 0; batch && tries < 2; tries++) {
		if (bgp_netlink_put_nexthop(batch, address, oif, id))
			return true;
		batch = bgp_dataplane_batch(true);
	}
	return false;
}

static void forget_stray(uint32_t label)
{
	for (unsigned int i = 0; i < stray_count; i++)
		if (strays[i].label == label)
			strays[i--] = strays[--stray_count];
}

void bgp_dataplane_retire_label(struct bgp_vrf *vrf)
{
	if (!vrf->label_installed || stray_count == STRAYS_MAX)
		return;
	strays[stray_count].label = vrf->label_installed;
	strays[stray_count++].due = bgp_now() + RETIRE_MS;
	vrf->label_installed = 0;
	pw_loop_again(RETIRE_MS);
}

static bool send_labels(void)
{
	uint64_t now = bgp_now();
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		if (!vrf->label || !vrf->ifindex || vrf->label_installed == vrf->label ||
		    vrf->label_refused)
			continue;
		if (!send_label(vrf->label, vrf->ifindex))
			return false;
		forget_stray(vrf->label);
		vrf->label_installed = vrf->label;
		bgp_locals_touch(vrf);
	}
	for (unsigned int i = 0; i < stray_count; i++) {
		if (strays[i].due > now) {
			if (strays[i].due != NEVER)
				pw_loop_again((uint32_t)(strays[i].due - now));
			continue;
		}
		if (!send_label(strays[i].label, 0))
			return false;
		strays[i--] = strays[--stray_count];
	}
	return true;
}

/* A VRF that is full keeps what it has. */
static bool limit_reached(struct bgp_route *route)
{
	struct bgp_vrf *vrf = route->vrf;

	if (route->installed || !vrf->config.max_prefixes ||
	    vrf->installed < vrf->config.max_prefixes)
		return false;
	if (!vrf->limited)
		pw_warning("vrf %s has its %u routes (max-prefixes): further ones are left out",
			   vrf->config.name, vrf->config.max_prefixes);
	vrf->limited = true;
	route->refused = true; /* looked at again when there is room */
	return true;
}

/* What the route should be, and its backup; NULL: nothing. False: out of memory. */
static bool wanted_hops(struct bgp_route *route, struct bgp_hops **wanted, struct bgp_hops **backup)
{
	struct bgp_hop hops[BGP_PATHS_MAX], others[BGP_PATHS_MAX];
	unsigned int count = bgp_route_select(route, hops, multipath), other_count = 0;

	if (backups && count)
		other_count = bgp_route_select_backup(route, hops, count, others, multipath);
	*wanted = count ? bgp_hops_intern(hops, count) : NULL;
	*backup = other_count ? bgp_hops_intern(others, other_count) : NULL;
	if ((!count || *wanted) && (!other_count || *backup))
		return true;
	bgp_hops_release(*wanted);
	bgp_hops_release(*backup);
	return false;
}

/* Takes over both references. False: no room for the messages now. */
static bool hops_send(struct bgp_route *route, struct bgp_hops *wanted, struct bgp_hops *backup)
{
	if (wanted != route->installed && !send_route(route, metric, wanted)) {
		bgp_hops_release(wanted);
		bgp_hops_release(backup);
		return false;
	}
	bgp_route_set_installed(route, wanted);
	if (backup != route->backup && !send_route(route, metric + 1, backup)) {
		bgp_hops_release(backup);
		return false;
	}
	bgp_route_set_backup(route, backup);
	return true;
}

/* False: there is no room for now, the route is to be looked at again. */
static bool route_send(struct bgp_route *route)
{
	struct bgp_hops *wanted, *backup;

	if (!wanted_hops(route, &wanted, &backup))
		return false;
	if (wanted)
		route->held = false;
	if (wanted && limit_reached(route)) {
		bgp_hops_release(wanted);
		bgp_hops_release(backup);
		return true;
	}
	if (wanted)
		return hops_send(route, wanted, backup);
	if (!route->held && (route->installed || route->backup)) {
		bgp_route_wait(route, bgp_now() + withdraw_delay);
		pw_loop_again(withdraw_delay);
	}
	return true;
}

/* The backup goes first, so that packets do not take it for a moment. */
static bool send_deletion(struct bgp_route *route)
{
	if (route->backup && !send_route(route, metric + 1, NULL))
		return false;
	bgp_route_set_backup(route, NULL);
	if (route->installed && !send_route(route, metric, NULL))
		return false;
	bgp_route_set_installed(route, NULL);
	return true;
}

static bool send_deletions(void)
{
	struct bgp_route *route;
	uint64_t now = bgp_now();
	struct bgp_vrf *vrf;

	while ((route = bgp_route_first_waiting())) {
		if (route->delete_at > now) {
			pw_loop_again((uint32_t)(route->delete_at - now));
			break;
		}
		if (!send_deletion(route))
			return false;
		vrf = route->vrf;
		bgp_route_done(route);
		bgp_route_collect(route);
		if (vrf->limited && retry_at == NEVER) {
			vrf->limited = false;
			retry_at = now + RETRY_MS;
			pw_loop_again(RETRY_MS);
		}
	}
	return true;
}

void bgp_send_all(void)
{
	struct bgp_route *route;

	retry();
	/* First who may use labels, then the labels. */
	if (!bgp_remotes_send(send_nexthop, released) || !send_labels())
		return;
	while ((route = bgp_route_next_dirty())) {
		/* A VRF that Pewter does not have takes no routes; they wait for it. */
		if (!route->vrf->table) {
			bgp_route_collect(route);
			continue;
		}
		if (!route_send(route)) {
			bgp_route_touch(route);
			return;
		}
		bgp_route_collect(route);
	}
	send_deletions();
}

void bgp_dataplane_remove(struct bgp_route *route)
{
	if (route->vrf->table && bgp_dataplane_ready() && !send_deletion(route))
		pw_warning("vrf %s goes while pewterd is busy: some routes stay behind",
			   route->vrf->config.name);
	bgp_route_done(route);
	bgp_route_set_installed(route, NULL);
	bgp_route_set_backup(route, NULL);
	route->held = false;
	bgp_route_collect(route);
}
