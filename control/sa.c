/* SPDX-License-Identifier: BSD-3-Clause */
/* Security associations: the store, and what workers see of it. */
#include "control/sa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/links.h"
#include "control/spd.h"
#include "lib/log.h"
#include "lib/retire.h"
#include "lib/secret.h"

#define BUCKETS     32768
#define SEQ_BUCKETS 4096
#define LARVAE_MAX  PW_SAS /* without keys, besides those with */
#define UDP_HEADER  8

LIST_HEAD(entries, pw_sa_entry);

struct pw_sa_list pw_sa_list = TAILQ_HEAD_INITIALIZER(pw_sa_list);
uint32_t pw_sa_count;
uint64_t pw_sa_generation;

static struct entries by_spi[BUCKETS], by_pair[BUCKETS];
static LIST_HEAD(larvae, pw_sa_detail) by_seq[SEQ_BUCKETS];
static struct pw_sa_entry *by_id[PW_SAS];
static uint32_t larva_count;
static uint64_t arrivals;

/* ---- finding ------------------------------------------------------------------------------ */

static struct entries *spi_bucket(const struct pw_address *destination, uint32_t spi)
{
	return &by_spi[pw_address_hash(destination, spi) % BUCKETS];
}

static struct entries *pair_bucket(const struct pw_address *source,
				   const struct pw_address *destination)
{
	return &by_pair[pw_address_hash(destination, pw_address_hash(source, 0)) % BUCKETS];
}

static bool mark_matches(uint32_t mark, const struct pw_mark *sa)
{
	return (mark & sa->mask) == sa->value;
}

struct pw_sa_detail *pw_sa_lookup(uint32_t mark, const struct pw_address *destination, uint32_t spi)
{
	struct pw_sa_entry *entry;

	LIST_FOREACH (entry, spi_bucket(destination, spi), by_spi)
		if (entry->spi == spi && pw_address_same(&entry->destination, destination) &&
		    mark_matches(mark, &entry->mark))
			return entry->detail;
	return NULL;
}

const struct pw_sa_entry *pw_sa_between(const struct pw_address *source,
					const struct pw_address *destination,
					const struct pw_sa_entry *after)
{
	const struct pw_sa_entry *entry =
		after ? LIST_NEXT(after, by_pair) : LIST_FIRST(pair_bucket(source, destination));

	while (entry && !(pw_address_same(&entry->source, source) &&
			  pw_address_same(&entry->destination, destination)))
		entry = LIST_NEXT(entry, by_pair);
	return entry;
}

static bool larva_answers(const struct pw_sa_entry *larva, const struct pw_sa_entry *like)
{
	return larva->larval && !larva->spi && larva->mode == like->mode &&
	       larva->reqid == like->reqid && larva->if_id == like->if_id &&
	       mark_matches(like->mark.value & like->mark.mask, &larva->mark) &&
	       pw_address_same(&larva->source, &like->source) &&
	       pw_address_same(&larva->destination, &like->destination);
}

struct pw_sa_detail *pw_sa_larva_by_seq(uint32_t seq)
{
	struct pw_sa_detail *larva;

	if (!seq)
		return NULL;
	LIST_FOREACH (larva, &by_seq[seq % SEQ_BUCKETS], by_seq)
		if (larva->seq == seq)
			break;
	return larva;
}

struct pw_sa_detail *pw_sa_larva_of(const struct pw_sa_detail *like)
{
	struct pw_sa_detail *larva = pw_sa_larva_by_seq(like->seq);
	struct pw_sa_entry *entry;

	if (larva && pw_address_same(&larva->entry.destination, &like->entry.destination))
		return larva;
	LIST_FOREACH (entry, pair_bucket(&like->entry.source, &like->entry.destination), by_pair)
		if (larva_answers(entry, &like->entry))
			return entry->detail;
	return NULL;
}

const struct pw_sa_entry *pw_sa_entry_get(uint32_t id)
{
	return id < PW_SAS ? by_id[id] : NULL;
}

static bool in_prefix(const xfrm_address_t *prefix, unsigned int length,
		      const struct pw_address *address)
{
	const uint8_t *bytes = (const uint8_t *)prefix;
	unsigned int whole = length / 8, rest = length % 8;

	return memcmp(bytes, address->bytes, whole) == 0 &&
	       (!rest || !((bytes[whole] ^ address->bytes[whole]) >> (8 - rest)));
}

/**
 * In the kernel's manner, an SA's selector bounds what policy allows (RFC 4301 4.4.1.1): does it
 * have all of this protocol's traffic between the SA's addresses?
 */
