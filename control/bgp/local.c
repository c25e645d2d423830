/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/local.h"

#include <stdlib.h>
#include <string.h>

#include "control/bgp/dataplane.h"
#include "control/bgp/peer.h"
#include "control/bgp/vrf.h"
#include "lib/log.h"

static struct bgp_hash locals;

struct local_key {
	struct bgp_vrf *vrf;
	struct bgp_prefix prefix;
};

static struct bgp_local *local_get(struct bgp_vrf *vrf, const struct bgp_prefix *prefix,
				   bool create)
{
	struct local_key key;
	struct bgp_hash_node *node;
	struct bgp_local *local;
	uint64_t hash;

	memset(&key, 0, sizeof(key));
	key.vrf = vrf;
	key.prefix = *prefix;
	hash = bgp_hash_bytes(&key, sizeof(key));
	for (node = bgp_hash_first(&locals, hash); node; node = bgp_hash_next(node)) {
		local = bgp_container(node, struct bgp_local, node);
		if (local->vrf == vrf && memcmp(&local->prefix, prefix, sizeof(*prefix)) == 0)
			return local;
	}
	local = create ? calloc(1, sizeof(*local)) : NULL;
	if (!local)
		return NULL;
	local->vrf = vrf;
	local->prefix = *prefix;
	if (bgp_hash_insert(&locals, &local->node, hash)) {
		free(local);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&vrf->locals, local, next);
	vrf->local_count++;
	return local;
}

static void local_free(struct bgp_local *local)
{
	struct bgp_local_source *source;

	while ((source = local->sources)) {
		local->sources = source->next;
		free(source);
	}
	if (local->pending)
		TAILQ_REMOVE(&local->vrf->pending, local, next_pending);
	TAILQ_REMOVE(&local->vrf->locals, local, next);
	local->vrf->local_count--;
	bgp_hash_remove(&locals, &local->node);
	free(local);
}

/* Nobody has it and nobody is to be told. */
static void local_collect(struct bgp_local *local)
{
	if (!local->sources && !local->pending && !local->advertised)
		local_free(local);
}

static bool local_wanted(const struct bgp_local *local)
{
	for (const struct bgp_local_source *source = local->sources; source; source = source->next)
		if (bgp_config_redistributes(&local->vrf->config, source->protocol))
			return true;
	return false;
}

static void local_pend(struct bgp_local *local, uint32_t peers)
{
	if (!local_wanted(local))
		peers &= local->advertised;
	if (!peers)
		return;
	if (!local->pending)
		TAILQ_INSERT_TAIL(&local->vrf->pending, local, next_pending);
	local->pending |= peers;
}

static void local_settle(struct bgp_local *local, uint32_t peers)
{
	if (!(local->pending & peers))
		return;
	local->pending &= ~peers;
	if (!local->pending)
		TAILQ_REMOVE(&local->vrf->pending, local, next_pending);
}

/* ---- from Pewter ------------------------------------------------------------------------- */

/* Link-local and multicast prefixes are nobody else's business. */
static bool exportable(const struct bgp_prefix *prefix)
{
	if (prefix->family == BGP_VPNV4)
		return !prefix->length || (prefix->bytes[0] < 224 && prefix->bytes[0] != 127 &&
					   bgp_get16(prefix->bytes) != 0xa9fe);
	return !prefix->length ||
	       (prefix->bytes[0] != 0xff && (bgp_get16(prefix->bytes) & 0xffc0) != 0xfe80);
}

static struct bgp_local_source **source_find(struct bgp_local *local, uint32_t metric)
{
	struct bgp_local_source **at = &local->sources;

	while (*at && (*at)->metric != metric)
		at = &(*at)->next;
	return at;
}

void bgp_local_update(struct bgp_vrf *vrf, const struct bgp_prefix *prefix, uint8_t protocol,
		      uint32_t metric, bool present)
{
	struct bgp_local *local = local_get(vrf, prefix, present && exportable(prefix));
	struct bgp_local_source **at, *source;
	bool before;

	if (!local)
		return;
	before = local_wanted(local);
	at = source_find(local, metric);
	source = *at;
	if (present && !source)
		source = *at = calloc(1, sizeof(*source));
	if (!present && source) {
		*at = source->next;
		free(source);
	} else if (source) {
		source->metric = metric;
		source->protocol = protocol;
		source->seen = true;
	}
	if (local_wanted(local) != before)
		local_pend(local, bgp_peers_established());
	local_collect(local);
}

void bgp_locals_unsee(void)
{
	struct bgp_local *local;
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		TAILQ_FOREACH (local, &vrf->locals, next)
			for (struct bgp_local_source *source = local->sources; source;
			     source = source->next)
				source->seen = false;
}

static void local_sweep(struct bgp_local *local)
{
	struct bgp_local_source **at = &local->sources, *source;
	bool before = local_wanted(local);

	while ((source = *at)) {
		if (source->seen) {
			at = &source->next;
			continue;
		}
		*at = source->next;
		free(source);
	}
	if (local_wanted(local) != before)
		local_pend(local, bgp_peers_established());
	local_collect(local);
}

void bgp_locals_sweep(void)
{
	struct bgp_local *local, *following;
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		for (local = TAILQ_FIRST(&vrf->locals); local; local = following) {
			following = TAILQ_NEXT(local, next);
			local_sweep(local);
		}
}

void bgp_locals_touch(struct bgp_vrf *vrf)
{
	struct bgp_local *local;

	TAILQ_FOREACH (local, &vrf->locals, next)
		local_pend(local, bgp_peers_established());
}

