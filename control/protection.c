/* SPDX-License-Identifier: BSD-3-Clause */
/* Which policy and which SA protect the remote end of a tunnel, and what an SA may carry. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "control/bundle.h"
#include "control/endpoint.h"
#include "control/feed/xfrm.h"
#include "control/loop.h"
#include "control/policy.h"
#include "control/spd.h"
#include "lib/log.h"

#define BUCKETS       16384
#define PROTOCOL_IPV4 4  /* RFC 2003 */
#define PROTOCOL_IPV6 41 /* RFC 2473, 4213 */
#define PROTOCOL_GRE  47
#define PROTOCOL_MPLS 137 /* RFC 4023 */
#define RETRY_MS      10

/*
 * Endpoints and SAs between the same two addresses, whichever way: what changes between them
 * concerns no others.
 */
struct pair {
	LIST_ENTRY(pair) by_hash;
	TAILQ_ENTRY(pair) in_dirty;
	LIST_HEAD(, member) endpoints;
	LIST_HEAD(, member) sas;
	struct pw_address low, high;
	bool dirty;
};
TAILQ_HEAD(pair_queue, pair);

struct member {
	LIST_ENTRY(member) in_pair;
	struct pair *pair; /* NULL: not there */
};

static LIST_HEAD(pair_list, pair) pairs[BUCKETS];
static struct member endpoints[PW_ENDPOINTS]; /* by id */
static struct member sas[PW_SAS];             /* by id */
static struct pair without_memory;            /* endpoints that have none: always looked at */
static struct pair_queue dirty = TAILQ_HEAD_INITIALIZER(dirty);
static bool all_dirty;
static bool running;

/* ---- pairs -------------------------------------------------------------------------------- */

static void pair_mark(struct pair *pair)
{
	if (pair->dirty)
		return;
	pair->dirty = true;
	TAILQ_INSERT_TAIL(&dirty, pair, in_dirty);
}

static struct pair *pair_find(const struct pw_address *a, const struct pw_address *b, bool make)
{
	bool swap = memcmp(a, b, sizeof(*a)) > 0;
	const struct pw_address *low = swap ? b : a, *high = swap ? a : b;
	struct pair_list *bucket;
	struct pair *pair;
	uint32_t words[8];

	memcpy(words, low->bytes, 16);
	memcpy(words + 4, high->bytes, 16);
	bucket = &pairs[rte_jhash_32b(words, 8, 0) % BUCKETS];
	LIST_FOREACH (pair, bucket, by_hash)
		if (memcmp(&pair->low, low, sizeof(*low)) == 0 &&
		    memcmp(&pair->high, high, sizeof(*high)) == 0)
			return pair;
	pair = make ? calloc(1, sizeof(*pair)) : NULL;
	if (!pair)
		return NULL;
	pair->low = *low;
	pair->high = *high;
	LIST_INSERT_HEAD(bucket, pair, by_hash);
	return pair;
}

static void pair_free(struct pair *pair)
{
	if (pair->dirty)
		TAILQ_REMOVE(&dirty, pair, in_dirty);
	LIST_REMOVE(pair, by_hash);
	free(pair);
}

static void member_leave(struct member *member)
{
	struct pair *pair = member->pair;

	if (!pair)
		return;
	LIST_REMOVE(member, in_pair);
	member->pair = NULL;
	if (pair != &without_memory)
		pair_mark(pair);
}

/* ---- who changed -------------------------------------------------------------------------- */

static struct pw_address address_of(uint8_t family, const uint8_t *bytes)
{
	struct pw_address address = {.family = family};

	memcpy(address.bytes, bytes, sizeof(address.bytes));
	return address;
}

void pw_protection_endpoint_added(uint32_t id, const struct pw_endpoint_key *match)
{
	struct pw_address local = address_of(match->family, match->local);
	struct pw_address remote = address_of(match->family, match->remote);
	struct pair *pair;

	if (!running)
		return;
	pair = pair_find(&local, &remote, true);
	if (pair)
		pair_mark(pair);
	else
		pair = &without_memory;
	if (endpoints[id].pair == pair)
		return;
	member_leave(&endpoints[id]);
	endpoints[id].pair = pair;
	LIST_INSERT_HEAD(&pair->endpoints, &endpoints[id], in_pair);
}

void pw_protection_endpoint_removed(uint32_t id)
{
	member_leave(&endpoints[id]);
	pw_protection_acquired(id);
}

