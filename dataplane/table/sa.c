/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/sa.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include "dataplane/table/endpoint.h"
#include "lib/retire.h"

/*
 * The inward lookup: SPI -> id by open addressing. The rest of what names an SA is in its object.
 * A slot is read and written in one piece; a table with too many tombstones is replaced whole.
 */
#define INDEX_SLOTS (4 * PW_SAS)
#define INDEX_FULL  (INDEX_SLOTS / 2)
#define TOMBSTONE   UINT32_MAX
#define NOTICES     4096

struct pw_slots pw_sas;

union slot {
	uint64_t word;
	struct {
		uint32_t spi;
		uint32_t id; /* 0 = free: a search ends here */
	};
};
static_assert(sizeof(union slot) == 8, "read and written in one piece");

struct index {
	union slot slots[INDEX_SLOTS];
};

static struct index *current;
static uint32_t used, filled; /* filled: tombstones too */
static struct rte_ring *notices;
static uint8_t *acquiring; /* by endpoint id */

static uint32_t hash(uint32_t spi)
{
	return (uint32_t)(spi * 0x9e3779b1u) >> 12 & (INDEX_SLOTS - 1);
}

static bool matches(const struct pw_sa *sa, uint32_t spi, uint16_t vrf, bool v6,
		    const uint8_t *destination)
{
	return sa->spi == spi && sa->key && sa->vrf == vrf && !!(sa->flags & PW_SA_IPV6) == v6 &&
	       memcmp(sa->destination, destination, v6 ? 16 : 4) == 0;
}

const struct pw_sa *pw_sa_find(uint32_t spi, uint16_t vrf, bool v6, const uint8_t *destination)
{
	const struct index *index = __atomic_load_n(&current, __ATOMIC_CONSUME);

	for (uint32_t i = hash(spi);; i = (i + 1) & (INDEX_SLOTS - 1)) {
		union slot slot = {
			.word = __atomic_load_n(&index->slots[i].word, __ATOMIC_ACQUIRE)};
		const struct pw_sa *sa;

		if (!slot.id)
			return NULL;
		if (slot.spi != spi || slot.id == TOMBSTONE)
			continue;
		sa = pw_sa_get(slot.id);
		if (likely(matches(sa, spi, vrf, v6, destination)))
			return sa;
	}
}

void pw_sa_find_prefetch(uint32_t spi)
{
	rte_prefetch0(&__atomic_load_n(&current, __ATOMIC_CONSUME)->slots[hash(spi)]);
}

uint32_t pw_sa_find_guess(uint32_t spi)
{
	const struct index *index = __atomic_load_n(&current, __ATOMIC_CONSUME);
	union slot slot = {
		.word = __atomic_load_n(&index->slots[hash(spi)].word, __ATOMIC_ACQUIRE)};

	if (slot.spi != spi || slot.id >= PW_SAS)
		return 0;
	rte_prefetch0(&pw_sas.map[slot.id]);
	return slot.id;
}

static void insert(struct index *index, union slot slot)
{
	uint32_t i = hash(slot.spi);

	while (index->slots[i].id)
		i = (i + 1) & (INDEX_SLOTS - 1);
	__atomic_store_n(&index->slots[i].word, slot.word, __ATOMIC_RELEASE);
}

static void index_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

static int rebuild(void)
{
	struct index *old = current;
	struct index *new = rte_zmalloc("SA index", sizeof(*new), RTE_CACHE_LINE_SIZE);

	if (!new)
		return -ENOMEM;
	for (uint32_t i = 0; old && i < INDEX_SLOTS; i++)
		if (old->slots[i].id && old->slots[i].id != TOMBSTONE)
			insert(new, old->slots[i]);
	__atomic_store_n(&current, new, __ATOMIC_RELEASE);
	filled = used;
	if (old)
		pw_retire(index_reclaim, old, 0);
	return 0;
}

