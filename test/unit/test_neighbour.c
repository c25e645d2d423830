/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbours, static and learned, NBMA maps, and packets that wait for them. */
#include "links_fixture.h"
#include "links_tunnel.h"

#include <stdlib.h>

#include <linux/neighbour.h>
#include <rte_ether.h>
#include <rte_ip.h>

static const uint8_t mac1[6] = {2, 0, 0, 0, 0, 1}, mac2[6] = {2, 0, 0, 0, 0, 2};

static int change_neighbour(uint16_t type, uint16_t flags, const char *link, const char *text,
			    const void *lladdr, size_t size, uint16_t nud)
{
	struct pw_address address = address_of(text);
	struct nlmsghdr *nlh = message(type, flags);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));

	header->ndm_family = address.family;
	header->ndm_ifindex = (int)link_named(link)->index;
	header->ndm_state = nud;
	mnl_attr_put(nlh, NDA_DST, pw_address_size(address.family), address.bytes);
	if (lladdr)
		mnl_attr_put(nlh, NDA_LLADDR, size, lladdr);
	return send_message(nlh);
}

static int add_neighbour(const char *link, const char *text, const uint8_t mac[6])
{
	return change_neighbour(RTM_NEWNEIGH, NEW, link, text, mac, 6, NUD_PERMANENT);
}

static const struct pw_link_neighbour *known(const char *link, const char *text)
{
	struct pw_address address = address_of(text);

	/* What a host route holds is let go of a grace period after it. */
	pw_resolve();
	pw_retire_drain();
	return pw_neighbour_find(link_named(link), &address);
}

static void learn(const char *link, const char *text, const uint8_t *mac, uint16_t nud)
{
	struct pw_address address = address_of(text);

	pw_neighbour_mirror(link_named(link), &address, mac, nud);
	pw_neighbour_flush();
}

static int start(void **state)
{
	int ret = fixture_start(state);

	assert_int_equal(link_up("p0", true), 0);
	assert_int_equal(link_up("p1", true), 0);
	assert_int_equal(add_address("p0", "10.0.0.1", 22), 0);
	assert_int_equal(add_address("p0", "2001:db8::1", 64), 0);
	return ret;
}

/* ---- packets ---- */

static void wait_for(const char *text)
{
	struct pw_address address = address_of(text);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	struct rte_ipv4_hdr *ip;

	assert_non_null(mbuf);
	ip = (struct rte_ipv4_hdr *)rte_pktmbuf_append(mbuf, 64);
	if (!ip)
		abort();
	memset(ip, 0, 64);
	ip->version_ihl = 0x45;
	memcpy(&ip->dst_addr, address.bytes, 4);
	memset(pw_packet(mbuf), 0, sizeof(struct pw_packet));
	pw_resolve();
	pw_packet(mbuf)->nexthop = pw_vrf_route_lookup(0, AF_INET, address.bytes);
	pw_neighbour_hold(mbuf);
}

/* Packets that went back to the workers; all must say that they were held. */
static unsigned int released(void)
{
	unsigned int count = 0;
	struct rte_mbuf *mbuf;

	while (!rte_ring_dequeue(pw_workers[0]->inject, (void **)&mbuf)) {
		assert_true(pw_packet(mbuf)->flags & PW_PACKET_RELEASED);
		rte_pktmbuf_free(mbuf);
		count++;
	}
	return count;
}

/* ---- tests ---- */

