/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/rib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bgp/peer.h"
#include "control/bgp/vrf.h"

static struct bgp_hash paths, routes;
static struct bgp_route_list dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct bgp_route_list waiting = TAILQ_HEAD_INITIALIZER(waiting);

/* ---- routes of VRFs ---------------------------------------------------------------------- */

struct route_key {
	struct bgp_vrf *vrf;
	struct bgp_prefix prefix;
};

static uint64_t route_hash(struct bgp_vrf *vrf, const struct bgp_prefix *prefix)
{
	struct route_key key;

	memset(&key, 0, sizeof(key));
	key.vrf = vrf;
	key.prefix = *prefix;
	return bgp_hash_bytes(&key, sizeof(key));
}

struct bgp_route *bgp_route_get(struct bgp_vrf *vrf, const struct bgp_prefix *prefix, bool create)
{
	uint64_t hash = route_hash(vrf, prefix);
	struct bgp_hash_node *node = bgp_hash_first(&routes, hash);
	struct bgp_route *route;

	for (; node; node = bgp_hash_next(node)) {
		route = bgp_container(node, struct bgp_route, node);
		if (route->vrf == vrf && memcmp(&route->prefix, prefix, sizeof(*prefix)) == 0)
			return route;
	}
	route = create ? calloc(1, sizeof(*route)) : NULL;
	if (!route)
		return NULL;
	route->vrf = vrf;
	route->prefix = *prefix;
	if (bgp_hash_insert(&routes, &route->node, hash)) {
		free(route);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&vrf->routes, route, next);
	vrf->route_count++;
	return route;
}

static void unlink_pending(struct bgp_route *route)
{
	if (route->state == BGP_ROUTE_DIRTY)
		TAILQ_REMOVE(&dirty, route, pending);
	else if (route->state == BGP_ROUTE_WAITING)
		TAILQ_REMOVE(&waiting, route, pending);
	route->state = BGP_ROUTE_CLEAN;
}

void bgp_route_touch(struct bgp_route *route)
{
	if (route->state == BGP_ROUTE_DIRTY)
		return;
	unlink_pending(route);
	route->state = BGP_ROUTE_DIRTY;
	TAILQ_INSERT_TAIL(&dirty, route, pending);
}

void bgp_route_wait(struct bgp_route *route, uint64_t delete_at)
{
	unlink_pending(route);
	route->state = BGP_ROUTE_WAITING;
	route->delete_at = delete_at;
	TAILQ_INSERT_TAIL(&waiting, route, pending);
}

void bgp_route_done(struct bgp_route *route)
{
	unlink_pending(route);
}

struct bgp_route *bgp_route_next_dirty(void)
{
	struct bgp_route *route = TAILQ_FIRST(&dirty);

	if (route)
		unlink_pending(route);
	return route;
}

struct bgp_route *bgp_route_first_waiting(void)
{
	return TAILQ_FIRST(&waiting);
}

void bgp_route_collect(struct bgp_route *route)
{
	if (route->state != BGP_ROUTE_CLEAN || route->candidates || route->installed ||
	    route->backup || route->held)
		return;
	bgp_hash_remove(&routes, &route->node);
	TAILQ_REMOVE(&route->vrf->routes, route, next);
	route->vrf->route_count--;
	free(route);
}

/* ---- candidates -------------------------------------------------------------------------- */

static void candidate_remove(struct bgp_candidate *candidate)
{
	struct bgp_candidate **at = &candidate->route->candidates;

	while (*at != candidate)
		at = &(*at)->next_of_route;
	*at = candidate->next_of_route;
	bgp_route_touch(candidate->route);
	free(candidate);
}

static void candidates_remove(struct bgp_path *path)
{
	struct bgp_candidate *candidate;

	while ((candidate = path->candidates)) {
		path->candidates = candidate->next_of_path;
		candidate_remove(candidate);
	}
}

static int candidate_add(struct bgp_path *path, struct bgp_vrf *vrf)
{
	struct bgp_candidate *candidate = malloc(sizeof(*candidate));
	struct bgp_route *route = candidate ? bgp_route_get(vrf, &path->prefix, true) : NULL;

	if (!route) {
		free(candidate);
		return -ENOMEM;
	}
	*candidate = (struct bgp_candidate){
		.next_of_path = path->candidates,
		.next_of_route = route->candidates,
		.path = path,
		.route = route,
	};
	path->candidates = candidate;
	route->candidates = candidate;
	bgp_route_touch(route);
	return 0;
}

/* The path is what it was as far as the choice of VRFs goes. */
static bool candidates_fit(const struct bgp_path *path, struct bgp_vrf **vrfs, unsigned int count)
{
	const struct bgp_candidate *candidate = path->candidates;

	/* Each is put in front of the one before. */
	while (candidate && count && candidate->route->vrf == vrfs[count - 1]) {
		candidate = candidate->next_of_path;
		count--;
	}
	return !candidate && !count;
}

/* Puts the path into the VRFs that import it. */
static int path_import(struct bgp_path *path)
{
	struct bgp_vrf **vrfs;
	unsigned int count = bgp_attributes_vrfs(path->attributes, &vrfs);
	int ret = 0;

	if (candidates_fit(path, vrfs, count)) {
		for (struct bgp_candidate *candidate = path->candidates; candidate;
		     candidate = candidate->next_of_path)
			bgp_route_touch(candidate->route);
		return 0;
	}
	candidates_remove(path);
	for (unsigned int i = 0; i < count && !ret; i++)
		ret = candidate_add(path, vrfs[i]);
	return ret;
}

