/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/lpm.h"

#define MIB          (1024 * 1024)
#define ADDRESS_SIZE 16

/* Random numbers (xorshift64*), the same for the same seed. */
static uint64_t random_state = 1;

static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

static unsigned int random_below(unsigned int n)
{
	return (unsigned int)(random_next() >> 33) % n;
}

/* Retired things wait here until they are drained. */
struct retired {
	void (*fn)(void *context, uint64_t argument);
	void *context;
	uint64_t argument;
};

static struct retired *retired;
static size_t retired_count, retired_capacity;

static void retire(void (*fn)(void *, uint64_t), void *context, uint64_t argument)
{
	if (retired_count == retired_capacity) {
		retired_capacity = retired_capacity ? 2 * retired_capacity : 1024;
		retired = realloc(retired, retired_capacity * sizeof(*retired));
		assert_non_null(retired);
	}
	retired[retired_count++] = (struct retired){fn, context, argument};
}

static void retire_drain(void)
{
	for (size_t i = 0; i < retired_count; i++)
		retired[i].fn(retired[i].context, retired[i].argument);
	retired_count = 0;
}

/*
 * The model: every prefix in a hash table, a lookup tries all lengths from the longest.
 */
struct entry {
	struct entry *next;
	unsigned int table;
	unsigned int length;
	uint32_t value;
	uint8_t prefix[ADDRESS_SIZE];
};

#define BUCKETS    65536
#define TABLES_MAX 64

struct model {
	struct entry *bucket[BUCKETS];
	struct entry **all; /* for picking one at random */
	size_t count, capacity;
	size_t lengths[TABLES_MAX][129];
};

static void prefix_mask(uint8_t *prefix, unsigned int length)
{
	for (unsigned int i = 0; i < ADDRESS_SIZE; i++) {
		unsigned int bits = length > 8 * i ? length - 8 * i : 0;

		if (bits < 8)
			prefix[i] &= (uint8_t)(0xff00 >> bits);
	}
}

static struct entry **model_find(struct model *model, unsigned int table, const uint8_t *prefix,
				 unsigned int length)
{
	uint64_t hash = table * 131 + length;
	struct entry **entry;

	for (unsigned int i = 0; i < ADDRESS_SIZE; i++)
		hash = (hash ^ prefix[i]) * 0x9e3779b97f4a7c15;
	entry = &model->bucket[hash >> 48];
	while (*entry && ((*entry)->table != table || (*entry)->length != length ||
			  memcmp((*entry)->prefix, prefix, ADDRESS_SIZE) != 0))
		entry = &(*entry)->next;
	return entry;
}

static void model_set(struct model *model, unsigned int table, const uint8_t *prefix,
		      unsigned int length, uint32_t value)
{
	struct entry **entry = model_find(model, table, prefix, length);

	if (!*entry) {
		*entry = calloc(1, sizeof(**entry));
		assert_non_null(*entry);
		(*entry)->table = table;
		(*entry)->length = length;
		memcpy((*entry)->prefix, prefix, ADDRESS_SIZE);
		if (model->count == model->capacity) {
			model->capacity = model->capacity ? 2 * model->capacity : 1024;
			model->all = realloc(model->all, model->capacity * sizeof(*model->all));
			assert_non_null(model->all);
		}
		model->all[model->count++] = *entry;
		model->lengths[table][length]++;
	}
	(*entry)->value = value;
}

static bool model_unset(struct model *model, unsigned int table, const uint8_t *prefix,
			unsigned int length)
{
	struct entry **entry = model_find(model, table, prefix, length);
	struct entry *found = *entry;
	size_t i = 0;

	if (!found)
		return false;
	*entry = found->next;
	while (model->all[i] != found)
		i++;
	model->all[i] = model->all[--model->count];
	model->lengths[table][length]--;
	free(found);
	return true;
}

static uint32_t model_lookup(struct model *model, unsigned int table, const uint8_t *address)
{
	uint8_t prefix[ADDRESS_SIZE];

	memcpy(prefix, address, sizeof(prefix));
	for (int length = 128; length >= 0; length--) {
		struct entry *entry;

		if (!model->lengths[table][length])
			continue;
		prefix_mask(prefix, (unsigned int)length);
		entry = *model_find(model, table, prefix, (unsigned int)length);
		if (entry)
			return entry->value;
	}
	return 0;
}

