/* SPDX-License-Identifier: BSD-3-Clause */
/* The steering program's decision on ESP, bare and in UDP (RFC 3948), and on IKE beside it; and on
 * IP in IP. */
#include "steer_fixture.h"

static void udp(uint16_t destination, uint16_t size, const uint8_t *first)
{
	uint8_t bytes[60] = {0}; /* beyond size: as a short frame is padded */

	put16(4500);
	put16(destination);
	put16(8 + size);
	put16(0);
	memcpy(bytes, first, 4);
	put(bytes, size > sizeof(bytes) - 8 ? size : sizeof(bytes) - 8);
}

static bool udp4_ours(const char *to, uint16_t fragment, uint16_t port, uint16_t size,
		      const uint8_t *first)
{
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", to, 17, fragment);
	udp(port, size, first);
	return is_ours();
}

static bool udp6_ours(const char *to, uint16_t port, uint16_t size, const uint8_t *first)
{
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", to, 17);
	udp(port, size, first);
	return is_ours();
}

static const uint8_t spi[4] = {0, 0, 1, 0}, marker[4], keepalive[4] = {0xff};

static void test_ipv4(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 50, 0, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 50, 0x4000, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 50, 0x2000, 0)); /* fragments: all */
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 50, 0x20b9, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 50, 0x00b9, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.3.0.1", 50, 0, 0));
	/* An address without security associations: the kernel may have its own IPsec there. */
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 50, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", 50, 0x00b9, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.1.0.1", 50, 0, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.0.0.2", 50, 0, 0)); /* in transit */
	/* One kind does not bring another. */
	assert_false(ipv4_ours("192.0.2.1", "10.2.0.1", 1, 0, 8));
	assert_true(ipv4_ours("192.0.2.1", "10.3.0.1", 1, 0, 8));
	assert_false(ipv4_ours("192.0.2.1", "10.2.0.1", 51, 0, 0)); /* AH */
	assert_false(ipv4_ours("192.0.2.1", "10.2.0.1", 6, 0, 0));
	assert_true(ipv4_ours("192.0.2.1", "10.2.0.1", 47, 0, 0));
}

/* Only to addresses where such tunnels end: others may be the kernel's own. */
static void test_ip_in_ip(void **state)
{
	NEED_PROGRAMS();
	for (int protocol = 4; protocol <= 41; protocol += 37) {
		assert_true(ipv4_ours("192.0.2.1", "10.4.0.1", (uint8_t)protocol, 0, 0));
		assert_true(ipv4_ours("192.0.2.1", "10.4.0.1", (uint8_t)protocol, 0x00b9, 0));
		assert_true(ipv4_ours("192.0.2.1", "10.4.0.2", (uint8_t)protocol, 0, 0));
		assert_false(ipv4_ours("192.0.2.1", "10.2.0.1", (uint8_t)protocol, 0, 0));
		assert_false(ipv4_ours("192.0.2.1", "10.0.0.1", (uint8_t)protocol, 0, 0));
		for (uint8_t n = 2; n <= 4; n += 2) {
			ethernet(ours, 0x86dd);
			ipv6("2001:db8:9::1", n == 2 ? "2001:db8:2::1" : "2001:db8:4::1",
			     (uint8_t)protocol);
			payload(0);
			assert_int_equal(is_ours(), n == 4);
		}
	}
	assert_false(ipv4_ours("192.0.2.1", "10.4.0.1", 50, 0, 0));
	assert_false(ipv4_ours("192.0.2.1", "10.4.0.1", 5, 0, 0));
}