/* ---- paths ------------------------------------------------------------------------------- */

struct path_key {
	struct bgp_peer *peer;
	uint64_t rd;
	uint32_t path_id;
	struct bgp_prefix prefix;
};

static uint64_t path_hash(struct bgp_peer *peer, const struct bgp_nlri *nlri)
{
	struct path_key key;

	memset(&key, 0, sizeof(key));
	key.peer = peer;
	key.rd = nlri->rd;
	key.path_id = nlri->path_id;
	key.prefix = nlri->prefix;
	return bgp_hash_bytes(&key, sizeof(key));
}

static struct bgp_path *path_find(struct bgp_peer *peer, const struct bgp_nlri *nlri, uint64_t hash)
{
	struct bgp_hash_node *node = bgp_hash_first(&paths, hash);

	for (; node; node = bgp_hash_next(node)) {
		struct bgp_path *path = bgp_container(node, struct bgp_path, node);

		if (path->peer == peer && path->rd == nlri->rd && path->path_id == nlri->path_id &&
		    memcmp(&path->prefix, &nlri->prefix, sizeof(path->prefix)) == 0)
			return path;
	}
	return NULL;
}

static void path_free(struct bgp_path *path)
{
	struct bgp_peer *peer = path->peer;

	candidates_remove(path);
	bgp_hash_remove(&paths, &path->node);
	TAILQ_REMOVE(&peer->paths[path->prefix.family], path, next);
	peer->path_count--;
	if (path->stale)
		peer->stale_count--;
	bgp_attributes_drop(path->attributes);
	free(path);
}

static struct bgp_path *path_new(struct bgp_peer *peer, const struct bgp_nlri *nlri, uint64_t hash)
{
	struct bgp_path *path = calloc(1, sizeof(*path));

	if (!path)
		return NULL;
	path->peer = peer;
	path->rd = nlri->rd;
	path->path_id = nlri->path_id;
	path->prefix = nlri->prefix;
	if (bgp_hash_insert(&paths, &path->node, hash)) {
		free(path);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&peer->paths[nlri->prefix.family], path, next);
	peer->path_count++;
	return path;
}

int bgp_path_announce(struct bgp_peer *peer, const struct bgp_nlri *nlri,
		      struct bgp_interned *interned)
{
	uint64_t hash = path_hash(peer, nlri);
	struct bgp_path *path = path_find(peer, nlri, hash);
	struct bgp_vrf **vrfs;
	int ret;

	if (!bgp_attributes_vrfs(interned, &vrfs)) {
		if (path)
			path_free(path);
		return 0;
	}
	if (!path) {
		if (peer->config.max_prefixes && peer->path_count >= peer->config.max_prefixes)
			return -ENOSPC;
		path = path_new(peer, nlri, hash);
		if (!path)
			return -ENOMEM;
	}
	if (path->stale) {
		path->stale = false;
		peer->stale_count--;
	}
	if (path->attributes == interned && path->label == nlri->label && path->candidates)
		return 0;
	bgp_attributes_hold(interned);
	bgp_attributes_drop(path->attributes);
	path->attributes = interned;
	path->label = nlri->label;
	ret = path_import(path);
	if (ret)
		path_free(path);
	return ret;
}

void bgp_path_withdraw(struct bgp_peer *peer, const struct bgp_nlri *nlri)
{
	struct bgp_path *path = path_find(peer, nlri, path_hash(peer, nlri));

	if (path)
		path_free(path);
}

void bgp_paths_stale(struct bgp_peer *peer)
{
	struct bgp_path *path;

	for (int family = 0; family < BGP_FAMILIES; family++)
		TAILQ_FOREACH (path, &peer->paths[family], next) {
			if (!path->stale)
				peer->stale_count++;
			path->stale = true;
		}
}

size_t bgp_paths_sweep(struct bgp_peer *peer, enum bgp_family family)
{
	struct bgp_path *path, *following;
	size_t swept = 0;

	for (path = TAILQ_FIRST(&peer->paths[family]); path; path = following) {
		following = TAILQ_NEXT(path, next);
		if (path->stale) {
			path_free(path);
			swept++;
		}
	}
	return swept;
}

void bgp_paths_drop(struct bgp_peer *peer)
{
	struct bgp_path *path;

	for (int family = 0; family < BGP_FAMILIES; family++)
		while ((path = TAILQ_FIRST(&peer->paths[family])))
			path_free(path);
}

void bgp_rib_reimport(void)
{
	struct bgp_path *path, *following;
	struct bgp_vrf **vrfs;
	struct bgp_peer *peer;

	TAILQ_FOREACH (peer, &bgp_peers, next)
		for (int family = 0; family < BGP_FAMILIES; family++)
			for (path = TAILQ_FIRST(&peer->paths[family]); path; path = following) {
				following = TAILQ_NEXT(path, next);
				if (!bgp_attributes_vrfs(path->attributes, &vrfs) ||
				    path_import(path))
					path_free(path);
			}
}