static bool selects(const struct pw_sa_detail *sa, uint8_t protocol)
{
	const struct xfrm_selector *sel = &sa->selector;

	/* What is selected by ports, or GRE by its key, is no tunnel's whole traffic. */
	return (!sel->proto || sel->proto == protocol) && !sel->sport_mask && !sel->dport_mask &&
	       in_prefix(&sel->saddr, sel->prefixlen_s, &sa->entry.source) &&
	       in_prefix(&sel->daddr, sel->prefixlen_d, &sa->entry.destination);
}

/* ---- choosing ----------------------------------------------------------------------------- */

static bool wanted_address(const struct pw_address *wanted, const struct pw_address *address)
{
	return !wanted->family || pw_address_same(wanted, address);
}

static bool wanted_matches(const struct pw_sa_wanted *wanted, const struct pw_sa_entry *entry)
{
	return !entry->larval && entry->mode == wanted->mode && entry->if_id == wanted->if_id &&
	       (!wanted->spi || entry->spi == wanted->spi) &&
	       (!wanted->reqid || entry->reqid == wanted->reqid) &&
	       (!wanted->protocol || selects(entry->detail, wanted->protocol)) &&
	       (!wanted->suits || wanted->suits(entry->detail, wanted->context)) &&
	       mark_matches(wanted->mark.value & wanted->mark.mask, &entry->mark) &&
	       wanted_address(&wanted->source, &entry->source) &&
	       wanted_address(&wanted->destination, &entry->destination);
}

static bool preferred(const struct pw_sa_entry *entry, const struct pw_sa_entry *best)
{
	if (!best || best->dying != entry->dying)
		return !best || best->dying;
	return entry->order > best->order;
}

const struct pw_sa_entry *pw_sa_choose(const struct pw_sa_wanted *wanted)
{
	const struct pw_sa_entry *entry, *best = NULL;

	if (wanted->source.family && wanted->destination.family) {
		LIST_FOREACH (entry, pair_bucket(&wanted->source, &wanted->destination), by_pair)
			if (wanted_matches(wanted, entry) && preferred(entry, best))
				best = entry;
	} else {
		TAILQ_FOREACH (entry, &pw_sa_list, all)
			if (wanted_matches(wanted, entry) && preferred(entry, best))
				best = entry;
	}
	return best;
}

uint64_t pw_sa_pair_used(const struct pw_address *source, const struct pw_address *destination,
			 uint32_t reqid)
{
	struct pw_sa_entry *entry;
	struct pw_sa_usage usage;
	uint64_t last = 0;

	LIST_FOREACH (entry, pair_bucket(source, destination), by_pair) {
		if (!pw_address_same(&entry->source, source) ||
		    !pw_address_same(&entry->destination, destination) ||
		    (reqid && entry->reqid != reqid))
			continue;
		pw_sa_usage(entry->detail, &usage);
		last = usage.last_used > last ? usage.last_used : last;
	}
	return last;
}

/* ---- what workers see --------------------------------------------------------------------- */

static uint16_t tunnel_flags(const struct pw_sa_detail *sa)
{
	uint8_t family = sa->selector.family; /* AF_UNSPEC: both */
	uint16_t flags = PW_SA_TUNNEL;

	flags |= family != AF_INET6 ? PW_SA_IP4 : 0;
	flags |= family != AF_INET ? PW_SA_IP6 : 0;
	flags |= sa->flags & XFRM_STATE_NOECN ? PW_SA_NO_ECN : 0;
	flags |= sa->flags & XFRM_STATE_DECAP_DSCP ? PW_SA_DECAP_DSCP : 0;
	flags |= sa->inside.closed ? PW_SA_CLOSED : 0;
	return flags;
}

static uint16_t hot_flags(const struct pw_sa_detail *sa)
{
	uint16_t flags = 0;

	flags |= sa->flags & XFRM_STATE_ESN ? PW_SA_ESN : 0;
	flags |= sa->encap.encap_type ? PW_SA_UDP : 0;
	flags |= sa->entry.destination.family == AF_INET6 ? PW_SA_IPV6 : 0;
	flags |= sa->suite->method == PW_CRYPTO_CBC ? PW_SA_RANDOM_IV : 0;
	flags |= sa->window ? PW_SA_REPLAY_CHECK : 0;
	if (sa->entry.mode == XFRM_MODE_TUNNEL)
		return flags | tunnel_flags(sa);
	flags |= selects(sa, IPPROTO_GRE) ? sa->rights & PW_SA_GRE : 0;
	flags |= selects(sa, IPPROTO_MPLS) ? sa->rights & PW_SA_MPLS : 0;
	flags |= selects(sa, IPPROTO_IPIP) ? sa->rights & PW_SA_IP4 : 0;
	flags |= selects(sa, IPPROTO_IPV6) ? sa->rights & PW_SA_IP6 : 0;
	return flags;
}