void pw_protection_sa_changed(const struct pw_sa_entry *entry)
{
	struct pair *pair;

	if (!running)
		return;
	pw_bundles_sa_changed(entry);
	pair = pair_find(&entry->source, &entry->destination, entry->id != 0);
	if (!pair) {
		if (entry->id)
			pw_warning("no memory to look at an SA's policy: nothing is taken from it");
		return;
	}
	pair_mark(pair);
	if (!entry->id || sas[entry->id].pair == pair)
		return;
	member_leave(&sas[entry->id]);
	sas[entry->id].pair = pair;
	LIST_INSERT_HEAD(&pair->sas, &sas[entry->id], in_pair);
}

void pw_protection_policy_changed(const struct pw_policy *policy)
{
	unsigned int bits = 8 * pw_address_size(policy->selector.family);
	struct pair *pair;

	if (pw_policy_passes_by_tunnels(policy))
		return;
	if (policy->selector.prefixlen_s != bits || policy->selector.prefixlen_d != bits) {
		all_dirty = true;
		return;
	}
	pair = pair_find(&policy->source, &policy->destination, false);
	if (pair)
		pair_mark(pair);
}

void pw_protection_default_changed(void)
{
	all_dirty = true;
	pw_spd_default_changed();
}

/* ---- outward ------------------------------------------------------------------------------ */

static bool address_fits(uint16_t family, const xfrm_address_t *wanted,
			 const struct pw_address *address)
{
	static const xfrm_address_t any;
	unsigned int size = pw_address_size(address->family);

	return memcmp(wanted, &any, size) == 0 ||
	       (family == address->family && memcmp(wanted, address->bytes, size) == 0);
}

static struct pw_sa_wanted wanted_by(const struct pw_policy *policy, const struct pw_address *local,
				     const struct pw_address *remote, uint8_t protocol)
{
	return (struct pw_sa_wanted){.source = *local,
				     .destination = *remote,
				     .spi = policy->template.id.spi,
				     .reqid = policy->template.reqid,
				     .mode = policy->template.mode,
				     .mark = policy->mark,
				     .if_id = policy->if_id,
				     .protocol = protocol};
}

/* In transport mode the tunnel's own addresses are the SA's. */
static const struct pw_sa_entry *sa_for(const struct pw_policy *policy,
					const struct pw_address *local,
					const struct pw_address *remote, uint8_t protocol)
{
	const struct xfrm_user_tmpl *template = &policy->template;
	struct pw_sa_wanted wanted = wanted_by(policy, local, remote, protocol);

	if (!address_fits(template->family, &template->saddr, local) ||
	    !address_fits(template->family, &template->id.daddr, remote))
		return NULL;
	return pw_sa_choose(&wanted);
}

static void protection_out(const struct pw_address *local, const struct pw_address *remote,
			   uint8_t protocol, struct pw_protection *protection)
{
	const struct pw_policy *policy = pw_policy_select(XFRM_POLICY_OUT, local, remote, protocol);
	const struct pw_sa_entry *entry;

	if (!policy) {
		if (pw_policy_default(XFRM_POLICY_OUT) == XFRM_USERPOLICY_BLOCK)
			protection->protect |= PW_PROTECT_BLOCK_OUT;
		return;
	}
	if (policy->action == XFRM_POLICY_BLOCK) {
		protection->protect |= PW_PROTECT_BLOCK_OUT;
		return;
	}
	if (!policy->templated)
		return;
	/* A policy of forwarded packets that selects these too: they would go in that SA, which
	 * tunnels do not. */
	if (policy->template.mode == XFRM_MODE_TUNNEL) {
		protection->protect |= pw_policy_requires(policy) ? PW_PROTECT_BLOCK_OUT : 0;
		return;
	}
	if (pw_policy_requires(policy))
		protection->protect |= PW_PROTECT_OUT;
	entry = sa_for(policy, local, remote, protocol);
	if (!entry)
		return;
	protection->sa = entry->id;
	protection->hot = pw_sa_get(entry->id);
}

static void protection_of(const struct pw_address *local, const struct pw_address *remote,
			  uint8_t protocol, struct pw_protection *protection)
{
	const struct pw_policy *policy;

	*protection = (struct pw_protection){0};
	protection_out(local, remote, protocol, protection);
	policy = pw_policy_select(XFRM_POLICY_IN, remote, local, protocol);
	if (policy ? policy->action == XFRM_POLICY_BLOCK
		   : pw_policy_default(XFRM_POLICY_IN) == XFRM_USERPOLICY_BLOCK)
		protection->protect |= PW_PROTECT_BLOCK_IN;
	else if (policy && pw_policy_requires(policy))
		protection->protect |= PW_PROTECT_IN;
}

