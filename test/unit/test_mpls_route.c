/* SPDX-License-Identifier: BSD-3-Clause */
/* AF_MPLS routes: what becomes of a label, what is refused, and who may use it. */
#include "routes_fixture.h"

#include "control/netlink_route.h"

static const struct pw_nexthop *way_of(uint32_t label)
{
	return pw_nexthop_get(pw_label_get(label).nexthop);
}

static void test_pop_into_vrf(void **state)
{
	must("add 100 dev red");
	assert_int_equal(pw_label_get(100).action, PW_LABEL_POP);
	assert_int_equal(pw_label_get(100).allowed, 0);
	assert_int_equal(pw_label_get(100).flags, 0);
	assert_int_equal(way_of(100)->type, PW_NEXTHOP_LOOKUP);
	assert_int_equal(way_of(100)->vrf, pw_vrf_find(10));
	must("add 101 dev lo");
	assert_int_equal(way_of(101)->type, PW_NEXTHOP_LOOKUP);
	assert_int_equal(way_of(101)->vrf, PW_VRF_DEFAULT);
	/* A label never outlives the VRF that it names. */
	pw_link_delete(link_named("red"));
	assert_int_equal(pw_label_get(100).action, PW_LABEL_NONE);
	assert_int_equal(pw_label_get(101).action, PW_LABEL_POP);
}

static void test_swap_and_php(void **state)
{
	must("add 100 as 200/201 via 10.0.0.5 dev p0");
	assert_int_equal(pw_label_get(100).action, PW_LABEL_SWAP);
	assert_string_equal(gateway_of(way_of(100)), "10.0.0.5");
	assert_int_equal(way_of(100)->label_count, 2);
	assert_int_equal(way_of(100)->labels[0], 200 << 12);
	assert_int_equal(way_of(100)->labels[1], 201 << 12 | 0x100);
	must("add 101 via 10.0.0.5 dev p0");
	assert_int_equal(pw_label_get(101).action, PW_LABEL_POP);
	assert_int_equal(way_of(101)->label_count, 0);
	must("add blackhole 102");
	assert_int_equal(pw_label_get(102).action, PW_LABEL_DISCARD);
	must("add 103 nexthop as 300 via 10.0.0.5 nexthop as 301 via 10.1.0.5");
	assert_int_equal(pw_label_get(103).action, PW_LABEL_SWAP);
	assert_int_equal(way_of(103)->type, PW_NEXTHOP_GROUP);
	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	must("add 104 as 400 via 10.9.0.2 dev mgre");
	assert_int_equal(way_of(104)->type, PW_NEXTHOP_TUNNEL);
}

static void test_flags(void **state)
{
	assert_int_equal(route("change 100 dev red"), -ENOENT);
	must("add 100 dev red");
	assert_int_equal(route("add 100 dev red"), -EEXIST);
	assert_int_equal(route("prepend 100 dev red"), -EEXIST);
	assert_int_equal(route("append 100 dev red"), -EOPNOTSUPP);
	must("change 100 via 10.0.0.5 dev p0");
	assert_string_equal(gateway_of(way_of(100)), "10.0.0.5");
	must("replace 100 dev red ttl-propagate 1");
	assert_int_equal(pw_label_get(100).flags, PW_LABEL_TTL_UNIFORM);
	must("replace 100 dev red ttl-propagate 0");
	assert_int_equal(pw_label_get(100).flags, PW_LABEL_TTL_PIPE);
	must("replace 101 dev red");
	assert_int_equal(route("del 100 proto 77"), -ESRCH);
	must("del 100");
	assert_int_equal(pw_label_get(100).action, PW_LABEL_NONE);
	assert_int_equal(route("del 100"), -ESRCH);
	assert_int_equal(pw_label_count(), 1);
}

static void test_refusals(void **state)
{
	static const struct refusal refusals[] = {
		{"add 0 dev red", -EINVAL, "must be 16 or higher"},
		{"add 3 dev red", -EINVAL, "must be 16 or higher"},
		{"add 15 dev red", -EINVAL, "must be 16 or higher"},
		{"add 100 dev nosuch", -ENODEV, "does not exist"},
		{"add 100 dev p0", -EINVAL, "needs a gateway"},
		{"add 100 via 10.200.0.1 dev p0", -ENETUNREACH, "invalid gateway"},
		{"add 100 as 3 via 10.0.0.5", -EINVAL, "Implicit NULL"},
		{"add 100 as 200 dev lo", -EINVAL, "lo"},
		{"add 100 as 200 dev red", -EINVAL, "gateway"},
		{"add 100 as 200/201/202/203/204 via 10.0.0.5", -EINVAL, "at most 4"},
		{"add 100 nexthop as 300 via 10.0.0.5 dev p0 nexthop via 10.1.0.5 dev p1", -EINVAL,
		 "not some this"},
		{"add 100 dev red table 10", -EINVAL, "main route table"},
		{"add 100 dev red metric 5", -EOPNOTSUPP, "not supported"},
		{"add 100 dev red ttl-propagate 2", -EINVAL, "0 or 1"},
		{"add 100 nhid 99", -EINVAL, "does not exist"},
		{"add unreachable 100", -EINVAL, "unicast and blackhole"},
	};
	uint32_t ids;

	pw_retire_drain();
	ids = pw_nexthops.ids_used;
	refused_all(refusals, RTE_DIM(refusals), route);
	settle();
	pw_retire_drain();
	assert_int_equal(pw_nexthops.ids_used, ids);
	assert_int_equal(pw_label_count(), 0);
	must("add 16 dev red");
	must("add 1048575 dev red");
}

