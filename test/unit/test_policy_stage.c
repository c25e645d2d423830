/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage `policy` through the whole PE: what is protected, passes, and is dropped, and where. The
 * network comes by `ip` through pewter-run of the build in PW_BUILD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "pe_fixture.h"
#include "policy_pe.h"

#define THROUGH() send4(RED0, "10.1.0.2", "10.2.0.2")

static void test_none(void **state)
{
	uint64_t before = policed();

	THROUGH();
	routed(RED1);
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	routed(RED1);
	assert_int_equal(policed(), before);
}

static void test_bypass(void **state)
{
	uint64_t before = policed();

	red_policies((struct policies){0});
	THROUGH();
	routed(RED1);
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	routed(RED1);
	send4(RED0, "10.1.0.2", "10.100.0.2");
	tunnelled();
	assert_int_equal(policed(), before + 3);
	/* Other VRFs have nothing to do with it. */
	send4(BLUE, "10.20.0.2", "10.20.0.2");
	routed(BLUE);
	assert_int_equal(policed(), before + 3);
}

static void test_inward(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)}, .ins = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED1, "10.2.0.2", "10.1.0.2");
	routed(RED0);
	/* Nobody learns of it, whatever else is wrong with the packet. */
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_UDP, 1, 0, 7);
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED0, "10.1.0.2", "10.50.0.2");
	dropped(PW_DROP_POLICY_CLEAR);
	red_policies((struct policies){.in = {FROM(PW_POLICY_DISCARD, "10.1.0.0", 16)}, .ins = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.fwd_default = PW_POLICY_DISCARD});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.in_default = PW_POLICY_DISCARD});
	THROUGH();
	routed(RED1);
	/* Level use. */
	struct policies optional = {.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)}, .ins = 1};

	optional.in[0].flags = PW_POLICY_OPTIONAL;
	red_policies(optional);
	THROUGH();
	routed(RED1);
}

static void test_outward(void **state)
{
	red_policies((struct policies){
		.out = {TO(PW_POLICY_BYPASS, "10.2.0.2", 32), TO(PW_POLICY_PROTECT, "10.2.0.0", 16),
			rule(PW_POLICY_PROTECT, "::", 0, "2001:db8:2::", 64)},
		.outs = 3});
	THROUGH();
	routed(RED1);
	send4(RED0, "10.1.0.2", "10.2.0.3");
	tunnelled();
	send6(RED0, "2001:db8:1::2", "2001:db8:2::2");
	tunnelled();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.2.0.0", 16)}, .outs = 1});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.out_default = PW_POLICY_DISCARD});
	THROUGH();
	dropped(PW_DROP_POLICY_BLOCK);
}

/* What is to be protected needs no route, but what the administrator refused stays refused. */
static void test_routes(void **state)
{
	red_policies((struct policies){.out = {TO(PW_POLICY_PROTECT, "10.50.0.0", 16),
					       TO(PW_POLICY_PROTECT, "10.66.0.0", 16)},
				       .outs = 2});
	send4(RED0, "10.1.0.2", "10.50.0.2");
	tunnelled();
	send4(RED0, "10.1.0.2", "10.66.0.2");
	dropped(PW_DROP_ROUTE_BLACKHOLE);
	/* No route and no policy: the ICMP error is not what either is about. */
	send4(RED0, "10.1.0.2", "10.51.0.2");
	answered(RED0, ETHER + 9, IPPROTO_ICMP);
	/* Its time is up before it is sealed. */
	send4_as(RED0, "10.1.0.2", "10.50.0.2", IPPROTO_UDP, 1, 0, 7);
	answered(RED0, ETHER + 20, 11);
}

