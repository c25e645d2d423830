/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes: the kernel's rules for flags, what workers get of it, and dumps. */
#include "routes_fixture.h"

#include "control/netlink_route.h"

/* ---- what workers get -------------------------------------------------------------------- */

static void test_kinds_of_routes(void **state)
{
	must("add 10.50.0.0/16 via 10.0.0.5 dev p0");
	must("add 10.51.0.0/16 dev p0");
	must("add blackhole 10.52.0.0/16");
	must("add unreachable 10.53.0.0/16");
	must("add prohibit 10.54.0.0/16");
	must("add 10.55.0.0/16 dev red");
	must("add 10.56.0.0/16 dev lo");
	must("add 10.57.0.0/16 via fe80::7 dev p0");
	must("add local 10.58.0.1/32 dev lo table 255");
	assert_gateway(254, "10.50.1.1", "10.0.0.5");
	assert_type(254, "10.51.1.1", PW_NEXTHOP_GLEAN);
	assert_int_equal(lookup(254, "10.51.1.1")->interface, link_named("p0")->index);
	assert_type(254, "10.52.1.1", PW_NEXTHOP_BLACKHOLE);
	assert_type(254, "10.53.1.1", PW_NEXTHOP_UNREACHABLE);
	assert_type(254, "10.54.1.1", PW_NEXTHOP_PROHIBIT);
	assert_type(254, "10.55.1.1", PW_NEXTHOP_LOOKUP);
	assert_int_equal(lookup(254, "10.55.1.1")->vrf, pw_vrf_find(10));
	assert_type(254, "10.56.1.1", PW_NEXTHOP_BLACKHOLE);
	assert_gateway(254, "10.57.1.1", "fe80::7");
	assert_type(254, "10.58.0.1", PW_NEXTHOP_LOCAL);
	assert_type(254, "10.0.0.1", PW_NEXTHOP_LOCAL);
	assert_type(254, "10.0.0.77", PW_NEXTHOP_GLEAN);
	assert_type(254, "192.0.2.1", PW_NEXTHOP_NONE);
}

static void test_labels_are_imposed(void **state)
{
	const struct pw_nexthop *nexthop;

	must("add 10.50.0.0/16 encap 100/200/300 ttl 9 via 10.0.0.5 dev p0");
	nexthop = lookup(254, "10.50.0.1");
	assert_int_equal(nexthop->type, PW_NEXTHOP_NEIGHBOUR);
	assert_int_equal(nexthop->label_count, 3);
	assert_int_equal(nexthop->labels[0], 100 << 12);
	assert_int_equal(nexthop->labels[1], 200 << 12);
	assert_int_equal(nexthop->labels[2], 300 << 12 | 0x100);
	assert_int_equal(nexthop->label_ttl, 9);
	assert_int_equal(nexthop->flags, 0);
	must("add 10.51.0.0/16 encap 0 via 10.0.0.5 dev p0");
	assert_int_equal(lookup(254, "10.51.0.1")->labels[0], 0x100);
	assert_int_equal(lookup(254, "10.51.0.1")->label_ttl, 255);
}

static void test_gateway_without_device(void **state)
{
	must("add 10.50.0.0/16 via 10.1.0.9");
	assert_gateway(254, "10.50.0.1", "10.1.0.9");
	assert_int_equal(lookup(254, "10.50.0.1")->interface, link_named("p1")->index);
	must("add 2001:db8:5::/48 via 2001:db8::9");
	assert_gateway(254, "2001:db8:5::1", "2001:db8::9");
	/* A gateway must be on a link, not behind another gateway. */
	assert_int_equal(route("add 10.60.0.0/16 via 10.50.0.1"), -ENETUNREACH);
	assert_int_equal(route("add 10.60.0.0/16 via 10.50.0.1 dev p1"), -ENETUNREACH);
	/* A VRF's gateway is found in the VRF, else in the main table. */
	must("add 10.0.0.0/24 dev p1 table 10");
	must("add 10.60.0.0/16 via 10.0.0.7 table 10");
	assert_int_equal(lookup(10, "10.60.0.1")->interface, link_named("p1")->index);
	must("add 10.61.0.0/16 via 10.1.0.7 table 10");
	assert_gateway(10, "10.61.0.1", "10.1.0.7");
}