static void test_ipv4_udp(void **state)
{
	NEED_PROGRAMS();
	assert_true(udp4_ours("10.2.0.1", 0, 4500, 52, spi));
	assert_true(udp4_ours("10.2.0.1", 0x4000, 4500, 52, spi));
	assert_true(udp4_ours("10.3.0.1", 0, 4500, 52, spi));
	for (int i = 0; i < 4; i++) {
		uint8_t one[4] = {0};

		one[i] = 1;
		assert_true(udp4_ours("10.2.0.1", 0, 4500, 52, one));
	}
	assert_false(udp4_ours("10.2.0.1", 0, 4500, 52, marker));
	assert_false(udp4_ours("10.2.0.1", 0, 4500, 1, keepalive));
	assert_false(udp4_ours("10.2.0.1", 0, 4500, 0, keepalive));
	assert_false(udp4_ours("10.2.0.1", 0, 4500, 8, spi)); /* no ESP is so short */
	assert_true(udp4_ours("10.2.0.1", 0, 4500, 9, spi));
	assert_true(udp4_ours("10.2.0.1", 0, 4500, 52, keepalive)); /* an SPI of 0xff000000 */
	assert_false(udp4_ours("10.2.0.1", 0, 500, 52, spi));
	assert_false(udp4_ours("10.2.0.1", 0, 4501, 52, spi));
	assert_false(udp4_ours("10.0.0.1", 0, 4500, 52, spi));
	assert_false(udp4_ours("10.1.0.1", 0, 4500, 52, spi));
	/* Fragments stay together, and the later ones have no ports. */
	assert_false(udp4_ours("10.2.0.1", 0x2000, 4500, 52, spi));
	assert_false(udp4_ours("10.2.0.1", 0x00b9, 4500, 52, spi));
}

static void test_ipv4_options(void **state)
{
	NEED_PROGRAMS();
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", "10.2.0.1", 17, 0);
	frame.data[14] = 0x4f;
	put((uint8_t[40]){0}, 40);
	udp(4500, 40, spi);
	assert_true(is_ours());
	frame.data[14] = 0x4e;
	assert_false(is_ours());
}

