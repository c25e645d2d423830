/* SPDX-License-Identifier: BSD-3-Clause */
/* What Pewter has against what it should have. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/bgp/dataplane_internal.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define RETRY_MS        10000
#define RETIRE_MS       30000 /* neighbours have heard of a VRF's new label by then */
#define REFUSALS_SAID   10    /* in each RETRY_MS */
#define STRAYS_MAX      4096
#define NEVER           UINT64_MAX

struct tunnel {
	char name[IFNAMSIZ];
	uint32_t ifindex, found;
	struct bgp_address local;
	bool has_key;
	uint32_t key;
};

static struct tunnel tunnels[BGP_TUNNELS], before[BGP_TUNNELS];
static unsigned int tunnel_count;
static struct bgp_address configured_next_hop;
static uint32_t metric, label_first, label_last, withdraw_delay;
static uint16_t multipath;
static bool released; /* routes of an earlier life are no longer held */

/* Labels that are to be deleted, and when. */
static struct {
	uint32_t label;
	uint64_t due;
} strays[STRAYS_MAX];
static unsigned int stray_count;

static unsigned int refusals_said;
static uint64_t retry_at = NEVER;

void bgp_sync_configure(const struct bgp_config *config)
{
	struct tunnel old[BGP_TUNNELS];
	unsigned int count = tunnel_count;

	memcpy(old, tunnels, sizeof(old));
	memset(tunnels, 0, sizeof(tunnels));
	tunnel_count = config->tunnel_count;
	for (unsigned int i = 0; i < tunnel_count; i++) {
		memcpy(tunnels[i].name, config->tunnels[i], IFNAMSIZ);
		for (unsigned int k = 0; k < count; k++)
			if (strcmp(old[k].name, tunnels[i].name) == 0)
				tunnels[i] = old[k];
	}
	configured_next_hop = config->next_hop;
	metric = config->metric;
	multipath = config->multipath;
	withdraw_delay = config->withdraw_delay;
	label_first = config->label_first;
	label_last = config->label_last;
}

/* ---- tunnels ----------------------------------------------------------------------------- */

uint32_t bgp_dataplane_tunnel(const struct bgp_attributes *attributes)
{
	for (unsigned int i = 0; i < tunnel_count; i++)
		if (attributes->has_key ? tunnels[i].has_key && tunnels[i].key == attributes->key
					: !tunnels[i].has_key)
			return tunnels[i].ifindex;
	/* A neighbour that says nothing of keys has the only tunnel's. */
	return !attributes->has_key && tunnel_count == 1 ? tunnels[0].ifindex : 0;
}

bool bgp_dataplane_next_hop(struct bgp_address *next_hop)
{
	*next_hop = configured_next_hop.family ? configured_next_hop : tunnels[0].local;
	return next_hop->family != 0;
}

bool bgp_dataplane_key(uint32_t *key)
{
	*key = tunnels[0].key;
	return tunnels[0].has_key;
}

/* ---- reading ----------------------------------------------------------------------------- */

static void set_installed(struct bgp_route *route, struct bgp_hops *hops)
{
	if (!route->installed != !hops)
		route->vrf->installed += hops ? 1 : -1;
	bgp_hops_release(route->installed);
	route->installed = hops;
}

void bgp_sync_begin(void)
{
	struct bgp_route *route;
	struct bgp_vrf *vrf;

	memcpy(before, tunnels, sizeof(before));
	for (unsigned int i = 0; i < tunnel_count; i++)
		tunnels[i].found = 0;
	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		vrf->found_ifindex = vrf->found_table = 0;
		vrf->label_installed = 0;
		TAILQ_FOREACH (route, &vrf->routes, next)
			route->seen = false;
	}
	bgp_locals_unsee();
	bgp_remotes_unsee();
}

void bgp_sync_nexthop(const struct nlmsghdr *nlh)
{
	struct bgp_address address;
	uint32_t oif, id;

	if (bgp_netlink_parse_nexthop(nlh, &address, &oif, &id))
		bgp_remote_see(&address, oif, id, nlh->nlmsg_type == RTM_DELNEXTHOP);
}

void bgp_sync_link(const struct nlmsghdr *nlh)
{
	struct bgp_netlink_link link;
	struct bgp_vrf *vrf;

	if (nlh->nlmsg_type != RTM_NEWLINK || !bgp_netlink_parse_link(nlh, &link))
		return;
	for (unsigned int i = 0; i < tunnel_count; i++) {
		struct tunnel *tunnel = &tunnels[i];

		if (strcmp(tunnel->name, link.name) != 0)
			continue;
		tunnel->found = link.ifindex;
		tunnel->local = link.local;
		tunnel->has_key = link.has_key;
		tunnel->key = link.key;
	}
	vrf = link.table ? bgp_vrf_by_name(link.name) : NULL;
	if (!vrf)
		return;
	vrf->found_ifindex = link.ifindex;
	vrf->found_table = link.table;
}

static void touch_all(bool forget, struct bgp_vrf *vrf)
{
	struct bgp_route *route;

	TAILQ_FOREACH (route, &vrf->routes, next) {
		if (forget)
			set_installed(route, NULL);
		bgp_route_touch(route);
	}
}

static void links_done(void)
{
	bool moved = false;
	struct bgp_vrf *vrf;

	for (unsigned int i = 0; i < tunnel_count; i++) {
		if (!tunnels[i].found)
			pw_warning("tunnel %s is not there yet", tunnels[i].name);
		tunnels[i].ifindex = tunnels[i].found;
		tunnels[i].found = before[i].found;
		moved |= memcmp(&before[i], &tunnels[i], sizeof(before[i])) != 0;
	}
	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		if (!vrf->found_table)
			pw_warning("vrf %s is not there yet", vrf->config.name);
		if (vrf->table != vrf->found_table)
			touch_all(true, vrf);
		else if (moved)
			touch_all(false, vrf);
		if (moved)
			bgp_locals_touch(vrf); /* the next hop may be another one */
		vrf->table = vrf->found_table;
		vrf->ifindex = vrf->found_ifindex;
	}
	bgp_vrfs_index();
}

