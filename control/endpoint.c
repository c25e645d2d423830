/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "control/bundle.h"
#include "control/nexthop.h"
#include "control/policy.h"
#include "control/route.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"

LIST_HEAD(remote_list, pw_remote);

#define HASH_SIZE 16384 /* half of the endpoints there can be */

/* What a tunnel link has in the tables, as of when it was last looked at. */
struct end {
	struct remote_list remotes;
	struct pw_endpoint_key match; /* remote zero */
	struct pw_address local;
	uint16_t vrf;
	bool bound;
	uint32_t fixed; /* endpoint of a tunnel with a fixed remote, 0 = none */
};

static struct pw_remote **remotes; /* by id */
static struct end **ends;          /* by link index */
static struct remote_list *by_hash;
static struct remote_list *by_vrf;
static bool *vrf_dirty;
static bool any_dirty;
static bool ways_leak; /* some way leads through more than one table */
static uint64_t generation;

int pw_endpoint_init(void)
{
	remotes = calloc(PW_ENDPOINTS, sizeof(*remotes));
	ends = calloc(PW_INTERFACES, sizeof(*ends));
	by_hash = calloc(HASH_SIZE, sizeof(*by_hash));
	by_vrf = calloc(PW_VRFS, sizeof(*by_vrf));
	vrf_dirty = calloc(PW_VRFS, sizeof(*vrf_dirty));
	if (remotes && ends && by_hash && by_vrf && vrf_dirty)
		return 0;
	pw_endpoint_fini();
	return -ENOMEM;
}

void pw_endpoints_release(void)
{
	for (uint32_t i = 0; remotes && i < PW_ENDPOINTS; i++) {
		if (!remotes[i] || !remotes[i]->way)
			continue;
		pw_path_drop(remotes[i]->way);
		remotes[i]->way = NULL;
	}
	pw_bundles_release();
}

void pw_endpoint_fini(void)
{
	for (uint32_t i = 0; remotes && i < PW_ENDPOINTS; i++)
		free(remotes[i]);
	for (uint32_t i = 0; ends && i < PW_INTERFACES; i++)
		free(ends[i]);
	free(remotes);
	free(ends);
	free(by_hash);
	free(by_vrf);
	free(vrf_dirty);
	remotes = NULL;
	ends = NULL;
	by_hash = by_vrf = NULL;
	vrf_dirty = NULL;
	any_dirty = false;
}

struct pw_address pw_address_unmapped(const struct pw_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct pw_address plain = {.family = AF_INET};

	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
		return *address;
	memcpy(plain.bytes, address->bytes + 12, 4);
	return plain;
}

uint64_t pw_endpoint_generation(void)
{
	return generation;
}

const struct pw_remote *pw_remote_get(uint32_t id)
{
	return id < PW_ENDPOINTS ? remotes[id] : NULL;
}

bool pw_endpoint_up(uint32_t id)
{
	return remotes[id] && remotes[id]->up && !remotes[id]->held_down;
}

/* ---- which remotes to look at again ------------------------------------------------------- */

void pw_endpoint_underlay_changed(uint16_t vrf)
{
	vrf_dirty[vrf] = true;
	any_dirty = true;
}

void pw_endpoint_underlay_changed_all(void)
{
	if (!vrf_dirty)
		return;
	memset(vrf_dirty, true, PW_VRFS * sizeof(*vrf_dirty));
	any_dirty = true;
}

static void remote_refresh(struct pw_remote *remote)
{
	bool was_up = remote->up;

	if (!pw_remote_resolve(remote))
		return;
	if (pw_remote_publish(remote))
		pw_endpoint_underlay_changed(remote->match.vrf); /* try again */
	if (was_up != remote->up)
		pw_nexthop_endpoint_changed(remote->id);
}

int pw_endpoint_protection_changed(uint32_t id)
{
	struct pw_remote *remote = remotes[id];
	int ret;

	if (!remote || remote->orphan)
		return 0;
	remote->refs++; /* publishing may end a grace period, and with it the last user */
	ret = pw_remote_publish(remote);
	pw_endpoint_drop(id);
	return ret;
}

void pw_endpoint_way_leaks(void)
{
	ways_leak = true;
}

