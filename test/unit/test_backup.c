/* SPDX-License-Identifier: BSD-3-Clause */
/* Two routes of a prefix: the worse one takes over by a store, and gives back. */
#define FIXTURE_MEMORY    "512"
#define FIXTURE_LPM_BYTES (size_t)(512u << 20)
#include "routes_fixture.h"

#include <time.h>

#include "control/neighbours.h"
#include "lib/pewter_netlink.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_start, fixture_stop)

static void neighbour_state(const char *link, const char *text, uint8_t state)
{
	struct pw_address address = address_of(text);
	struct pw_link_neighbour *neighbour = pw_neighbour_find(link_named(link), &address);

	assert_non_null(neighbour);
	pw_neighbour_settle(neighbour, state, 0);
}

/* What workers have for the very prefix: it must not change when only a store is meant. */
static uint32_t installed(uint32_t table, const char *prefix)
{
	struct pw_address address = address_of(prefix);

	return pw_vrf_route_lookup((uint16_t)pw_vrf_find(table), address.family, address.bytes);
}

static int endpoint_set(const char *tunnel, const char *remote, uint8_t down)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct pw_address address = address_of(remote);

	nlh->nlmsg_type = PW_MSG_ENDPOINT_SET;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_strz(nlh, PW_ENDPOINT_SET_ATTR_TUNNEL, tunnel);
	put_address(nlh, PW_ENDPOINT_SET_ATTR_REMOTE, &address);
	mnl_attr_put_u8(nlh, PW_ENDPOINT_SET_ATTR_DOWN, down);
	said[0] = '\0';
	return pw_request_internal(nlh, said, sizeof(said));
}

/* The remote end that a TUNNEL next hop leads to. */
static const char *remote_of(const struct pw_nexthop *nexthop)
{
	static char text[INET6_ADDRSTRLEN];
	const struct pw_remote *remote;

	text[0] = '\0';
	if (nexthop->type == PW_NEXTHOP_TUNNEL) {
		remote = pw_remote_get(nexthop->endpoint);
		inet_ntop(remote->remote.family, remote->remote.bytes, text, sizeof(text));
	}
	return text;
}
#define assert_remote(table, to, remote) assert_string_equal(remote_of(lookup(table, to)), remote)

/* ---- triggers ---------------------------------------------------------------------------- */

static void test_neighbour(void **state)
{
	uint32_t id;

	must("add 10.50.0.0/16 via 10.0.0.5 metric 10");
	must("add 10.50.0.0/16 via 10.1.0.6 metric 20");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_REACHABLE);
	neighbour_state("p1", "10.1.0.6", PW_NEIGHBOUR_REACHABLE);
	settle();
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	id = installed(254, "10.50.0.1");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_FAILED);
	settle();
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	/* Neither: the better route says that its host is unreachable. */
	neighbour_state("p1", "10.1.0.6", PW_NEIGHBOUR_FAILED);
	settle();
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	neighbour_state("p1", "10.1.0.6", PW_NEIGHBOUR_REACHABLE);
	settle();
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_REACHABLE);
	settle();
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	assert_int_equal(installed(254, "10.50.0.1"), id);
}