static void test_ipv6(void **state)
{
	NEED_PROGRAMS();
	assert_true(ipv6_ours("2001:db8:9::1", "2001:db8:2::1", 50, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8::1", 50, 0));
	assert_false(ipv6_ours("2001:db8:9::1", "2001:db8:1::1", 50, 0));
	assert_true(udp6_ours("2001:db8:2::1", 4500, 52, spi));
	assert_false(udp6_ours("2001:db8:2::1", 4500, 52, marker));
	assert_false(udp6_ours("2001:db8:2::1", 4500, 1, keepalive));
	assert_false(udp6_ours("2001:db8:2::1", 500, 52, spi));
	assert_false(udp6_ours("2001:db8:1::1", 4500, 52, spi));
}

static void test_ipv6_extensions(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60};

	NEED_PROGRAMS();
	for (size_t i = 0; i < RTE_DIM(kinds); i++) {
		ethernet(ours, 0x86dd);
		ipv6("2001:db8:9::1", "2001:db8:2::1", kinds[i]);
		extension(50, 2);
		payload(0);
		assert_true(is_ours());
		ethernet(ours, 0x86dd);
		ipv6("2001:db8:9::1", "2001:db8:2::1", kinds[i]);
		extension(17, 2);
		udp(4500, 52, spi);
		assert_true(is_ours());
	}
	/* First and later fragments: ESP's are ours, UDP's the kernel's. */
	for (uint8_t offset = 0; offset < 2; offset++) {
		ethernet(ours, 0x86dd);
		ipv6("2001:db8:9::1", "2001:db8:2::1", 44);
		put((uint8_t[]){50, 0, 0x12 * offset, 1, 0, 0, 0, 1}, 8);
		payload(0);
		assert_true(is_ours());
		frame.data[14 + 24 + 15] = 2; /* to 2001:db8:2::2: transit, both */
		assert_true(is_ours());
		ethernet(ours, 0x86dd);
		ipv6("2001:db8:9::1", "2001:db8:2::1", 44);
		put((uint8_t[]){17, 0, 0x12 * offset, 1, 0, 0, 0, 1}, 8);
		udp(4500, 52, spi);
		assert_false(is_ours());
		ethernet(ours, 0x86dd);
		ipv6("2001:db8:9::1", "2001:db8::1", 44);
		put((uint8_t[]){50, 0, 0x12 * offset, 1, 0, 0, 0, 1}, 8);
		payload(0);
		assert_false(is_ours());
	}
}

static void test_vlan(void **state)
{
	NEED_PROGRAMS();
	for (uint16_t id = 7; id <= 8; id++) {
		ethernet(ours, 0x8100);
		put16(id);
		put16(0x0800);
		ipv4("192.0.2.1", "10.2.0.1", 50, 0);
		payload(0);
		assert_int_equal(is_ours(), id == 7);
	}
	/* Tag 0 is only a priority. */
	ethernet(ours, 0x8100);
	put16(0xa000);
	put16(0x0800);
	ipv4("192.0.2.1", "10.2.0.1", 17, 0);
	udp(4500, 52, spi);
	assert_true(is_ours());
	frame.data[14 + 4 + 19] = 2; /* another's address: transit */
	assert_true(is_ours());
	ethernet(ours, 0x8100);
	put16(0xa000);
	put16(0x0800);
	ipv4("192.0.2.1", "10.2.0.1", 17, 0);
	udp(4500, 52, marker);
	assert_false(is_ours());
}

/* An ICMP error with the first bytes of what it is about. */
static void icmp(uint8_t type, uint8_t code)
{
	put((uint8_t[]){type, code, 0, 0, 0, 0, 1400 >> 8, 1400 & 255}, 8);
}

static void quote4(uint8_t version_ihl, uint8_t protocol, uint16_t fragment)
{
	size_t at = frame.size;

	ipv4("10.2.0.1", "192.0.2.1", protocol, fragment);
	frame.data[at] = version_ihl;
}

static void quote_udp(uint16_t source, const uint8_t *first)
{
	put16(source);
	put16(4500);
	put16(1400);
	put16(0);
	put(first, 4);
	put((uint8_t[4]){0}, 4);
}

static bool error4_ours(const char *to, uint8_t type, uint8_t code, uint8_t protocol)
{
	ethernet(ours, 0x0800);
	ipv4("192.0.2.9", to, 1, 0);
	icmp(type, code);
	quote4(0x45, protocol, 0x4000);
	payload(1);
	return is_ours();
}

static bool error6_ours(const char *to, uint8_t type, uint8_t protocol)
{
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", to, 58);
	icmp(type, 0);
	ipv6(to, "2001:db8:9::1", protocol);
	payload(1);
	return is_ours();
}

/* A router says how large ESP may be: to addresses that have SAs. All other errors are not ours. */
static void test_too_big4(void **state)
{
	NEED_PROGRAMS();
	assert_true(error4_ours("10.2.0.1", 3, 4, 50));
	assert_true(error4_ours("10.3.0.1", 3, 4, 50));
	assert_false(error4_ours("10.0.0.1", 3, 4, 50));
	assert_false(error4_ours("10.1.0.1", 3, 4, 50));
	assert_false(error4_ours("10.4.0.1", 3, 4, 50));
	assert_false(error4_ours("10.2.0.1", 3, 3, 50));
	assert_false(error4_ours("10.2.0.1", 11, 0, 50));
	assert_false(error4_ours("10.2.0.1", 2, 4, 50)); /* IPv6's */
	assert_false(error4_ours("10.2.0.1", 3, 4, 51));
	assert_false(error4_ours("10.2.0.1", 3, 4, 47));
	assert_false(error4_ours("10.2.0.1", 3, 4, 6));
	assert_false(error4_ours("10.2.0.1", 8, 0, 50)); /* one kind does not bring another */
	assert_true(error4_ours("10.3.0.1", 8, 0, 50));
	/* Of a fragment it may be the later part, which says nothing. */
	ethernet(ours, 0x0800);
	ipv4("192.0.2.9", "10.2.0.1", 1, 0x2000);
	icmp(3, 4);
	quote4(0x45, 50, 0x4000);
	payload(1);
	assert_false(is_ours());
	for (uint8_t version_ihl = 0x44; version_ihl <= 0x46; version_ihl++) {
		ethernet(ours, 0x0800);
		ipv4("192.0.2.9", "10.2.0.1", 1, 0);
		icmp(3, 4);
		quote4(version_ihl, 50, 0x4000);
		payload(1);
		assert_int_equal(is_ours(), version_ihl == 0x45);
	}
	for (uint16_t fragment = 0; fragment <= 0x2000; fragment += 0x1000) {
		ethernet(ours, 0x0800);
		ipv4("192.0.2.9", "10.2.0.1", 1, 0);
		icmp(3, 4);
		quote4(0x45, 50, fragment);
		payload(1);
		assert_int_equal(is_ours(), fragment != 0x1000);
	}
}

static void test_too_big6(void **state)
{
	NEED_PROGRAMS();
	assert_true(error6_ours("2001:db8:2::1", 2, 50));
	assert_false(error6_ours("2001:db8::1", 2, 50));
	assert_false(error6_ours("2001:db8:1::1", 2, 50));
	assert_false(error6_ours("2001:db8:2::1", 3, 50));
	assert_false(error6_ours("2001:db8:2::1", 128, 50));
	assert_false(error6_ours("2001:db8:2::1", 2, 51));
	assert_false(error6_ours("2001:db8:2::1", 2, 58));
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:2::1", 58);
	icmp(2, 0);
	quote4(0x45, 50, 0x4000);
	payload(1);
	assert_false(is_ours());
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:2::1", 60);
	extension(58, 2);
	icmp(2, 0);
	ipv6("2001:db8:2::1", "2001:db8:9::1", 50);
	payload(1);
	assert_true(is_ours());
}

/* ESP in UDP is known by its port and its SPI; IKE has none, and a shorter quote does not say. */
static void test_too_big_udp(void **state)
{
	NEED_PROGRAMS();
	for (int v6 = 0; v6 < 2; v6++) {
		for (int i = 0; i < 3; i++) {
			ethernet(ours, v6 ? 0x86dd : 0x0800);
			if (v6) {
				ipv6("2001:db8:9::1", "2001:db8:2::1", 58);
				icmp(2, 0);
				ipv6("2001:db8:2::1", "2001:db8:9::1", 17);
			} else {
				ipv4("192.0.2.9", "10.2.0.1", 1, 0);
				icmp(3, 4);
				quote4(0x45, 17, 0x4000);
			}
			quote_udp(i == 1 ? 4501 : 4500, i == 2 ? marker : spi);
			assert_int_equal(is_ours(), i == 0);
			for (size_t cut = 1; i == 0 && cut < 17; cut++)
				assert_int_equal(is_ours_size(frame.size - cut), cut <= 4);
		}
	}
}

/* What is cut before the decision is the kernel's: here, before the end of the ESP header. */
static void test_truncated(void **state)
{
	NEED_PROGRAMS();
	ethernet(ours, 0x0800);
	ipv4("192.0.2.1", "10.2.0.1", 17, 0);
	udp(4500, 52, spi);
	for (size_t size = 14; size < frame.size; size++)
		assert_int_equal(is_ours_size(size), size >= 14 + 20 + 16);
	ethernet(ours, 0x86dd);
	ipv6("2001:db8:9::1", "2001:db8:2::1", 17);
	udp(4500, 52, spi);
	for (size_t size = 14; size < frame.size; size++)
		assert_int_equal(is_ours_size(size), size >= 14 + 40 + 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),        cmocka_unit_test(test_ip_in_ip),
		cmocka_unit_test(test_ipv4_udp),    cmocka_unit_test(test_ipv4_options),
		cmocka_unit_test(test_ipv6),        cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_vlan),        cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_too_big4),    cmocka_unit_test(test_too_big6),
		cmocka_unit_test(test_too_big_udp),
	};

	return cmocka_run_group_tests_name("steer_esp", tests, setup, teardown);
}