bool pw_endpoints_resolve(void)
{
	struct pw_remote *remote, *next;

	if (!any_dirty)
		return false;
	if (ways_leak)
		pw_endpoint_underlay_changed_all();
	any_dirty = false;
	for (unsigned int vrf = 0; vrf < PW_VRFS; vrf++) {
		if (!vrf_dirty[vrf])
			continue;
		vrf_dirty[vrf] = false;
		pw_bundles_underlay_changed((uint16_t)vrf);
		for (remote = LIST_FIRST(&by_vrf[vrf]); remote; remote = next) {
			remote->refs++; /* as in pw_endpoint_protection_changed() */
			remote_refresh(remote);
			next = LIST_NEXT(remote, by_vrf);
			pw_endpoint_drop(remote->id);
		}
	}
	return true;
}

/* ---- remotes ----------------------------------------------------------------------------- */

static struct remote_list *bucket_of(uint32_t tunnel, const struct pw_address *remote)
{
	uint32_t words[4];

	memcpy(words, remote->bytes, sizeof(words));
	return &by_hash[rte_jhash_32b(words, 4, tunnel) % HASH_SIZE];
}

static void remote_free(struct pw_remote *remote)
{
	if (remote->bound)
		pw_endpoint_unbind(&remote->match);
	if (!remote->orphan) {
		LIST_REMOVE(remote, by_tunnel);
		LIST_REMOVE(remote, by_vrf);
		LIST_REMOVE(remote, by_hash);
	}
	pw_protection_endpoint_removed(remote->id);
	if (remote->way)
		pw_path_drop(remote->way);
	remotes[remote->id] = NULL;
	pw_slot_free(&pw_endpoints, remote->id);
	free(remote);
	generation++;
}

static int remote_check(const struct pw_link *tunnel, const struct pw_address *address)
{
	static const uint8_t zero[16];
	const struct pw_address *local = &tunnel->tunnel.local;

	if (!local->family || address->family != local->family)
		return -EAFNOSUPPORT;
	if (memcmp(address->bytes, zero, 16) == 0 || memcmp(address, local, sizeof(*local)) == 0)
		return -EINVAL;
	if (address->family == AF_INET ? address->bytes[0] >= 224 : address->bytes[0] == 0xff)
		return -EINVAL;
	return 0;
}

int pw_endpoint_hold_down(const struct pw_link *tunnel, const struct pw_address *address, bool down)
{
	struct pw_remote *remote;

	LIST_FOREACH (remote, bucket_of(tunnel->index, address), by_hash)
		if (remote->tunnel == tunnel->index &&
		    memcmp(&remote->remote, address, sizeof(*address)) == 0)
			break;
	if (!remote)
		return -ENOENT;
	if (remote->held_down != down) {
		remote->held_down = down;
		pw_nexthop_endpoint_changed(remote->id);
	}
	return 0;
}

int pw_endpoint_take(struct pw_link *tunnel, const struct pw_address *address, uint32_t *id)
{
	struct pw_address plain = pw_address_unmapped(address);
	struct end *end = ends[tunnel->index];
	struct remote_list *bucket = bucket_of(tunnel->index, &plain);
	struct pw_remote *remote;
	int ret;

	LIST_FOREACH (remote, bucket, by_hash) {
		if (remote->tunnel != tunnel->index ||
		    memcmp(&remote->remote, &plain, sizeof(plain)) != 0)
			continue;
		remote->refs++;
		*id = remote->id;
		return 0;
	}
	ret = end ? remote_check(tunnel, &plain) : -EINVAL;
	if (ret)
		return ret;
	remote = calloc(1, sizeof(*remote));
	if (!remote)
		return -ENOMEM;
	ret = pw_slot_alloc(&pw_endpoints, &remote->id);
	if (ret) {
		free(remote);
		return ret;
	}
	remote->refs = 1;
	remote->tunnel = tunnel->index;
	remote->remote = plain;
	remote->match = pw_endpoint_match(&tunnel->tunnel, &plain, end->vrf);
	remotes[remote->id] = remote;
	LIST_INSERT_HEAD(&end->remotes, remote, by_tunnel);
	LIST_INSERT_HEAD(&by_vrf[end->vrf], remote, by_vrf);
	LIST_INSERT_HEAD(bucket, remote, by_hash);
	pw_remote_resolve(remote);
	ret = pw_remote_publish(remote);
	if (!ret)
		ret = pw_endpoint_bind(&remote->match, remote->id);
	remote->bound = !ret;
	if (ret) {
		remote_free(remote);
		return ret;
	}
	pw_protection_endpoint_added(remote->id, &remote->match);
	generation++;
	*id = remote->id;
	return 0;
}

