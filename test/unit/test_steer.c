/* SPDX-License-Identifier: BSD-3-Clause */
/* The steering program's decision on everything but ESP. */
#include "steer_fixture.h"

#define ROUNDS 20000

static void test_link_layer(void **state)
{
	NEED_PROGRAMS();
	ethernet(ours, 0x0806);
	payload(0);
	assert_false(is_ours()); /* ARP */
	ethernet(ours, 0x88cc);
	payload(0);
	assert_false(is_ours()); /* LLDP */
	ethernet(ours, 0x8847);
	payload(0);
	assert_true(is_ours());
	ethernet(ours, 0x8848);
	payload(0);
	assert_false(is_ours()); /* multicast MPLS */
	ethernet(theirs, 0x8847);
	payload(0);
	assert_false(is_ours());
	ethernet(theirs, 0x0800);
	ipv4("192.0.2.1", "192.0.2.2", 17, 0);
	payload(0);
	assert_false(is_ours());
	ethernet(broadcast, 0x0800);
	ipv4("192.0.2.1", "192.0.2.2", 17, 0);
	payload(0);
	assert_false(is_ours());
}

static void test_vlan(void **state)
{
	static const struct {
		uint16_t type, tci;
		bool yes;
	} cases[] = {{0x8100, 7, true},    {0x8100, 8, false}, {0x8100, 0xe007, true},
		     {0x88a8, 7, true},    {0x88a8, 8, false}, {0x9100, 7, false},
		     {0x8100, 4095, false}};

	NEED_PROGRAMS();
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		/* Whatever is inside, also broadcast and ARP. */
		ethernet(broadcast, cases[i].type);
		put16(cases[i].tci);
		put16(0x0806);
		payload(0);
		assert_int_equal(is_ours(), cases[i].yes);
	}
	/* Tag 0 is only a priority. */
	ethernet(ours, 0x8100);
	put16(0xe000);
	put16(0x0800);
	ipv4("192.0.2.1", "10.0.0.1", 47, 0);
	payload(0);
	assert_true(is_ours());
	frame.data[14 + 3] = 0x06; /* ARP */
	assert_false(is_ours());
}

static void test_ipv4_local(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.1", 47, 0, 0));      /* GRE */
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.1", 137, 0, 0));     /* MPLS in IP */
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.1", 47, 0x2000, 0)); /* its fragments */
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.1", 47, 0x00b9, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 6, 0, 0)); /* BGP, SSH */
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 17, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 17, 0x00b9, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 50, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 89, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 1, 0, 8)); /* without echo */
}

static void test_ipv4_echo(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0, 8));
	assert_true(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0x4000, 8)); /* DF */
	assert_false(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0, 0));     /* reply to the kernel */
	assert_false(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0, 3));
	assert_true(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0x2000, 8));
	assert_true(ipv4_ours("192.0.2.1", "10.1.0.1", 1, 0x00b9, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.1.0.1", 6, 0, 8));
	assert_true(ipv4_ours("192.0.2.1", "10.1.0.1", 47, 0, 0));
	/* With options the ICMP header is further back. */
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", "10.1.0.1", 1, 0);
	frame.data[14] = 0x4f;
	payload(0);
	assert_false(is_ours());
	frame.data[14 + 60] = 8;
	assert_true(is_ours());
}

static void test_ipv4_transit(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.2", 6, 0, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.2", 47, 0, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.2", 1, 0x2001, 0));
	assert_false(ipv4_ours("192.0.2.1", "224.0.0.5", 89, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "255.255.255.255", 17, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "127.0.0.1", 17, 0, 0));
	assert_false(ipv4_ours("127.0.0.1", "10.0.0.2", 17, 0, 0));
	assert_false(ipv4_ours("169.254.1.1", "10.0.0.2", 17, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "169.254.1.1", 17, 0, 0));
}

static void test_ipv6_local(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8::1", 47, 0));
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8::1", 137, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8::1", 6, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8::1", 58, 128));
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8:1::1", 58, 128));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8:1::1", 58, 129));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8:1::1", 58, 135));
}

