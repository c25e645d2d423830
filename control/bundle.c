/* SPDX-License-Identifier: BSD-3-Clause */
/* What outward policies in tunnel mode send by: the SA, the outer header, the way. */
#include "control/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "control/links.h"
#include "control/loop.h"
#include "control/nexthop.h"
#include "control/sa.h"
#include "control/spd.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"
#include "lib/retire.h"

#define BUCKETS     16384
#define TTL         64 /* as in the kernel */
#define TOS_INHERIT 1
#define RETRY_MS    10

LIST_HEAD(bundle_list, pw_bundle);
TAILQ_HEAD(bundle_queue, pw_bundle);

static struct bundle_list by_key[BUCKETS];
static struct bundle_list by_remote[BUCKETS]; /* and the reqid that is asked for */
static struct bundle_list by_vrf[PW_VRFS];
static struct pw_bundle *by_endpoint[PW_ENDPOINTS];
static unsigned int bundle_count;
static struct bundle_queue dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct bundle_queue unused = TAILQ_HEAD_INITIALIZER(unused);

static bool is_zero(const uint8_t *bytes)
{
	static const uint8_t zero[16];

	return memcmp(bytes, zero, sizeof(zero)) == 0;
}

static struct pw_address address_of(uint8_t family, const uint8_t *bytes)
{
	struct pw_address address = {.family = family};

	memcpy(address.bytes, bytes, sizeof(address.bytes));
	return address;
}

static struct bundle_list *remote_bucket(const uint8_t *remote, uint32_t reqid)
{
	uint32_t words[4];

	memcpy(words, remote, sizeof(words));
	return &by_remote[rte_jhash_32b(words, 4, reqid) % BUCKETS];
}

static void mark(struct pw_bundle *bundle)
{
	if (bundle->dirty || bundle->unused)
		return;
	bundle->dirty = true;
	TAILQ_INSERT_TAIL(&dirty, bundle, waiting);
}

/* ---- the SA ------------------------------------------------------------------------------- */

static bool prefix_covers(const xfrm_address_t *prefix, unsigned int length,
			  const xfrm_address_t *other, unsigned int other_length)
{
	const uint8_t *a = (const uint8_t *)prefix, *b = (const uint8_t *)other;
	unsigned int bytes = length / 8, bits = length % 8;

	return length <= other_length && memcmp(a, b, bytes) == 0 &&
	       (!bits || !((a[bytes] ^ b[bytes]) & (0xff00 >> bits)));
}

static bool port_covers(uint16_t port, uint16_t mask, uint16_t other, uint16_t other_mask)
{
	return (mask & ~other_mask) == 0 && ((port ^ other) & mask) == 0;
}

/* An SA's own selector bounds what it may be used for (RFC 4301 4.4.2.1). */
static bool sa_covers(const struct xfrm_selector *sa, const struct xfrm_selector *policy)
{
	return !sa->family ||
	       (sa->family == policy->family &&
		prefix_covers(&sa->saddr, sa->prefixlen_s, &policy->saddr, policy->prefixlen_s) &&
		prefix_covers(&sa->daddr, sa->prefixlen_d, &policy->daddr, policy->prefixlen_d) &&
		(!sa->proto || sa->proto == policy->proto) &&
		port_covers(sa->sport, sa->sport_mask, policy->sport, policy->sport_mask) &&
		port_covers(sa->dport, sa->dport_mask, policy->dport, policy->dport_mask));
}

static bool sa_is_whole(const struct xfrm_selector *sa, uint8_t inner)
{
	return !sa->family || (sa->family == inner && !sa->prefixlen_s && !sa->prefixlen_d &&
			       !sa->proto && !sa->sport_mask && !sa->dport_mask);
}

/* It must do for all policies of the bundle. */
static bool sa_suits(const struct pw_sa_detail *sa, const void *context)
{
	const struct pw_bundle *bundle = context;
	const struct pw_policy *policy;

	if (sa_is_whole(&sa->selector, bundle->key.inner))
		return true;
	LIST_FOREACH (policy, &bundle->policies, in_bundle)
		if (!sa_covers(&sa->selector, &policy->selector))
			return false;
	return true;
}

static struct pw_sa_wanted wanted_by(const struct pw_bundle *bundle)
{
	const struct pw_bundle_key *key = &bundle->key;
	struct pw_sa_wanted wanted = {
		.destination = address_of(key->family, key->remote),
		.spi = key->spi,
		.reqid = key->reqid,
		.mode = XFRM_MODE_TUNNEL,
		.mark = {key->mark, key->mask},
		.if_id = key->if_id,
		.suits = sa_suits,
		.context = bundle,
	};

	if (!is_zero(key->local))
		wanted.source = address_of(key->family, key->local);
	return wanted;
}

