/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/endpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include "lib/retire.h"

struct pw_slots pw_endpoints;
uint32_t pw_endpoint_sequence[PW_ENDPOINTS];
uint32_t pw_tunnel_ip_ends;

/*
 * Open addressing with linear probing over endpoint ids. A reader compares with the match that
 * the endpoint itself holds, so an entry is one 32-bit store. Deletion leaves a tombstone; the
 * table is rebuilt and published by pointer when entries and tombstones fill half of it.
 */
#define TOMBSTONE UINT32_MAX

struct entry {
	struct pw_endpoint_key key;
	uint32_t id; /* endpoint, or a count of tunnels for tunnel ends */
	uint32_t hash;
};

struct index {
	uint32_t mask;
	uint32_t slots[]; /* 1 + entry number; 0 empty */
};

/* Entries live in blocks that never move, so that a rebuild only makes a new index. */
struct match_table {
	struct index *index;
	struct entry *entries;
	uint32_t *free_entries;
	uint32_t free_count;
	uint32_t used;   /* live entries */
	uint32_t filled; /* live and tombstones in the index */
};

/* Room for every endpoint, and for ends: (local, key), (local, any key) a tunnel. */
#define MATCH_ENTRIES (2 * PW_ENDPOINTS)

static struct match_table matches; /* exact: remote included */
static struct match_table ends;    /* remote zero */

static uint32_t key_hash(const struct pw_endpoint_key *key)
{
	const uint64_t *words = (const uint64_t *)key;
	uint32_t hash = 0;

	for (unsigned int i = 0; i < sizeof(*key) / 8; i++)
		hash = rte_hash_crc_8byte(words[i], hash);
	return hash;
}

static const struct entry *table_find(const struct match_table *table,
				      const struct pw_endpoint_key *key, uint32_t hash)
{
	const struct index *index = __atomic_load_n(&table->index, __ATOMIC_CONSUME);

	for (uint32_t i = hash;; i++) {
		uint32_t slot = __atomic_load_n(&index->slots[i & index->mask], __ATOMIC_ACQUIRE);

		if (!slot)
			return NULL;
		if (slot == TOMBSTONE)
			continue;
		if (table->entries[slot - 1].hash == hash &&
		    memcmp(&table->entries[slot - 1].key, key, sizeof(*key)) == 0)
			return &table->entries[slot - 1];
	}
}

static void index_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

static void entry_reclaim(void *context, uint64_t argument)
{
	struct match_table *table = context;

	table->free_entries[table->free_count++] = (uint32_t)argument;
}

static void index_insert(struct index *index, uint32_t hash, uint32_t slot)
{
	uint32_t i = hash;

	while (index->slots[i & index->mask])
		i++;
	__atomic_store_n(&index->slots[i & index->mask], slot, __ATOMIC_RELEASE);
}

/* A new index with room for the live entries and as many again. */
static int index_rebuild(struct match_table *table)
{
	struct index *old = table->index;
	uint32_t size = 64;
	struct index *new;

	while (size < 4 * (table->used + 1))
		size *= 2;
	new = rte_zmalloc("endpoint match", sizeof(*new) + size * sizeof(uint32_t),
			  RTE_CACHE_LINE_SIZE);
	if (!new)
		return -ENOMEM;
	new->mask = size - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (old->slots[i] && old->slots[i] != TOMBSTONE)
			index_insert(new, table->entries[old->slots[i] - 1].hash, old->slots[i]);
	__atomic_store_n(&table->index, new, __ATOMIC_RELEASE);
	table->filled = table->used;
	if (old)
		pw_retire(index_reclaim, old, 0);
	return 0;
}

static int table_add(struct match_table *table, const struct pw_endpoint_key *key, uint32_t id)
{
	uint32_t number;
	int ret;

	if (!table->free_count)
		return -ENOSPC;
	if (2 * (table->filled + 1) > table->index->mask) {
		ret = index_rebuild(table);
		if (ret)
			return ret;
	}
	number = table->free_entries[--table->free_count];
	table->entries[number] = (struct entry){.key = *key, .id = id, .hash = key_hash(key)};
	index_insert(table->index, table->entries[number].hash, number + 1);
	table->used++;
	table->filled++;
	return 0;
}

static void table_remove(struct match_table *table, const struct entry *entry)
{
	uint32_t slot = (uint32_t)(entry - table->entries) + 1;

	for (uint32_t i = entry->hash;; i++) {
		uint32_t *at = &table->index->slots[i & table->index->mask];

		if (*at != slot)
			continue;
		__atomic_store_n(at, TOMBSTONE, __ATOMIC_RELEASE);
		break;
	}
	table->used--;
	pw_retire(entry_reclaim, table, slot - 1);
}