/* A route of ours that Pewter has. */
static void own_route(struct bgp_vrf *vrf, const struct bgp_netlink_route *seen)
{
	struct bgp_route *route = bgp_route_get(vrf, &seen->prefix, true);
	struct bgp_hop hops[BGP_PATHS_MAX];
	struct bgp_hops *set;
	unsigned int count;

	if (!route)
		return;
	memcpy(hops, seen->hops, seen->hop_count * sizeof(*hops));
	count = bgp_hops_sort(hops, seen->hop_count);
	set = bgp_hops_intern(hops, count);
	if (!set)
		return;
	route->seen = true;
	if (set != route->installed || !route->candidates)
		bgp_route_touch(route);
	if (!route->candidates && !released)
		route->held = true;
	set_installed(route, set);
}

static void own_label(const struct bgp_netlink_route *seen)
{
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		if (vrf->label != seen->label)
			continue;
		if (seen->hop_count == 1 && seen->hops[0].oif == vrf->ifindex)
			vrf->label_installed = vrf->label;
		return;
	}
	for (unsigned int i = 0; i < stray_count; i++)
		if (strays[i].label == seen->label)
			return;
	if (seen->label < label_first || seen->label > label_last || stray_count == STRAYS_MAX)
		return;
	strays[stray_count].label = seen->label;
	strays[stray_count++].due = released ? bgp_now() : NEVER;
}

void bgp_sync_route(const struct nlmsghdr *nlh, bool dumped)
{
	static struct bgp_netlink_route seen;
	struct bgp_vrf *vrf;
	bool present;

	if (!bgp_netlink_parse(nlh, &seen))
		return;
	if (seen.family == AF_MPLS) {
		if (dumped && seen.protocol == RTPROT_BGP)
			own_label(&seen);
		return;
	}
	vrf = bgp_vrf_by_table(seen.table);
	if (!vrf)
		return;
	if (seen.protocol == RTPROT_BGP) {
		/* What happens to them between dumps was done here. */
		if (dumped && seen.metric == metric)
			own_route(vrf, &seen);
		return;
	}
	present = nlh->nlmsg_type == RTM_NEWROUTE && !seen.encapsulated &&
		  (seen.type == RTN_UNICAST || seen.type == RTN_BLACKHOLE ||
		   seen.type == RTN_UNREACHABLE || seen.type == RTN_PROHIBIT);
	bgp_local_update(vrf, &seen.prefix, seen.protocol, seen.metric, present);
}

static void routes_done(void)
{
	struct bgp_route *route;
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		TAILQ_FOREACH (route, &vrf->routes, next)
			if (!route->seen && route->installed) {
				set_installed(route, NULL);
				bgp_route_touch(route);
			}
	bgp_locals_sweep();
}

void bgp_sync_stage_done(enum bgp_sync_stage stage)
{
	if (stage == BGP_SYNC_LINKS)
		links_done();
	else if (stage == BGP_SYNC_NEXTHOPS)
		bgp_remotes_settle();
	else if (stage == BGP_SYNC_MPLS)
		routes_done();
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

void bgp_sync_refused(const struct nlmsghdr *request, int error, const char *text)
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
	set_installed(route, NULL);
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

static bool send_route(const struct bgp_route *route, const struct bgp_hops *hops)
{
	struct pw_api_batch *batch = bgp_dataplane_batch(false);

	for (unsigned int tries = 0; batch && tries < 2; tries++) {
		if (bgp_netlink_put_route(batch, route->vrf->table, metric, &route->prefix, hops)) {
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

/* What the route should be; NULL: nothing. False: out of memory. */
static bool wanted_hops(struct bgp_route *route, struct bgp_hops **wanted)
{
	struct bgp_hop hops[BGP_PATHS_MAX];
	unsigned int count = bgp_route_select(route, hops, multipath);

	*wanted = count ? bgp_hops_intern(hops, count) : NULL;
	return !count || *wanted;
}

/* False: there is no room for now, the route is to be looked at again. */
static bool route_send(struct bgp_route *route)
{
	struct bgp_hops *wanted;

	if (!wanted_hops(route, &wanted))
		return false;
	if (wanted)
		route->held = false;
	if (wanted == route->installed || (!wanted && route->held) ||
	    (wanted && limit_reached(route))) {
		bgp_hops_release(wanted);
		return true;
	}
	if (!wanted) {
		bgp_route_wait(route, bgp_now() + withdraw_delay);
		pw_loop_again(withdraw_delay);
		return true;
	}
	if (!send_route(route, wanted)) {
		bgp_hops_release(wanted);
		return false;
	}
	set_installed(route, wanted);
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
		if (!send_route(route, NULL))
			return false;
		vrf = route->vrf;
		bgp_route_done(route);
		set_installed(route, NULL);
		bgp_route_collect(route);
		if (vrf->limited && retry_at == NEVER) {
			vrf->limited = false;
			retry_at = now + RETRY_MS;
			pw_loop_again(RETRY_MS);
		}
	}
	return true;
}

void bgp_sync_send(void)
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
	if (route->installed && route->vrf->table && bgp_dataplane_ready() &&
	    !send_route(route, NULL))
		pw_warning("vrf %s goes while pewterd is busy: some routes stay behind",
			   route->vrf->config.name);
	bgp_route_done(route);
	set_installed(route, NULL);
	route->held = false;
	bgp_route_collect(route);
}