static void model_free(struct model *model)
{
	for (size_t i = 0; i < model->count; i++)
		free(model->all[i]);
	free(model->all);
	free(model);
}

/* Addresses crowd around a few places, some close together, some all over. */
struct crowd {
	unsigned int bits; /* 32 or 128 */
	unsigned int mix;  /* of prefix lengths */
	uint8_t centre[6][ADDRESS_SIZE];
	unsigned int fixed[6]; /* bits that a place has in common */
};

static void crowd_init(struct crowd *crowd, unsigned int bits, unsigned int mix)
{
	crowd->bits = bits;
	crowd->mix = mix;
	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int byte = 0; byte < ADDRESS_SIZE; byte++)
			crowd->centre[i][byte] = (uint8_t)random_next();
		crowd->fixed[i] = random_below(bits);
		if (i && i % 2) /* near the one before */
			memcpy(crowd->centre[i], crowd->centre[i - 1], bits / 16);
	}
	crowd->fixed[0] = 0;
}

static void crowd_address(const struct crowd *crowd, uint8_t *address)
{
	unsigned int place = random_below(6);
	uint64_t few = random_next() & random_next() & random_next();

	memset(address, 0, ADDRESS_SIZE);
	memcpy(address, crowd->centre[place], crowd->bits / 8);
	for (unsigned int bit = crowd->fixed[place]; bit < crowd->bits; bit++)
		if (place == 0 ? random_next() >> 63 : few >> (bit % 64) & 1)
			address[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
}

static unsigned int crowd_length(const struct crowd *crowd)
{
	static const unsigned int usual4[] = {24, 24, 24, 24, 22, 23, 16, 32, 30, 20};
	static const unsigned int usual6[] = {48, 48, 48, 64, 64, 56, 32, 128, 127, 44};

	switch (crowd->mix) {
	case 0:
		return random_below(crowd->bits + 1);
	case 1:
		return crowd->bits == 32 ? usual4[random_below(10)] : usual6[random_below(10)];
	case 2: /* short ones, which change much at once */
		return random_below(random_below(4) ? 13 : crowd->bits + 1);
	default: /* the last bits, and around the middle of an IPv6 address */
		return (random_below(2) ? crowd->bits / 2 : crowd->bits - 8) + random_below(9);
	}
}

static uint32_t random_value(void)
{
	uint32_t value = (uint32_t)random_next();

	switch (random_below(4)) {
	case 0: /* few values, so that neighbours often have the same */
		return 1 + value % 3;
	case 1:
		return value | 0x80000000;
	case 2:
		return random_below(2) ? 0x80000000 : UINT32_MAX;
	default:
		return value ? value : 1;
	}
}

static void address_step(uint8_t *address, unsigned int bits, int step)
{
	for (unsigned int i = bits / 8; i-- > 0;) {
		address[i] = (uint8_t)(address[i] + step);
		if (address[i] != (step > 0 ? 0 : 0xff))
			return;
	}
}

static void check_address(struct model *model, struct pw_lpm *lpm, unsigned int table,
			  const uint8_t *address)
{
	uint32_t expected = model_lookup(model, table, address);
	uint32_t got = pw_lpm_lookup(lpm, address);

	if (got != expected) {
		for (unsigned int i = 0; i < ADDRESS_SIZE; i++)
			print_error("%02x", address[i]);
		print_error(": table %u\n", table);
	}
	assert_int_equal(got, expected);
}

/* The first and the last address of a prefix, and the ones just outside. */
static void check_edges(struct model *model, struct pw_lpm *lpm, unsigned int table,
			const uint8_t *prefix, unsigned int length, unsigned int bits)
{
	uint8_t address[ADDRESS_SIZE];

	memcpy(address, prefix, sizeof(address));
	check_address(model, lpm, table, address);
	address_step(address, bits, -1);
	check_address(model, lpm, table, address);
	memcpy(address, prefix, sizeof(address));
	for (unsigned int bit = length; bit < bits; bit++)
		address[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
	check_address(model, lpm, table, address);
	address_step(address, bits, 1);
	check_address(model, lpm, table, address);
}

static void check_all(struct model *model, struct pw_lpm **lpms, unsigned int bits)
{
	for (size_t i = 0; i < model->count; i++) {
		const struct entry *entry = model->all[i];

		assert_int_equal(pw_lpm_get(lpms[entry->table], entry->prefix, entry->length),
				 entry->value);
		check_edges(model, lpms[entry->table], entry->table, entry->prefix, entry->length,
			    bits);
	}
}

/* n random addresses in random tables, at once and one by one. */
static void check_bulk(struct model *model, struct pw_lpm **lpms, unsigned int tables,
		       const struct crowd *crowd, unsigned int n)
{
	const struct pw_lpm *which[200];
	const uint8_t *pointers[200];
	uint8_t addresses[200][ADDRESS_SIZE];
	uint32_t narrow[200], values[201];

	assert_true(n <= 200);
	values[n] = 0xdeadbeef;
	for (unsigned int i = 0; i < n; i++) {
		which[i] = lpms[random_below(tables)];
		crowd_address(crowd, addresses[i]);
		memcpy(&narrow[i], addresses[i], 4);
		pointers[i] = addresses[i];
	}
	if (crowd->bits == 32)
		pw_lpm_lookup4_bulk(which, narrow, values, n);
	else
		pw_lpm_lookup6_bulk(which, pointers, values, n);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int table = 0;

		while (lpms[table] != which[i])
			table++;
		assert_int_equal(values[i], model_lookup(model, table, addresses[i]));
		assert_int_equal(values[i], pw_lpm_lookup(which[i], addresses[i]));
	}
	assert_int_equal(values[n], 0xdeadbeef);
}

static unsigned int operations(unsigned int usual)
{
	const char *set = getenv("PW_LPM_OPS");

	return set ? (unsigned int)strtoul(set, NULL, 0) : usual;
}

static void random_change(struct model *model, struct pw_lpm **lpms, unsigned int tables,
			  const struct crowd *crowd, unsigned int add_percent)
{
	unsigned int table = random_below(tables), length = crowd_length(crowd);
	bool add = random_below(100) < add_percent;
	uint8_t prefix[ADDRESS_SIZE];
	uint32_t value = random_value();
	int result;

	crowd_address(crowd, prefix);
	if (model->count && random_below(10) < (add ? 1 : 9)) {
		const struct entry *entry = model->all[random_below((unsigned int)model->count)];

		memcpy(prefix, entry->prefix, sizeof(prefix));
		length = entry->length;
		table = entry->table;
	}
	prefix_mask(prefix, length);
	{
		const struct pw_lpm *lpm = lpms[table];
		const uint8_t *where = prefix, bits = (uint8_t)length;

		pw_lpm_ahead(&lpm, &where, &bits, 1);
	}
	if (add) {
		result = pw_lpm_add(lpms[table], prefix, length, value);
		if (!result)
			model_set(model, table, prefix, length, value);
	} else {
		result = pw_lpm_delete(lpms[table], prefix, length);
		if (!result)
			assert_true(model_unset(model, table, prefix, length));
		else /* there is memory for a delete even where there is none for an add */
			assert_int_equal(result, -ENOENT);
		if (result)
			assert_null(*model_find(model, table, prefix, length));
	}
	assert_true(result == 0 || (add && result == -ENOMEM) || (!add && result == -ENOENT));
	retire_drain();
	check_edges(model, lpms[table], table, prefix, length, crowd->bits);
}

/* Random changes to random tables; what is added outweighs, then what is deleted. */
static void run_model(unsigned int bits, unsigned int mix, unsigned int tables,
		      unsigned int changes, size_t bytes)
{
	struct pw_lpm_arena *arena = pw_lpm_arena_create(bytes, retire);
	struct model *model = calloc(1, sizeof(*model));
	struct pw_lpm *lpms[TABLES_MAX];
	struct crowd crowd;
	size_t count = 0, before = arena ? pw_lpm_arena_used(arena) : 0;

	assert_non_null(arena);
	assert_non_null(model);
	crowd_init(&crowd, bits, mix);
	for (unsigned int i = 0; i < tables; i++) {
		lpms[i] = pw_lpm_create(arena, bits);
		assert_non_null(lpms[i]);
	}
	for (unsigned int i = 0; i < changes; i++) {
		random_change(model, lpms, tables, &crowd, i % 8192 < 5000 ? 75 : 25);
		if (i % 64 == 0)
			check_bulk(model, lpms, tables, &crowd, random_below(201));
		if (i % (changes / 4 + 1) == 0)
			check_all(model, lpms, bits);
	}
	check_all(model, lpms, bits);
	for (unsigned int i = 0; i < tables; i++)
		count += pw_lpm_count(lpms[i]);
	assert_int_equal(count, model->count);
	/* the first half is emptied by hand, the others are destroyed as they are */
	while (model->count) {
		const struct entry *entry = model->all[model->count - 1];
		struct pw_lpm *lpm = lpms[entry->table];
		struct entry copy = *entry;

		if (copy.table < (tables + 1) / 2) {
			assert_int_equal(pw_lpm_delete(lpm, copy.prefix, copy.length), 0);
			retire_drain();
		}
		model_unset(model, copy.table, copy.prefix, copy.length);
	}
	for (unsigned int i = 0; i < tables; i++) {
		if (i < (tables + 1) / 2)
			assert_int_equal(pw_lpm_count(lpms[i]), 0);
		pw_lpm_destroy(lpms[i]);
	}
	retire_drain();
	assert_int_equal(pw_lpm_arena_used(arena), before);
	model_free(model);
	pw_lpm_arena_destroy(arena);
}

static void test_model(void **state)
{
	unsigned int changes = operations(320000) / 16;

	(void)state;
	for (unsigned int bits = 32; bits <= 128; bits += 96)
		for (unsigned int mix = 0; mix < 4; mix++) {
			run_model(bits, mix, 1, changes, 256 * MIB);
			run_model(bits, mix, 3 + mix * 20, changes, 256 * MIB);
		}
}

/* The arena is far too small: what fails must change nothing, what succeeds must be right. */
static void test_no_memory(void **state)
{
	(void)state;
	for (unsigned int bits = 32; bits <= 128; bits += 96) {
		struct pw_lpm_arena *arena = pw_lpm_arena_create(160 * 1024, retire);
		struct model *model = calloc(1, sizeof(*model));
		struct pw_lpm *lpms[2];
		struct crowd crowd;
		unsigned int refused = 0;
		size_t empty;

		assert_non_null(arena);
		empty = pw_lpm_arena_used(arena);
		assert_non_null(model);
		crowd_init(&crowd, bits, 0);
		for (unsigned int i = 0; i < 2; i++) {
			lpms[i] = pw_lpm_create(arena, bits);
			assert_non_null(lpms[i]);
		}
		for (unsigned int i = 0; i < 20000; i++) {
			size_t before = model->count;
			uint8_t prefix[ADDRESS_SIZE];
			unsigned int length = crowd_length(&crowd);

			random_change(model, lpms, 2, &crowd, i % 4000 < 3000 ? 90 : 20);
			crowd_address(&crowd, prefix);
			prefix_mask(prefix, length);
			if (model->count != before || *model_find(model, i % 2, prefix, length))
				continue;
			if (pw_lpm_add(lpms[i % 2], prefix, length, 7) == 0) {
				model_set(model, i % 2, prefix, length, 7);
				continue;
			}
			assert_int_equal(pw_lpm_get(lpms[i % 2], prefix, length), 0);
			if (refused++ % 64 == 0)
				check_all(model, lpms, bits);
			assert_int_equal(pw_lpm_count(lpms[0]) + pw_lpm_count(lpms[1]),
					 model->count);
		}
		assert_true(refused > 100);
		assert_true(pw_lpm_arena_used(arena) <= 160 * 1024);
		pw_lpm_destroy(lpms[0]);
		pw_lpm_destroy(lpms[1]);
		retire_drain();
		assert_int_equal(pw_lpm_arena_used(arena), empty);
		model_free(model);
		pw_lpm_arena_destroy(arena);
	}
}

static uint32_t lookup4(const struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	uint8_t address[4] = {a, b, c, d};

	return pw_lpm_lookup(lpm, address);
}

static int add4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned int length,
		uint32_t value)
{
	uint8_t prefix[4] = {a, b, c, d};

	return pw_lpm_add(lpm, prefix, length, value);
}

