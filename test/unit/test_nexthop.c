/* SPDX-License-Identifier: BSD-3-Clause */
/* Next-hop objects, groups, endpoints: what follows links, neighbours and the underlay. */
#include "routes_fixture.h"

#include "control/neighbours.h"

/* How many buckets of a route's group lead to the gateway. */
static unsigned int buckets_to(const struct pw_nexthop *nexthop, const char *gateway)
{
	const struct pw_group *group = pw_slot_get(&pw_groups, nexthop->group);
	unsigned int count = 0;

	assert_int_equal(nexthop->type, PW_NEXTHOP_GROUP);
	for (unsigned int i = 0; i < PW_GROUP_BUCKETS; i++)
		count += strcmp(gateway_of(pw_nexthop_get(group->bucket[i])), gateway) == 0;
	return count;
}

static void neighbour_state(const char *link, const char *text, uint8_t state)
{
	struct pw_address address = address_of(text);
	struct pw_link_neighbour *neighbour = pw_neighbour_find(link_named(link), &address);

	assert_non_null(neighbour);
	pw_neighbour_settle(neighbour, state, 0);
	settle();
}

/* ---- groups ------------------------------------------------------------------------------ */

static void test_weights(void **state)
{
	const struct pw_nexthop *nexthop;

	must("add 10.50.0.0/16 nexthop via 10.0.0.5 nexthop via 10.0.0.6");
	nexthop = lookup(254, "10.50.0.1");
	assert_int_equal(buckets_to(nexthop, "10.0.0.5"), 32);
	assert_int_equal(buckets_to(nexthop, "10.0.0.6"), 32);
	must("replace 10.50.0.0/16 nexthop via 10.0.0.5 weight 3 nexthop via 10.0.0.6");
	nexthop = lookup(254, "10.50.0.1");
	assert_int_equal(buckets_to(nexthop, "10.0.0.5"), 48);
	assert_int_equal(buckets_to(nexthop, "10.0.0.6"), 16);
	/* A small weight beside a large one still gets something. */
	must("replace 10.50.0.0/16 nexthop via 10.0.0.5 weight 256 nexthop via 10.0.0.6 nexthop "
	     "via 10.0.0.7");
	nexthop = lookup(254, "10.50.0.1");
	assert_int_equal(buckets_to(nexthop, "10.0.0.5"), 62);
	assert_int_equal(buckets_to(nexthop, "10.0.0.6"), 1);
	assert_int_equal(buckets_to(nexthop, "10.0.0.7"), 1);
}

static void test_64_members(void **state)
{
	struct nlmsghdr *nlh;
	char text[32];

	for (int count = 64; count <= 65; count++) {
		struct nlattr *nest;

		nlh = route_message("add 10.50.0.0/16");
		nest = mnl_attr_nest_start(nlh, RTA_MULTIPATH);
		for (int i = 0; i < count; i++) {
			struct rtnexthop *rtnh = mnl_nlmsg_get_payload_tail(nlh);
			uint8_t gateway[4] = {10, 0, 0, (uint8_t)(i + 2)};

			memset(rtnh, 0, sizeof(*rtnh));
			nlh->nlmsg_len += sizeof(*rtnh);
			mnl_attr_put(nlh, RTA_GATEWAY, 4, gateway);
			rtnh->rtnh_len = sizeof(*rtnh) + 8;
		}
		mnl_attr_nest_end(nlh, nest);
		assert_int_equal(send_message(nlh), count == 64 ? 0 : -EINVAL);
	}
	assert_non_null(strstr(said, "More than 64"));
	for (int i = 0; i < 64; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i + 2);
		assert_int_equal(buckets_to(lookup(254, "10.50.0.1"), text), 1);
	}
}

