/* SPDX-License-Identifier: BSD-3-Clause */
/* The dataplane's tables: slots, endpoint match, labels, ports, and deferred reclamation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <rte_eal.h>

#include "dataplane/table/endpoint.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/label.h"
#include "dataplane/table/vrf.h"
#include "lib/retire.h"

struct thing {
	uint32_t value;
	uint8_t rest[60];
};

static const struct thing *thing(const struct pw_slots *slots, uint32_t id)
{
	return pw_slot_get(slots, id);
}

static void test_slot_unset_reads_as_nothing(void **state)
{
	struct thing nothing = {.value = 7};
	struct pw_slots slots;
	uint32_t id;

	assert_int_equal(pw_slots_init(&slots, "things", 16, sizeof(nothing), &nothing), 0);
	assert_int_equal(pw_slot_alloc(&slots, &id), 0);
	assert_int_not_equal(id, 0);
	assert_int_equal(thing(&slots, 0)->value, 7);
	assert_int_equal(thing(&slots, id)->value, 7);
	pw_slots_fini(&slots);
}

static void test_slot_set_publishes_and_retires(void **state)
{
	struct thing one = {.value = 1}, two = {.value = 2};
	struct pw_slots slots;
	const struct thing *old;
	uint32_t id;

	assert_int_equal(pw_slots_init(&slots, "things", 16, sizeof(one), NULL), 0);
	assert_int_equal(pw_slot_alloc(&slots, &id), 0);
	assert_int_equal(pw_slot_set(&slots, id, &one), 0);
	old = thing(&slots, id);
	assert_int_equal(old->value, 1);
	assert_int_equal(pw_slot_set(&slots, id, &two), 0);
	assert_int_equal(thing(&slots, id)->value, 2);
	/* A reader that still holds the old object sees it whole until the grace period. */
	assert_int_equal(old->value, 1);
	pw_slot_free(&slots, id);
	assert_int_equal(thing(&slots, id)->value, 0);
	pw_retire_drain();
	pw_slots_fini(&slots);
}

static void test_slot_full_and_back(void **state)
{
	struct thing one = {.value = 1};
	struct pw_slots slots;
	uint32_t ids[7], extra;

	assert_int_equal(pw_slots_init(&slots, "things", 8, sizeof(one), NULL), 0);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(pw_slot_alloc(&slots, &ids[i]), 0);
		assert_int_equal(pw_slot_set(&slots, ids[i], &one), 0);
	}
	assert_int_equal(pw_slot_alloc(&slots, &extra), -ENOSPC);
	pw_slot_free(&slots, ids[3]);
	/* Not before a grace period: a worker may still follow the id. */
	assert_int_equal(pw_slot_alloc(&slots, &extra), -ENOSPC);
	pw_retire_drain();
	assert_int_equal(pw_slot_alloc(&slots, &extra), 0);
	assert_int_equal(extra, ids[3]);
	pw_slots_fini(&slots);
}

static void test_slot_many_changes_do_not_run_out(void **state)
{
	struct pw_slots slots;
	uint32_t id;

	assert_int_equal(pw_slots_init(&slots, "things", 4, sizeof(struct thing), NULL), 0);
	assert_int_equal(pw_slot_alloc(&slots, &id), 0);
	for (uint32_t i = 1; i <= 10000; i++) {
		struct thing one = {.value = i};

		assert_int_equal(pw_slot_set(&slots, id, &one), 0);
		assert_int_equal(thing(&slots, id)->value, i);
	}
	pw_retire_drain();
	assert_int_equal(slots.free_objects_count, slots.object_count - 2);
	pw_slots_fini(&slots);
}

static int retired;

static void count_retired(void *context, uint64_t argument)
{
	retired += (int)argument;
}

static void test_retire_waits_for_readers(void **state)
{
	struct rte_rcu_qsbr *qsbr = pw_retire_qsbr();

	retired = 0;
	rte_rcu_qsbr_thread_register(qsbr, 0);
	rte_rcu_qsbr_thread_online(qsbr, 0);
	pw_retire(count_retired, NULL, 1);
	assert_true(pw_retire_poll());
	assert_true(pw_retire_poll());
	assert_int_equal(retired, 0);
	/* What is retired after the grace period began waits for the next one. */
	pw_retire(count_retired, NULL, 10);
	rte_rcu_qsbr_quiescent(qsbr, 0);
	assert_true(pw_retire_poll());
	assert_int_equal(retired, 1);
	rte_rcu_qsbr_quiescent(qsbr, 0);
	assert_false(pw_retire_poll());
	assert_int_equal(retired, 11);
	rte_rcu_qsbr_thread_offline(qsbr, 0);
	rte_rcu_qsbr_thread_unregister(qsbr, 0);
}

