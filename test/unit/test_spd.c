/* SPDX-License-Identifier: BSD-3-Clause */
/* Policy lists against a model that looks at one bit after the other; SPDs under readers. */
#include <pthread.h>
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

#define BURST 64

static size_t heap_used(void)
{
	struct rte_malloc_socket_stats stats = {0};

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

static void number(struct pw_policy_rule *rules, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		rules[i].index = 1000 + i;
}

/* What a list says of a burst must be what the model says. Returns how many it selected. */
static unsigned int compare(const struct pw_policy_list *list, const struct pw_policy_rule *rules,
			    unsigned int count, struct made *made, unsigned int n, int family)
{
	const struct pw_policy_rule *selected[BURST];
	struct rte_mbuf *mbufs[BURST] = {0};
	unsigned int hits = 0;

	for (unsigned int i = 0; i < n; i++)
		mbufs[i] = &made[i].mbuf;
	pw_policy_select_burst(list, mbufs, n, family == AF_INET6, selected);
	for (unsigned int i = 0; i < n; i++) {
		int expected = model_select(rules, count, &made[i]);

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
		assert_memory_equal(selected[i], &rules[expected], sizeof(*rules));
		hits++;
	}
	return hits;
}

static void try_lists(unsigned int count, unsigned int lists)
{
	struct pw_policy_rule *rules = calloc(count + 1, sizeof(*rules));
	static struct made made[BURST];
	unsigned int hits = 0;

	for (unsigned int i = 0; i < lists; i++) {
		int mixed = (int)random_below(3); /* one family, or both */
		struct pw_policy_list *list;

		for (unsigned int k = 0; k < count; k++)
			rules[k] = random_rule(mixed == 0                      ? AF_INET
					       : mixed == 1 || random_below(2) ? AF_INET6
									       : AF_INET);
		number(rules, count);
		list = pw_policy_list_new(rules, count);
		assert_non_null(list);
		for (unsigned int k = 0; k < 8; k++) {
			int family = k & 1 ? AF_INET6 : AF_INET;
			unsigned int n = 1 + random_below(BURST);

			for (unsigned int m = 0; m < n; m++)
				make(&made[m], family);
			hits += compare(list, rules, count, made, n, family);
		}
		pw_policy_list_retire(list);
		pw_retire_poll();
	}
	assert_true(!count || hits > lists);
	free(rules);
	pw_retire_drain();
}

static void test_model(void **state)
{
	/* Both sides of where rte_acl begins, in one family and in both. */
	static const struct {
		unsigned int count, lists;
	} sizes[] = {{0, 3},   {1, 100}, {2, 100}, {8, 100},  {15, 100}, {16, 100},
		     {17, 50}, {18, 50}, {33, 30}, {100, 10}, {1000, 1}};
	size_t before = heap_used();

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++)
		try_lists(sizes[i].count, sizes[i].lists);
	assert_int_equal(heap_used(), before);
}

static void test_no_list(void **state)
{
	const struct pw_policy_rule *selected = (const void *)1;
	struct rte_mbuf *mbuf;
	static struct made made;

	make(&made, AF_INET);
	mbuf = &made.mbuf;
	pw_policy_select_burst(NULL, &mbuf, 1, false, &selected);
	assert_null(selected);
	pw_policy_list_retire(NULL);
}

/* Whatever stands in it and wherever it ends: for the sanitizer, nothing behind it is looked at. */
static void test_cut_anywhere(void **state)
{
	struct pw_policy_rule rules[2] = {
		{.family = AF_INET, .action = PW_POLICY_PROTECT, .destination_port_mask = 0xffff},
		{.family = AF_INET6, .action = PW_POLICY_PROTECT, .destination_port_mask = 0xffff},
	};
	struct pw_policy_list *list = pw_policy_list_new(rules, 2);
	static struct made made;

	for (unsigned int i = 0; i < 50000; i++) {
		bool v6 = i & 1;
		const struct pw_policy_rule *selected;
		struct rte_mbuf *mbuf = &made.mbuf;
		unsigned int header;
		uint8_t *exact;

		make(&made, v6 ? AF_INET6 : AF_INET);
		header = v6 ? 40 : (made.data[0] & 15) * 4u;
		for (unsigned int k = 0; k < 4; k++)
			made.data[header + random_below(64)] = (uint8_t)random_below(256);
		mbuf->data_len = header + random_below(64);
		exact = malloc(mbuf->data_len);
		assert_non_null(exact);
		memcpy(exact, made.data, mbuf->data_len);
		mbuf->buf_addr = exact;
		pw_policy_select_burst(list, &mbuf, 1, v6, &selected);
		free(exact);
	}
	pw_policy_list_retire(list);
	pw_retire_drain();
}

