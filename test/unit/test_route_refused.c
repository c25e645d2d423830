/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes that are refused: how, and with nothing half-applied. */
#include "routes_fixture.h"

static void test_refusals(void **state)
{
	static const struct refusal refusals[] = {
		{"add 10.60.0.0/16 via 10.200.0.1", -ENETUNREACH, "invalid gateway"},
		{"add 10.60.0.0/16 via 10.200.0.1 dev p0", -ENETUNREACH, "invalid gateway"},
		{"add 10.60.0.0/16 via 10.1.0.5 dev p0", -ENETUNREACH, "invalid gateway"},
		{"add 10.60.0.0/16 via 10.0.0.1", -EINVAL, "invalid gateway"},
		{"add 10.60.0.0/16 via 224.0.0.1 dev p0", -EINVAL, "Invalid gateway address"},
		{"add 10.60.0.0/16 via 1.2.3.4 dev red", -EINVAL, "behind a VRF device"},
		{"add 10.60.0.0/16 dev nosuch", -ENODEV, "Device does not exist"},
		{"add 10.60.0.0/16", -ENODEV, "needs a device or a gateway"},
		{"add 10.60.0.0/16 dev off", -ENETDOWN, "not up"},
		{"add 10.60.0.1/16 via 10.0.0.5", -EINVAL, "Invalid prefix"},
		{"add 10.60.0.0/33 via 10.0.0.5", -EINVAL, "Invalid prefix length"},
		{"add 10.60.0.0/16 via 10.0.0.5 tos 8", -EOPNOTSUPP, "TOS"},
		{"add 10.60.0.0/16 via 10.0.0.5 mtu 1400", -EOPNOTSUPP, "\"mtu\""},
		{"add 10.60.0.0/16 via 10.0.0.5 ttl-propagate 1", -EOPNOTSUPP, "RTA_TTL_PROPAGATE"},
		{"add 10.60.0.0/16 via 10.0.0.5 as 100", -EOPNOTSUPP, "RTA_NEWDST"},
		{"add throw 10.60.0.0/16", -EOPNOTSUPP, "Throw routes"},
		{"add broadcast 10.60.0.0/16 dev p0", -EOPNOTSUPP, "multicast routes"},
		{"add blackhole 10.60.0.0/16 dev p0", -EINVAL, "route type"},
		{"add blackhole 10.60.0.0/16 via 10.0.0.5", -EINVAL, "route type"},
		{"add blackhole 10.60.0.0/16 encap 100", -EINVAL, "route type"},
		{"add 10.60.0.0/16 via 10.0.0.5 table 255", -EINVAL, "Table local"},
		{"add 10.60.0.0/16 encap 3 via 10.0.0.5", -EINVAL, "Implicit NULL"},
		{"add 10.60.0.0/16 encap 1 via 10.0.0.5", -EINVAL, "reserved"},
		{"add 10.60.0.0/16 encap 15 via 10.0.0.5", -EINVAL, "reserved"},
		{"add 10.60.0.0/16 encap 16/17/18/19/20 via 10.0.0.5", -EINVAL, "at most 4"},
		{"add 10.60.0.0/16 encap 100 dev p0", -EINVAL, "needs a gateway"},
		{"add 10.60.0.0/16 encap 100 dev red", -EINVAL, "needs a gateway"},
		{"add 10.60.0.0/16 nhid 4711", -EINVAL, "does not exist"},
		{"add 10.60.0.0/16 nhid 4711 via 10.0.0.5", -EINVAL, "mutually exclusive"},
		{"add 10.60.0.0/16 nexthop via 10.0.0.5 nexthop via 10.200.0.1", -ENETUNREACH,
		 "invalid gateway"},
		{"add 10.60.0.0/16 nexthop via 10.0.0.5 nexthop encap 3 via 10.0.0.6", -EINVAL,
		 "Implicit NULL"},
		{"add blackhole 10.60.0.0/16 nexthop via 10.0.0.5", -EINVAL, "route type"},
		{"add 2001:db8:5::/48 via fe80::1", -EINVAL, "needs a device"},
		{"add 2001:db8:5::/48 via 10.0.0.5 dev p0", -EINVAL, "RTA_VIA"},
		{"add 2001:db8:5::/48 via 2001:db8:77::1 dev p0", -EHOSTUNREACH, "invalid gateway"},
		{"add 2001:db8:5::/48", -EINVAL, "needs a device or a gateway"},
	};
	uint32_t nexthops, groups, neighbours;

	add_port("off", 2)->admin_up = false;
	pw_retire_drain();
	nexthops = pw_nexthops.ids_used;
	groups = pw_groups.ids_used;
	neighbours = pw_neighbours.ids_used;
	refused_all(refusals, RTE_DIM(refusals), route);
	/* Nothing half-applied: no route, and nothing left of what was taken on the way. */
	settle();
	pw_retire_drain();
	assert_int_equal(routes_of("10.60.0.0", 16), 0);
	assert_int_equal(pw_nexthops.ids_used, nexthops);
	assert_int_equal(pw_groups.ids_used, groups);
	assert_int_equal(pw_neighbours.ids_used, neighbours);
	/* "onlink" takes the word for it. */
	must("add 10.60.0.0/16 via 10.200.0.1 dev p0 onlink");
	assert_gateway(254, "10.60.0.1", "10.200.0.1");
}

/* The message cut off anywhere, and with single bytes changed: never a crash, never half. */
static void test_mutilated_messages(void **state)
{
	static const char *const texts[] = {
		"add 10.60.0.0/16 encap 100/200 ttl 5 via 10.0.0.5 dev p0 metric 7 src 10.0.0.1",
		"add 10.60.0.0/16 nexthop via 10.0.0.5 weight 2 nexthop encap 70 via 10.0.0.6",
		"add 100 as 200 via 10.0.0.5 dev p0",
		"add 2001:db8:5::/48 via 2001:db8::5 dev p0",
	};
	char copy[1024] __attribute__((aligned(8)));
	unsigned int refused = 0;

	for (unsigned int i = 0; i < 4; i++) {
		struct nlmsghdr *nlh = route_message(texts[i]);
		unsigned int size = nlh->nlmsg_len;

		memcpy(copy, nlh, size);
		for (unsigned int length = sizeof(*nlh); length < size; length++) {
			memcpy(message_buffer, copy, size);
			nlh->nlmsg_len = length;
			refused += send_message(nlh) != 0;
		}
		for (unsigned int at = sizeof(*nlh); at < size; at++)
			for (unsigned int value = 1; value < 256; value <<= 1) {
				memcpy(message_buffer, copy, size);
				message_buffer[at] ^= (char)value;
				refused += send_message(nlh) != 0;
			}
	}
	assert_true(refused > 1000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refusals),
		TEST(test_mutilated_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