static void test_static(void **state)
{
	const struct pw_neighbour *object;

	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_GLEAN);
	assert_int_equal(add_neighbour("p0", "10.0.0.2", mac1), 0);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NEIGHBOUR);
	object = pw_neighbour_get(known("p0", "10.0.0.2")->id);
	assert_int_equal(object->state, PW_NEIGHBOUR_REACHABLE);
	assert_int_equal(object->rewrite_len, 14);
	assert_memory_equal(object->rewrite, mac1, 6);
	assert_memory_equal(object->rewrite + 6, link_named("p0")->mac, 6);
	assert_int_equal(object->interface, link_named("p0")->index);

	assert_int_equal(add_neighbour("p0", "10.0.0.2", mac2), -EEXIST);
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NLM_F_REPLACE, "p0", "10.0.0.2", mac2, 6,
					  NUD_PERMANENT),
			 0);
	assert_memory_equal(pw_neighbour_get(known("p0", "10.0.0.2")->id)->rewrite, mac2, 6);
	/* What the kernel learns does not overrule it. */
	learn("p0", "10.0.0.2", mac1, NUD_REACHABLE);
	learn("p0", "10.0.0.2", NULL, NUD_FAILED);
	assert_memory_equal(pw_neighbour_get(known("p0", "10.0.0.2")->id)->rewrite, mac2, 6);

	/* The host route lives as long as prefix and link. */
	assert_int_equal(link_up("p0", false), 0);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NONE);
	assert_int_equal(link_up("p0", true), 0);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NEIGHBOUR);
	assert_int_equal(change_address(RTM_DELADDR, 0, "p0", "10.0.0.1", 22), 0);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NONE);
	assert_int_equal(add_address("p0", "10.0.0.1", 22), 0);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NEIGHBOUR);

	assert_int_equal(change_neighbour(RTM_DELNEIGH, 0, "p0", "10.0.0.2", NULL, 0, 0), 0);
	assert_null(known("p0", "10.0.0.2"));
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_GLEAN);
	assert_int_equal(change_neighbour(RTM_DELNEIGH, 0, "p0", "10.0.0.2", NULL, 0, 0), -ENOENT);
}

static void test_vlan_header(void **state)
{
	const struct pw_neighbour *object;

	assert_int_equal(add_vlan("p1", "p1.100", 100), 0);
	assert_int_equal(link_up("p1.100", true), 0);
	assert_int_equal(add_neighbour("p1.100", "2001:db8:1::2", mac1), 0);
	object = pw_neighbour_get(known("p1.100", "2001:db8:1::2")->id);
	assert_int_equal(object->rewrite_len, 18);
	assert_memory_equal(object->rewrite + 12, "\x81\x00\x00\x64", 4);
	assert_int_equal(object->port, link_named("p1")->port);
	assert_int_equal(object->family, AF_INET6);
	/* On no prefix of the link, so no host route. */
	assert_int_equal(way_in(0, "2001:db8:1::2"), PW_NEXTHOP_NONE);
}

static void test_refused(void **state)
{
	static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct nlmsghdr *nlh;
	struct ndmsg *header;

	assert_int_equal(add_neighbour("p0", "224.0.0.1", mac1), -EINVAL);
	assert_int_equal(add_neighbour("p0", "10.0.0.2", group), -EINVAL);
	assert_int_equal(
		change_neighbour(RTM_NEWNEIGH, NEW, "p0", "10.0.0.2", mac1, 4, NUD_PERMANENT),
		-EINVAL);
	assert_int_equal(
		change_neighbour(RTM_NEWNEIGH, NEW, "p0", "10.0.0.2", NULL, 0, NUD_PERMANENT),
		-EINVAL);
	assert_said("needs an lladdr");
	assert_int_equal(add_neighbour("lo", "10.0.0.2", mac1), -EINVAL);
	assert_said("lo has no neighbours");
	assert_int_equal(
		change_neighbour(RTM_NEWNEIGH, 0, "p0", "10.0.0.2", mac1, 6, NUD_PERMANENT),
		-ENOENT);
	nlh = message(RTM_NEWNEIGH, NEW);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->ndm_family = AF_BRIDGE;
	header->ndm_ifindex = (int)link_named("p0")->index;
	assert_int_equal(send_message(nlh), -EOPNOTSUPP);
	assert_said("forwarding database");
	assert_null(known("p0", "10.0.0.2"));
}