void pw_bundle_wanted(const struct pw_bundle *bundle, struct pw_sa_wanted *wanted)
{
	*wanted = wanted_by(bundle);
	if (!wanted->source.family)
		pw_address_primary_vrf(bundle->vrf, bundle->key.family, &wanted->source);
	wanted->suits = NULL;
}

/* ---- what workers see ---------------------------------------------------------------------- */

/* Where the outer packet is routed: the VRF of the interface's `dev`, else where it is from. */
static uint16_t front_door(const struct pw_bundle *bundle, const struct pw_sa_entry *sa)
{
	const struct pw_bundle_key *key = &bundle->key;
	/* As of an SA the other way. */
	struct pw_sa_entry back = {.destination = address_of(key->family, key->local),
				   .if_id = key->if_id,
				   .mark = {key->mark, key->mask}};
	uint16_t vrf;

	if (is_zero(key->local) && sa)
		back.destination = sa->source;
	pw_sa_inward(&back, &vrf);
	return vrf;
}

static uint16_t header_flags(const struct pw_bundle *bundle, const struct pw_sa_detail *sa)
{
	uint16_t flags = PW_ENDPOINT_IPSEC;

	flags |= bundle->key.inner == AF_INET ? PW_ENDPOINT_INNER4 : PW_ENDPOINT_INNER6;
	if (!sa)
		return flags;
	flags |= sa->flags & XFRM_STATE_NOECN ? PW_ENDPOINT_NO_ECN : 0;
	if (bundle->key.family == AF_INET && !(sa->flags & XFRM_STATE_NOPMTUDISC))
		flags |= PW_ENDPOINT_DF_INHERIT;
	return flags;
}

/* Every spare object may wait for its grace period: then so does this. */
static int slot_set(struct pw_slots *slots, uint32_t id, const void *object)
{
	int ret;

	if (memcmp(pw_slot_get(slots, id), object, slots->object_size) == 0)
		return 0;
	ret = pw_slot_set(slots, id, object);
	if (ret != -ENOSPC)
		return ret;
	pw_retire_drain();
	return pw_slot_set(slots, id, object);
}

static int publish(struct pw_bundle *bundle, const struct pw_sa_entry *entry)
{
	const struct pw_bundle_key *key = &bundle->key;
	const struct pw_link *link = pw_link_by_index(key->interface);
	const struct pw_sa_detail *sa = entry ? entry->detail : NULL;
	struct pw_address remote = address_of(key->family, key->remote);
	struct pw_endpoint endpoint;
	struct pw_tunnel tunnel = {
		.local = entry ? entry->source : address_of(key->family, key->local),
		.ip_in_ip = true,
		.ttl = TTL,
		.tos = sa && sa->extra_flags & XFRM_SA_XFLAG_DONT_ENCAP_DSCP ? 0 : TOS_INHERIT,
	};

	memset(&endpoint, 0, sizeof(endpoint)); /* compared as bytes */
	endpoint.protect = PW_PROTECT_OUT;
	endpoint.vrf = bundle->vrf;
	endpoint.interface = key->interface;
	endpoint.underlay = bundle->way.nexthop;
	endpoint.id = bundle->endpoint;
	endpoint.match.vrf = bundle->vrf;
	endpoint.match.family = key->family;
	endpoint.match.flags = PW_ENDPOINT_MATCH_IP;
	memcpy(endpoint.match.local, tunnel.local.bytes, sizeof(endpoint.match.local));
	memcpy(endpoint.match.remote, key->remote, sizeof(endpoint.match.remote));
	pw_endpoint_compose(&endpoint, &tunnel, &remote, entry ? pw_sa_get(entry->id) : NULL,
			    link && link->kind == PW_LINK_IPSEC ? link->mtu : UINT16_MAX,
			    (uint16_t)bundle->way.mtu);
	endpoint.flags &=
		(uint16_t) ~(PW_ENDPOINT_DF_INHERIT | PW_ENDPOINT_INNER4 | PW_ENDPOINT_INNER6);
	endpoint.flags |= header_flags(bundle, sa);
	return slot_set(&pw_endpoints, bundle->endpoint, &endpoint);
}

static void way_take(struct pw_bundle *bundle)
{
	struct pw_address remote = address_of(bundle->key.family, bundle->key.remote);
	struct pw_path *old = bundle->way.path;

	pw_way_find(bundle->vrf, &remote, &bundle->way);
	if (old)
		pw_path_drop(old); /* a grace period after it was last published */
}