static void hot_build(const struct pw_sa_detail *sa, struct pw_sa *hot)
{
	const struct pw_sa_entry *entry = &sa->entry;
	bool udp = sa->encap.encap_type != 0;

	memset(hot, 0, sizeof(*hot));
	hot->key = sa->key;
	hot->state = sa->state;
	hot->inlined = sa->inlined;
	hot->bounds = sa->bounds;
	hot->sequence_limit =
		sa->flags & XFRM_STATE_ESN ? UINT64_MAX - (UINT64_C(1) << 32) : UINT32_MAX;
	hot->id = entry->id;
	hot->spi = entry->spi;
	hot->flags = hot_flags(sa);
	hot->iv_bytes = sa->suite->iv_bytes;
	hot->icv_bytes = sa->suite->icv_bytes;
	hot->align = sa->suite->align;
	hot->esp_at = (entry->destination.family == AF_INET ? 20 : 40) + (udp ? UDP_HEADER : 0);
	hot->pad_to = (uint16_t)sa->tfc_pad;
	hot->vrf = sa->vrf;
	/* The ports are named as the packets have them: inward the remote is the source. */
	hot->udp_remote = sa->inward ? sa->encap.encap_sport : sa->encap.encap_dport;
	hot->udp_local = sa->inward ? sa->encap.encap_dport : sa->encap.encap_sport;
	hot->endpoint = hot->flags & PW_SA_GRE ? sa->endpoint : 0;
	hot->reqid = entry->reqid;
	hot->if_id = entry->if_id;
	hot->inside_vrf = sa->inside.vrf;
	hot->interface = sa->inside.interface;
	hot->spd = sa->inside.spd;
	hot->path_mtu = sa->inward ? 0 : sa->path_mtu;
	memcpy(hot->source, entry->source.bytes, sizeof(hot->source));
	memcpy(hot->destination, entry->destination.bytes, sizeof(hot->destination));
}

/** Every spare object may wait for its grace period: then so does this. */
static int hot_set(struct pw_sa_detail *sa)
{
	struct pw_sa hot;
	int ret;

	hot_build(sa, &hot);
	ret = pw_slot_set(&pw_sas, hot.id, &hot);
	if (ret != -ENOSPC)
		return ret;
	pw_retire_drain();
	return pw_slot_set(&pw_sas, hot.id, &hot);
}

int pw_sa_publish(struct pw_sa_detail *sa)
{
	int ret;

	if (sa->bound && !sa->inward) {
		pw_sa_unbind(sa->entry.id);
		sa->bound = false;
	}
	ret = hot_set(sa);
	if (ret || sa->bound || !sa->inward)
		return ret;
	ret = pw_sa_bind(sa->entry.id);
	sa->bound = ret == 0;
	return ret;
}

void pw_sa_set_rights(uint32_t id, uint16_t rights, uint32_t endpoint)
{
	struct pw_sa_detail *sa = id < PW_SAS && by_id[id] ? by_id[id]->detail : NULL;
	int ret;

	if (!sa || (sa->rights == rights && sa->endpoint == endpoint))
		return;
	sa->rights = rights;
	sa->endpoint = endpoint;
	ret = pw_sa_publish(sa);
	if (ret && sa->bound) { /* what the workers have may allow more: better nothing */
		pw_sa_unbind(id);
		sa->bound = false;
	}
	if (ret)
		pw_error("SA %#x: its rights cannot be changed: %s", ntohl(sa->entry.spi),
			 strerror(-ret));
}

/* ---- coming and going ---------------------------------------------------------------------- */

static void entry_link(struct pw_sa_detail *sa)
{
	struct pw_sa_entry *entry = &sa->entry;

	entry->order = ++arrivals;
	TAILQ_INSERT_HEAD(&pw_sa_list, entry, all);
	LIST_INSERT_HEAD(pair_bucket(&entry->source, &entry->destination), entry, by_pair);
	if (entry->spi)
		LIST_INSERT_HEAD(spi_bucket(&entry->destination, entry->spi), entry, by_spi);
	if (entry->id)
		by_id[entry->id] = entry;
	pw_sa_inside_link(sa);
	if (entry->larval && sa->seq)
		LIST_INSERT_HEAD(&by_seq[sa->seq % SEQ_BUCKETS], sa, by_seq);
	pw_sa_count++;
	larva_count += entry->larval;
}