static void test_hold_and_release(void **state)
{
	uint64_t before = pw_control_drops[PW_DROP_NEIGHBOUR_HOLD];

	for (int i = 0; i < 11; i++)
		wait_for("10.0.0.2");
	assert_int_equal(released(), 0);
	/* Eight wait; the oldest made room. */
	assert_int_equal(pw_control_drops[PW_DROP_NEIGHBOUR_HOLD] - before, 3);
	assert_int_equal(known("p0", "10.0.0.2")->nud, NUD_INCOMPLETE);
	learn("p0", "10.0.0.2", mac1, NUD_REACHABLE);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NEIGHBOUR);
	assert_int_equal(released(), 8);
	/* One that was on its way to us meanwhile goes back at once. */
	assert_int_equal(known("p0", "10.0.0.2")->held_count, 0);
	wait_for("10.0.0.2");
	assert_int_equal(released(), 1);
}

static void test_give_up(void **state)
{
	uint64_t now = pw_neighbour_now(), before = pw_control_drops[PW_DROP_NEIGHBOUR_FAILED];

	wait_for("10.0.0.2");
	wait_for("10.0.0.2");
	pw_neighbour_tick(now + 2000);
	assert_int_equal(released(), 0);
	pw_neighbour_tick(now + 4000);
	/* They go back to find the neighbour failed, and so to be answered with ICMP. */
	assert_int_equal(released(), 2);
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_NEIGHBOUR);
	assert_int_equal(pw_neighbour_get(known("p0", "10.0.0.2")->id)->state, PW_NEIGHBOUR_FAILED);
	wait_for("10.0.0.2");
	assert_int_equal(pw_control_drops[PW_DROP_NEIGHBOUR_FAILED] - before, 1);
	/* A second later it is forgotten, and the next packet asks anew. */
	pw_neighbour_tick(now + 5500);
	assert_null(known("p0", "10.0.0.2"));
	assert_int_equal(way_in(0, "10.0.0.2"), PW_NEXTHOP_GLEAN);
	wait_for("10.0.0.2");
	assert_non_null(known("p0", "10.0.0.2"));
}

static void test_scan(void **state)
{
	uint64_t before = pw_control_drops[PW_DROP_NEIGHBOUR_HOLD];
	char text[32];

	for (int i = 0; i < 600; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, 2 + i % 250);
		wait_for(text);
	}
	assert_int_equal(pw_control_drops[PW_DROP_NEIGHBOUR_HOLD] - before, 600 - 256);
	assert_int_equal(released(), 0);
	/* Nothing of it is left over later. */
	pw_neighbour_tick(pw_neighbour_now() + 5000);
	assert_int_equal(released(), 256);
	pw_neighbour_tick(pw_neighbour_now() + 10000);
	assert_null(known("p0", "10.0.0.2"));
	assert_true(TAILQ_EMPTY(pw_neighbour_list(link_named("p0")->index)));
}