/* False when it could not be published. */
static bool refresh(struct pw_bundle *bundle)
{
	struct pw_sa_wanted wanted = wanted_by(bundle);
	const struct pw_sa_entry *sa = pw_sa_choose(&wanted);
	uint16_t vrf = front_door(bundle, sa);
	uint32_t old = bundle->sa;

	if (vrf != bundle->vrf) {
		LIST_REMOVE(bundle, by_vrf);
		LIST_INSERT_HEAD(&by_vrf[vrf], bundle, by_vrf);
		bundle->vrf = vrf;
	}
	way_take(bundle);
	bundle->sa = sa ? sa->id : 0;
	if (publish(bundle, sa))
		return false;
	if (bundle->sa)
		pw_protection_acquired(bundle->endpoint);
	if (!old != !bundle->sa)
		pw_spd_bundle_changed(bundle);
	return true;
}

void pw_bundles_underlay_changed(uint16_t vrf)
{
	struct pw_bundle *bundle;

	LIST_FOREACH (bundle, &by_vrf[vrf], by_vrf) {
		uint32_t nexthop = bundle->way.nexthop, mtu = bundle->way.mtu;

		if (bundle->dirty)
			continue; /* all of it is looked at again */
		way_take(bundle);
		if ((nexthop != bundle->way.nexthop || mtu != bundle->way.mtu) &&
		    publish(bundle, pw_sa_entry_get(bundle->sa)))
			mark(bundle);
	}
}

static uint32_t way_mtu(const struct pw_sa_entry *entry, uint16_t vrf, uint32_t reqid)
{
	const struct pw_bundle *bundle;
	uint32_t mtu = 0;

	LIST_FOREACH (bundle, remote_bucket(entry->destination.bytes, reqid), by_remote)
		if (bundle->sa == entry->id && bundle->vrf == vrf && bundle->way.mtu > mtu)
			mtu = bundle->way.mtu;
	return mtu;
}

uint16_t pw_bundles_way_mtu(const struct pw_sa_entry *entry, uint16_t vrf)
{
	uint32_t mtu = way_mtu(entry, vrf, entry->reqid);

	return (uint16_t)RTE_MAX(mtu, way_mtu(entry, vrf, 0));
}

/* ---- coming and going ---------------------------------------------------------------------- */

static struct pw_bundle_key key_of(const struct pw_policy *policy, uint32_t interface)
{
	const struct xfrm_user_tmpl *template = &policy->template;
	struct pw_bundle_key key;
	unsigned int size = pw_address_size(template->family);

	memset(&key, 0, sizeof(key));
	memcpy(key.local, &template->saddr, size);
	memcpy(key.remote, &template->id.daddr, size);
	key.spi = template->id.spi;
	key.reqid = template->reqid;
	key.if_id = policy->if_id;
	key.mark = policy->mark.value;
	key.mask = policy->mark.mask;
	key.interface = interface;
	key.family = (uint8_t) template->family;
	key.inner = (uint8_t)policy->selector.family;
	return key;
}

static void bundle_free(struct pw_bundle *bundle)
{
	if (bundle->way.path)
		pw_path_drop(bundle->way.path);
	if (bundle->nexthop)
		pw_slot_free(&pw_nexthops, bundle->nexthop);
	if (bundle->endpoint) {
		pw_protection_acquired(bundle->endpoint);
		bundle_count -= by_endpoint[bundle->endpoint] != NULL;
		by_endpoint[bundle->endpoint] = NULL;
		pw_slot_free(&pw_endpoints, bundle->endpoint);
	}
	free(bundle);
}

static int slot_alloc(struct pw_slots *slots, uint32_t *id)
{
	if (pw_slot_alloc(slots, id)) {
		/* Those that were just freed give their place back a grace period later. */
		pw_retire_drain();
		if (pw_slot_alloc(slots, id)) {
			*id = 0;
			return -ENOSPC;
		}
	}
	return 0;
}

static int bundle_make(const struct pw_bundle_key *key, struct bundle_list *bucket,
		       struct pw_bundle **made)
{
	struct pw_bundle *bundle = calloc(1, sizeof(*bundle));
	struct pw_nexthop nexthop = {.type = PW_NEXTHOP_TUNNEL, .interface = key->interface};
	int ret;

	if (!bundle)
		return -ENOMEM;
	bundle->key = *key;
	bundle->vrf = front_door(bundle, NULL);
	ret = slot_alloc(&pw_endpoints, &bundle->endpoint);
	ret = ret ? ret : slot_alloc(&pw_nexthops, &bundle->nexthop);
	nexthop.endpoint = bundle->endpoint;
	nexthop.id = bundle->nexthop;
	ret = ret ? ret : publish(bundle, NULL);
	ret = ret ? ret : slot_set(&pw_nexthops, bundle->nexthop, &nexthop);
	if (ret) {
		bundle_free(bundle);
		return ret;
	}
	by_endpoint[bundle->endpoint] = bundle;
	bundle_count++;
	LIST_INSERT_HEAD(bucket, bundle, by_key);
	LIST_INSERT_HEAD(remote_bucket(key->remote, key->reqid), bundle, by_remote);
	LIST_INSERT_HEAD(&by_vrf[bundle->vrf], bundle, by_vrf);
	*made = bundle;
	return 0;
}

