/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_STEER_FIXTURE_H
#define PW_TEST_STEER_FIXTURE_H

/* The steering program in both forms, run by the kernel (BPF_PROG_TEST_RUN) on frames built here.
 */
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

static inline void put(const void *data, size_t size)
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

static inline void ethernet(const uint8_t *to, uint16_t type)
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

static inline void payload(uint8_t first)
{
	uint8_t bytes[60] = {first};

	put(bytes, sizeof(bytes));
}

/* ---- the programs ------------------------------------------------------------------------ */

static inline int map(struct bpf_object *object, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);

	assert_true(fd >= 0);
	return fd;
}

static inline void address_set(struct bpf_object *object, const char *text, uint8_t value)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t address[16];

	assert_int_equal(inet_pton(family, text, address), 1);
	assert_int_equal(bpf_map_update_elem(
				 map(object, family == AF_INET ? PW_STEER_LOCAL4 : PW_STEER_LOCAL6),
				 address, &value, BPF_ANY),
			 0);
}

static inline void enable(struct bpf_object *object, bool enabled)
{
	struct pw_steer_config config = {.enabled = enabled};
	uint32_t zero = 0;

	memcpy(config.mac, ours, sizeof(config.mac));
	assert_int_equal(bpf_map_update_elem(map(object, PW_STEER_CONFIG), &zero, &config, BPF_ANY),
			 0);
}

static inline struct bpf_object *load(const void *data, size_t size, int *program)
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
	address_set(object, "10.1.0.1", PW_STEER_LOCAL | PW_STEER_ECHO);
	address_set(object, "10.2.0.1", PW_STEER_LOCAL | PW_STEER_ESP);
	address_set(object, "10.3.0.1", PW_STEER_LOCAL | PW_STEER_ECHO | PW_STEER_ESP);
	address_set(object, "10.4.0.1", PW_STEER_LOCAL | PW_STEER_IP);
	address_set(object, "2001:db8::1", PW_STEER_LOCAL);
	address_set(object, "2001:db8:1::1", PW_STEER_LOCAL | PW_STEER_ECHO);
	address_set(object, "2001:db8:2::1", PW_STEER_LOCAL | PW_STEER_ESP);
	address_set(object, "2001:db8:4::1", PW_STEER_LOCAL | PW_STEER_IP);
	assert_int_equal(bpf_map_update_elem(map(object, PW_STEER_VLANS), &vlan, &yes, BPF_ANY), 0);
	return object;
}

/* Redirection to an empty slot says XDP_PASS, so a socket must stand there. */
static inline int xsks_fill(void)
{
	const uint32_t zero = 0;
	int entries = 64;

	xsk = socket(AF_XDP, SOCK_RAW, 0);
	if (xsk < 0)
		return -1;
	assert_int_equal(setsockopt(xsk, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)), 0);
	return bpf_map_update_elem(map(xdp.object, PW_STEER_XSKS), &zero, &xsk, BPF_ANY);
}

static inline int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	bpf_object__close(xdp.object);
	bpf_object__close(skb.object);
	close(xsk);
	return 0;
}

static inline bool run(int program, size_t size, uint32_t yes, uint32_t no)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data, .data_size_in = size,
		    .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(program, &options), 0);
	assert_true(options.retval == yes || options.retval == no);
	return options.retval == yes;
}

/* The kernel builds no skb that ends within its first headers, only to try a program. */
static inline bool skb_possible(size_t size)
{
	uint16_t type = frame.data[12] << 8 | frame.data[13];

	return size > 14 + (type == 0x86dd ? 40U : type == 0x0800 ? 20U : 0);
}

/* Both programs must agree. */
static inline bool is_ours_size(size_t size)
{
	bool by_xdp = run(xdp.program, size, XDP_REDIRECT, XDP_PASS);
	bool by_tc = skb_possible(size) ? run(skb.program, size, TC_ACT_SHOT, TC_ACT_OK) : by_xdp;

	assert_int_equal(by_xdp, by_tc);
	return by_xdp;
}

static inline bool is_ours(void)
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

static inline void extension(uint8_t next, uint8_t length)
{
	uint8_t bytes[256] = {next, length};

	put(bytes, (length + 1U) * 8);
}

#endif