static void test_learned(void **state)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint32_t id;

	learn("p0", "10.0.0.3", mac1, NUD_STALE);
	assert_int_equal(way_in(0, "10.0.0.3"), PW_NEXTHOP_NEIGHBOUR);
	id = known("p0", "10.0.0.3")->id;
	learn("p0", "10.0.0.3", mac2, NUD_REACHABLE);
	assert_memory_equal(pw_neighbour_get(id)->rewrite, mac2, 6);
	learn("p0", "10.0.0.3", mac2, NUD_PROBE);
	assert_int_equal(pw_neighbour_get(id)->state, PW_NEIGHBOUR_REACHABLE);
	learn("p0", "10.0.0.3", NULL, 0);
	assert_null(known("p0", "10.0.0.3"));
	assert_int_equal(way_in(0, "10.0.0.3"), PW_NEXTHOP_GLEAN);

	/* No host route for what is on no prefix, or for a link-local address. */
	learn("p0", "8.8.8.8", mac1, NUD_STALE);
	assert_int_equal(way_in(0, "8.8.8.8"), PW_NEXTHOP_NONE);
	learn("p0", "fe80::1", mac1, NUD_STALE);
	assert_int_equal(way_in(0, "fe80::1"), PW_NEXTHOP_NONE);
	/* Nor any neighbour for broadcasts and multicasts. */
	learn("p0", "10.0.3.255", broadcast, NUD_NOARP);
	assert_null(known("p0", "10.0.3.255"));
	learn("p0", "ff02::1", mac1, NUD_NOARP);
	assert_null(known("p0", "ff02::1"));

	/* An own address cannot be taken over by a neighbour. */
	learn("p0", "10.0.0.1", mac1, NUD_STALE);
	assert_int_equal(way_in(0, "10.0.0.1"), PW_NEXTHOP_LOCAL);

	/* Lost events. */
	learn("p0", "10.0.0.4", mac1, NUD_STALE);
	pw_neighbour_sweep_begin();
	pw_neighbour_sweep_end();
	assert_non_null(known("p0", "10.0.0.4")); /* the link has no kernel face */
	assert_int_equal(link_up("p0", false), 0);
	assert_null(known("p0", "10.0.0.4"));
}

static void test_references(void **state)
{
	struct pw_address address = address_of("10.0.0.5");
	uint32_t id, again;

	assert_int_equal(pw_neighbour_take(link_named("p0"), &address, &id), 0);
	assert_int_equal(pw_neighbour_get(id)->state, PW_NEIGHBOUR_INCOMPLETE);
	assert_int_equal(pw_neighbour_take(link_named("p0"), &address, &again), 0);
	assert_int_equal(id, again);
	assert_int_equal(add_neighbour("p0", "10.0.0.5", mac1), 0);
	assert_int_equal(known("p0", "10.0.0.5")->id, id);
	assert_int_equal(pw_neighbour_get(id)->state, PW_NEIGHBOUR_REACHABLE);
	/* Deleted, it stays for those who hold it, unknown. */
	assert_int_equal(change_neighbour(RTM_DELNEIGH, 0, "p0", "10.0.0.5", NULL, 0, 0), 0);
	assert_int_equal(pw_neighbour_get(id)->state, PW_NEIGHBOUR_INCOMPLETE);
	pw_neighbour_drop(id);
	assert_non_null(known("p0", "10.0.0.5"));
	pw_neighbour_drop(id);
	assert_null(known("p0", "10.0.0.5"));
	assert_int_equal(pw_neighbour_take(link_named("lo"), &address, &id), -EINVAL);

	/* The link goes while somebody holds the id. */
	assert_int_equal(add_vlan("p1", "p1.7", 7), 0);
	assert_int_equal(link_up("p1.7", true), 0);
	assert_int_equal(pw_neighbour_take(link_named("p1.7"), &address, &id), 0);
	learn("p1.7", "10.0.0.5", mac1, NUD_REACHABLE);
	assert_int_equal(delete_link("p1.7"), 0);
	assert_int_equal(pw_neighbour_get(id)->state, PW_NEIGHBOUR_NONE);
	pw_neighbour_drop(id);
}

static void test_leaked_prefix(void **state)
{
	struct pw_address address = address_of("10.9.0.2");
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	uint8_t *data;

	/* A packet that comes back although its neighbour is known (its VRF has no host route)
	 * is sent by the control thread itself, header and all. */
	assert_non_null(mbuf);
	learn("p0", "10.0.0.6", mac1, NUD_REACHABLE);
	address = address_of("10.0.0.6");
	data = (uint8_t *)rte_pktmbuf_append(mbuf, 64);
	if (!data)
		abort();
	memset(data, 0, 64);
	data[0] = 0x45;
	memcpy(data + 16, address.bytes, 4);
	memset(pw_packet(mbuf), 0, sizeof(struct pw_packet));
	pw_packet(mbuf)->nexthop = pw_vrf_route_lookup(0, AF_INET, address.bytes);
	pw_packet(mbuf)->flags = PW_PACKET_RELEASED;
	pw_neighbour_hold(mbuf);
	assert_int_equal(rte_ring_dequeue(pw_workers[0]->inject, (void **)&mbuf), 0);
	assert_int_equal(pw_packet(mbuf)->nexthop, 0);
	assert_int_equal(pw_packet(mbuf)->port, link_named("p0")->port);
	assert_int_equal(rte_pktmbuf_data_len(mbuf), 64 + 14);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, uint8_t *), mac1, 6);
	assert_memory_equal(rte_pktmbuf_mtod(mbuf, uint8_t *) + 12, "\x08\x00", 2);
	rte_pktmbuf_free(mbuf);
}

