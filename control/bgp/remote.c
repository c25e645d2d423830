/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/remote.h"

#include <stdlib.h>
#include <string.h>

#include "control/bgp/dataplane.h"
#include "control/loop.h"

#define LINGER_MS 60000

static struct bgp_hash table;
static TAILQ_HEAD(, bgp_remote) remotes = TAILQ_HEAD_INITIALIZER(remotes);
static bool changed; /* some object may have to be made or deleted */

static uint64_t hash_of(const struct bgp_address *address)
{
	return bgp_hash_bytes(address, sizeof(*address));
}

/* The tunnel that it is reached by now. */
static uint32_t tunnel_of(const struct bgp_remote *remote)
{
	struct bgp_attributes attributes = {.has_key = remote->has_key, .key = remote->key};

	return bgp_dataplane_tunnel(&attributes);
}

static struct bgp_remote *remote_new(const struct bgp_address *address)
{
	struct bgp_remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return NULL;
	remote->address = *address;
	if (bgp_hash_insert(&table, &remote->node, hash_of(address))) {
		free(remote);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&remotes, remote, next);
	changed = true;
	return remote;
}

static void remote_free(struct bgp_remote *remote)
{
	bgp_hash_remove(&table, &remote->node);
	TAILQ_REMOVE(&remotes, remote, next);
	free(remote);
}

static struct bgp_remote *remote_find(const struct bgp_attributes *attributes)
{
	uint32_t oif = bgp_dataplane_tunnel(attributes);
	struct bgp_hash_node *node = bgp_hash_first(&table, hash_of(&attributes->next_hop));

	for (; node; node = bgp_hash_next(node)) {
		struct bgp_remote *remote = bgp_container(node, struct bgp_remote, node);

		if (!bgp_address_equal(&remote->address, &attributes->next_hop))
			continue;
		if (remote->found ? oif && remote->oif == oif
				  : remote->has_key == attributes->has_key &&
					    remote->key == attributes->key)
			return remote;
	}
	return NULL;
}

struct bgp_remote *bgp_remote_hold(const struct bgp_attributes *attributes)
{
	struct bgp_remote *remote = remote_find(attributes);

	if (!remote)
		remote = remote_new(&attributes->next_hop);
	if (!remote)
		return NULL;
	remote->found = false;
	remote->has_key = attributes->has_key;
	remote->key = attributes->key;
	remote->refs++;
	return remote;
}

void bgp_remote_release(struct bgp_remote *remote)
{
	if (!remote || --remote->refs)
		return;
	changed = true;
	remote->linger_until = bgp_now() + LINGER_MS;
	if (!remote->asked)
		remote_free(remote);
}

/* ---- what Pewter has --------------------------------------------------------------------- */

void bgp_remotes_unsee(void)
{
	struct bgp_remote *remote;

	TAILQ_FOREACH (remote, &remotes, next)
		remote->seen = false;
}

void bgp_remotes_settle(void)
{
	struct bgp_remote *remote, *following;

	changed = true;
	for (remote = TAILQ_FIRST(&remotes); remote; remote = following) {
		following = TAILQ_NEXT(remote, next);
		if (remote->seen)
			continue;
		remote->asked = false;
		remote->id = 0;
		if (!remote->refs)
			remote_free(remote);
	}
}

void bgp_remote_see(const struct bgp_address *address, uint32_t oif, uint32_t id, bool went)
{
	struct bgp_hash_node *node = bgp_hash_first(&table, hash_of(address));
	struct bgp_remote *remote = NULL;

	for (; node; node = bgp_hash_next(node)) {
		struct bgp_remote *other = bgp_container(node, struct bgp_remote, node);

		if (bgp_address_equal(&other->address, address) &&
		    (!other->id || other->id == id) &&
		    (other->asked ? other->oif : tunnel_of(other)) == oif) {
			remote = other;
			break;
		}
	}
	if (!remote && !went) {
		remote = remote_new(address);
		if (!remote)
			return;
		remote->found = true;
	}
	if (!remote)
		return;
	changed = true;
	remote->oif = oif;
	remote->id = went ? 0 : id;
	remote->asked = !went;
	remote->seen = true;
	if (went && !remote->refs)
		remote_free(remote);
}

void bgp_remotes_retry(void)
{
	struct bgp_remote *remote;

	changed = true;
	TAILQ_FOREACH (remote, &remotes, next)
		if (!remote->id && remote->refs)
			remote->asked = false;
}

/* ---- what Pewter should have ------------------------------------------------------------- */

/* True when nothing uses it any longer and it has lingered. */
static bool remote_over(const struct bgp_remote *remote, bool sweep)
{
	uint64_t now = bgp_now();

	if (remote->refs || !remote->id)
		return false;
	if (remote->found)
		return sweep;
	if (now >= remote->linger_until)
		return true;
	changed = true;
	pw_loop_again((uint32_t)(remote->linger_until - now));
	return false;
}

/* False: no room. */
static bool remote_send(struct bgp_remote *remote, bgp_remote_fn fn, bool sweep)
{
	uint32_t oif = tunnel_of(remote);

	/* The tunnel was made anew: what stood on the old one went with it. */
	if (remote->refs && !remote->asked && oif) {
		if (!fn(&remote->address, oif, 0))
			return false;
		remote->oif = oif;
		remote->asked = true;
		return true;
	}
	if (!remote_over(remote, sweep))
		return true;
	if (!fn(&remote->address, remote->oif, remote->id))
		return false;
	remote_free(remote);
	return true;
}

bool bgp_remotes_send(bgp_remote_fn fn, bool sweep)
{
	struct bgp_remote *remote, *following;
	static bool swept;

	if (!changed && swept == sweep)
		return true;
	changed = false;
	for (remote = TAILQ_FIRST(&remotes); remote; remote = following) {
		following = TAILQ_NEXT(remote, next);
		if (!remote_send(remote, fn, sweep)) {
			changed = true;
			return false;
		}
	}
	swept = sweep;
	return true;
}