int pw_sa_bind(uint32_t id)
{
	const struct pw_sa *sa = pw_sa_get(id);
	const struct pw_sa *other =
		pw_sa_find(sa->spi, sa->vrf, sa->flags & PW_SA_IPV6, sa->destination);
	int ret;

	if (other)
		return other->id == id ? 0 : -EEXIST;
	if (used >= PW_SAS)
		return -ENOSPC;
	if (filled >= INDEX_FULL) {
		ret = rebuild();
		if (ret)
			return ret;
	}
	insert(current, (union slot){.spi = sa->spi, .id = id});
	used++;
	filled++;
	return 0;
}

void pw_sa_unbind(uint32_t id)
{
	uint32_t spi = pw_sa_get(id)->spi;

	for (uint32_t i = hash(spi); current->slots[i].id; i = (i + 1) & (INDEX_SLOTS - 1)) {
		union slot slot = current->slots[i];

		if (slot.id != id)
			continue;
		slot.id = TOMBSTONE;
		__atomic_store_n(&current->slots[i].word, slot.word, __ATOMIC_RELEASE);
		used--;
		return;
	}
}

/* ---- state and keys ------------------------------------------------------------------------ */

struct pw_sa_state *pw_sa_state_new(uint32_t window, uint64_t sent, uint64_t received)
{
	size_t bytes = pw_seqwindow_size(window);
	struct pw_sa_state *state;

	if (!bytes)
		return NULL;
	state = rte_zmalloc("SA state", offsetof(struct pw_sa_state, window) + bytes,
			    RTE_CACHE_LINE_SIZE);
	if (!state)
		return NULL;
	state->sequence = sent;
	pw_seqwindow_init(&state->window, window, received);
	return state;
}

static void state_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

void pw_sa_state_retire(struct pw_sa_state *state)
{
	if (state)
		pw_retire(state_reclaim, state, 0);
}

static void key_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	pw_crypto_key_free(context);
}

void pw_sa_key_retire(struct pw_crypto_key *key)
{
	if (key)
		pw_retire(key_reclaim, key, 0);
}

/* ---- notices ------------------------------------------------------------------------------- */

bool pw_sa_notice_put(enum pw_sa_notice notice, uint32_t id)
{
	uintptr_t word = (uintptr_t)notice << 32 | id;

	return rte_ring_mp_enqueue(notices, (void *)word) == 0;
}

bool pw_sa_acquire(uint32_t endpoint)
{
	if (__atomic_load_n(&acquiring[endpoint], __ATOMIC_RELAXED) ||
	    __atomic_exchange_n(&acquiring[endpoint], 1, __ATOMIC_RELAXED))
		return false;
	if (pw_sa_notice_put(PW_SA_NOTICE_ACQUIRE, endpoint))
		return true;
	__atomic_store_n(&acquiring[endpoint], 0, __ATOMIC_RELAXED);
	return false;
}

bool pw_sa_notice_take(enum pw_sa_notice *notice, uint32_t *id)
{
	void *word;

	if (rte_ring_sc_dequeue(notices, &word))
		return false;
	*notice = (enum pw_sa_notice)((uintptr_t)word >> 32);
	*id = (uint32_t)(uintptr_t)word;
	return true;
}

void pw_sa_acquire_clear(uint32_t endpoint)
{
	__atomic_store_n(&acquiring[endpoint], 0, __ATOMIC_RELAXED);
}

int pw_sa_table_init(void)
{
	int ret = pw_slots_init(&pw_sas, "SAs", PW_SAS, sizeof(struct pw_sa), NULL);

	if (ret)
		return ret;
	acquiring = rte_zmalloc("acquiring", PW_ENDPOINTS, RTE_CACHE_LINE_SIZE);
	notices = rte_ring_create("SA notices", NOTICES, SOCKET_ID_ANY, RING_F_SC_DEQ);
	ret = acquiring && notices ? rebuild() : -ENOMEM;
	if (ret)
		pw_sa_table_fini();
	return ret;
}

void pw_sa_table_fini(void)
{
	rte_free(current);
	rte_free(acquiring);
	rte_ring_free(notices);
	current = NULL;
	acquiring = NULL;
	notices = NULL;
	used = filled = 0;
	pw_slots_fini(&pw_sas);
}