void bgp_locals_drop(struct bgp_vrf *vrf)
{
	struct bgp_local *local;

	while ((local = TAILQ_FIRST(&vrf->locals)))
		local_free(local);
}

/* ---- to neighbours ----------------------------------------------------------------------- */

void bgp_locals_offer(struct bgp_peer *peer, enum bgp_family family)
{
	struct bgp_local *local;
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		TAILQ_FOREACH (local, &vrf->locals, next)
			if (local->prefix.family == family)
				local_pend(local, UINT32_C(1) << peer->index);
}

void bgp_locals_forget(struct bgp_peer *peer)
{
	uint32_t bit = UINT32_C(1) << peer->index;
	struct bgp_local *local, *following;
	struct bgp_vrf *vrf;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		for (local = TAILQ_FIRST(&vrf->locals); local; local = following) {
			following = TAILQ_NEXT(local, next);
			local_settle(local, bit);
			local->advertised &= ~bit;
			local_collect(local);
		}
}

static void nlri_of(const struct bgp_local *local, struct bgp_nlri *nlri)
{
	memset(nlri, 0, sizeof(*nlri));
	nlri->prefix = local->prefix;
	nlri->rd = local->vrf->config.rd;
	nlri->label = local->vrf->label;
}

/* Writes one message of announcements, or of withdrawals. True: come again, there is more. */
static bool send_some(struct bgp_peer *peer, struct bgp_vrf *vrf, enum bgp_family family,
		      const struct bgp_announcement *announcement)
{
	uint32_t bit = UINT32_C(1) << peer->index;
	struct bgp_local *local, *following;
	static struct bgp_writer writer;
	struct bgp_nlri nlri;
	bool any = false, full = false;

	for (local = TAILQ_FIRST(&vrf->pending); local && !full; local = following) {
		following = TAILQ_NEXT(local, next_pending);
		if (!(local->pending & bit) || local->prefix.family != family ||
		    local_wanted(local) != !!announcement)
			continue;
		if (!any && announcement)
			bgp_writer_announce(&writer, announcement);
		else if (!any)
			bgp_writer_withdraw(&writer, family);
		any = true;
		nlri_of(local, &nlri);
		if (!bgp_writer_add(&writer, &nlri)) {
			full = true;
			break;
		}
		local_settle(local, bit);
		if (!(local->advertised & bit) != !announcement)
			peer->sent_prefixes += announcement ? 1 : -1;
		local->advertised =
			announcement ? local->advertised | bit : local->advertised & ~bit;
		local_collect(local);
	}
	if (any)
		bgp_peer_write(peer, writer.message, bgp_writer_finish(&writer));
	return full;
}

/* False: the session takes no more for now. */
static bool send_vrf(struct bgp_peer *peer, struct bgp_vrf *vrf, enum bgp_family family)
{
	struct bgp_announcement announcement = {
		.family = family,
		.targets = vrf->config.exports,
		.target_count = vrf->config.export_count,
	};
	const struct bgp_announcement *kinds[] = {NULL, &announcement};

	announcement.has_key = bgp_dataplane_key(&announcement.key);
	for (unsigned int i = 0; i < 2; i++) {
		if (kinds[i] && (!vrf->label || vrf->label_installed != vrf->label ||
				 !bgp_dataplane_next_hop(&announcement.next_hop) ||
				 !bgp_peer_can_carry(peer, family, &announcement.next_hop)))
			continue;
		do
			if (bgp_peer_full(peer))
				return false;
		while (send_some(peer, vrf, family, kinds[i]));
	}
	return true;
}

void bgp_locals_send(struct bgp_peer *peer)
{
	static struct bgp_writer writer;
	struct bgp_vrf *vrf;

	if (!bgp_peer_session(peer))
		return;
	for (int family = 0; family < BGP_FAMILIES; family++) {
		if (!bgp_peer_session(peer)->families[family])
			continue;
		TAILQ_FOREACH (vrf, &bgp_vrfs, next)
			if (!TAILQ_EMPTY(&vrf->pending) &&
			    !send_vrf(peer, vrf, (enum bgp_family)family))
				return;
		/* Nothing is complete before Pewter has said what there is. */
		if (peer->eor_sent[family] || !bgp_dataplane_ready())
			continue;
		bgp_writer_withdraw(&writer, (enum bgp_family)family);
		bgp_peer_write(peer, writer.message, bgp_writer_finish(&writer));
		peer->eor_sent[family] = true;
	}
}

void bgp_locals_withdraw(struct bgp_vrf *vrf)
{
	static struct bgp_writer writer;
	struct bgp_nlri nlri;
	struct bgp_peer *peer;
	struct bgp_local *local;

	TAILQ_FOREACH (peer, &bgp_peers, next)
		for (int family = 0; family < BGP_FAMILIES; family++) {
			bool any = false;

			TAILQ_FOREACH (local, &vrf->locals, next) {
				if (local->prefix.family != family ||
				    !(local->advertised >> peer->index & 1))
					continue;
				nlri_of(local, &nlri);
				if (any && !bgp_writer_add(&writer, &nlri)) {
					bgp_peer_write(peer, writer.message,
						       bgp_writer_finish(&writer));
					any = false;
				}
				if (!any) {
					bgp_writer_withdraw(&writer, (enum bgp_family)family);
					bgp_writer_add(&writer, &nlri);
				}
				any = true;
				local->advertised &= ~(UINT32_C(1) << peer->index);
				peer->sent_prefixes--;
			}
			if (any)
				bgp_peer_write(peer, writer.message, bgp_writer_finish(&writer));
		}
}