static void add_gre(const char *name, const char *local, const char *remote)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, NEW, name);
	struct gre gre = {.local = local, .remote = remote};

	gre_put(nlh, &gre);
	assert_int_equal(send_message(nlh), 0);
}

static void test_nbma(void **state)
{
	struct pw_address local = address_of("192.0.2.1"), inner = address_of("172.16.0.2");
	struct pw_endpoint_key key = {.family = AF_INET};
	struct pw_address remote;

	add_gre("mgre", "192.0.2.1", NULL);
	add_gre("gre1", "192.0.2.1", "192.0.2.9");
	assert_int_equal(link_up("mgre", true), 0);
	assert_int_equal(add_address("mgre", "172.16.0.1", 24), 0);
	memcpy(key.local, local.bytes, 16);

	remote = address_of("192.0.2.2");
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NEW, "mgre", "172.16.0.2", remote.bytes, 4,
					  NUD_PERMANENT),
			 0);
	memcpy(key.remote, remote.bytes, 16);
	assert_int_not_equal(pw_endpoint_find(&key), 0);
	memset(&remote, 0, sizeof(remote));
	assert_true(pw_neighbour_nbma(link_named("mgre"), &inner, &remote));
	assert_int_equal(remote.bytes[3], 2);

	/* A change leaves no trace of the old remote. */
	remote = address_of("192.0.2.3");
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NLM_F_REPLACE, "mgre", "172.16.0.2",
					  remote.bytes, 4, NUD_PERMANENT),
			 0);
	assert_int_equal(pw_endpoint_find(&key), 0);
	memcpy(key.remote, remote.bytes, 16);
	assert_int_not_equal(pw_endpoint_find(&key), 0);

	assert_int_equal(
		change_neighbour(RTM_NEWNEIGH, NEW, "mgre", "172.16.0.4", mac1, 6, NUD_PERMANENT),
		-EINVAL);
	assert_said("IPv4 address");
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NEW, "gre1", "172.16.0.4", remote.bytes, 4,
					  NUD_PERMANENT),
			 -EINVAL);
	assert_said("has a remote");
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NEW, "mgre", "172.16.0.4", local.bytes, 4,
					  NUD_PERMANENT),
			 -EINVAL);
	assert_int_equal(change_neighbour(RTM_DELNEIGH, 0, "mgre", "172.16.0.2", NULL, 0, 0), 0);
	assert_int_equal(pw_endpoint_find(&key), 0);
	assert_false(pw_neighbour_nbma(link_named("mgre"), &inner, &remote));

	/* Entries go with their tunnel. */
	assert_int_equal(change_neighbour(RTM_NEWNEIGH, NEW, "mgre", "172.16.0.2", remote.bytes, 4,
					  NUD_PERMANENT),
			 0);
	assert_int_equal(delete_link("mgre"), 0);
	assert_int_equal(pw_endpoint_find(&key), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, fixture_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_static),        TEST(test_vlan_header),
		TEST(test_refused),       TEST(test_hold_and_release),
		TEST(test_give_up),       TEST(test_scan),
		TEST(test_learned),       TEST(test_references),
		TEST(test_leaked_prefix), TEST(test_nbma),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