static void test_ipv6_transit(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8::2", 6, 0));
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8::2", 58, 128));
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8::2", 44, 0));
	for (uint8_t type = 133; type <= 137; type++)
		assert_false(ipv6_ours("2001:db8:9::1", "2001:db8::2", 58, type));
	assert_false(ipv6_ours("fe80::1", "2001:db8::2", 6, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "fe80::1", 6, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "ff02::1", 58, 143));
	assert_false(ipv6_ours("2001:db8:9::1", "ff0e::1", 17, 0));
}

static void test_ipv6_extensions(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60};

	NEED_PROGRAMS();
	for (size_t i = 0; i < RTE_DIM(kinds); i++)
		for (uint8_t length = 0; length < 16; length += 5) {
			ethernet(ours, 0x86dd);
			ipv6("2001:db8:9::1", "2001:db8::1", kinds[i]);
			extension(47, length);
			payload(0);
			assert_true(is_ours());
			frame.data[14 + 40] = 6;
			assert_false(is_ours());
		}
	/* Linux's ip6gre: destination options, and in a fragment. */
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8::1", 44);
	put((uint8_t[]){47, 0, 0x12, 0x38, 0, 0, 0, 1}, 8);
	payload(0);
	assert_true(is_ours());
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:1::1", 0);
	extension(60, 0);
	extension(58, 1);
	payload(128);
	assert_true(is_ours());
	/* More headers than are sensible, a header that ends past the frame: the kernel's. */
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8::1", 60);
	for (int i = 0; i < 6; i++)
		extension(60, 0);
	extension(47, 0);
	payload(0);
	assert_false(is_ours());
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:1::1", 60);
	put((uint8_t[]){58, 255, 0, 0, 0, 0, 0, 0}, 8);
	payload(128);
	assert_false(is_ours());
}

static void test_malformed(void **state)
{
	NEED_PROGRAMS();
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", "10.0.0.1", 47, 0);
	payload(0);
	frame.data[14] = 0x55;
	assert_false(is_ours());
	frame.data[14] = 0x44;
	assert_false(is_ours());
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8::1", 47);
	payload(0);
	frame.data[14] = 0x40;
	assert_false(is_ours());
}

/* Nothing is read past the end: what is cut before the decision is the kernel's. */
static void test_truncated(void **state)
{
	NEED_PROGRAMS();
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", "10.1.0.1", 1, 0);
	payload(8);
	for (size_t size = 14; size < frame.size; size++)
		assert_int_equal(is_ours_size(size), size > 14 + 20);
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:1::1", 60);
	extension(58, 1);
	payload(128);
	for (size_t size = 14; size < frame.size; size++)
		assert_int_equal(is_ours_size(size), size > 14 + 40 + 16);
}

static void test_before_it_begins(void **state)
{
	NEED_PROGRAMS();
	enable(xdp.object, false);
	enable(skb.object, false);
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.2", 6, 0, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8::2", 6, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.1", 47, 0, 0));
	enable(xdp.object, true);
	enable(skb.object, true);
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.2", 6, 0, 0));
}

static void test_random(void **state)
{
	static const uint16_t types[] = {0x0800, 0x86dd, 0x8100, 0x8847, 0x0806};
	unsigned int yes = 0;

	NEED_PROGRAMS();
	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		size_t size = 14 + random() % 120;

		ethernet(ours, types[random() % RTE_DIM(types)]);
		for (size_t k = 14; k < size; k++)
			frame.data[k] = random();
		if (random() % 2)
			frame.data[14] = frame.data[13] == 0xdd ? 0x60 : 0x45;
		if (random() % 2)
			memcpy(frame.data + 14 + 16, (uint8_t[]){10, 1, 0, 1}, 4);
		yes += is_ours_size(size); /* both programs agree */
	}
	assert_in_range(yes, ROUNDS / 20, ROUNDS - ROUNDS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_layer),       cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_ipv4_local),       cmocka_unit_test(test_ipv4_echo),
		cmocka_unit_test(test_ipv4_transit),     cmocka_unit_test(test_ipv6_local),
		cmocka_unit_test(test_ipv6_transit),     cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_malformed),        cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_before_it_begins), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("steer", tests, setup, teardown);
}