static void test_link(void **state)
{
	uint32_t id;

	must("add 10.0.0.0/8 via 10.1.0.9 metric 5");
	must("add 10.50.0.0/16 via 10.0.0.5 metric 10");
	must("add 10.50.0.0/16 via 10.1.0.6 metric 20");
	id = installed(254, "10.50.0.1");
	link_set("p0", true, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	assert_int_equal(installed(254, "10.50.0.1"), id);
	/* Without any way the shorter prefix answers: it is unreachable by the same link. */
	link_set("p1", false, false);
	assert_int_not_equal(installed(254, "10.50.0.1"), id);
	link_set("p1", true, true);
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	link_set("p0", true, true);
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
}

static void test_endpoint(void **state)
{
	uint32_t id;

	must("add 10.255.0.0/16 via 10.0.0.5");
	assert_non_null(add_tunnel("gre1", "10.0.0.1", NULL));
	must("add 172.16.0.0/12 table 10 metric 10 encap 100 via 10.255.0.2 dev gre1");
	must("add 172.16.0.0/12 table 10 metric 20 encap 200 via 10.255.0.3 dev gre1");
	settle();
	assert_remote(10, "172.16.0.1", "10.255.0.2");
	assert_int_equal(lookup(10, "172.16.0.1")->labels[0] >> 12, 100);
	id = installed(10, "172.16.0.1");
	assert_return_code(endpoint_set("gre1", "10.255.0.2", 1), 0);
	settle();
	assert_remote(10, "172.16.0.1", "10.255.0.3");
	assert_int_equal(lookup(10, "172.16.0.1")->labels[0] >> 12, 200);
	assert_int_equal(installed(10, "172.16.0.1"), id);
	assert_return_code(endpoint_set("gre1", "10.255.0.2", 0), 0);
	settle();
	assert_remote(10, "172.16.0.1", "10.255.0.2");
	/* The way to it goes: the same. */
	must("add unreachable 10.255.0.2/32");
	assert_remote(10, "172.16.0.1", "10.255.0.3");
	must("del 10.255.0.2/32");
	assert_remote(10, "172.16.0.1", "10.255.0.2");
	assert_int_equal(installed(10, "172.16.0.1"), id);
	assert_int_equal(endpoint_set("gre1", "10.255.0.9", 1), -ENOENT);
	assert_string_equal(said, "\"gre1\" has no such remote end");
	assert_int_equal(endpoint_set("p0", "10.255.0.2", 1), -ENODEV);
	assert_int_equal(endpoint_set("gre1", "10.255.0.2", 2), -EINVAL);
}

/* The core has two ways to the PEs: its failure is a store below, whatever is above. */
static void test_underlay(void **state)
{
	uint32_t endpoint;

	must("add 10.255.0.0/16 via 10.0.0.5 metric 10");
	must("add 10.255.0.0/16 via 10.1.0.6 metric 20");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_REACHABLE);
	assert_non_null(add_tunnel("gre1", "10.0.0.1", NULL));
	must("add 172.16.0.0/12 table 10 encap 100 via 10.255.0.2 dev gre1");
	settle();
	endpoint = lookup(10, "172.16.0.1")->endpoint;
	assert_string_equal(gateway_of(pw_nexthop_get(pw_endpoint_get(endpoint)->underlay)),
			    "10.0.0.5");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_FAILED);
	settle();
	assert_string_equal(gateway_of(pw_nexthop_get(pw_endpoint_get(endpoint)->underlay)),
			    "10.1.0.6");
	assert_true(pw_endpoint_up(endpoint));
}

/* ---- which routes make a pair ------------------------------------------------------------ */