static struct pw_endpoint_key key4(uint32_t remote, uint32_t key, bool keyed)
{
	struct pw_endpoint_key match = {.family = AF_INET, .local = {10, 0, 0, 1}};

	memcpy(match.remote, &remote, 4);
	match.key = key;
	match.flags = keyed ? PW_ENDPOINT_KEY : 0;
	return match;
}

static void test_endpoint_match(void **state)
{
	struct pw_endpoint_key a = key4(1, 0, false), b = key4(2, 0, false), probe;

	assert_int_equal(pw_endpoint_table_init(), 0);
	assert_int_equal(pw_endpoint_find(&a), 0);
	assert_int_equal(pw_endpoint_explain(&a), PW_ENDPOINT_MISS_TUNNEL);
	assert_int_equal(pw_tunnel_end_bind(&a), 0);
	assert_int_equal(pw_endpoint_explain(&a), PW_ENDPOINT_MISS_SOURCE);
	assert_int_equal(pw_endpoint_bind(&a, 11), 0);
	assert_int_equal(pw_endpoint_find(&a), 11);
	assert_int_equal(pw_endpoint_bind(&a, 12), -EEXIST);
	assert_int_equal(pw_endpoint_find(&b), 0);
	assert_int_equal(pw_endpoint_explain(&b), PW_ENDPOINT_MISS_SOURCE);
	probe = key4(1, 5, true);
	assert_int_equal(pw_endpoint_find(&probe), 0);
	assert_int_equal(pw_endpoint_explain(&probe), PW_ENDPOINT_MISS_KEY);
	/* Another VRF, another family, another encapsulation: another tunnel. */
	probe = a;
	probe.vrf = 1;
	assert_int_equal(pw_endpoint_explain(&probe), PW_ENDPOINT_MISS_TUNNEL);
	probe = a;
	probe.flags = PW_ENDPOINT_MATCH_MPLS_IN_IP;
	assert_int_equal(pw_endpoint_find(&probe), 0);
	assert_int_equal(pw_endpoint_explain(&probe), PW_ENDPOINT_MISS_TUNNEL);
	pw_endpoint_unbind(&a);
	assert_int_equal(pw_endpoint_find(&a), 0);
	pw_tunnel_end_unbind(&a);
	assert_int_equal(pw_endpoint_explain(&a), PW_ENDPOINT_MISS_TUNNEL);
	pw_retire_drain();
	pw_endpoint_table_fini();
}

static void test_endpoint_match_many(void **state)
{
	assert_int_equal(pw_endpoint_table_init(), 0);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 1; i <= 20000; i++) {
			struct pw_endpoint_key key = key4(i, i % 3, i % 2);

			assert_int_equal(pw_endpoint_bind(&key, i), 0);
		}
		for (uint32_t i = 1; i <= 20000; i++) {
			struct pw_endpoint_key key = key4(i, i % 3, i % 2);

			assert_int_equal(pw_endpoint_find(&key), i);
		}
		for (uint32_t i = 1; i <= 20000; i++) {
			struct pw_endpoint_key key = key4(i, i % 3, i % 2);

			pw_endpoint_unbind(&key);
			assert_int_equal(pw_endpoint_find(&key), 0);
			pw_retire_poll();
		}
	}
	pw_retire_drain();
	pw_endpoint_table_fini();
}

static void test_label_sets(void **state)
{
	uint32_t some[] = {1, 63, 64, 32767};
	int set, other;

	assert_int_equal(pw_label_table_init(), 0);
	set = pw_label_set_publish(0, some, 4);
	assert_true(set > 0);
	for (int i = 0; i < 4; i++)
		assert_true(pw_label_allows((uint16_t)set, some[i]));
	assert_false(pw_label_allows((uint16_t)set, 2));
	other = pw_label_set_publish(0, some, 0);
	assert_true(other > 0 && other != set);
	assert_false(pw_label_allows((uint16_t)other, 1));
	assert_int_equal(pw_label_set_publish((uint16_t)set, some, 1), set);
	assert_false(pw_label_allows((uint16_t)set, 64));
	pw_label_set_free((uint16_t)set);
	assert_false(pw_label_allows((uint16_t)set, 1));
	pw_retire_drain();
	pw_label_table_fini();
}

