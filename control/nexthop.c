/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/nexthop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>
#include <rte_common.h>
#include <rte_jhash.h>

#include "control/endpoint.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/vrf.h"
#include "lib/retire.h"

LIST_HEAD(leg_list, pw_leg);

static struct leg_list *by_link;
static struct leg_list *by_neighbour;
static struct leg_list *by_endpoint;

int pw_nexthop_init(void)
{
	by_link = calloc(PW_INTERFACES, sizeof(*by_link));
	by_neighbour = calloc(PW_NEIGHBOURS, sizeof(*by_neighbour));
	by_endpoint = calloc(PW_ENDPOINTS, sizeof(*by_endpoint));
	if (by_link && by_neighbour && by_endpoint && !pw_pairs_init() && !pw_path_table_init())
		return 0;
	pw_nexthop_fini();
	return -ENOMEM;
}

void pw_nexthop_fini(void)
{
	free(by_link);
	free(by_neighbour);
	free(by_endpoint);
	by_link = by_neighbour = by_endpoint = NULL;
	pw_path_table_fini();
	pw_pairs_fini();
}

/* ---- a leg's resources ------------------------------------------------------------------- */

static bool leg_forwards(const struct pw_leg *leg)
{
	return leg->hop.type == RTN_UNICAST && !(leg->hop.flags & PW_HOP_LOOKUP);
}

/* Where a leg through a tunnel ends: the fixed remote, the NBMA entry, or the gateway itself. */
static bool leg_remote(const struct pw_link *tunnel, const struct pw_hop *hop,
		       struct pw_address *remote)
{
	if (tunnel->tunnel.remote.family) {
		*remote = tunnel->tunnel.remote;
		return true;
	}
	if (!hop->gateway.family)
		return false;
	if (!pw_neighbour_nbma(tunnel, &hop->gateway, remote))
		*remote = pw_address_unmapped(&hop->gateway);
	return true;
}

static const char *leg_why(int error)
{
	switch (error) {
	case -ENOSPC:
		return "No room for another next hop, neighbour or endpoint";
	case -ENOMEM:
		return "Out of memory";
	case -EAFNOSUPPORT:
		return "Gateway has no NBMA entry and is no address of the tunnel's underlay";
	case -EEXIST:
		return "Another tunnel already ends at this remote with the same local and key";
	default:
		return "Nexthop has invalid gateway";
	}
}

/* Takes the neighbour or endpoint that the leg now wants, and lets go of what it had. */
static int leg_bind(struct pw_leg *leg)
{
	struct pw_link *link =
		leg_forwards(leg) && !leg->gone ? pw_link_by_index(leg->hop.oif) : NULL;
	uint32_t neighbour = 0, endpoint = 0;
	struct pw_address remote;
	int ret = 0;

	if (link && link->kind == PW_LINK_TUNNEL) {
		if (leg_remote(link, &leg->hop, &remote))
			ret = pw_endpoint_take(link, &remote, &endpoint);
	} else if (link && (link->kind == PW_LINK_PORT || link->kind == PW_LINK_VLAN)) {
		if (leg->hop.gateway.family)
			ret = pw_neighbour_take(link, &leg->hop.gateway, &neighbour);
	} else if (link && link->kind == PW_LINK_VRF) {
		ret = pw_vrf_take(link->table);
		ret = ret < 0 ? ret : 0;
	}
	if (ret)
		neighbour = endpoint = 0;
	if (leg->neighbour) {
		LIST_REMOVE(leg, by_neighbour);
		pw_neighbour_drop(leg->neighbour);
	}
	if (leg->endpoint) {
		LIST_REMOVE(leg, by_endpoint);
		pw_endpoint_drop(leg->endpoint);
	}
	leg->neighbour = neighbour;
	leg->endpoint = endpoint;
	if (neighbour)
		LIST_INSERT_HEAD(&by_neighbour[neighbour], leg, by_neighbour);
	if (endpoint)
		LIST_INSERT_HEAD(&by_endpoint[endpoint], leg, by_endpoint);
	return ret;
}

void pw_leg_reclaim(struct pw_path *path)
{
	struct pw_leg *leg = (struct pw_leg *)path;

	leg->gone = true;
	leg_bind(leg); /* lets go of everything */
	if (leg->hop.oif)
		LIST_REMOVE(leg, by_link);
	pw_slot_free(&pw_nexthops, path->id);
	free(leg);
}

/* ---- what a leg is for workers ----------------------------------------------------------- */