static void test_changes(void **state)
{
	uint32_t nexthops = pw_nexthops.ids_used;

	must("add 10.50.0.0/16 via 10.0.0.5 metric 10");
	must("add 10.50.0.0/16 via 10.1.0.6 metric 20");
	must("add 10.50.0.0/16 via 10.1.0.7 metric 30");
	must("del 10.50.0.0/16 metric 20");
	link_set("p0", true, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.7");
	link_set("p0", true, true);
	must("replace 10.50.0.0/16 via 10.1.0.8 metric 10");
	assert_gateway(254, "10.50.0.1", "10.1.0.8");
	must("add 10.50.0.0/16 via 10.0.0.5 metric 5");
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	link_set("p0", true, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.8");
	must("del 10.50.0.0/16 metric 10");
	assert_gateway(254, "10.50.0.1", "10.1.0.7");
	must("del 10.50.0.0/16 metric 30");
	assert_int_equal(lookup(254, "10.50.0.1")->type, PW_NEXTHOP_NONE);
	must("del 10.50.0.0/16 metric 5");
	link_set("p0", true, true);
	pw_retire_drain();
	assert_int_equal(pw_nexthops.ids_used, nexthops);
}

/* What is not meant to be got round is not. */
static void test_refusing_routes(void **state)
{
	must("add unreachable 10.50.0.0/16 metric 10");
	must("add 10.50.0.0/16 via 10.1.0.6 metric 20");
	assert_type(254, "10.50.0.1", PW_NEXTHOP_UNREACHABLE);
	must("add 10.51.0.0/16 via 10.0.0.5 metric 10");
	must("add prohibit 10.51.0.0/16 metric 20");
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_FAILED);
	settle();
	assert_gateway(254, "10.51.0.1", "10.0.0.5");
	link_set("p0", true, false);
	assert_type(254, "10.51.0.1", PW_NEXTHOP_PROHIBIT);
}

static void test_link_deleted(void **state)
{
	uint32_t nexthops = pw_nexthops.ids_used;

	must("add 10.255.0.0/16 via 10.0.0.5");
	for (unsigned int i = 0; i < 2; i++) {
		assert_non_null(add_tunnel("gre1", "10.0.0.1", NULL));
		must("add 172.16.0.0/12 table 10 metric 10 encap 100 via 10.255.0.2 dev gre1");
		must("add 172.16.0.0/12 table 10 metric 20 via 10.0.0.7 dev p0 onlink");
		assert_remote(10, "172.16.0.1", "10.255.0.2");
		pw_link_delete(link_named("gre1"));
		settle();
		assert_gateway(10, "172.16.0.1", "10.0.0.7");
		must("del 172.16.0.0/12 table 10");
	}
	must("del 10.255.0.0/16");
	pw_retire_drain();
	assert_int_equal(pw_nexthops.ids_used, nexthops);
}

/* Groups and objects as primary and backup. */
static void test_groups(void **state)
{
	must("add 10.50.0.0/16 metric 10 nexthop via 10.0.0.5 nexthop via 10.0.0.6");
	assert_return_code(nexthop("add 7 via 10.1.0.6 dev p1"), 0);
	must("add 10.50.0.0/16 metric 20 nhid 7");
	assert_type(254, "10.50.0.1", PW_NEXTHOP_GROUP);
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_FAILED);
	settle();
	assert_type(254, "10.50.0.1", PW_NEXTHOP_GROUP);
	neighbour_state("p0", "10.0.0.6", PW_NEIGHBOUR_FAILED);
	settle();
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	assert_return_code(nexthop("replace 7 via 10.1.0.7 dev p1"), 0);
	assert_gateway(254, "10.50.0.1", "10.1.0.7");
	assert_return_code(nexthop("del 7"), 0);
	assert_int_not_equal(lookup(254, "10.50.0.1")->type, PW_NEXTHOP_NONE);
	neighbour_state("p0", "10.0.0.6", PW_NEIGHBOUR_REACHABLE);
	settle();
	assert_type(254, "10.50.0.1", PW_NEXTHOP_GROUP);
}