static void test_tables_are_apart(void **state)
{
	must("add 10.50.0.0/16 via 10.0.0.5 dev p0");
	must("add 10.50.0.0/16 via 10.0.0.6 dev p0 table 10");
	must("add 10.50.0.0/16 via 10.0.0.7 dev p0 table 1000000");
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	assert_gateway(10, "10.50.0.1", "10.0.0.6");
	assert_gateway(1000000, "10.50.0.1", "10.0.0.7");
	must("del 10.50.0.0/16 table 10");
	assert_type(10, "10.50.0.1", PW_NEXTHOP_NONE);
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
}

static void test_vrf_goes_with_its_last_route(void **state)
{
	int vrf;

	must("add 10.50.0.0/16 via 10.0.0.5 dev p0 table 77");
	vrf = pw_vrf_find(77);
	assert_true(vrf > 0);
	must("del 10.50.0.0/16 table 77");
	pw_retire_drain();
	assert_int_equal(pw_vrf_find(77), -ENOENT);
	/* Table 10 is red's: it stays without any route. */
	must("add 10.50.0.0/16 via 10.0.0.5 dev p0 table 10");
	must("del 10.50.0.0/16 table 10");
	pw_retire_drain();
	assert_true(pw_vrf_find(10) > 0);
	/* ... until red goes. */
	pw_link_delete(link_named("red"));
	settle();
	pw_retire_drain();
	assert_int_equal(pw_vrf_find(10), -ENOENT);
}

static void test_equal_next_hops_are_one(void **state)
{
	uint32_t before;
	char text[96];

	must("add 10.50.0.0/16 via 10.0.0.5 dev p0");
	before = pw_nexthops.ids_used;
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "add 172.16.%d.%d/32 via 10.0.0.5 dev p0", i / 256,
			 i % 256);
		must(text);
	}
	assert_int_equal(pw_nexthops.ids_used, before);
	assert_ptr_equal(lookup(254, "172.16.3.1"), lookup(254, "10.50.0.1"));
}

/* ---- flags ------------------------------------------------------------------------------- */

struct step {
	const char *command;
	int result;
	unsigned int routes; /* of the prefix, afterwards */
	const char *gateway; /* that workers use, afterwards */
};

static void steps_run(const struct step *steps, const char *prefix, unsigned int length)
{
	for (; steps->command; steps++) {
		int ret = route(steps->command);

		if (ret != steps->result)
			fail_msg("%s: %d (%s) instead of %d", steps->command, ret, said,
				 steps->result);
		if (routes_of(prefix, length) != steps->routes)
			fail_msg("%s: %u routes instead of %u", steps->command,
				 routes_of(prefix, length), steps->routes);
		if (strcmp(gateway_of(lookup(254, prefix)), steps->gateway) != 0)
			fail_msg("%s: via %s instead of %s", steps->command,
				 gateway_of(lookup(254, prefix)), steps->gateway);
	}
}