static void fill_labels(const struct pw_leg *leg, const struct pw_link *link,
			struct pw_nexthop *nexthop)
{
	const struct pw_hop *hop = &leg->hop;

	nexthop->label_count = hop->label_count;
	for (unsigned int i = 0; i < hop->label_count; i++)
		nexthop->labels[i] = hop->labels[i] << 12;
	if (!hop->label_count)
		return;
	nexthop->labels[hop->label_count - 1] |= 0x100; /* bottom of stack */
	if (hop->label_ttl)
		nexthop->label_ttl = hop->label_ttl;
	else if (link->kind != PW_LINK_TUNNEL || !link->tunnel.label_ttl)
		nexthop->label_ttl = 255;
	else
		nexthop->label_ttl = link->tunnel.label_ttl;
	if (!hop->label_ttl && link->kind == PW_LINK_TUNNEL && link->tunnel.ttl_uniform)
		nexthop->flags |= PW_NEXTHOP_TTL_UNIFORM;
}

static void fill_unicast(const struct pw_leg *leg, const struct pw_link *link,
			 struct pw_nexthop *nexthop)
{
	nexthop->type = PW_NEXTHOP_UNREACHABLE;
	switch (link->kind) {
	case PW_LINK_LOOPBACK:
		/* What is sent out of "lo" comes back to a router that has no use for it. */
		nexthop->type = PW_NEXTHOP_BLACKHOLE;
		break;
	case PW_LINK_VRF:
		nexthop->type = PW_NEXTHOP_LOOKUP;
		nexthop->vrf = pw_link_vrf(link);
		break;
	case PW_LINK_TUNNEL:
		if (!leg->endpoint)
			break;
		nexthop->type = PW_NEXTHOP_TUNNEL;
		nexthop->endpoint = leg->endpoint;
		break;
	case PW_LINK_IPSEC:
		nexthop->type = PW_NEXTHOP_POLICY;
		nexthop->spd = link->ipsec.spd;
		break;
	case PW_LINK_PORT:
	case PW_LINK_VLAN:
		if (leg->neighbour) {
			nexthop->type = PW_NEXTHOP_NEIGHBOUR;
			nexthop->neighbour = leg->neighbour;
		} else if (!leg->hop.gateway.family) {
			nexthop->type = PW_NEXTHOP_GLEAN;
		}
		break;
	}
	fill_labels(leg, link, nexthop);
}

static enum pw_nexthop_type type_of(uint8_t type)
{
	switch (type) {
	case RTN_LOCAL:
		return PW_NEXTHOP_LOCAL;
	case RTN_BLACKHOLE:
		return PW_NEXTHOP_BLACKHOLE;
	case RTN_PROHIBIT:
		return PW_NEXTHOP_PROHIBIT;
	default:
		return PW_NEXTHOP_UNREACHABLE;
	}
}

static bool leg_usable(const struct pw_leg *leg)
{
	uint8_t state =
		leg->neighbour ? pw_neighbour_get(leg->neighbour)->state : PW_NEIGHBOUR_REACHABLE;

	if (state == PW_NEIGHBOUR_FAILED || state == PW_NEIGHBOUR_NONE)
		return false;
	return !leg->endpoint || pw_endpoint_up(leg->endpoint);
}

int pw_leg_publish(struct pw_path *path)
{
	struct pw_leg *leg = (struct pw_leg *)path;
	const struct pw_link *link = leg->gone ? NULL : pw_link_by_index(leg->hop.oif);
	struct pw_nexthop nexthop = {.interface = leg->hop.oif};
	bool was_usable = leg->path.usable;
	bool dead = false;
	int ret;

	if (!leg_forwards(leg)) {
		nexthop.type =
			leg->hop.type == RTN_UNICAST ? PW_NEXTHOP_LOOKUP : type_of(leg->hop.type);
		nexthop.vrf = PW_VRF_DEFAULT;
		dead = leg->gone;
	} else if (!link || (link->kind != PW_LINK_LOOPBACK && !pw_link_operational(link))) {
		nexthop.type = PW_NEXTHOP_UNREACHABLE;
		dead = true;
	} else {
		fill_unicast(leg, link, &nexthop);
	}
	ret = pw_path_store(&leg->path, &nexthop);
	pw_path_set_state(&leg->path, dead,
			  !dead && nexthop.type != PW_NEXTHOP_UNREACHABLE && leg_usable(leg));
	/* Outer packets may go this way too; a tunnel's never go through another tunnel. */
	if (leg->path.hashed && !leg->endpoint && leg->path.usable != was_usable)
		pw_endpoint_underlay_changed_all();
	return ret;
}

