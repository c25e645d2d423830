/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/nexthop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>
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

static struct {
	struct pw_path **buckets;
	uint32_t mask;
	uint32_t count;
} hash;

static TAILQ_HEAD(, pw_path) dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct pw_path **affected;
static size_t affected_count, affected_room;
static bool affected_all; /* no memory to note which */

/* ---- what all paths share ---------------------------------------------------------------- */

int pw_nexthop_init(void)
{
	hash.mask = 1023;
	hash.buckets = calloc(hash.mask + 1, sizeof(*hash.buckets));
	by_link = calloc(PW_INTERFACES, sizeof(*by_link));
	by_neighbour = calloc(PW_NEIGHBOURS, sizeof(*by_neighbour));
	by_endpoint = calloc(PW_ENDPOINTS, sizeof(*by_endpoint));
	if (hash.buckets && by_link && by_neighbour && by_endpoint)
		return 0;
	pw_nexthop_fini();
	return -ENOMEM;
}

void pw_nexthop_fini(void)
{
	free(hash.buckets);
	free(by_link);
	free(by_neighbour);
	free(by_endpoint);
	free(affected);
	memset(&hash, 0, sizeof(hash));
	by_link = by_neighbour = by_endpoint = NULL;
	affected = NULL;
	affected_count = affected_room = 0;
	affected_all = false;
	TAILQ_INIT(&dirty);
}

struct pw_path *pw_path_hash_find(uint32_t value,
				  bool (*equal)(const struct pw_path *, const void *),
				  const void *key)
{
	struct pw_path *path = hash.buckets[value & hash.mask];

	while (path && (path->hash != value || !equal(path, key)))
		path = path->hash_next;
	return path;
}

static void hash_grow(void)
{
	uint32_t mask = 2 * hash.mask + 1;
	struct pw_path **buckets = calloc(mask + 1, sizeof(*buckets));

	if (!buckets)
		return; /* longer chains are no harm */
	for (uint32_t i = 0; i <= hash.mask; i++) {
		struct pw_path *path = hash.buckets[i];

		while (path) {
			struct pw_path *next = path->hash_next;

			path->hash_next = buckets[path->hash & mask];
			buckets[path->hash & mask] = path;
			path = next;
		}
	}
	free(hash.buckets);
	hash.buckets = buckets;
	hash.mask = mask;
}

void pw_path_hash_add(struct pw_path *path, uint32_t value)
{
	if (hash.count >= hash.mask)
		hash_grow();
	path->hash = value;
	path->hash_next = hash.buckets[value & hash.mask];
	hash.buckets[value & hash.mask] = path;
	path->hashed = true;
	hash.count++;
}

void pw_path_hash_remove(struct pw_path *path)
{
	struct pw_path **at = &hash.buckets[path->hash & hash.mask];

	if (!path->hashed)
		return;
	while (*at != path)
		at = &(*at)->hash_next;
	*at = path->hash_next;
	path->hashed = false;
	hash.count--;
}

int pw_path_init(struct pw_path *path, enum pw_path_kind kind)
{
	path->kind = kind;
	path->refs = 1;
	LIST_INIT(&path->users);
	return pw_slot_alloc(&pw_nexthops, &path->id);
}

int pw_path_store(struct pw_path *path, struct pw_nexthop *nexthop)
{
	const struct pw_nexthop *old = pw_nexthop_get(path->id);
	int ret;

	nexthop->id = path->id;
	if (old->id && memcmp(old, nexthop, sizeof(*old)) == 0)
		return 0;
	ret = pw_slot_set(&pw_nexthops, path->id, nexthop);
	if (!ret)
		pw_path_users_queue(path);
	return ret;
}

void pw_path_queue(struct pw_path *path)
{
	if (path->queued)
		return;
	path->queued = true;
	TAILQ_INSERT_TAIL(&dirty, path, dirty);
}

void pw_path_users_queue(struct pw_path *path)
{
	struct pw_member *user;

	LIST_FOREACH (user, &path->users, by_child)
		pw_path_queue(user->parent);
}

void pw_path_affect(struct pw_path *path)
{
	struct pw_member *user;

	LIST_FOREACH (user, &path->users, by_child)
		pw_path_affect(user->parent);
	if (!path->routes || path->affected)
		return;
	if (affected_count == affected_room) {
		size_t room = affected_room ? 2 * affected_room : 64;
		void *paths = realloc(affected, room * sizeof(*affected));

		if (!paths) {
			affected_all = true;
			return;
		}
		affected = paths;
		affected_room = room;
	}
	pw_path_hold(path);
	path->affected = true;
	affected[affected_count++] = path;
}

bool pw_paths_affected(void)
{
	return affected_all || affected_count;
}

bool pw_path_affected(const struct pw_path *path)
{
	return affected_all || path->affected;
}

void pw_paths_settled(void)
{
	affected_all = false;
	while (affected_count) {
		struct pw_path *path = affected[--affected_count];

		path->affected = false;
		pw_path_drop(path);
	}
}

void pw_path_set_state(struct pw_path *path, bool dead, bool usable)
{
	bool was_dead = path->dead;

	if (path->dead == dead && path->usable == usable)
		return;
	path->dead = dead;
	path->usable = usable;
	pw_path_users_queue(path);
	if (was_dead != dead)
		pw_path_affect(path);
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

static void leg_reclaim(void *context, uint64_t argument)
{
	struct pw_leg *leg = context;

	(void)argument;
	leg->gone = true;
	leg_bind(leg); /* lets go of everything */
	if (leg->hop.oif)
		LIST_REMOVE(leg, by_link);
	pw_slot_free(&pw_nexthops, leg->path.id);
	free(leg);
}

static void path_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	pw_group_reclaim(context);
}

void pw_path_hold(struct pw_path *path)
{
	path->refs++;
}

void pw_path_drop(struct pw_path *path)
{
	if (--path->refs)
		return;
	pw_path_hash_remove(path);
	if (path->queued)
		TAILQ_REMOVE(&dirty, path, dirty);
	path->queued = true; /* never again */
	pw_retire(path->kind == PW_PATH_LEG ? leg_reclaim : path_reclaim, path, 0);
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

static int leg_publish(struct pw_leg *leg)
{
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
	leg = calloc(1, sizeof(*leg));
	if (!leg) {
		*why = leg_why(-ENOMEM);
		return -ENOMEM;
	}
	leg->hop = *hop;
	ret = pw_path_init(&leg->path, PW_PATH_LEG);
	if (!ret) {
		ret = leg_bind(leg);
		if (!ret)
			ret = leg_publish(leg);
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

bool pw_paths_publish(void)
{
	struct pw_path *path;
	bool any = false;

	while ((path = TAILQ_FIRST(&dirty))) {
		TAILQ_REMOVE(&dirty, path, dirty);
		path->queued = false;
		any = true;
		/* -ENOSPC means that everything waits for a grace period: what is published
		 * stays, and the next change below tries again. */
		if (path->kind == PW_PATH_LEG)
			leg_publish((struct pw_leg *)path);
		else
			pw_group_publish(path);
	}
	return any;
}

void pw_nexthop_link_changed(struct pw_link *link)
{
	struct pw_leg *leg;

	LIST_FOREACH (leg, &by_link[link->index], by_link) {
		if (!leg->neighbour || link->kind == PW_LINK_TUNNEL)
			leg_bind(leg);
		pw_path_queue(&leg->path);
	}
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
		leg_publish(leg);
		leg_bind(leg);
		pw_path_affect(&leg->path);
	}
}