static int delete4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d,
		   unsigned int length)
{
	uint8_t prefix[4] = {a, b, c, d};

	return pw_lpm_delete(lpm, prefix, length);
}

static void test_ipv4(void **state)
{
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 32);

	(void)state;
	assert_int_equal(lookup4(lpm, 10, 0, 0, 1), 0);
	assert_int_equal(delete4(lpm, 0, 0, 0, 0, 0), -ENOENT);
	assert_int_equal(delete4(lpm, 10, 0, 0, 0, 8), -ENOENT);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 8, 0), -EINVAL);
	assert_int_equal(add4(lpm, 0, 0, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 33, 1), -EINVAL);
	assert_int_equal(add4(lpm, 10, 0, 0, 1, 31, 1), -EINVAL);
	assert_int_equal(add4(lpm, 128, 0, 0, 0, 0, 1), -EINVAL);
	assert_int_equal(delete4(lpm, 10, 0, 0, 1, 8), -EINVAL);
	assert_int_equal(delete4(lpm, 10, 0, 0, 0, 129), -EINVAL);
	assert_int_equal(pw_lpm_count(lpm), 0);

	assert_int_equal(add4(lpm, 0, 0, 0, 0, 0, 1), 0);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 0), 1);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 255), 1);
	assert_int_equal(add4(lpm, 0, 0, 0, 0, 32, 2), 0);
	assert_int_equal(add4(lpm, 255, 255, 255, 255, 32, 3), 0);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 8, 0xffffffff), 0);
	assert_int_equal(add4(lpm, 10, 1, 0, 0, 16, 0x80000000), 0);
	assert_int_equal(add4(lpm, 10, 1, 2, 3, 32, 4), 0);
	assert_int_equal(pw_lpm_count(lpm), 6);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 0), 2);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 1), 1);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 255), 3);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 254), 1);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 3), 4);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 0x80000000);
	assert_int_equal(lookup4(lpm, 10, 2, 0, 0), 0xffffffff);
	assert_int_equal(lookup4(lpm, 11, 0, 0, 0), 1);

	/* replaced, not added; the host route then loses its covering prefix */
	assert_int_equal(add4(lpm, 10, 1, 0, 0, 16, 5), 0);
	assert_int_equal(pw_lpm_count(lpm), 6);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 5);
	assert_int_equal(delete4(lpm, 10, 1, 0, 0, 16), 0);
	assert_int_equal(delete4(lpm, 10, 1, 0, 0, 16), -ENOENT);
	assert_int_equal(delete4(lpm, 10, 1, 2, 2, 31), -ENOENT);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 0xffffffff);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 3), 4);
	assert_int_equal(delete4(lpm, 0, 0, 0, 0, 0), 0);
	assert_int_equal(lookup4(lpm, 11, 0, 0, 0), 0);
	assert_int_equal(pw_lpm_count(lpm), 4);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