void pw_endpoint_drop(uint32_t id)
{
	struct pw_remote *remote = id < PW_ENDPOINTS ? remotes[id] : NULL;

	if (remote && --remote->refs == 0)
		remote_free(remote);
}

/* The tunnel has other ends, another key or VRF: what its packets are known by follows. */
static void remote_rebind(struct pw_remote *remote, const struct pw_link *tunnel, uint16_t vrf)
{
	struct pw_endpoint_key match = pw_endpoint_match(&tunnel->tunnel, &remote->remote, vrf);
	char text[INET6_ADDRSTRLEN] = "";

	if (remote->bound && memcmp(&match, &remote->match, sizeof(match)) == 0)
		return;
	if (remote->bound)
		pw_endpoint_unbind(&remote->match);
	if (match.vrf != remote->match.vrf) {
		LIST_REMOVE(remote, by_vrf);
		LIST_INSERT_HEAD(&by_vrf[match.vrf], remote, by_vrf);
	}
	remote->match = match;
	pw_protection_endpoint_added(remote->id, &match);
	remote->bound = pw_endpoint_bind(&match, remote->id) == 0;
	generation++;
	if (remote->bound)
		return;
	inet_ntop(remote->remote.family, remote->remote.bytes, text, sizeof(text));
	pw_warning("%s: packets from %s cannot be told from another tunnel's and are refused",
		   tunnel->name, text);
}

/* ---- tunnels ----------------------------------------------------------------------------- */

static void end_unbind(struct end *end)
{
	if (!end->bound)
		return;
	pw_tunnel_end_unbind(&end->match);
	pw_route_tunnel_end(end->vrf, &end->local, false);
	if (end->match.flags & PW_ENDPOINT_MATCH_IP)
		pw_address_ip_changed(end->vrf, &end->local, false);
	pw_address_local_changed(end->vrf, &end->local, false);
	end->bound = false;
}

static int end_bind(struct end *end, const struct pw_link *tunnel)
{
	struct pw_address any = {.family = tunnel->tunnel.local.family};
	int ret;

	end->vrf = pw_tunnel_vrf(&tunnel->tunnel);
	end->local = tunnel->tunnel.local;
	end->match = pw_endpoint_match(&tunnel->tunnel, &any, end->vrf);
	ret = pw_tunnel_end_bind(&end->match);
	if (ret)
		return ret;
	ret = pw_route_tunnel_end(end->vrf, &end->local, true);
	if (ret) {
		pw_tunnel_end_unbind(&end->match);
		return ret;
	}
	pw_address_local_changed(end->vrf, &end->local, true);
	if (end->match.flags & PW_ENDPOINT_MATCH_IP)
		pw_address_ip_changed(end->vrf, &end->local, true);
	end->bound = true;
	return 0;
}

static int end_fix(struct end *end, struct pw_link *tunnel)
{
	uint32_t old = end->fixed;
	int ret = 0;

	end->fixed = 0;
	if (tunnel->tunnel.remote.family)
		ret = pw_endpoint_take(tunnel, &tunnel->tunnel.remote, &end->fixed);
	if (old)
		pw_endpoint_drop(old);
	return ret;
}

int pw_endpoint_tunnel_added(struct pw_link *tunnel)
{
	struct end *end = calloc(1, sizeof(*end));
	int ret;

	if (!end)
		return -ENOMEM;
	LIST_INIT(&end->remotes);
	ret = end_bind(end, tunnel);
	if (ret) {
		free(end);
		return ret;
	}
	ends[tunnel->index] = end;
	ret = end_fix(end, tunnel);
	if (ret)
		pw_endpoint_tunnel_deleted(tunnel);
	return ret;
}

