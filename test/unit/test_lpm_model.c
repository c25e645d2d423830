/* SPDX-License-Identifier: BSD-3-Clause */
/* Random changes to tables of prefixes, and a model that tells what each lookup must find. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lpm.h"
#include "lpm_fixture.h"

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
	if (crowd->bits != 32)
		return;
	pw_lpm_lookup4_same(lpms[0], narrow, values, n);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(values[i], model_lookup(model, 0, addresses[i]));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_no_memory),
	};

	lpm_begin();
	return cmocka_run_group_tests(tests, NULL, lpm_end);
}