static void test_local(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)},
				       .ins = 1,
				       .out = {TO(PW_POLICY_PROTECT, "10.2.0.0", 16)},
				       .outs = 1});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_ICMP, 60, 0, 0);
	dropped(PW_DROP_POLICY_CLEAR);
	/* Key exchange comes through, as far as somebody serves it. */
	drops(PW_DROP_LOCAL_PORT);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 500);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 4500);
	run();
	assert_int_equal(drops(PW_DROP_LOCAL_PORT) + drops(PW_DROP_ESP_SPI), 2);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 501);
	dropped(PW_DROP_POLICY_CLEAR);
	/* So it does where no policy selects, and what passes through is not asked for. */
	red_policies((struct policies){.in_default = PW_POLICY_DISCARD});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 500);
	run();
	assert_int_equal(drops(PW_DROP_LOCAL_PORT), 1);
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_UDP, 60, 0, 501);
	dropped(PW_DROP_POLICY_BLOCK);
	red_policies((struct policies){.fwd_default = PW_POLICY_DISCARD});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_ICMP, 60, 0, 0);
	answered(RED0, ETHER + 20, 0);
	red_policies((struct policies){.out = {TO(PW_POLICY_PROTECT, "10.2.0.0", 16)}, .outs = 1});
	/* An answer of the PE itself goes the way of all: pinged, and by an ICMP error. */
	send4_as(RED1, "10.2.0.2", "10.2.0.1", IPPROTO_ICMP, 60, 0, 0);
	answered(CORE, INNER + 9, IPPROTO_ICMP);
	send4_as(RED1, "10.2.0.2", "10.1.0.2", IPPROTO_UDP, 1, 0, 7);
	answered(CORE, INNER + 20, 11);
}

/* What the PE itself sends did not come in. */
static void test_own(void **state)
{
	red_policies((struct policies){.in = {FROM(PW_POLICY_DISCARD, "10.1.0.1", 32)}, .ins = 1});
	send4_as(RED0, "10.1.0.2", "10.1.0.1", IPPROTO_ICMP, 60, 0, 0);
	answered(RED0, ETHER + 20, 0);
}

/* Nobody is asked for the neighbour of what is protected. */
static void test_unresolved(void **state)
{
	red_policies((struct policies){.out = {TO(PW_POLICY_PROTECT, "10.2.0.9", 32)}, .outs = 1});
	send4(RED0, "10.1.0.2", "10.2.0.9");
	tunnelled();
}

/* A later fragment of what is protected by its port does not leave in clear. */
static void test_fragment(void **state)
{
	struct policies policies = {.out = {TO(PW_POLICY_PROTECT, "10.2.0.0", 16)}, .outs = 1};

	policies.out[0].protocol = IPPROTO_UDP;
	policies.out[0].destination_port = RTE_BE16(7);
	policies.out[0].destination_port_mask = 0xffff;
	red_policies(policies);
	THROUGH();
	tunnelled();
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_UDP, 60, 100, 0);
	dropped(PW_DROP_POLICY_BLOCK);
	send4_as(RED0, "10.1.0.2", "10.2.0.2", IPPROTO_TCP, 60, 100, 0);
	routed(RED1);
}

/* ---- IPsec interfaces ----------------------------------------------------------------------- */

static void interface_is_judged(void)
{
	send4(RED0, "10.1.0.2", "10.60.1.2");
	tunnelled();
	send4(RED0, "10.1.0.2", "10.60.2.2");
	dropped(PW_DROP_POLICY_BLOCK);
	send4(RED0, "10.1.0.2", "10.60.3.2");
	dropped(PW_DROP_POLICY_NONE);
	send4(RED0, "10.1.0.2", "10.60.4.2");
	dropped(PW_DROP_POLICY_NONE);
}

static void test_interface(void **state)
{
	static const uint8_t prefix[] = {10, 60, 0, 0};
	struct policies policies = {.out = {TO(PW_POLICY_PROTECT, "10.60.1.0", 24),
					    TO(PW_POLICY_DISCARD, "10.60.2.0", 24),
					    TO(PW_POLICY_BYPASS, "10.60.3.0", 24)},
				    .outs = 3,
				    .out_default = PW_POLICY_DISCARD,
				    .in_default = PW_POLICY_DISCARD};
	struct pw_nexthop nexthop = {.type = PW_NEXTHOP_POLICY};
	uint32_t spd;

	assert_int_equal(pw_slot_alloc(&pw_spds, &spd), 0);
	spd_set(spd, &policies);
	assert_int_equal(pw_slot_alloc(&pw_nexthops, &nexthop.id), 0);
	nexthop.spd = spd;
	assert_int_equal(pw_slot_set(&pw_nexthops, nexthop.id, &nexthop), 0);
	assert_int_equal(pw_vrf_route_add(red, AF_INET, prefix, 16, nexthop.id), 0);
	interface_is_judged();
	send4_as(RED0, "10.1.0.2", "10.60.1.2", IPPROTO_UDP, 1, 0, 7);
	answered(RED0, ETHER + 20, 11);
	/* The VRF's own policies come first. */
	red_policies((struct policies){0});
	interface_is_judged();
	/* Where none selects, the interface's own do. */
	red_policies((struct policies){.out_default = PW_POLICY_DISCARD});
	interface_is_judged();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.60.1.0", 24)}, .outs = 1});
	send4(RED0, "10.1.0.2", "10.60.1.2");
	dropped(PW_DROP_POLICY_BLOCK);
	assert_int_equal(pw_vrf_set_spd(red, 0), 0);
	/* Gone is not open. */
	spd_free(spd);
	send4(RED0, "10.1.0.2", "10.60.1.2");
	dropped(PW_DROP_POLICY_NONE);
	assert_int_equal(pw_vrf_route_delete(red, AF_INET, prefix, 16), 0);
	pw_slot_free(&pw_nexthops, nexthop.id);
}