int pw_bundle_take(struct pw_policy *policy, uint32_t interface)
{
	struct pw_bundle_key key = key_of(policy, interface);
	struct bundle_list *bucket = &by_key[rte_jhash(&key, sizeof(key), 0) % BUCKETS];
	struct pw_bundle *bundle;
	int ret;

	if (policy->bundle && memcmp(&policy->bundle->key, &key, sizeof(key)) == 0)
		return 0;
	pw_bundle_leave(policy);
	LIST_FOREACH (bundle, bucket, by_key)
		if (memcmp(&bundle->key, &key, sizeof(key)) == 0)
			break;
	if (!bundle) {
		ret = bundle_make(&key, bucket, &bundle);
		if (ret)
			return ret;
	}
	if (bundle->unused) {
		bundle->unused = false;
		TAILQ_REMOVE(&unused, bundle, waiting);
	}
	policy->bundle = bundle;
	LIST_INSERT_HEAD(&bundle->policies, policy, in_bundle);
	mark(bundle);
	return 0;
}

void pw_bundle_leave(struct pw_policy *policy)
{
	struct pw_bundle *bundle = policy->bundle;

	if (!bundle)
		return;
	LIST_REMOVE(policy, in_bundle);
	policy->bundle = NULL;
	if (!LIST_EMPTY(&bundle->policies)) {
		mark(bundle); /* another SA may do now */
		return;
	}
	if (bundle->dirty)
		TAILQ_REMOVE(&dirty, bundle, waiting);
	bundle->dirty = false;
	bundle->unused = true;
	TAILQ_INSERT_TAIL(&unused, bundle, waiting);
}

bool pw_bundles_collect(void)
{
	struct pw_bundle *bundle;
	bool any = !TAILQ_EMPTY(&unused);

	while ((bundle = TAILQ_FIRST(&unused))) {
		TAILQ_REMOVE(&unused, bundle, waiting);
		LIST_REMOVE(bundle, by_key);
		LIST_REMOVE(bundle, by_remote);
		LIST_REMOVE(bundle, by_vrf);
		bundle_free(bundle);
	}
	return any;
}

const struct pw_bundle *pw_bundle_of(uint32_t endpoint)
{
	return endpoint < PW_ENDPOINTS ? by_endpoint[endpoint] : NULL;
}

/* ---- following changes --------------------------------------------------------------------- */

static void mark_users(const struct pw_sa_entry *entry, uint32_t reqid)
{
	const uint8_t *remote = entry->destination.bytes;
	bool gone = entry->id && pw_sa_entry_get(entry->id) != entry;
	struct pw_bundle *bundle;

	LIST_FOREACH (bundle, remote_bucket(remote, reqid), by_remote) {
		if (bundle->key.reqid != reqid || memcmp(bundle->key.remote, remote, 16) != 0)
			continue;
		mark(bundle);
		/* At once: its id may be another SA's before this batch is through. */
		if (gone && bundle->sa == entry->id) {
			publish(bundle, NULL);
			bundle->sa = 0;
			pw_spd_bundle_changed(bundle);
		}
	}
}

void pw_bundles_sa_changed(const struct pw_sa_entry *entry)
{
	if (entry->mode != XFRM_MODE_TUNNEL)
		return;
	mark_users(entry, entry->reqid);
	if (entry->reqid)
		mark_users(entry, 0);
}

static bool is_from(const struct pw_bundle *bundle, const struct pw_address *address)
{
	return is_zero(bundle->key.local) ||
	       (bundle->key.family == address->family &&
		memcmp(bundle->key.local, address->bytes, sizeof(address->bytes)) == 0);
}

void pw_bundles_address_changed(const struct pw_address *address)
{
	for (uint32_t id = 1; bundle_count && id < PW_ENDPOINTS; id++)
		if (by_endpoint[id] && is_from(by_endpoint[id], address))
			mark(by_endpoint[id]);
}

void pw_bundle_changed(struct pw_bundle *bundle)
{
	mark(bundle);
}

void pw_bundles_resolve(void)
{
	struct bundle_queue turn = TAILQ_HEAD_INITIALIZER(turn);
	struct pw_bundle *bundle;

	TAILQ_CONCAT(&turn, &dirty, waiting);
	while ((bundle = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, bundle, waiting);
		bundle->dirty = false;
		if (refresh(bundle))
			continue;
		mark(bundle);
		pw_loop_again(RETRY_MS);
	}
}

void pw_bundles_release(void)
{
	for (uint32_t id = 1; id < PW_ENDPOINTS; id++) {
		if (!by_endpoint[id] || !by_endpoint[id]->way.path)
			continue;
		pw_path_drop(by_endpoint[id]->way.path);
		by_endpoint[id]->way.path = NULL;
	}
}