/* What policies know the endpoint's packets by; the second is 0 but for IPv4 and IPv6 in IP. */
static void protocols_of(const struct pw_endpoint *endpoint, uint8_t protocols[2])
{
	protocols[1] = 0;
	switch (endpoint->encapsulation) {
	case PW_ENCAPSULATION_MPLS_IN_IP:
		protocols[0] = PROTOCOL_MPLS;
		return;
	case PW_ENCAPSULATION_IP:
		protocols[0] = endpoint->flags & PW_ENDPOINT_INNER4 ? PROTOCOL_IPV4 : PROTOCOL_IPV6;
		if (endpoint->flags & PW_ENDPOINT_INNER4 && endpoint->flags & PW_ENDPOINT_INNER6)
			protocols[1] = PROTOCOL_IPV6;
		return;
	default:
		protocols[0] = PROTOCOL_GRE;
	}
}

void pw_protection_of(const struct pw_endpoint *endpoint, struct pw_protection *protection)
{
	struct pw_address local = address_of(endpoint->match.family, endpoint->match.local);
	struct pw_address remote = address_of(endpoint->match.family, endpoint->match.remote);
	struct pw_protection other;
	uint8_t protocols[2];

	protocols_of(endpoint, protocols);
	protection_of(&local, &remote, protocols[0], protection);
	if (!protocols[1])
		return;
	protection_of(&local, &remote, protocols[1], &other);
	protection->protect |= other.protect;
	if (other.sa == protection->sa)
		return;
	protection->protect |= PW_PROTECT_OUT;
	protection->sa = 0;
	protection->hot = NULL;
}

uint16_t pw_protection_way_mtu(const struct pw_sa_entry *entry, uint16_t vrf)
{
	const struct pair *pair = pair_find(&entry->source, &entry->destination, false);
	const struct member *member;
	uint16_t mtu = 0;

	if (!pair)
		return 0;
	LIST_FOREACH (member, &pair->endpoints, in_pair) {
		uint32_t id = (uint32_t)(member - endpoints);
		const struct pw_endpoint *endpoint = pw_endpoint_get(id);
		const struct pw_remote *remote = pw_remote_get(id);

		if (remote && endpoint->sa == entry->id && endpoint->vrf == vrf &&
		    remote->mtu > mtu)
			mtu = remote->mtu;
	}
	return mtu;
}

/* False when it could not be published. */
static bool endpoint_resolve(uint32_t id, bool force)
{
	const struct pw_endpoint *endpoint = pw_endpoint_get(id);
	struct pw_protection protection;

	pw_protection_of(endpoint, &protection);
	if ((force || protection.protect != endpoint->protect || protection.sa != endpoint->sa) &&
	    pw_endpoint_protection_changed(id))
		return false;
	if (protection.sa || !(protection.protect & PW_PROTECT_OUT))
		pw_protection_acquired(id);
	return true;
}

/* ---- inward ------------------------------------------------------------------------------- */

/* As the kernel matches what a packet came through with a template. */
static bool template_fits(const struct pw_policy *policy, const struct pw_sa_entry *entry)
{
	const struct xfrm_user_tmpl *template = &policy->template;

	return template->mode == entry->mode &&
	       (!template->reqid || template->reqid == entry->reqid) &&
	       (!template->id.spi || template->id.spi == entry->spi) &&
	       address_fits(template->family, &template->saddr, &entry->source) &&
	       address_fits(template->family, &template->id.daddr, &entry->destination) &&
	       policy->if_id == entry->if_id &&
	       (policy->mark.value & policy->mark.mask & entry->mark.mask) == entry->mark.value;
}

static bool sa_may_carry(const struct pw_sa_entry *entry, uint8_t protocol)
{
	static const uint8_t any[sizeof(entry->source.bytes)];
	const struct pw_policy *policy =
		pw_policy_select(XFRM_POLICY_IN, &entry->source, &entry->destination, protocol);

	if (entry->mode != XFRM_MODE_TRANSPORT)
		return false;
	/* Whose tunnel would it be? Any remote end's, past the policy that is for that one. */
	if (memcmp(entry->source.bytes, any, sizeof(any)) == 0)
		return false;
	if (!policy)
		return pw_policy_default(XFRM_POLICY_IN) != XFRM_USERPOLICY_BLOCK;
	if (policy->action == XFRM_POLICY_BLOCK)
		return false;
	return !pw_policy_requires(policy) || template_fits(policy, entry);
}

