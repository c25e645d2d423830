/* SPDX-License-Identifier: BSD-3-Clause */
/* The steering program's decision, run by the kernel on frames built here (BPF_PROG_TEST_RUN). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_xdp.h>
#include <linux/pkt_cls.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "drivers/port_internal.h"
#include "drivers/steer.h"

#define ROUNDS 20000

static const uint8_t ours[6] = {0x02, 0, 0, 0, 0, 0x01};
static const uint8_t theirs[6] = {0x02, 0, 0, 0, 0, 0x02};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct {
	struct bpf_object *object;
	int program;
} xdp, skb;
static int xsk = -1;

static struct {
	uint8_t data[512];
	size_t size;
} frame;

/* ---- building frames --------------------------------------------------------------------- */

static void put(const void *data, size_t size)
{
	assert_true(frame.size + size <= sizeof(frame.data));
	memcpy(frame.data + frame.size, data, size);
	frame.size += size;
}

static void put16(uint16_t value)
{
	value = htons(value);
	put(&value, sizeof(value));
}

static void ethernet(const uint8_t *to, uint16_t type)
{
	frame.size = 0;
	put(to, 6);
	put(theirs, 6);
	put16(type);
}

/* fragment: the 16-bit field as it is in the header. */
static void ipv4(const char *source, const char *destination, uint8_t protocol, uint16_t fragment)
{
	uint8_t address[4];

	put16(0x4500);
	put16(100);
	put16(1);
	put16(fragment);
	put((uint8_t[]){64, protocol}, 2);
	put16(0);
	assert_int_equal(inet_pton(AF_INET, source, address), 1);
	put(address, sizeof(address));
	assert_int_equal(inet_pton(AF_INET, destination, address), 1);
	put(address, sizeof(address));
}

static void ipv6(const char *source, const char *destination, uint8_t next)
{
	uint8_t address[16];

	put16(0x6000);
	put16(0);
	put16(60);
	put((uint8_t[]){next, 64}, 2);
	assert_int_equal(inet_pton(AF_INET6, source, address), 1);
	put(address, sizeof(address));
	assert_int_equal(inet_pton(AF_INET6, destination, address), 1);
	put(address, sizeof(address));
}

static void payload(uint8_t first)
{
	uint8_t bytes[60] = {first};

	put(bytes, sizeof(bytes));
}

/* ---- the programs ------------------------------------------------------------------------ */

static int map(struct bpf_object *object, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);

	assert_true(fd >= 0);
	return fd;
}

static void address_set(struct bpf_object *object, const char *text, uint8_t value)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t address[16];

	assert_int_equal(inet_pton(family, text, address), 1);
	assert_int_equal(bpf_map_update_elem(
				 map(object, family == AF_INET ? PW_STEER_LOCAL4 : PW_STEER_LOCAL6),
				 address, &value, BPF_ANY),
			 0);
}

static void enable(struct bpf_object *object, bool enabled)
{
	struct pw_steer_config config = {.enabled = enabled};
	uint32_t zero = 0;

	memcpy(config.mac, ours, sizeof(config.mac));
	assert_int_equal(bpf_map_update_elem(map(object, PW_STEER_CONFIG), &zero, &config, BPF_ANY),
			 0);
}

static struct bpf_object *load(const void *data, size_t size, int *program)
{
	struct bpf_object *object = bpf_object__open_mem(data, size, NULL);
	const uint32_t vlan = 7;
	const uint8_t yes = 1;

	if (!object)
		return NULL;
	if (bpf_object__load(object)) {
		bpf_object__close(object);
		return NULL;
	}
	*program = bpf_program__fd(bpf_object__find_program_by_name(object, PW_STEER_PROGRAM));
	enable(object, true);
	address_set(object, "10.0.0.1", PW_STEER_LOCAL);
	address_set(object, "10.1.0.1", PW_STEER_LOCAL_ECHO);
	address_set(object, "2001:db8::1", PW_STEER_LOCAL);
	address_set(object, "2001:db8:1::1", PW_STEER_LOCAL_ECHO);
	assert_int_equal(bpf_map_update_elem(map(object, PW_STEER_VLANS), &vlan, &yes, BPF_ANY), 0);
	return object;
}

/* Redirection to an empty slot says XDP_PASS, so a socket must stand there. */
static int xsks_fill(void)
{
	const uint32_t zero = 0;
	int entries = 64;

	xsk = socket(AF_XDP, SOCK_RAW, 0);
	if (xsk < 0)
		return -1;
	assert_int_equal(setsockopt(xsk, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)), 0);
	return bpf_map_update_elem(map(xdp.object, PW_STEER_XSKS), &zero, &xsk, BPF_ANY);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static int setup(void **state)
{
	libbpf_set_print(quiet);
	xdp.object = load(pw_steer_xdp, pw_steer_xdp_size, &xdp.program);
	skb.object = load(pw_steer_skb, pw_steer_skb_size, &skb.program);
	if (geteuid() == 0 && (!xdp.object || !skb.object)) {
		print_error("the steering program does not load: %s\n", strerror(errno));
		return errno == EPERM ? 0 : -1; /* root of a container may not */
	}
	if (xdp.object && skb.object && xsks_fill() < 0) {
		bpf_object__close(xdp.object);
		xdp.object = NULL;
	}
	return 0;
}

static int teardown(void **state)
{
	bpf_object__close(xdp.object);
	bpf_object__close(skb.object);
	close(xsk);
	return 0;
}

static bool run(int program, size_t size, uint32_t yes, uint32_t no)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data, .data_size_in = size,
		    .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(program, &options), 0);
	assert_true(options.retval == yes || options.retval == no);
	return options.retval == yes;
}

/* The kernel builds no skb that ends within its first headers, only to try a program. */
static bool skb_possible(size_t size)
{
	uint16_t type = frame.data[12] << 8 | frame.data[13];

	return size > 14 + (type == 0x86dd ? 40U : type == 0x0800 ? 20U : 0);
}

/* Both programs must agree. */
static bool is_ours_size(size_t size)
{
	bool by_xdp = run(xdp.program, size, XDP_REDIRECT, XDP_PASS);
	bool by_tc = skb_possible(size) ? run(skb.program, size, TC_ACT_SHOT, TC_ACT_OK) : by_xdp;

	assert_int_equal(by_xdp, by_tc);
	return by_xdp;
}

static bool is_ours(void)
{
	return is_ours_size(frame.size);
}

#define NEED_PROGRAMS()                                                                            \
	do {                                                                                       \
		if (!xdp.object || !skb.object) {                                                  \
			print_message("no permission for BPF here\n");                             \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- tests ------------------------------------------------------------------------------- */

static bool ipv4_ours(const char *source, const char *destination, uint8_t protocol,
		      uint16_t fragment, uint8_t first)
{
	ethernet(ours, 0x0800);
	ipv4(source, destination, protocol, fragment);
	payload(first);
	return is_ours();
}

static bool ipv6_ours(const char *source, const char *destination, uint8_t next, uint8_t first)
{
	ethernet(ours, 0x86dd);
	ipv6(source, destination, next);
	payload(first);
	return is_ours();
}

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

static void extension(uint8_t next, uint8_t length)
{
	uint8_t bytes[256] = {next, length};

	put(bytes, (length + 1U) * 8);
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