/* A dead member's buckets go to the others; theirs stay where they were. */
static void test_dead_member_leaves(void **state)
{
	const struct pw_group *group;
	struct pw_group before;
	uint32_t id;

	must("add 10.50.0.0/16 nexthop via 10.0.0.5 nexthop via 10.1.0.6 nexthop via 10.0.0.7");
	id = lookup(254, "10.50.0.1")->id;
	before = *(const struct pw_group *)pw_slot_get(&pw_groups, pw_nexthop_get(id)->group);
	link_set("p1", true, false);
	group = pw_slot_get(&pw_groups, pw_nexthop_get(id)->group);
	for (unsigned int i = 0; i < PW_GROUP_BUCKETS; i++) {
		const struct pw_nexthop *now = pw_nexthop_get(group->bucket[i]);

		assert_int_equal(now->type, PW_NEXTHOP_NEIGHBOUR);
		assert_string_not_equal(gateway_of(now), "10.1.0.6");
		if (pw_nexthop_get(before.bucket[i])->type == PW_NEXTHOP_NEIGHBOUR)
			assert_int_equal(group->bucket[i], before.bucket[i]);
	}
	assert_int_equal(buckets_to(pw_nexthop_get(id), "10.0.0.5"), 32);
	link_set("p1", true, true);
	group = pw_slot_get(&pw_groups, pw_nexthop_get(id)->group);
	assert_memory_equal(group, &before, sizeof(before));
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_FAILED);
	assert_int_equal(buckets_to(pw_nexthop_get(id), "10.0.0.5"), 0);
	neighbour_state("p0", "10.0.0.5", PW_NEIGHBOUR_REACHABLE);
	group = pw_slot_get(&pw_groups, pw_nexthop_get(id)->group);
	assert_memory_equal(group, &before, sizeof(before));
	/* All dead: the route steps aside. */
	link_set("p0", true, false);
	link_set("p1", true, false);
	assert_type(254, "10.50.0.1", PW_NEXTHOP_NONE);
	assert_int_equal(pw_nexthop_get(id)->type, PW_NEXTHOP_UNREACHABLE);
	link_set("p0", true, true);
	assert_int_equal(buckets_to(lookup(254, "10.50.0.1"), "10.0.0.7"), 32);
}

/* ---- objects ----------------------------------------------------------------------------- */

static void test_objects(void **state)
{
	const struct pw_nexthop *group;
	uint32_t id;

	assert_return_code(nexthop("add 1 via 10.0.0.5 dev p0"), 0);
	assert_return_code(nexthop("add 2 via 10.1.0.6 dev p1 encap 77"), 0);
	assert_return_code(nexthop("add 3 blackhole"), 0);
	assert_return_code(nexthop("add 9 group 1,3/2"), 0);
	must("add 10.50.0.0/16 nhid 1");
	must("add 10.51.0.0/16 nhid 9");
	must("add 10.52.0.0/16 nhid 3");
	assert_gateway(254, "10.50.0.1", "10.0.0.5");
	assert_type(254, "10.52.0.1", PW_NEXTHOP_BLACKHOLE);
	group = lookup(254, "10.51.0.1");
	assert_int_equal(buckets_to(group, "10.0.0.5"), 48);
	assert_int_equal(buckets_to(group, "10.1.0.6"), 16);
	/* A replacement moves every route by one store; the routes' id stays. */
	id = lookup(254, "10.50.0.1")->id;
	assert_return_code(nexthop("replace 1 via 10.0.0.8 dev p0"), 0);
	assert_gateway(254, "10.50.0.1", "10.0.0.8");
	assert_int_equal(lookup(254, "10.50.0.1")->id, id);
	assert_int_equal(buckets_to(lookup(254, "10.51.0.1"), "10.0.0.8"), 48);
	/* A deleted object takes its routes along and leaves its groups. */
	assert_return_code(nexthop("del 1"), 0);
	assert_type(254, "10.50.0.1", PW_NEXTHOP_NONE);
	assert_int_equal(buckets_to(lookup(254, "10.51.0.1"), "10.1.0.6"), 64);
	assert_return_code(nexthop("del 2"), 0);
	assert_null(pw_object_find(9)); /* an empty group goes */
	assert_type(254, "10.51.0.1", PW_NEXTHOP_NONE);
	assert_int_equal(nexthop("del 2"), -ENOENT);
	/* The id is free for another. */
	assert_return_code(nexthop("add 1 blackhole"), 0);
	must("add 10.50.0.0/16 nhid 1");
	assert_type(254, "10.50.0.1", PW_NEXTHOP_BLACKHOLE);
}