static void sa_resolve(const struct pw_sa_entry *entry)
{
	struct pw_endpoint_key match = {.vrf = pw_sa_get(entry->id)->vrf,
					.family = entry->source.family};
	uint16_t rights = 0;

	memcpy(match.local, entry->destination.bytes, sizeof(match.local));
	memcpy(match.remote, entry->source.bytes, sizeof(match.remote));
	rights |= sa_may_carry(entry, PROTOCOL_GRE) ? PW_SA_GRE : 0;
	rights |= sa_may_carry(entry, PROTOCOL_MPLS) ? PW_SA_MPLS : 0;
	rights |= sa_may_carry(entry, PROTOCOL_IPV4) ? PW_SA_IP4 : 0;
	rights |= sa_may_carry(entry, PROTOCOL_IPV6) ? PW_SA_IP6 : 0;
	pw_sa_set_rights(entry->id, rights, pw_endpoint_find(&match));
}

/* ---- following changes -------------------------------------------------------------------- */

static bool pair_is(const struct pair *pair, const struct pw_sa_entry *entry)
{
	return pair_find(&entry->source, &entry->destination, false) == pair;
}

static bool pair_resolve(struct pair *pair, bool force)
{
	struct member *member, *next;
	bool done = true;

	LIST_FOREACH (member, &pair->endpoints, in_pair)
		done &= endpoint_resolve((uint32_t)(member - endpoints), force);
	for (member = LIST_FIRST(&pair->sas); member; member = next) {
		const struct pw_sa_entry *entry = pw_sa_entry_get((uint32_t)(member - sas));

		next = LIST_NEXT(member, in_pair);
		if (entry && pair_is(pair, entry)) {
			sa_resolve(entry);
			continue;
		}
		member_leave(member);
	}
	return done;
}

/* Those that are known to have changed have their turn after it. */
static bool pairs_resolve(void)
{
	struct pair *pair, *next;
	bool done = true;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		for (pair = LIST_FIRST(&pairs[i]); pair; pair = next) {
			next = LIST_NEXT(pair, by_hash);
			if (!pair->dirty)
				done &= pair_resolve(pair, false);
		}
	}
	return done;
}

void pw_protection_resolve(void)
{
	struct pair_queue turn = TAILQ_HEAD_INITIALIZER(turn);
	struct pair *pair;
	bool done;

	if (!running)
		return;
	if (all_dirty)
		all_dirty = !pairs_resolve();
	done = pair_resolve(&without_memory, false) && !all_dirty;
	TAILQ_CONCAT(&turn, &dirty, in_dirty);
	while ((pair = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, pair, in_dirty);
		pair->dirty = false;
		if (!pair_resolve(pair, true)) {
			pair_mark(pair);
			done = false;
		}
		if (LIST_EMPTY(&pair->endpoints) && LIST_EMPTY(&pair->sas))
			pair_free(pair);
	}
	if (!done)
		pw_loop_again(RETRY_MS);
}

/* ---- what is missing ---------------------------------------------------------------------- */

bool pw_protection_lacking(uint32_t id)
{
	const struct pw_endpoint *endpoint = id < PW_ENDPOINTS ? pw_endpoint_get(id) : NULL;

	return endpoint && endpoints[id].pair && !endpoint->sa &&
	       endpoint->protect & PW_PROTECT_OUT;
}

const struct pw_policy *pw_protection_lacked_by(uint32_t id, struct pw_sa_wanted *wanted)
{
	const struct pw_endpoint *endpoint = pw_endpoint_get(id);
	struct pw_address local = address_of(endpoint->match.family, endpoint->match.local);
	struct pw_address remote = address_of(endpoint->match.family, endpoint->match.remote);
	const struct pw_policy *policy = NULL;
	uint8_t protocols[2];

	protocols_of(endpoint, protocols);
	for (unsigned int i = 0; i < 2 && protocols[i]; i++) {
		policy = pw_policy_select(XFRM_POLICY_OUT, &local, &remote, protocols[i]);
		if (!policy || !pw_policy_requires(policy))
			continue;
		*wanted = wanted_by(policy, &local, &remote, protocols[i]);
		if (!sa_for(policy, &local, &remote, protocols[i]))
			break;
	}
	return policy && pw_policy_requires(policy) ? policy : NULL;
}

void pw_protection_init(void)
{
	running = true;
}

void pw_protection_fini(void)
{
	struct pair *pair;

	running = false;
	pw_protection_acquires_forget();
	for (unsigned int i = 0; i < BUCKETS; i++)
		while ((pair = LIST_FIRST(&pairs[i])))
			pair_free(pair);
	memset(&without_memory, 0, sizeof(without_memory));
	memset(endpoints, 0, sizeof(endpoints));
	memset(sas, 0, sizeof(sas));
	all_dirty = false;
}