static void test_ipv6(void **state)
{
	static const uint8_t host[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1};
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 128);
	uint8_t prefix[16] = {0}, other[16];

	(void)state;
	assert_int_equal(pw_lpm_add(lpm, prefix, 129, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 127, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 63, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 64, 1), -EINVAL);
	assert_int_equal(pw_lpm_lookup(lpm, host), 0);
	/* every length at once, each the longest in turn */
	for (unsigned int length = 0; length <= 128; length++) {
		memcpy(prefix, host, sizeof(prefix));
		prefix_mask(prefix, length);
		assert_int_equal(pw_lpm_add(lpm, prefix, length, 1000 + length), 0);
		assert_int_equal(pw_lpm_lookup(lpm, host), 1000 + length);
		assert_int_equal(pw_lpm_get(lpm, prefix, length), 1000 + length);
	}
	assert_int_equal(pw_lpm_count(lpm), 129);
	for (unsigned int bit = 0; bit < 128; bit++) {
		memcpy(other, host, sizeof(other));
		other[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
		assert_int_equal(pw_lpm_lookup(lpm, other), 1000 + bit);
	}
	for (unsigned int length = 0; length <= 128; length++) {
		assert_int_equal(pw_lpm_lookup(lpm, host), 1128);
		memcpy(prefix, host, sizeof(prefix));
		prefix_mask(prefix, length);
		assert_int_equal(pw_lpm_delete(lpm, prefix, length), 0);
		assert_int_equal(pw_lpm_get(lpm, prefix, length), 0);
	}
	assert_int_equal(pw_lpm_lookup(lpm, host), 0);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

static void test_create(void **state)
{
	struct pw_lpm_arena *arena;
	struct pw_lpm *lpms[1000];
	size_t before;

	(void)state;
	errno = 0;
	assert_null(pw_lpm_arena_create(MIB, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(pw_lpm_arena_create(0, retire));
	assert_int_equal(errno, EINVAL);
	arena = pw_lpm_arena_create(4 * MIB, retire);
	assert_non_null(arena);
	errno = 0;
	assert_null(pw_lpm_create(arena, 64));
	assert_int_equal(errno, EINVAL);
	before = pw_lpm_arena_used(arena);
	for (unsigned int i = 0; i < 1000; i++) {
		lpms[i] = pw_lpm_create(arena, i % 2 ? 32 : 128);
		assert_non_null(lpms[i]);
	}
	assert_true(pw_lpm_arena_used(arena) - before <= 1000 * 4096);
	for (unsigned int i = 0; i < 1000; i++)
		pw_lpm_destroy(lpms[i]);
	pw_lpm_destroy(NULL);
	retire_drain();
	assert_int_equal(pw_lpm_arena_used(arena), before);
	pw_lpm_arena_destroy(arena);
	pw_lpm_arena_destroy(NULL);
}

/* Twenty times full and empty, in an order of its own each time, costs no memory. */
static void test_fill_and_empty(void **state)
{
	enum { ROUTES = 20000, TABLES = 4 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(64 * MIB, retire);
	struct pw_lpm *lpms[2 * TABLES];
	static uint8_t prefixes[ROUTES][ADDRESS_SIZE];
	size_t empty, full = 0;

	(void)state;
	for (unsigned int i = 0; i < 2 * TABLES; i++)
		lpms[i] = pw_lpm_create(arena, i < TABLES ? 32 : 128);
	empty = pw_lpm_arena_used(arena);
	for (unsigned int i = 0; i < ROUTES; i++) {
		for (unsigned int byte = 0; byte < 6; byte++)
			prefixes[i][byte] = (uint8_t)random_next();
		memcpy(&prefixes[i][0], &i, 2); /* all different, the first bits dense */
		prefix_mask(prefixes[i], i % 2 ? 24 : 32);
	}
	for (unsigned int round = 0; round < 20; round++) {
		unsigned int step = 2 * random_below(ROUTES) + 1;

		while (step % 5 == 0)
			step += 2; /* coprime to ROUTES */
		for (unsigned int i = 0; i < ROUTES; i++)
			assert_int_equal(pw_lpm_add(lpms[i % (2 * TABLES)], prefixes[i],
						    i % 2 ? 24 : 32, i + 1),
					 0);
		retire_drain();
		if (!full)
			full = pw_lpm_arena_used(arena);
		assert_true(pw_lpm_arena_used(arena) <= full + full / 50);
		assert_true(full > empty + ROUTES * 16);
		for (unsigned int n = 0; n < ROUTES; n++) {
			unsigned int i = (unsigned int)((uint64_t)n * step % ROUTES);

			assert_int_equal(
				pw_lpm_delete(lpms[i % (2 * TABLES)], prefixes[i], i % 2 ? 24 : 32),
				0);
			if (n % 100 == 0)
				retire_drain();
		}
		retire_drain();
		assert_int_equal(pw_lpm_arena_used(arena), empty);
	}
	for (unsigned int i = 0; i < 2 * TABLES; i++)
		pw_lpm_destroy(lpms[i]);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

/* A full arena can be emptied, though a delete makes a smaller copy of a node first. */
static void test_full_and_empty(void **state)
{
	enum { GROUP = 12, GROUPS = 65536 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB / 2, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 32);
	unsigned int group, added = 0;
	int result = 0;

	(void)state;
	for (group = 0; group < GROUPS && !result; group++)
		for (unsigned int i = 0; i < GROUP && !result; i++) {
			result = add4(lpm, (uint8_t)(group >> 10), (uint8_t)(group >> 2),
				      (uint8_t)(group << 6 | i * 5), 0, 24, group * GROUP + i + 1);
			added += !result;
			retire_drain();
		}
	assert_int_equal(result, -ENOMEM);
	assert_int_equal(pw_lpm_count(lpm), added);
	group = added / GROUP + 1;
	for (unsigned int i = 0; i < GROUP; i++)
		/* far apart, so that no page is emptied soon */
		for (unsigned int n = 0; n < 41 * group; n++) {
			unsigned int g = n % group * 41 + n / group;
			int expected = g * GROUP + i < added ? 0 : -ENOENT;

			if (g >= group)
				continue;
			assert_int_equal(delete4(lpm, (uint8_t)(g >> 10), (uint8_t)(g >> 2),
						 (uint8_t)(g << 6 | i * 5), 0, 24),
					 expected);
			retire_drain();
		}
	assert_int_equal(pw_lpm_count(lpm), 0);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

/* The product's limit: a million random /24 with all bookkeeping in 128 MiB. */
static void check_million(unsigned int tables)
{
	enum { ROUTES = 1000000 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(128 * MIB, retire);
	struct pw_lpm **lpms = calloc(tables, sizeof(*lpms));
	size_t count = 0;

	assert_non_null(arena);
	assert_non_null(lpms);
	for (unsigned int i = 0; i < tables; i++)
		lpms[i] = pw_lpm_create(arena, 32);
	while (count < ROUTES) {
		uint64_t random = random_next();
		struct pw_lpm *lpm = lpms[count % tables];
		uint8_t prefix[4] = {(uint8_t)(random >> 32), (uint8_t)(random >> 40),
				     (uint8_t)(random >> 48), 0};
		size_t before = pw_lpm_count(lpm);

		assert_int_equal(pw_lpm_add(lpm, prefix, 24, (uint32_t)count + 1), 0);
		count += pw_lpm_count(lpm) - before;
		retire_drain();
	}
	assert_true(pw_lpm_arena_used(arena) <= 128 * MIB);
	for (unsigned int i = 0; i < tables; i++)
		pw_lpm_destroy(lpms[i]);
	retire_drain();
	free(lpms);
	pw_lpm_arena_destroy(arena);
}

static void test_million_in_one(void **state)
{
	(void)state;
	check_million(1);
}

static void test_million_in_thousand(void **state)
{
	(void)state;
	check_million(1000);
}

/*
 * One writer, two readers. A reader says at the start of each round which epoch it has seen;
 * the writer frees what it retired when all have seen a later one.
 */
enum { READERS = 2, PREFIXES = 4096 };

static struct {
	struct pw_lpm *ipv4, *ipv6;
	uint64_t epoch, seen[READERS];
	uint64_t wrong, rounds;
	bool stop;
	struct {
		uint8_t prefix[ADDRESS_SIZE];
		unsigned int length;
	} prefixes[2][PREFIXES]; /* by value; 0 is not one, 1 is the one that stays */
} race;

static void race_drain(void)
{
	uint64_t epoch = __atomic_add_fetch(&race.epoch, 1, __ATOMIC_SEQ_CST);

	for (unsigned int i = 0; i < READERS; i++)
		while (__atomic_load_n(&race.seen[i], __ATOMIC_SEQ_CST) < epoch)
			sched_yield();
	retire_drain();
}

/* The value must be that of a prefix that covers the address, and not shorter than the stable. */
static bool race_legal(unsigned int wide, const uint8_t *address, uint32_t value)
{
	uint8_t prefix[ADDRESS_SIZE];

	if (!value || value >= PREFIXES)
		return false;
	memcpy(prefix, address, sizeof(prefix));
	prefix_mask(prefix, race.prefixes[wide][value].length);
	return memcmp(prefix, race.prefixes[wide][value].prefix, sizeof(prefix)) == 0 &&
	       race.prefixes[wide][value].length >= race.prefixes[wide][1].length;
}

static void *race_reader(void *argument)
{
	unsigned int self = (unsigned int)(uintptr_t)argument;
	uint64_t random = self + 1;
	uint8_t addresses[2][48][ADDRESS_SIZE];
	const struct pw_lpm *tables4[48], *tables6[48];
	const uint8_t *pointers[48];
	uint32_t narrow[48], values[48];

	memset(addresses, 0, sizeof(addresses));
	while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
		uint64_t epoch = __atomic_load_n(&race.epoch, __ATOMIC_SEQ_CST);

		__atomic_store_n(&race.seen[self], epoch, __ATOMIC_SEQ_CST);
		for (unsigned int i = 0; i < 48; i++) {
			unsigned int value;

			random = random * 6364136223846793005 + 1442695040888963407;
			value = 1 + (unsigned int)(random >> 33) % (PREFIXES - 1);
			for (unsigned int wide = 0; wide < 2; wide++)
				memcpy(addresses[wide][i], race.prefixes[wide][value].prefix,
				       ADDRESS_SIZE);
			addresses[0][i][3] ^= (uint8_t)(random >> 62);
			addresses[1][i][15] ^= (uint8_t)(random >> 62);
			memcpy(&narrow[i], addresses[0][i], 4);
			pointers[i] = addresses[1][i];
			tables4[i] = race.ipv4;
			tables6[i] = race.ipv6;
		}
		pw_lpm_lookup4_bulk(tables4, narrow, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (!race_legal(0, addresses[0][i], values[i]))
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		pw_lpm_lookup6_bulk(tables6, pointers, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (!race_legal(1, addresses[1][i], values[i]))
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < 48; i++)
			narrow[i] = inet_addr(i & 1 ? "172.16.1.1" : "172.16.3.3");
		pw_lpm_lookup4_bulk(tables4, narrow, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (values[i] != 2 && values[i] != 3)
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&race.rounds, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&race.seen[self], UINT64_MAX, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Value 1 is the prefix that stays, the others come and go below it. */
static void race_prefixes(void)
{
	static const unsigned int lengths[2][6] = {{24, 24, 28, 32, 20, 18},
						   {48, 64, 128, 56, 40, 36}};

	for (unsigned int wide = 0; wide < 2; wide++)
		for (unsigned int value = 1; value < PREFIXES; value++) {
			uint8_t *prefix = race.prefixes[wide][value].prefix;
			unsigned int length = value == 1 ? 8 : lengths[wide][random_below(6)];

			for (unsigned int byte = 1; byte < (wide ? ADDRESS_SIZE : 4u); byte++)
				prefix[byte] = (uint8_t)random_next();
			prefix[0] = wide ? 0x20 : 10;
			prefix[1] &= 0x13;
			if (value == 1)
				prefix[1] = 0;
			prefix_mask(prefix, length);
			race.prefixes[wide][value].length = length;
		}
}

/*
 * A shorter prefix takes over from a longer one and hands back, and at no time is there
 * neither: make before break.
 */
static void race_handover(void)
{
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 12, 2), 0);
	assert_int_equal(delete4(race.ipv4, 172, 16, 0, 0, 20), 0);
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 20, 3), 0);
	assert_int_equal(delete4(race.ipv4, 172, 16, 0, 0, 12), 0);
}

static void race_change(unsigned int wide, unsigned int value, bool add)
{
	struct pw_lpm *lpm = wide ? race.ipv6 : race.ipv4;
	const uint8_t *prefix = race.prefixes[wide][value].prefix;
	unsigned int length = race.prefixes[wide][value].length;
	int result =
		add ? pw_lpm_add(lpm, prefix, length, value) : pw_lpm_delete(lpm, prefix, length);

	assert_true(result == 0 || (!add && result == -ENOENT));
}

static void test_race(void **state)
{
	struct pw_lpm_arena *arena = pw_lpm_arena_create(64 * MIB, retire);
	pthread_t readers[READERS];
	struct timespec start, now;
	unsigned int step = 0;

	(void)state;
	memset(&race, 0, sizeof(race));
	race_prefixes();
	race.ipv4 = pw_lpm_create(arena, 32);
	race.ipv6 = pw_lpm_create(arena, 128);
	race_change(0, 1, true);
	race_change(1, 1, true);
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 20, 3), 0);
	/* neighbours, so that the handover is seen through nodes that inherit */
	assert_int_equal(add4(race.ipv4, 172, 16, 1, 2, 32, 9), 0);
	assert_int_equal(add4(race.ipv4, 172, 16, 2, 0, 24, 9), 0);
	for (unsigned int i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, race_reader, (void *)(uintptr_t)i), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do { /* fills and empties, so that the tables grow and shrink under the readers */
		for (unsigned int i = 0; i < 512; i++, step++) {
			unsigned int value = 2 + random_below(PREFIXES - 2);

			race_change(step & 1, value, random_below(100) < (step & 32768 ? 20 : 80));
			if (i % 16 == 0)
				race_handover();
		}
		race_drain();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("%u changes, %llu reader rounds\n", step, (unsigned long long)race.rounds);
	assert_int_equal(race.wrong, 0);
	assert_true(race.rounds > 100);
	pw_lpm_destroy(race.ipv4);
	pw_lpm_destroy(race.ipv6);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_fill_and_empty),
		cmocka_unit_test(test_full_and_empty),
		cmocka_unit_test(test_million_in_one),
		cmocka_unit_test(test_million_in_thousand),
		cmocka_unit_test(test_race),
	};
	const char *seed = getenv("PW_LPM_SEED");
	int failed;

	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 20 | 1;
	print_message("PW_LPM_SEED=%llu\n", (unsigned long long)random_state);
	cmocka_set_test_filter(getenv("PW_LPM_TEST"));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(retired);
	return failed;
}