static void test_objects(void **state)
{
	assert_return_code(nexthop("add 1 via 10.0.0.5 dev p0"), 0);
	assert_return_code(nexthop("add 2 via 10.0.0.6 dev p0 encap 77"), 0);
	assert_return_code(nexthop("add 3 group 1/2"), 0);
	must("add 100 nhid 1");
	must("add 101 nhid 2");
	assert_int_equal(route("add 102 nhid 3"), -EINVAL);
	assert_int_equal(pw_label_get(100).action, PW_LABEL_POP);
	assert_int_equal(pw_label_get(101).action, PW_LABEL_SWAP);
	assert_return_code(nexthop("replace 1 via 10.0.0.7 dev p0 encap 78"), 0);
	assert_int_equal(pw_label_get(100).action, PW_LABEL_SWAP);
	assert_int_equal(way_of(100)->labels[0], 78 << 12 | 0x100);
	assert_return_code(nexthop("del 1"), 0);
	assert_int_equal(pw_label_get(100).action, PW_LABEL_NONE);
	assert_int_equal(pw_label_count(), 1);
}

static bool allowed(uint32_t label, uint32_t endpoint)
{
	uint16_t set = pw_label_get(label).allowed;

	return !set || pw_label_allows(set, endpoint);
}

static void test_who_may_use_a_label(void **state)
{
	struct pw_address remotes[2] = {address_of("10.9.0.2"), address_of("::ffff:10.9.0.3")};
	uint32_t two, three, four;
	struct pw_link *mgre = add_tunnel("mgre", "10.0.0.1", NULL);
	struct pw_address fourth = address_of("10.9.0.4"), third = address_of("10.9.0.3");

	assert_int_equal(pw_label_allow(100, remotes, 2), -ENOENT);
	must("add 100 dev red");
	assert_return_code(pw_endpoint_take(mgre, &remotes[0], &two), 0);
	assert_return_code(pw_endpoint_take(mgre, &fourth, &four), 0);
	assert_true(allowed(100, four));
	assert_return_code(pw_label_allow(100, remotes, 2), 0);
	assert_true(allowed(100, two));
	assert_false(allowed(100, four));
	/* One that comes later is in the set too. */
	assert_return_code(pw_endpoint_take(mgre, &third, &three), 0);
	assert_false(allowed(100, three));
	settle();
	assert_true(allowed(100, three));
	/* ... and out of it when it goes. */
	pw_endpoint_drop(two);
	settle();
	assert_false(allowed(100, two));
	assert_true(allowed(100, three));
	/* A changed route keeps what was said about its label. */
	must("replace 100 via 10.0.0.5 dev p0");
	assert_false(allowed(100, four));
	assert_return_code(pw_label_allow(100, NULL, 0), 0);
	assert_true(allowed(100, four));
	pw_endpoint_drop(three);
	pw_endpoint_drop(four);
}

static void test_dump(void **state)
{
	static char buffer[256] __attribute__((aligned(8))), out[2048] __attribute__((aligned(8)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct pw_request request = {.nlh = nlh};
	struct pw_dump dump = {
		.request = &request, .nlh = nlh, .buffer = out, .size = 600, .room = sizeof(out)};
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	unsigned int count = 0;
	char text[32];
	int more = 1;

	rtm->rtm_family = AF_MPLS;
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "add %d dev red", 1000 + 7 * i);
		must(text);
	}
	while (more == 1) {
		const struct nlmsghdr *at = (const struct nlmsghdr *)out;
		int rest;

		dump.used = 0;
		more = pw_netlink_route_dump(&dump);
		rest = (int)dump.used;
		for (; mnl_nlmsg_ok(at, rest); at = mnl_nlmsg_next(at, &rest)) {
			const struct rtmsg *one = mnl_nlmsg_get_payload(at);

			assert_int_equal(one->rtm_family, AF_MPLS);
			assert_int_equal(one->rtm_dst_len, 20);
			count++;
		}
	}
	assert_int_equal(more, 0);
	assert_int_equal(count, 50);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pop_into_vrf), TEST(test_swap_and_php), TEST(test_flags),
		TEST(test_refusals),     TEST(test_objects),      TEST(test_who_may_use_a_label),
		TEST(test_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