static void test_flags_ipv4(void **state)
{
	static const struct step steps[] = {
		{"change 10.50.0.0/16 via 10.0.0.5 dev p0", -ENOENT, 0, ""},
		{"add 10.50.0.0/16 via 10.0.0.5 dev p0", 0, 1, "10.0.0.5"},
		{"add 10.50.0.0/16 via 10.0.0.5 dev p0", -EEXIST, 1, "10.0.0.5"},
		{"add 10.50.0.0/16 via 10.0.0.6 dev p0", -EEXIST, 1, "10.0.0.5"},
		{"append 10.50.0.0/16 via 10.0.0.5 dev p0", -EEXIST, 1, "10.0.0.5"},
		{"append 10.50.0.0/16 via 10.0.0.6 dev p0", 0, 2, "10.0.0.5"},
		{"prepend 10.50.0.0/16 via 10.0.0.7 dev p0", 0, 3, "10.0.0.7"},
		{"prepend 10.50.0.0/16 via 10.0.0.6 dev p0", -EEXIST, 3, "10.0.0.7"},
		{"change 10.50.0.0/16 via 10.0.0.8 dev p0", 0, 3, "10.0.0.8"},
		{"replace 10.50.0.0/16 via 10.0.0.8 dev p0", 0, 3, "10.0.0.8"},
		{"replace 10.50.0.0/16 via 10.0.0.6 dev p0", -EEXIST, 3, "10.0.0.8"},
		{"add 10.50.0.0/16 via 10.0.0.9 dev p0 metric 5", 0, 4, "10.0.0.8"},
		{"replace 10.50.0.0/16 via 10.0.0.10 dev p0 metric 3", 0, 5, "10.0.0.8"},
		{"change 10.50.0.0/16 via 10.0.0.11 dev p0 metric 4", -ENOENT, 5, "10.0.0.8"},
		{"del 10.50.0.0/16 via 10.0.0.77", -ESRCH, 5, "10.0.0.8"},
		{"del 10.50.0.0/16 metric 9", -ESRCH, 5, "10.0.0.8"},
		{"del blackhole 10.50.0.0/16", -ESRCH, 5, "10.0.0.8"},
		{"del 10.50.0.0/16 proto 77", -ESRCH, 5, "10.0.0.8"},
		{"del 10.50.0.0/16 dev p1", -ESRCH, 5, "10.0.0.8"},
		{"del 10.50.0.0/17", -ESRCH, 5, "10.0.0.8"},
		{"del 10.50.0.0/16 via 10.0.0.5 dev p0", 0, 4, "10.0.0.8"},
		{"del 10.50.0.0/16", 0, 3, "10.0.0.6"},
		{"del 10.50.0.0/16", 0, 2, "10.0.0.10"},
		{"del 10.50.0.0/16 metric 5", 0, 1, "10.0.0.10"},
		{"del 10.50.0.0/16", 0, 0, ""},
		{"del 10.50.0.0/16", -ESRCH, 0, ""},
		{0},
	};

	steps_run(steps, "10.50.0.0", 16);
}

static void test_flags_ipv6(void **state)
{
	static const struct step steps[] = {
		{"change 2001:db8:5::/48 via 2001:db8::5 dev p0", -ENOENT, 0, ""},
		{"add 2001:db8:5::/48 via 2001:db8::5 dev p0", 0, 1, "2001:db8::5"},
		{"add 2001:db8:5::/48 via 2001:db8::6 dev p0", -EEXIST, 1, "2001:db8::5"},
		{"append 2001:db8:5::/48 via 2001:db8::5 dev p0", -EEXIST, 1, "2001:db8::5"},
		/* Gateways of one metric are siblings: one multipath route. */
		{"append 2001:db8:5::/48 via 2001:db8::6 dev p0", 0, 1, ""},
		{"del 2001:db8:5::/48 via 2001:db8::7 dev p0", -ESRCH, 1, ""},
		{"del 2001:db8:5::/48 via 2001:db8::5 dev p0", 0, 1, "2001:db8::6"},
		{"append 2001:db8:5::/48 dev p0", 0, 2, "2001:db8::6"},
		{"replace 2001:db8:5::/48 via 2001:db8::8 dev p0", 0, 2, "2001:db8::8"},
		{"add 2001:db8:5::/48 via 2001:db8::9 dev p0 metric 5", 0, 3, "2001:db8::9"},
		{"del 2001:db8:5::/48 metric 5", 0, 2, "2001:db8::8"},
		{"del 2001:db8:5::/48 via 2001:db8::8", 0, 1, ""},
		{"del 2001:db8:5::/48", 0, 0, ""},
		{"del 2001:db8:5::/48", -ESRCH, 0, ""},
		{0},
	};

	steps_run(steps, "2001:db8:5::", 48);
	must("add 2001:db8:5::/48 via 2001:db8::5");
	must("append 2001:db8:5::/48 via 2001:db8::6");
	assert_type(254, "2001:db8:5::1", PW_NEXTHOP_GROUP);
}