/* A later fragment of what is to be protected must not leave as what is to pass (RFC 4301 7). */
static void test_fragment_is_not_bypassed(void **state)
{
	struct pw_policy_rule rules[2] = {
		{.family = AF_INET,
		 .protocol = IPPROTO_UDP,
		 .destination_port = RTE_BE16(53),
		 .destination_port_mask = 0xffff,
		 .action = PW_POLICY_PROTECT,
		 .index = 1},
		{.family = AF_INET, .action = PW_POLICY_BYPASS, .index = 2},
	};
	uint8_t packet[28] = {0x45, [6] = 0x20, [9] = IPPROTO_UDP, [23] = 53};
	struct rte_mbuf mbuf = {.buf_addr = packet, .data_len = 28, .pkt_len = 28, .nb_segs = 1};
	struct rte_mbuf *mbufs = &mbuf;
	const struct pw_policy_rule *selected;
	struct pw_policy_list *list = pw_policy_list_new(rules, 2);

	pw_policy_select_burst(list, &mbufs, 1, false, &selected);
	assert_int_equal(selected->index, 1); /* the first one says its ports */
	packet[6] = 0;
	packet[7] = 1;
	pw_policy_select_burst(list, &mbufs, 1, false, &selected);
	assert_int_equal(selected->action, PW_POLICY_DISCARD);
	packet[9] = IPPROTO_TCP; /* cannot be what the first rule protects */
	pw_policy_select_burst(list, &mbufs, 1, false, &selected);
	assert_int_equal(selected->index, 2);
	/* What takes all ports of the protocol takes the fragments. */
	pw_policy_list_retire(list);
	rules[1].action = PW_POLICY_PROTECT;
	list = pw_policy_list_new(rules, 2);
	packet[9] = IPPROTO_UDP;
	pw_policy_select_burst(list, &mbufs, 1, false, &selected);
	assert_int_equal(selected->index, 2);
	pw_policy_list_retire(list);
	pw_retire_drain();
}

static void test_accepts(void **state)
{
	struct pw_policy_rule rule = {.action = PW_POLICY_PROTECT};
	struct pw_sa sa = {.spi = 5, .reqid = 7, .source = {1, 2}, .destination = {3, 4}};

	assert_true(pw_policy_accepts(&rule, &sa));
	rule.action = PW_POLICY_BYPASS;
	assert_false(pw_policy_accepts(&rule, &sa));
	rule.action = PW_POLICY_DISCARD;
	assert_false(pw_policy_accepts(&rule, &sa));
	rule.action = PW_POLICY_PROTECT;
	rule.reqid = 8;
	assert_false(pw_policy_accepts(&rule, &sa));
	rule.reqid = 7;
	rule.spi = 6;
	assert_false(pw_policy_accepts(&rule, &sa));
	rule.spi = 5;
	rule.flags = PW_POLICY_TUNNEL;
	assert_false(pw_policy_accepts(&rule, &sa));
	sa.flags = PW_SA_TUNNEL;
	rule.sa_source[1] = 9;
	assert_false(pw_policy_accepts(&rule, &sa));
	memcpy(rule.sa_source, sa.source, 16);
	rule.sa_destination[15] = 1;
	assert_false(pw_policy_accepts(&rule, &sa));
	memcpy(rule.sa_destination, sa.destination, 16);
	assert_true(pw_policy_accepts(&rule, &sa));
}