static void test_label_entries(void **state)
{
	struct pw_label entry = {.action = PW_LABEL_POP, .allowed = 3, .nexthop = 0x89abcdef};
	struct pw_label read;

	assert_int_equal(pw_label_table_init(), 0);
	assert_int_equal(pw_label_get(PW_LABELS - 1).action, PW_LABEL_NONE);
	pw_label_set(PW_LABELS - 1, entry);
	read = pw_label_get(PW_LABELS - 1);
	assert_memory_equal(&read, &entry, sizeof(entry));
	pw_label_set(PW_LABELS - 1, (struct pw_label){0});
	assert_int_equal(pw_label_get(PW_LABELS - 1).action, PW_LABEL_NONE);
	pw_label_table_fini();
}

static void test_port_binding(void **state)
{
	assert_int_equal(pw_interface_table_init(), 0);
	assert_int_equal(pw_port_bind(3, 0, 5), -EINVAL);
	assert_int_equal(pw_port_publish(3, 9, 2), 0);
	assert_int_equal(pw_port_bind(3, 0, 5), 0);
	assert_int_equal(pw_port_bind(3, 100, 6), 0);
	assert_int_equal(pw_port_bind(3, 100, 7), -EEXIST);
	assert_int_equal(pw_port_bind(3, 4096, 7), -EINVAL);
	assert_int_equal(pw_port_get(3)->untagged, 5);
	assert_int_equal(pw_port_get(3)->vlan[100], 6);
	/* Published anew, what was bound stays bound. */
	assert_int_equal(pw_port_publish(3, 10, 1), 0);
	assert_int_equal(pw_port_get(3)->vlan[100], 6);
	assert_int_equal(pw_port_get(3)->ethdev, 10);
	pw_port_withdraw(3);
	assert_null(pw_port_get(3));
	assert_int_equal(pw_port_publish(PW_PORTS, 0, 1), -ENOSPC);
	pw_interface_table_fini();
}

static void test_vrf_tables(void **state)
{
	const uint8_t prefix[4] = {10, 1, 0, 0}, host[4] = {10, 1, 2, 3};
	int red, blue;

	assert_int_equal(pw_vrf_table_init(64 << 20), 0);
	assert_int_equal(pw_vrf_take(254), 0);
	assert_int_equal(pw_vrf_take(255), 0);
	assert_int_equal(pw_vrf_find(10), -ENOENT);
	red = pw_vrf_take(10);
	blue = pw_vrf_take(20);
	assert_true(red > 0 && blue > 0 && red != blue);
	assert_int_equal(pw_vrf_take(10), red);
	/* The same prefix in two VRFs. */
	assert_int_equal(pw_vrf_route_add((uint16_t)red, AF_INET, prefix, 16, 100), 0);
	assert_int_equal(pw_vrf_route_add((uint16_t)blue, AF_INET, prefix, 16, 200), 0);
	assert_int_equal(pw_vrf_route_lookup((uint16_t)red, AF_INET, host), 100);
	assert_int_equal(pw_vrf_route_lookup((uint16_t)blue, AF_INET, host), 200);
	assert_int_equal(pw_vrf_route_lookup(0, AF_INET, host), 0);
	assert_int_equal(pw_vrf_route_delete((uint16_t)red, AF_INET, prefix, 16), 0);
	assert_int_equal(pw_vrf_route_lookup((uint16_t)red, AF_INET, host), 0);
	assert_int_equal(pw_vrf_route_lookup((uint16_t)blue, AF_INET, host), 200);
	assert_int_equal(pw_vrf_set_icmp_source((uint16_t)blue, 0x01020304, (uint8_t[16]){1}), 0);
	assert_int_equal(pw_vrf_get((uint16_t)blue)->icmp_source4, 0x01020304);
	assert_int_equal(pw_vrf_route_lookup((uint16_t)blue, AF_INET, host), 200);
	pw_vrf_free((uint16_t)blue);
	assert_null(pw_vrf_get((uint16_t)blue));
	assert_int_equal(pw_vrf_route_add((uint16_t)blue, AF_INET, prefix, 16, 1), -ENOENT);
	pw_vrf_free(PW_VRF_DEFAULT);
	assert_non_null(pw_vrf_get(PW_VRF_DEFAULT));
	pw_vrf_table_fini();
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	char *arguments[] = {
		"test_table", "--no-huge", "--no-shconf",    "--no-pci",
		"-m",         "256",       "--no-telemetry", "--log-level=lib.eal:error",
		"-l",         "0"};
	const struct CMUnitTest tests[] = {
		TEST(test_slot_unset_reads_as_nothing),
		TEST(test_slot_set_publishes_and_retires),
		TEST(test_slot_full_and_back),
		TEST(test_slot_many_changes_do_not_run_out),
		TEST(test_retire_waits_for_readers),
		TEST(test_endpoint_match),
		TEST(test_endpoint_match_many),
		TEST(test_label_sets),
		TEST(test_label_entries),
		TEST(test_port_binding),
		TEST(test_vrf_tables),
	};

	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