static void test_metric_and_backup(void **state)
{
	must("add 10.50.0.0/16 via 10.0.0.5 dev p0 metric 20");
	must("add 10.50.0.0/16 via 10.1.0.5 dev p1 metric 30");
	must("add 10.0.0.0/8 via 10.1.0.6 dev p1");
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	link_set("p0", true, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.5");
	link_set("p0", true, true);
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	link_set("p0", false, false);
	assert_gateway(254, "10.50.0.1", "10.1.0.5");
	/* Without a backup the shorter prefix takes over. */
	must("del 10.50.0.0/16 metric 30");
	assert_gateway(254, "10.50.0.1", "10.1.0.6");
	assert_int_equal(routes_of("10.50.0.0", 16), 1);
	link_set("p0", true, true);
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
}

static void test_local_wins_neighbour_yields(void **state)
{
	struct pw_address host = address_of("10.0.0.9");
	struct pw_link *p0 = link_named("p0");
	uint32_t id;

	assert_return_code(pw_neighbour_take(p0, &host, &id), 0);
	assert_return_code(pw_route_internal(PW_ROUTE_NEIGHBOUR, p0, &host, 32, id, true), 0);
	assert_gateway(254, "10.0.0.9", "10.0.0.9");
	must("add blackhole 10.0.0.9/32");
	assert_type(254, "10.0.0.9", PW_NEXTHOP_BLACKHOLE);
	assert_return_code(pw_route_internal(PW_ROUTE_LOCAL, p0, &host, 32, 0, true), 0);
	assert_type(254, "10.0.0.9", PW_NEXTHOP_LOCAL);
	assert_return_code(pw_route_internal(PW_ROUTE_LOCAL, p0, &host, 32, 0, true), 0);
	assert_return_code(pw_route_internal(PW_ROUTE_LOCAL, p0, &host, 32, 0, false), 0);
	assert_type(254, "10.0.0.9", PW_NEXTHOP_LOCAL); /* counted */
	assert_return_code(pw_route_internal(PW_ROUTE_LOCAL, p0, &host, 32, 0, false), 0);
	assert_int_equal(pw_route_internal(PW_ROUTE_LOCAL, p0, &host, 32, 0, false), -ENOENT);
	must("del blackhole 10.0.0.9/32");
	assert_gateway(254, "10.0.0.9", "10.0.0.9");
	/* A neighbour's route is nobody's to delete. */
	assert_int_equal(route("del 10.0.0.9/32"), -ESRCH);
	assert_return_code(pw_route_internal(PW_ROUTE_NEIGHBOUR, p0, &host, 32, id, false), 0);
	assert_type(254, "10.0.0.9", PW_NEXTHOP_GLEAN);
	pw_neighbour_drop(id);
}

/* A route that only says by which device a host is reached does not hide its neighbour. */
static void test_host_by_device(void **state)
{
	struct pw_address host = address_of("10.77.0.9");
	struct pw_link *p0 = link_named("p0");
	uint32_t id;

	must("add 10.77.0.9/32 dev p0");
	assert_type(254, "10.77.0.9", PW_NEXTHOP_GLEAN);
	assert_return_code(pw_neighbour_take(p0, &host, &id), 0);
	assert_return_code(pw_route_internal(PW_ROUTE_NEIGHBOUR, p0, &host, 32, id, true), 0);
	settle();
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	/* Another device's, a gateway and labels are somebody else's business. */
	must("replace 10.77.0.9/32 dev p1");
	assert_type(254, "10.77.0.9", PW_NEXTHOP_GLEAN);
	must("replace 10.77.0.9/32 via 10.0.0.5 dev p0");
	assert_gateway(254, "10.77.0.9", "10.0.0.5");
	must("replace 10.77.0.9/32 dev p0 onlink");
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	/* With a backup, and as one. */
	must("add 10.77.0.9/32 via 10.1.0.6 dev p1 metric 9");
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	link_set("p0", false, true);
	assert_gateway(254, "10.77.0.9", "10.1.0.6");
	link_set("p0", true, true);
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	must("del 10.77.0.9/32 dev p0");
	assert_gateway(254, "10.77.0.9", "10.1.0.6");
	must("add 10.77.0.9/32 dev p0 metric 20");
	link_set("p1", false, true);
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	link_set("p1", true, true);
	must("del 10.77.0.9/32 via 10.1.0.6 dev p1");
	assert_gateway(254, "10.77.0.9", "10.77.0.9");
	assert_return_code(pw_route_internal(PW_ROUTE_NEIGHBOUR, p0, &host, 32, id, false), 0);
	assert_type(254, "10.77.0.9", PW_NEXTHOP_GLEAN);
	must("del 10.77.0.9/32 dev p0");
	pw_neighbour_drop(id);
}

/* ---- links ------------------------------------------------------------------------------- */

static void test_link_deleted(void **state)
{
	uint32_t neighbours;

	add_port("p2", 2);
	add_address("p2", "10.2.0.1", 24);
	pw_retire_drain();
	neighbours = pw_neighbours.ids_used;
	must("add 10.50.0.0/16 via 10.2.0.5");
	must("add 10.51.0.0/16 nexthop via 10.2.0.5 nexthop via 10.0.0.5");
	must("add 10.52.0.0/16 dev p2 table 10");
	must("add 10.53.0.0/16 via 10.2.0.5 metric 5");
	must("add 10.53.0.0/16 via 10.0.0.5 metric 9");
	assert_type(254, "10.51.0.1", PW_NEXTHOP_GROUP);
	pw_nexthop_link_deleted(link_named("p2"));
	assert_type(254, "10.50.0.1", PW_NEXTHOP_NONE);
	assert_gateway(254, "10.51.0.1", "10.0.0.5");
	assert_type(10, "10.52.0.1", PW_NEXTHOP_NONE);
	assert_gateway(254, "10.53.0.1", "10.0.0.5");
	assert_type(254, "10.2.0.1", PW_NEXTHOP_NONE);
	settle();
	pw_retire_drain();
	assert_int_equal(pw_neighbours.ids_used, neighbours + 1); /* 10.0.0.5 */
	pw_link_unregister(link_named("p2"));
}

/* ---- dumps ------------------------------------------------------------------------------- */

static unsigned int dump_count(const char *buffer, size_t size, uint8_t *seen)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
	unsigned int count = 0;
	int rest = (int)size;

	for (; mnl_nlmsg_ok(nlh, rest); nlh = mnl_nlmsg_next(nlh, &rest)) {
		const struct nlattr *attribute;

		mnl_attr_for_each(attribute, nlh, sizeof(struct rtmsg))
		{
			const uint8_t *bytes = mnl_attr_get_payload(attribute);

			if (mnl_attr_get_type(attribute) == RTA_DST)
				seen[bytes[2]]++;
		}
		count++;
	}
	return count;
}