static int table_init(struct match_table *table)
{
	*table = (struct match_table){0};
	table->entries = rte_zmalloc("endpoint match", MATCH_ENTRIES * sizeof(*table->entries),
				     RTE_CACHE_LINE_SIZE);
	table->free_entries = malloc(MATCH_ENTRIES * sizeof(*table->free_entries));
	if (!table->entries || !table->free_entries)
		return -ENOMEM;
	for (uint32_t i = MATCH_ENTRIES; i > 0; i--)
		table->free_entries[table->free_count++] = i - 1;
	return index_rebuild(table);
}

static void table_fini(struct match_table *table)
{
	rte_free(table->index);
	rte_free(table->entries);
	free(table->free_entries);
	*table = (struct match_table){0};
}

int pw_endpoint_table_init(void)
{
	int ret = pw_slots_init(&pw_endpoints, "endpoints", PW_ENDPOINTS,
				sizeof(struct pw_endpoint), NULL);

	if (!ret)
		ret = table_init(&matches);
	if (!ret)
		ret = table_init(&ends);
	if (ret)
		pw_endpoint_table_fini();
	return ret;
}

void pw_endpoint_table_fini(void)
{
	table_fini(&matches);
	table_fini(&ends);
	pw_slots_fini(&pw_endpoints);
}

uint32_t pw_endpoint_find(const struct pw_endpoint_key *key)
{
	const struct entry *entry = table_find(&matches, key, key_hash(key));

	return entry ? entry->id : 0;
}

/* What all keys of an address have in common. */
static struct pw_endpoint_key any_key(const struct pw_endpoint_key *key)
{
	struct pw_endpoint_key any = *key;

	memset(any.remote, 0, sizeof(any.remote));
	any.key = 0;
	any.flags = (key->flags & (PW_ENDPOINT_MATCH_MPLS_IN_IP | PW_ENDPOINT_MATCH_IP)) |
		    PW_ENDPOINT_MATCH_ANY_KEY;
	return any;
}

enum pw_endpoint_miss pw_endpoint_explain(const struct pw_endpoint_key *key)
{
	struct pw_endpoint_key end = *key;

	memset(end.remote, 0, sizeof(end.remote));
	if (table_find(&ends, &end, key_hash(&end)))
		return PW_ENDPOINT_MISS_SOURCE;
	end = any_key(key);
	if (table_find(&ends, &end, key_hash(&end)))
		return PW_ENDPOINT_MISS_KEY;
	return PW_ENDPOINT_MISS_TUNNEL;
}

int pw_endpoint_bind(const struct pw_endpoint_key *key, uint32_t id)
{
	const struct entry *entry = table_find(&matches, key, key_hash(key));

	if (entry)
		return entry->id == id ? 0 : -EEXIST;
	return table_add(&matches, key, id);
}

void pw_endpoint_unbind(const struct pw_endpoint_key *key)
{
	const struct entry *entry = table_find(&matches, key, key_hash(key));

	if (entry)
		table_remove(&matches, entry);
}

static int end_take(const struct pw_endpoint_key *key)
{
	struct entry *entry = (struct entry *)table_find(&ends, key, key_hash(key));

	if (!entry)
		return table_add(&ends, key, 1);
	entry->id++; /* workers do not read an end's count */
	return 0;
}

static void end_drop(const struct pw_endpoint_key *key)
{
	struct entry *entry = (struct entry *)table_find(&ends, key, key_hash(key));

	if (entry && --entry->id == 0)
		table_remove(&ends, entry);
}

int pw_tunnel_end_bind(const struct pw_endpoint_key *key)
{
	struct pw_endpoint_key end = *key;
	struct pw_endpoint_key any = any_key(key);
	int ret;

	memset(end.remote, 0, sizeof(end.remote));
	ret = end_take(&end);
	if (ret)
		return ret;
	ret = end_take(&any);
	if (ret)
		end_drop(&end);
	else if (key->flags & PW_ENDPOINT_MATCH_IP)
		__atomic_fetch_add(&pw_tunnel_ip_ends, 1, __ATOMIC_RELAXED);
	return ret;
}

void pw_tunnel_end_unbind(const struct pw_endpoint_key *key)
{
	struct pw_endpoint_key end = *key;
	struct pw_endpoint_key any = any_key(key);

	memset(end.remote, 0, sizeof(end.remote));
	end_drop(&end);
	end_drop(&any);
	if (key->flags & PW_ENDPOINT_MATCH_IP)
		__atomic_fetch_sub(&pw_tunnel_ip_ends, 1, __ATOMIC_RELAXED);
}