/* ---- taking one -------------------------------------------------------------------------- */

static bool leg_equal(const struct pw_path *path, const void *key)
{
	return path->kind == PW_PATH_LEG &&
	       memcmp(&((const struct pw_leg *)path)->hop, key, sizeof(struct pw_hop)) == 0;
}

static uint32_t hop_hash(const struct pw_hop *hop)
{
	return rte_jhash(hop, sizeof(*hop), 0);
}

#define LEGS_AHEAD 32

void pw_legs_ahead(const struct pw_hop *hops, unsigned int n)
{
	uint32_t values[LEGS_AHEAD];

	for (unsigned int i = 0; i < n && i < LEGS_AHEAD; i++) {
		values[i] = hop_hash(&hops[i]);
		pw_path_hash_ahead(values[i], false);
	}
	for (unsigned int i = 0; i < n && i < LEGS_AHEAD; i++)
		pw_path_hash_ahead(values[i], true);
}

int pw_leg_take(const struct pw_hop *hop, struct pw_path **path, const char **why)
{
	uint32_t value = hop_hash(hop);
	struct pw_leg *leg;
	int ret;

	*path = pw_path_hash_find(value, leg_equal, hop);
	if (*path) {
		pw_path_hold(*path);
		return 0;
	}
	leg = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*leg), RTE_CACHE_LINE_SIZE));
	if (!leg) {
		*why = leg_why(-ENOMEM);
		return -ENOMEM;
	}
	*leg = (struct pw_leg){.hop = *hop};
	ret = pw_path_init(&leg->path, PW_PATH_LEG);
	if (!ret) {
		ret = leg_bind(leg);
		if (!ret)
			ret = pw_leg_publish(&leg->path);
		if (ret) {
			leg->gone = true;
			leg_bind(leg);
			pw_slot_free(&pw_nexthops, leg->path.id);
		}
	}
	if (ret) {
		*why = leg_why(ret);
		free(leg);
		return ret;
	}
	if (hop->oif)
		LIST_INSERT_HEAD(&by_link[hop->oif], leg, by_link);
	pw_path_hash_add(&leg->path, value);
	*path = &leg->path;
	return 0;
}

/* ---- changes below ----------------------------------------------------------------------- */

void pw_nexthop_link_changed(struct pw_link *link)
{
	struct pw_leg *leg;

	LIST_FOREACH (leg, &by_link[link->index], by_link) {
		if (!leg->neighbour || link->kind == PW_LINK_TUNNEL)
			leg_bind(leg);
		pw_path_queue(&leg->path);
	}
	/* No outer packet takes an IPsec interface: what changes there concerns routes only. */
	if (link->kind != PW_LINK_IPSEC)
		pw_endpoint_underlay_changed_all();
}

void pw_nexthop_neighbour_changed(uint32_t neighbour)
{
	bool discarded = pw_neighbour_get(neighbour)->state == PW_NEIGHBOUR_NONE;
	struct pw_leg *leg, *next;

	for (leg = LIST_FIRST(&by_neighbour[neighbour]); leg; leg = next) {
		next = LIST_NEXT(leg, by_neighbour);
		if (discarded && leg->path.refs)
			leg_bind(leg); /* the address may have another entry by now */
		pw_path_queue(&leg->path);
	}
}

void pw_nexthop_endpoint_changed(uint32_t endpoint)
{
	struct pw_leg *leg;

	LIST_FOREACH (leg, &by_endpoint[endpoint], by_endpoint)
		pw_path_queue(&leg->path);
}

void pw_nexthop_nbma_changed(struct pw_link *tunnel, const struct pw_address *gateway)
{
	struct pw_leg *leg;

	LIST_FOREACH (leg, &by_link[tunnel->index], by_link) {
		if (memcmp(&leg->hop.gateway, gateway, sizeof(*gateway)) != 0)
			continue;
		leg_bind(leg);
		pw_path_queue(&leg->path);
	}
}

void pw_nexthop_legs_gone(uint32_t oif)
{
	struct pw_leg *leg;

	LIST_FOREACH (leg, &by_link[oif], by_link) {
		if (leg->gone)
			continue;
		leg->gone = true;
		pw_path_hash_remove(&leg->path); /* the index may be used again */
		pw_leg_publish(&leg->path);
		leg_bind(leg);
		pw_path_affect(&leg->path);
	}
}