/* Routes come and go while a dump is read a few at a time: those that stay are seen once. */
static void test_dump_while_changing(void **state)
{
	static char buffer[1024] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	static char out[2048] __attribute__((aligned(8)));
	struct pw_request request = {.nlh = nlh};
	struct pw_dump dump = {
		.request = &request, .nlh = nlh, .buffer = out, .size = 1100, .room = sizeof(out)};
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	uint8_t seen[256] = {0};
	unsigned int calls = 0;
	char text[96];
	int more = 1;

	rtm->rtm_family = AF_INET;
	mnl_attr_put_u32(nlh, RTA_TABLE, 10);
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "add 172.16.%d.0/24 via 10.0.0.5 dev p0 table 10", i);
		must(text);
	}
	while (more == 1) {
		dump.used = 0;
		more = pw_netlink_route_dump(&dump);
		dump_count(out, dump.used, seen);
		/* Even ones go, behind and before the cursor; new ones come. */
		snprintf(text, sizeof(text), "del 172.16.%u.0/24 table 10", (calls * 14) % 200);
		route(text);
		snprintf(text, sizeof(text), "add 172.16.%u.128/25 via 10.0.0.5 dev p0 table 10",
			 (calls * 14) % 200);
		route(text);
		calls++;
	}
	assert_int_equal(more, 0);
	assert_true(calls > 10);
	for (int i = 1; i < 200; i += 2)
		if (seen[i] != 1)
			fail_msg("172.16.%d.0/24 was seen %u times", i, seen[i]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds_of_routes),
		TEST(test_labels_are_imposed),
		TEST(test_gateway_without_device),
		TEST(test_tables_are_apart),
		TEST(test_vrf_goes_with_its_last_route),
		TEST(test_equal_next_hops_are_one),
		TEST(test_flags_ipv4),
		TEST(test_flags_ipv6),
		TEST(test_metric_and_backup),
		TEST(test_local_wins_neighbour_yields),
		TEST(test_host_by_device),
		TEST(test_link_deleted),
		TEST(test_dump_while_changing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
