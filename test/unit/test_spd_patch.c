/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists with patches, against a model that looks at one bit after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "lib/retire.h"
#include "test/unit/spd_fixture.h"

#define BURST   64
#define BASE    200
#define OTHERS  40
#define PACKETS 256

/* Rules of the base with what is put before each, and after the last; and what of it is there. */
static struct pw_policy_rule base[BASE], others[BASE + OTHERS], live[BASE + OTHERS];
static uint32_t places[BASE + OTHERS];
static uint64_t gone[(BASE + 63) / 64];
static struct made made[PACKETS];

static size_t heap_used(void)
{
	struct rte_malloc_socket_stats stats = {0};

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

static bool is_gone(uint32_t number)
{
	return gone[number / 64] >> number % 64 & 1;
}

/* Most must be looked for by what is compiled, so few select much. */
static struct pw_policy_rule narrow_rule(int family)
{
	struct pw_policy_rule rule = random_rule(family);

	if (random_below(8)) {
		rule.source_length = rule.family == AF_INET ? 32 : 128;
		rule.destination_length = rule.source_length;
	}
	return rule;
}

static unsigned int others_make(const struct pw_policy_list *list, unsigned int removed,
				unsigned int added)
{
	bool again[BASE] = {false};
	unsigned int count = 0;

	memset(gone, 0, sizeof(gone));
	while (removed--) {
		uint32_t number = random_below(BASE);

		gone[number / 64] |= UINT64_C(1) << number % 64;
	}
	for (uint32_t i = 0; i < BASE; i++)
		if (is_gone(i))
			for (uint32_t k = pw_policy_list_overlapped(list, i, i); k < BASE;
			     k = pw_policy_list_overlapped(list, i, k))
				again[k] = !is_gone(k);
	for (uint32_t i = 0; i <= BASE; i++) {
		for (unsigned int k = added; k; k--)
			if (!random_below(BASE / 4) && count < OTHERS) {
				others[count] = narrow_rule(random_below(2) ? AF_INET : AF_INET6);
				others[count].index = 5000 + count;
				places[count++] = i;
			}
		if (i < BASE && again[i]) {
			others[count] = base[i];
			places[count++] = i;
		}
	}
	return count;
}

/* What there is, in order, each once. */
static unsigned int live_make(unsigned int count)
{
	unsigned int n = 0, k = 0;

	for (uint32_t i = 0; i <= BASE; i++) {
		while (k < count && places[k] == i)
			live[n++] = others[k++];
		if (i < BASE && !is_gone(i) && (!n || live[n - 1].index != base[i].index))
			live[n++] = base[i];
	}
	return n;
}

static unsigned int compare(const struct pw_policy_list *list, unsigned int count, int family)
{
	const struct pw_policy_rule *selected[BURST];
	struct rte_mbuf *mbufs[BURST] = {0};
	unsigned int hits = 0;

	for (unsigned int i = 0; i < BURST; i++) {
		make(&made[i], family);
		mbufs[i] = &made[i].mbuf;
	}
	pw_policy_select_burst(list, mbufs, BURST, family == AF_INET6, selected);
	for (unsigned int i = 0; i < BURST; i++) {
		int expected = model_select(live, count, &made[i]);
		bool clear = expected == MODEL_NONE ||
			     (expected >= 0 && live[expected].action == PW_POLICY_BYPASS);
		bool known = made[i].protocol_known && made[i].ports_known;

		/* What is gone may still count where a packet does not say all. */
		if (!known && clear && selected[i] && selected[i]->action == PW_POLICY_DISCARD &&
		    !selected[i]->index)
			continue;
		if (expected == MODEL_NONE) {
			assert_null(selected[i]);
			continue;
		}
		assert_non_null(selected[i]);
		if (expected == MODEL_DISCARD) {
			assert_int_equal(selected[i]->action, PW_POLICY_DISCARD);
			assert_int_equal(selected[i]->index, 0);
			continue;
		}
		assert_memory_equal(selected[i], &live[expected], sizeof(live[0]));
		hits += live[expected].index >= 5000;
	}
	return hits;
}

static void test_model(void **state)
{
	size_t before = heap_used();
	unsigned int hits = 0;

	for (unsigned int round = 0; round < 20; round++) {
		struct pw_policy_list *list, *patched = NULL;
		unsigned int count = 0;

		for (unsigned int i = 0; i < BASE; i++) {
			base[i] = narrow_rule(round % 3 && i & 1 ? AF_INET6 : AF_INET);
			base[i].index = 1000 + i;
		}
		list = pw_policy_list_new(base, BASE);
		assert_non_null(list);
		for (unsigned int i = 0; i < 20; i++) {
			unsigned int changes = others_make(list, i % 7, i % 5);

			count = live_make(changes);
			pw_policy_list_retire(patched);
			patched = pw_policy_list_patch(list, gone, others, places, changes);
			assert_non_null(patched);
			for (unsigned int k = 0; k < 8; k++)
				hits += compare(patched, count, k & 1 ? AF_INET6 : AF_INET);
			pw_retire_poll();
		}
		/* The base first: it stays for the one that was patched from it. */
		pw_policy_list_retire(list);
		pw_retire_drain();
		compare(patched, count, AF_INET);
		pw_policy_list_retire(patched);
	}
	assert_true(hits > 1000);
	pw_retire_drain();
	assert_int_equal(heap_used(), before);
}

static void test_memory_exhausted(void **state)
{
	enum { BLOCKS = 65536, BLOCK = 8192 };
	static void *blocks[BLOCKS];
	struct pw_policy_list *list, *patched = NULL;
	unsigned int n = 0, refused = 0, count;
	size_t before = heap_used();

	for (unsigned int i = 0; i < BASE; i++)
		base[i] = narrow_rule(AF_INET6);
	list = pw_policy_list_new(base, BASE);
	assert_non_null(list);
	count = others_make(list, 3, 8);
	while (n < BLOCKS && (blocks[n] = rte_malloc(NULL, BLOCK, 0)))
		n++;
	while (n && !patched) {
		size_t full = heap_used();

		errno = 0;
		patched = pw_policy_list_patch(list, gone, others, places, count);
		if (patched)
			break;
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(heap_used(), full);
		refused++;
		rte_free(blocks[--n]);
	}
	assert_non_null(patched);
	assert_true(n == BLOCKS - 1 || refused);
	pw_policy_list_retire(patched);
	pw_policy_list_retire(list);
	pw_retire_drain();
	while (n)
		rte_free(blocks[--n]);
	assert_int_equal(heap_used(), before);
}

static int setup(void **state)
{
	return pw_retire_init(1);
}

static int teardown(void **state)
{
	pw_retire_fini();
	return 0;
}

int main(void)
{
	char *eal[] = {"test_spd_patch", "--no-huge", "--no-pci", "--no-shconf", "-m", "128"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_memory_exhausted),
	};

	if (rte_eal_init(6, eal) < 0)
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