static void test_object_refusals(void **state)
{
	static const struct refusal refusals[] = {
		{"add 1 via 10.0.0.5 dev p0", -EEXIST, "in use"},
		{"change 99 via 10.0.0.5 dev p0", -ENOENT, "Replace specified without create"},
		{"add 10 via 10.0.0.5", -EINVAL, "Device attribute required"},
		{"add 10 via 10.200.0.5 dev p0", -ENETUNREACH, "invalid gateway"},
		{"add 10 dev nosuch", -ENODEV, "does not exist"},
		{"add 10 blackhole dev p0", -EINVAL, "Blackhole"},
		{"add 10 fdb dev p0", -EOPNOTSUPP, "fdb"},
		{"add 10 encap 3 via 10.0.0.5 dev p0", -EINVAL, "Implicit NULL"},
		{"add 10 group 1/99", -EINVAL, "Invalid nexthop id 99"},
		{"add 10 group 1/1", -EINVAL, "twice"},
		{"add 10 group 1/5", -EINVAL, "group within a group"},
		{"add 10 group 1/3", -EINVAL, "Blackhole"},
		{"add 10 group 1/2 resilient", -EOPNOTSUPP, "Resilient"},
		{"add 10 group 1/2 dev p0", -EINVAL, "No other attributes"},
		{"replace 5 via 10.0.0.5 dev p0", -EINVAL, "group with a nexthop"},
		{"replace 1 group 2", -EINVAL, "nexthop with a nexthop group"},
		{"replace 1 blackhole", -EINVAL, "Blackhole"},
		{"del 99", -ENOENT, "no nexthop has id 99"},
	};
	uint32_t ids;

	assert_return_code(nexthop("add 1 via 10.0.0.5 dev p0"), 0);
	assert_return_code(nexthop("add 2 via 10.1.0.6 dev p1"), 0);
	assert_return_code(nexthop("add 3 blackhole"), 0);
	assert_return_code(nexthop("add 5 group 1/2"), 0);
	pw_retire_drain();
	ids = pw_nexthops.ids_used;
	refused_all(refusals, RTE_DIM(refusals), nexthop);
	pw_retire_drain();
	assert_int_equal(pw_nexthops.ids_used, ids);
	assert_int_equal(nexthop("add 6 via 2001:db8::5 dev p0"), 0);
	assert_int_equal(route("add 10.50.0.0/16 nhid 6"), 0); /* RFC 5549 */
	assert_int_equal(route("add 2001:db8:5::/48 nhid 1"), -EINVAL);
	assert_int_equal(route("add 2001:db8:5::/48 nhid 6"), 0);
}

/* ---- endpoints --------------------------------------------------------------------------- */

static const struct pw_endpoint *endpoint_of(uint32_t table, const char *to)
{
	const struct pw_nexthop *nexthop = lookup(table, to);

	assert_int_equal(nexthop->type, PW_NEXTHOP_TUNNEL);
	return pw_endpoint_get(nexthop->endpoint);
}

static void test_multipoint_tunnel(void **state)
{
	const struct pw_endpoint *endpoint;
	struct pw_endpoint_key key;

	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	must("add 192.168.2.0/24 encap 100 via 10.9.0.2 dev mgre table 10");
	must("add 2001:db8:2::/48 encap 101 via ::ffff:10.9.0.2 dev mgre table 10");
	endpoint = endpoint_of(10, "192.168.2.1");
	assert_ptr_equal(endpoint_of(10, "2001:db8:2::1"), endpoint);
	assert_int_equal(endpoint->underlay, 0);
	key = endpoint->match;
	assert_int_equal(pw_endpoint_find(&key), endpoint->id);
	/* The underlay's route comes: a gateway, then the link itself. */
	must("add 10.9.0.0/16 via 10.0.0.254");
	endpoint = endpoint_of(10, "192.168.2.1");
	assert_string_equal(gateway_of(pw_nexthop_get(endpoint->underlay)), "10.0.0.254");
	assert_int_equal(endpoint->mtu, 1476);
	must("add 10.9.0.2/32 dev p1");
	endpoint = endpoint_of(10, "192.168.2.1");
	assert_string_equal(gateway_of(pw_nexthop_get(endpoint->underlay)), "10.9.0.2");
	link_named("p1")->mtu = 1400;
	link_set("p1", true, true);
	assert_int_equal(endpoint_of(10, "192.168.2.1")->mtu, 1376);
	must("del 10.9.0.2/32");
	must("replace 10.9.0.0/16 nexthop via 10.0.0.254 nexthop via 10.1.0.254");
	endpoint = endpoint_of(10, "192.168.2.1");
	assert_int_equal(pw_nexthop_get(endpoint->underlay)->type, PW_NEXTHOP_GROUP);
	assert_int_equal(endpoint->mtu, 1376);
	/* A tunnel is no way to a tunnel's end. */
	must("replace 10.9.0.0/16 dev mgre");
	assert_int_equal(endpoint_of(10, "192.168.2.1")->underlay, 0);
	assert_non_null(add_tunnel("gre1", "10.0.0.1", "10.0.0.99"));
	must("replace 10.9.0.0/16 dev gre1");
	endpoint = endpoint_of(10, "192.168.2.1");
	assert_int_equal(endpoint->underlay, 0);
	assert_non_null(strstr(pw_remote_get(endpoint->id)->down, "into a tunnel"));
	must("del 10.9.0.0/16");
	assert_int_equal(endpoint_of(10, "192.168.2.1")->underlay, 0);
	/* With the last route the endpoint goes, and with it the known source. */
	must("del 192.168.2.0/24 table 10");
	must("del 2001:db8:2::/48 table 10");
	pw_retire_drain();
	assert_int_equal(pw_endpoint_find(&key), 0);
	assert_int_equal(pw_endpoint_explain(&key), PW_ENDPOINT_MISS_SOURCE);
}