static void entry_unlink(struct pw_sa_detail *sa)
{
	struct pw_sa_entry *entry = &sa->entry;

	TAILQ_REMOVE(&pw_sa_list, entry, all);
	LIST_REMOVE(entry, by_pair);
	if (entry->spi)
		LIST_REMOVE(entry, by_spi);
	if (entry->id)
		by_id[entry->id] = NULL;
	pw_sa_inside_unlink(sa);
	if (entry->larval && sa->seq)
		LIST_REMOVE(sa, by_seq);
	pw_sa_count--;
	larva_count -= entry->larval;
	pw_sa_generation++;
}

/** What the workers had of it, and its keys. */
static void sa_free(struct pw_sa_detail *sa)
{
	if (sa->bound)
		pw_sa_unbind(sa->entry.id);
	if (sa->entry.id)
		pw_slot_free(&pw_sas, sa->entry.id);
	pw_sa_key_retire(sa->key);
	pw_sa_inline_retire(sa->inlined);
	pw_policy_list_retire(sa->bounds);
	pw_sa_state_retire(sa->state);
	pw_secret_free(sa->secret);
	free(sa);
}

void pw_sa_remove(struct pw_sa_detail *sa)
{
	pw_sa_lifetime_stop(sa);
	pw_sa_unsteer(sa);
	entry_unlink(sa);
	if (sa->entry.id)
		pw_protection_sa_changed(&sa->entry);
	if (sa->acquire_endpoint)
		pw_sa_acquire_clear(sa->acquire_endpoint);
	sa_free(sa);
}

/* In tunnel mode, unless the selector takes everything: a list of it, for each family. */
static int bounds_make(struct pw_sa_detail *sa, char *why)
{
	const struct xfrm_selector *sel = &sa->selector;
	struct pw_policy_rule rules[2] = {0};
	unsigned int count = 0;

	if (sa->entry.mode != XFRM_MODE_TUNNEL ||
	    !(sel->prefixlen_s || sel->prefixlen_d || sel->proto || sel->sport_mask ||
	      sel->dport_mask))
		return 0;
	if (sel->family != AF_INET6)
		rules[count++].family = AF_INET;
	if (sel->family != AF_INET)
		rules[count++].family = AF_INET6;
	for (unsigned int i = 0; i < count; i++) {
		pw_spd_rule_select(&rules[i], sel);
		rules[i].action = PW_POLICY_PROTECT;
	}
	sa->bounds = pw_policy_list_new(rules, count);
	if (sa->bounds)
		return 0;
	snprintf(why, PW_CRYPTO_WHY_BYTES, "out of memory for its selector");
	return -ENOMEM;
}

static int keys_make(struct pw_sa_detail *sa, const struct pw_sa_keys *keys, char *why)
{
	size_t cipher = sa->suite->key_bytes, auth = sa->suite->auth_key_bytes;
	void *secret;
	int ret;

	ret = pw_secret_alloc(cipher + auth ? cipher + auth : 1, &secret);
	if (!ret) {
		sa->secret = secret;
		if (cipher)
			memcpy(sa->secret, keys->cipher, cipher);
		if (auth)
			memcpy(sa->secret + cipher, keys->auth, auth);
		ret = pw_crypto_key_new(sa->suite, sa->secret, cipher,
					auth ? sa->secret + cipher : NULL, auth, &sa->key);
	}
	if (ret == -EAGAIN)
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "no more memory may be locked for keys (RLIMIT_MEMLOCK)");
	else if (ret)
		snprintf(why, PW_CRYPTO_WHY_BYTES, "%s cannot be computed here: %s",
			 sa->suite->name, strerror(-ret));
	return ret;
}

static int worker_part_make(struct pw_sa_detail *sa, const struct pw_sa_keys *keys,
			    const struct pw_sa_replay *replay, char *why)
{
	int ret = keys_make(sa, keys, why);

	ret = ret ? ret : pw_sa_inline_make(sa, why);
	if (ret)
		return ret;
	sa->state = pw_sa_replay_new(sa, replay);
	if (!sa->state) {
		snprintf(why, PW_CRYPTO_WHY_BYTES, "out of memory");
		return -ENOMEM;
	}
	if (pw_slot_alloc(&pw_sas, &sa->entry.id)) {
		/* Those that were just deleted give their place back a grace period later. */
		pw_retire_drain();
		ret = pw_slot_alloc(&pw_sas, &sa->entry.id);
	}
	if (ret) {
		sa->entry.id = 0;
		snprintf(why, PW_CRYPTO_WHY_BYTES, "the table of %u SAs is full", PW_SAS - 1);
		return ret;
	}
	ret = bounds_make(sa, why);
	if (ret)
		return ret;
	ret = pw_sa_publish(sa);
	if (ret == -EEXIST)
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "an SA with SPI 0x%08x to this address exists with another mark",
			 ntohl(sa->entry.spi));
	else if (ret)
		snprintf(why, PW_CRYPTO_WHY_BYTES, "the table of SAs is full");
	return ret;
}