void pw_endpoint_tunnel_changed(struct pw_link *tunnel)
{
	struct end *end = ends[tunnel->index];
	struct pw_endpoint_key match;
	struct pw_remote *remote, *next;
	uint16_t vrf = pw_tunnel_vrf(&tunnel->tunnel);
	struct pw_address any = {.family = tunnel->tunnel.local.family};

	if (!end)
		return;
	match = pw_endpoint_match(&tunnel->tunnel, &any, vrf);
	if (!end->bound || memcmp(&match, &end->match, sizeof(match)) != 0) {
		end_unbind(end);
		if (end_bind(end, tunnel))
			pw_warning("%s: no room for its local address: it does not receive",
				   tunnel->name);
	}
	LIST_FOREACH (remote, &end->remotes, by_tunnel)
		remote_rebind(remote, tunnel, vrf);
	if (end_fix(end, tunnel))
		pw_warning("%s: its remote end cannot be used", tunnel->name);
	for (remote = LIST_FIRST(&end->remotes); remote; remote = next) {
		remote->refs++;
		pw_remote_resolve(remote);
		if (pw_remote_publish(remote))
			pw_endpoint_underlay_changed(vrf);
		pw_nexthop_endpoint_changed(remote->id);
		next = LIST_NEXT(remote, by_tunnel);
		pw_endpoint_drop(remote->id);
	}
	/* Legs through a tunnel whose remote changed want the other endpoint. */
	pw_nexthop_link_changed(tunnel);
}

void pw_endpoint_tunnel_deleted(struct pw_link *tunnel)
{
	struct end *end = ends[tunnel->index];
	struct pw_remote *remote;

	if (!end)
		return;
	ends[tunnel->index] = NULL;
	end_unbind(end);
	if (end->fixed)
		pw_endpoint_drop(end->fixed);
	/* Next hops that wait for their grace period may hold some still. */
	while ((remote = LIST_FIRST(&end->remotes))) {
		LIST_REMOVE(remote, by_tunnel);
		LIST_REMOVE(remote, by_vrf);
		LIST_REMOVE(remote, by_hash);
		if (remote->bound)
			pw_endpoint_unbind(&remote->match);
		remote->bound = false;
		remote->orphan = true;
		remote->up = false;
		pw_protection_endpoint_removed(remote->id);
		pw_nexthop_endpoint_changed(remote->id);
	}
	free(end);
	generation++;
}

void pw_endpoint_nbma_changed(struct pw_link *tunnel, const struct pw_address *address)
{
	struct pw_address remote;
	bool present = pw_neighbour_nbma(tunnel, address, &remote);

	pw_nexthop_nbma_changed(tunnel, address);
	/* A station that is known by its underlay address: a route to it through the tunnel, in the
	 * table that the tunnel's own packets are routed by, would lead them back into the tunnel.
	 */
	if (present && memcmp(&remote, address, sizeof(remote)) == 0 &&
	    pw_link_vrf(tunnel) == pw_tunnel_vrf(&tunnel->tunnel))
		present = false;
	if (pw_route_nbma(tunnel, address, present))
		pw_warning("%s: no room for the route to an NBMA station", tunnel->name);
}

int pw_endpoint_tunnel_check(const struct pw_tunnel *wanted, const struct pw_link *self,
			     const char **why)
{
	uint16_t vrf = pw_tunnel_vrf(wanted);
	struct pw_link *link = NULL;
	struct pw_endpoint_key match;
	const struct pw_remote *taken;

	if (!wanted->local.family) {
		*why = "a tunnel needs a local address";
		return -EINVAL;
	}
	while ((link = pw_link_next(link ? link->index : 0))) {
		const struct pw_tunnel *other = &link->tunnel;

		if (link->kind != PW_LINK_TUNNEL || link == self ||
		    memcmp(&other->local, &wanted->local, sizeof(other->local)) != 0 ||
		    memcmp(&other->remote, &wanted->remote, sizeof(other->remote)) != 0 ||
		    other->mpls_in_ip != wanted->mpls_in_ip ||
		    other->ip_in_ip != wanted->ip_in_ip || other->key_set != wanted->key_set ||
		    (wanted->key_set && other->key != wanted->key) || pw_tunnel_vrf(other) != vrf)
			continue;
		*why = "another tunnel has the same local, remote and key";
		return -EEXIST;
	}
	if (!wanted->remote.family)
		return 0;
	match = pw_endpoint_match(wanted, &wanted->remote, vrf);
	taken = pw_remote_get(pw_endpoint_find(&match));
	if (!taken || (self && taken->tunnel == self->index))
		return 0;
	*why = "a multipoint tunnel with the same local and key already reaches this remote";
	return -EEXIST;
}
