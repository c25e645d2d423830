/* SPDX-License-Identifier: BSD-3-Clause */
/* Random changes to routes and to the store of prefixes, against brute force. */
#include "routes_fixture.h"

/* ---- routes ------------------------------------------------------------------------------ */

#define MODEL_PREFIXES 96
#define MODEL_STEPS    20000

struct model_route {
	bool there;
	unsigned int gateway;
};

static struct {
	uint32_t bytes; /* host order */
	unsigned int length;
	struct model_route routes[3]; /* metric 1, 2, 3 */
} model[MODEL_PREFIXES];

static unsigned int model_lookup(uint32_t address)
{
	unsigned int best = 0, length = 0;

	for (int i = 0; i < MODEL_PREFIXES; i++) {
		uint32_t mask = model[i].length ? ~0u << (32 - model[i].length) : 0;

		if ((address & mask) != model[i].bytes || (best && model[i].length < length))
			continue;
		for (int metric = 0; metric < 3; metric++) {
			if (!model[i].routes[metric].there)
				continue;
			best = model[i].routes[metric].gateway;
			length = model[i].length;
			break;
		}
	}
	return best;
}

static void model_change(const char *verb, int i, unsigned int metric, unsigned int gateway)
{
	struct model_route *one = &model[i].routes[metric];
	bool add = strcmp(verb, "add") == 0, delete = strcmp(verb, "del") == 0;
	char text[128];
	int expected = 0;

	if (delete)
		snprintf(text, sizeof(text), "del %u.%u.%u.%u/%u metric %u table 10",
			 model[i].bytes >> 24, model[i].bytes >> 16 & 255,
			 model[i].bytes >> 8 & 255, model[i].bytes & 255, model[i].length,
			 metric + 1);
	else
		snprintf(text, sizeof(text),
			 "%s %u.%u.%u.%u/%u via 10.0.0.%u dev p0 metric %u table 10", verb,
			 model[i].bytes >> 24, model[i].bytes >> 16 & 255,
			 model[i].bytes >> 8 & 255, model[i].bytes & 255, model[i].length, gateway,
			 metric + 1);
	if (add && one->there)
		expected = -EEXIST;
	if (delete &&!one->there)
		expected = -ESRCH;
	if (route(text) != expected)
		fail_msg("%s: \"%s\" instead of %d", text, said, expected);
	if (expected)
		return;
	one->there = !delete;
	one->gateway = gateway;
}

static void model_compare(void)
{
	for (int i = 0; i < 64; i++) {
		int n = rand() % MODEL_PREFIXES;
		uint32_t address = model[n].bytes;
		char text[32], expected[32] = "";
		unsigned int gateway;

		if (model[n].length < 32)
			address |= (uint32_t)rand() & (~0u >> model[n].length);
		gateway = model_lookup(address);
		if (gateway)
			snprintf(expected, sizeof(expected), "10.0.0.%u", gateway);
		snprintf(text, sizeof(text), "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
			 address >> 8 & 255, address & 255);
		if (strcmp(gateway_of(lookup(10, text)), expected) != 0)
			fail_msg("%s: via \"%s\" instead of \"%s\"", text,
				 gateway_of(lookup(10, text)), expected);
	}
}

static void test_model(void **state)
{
	static const char *const verbs[] = {"add", "replace", "del", "del"};

	srand(4711);
	memset(model, 0, sizeof(model));
	for (int i = 0; i < MODEL_PREFIXES; i++) {
		bool again;

		do {
			model[i].length = (unsigned int)rand() % 33;
			model[i].bytes = (uint32_t)rand() & 0x0f0f0f0f;
			model[i].bytes &= model[i].length ? ~0u << (32 - model[i].length) : 0;
			again = false;
			for (int n = 0; n < i; n++)
				again |= model[n].length == model[i].length &&
					 model[n].bytes == model[i].bytes;
		} while (again);
	}
	for (int step = 0; step < MODEL_STEPS; step++) {
		model_change(verbs[rand() % 4], rand() % MODEL_PREFIXES, (unsigned int)rand() % 3,
			     2 + (unsigned int)rand() % 200);
		if (step % 100 == 0)
			model_compare();
	}
	for (int i = 0; i < MODEL_PREFIXES; i++)
		for (unsigned int metric = 0; metric < 3; metric++)
			if (model[i].routes[metric].there)
				model_change("del", i, metric, 0);
	model_compare();
	assert_null(pw_table_find(10)); /* collected */
}

/* ---- the ordered store itself ------------------------------------------------------------- */

#define STORE_PREFIXES 300

struct stored {
	uint8_t bytes[16];
	unsigned int length;
	bool there;
};

static int stored_compare(const struct stored *a, const struct stored *b)
{
	int order = memcmp(a->bytes, b->bytes, 16);

	return order ? order : (int)a->length - (int)b->length;
}

static void store_check(const struct pw_prefix_tree *tree, const struct stored *all)
{
	struct pw_prefix *covering[PW_PREFIX_COVERING_MAX];
	const struct stored *key = &all[rand() % STORE_PREFIXES];
	const struct stored *next = NULL;
	const struct pw_prefix *found = pw_prefix_next(tree, key->bytes, key->length, false);
	unsigned int covers = 0;

	for (int i = 0; i < STORE_PREFIXES; i++) {
		if (!all[i].there)
			continue;
		covers += pw_prefix_contains(all[i].bytes, all[i].length, key->bytes);
		if (stored_compare(&all[i], key) > 0 &&
		    (!next || stored_compare(&all[i], next) < 0))
			next = &all[i];
	}
	assert_int_equal(pw_prefix_covering(tree, key->bytes, covering), covers);
	assert_int_equal(!!found, !!next);
	if (found)
		assert_true(found->length == next->length &&
			    memcmp(found->bytes, next->bytes, 16) == 0);
	assert_int_equal(!!pw_prefix_get(tree, key->bytes, key->length), key->there);
}

static void test_prefix_store(void **state)
{
	static struct stored all[STORE_PREFIXES];
	struct pw_prefix_tree tree = {.bits = 128};
	static struct pw_route mark;
	struct pw_prefix *prefix;

	srand(99);
	for (int i = 0; i < STORE_PREFIXES; i++) {
		bool again = true;

		while (again) {
			for (int n = 0; n < 16; n++)
				all[i].bytes[n] = rand() % 4 ? 0 : (uint8_t)rand() & 0x81;
			all[i].length = (unsigned int)rand() % 129;
			pw_prefix_mask(all[i].bytes, 16, all[i].length);
			again = false;
			for (int n = 0; n < i; n++)
				again |= stored_compare(&all[i], &all[n]) == 0;
		}
	}
	for (int step = 0; step < 50000; step++) {
		struct stored *one = &all[rand() % STORE_PREFIXES];

		if (one->there) {
			prefix = pw_prefix_get(&tree, one->bytes, one->length);
			assert_non_null(prefix);
			prefix->routes = NULL;
			pw_prefix_remove(&tree, prefix);
		} else {
			prefix = pw_prefix_add(&tree, one->bytes, one->length);
			assert_non_null(prefix);
			assert_null(prefix->routes);
			prefix->routes = &mark;
		}
		one->there = !one->there;
		store_check(&tree, all);
	}
	for (int i = 0; i < STORE_PREFIXES; i++) {
		if (!all[i].there)
			continue;
		prefix = pw_prefix_get(&tree, all[i].bytes, all[i].length);
		prefix->routes = NULL;
		pw_prefix_remove(&tree, prefix);
	}
	assert_null(tree.root); /* nothing leaks */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_model),
		cmocka_unit_test(test_prefix_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