/* The outer header of the Cisco CSR's capture, but for length, id and checksum. */
static void test_ready_made_header(void **state)
{
	static const uint8_t header[24] = {0x45, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x2f, 0, 0,
					   1,    1, 1, 1, 2, 2, 2, 2, 0,    0,    0, 0};
	struct pw_link *mgre = add_tunnel("mgre", "1.1.1.1", NULL);
	const struct pw_endpoint *endpoint;
	uint32_t sum;

	mgre->tunnel.pmtudisc = false;
	pw_endpoint_tunnel_changed(mgre);
	must("add 192.168.2.0/24 encap 17 via 2.2.2.2 dev mgre");
	endpoint = endpoint_of(254, "192.168.2.1");
	assert_int_equal(endpoint->header_len, 24);
	assert_int_equal(endpoint->ip_len, 20);
	assert_memory_equal(endpoint->header, header, sizeof(header));
	assert_int_equal(endpoint->flags, 0);
	/* Length 0x80: the capture's checksum is b549. */
	sum = endpoint->partial_sum + 0x80;
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal((uint16_t)~sum, 0xb549);
	mgre->tunnel.pmtudisc = true;
	mgre->tunnel.key_set = true;
	mgre->tunnel.key = htonl(0x01020304);
	mgre->tunnel.ttl = 0;
	mgre->tunnel.tos = 1;
	pw_endpoint_tunnel_changed(mgre);
	settle();
	endpoint = endpoint_of(254, "192.168.2.1");
	assert_int_equal(endpoint->flags, PW_ENDPOINT_DF | PW_ENDPOINT_KEY |
						  PW_ENDPOINT_TTL_INHERIT |
						  PW_ENDPOINT_TOS_INHERIT);
	assert_int_equal(endpoint->header_len, 28);
	assert_int_equal(endpoint->header[6], 0x40);
	assert_int_equal(endpoint->header[8], 0);
	assert_int_equal(endpoint->header[20], 0x20);
	assert_int_equal(endpoint->header[24], 1);
	assert_int_equal(endpoint->header[27], 4);
	assert_int_equal(endpoint->ttl, 64);
	assert_int_equal(pw_endpoint_find(&endpoint->match), endpoint->id);
	/* The end's own address is mine. */
	assert_type(254, "1.1.1.1", PW_NEXTHOP_LOCAL);
	pw_link_delete(mgre);
	settle();
	assert_type(254, "1.1.1.1", PW_NEXTHOP_NONE);
	assert_type(254, "192.168.2.1", PW_NEXTHOP_NONE);
}

static void test_ipv6_underlay(void **state)
{
	struct pw_link *mgre = add_tunnel("mgre6", "2001:db8::1", NULL);
	const struct pw_endpoint *endpoint;

	mgre->tunnel.checksum = true;
	mgre->tunnel.sequence = true;
	pw_endpoint_tunnel_changed(mgre);
	assert_int_equal(route("add 192.168.2.0/24 encap 17 via 10.0.0.2 dev mgre6"), -EINVAL);
	assert_non_null(strstr(said, "underlay"));
	must("add 192.168.2.0/24 encap 17 via 2001:db8::2 dev mgre6");
	endpoint = endpoint_of(254, "192.168.2.1");
	assert_int_equal(endpoint->ip_len, 40);
	assert_int_equal(endpoint->header_len, 52);
	assert_int_equal(endpoint->header[0], 0x60);
	assert_int_equal(endpoint->header[6], 47);
	assert_int_equal(endpoint->header[40], 0x90);
	assert_int_equal(endpoint->mtu, 1500 - 52);
	assert_string_equal(gateway_of(pw_nexthop_get(endpoint->underlay)), "2001:db8::2");
}