/* ---- several VRFs --------------------------------------------------------------------------- */

static void test_leaked(void **state)
{
	send4(RED0, "10.1.0.2", "10.20.0.2");
	routed(BLUE);
	blue_policies((struct policies){.in = {FROM(PW_POLICY_PROTECT, "10.1.0.0", 16)},
					.ins = 1,
					.out = {TO(PW_POLICY_PROTECT, "10.20.0.3", 32)},
					.outs = 1});
	send4(RED0, "10.1.0.2", "10.20.0.2");
	dropped(PW_DROP_POLICY_CLEAR);
	send4(RED0, "10.3.0.2", "10.20.0.2");
	routed(BLUE);
	send4(RED0, "10.3.0.2", "10.20.0.3");
	tunnelled();
	red_policies((struct policies){.out = {TO(PW_POLICY_DISCARD, "10.20.0.4", 32)}, .outs = 1});
	send4(RED0, "10.3.0.2", "10.20.0.4");
	dropped(PW_DROP_POLICY_BLOCK);
	send4(RED0, "10.3.0.2", "10.20.0.2");
	routed(BLUE);
	send4(RED0, "10.3.0.2", "10.20.0.3");
	tunnelled();
	/* Round and round. */
	send4(RED0, "10.3.0.2", "10.30.0.2");
	dropped(PW_DROP_ROUTE_LOOP);
}

/* Of one burst each packet meets its own VRF's policies. */
static void test_burst(void **state)
{
	unsigned int to_core = 0, to_red = 0, to_blue = 0;

	red_policies(
		(struct policies){.out = {TO(PW_POLICY_PROTECT, "10.2.0.2", 32),
					  rule(PW_POLICY_DISCARD, "::", 0, "2001:db8:2::", 64)},
				  .outs = 2});
	blue_policies((struct policies){.out = {TO(PW_POLICY_BYPASS, "10.20.0.2", 32)},
					.outs = 1,
					.out_default = PW_POLICY_DISCARD});
	drops(PW_DROP_POLICY_BLOCK);
	for (unsigned int i = 0; i < 20; i++) {
		THROUGH();                                     /* protected */
		send4(RED1, "10.2.0.2", "10.1.0.2");           /* passes */
		send6(RED0, "2001:db8:1::2", "2001:db8:2::2"); /* discarded */
		send4(BLUE, "10.20.0.9", "10.20.0.2");         /* passes */
		send4(BLUE, "10.20.0.9", "10.20.0.3");         /* discarded */
	}
	assert_int_equal(run(), 60);
	for (unsigned int i = 0; i < sent_count; i++) {
		to_core += sent[i].port == CORE;
		to_red += sent[i].port == RED0;
		to_blue += sent[i].port == BLUE;
	}
	assert_int_equal(to_core, 20);
	assert_int_equal(to_red, 20);
	assert_int_equal(to_blue, 20);
	assert_int_equal(drops(PW_DROP_POLICY_BLOCK), 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_none),     TEST(test_bypass),    TEST(test_inward), TEST(test_outward),
		TEST(test_routes),   TEST(test_local),     TEST(test_own),    TEST(test_unresolved),
		TEST(test_fragment), TEST(test_interface), TEST(test_leaked), TEST(test_burst),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
