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

struct tunnel {
	char name[IFNAMSIZ];
	uint32_t ifindex, found;
	struct bgp_address local;
	bool has_key;
	uint32_t key;
};

static struct tunnel tunnels[BGP_TUNNELS], before[BGP_TUNNELS];
static unsigned int tunnel_count;
static bool reconfigured; /* routes may leave, or be announced, in another way */
static struct bgp_address configured_next_hop;
static uint32_t metric;

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
	reconfigured |= count != tunnel_count || memcmp(old, tunnels, sizeof(old)) != 0 ||
			!bgp_address_equal(&configured_next_hop, &config->next_hop);
	configured_next_hop = config->next_hop;
	metric = config->metric;
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

void bgp_route_set_installed(struct bgp_route *route, struct bgp_hops *hops)
{
	if (!route->installed != !hops)
		route->vrf->installed += hops ? 1 : -1;
	bgp_hops_release(route->installed);
	route->installed = hops;
}

void bgp_route_set_backup(struct bgp_route *route, struct bgp_hops *hops)
{
	bgp_hops_release(route->backup);
	route->backup = hops;
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
			route->seen = route->backup_seen = false;
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
		if (forget) {
			bgp_route_set_installed(route, NULL);
			bgp_route_set_backup(route, NULL);
		}
		bgp_route_touch(route);
	}
}

static void links_done(void)
{
	bool moved = reconfigured;
	struct bgp_vrf *vrf;

	reconfigured = false;
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
	if (seen->metric != metric) {
		route->backup_seen = true;
		if (set != route->backup || !route->candidates)
			bgp_route_touch(route);
		bgp_route_set_backup(route, set);
		return;
	}
	route->seen = true;
	if (set != route->installed || !route->candidates)
		bgp_route_touch(route);
	if (!route->candidates && !bgp_send_released())
		route->held = true;
	bgp_route_set_installed(route, set);
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
	bgp_send_stray(seen->label);
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
		if (dumped && (seen.metric == metric || seen.metric == metric + 1))
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
		TAILQ_FOREACH (route, &vrf->routes, next) {
			if (!route->seen && route->installed) {
				bgp_route_set_installed(route, NULL);
				bgp_route_touch(route);
			}
			if (!route->backup_seen && route->backup) {
				bgp_route_set_backup(route, NULL);
				bgp_route_touch(route);
			}
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