/* A remote PE's death: one store, and the group goes on with the other. */
static void test_remote_dies(void **state)
{
	const struct pw_nexthop *nexthop;
	const struct pw_group *group;

	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	must("add 10.9.0.2/32 via 10.0.0.254");
	must("add 10.9.0.3/32 via 10.1.0.254");
	must("add 192.168.2.0/24 table 10 nexthop encap 100 via 10.9.0.2 dev mgre nexthop encap "
	     "100 "
	     "via 10.9.0.3 dev mgre");
	nexthop = lookup(10, "192.168.2.1");
	assert_int_equal(nexthop->type, PW_NEXTHOP_GROUP);
	must("del 10.9.0.2/32");
	group = pw_slot_get(&pw_groups, lookup(10, "192.168.2.1")->group);
	for (unsigned int i = 0; i < PW_GROUP_BUCKETS; i++) {
		nexthop = pw_nexthop_get(group->bucket[i]);
		assert_int_equal(pw_endpoint_get(nexthop->endpoint)->match.remote[3], 3);
	}
	must("add 10.9.0.2/32 via 10.0.0.254");
	neighbour_state("p1", "10.1.0.254", PW_NEIGHBOUR_FAILED);
	group = pw_slot_get(&pw_groups, lookup(10, "192.168.2.1")->group);
	for (unsigned int i = 0; i < PW_GROUP_BUCKETS; i++) {
		nexthop = pw_nexthop_get(group->bucket[i]);
		assert_int_equal(pw_endpoint_get(nexthop->endpoint)->match.remote[3], 2);
	}
}

static void test_nbma_map(void **state)
{
	struct pw_link *mgre = add_tunnel("mgre", "10.0.0.1", NULL);
	struct pw_address station = address_of("10.99.0.2"), remote = address_of("10.0.0.7");
	struct pw_link_neighbour *neighbour;

	add_address("mgre", "10.99.0.1", 24);
	assert_type(254, "10.99.0.2", PW_NEXTHOP_UNREACHABLE);
	neighbour = pw_neighbour_obtain(mgre, &station);
	assert_non_null(neighbour);
	assert_return_code(pw_neighbour_configure_nbma(neighbour, &remote, 0), 0);
	settle();
	assert_int_equal(endpoint_of(254, "10.99.0.2")->match.remote[3], 7);
	must("add 10.50.0.0/16 via 10.99.0.2");
	assert_int_equal(endpoint_of(254, "10.50.0.1")->match.remote[3], 7);
	remote = address_of("10.0.0.8");
	assert_return_code(pw_neighbour_configure_nbma(neighbour, &remote, 0), 0);
	settle();
	assert_int_equal(endpoint_of(254, "10.50.0.1")->match.remote[3], 8);
	assert_int_equal(endpoint_of(254, "10.99.0.2")->match.remote[3], 8);
	pw_neighbour_delete(neighbour);
	settle();
	assert_type(254, "10.99.0.2", PW_NEXTHOP_UNREACHABLE);
}

static void test_two_tunnels_with_the_same_ends(void **state)
{
	struct pw_tunnel wanted = {.local = address_of("10.0.0.1"), .ttl = 255};
	const char *why;

	assert_non_null(add_tunnel("mgre", "10.0.0.1", NULL));
	assert_int_equal(pw_endpoint_tunnel_check(&wanted, NULL, &why), -EEXIST);
	assert_int_equal(pw_endpoint_tunnel_check(&wanted, link_named("mgre"), &why), 0);
	wanted.remote = address_of("10.9.0.2");
	assert_int_equal(pw_endpoint_tunnel_check(&wanted, NULL, &why), 0);
	must("add 192.168.2.0/24 encap 100 via 10.9.0.2 dev mgre");
	assert_int_equal(pw_endpoint_tunnel_check(&wanted, NULL, &why), -EEXIST);
	assert_null(add_tunnel("gre1", "10.0.0.1", "10.9.0.2"));
	wanted.key_set = true;
	assert_int_equal(pw_endpoint_tunnel_check(&wanted, NULL, &why), 0);
	must("del 192.168.2.0/24");
	pw_retire_drain();
	assert_non_null(add_tunnel("gre1", "10.0.0.1", "10.9.0.2"));
	/* Now it is gre1's; the multipoint tunnel may not have it. */
	assert_int_equal(route("add 192.168.2.0/24 encap 100 via 10.9.0.2 dev mgre"), -EEXIST);
	assert_non_null(strstr(said, "Another tunnel"));
	must("add 192.168.2.0/24 encap 100 dev gre1");
	assert_int_equal(endpoint_of(254, "192.168.2.1")->match.remote[3], 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_weights),
		TEST(test_64_members),
		TEST(test_dead_member_leaves),
		TEST(test_objects),
		TEST(test_object_refusals),
		TEST(test_multipoint_tunnel),
		TEST(test_ready_made_header),
		TEST(test_ipv6_underlay),
		TEST(test_remote_dies),
		TEST(test_nbma_map),
		TEST(test_two_tunnels_with_the_same_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