int pw_sa_add(const struct pw_sa_detail *model, const struct pw_sa_keys *keys,
	      const struct pw_sa_replay *replay, struct pw_sa_detail *larva,
	      struct pw_sa_detail **made, char *why)
{
	struct pw_sa_detail *sa = malloc(sizeof(*sa));
	int ret;

	if (!sa) {
		snprintf(why, PW_CRYPTO_WHY_BYTES, "out of memory");
		return -ENOMEM;
	}
	*sa = *model;
	sa->entry.detail = sa;
	sa->entry.larval = false;
	sa->inward = pw_sa_inward(&sa->entry, &sa->vrf);
	pw_sa_inside_find(sa, &sa->inside);
	pw_sa_path_mtu_inherit(sa);
	ret = worker_part_make(sa, keys, replay, why);
	if (ret) {
		sa_free(sa);
		return ret;
	}
	pw_sa_steer(sa);
	if (larva)
		pw_sa_remove(larva);
	entry_link(sa);
	pw_sa_lifetime_start(sa, model->before.add_time ? &model->before : NULL);
	pw_protection_sa_changed(&sa->entry);
	*made = sa;
	return 0;
}

/** A larva shows its two addresses as its selector. */
static void selector_default(struct pw_sa_detail *sa)
{
	struct xfrm_selector *sel = &sa->selector;
	uint8_t bits = (uint8_t)(8 * pw_address_size(sa->entry.destination.family));

	memcpy(&sel->saddr, sa->entry.source.bytes, sizeof(sel->saddr));
	memcpy(&sel->daddr, sa->entry.destination.bytes, sizeof(sel->daddr));
	sel->prefixlen_s = sel->prefixlen_d = bits;
}

struct pw_sa_detail *pw_sa_add_larva(const struct pw_sa_detail *model)
{
	struct pw_sa_detail *sa = larva_count < LARVAE_MAX ? malloc(sizeof(*sa)) : NULL;

	if (!sa)
		return NULL;
	*sa = *model;
	sa->entry.detail = sa;
	sa->entry.larval = true;
	selector_default(sa);
	sa->inward = pw_sa_inward(&sa->entry, &sa->vrf);
	pw_sa_inside_find(sa, &sa->inside);
	if (sa->entry.spi)
		pw_sa_steer(sa);
	entry_link(sa);
	pw_sa_lifetime_start(sa, NULL);
	return sa;
}

void pw_sa_larva_spi(struct pw_sa_detail *larva, uint32_t spi)
{
	larva->entry.spi = spi;
	LIST_INSERT_HEAD(spi_bucket(&larva->entry.destination, spi), &larva->entry, by_spi);
	pw_sa_steer(larva);
}

uint32_t pw_sa_acquire_larva(const struct pw_sa_wanted *wanted, uint32_t endpoint)
{
	static uint32_t acquires;
	struct pw_sa_detail model = {
		.entry = {.source = wanted->source,
			  .destination = wanted->destination,
			  .reqid = wanted->reqid,
			  .if_id = wanted->if_id,
			  .mark = wanted->mark,
			  .mode = wanted->mode},
		.acquire_endpoint = endpoint,
	};

	do
		model.seq = ++acquires;
	while (!model.seq || pw_sa_larva_by_seq(model.seq));
	if (!pw_sa_add_larva(&model))
		pw_sa_acquire_clear(endpoint); /* a later packet asks again */
	return model.seq;
}

/* ---- up and down -------------------------------------------------------------------------- */

int pw_xfrm_init(void)
{
	pw_sa_inline_init();
	pw_netlink_sa_init();
	pw_netlink_sa_event_init();
	return pw_policy_init();
}

void pw_xfrm_fini(void)
{
	struct pw_sa_entry *entry;

	while ((entry = TAILQ_FIRST(&pw_sa_list)))
		pw_sa_remove(entry->detail);
	pw_policy_fini();
	pw_sa_lifetime_fini();
	pw_sa_inward_fini();
	pw_sa_inline_fini();
}