static void test_spd_unset_discards(void **state)
{
	uint32_t id;

	assert_int_equal(pw_slot_alloc(&pw_spds, &id), 0);
	assert_int_equal(pw_spd_get(id)->in_default, PW_POLICY_DISCARD);
	assert_int_equal(pw_spd_get(id)->out_default, PW_POLICY_DISCARD);
	assert_int_equal(pw_spd_get(id)->fwd_default, PW_POLICY_DISCARD);
	assert_int_equal(pw_spd_get(id)->interface_default, PW_POLICY_DISCARD);
	assert_null(pw_spd_get(id)->in);
	assert_null(pw_spd_get(id)->out);
	pw_slot_free(&pw_spds, id);
	pw_retire_drain();
}

/* ---- no room left --------------------------------------------------------------------------- */

static void test_too_long(void **state)
{
	struct pw_policy_rule *rules = calloc(65537, sizeof(*rules));

	assert_non_null(rules);
	errno = 0;
	assert_null(pw_policy_list_new(rules, 65537));
	assert_int_equal(errno, E2BIG);
	free(rules);
}

/*
 * The heap is full but for a little, then a little more: wherever a list runs out of memory it
 * says so and leaves nothing behind.
 */
static void test_memory_exhausted(void **state)
{
	enum { COUNT = 100, BLOCKS = 65536, BLOCK = 32768 };
	static struct pw_policy_rule rules[COUNT];
	static struct made made[BURST];
	static void *blocks[BLOCKS];
	struct pw_policy_list *list;
	unsigned int n = 0, refused = 0;
	size_t before = heap_used();

	for (unsigned int i = 0; i < COUNT; i++)
		rules[i] = random_rule(AF_INET6);
	number(rules, COUNT);
	while (n < BLOCKS && (blocks[n] = rte_malloc(NULL, BLOCK, 0)))
		n++;
	assert_true(n < BLOCKS);
	do {
		size_t full = heap_used();

		errno = 0;
		list = pw_policy_list_new(rules, COUNT);
		if (list)
			break;
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(heap_used(), full);
		refused++;
		rte_free(blocks[--n]);
	} while (n);
	assert_non_null(list);
	assert_true(refused > 3);
	for (unsigned int i = 0; i < BURST; i++)
		make(&made[i], AF_INET6);
	compare(list, rules, COUNT, made, BURST, AF_INET6);
	pw_policy_list_retire(list);
	pw_retire_drain();
	while (n)
		rte_free(blocks[--n]);
	assert_int_equal(heap_used(), before);
}

static void test_ids_exhausted(void **state)
{
	static uint32_t ids[PW_SPDS];
	uint32_t n = 0;

	while (n < PW_SPDS && pw_slot_alloc(&pw_spds, &ids[n]) == 0)
		n++;
	assert_int_equal(n, PW_SPDS - 1);
	while (n--)
		pw_slot_free(&pw_spds, ids[n]);
	pw_retire_drain();
	assert_int_equal(pw_slot_alloc(&pw_spds, &ids[0]), 0);
	pw_slot_free(&pw_spds, ids[0]);
	pw_retire_drain();
}

/* ---- readers beside a writer ----------------------------------------------------------------- */

enum { READERS = 2, RACE_RULES = 30, RACE_CHANGES = 100, RACE_BURSTS = 3000 };

static struct {
	uint32_t id;
	bool stop;
	uint64_t wrong, bursts;
} race;