/* Without an id for the pair there is no backup, but everything else. */
static void test_no_room(void **state)
{
	uint32_t ids[PW_NEXTHOPS], count = 0;

	must("add 10.50.0.0/16 via 10.0.0.5 metric 10");
	must("add 10.51.0.0/16 via 10.1.0.6");
	while (!pw_slot_alloc(&pw_nexthops, &ids[count]))
		count++;
	must("add 10.50.0.0/16 via 10.1.0.6 metric 20");
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	link_set("p0", true, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	link_set("p0", true, true);
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	while (count)
		pw_slot_free(&pw_nexthops, ids[--count]);
}

/* ---- against a model --------------------------------------------------------------------- */

#define PREFIXES 24
#define METRICS  4
#define GATEWAYS 4 /* two on each of two links */

static const char *const gateways[GATEWAYS] = {"10.0.0.5", "10.0.0.6", "10.1.0.5", "10.1.0.6"};

/* The first whose link is up is what packets take. */
static void model_check(uint8_t there[PREFIXES][METRICS], const bool up[2])
{
	for (unsigned int p = 0; p < PREFIXES; p++) {
		const char *expected = "";
		char to[32];

		snprintf(to, sizeof(to), "10.%u.0.1", 50 + p);
		for (unsigned int m = METRICS; m-- > 0;)
			if (there[p][m] && up[(there[p][m] - 1) / 2])
				expected = gateways[there[p][m] - 1];
		assert_gateway(254, to, expected);
	}
}

static void test_model(void **state)
{
	uint8_t there[PREFIXES][METRICS] = {0}; /* gateway + 1 */
	bool up[2] = {true, true};
	uint32_t nexthops = pw_nexthops.ids_used;
	char text[96];

	srand(1);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int p = (unsigned int)rand() % PREFIXES,
			     m = (unsigned int)rand() % METRICS;
		unsigned int g = (unsigned int)rand() % GATEWAYS, what = (unsigned int)rand() % 10;

		if (what == 0) {
			up[p % 2] = !up[p % 2];
			link_set(p % 2 ? "p1" : "p0", true, up[p % 2]);
		} else if (what < 4 && there[p][m]) {
			snprintf(text, sizeof(text), "del 10.%u.0.0/16 metric %u", 50 + p, m + 1);
			must(text);
			there[p][m] = 0;
		} else {
			snprintf(text, sizeof(text),
				 "replace 10.%u.0.0/16 via %s dev %s onlink metric %u", 50 + p,
				 gateways[g], g / 2 ? "p1" : "p0", m + 1);
			must(text);
			there[p][m] = (uint8_t)(g + 1);
		}
		model_check(there, up);
	}
	link_set("p0", true, true);
	link_set("p1", true, true);
	for (unsigned int p = 0; p < PREFIXES; p++)
		for (unsigned int m = 0; m < METRICS; m++)
			if (there[p][m]) {
				snprintf(text, sizeof(text), "del 10.%u.0.0/16 metric %u", 50 + p,
					 m + 1);
				must(text);
			}
	pw_retire_drain();
	assert_int_equal(pw_nexthops.ids_used, nexthops);
}

/* ---- how long it takes ------------------------------------------------------------------- */

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void many_add(unsigned int vrf, unsigned int n, unsigned int metric)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "add 172.%u.%u.0/24 table %u metric %u encap %u via 10.255.0.%u dev gre1", n >> 8,
		 n & 255, 1000 + vrf, metric, 1000 * metric + vrf, metric);
	if (pw_request_internal(route_message(text), said, sizeof(said)))
		fail_msg("%s: %s", text, said);
}

/*
 * One label for each VRF: a pair for each, whatever the number of routes. PW_TEST_ROUTES sets
 * that; the time must not depend on it, and is printed.
 */
static void test_time(void **state)
{
	const char *wanted = getenv("PW_TEST_ROUTES");
	unsigned int routes = wanted ? (unsigned int)atoi(wanted) : 20000, vrfs = 100;
	double start, best = 1e9;

	must("add 10.255.0.0/16 via 10.0.0.5");
	assert_non_null(add_tunnel("gre1", "10.0.0.1", NULL));
	if (routes > 200000)
		vrfs = 1000;
	for (unsigned int i = 0; i < routes; i++) {
		many_add(i % vrfs, i / vrfs, 1);
		many_add(i % vrfs, i / vrfs, 2);
	}
	settle();
	pw_retire_drain();
	for (unsigned int i = 0; i < 10; i++) {
		assert_remote(1000, "172.0.0.1", "10.255.0.1");
		start = milliseconds();
		assert_return_code(endpoint_set("gre1", "10.255.0.1", 1), 0);
		pw_resolve();
		if (milliseconds() - start < best)
			best = milliseconds() - start;
		assert_remote(1000, "172.0.0.1", "10.255.0.2");
		assert_remote(1000 + vrfs - 1, "172.0.0.1", "10.255.0.2");
		assert_return_code(endpoint_set("gre1", "10.255.0.1", 0), 0);
		pw_resolve();
		pw_retire_drain();
	}
	printf("%u routes in %u VRFs moved to their backups in %.3f ms\n", routes, vrfs, best);
	assert_true(best < 100); /* far above, for sanitizers; a walk over the routes is more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_neighbour),    TEST(test_link),    TEST(test_endpoint),
		TEST(test_underlay),     TEST(test_changes), TEST(test_refusing_routes),
		TEST(test_link_deleted), TEST(test_groups),  TEST(test_no_room),
		TEST(test_model),        TEST(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