/* Every list selects every packet; its rules carry the number of the version. */
static void *race_reader(void *argument)
{
	unsigned int self = (unsigned int)(uintptr_t)argument;
	const struct pw_policy_rule *out[BURST], *in[BURST];
	struct made *made = calloc(BURST, sizeof(*made));
	struct rte_rcu_qsbr *qsbr = pw_retire_qsbr();
	struct rte_mbuf *mbufs[BURST];

	for (unsigned int i = 0; i < BURST; i++) {
		uint8_t ip[28] = {0x45, [9] = IPPROTO_UDP, [15] = (uint8_t)(i + self)};

		made[i].mbuf.buf_addr = made[i].data;
		put(&made[i], ip, sizeof(ip));
		mbufs[i] = &made[i].mbuf;
	}
	rte_rcu_qsbr_thread_register(qsbr, self);
	rte_rcu_qsbr_thread_online(qsbr, self);
	while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
		const struct pw_spd *spd = pw_spd_get(race.id);

		pw_policy_select_burst(spd->out, mbufs, BURST, false, out);
		pw_policy_select_burst(spd->in, mbufs, BURST, false, in);
		for (unsigned int i = 0; i < BURST; i++)
			if (!out[i] || !in[i] || out[i]->index != out[0]->index ||
			    in[i]->index != out[0]->index || out[i]->action != PW_POLICY_PROTECT)
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&race.bursts, 1, __ATOMIC_RELAXED);
		rte_rcu_qsbr_quiescent(qsbr, self);
	}
	rte_rcu_qsbr_thread_offline(qsbr, self);
	rte_rcu_qsbr_thread_unregister(qsbr, self);
	free(made);
	return NULL;
}

static struct pw_policy_list *race_list(unsigned int version, unsigned int count)
{
	struct pw_policy_rule rules[RACE_RULES] = {0};

	for (unsigned int i = 0; i < count; i++) {
		rules[i] = random_rule(AF_INET);
		rules[i].index = version;
		rules[i].action = PW_POLICY_PROTECT;
	}
	rules[count - 1].source_length = rules[count - 1].destination_length = 0;
	rules[count - 1].protocol = 0;
	rules[count - 1].source_port_mask = rules[count - 1].destination_port_mask = 0;
	return pw_policy_list_new(rules, count);
}

static void race_change(unsigned int version)
{
	struct pw_spd spd = {.out = race_list(version, 1 + random_below(RACE_RULES)),
			     .in = race_list(version, 1 + random_below(RACE_RULES))};
	struct pw_spd old = *pw_spd_get(race.id);

	assert_non_null(spd.out);
	assert_non_null(spd.in);
	assert_int_equal(pw_slot_set(&pw_spds, race.id, &spd), 0);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)old.in);
	pw_retire_poll();
}

static void test_readers_and_writer(void **state)
{
	pthread_t readers[READERS];
	unsigned int version = 0;

	memset(&race, 0, sizeof(race));
	assert_int_equal(pw_slot_alloc(&pw_spds, &race.id), 0);
	race_change(version++);
	for (unsigned int i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, race_reader, (void *)(uintptr_t)i), 0);
	while (version < RACE_CHANGES ||
	       __atomic_load_n(&race.bursts, __ATOMIC_RELAXED) < RACE_BURSTS)
		race_change(version++);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("%u changes, %llu bursts\n", version, (unsigned long long)race.bursts);
	assert_int_equal(race.wrong, 0);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)pw_spd_get(race.id)->out);
	pw_policy_list_retire((struct pw_policy_list *)(uintptr_t)pw_spd_get(race.id)->in);
	pw_slot_free(&pw_spds, race.id);
	pw_retire_drain();
}

static int setup(void **state)
{
	int ret = pw_retire_init(READERS);

	return ret ? ret : pw_policy_table_init();
}

static int teardown(void **state)
{
	pw_policy_table_fini();
	pw_retire_fini();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	char *arguments[] = {"test_spd",
			     "--no-huge",
			     "--no-shconf",
			     "--no-pci",
			     "-m",
			     "256",
			     "-l",
			     "0",
			     "--no-telemetry",
			     "--log-level=lib.eal:error",
			     "--log-level=lib.acl:emerg"};
	const struct CMUnitTest tests[] = {
		TEST(test_model),         TEST(test_no_list),
		TEST(test_cut_anywhere),  TEST(test_fragment_is_not_bypassed),
		TEST(test_accepts),       TEST(test_spd_unset_discards),
		TEST(test_too_long),      TEST(test_memory_exhausted),
		TEST(test_ids_exhausted), TEST(test_readers_and_writer),
	};

	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
