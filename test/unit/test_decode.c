/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers in words: what pewterctl prints of packets, whole, cut short, and nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/cli/decode.h"
#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

/* clang-format off */
/* Ethernet with a VLAN, IPv4, GRE with a key, two labels, IPv4, ICMP echo request */
static const uint8_t nested[] = {
	0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x81, 0x00, 0x00, 0x0a, 0x08, 0x00,
	0x45, 0, 0, 72, 0, 1, 0x40, 0, 255, 47, 0, 0, 10, 255, 0, 1, 10, 255, 0, 2,
	0x20, 0x00, 0x88, 0x47, 0, 0, 0, 7,
	0x00, 0x06, 0x40, 0xfe, 0x00, 0x0c, 0xa1, 0xff,
	0x45, 0, 0, 28, 0, 5, 0, 0, 63, 1, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2,
	8, 0, 0, 0, 0, 9, 0, 3,
};
static const char nested_text[] =
	"ethernet 02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 10 | "
	"ipv4 10.255.0.1 > 10.255.0.2 ttl 255 id 1 DF length 72 | gre flags 0x2000 key 7 | "
	"mpls label 100 tc 0 ttl 254 | mpls label 202 tc 0 S ttl 255 | "
	"ipv4 10.1.0.2 > 10.2.0.2 ttl 63 id 5 length 28 | icmp echo-request id 9 seq 3";

/* IPv6, TCP SYN */
static const uint8_t ipv6[] = {
	0x60, 0, 0, 0, 0, 20, 6, 64,
	0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	0x10, 0, 0, 179, 0, 0, 0, 8, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

/** What is printed, in a buffer that the next call overwrites. */
static const char *decoded(bool json, uint8_t layer, const uint8_t *data, uint32_t size)
{
	static char text[65536];
	FILE *file = tmpfile();
	uint8_t *exact = malloc(size > 0 ? size : 1);
	int saved;

	assert_non_null(file);
	assert_non_null(exact);
	/* A copy of the exact size, so that a sanitizer sees any byte that is read beyond. */
	memcpy(exact, data, size);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(fileno(file), STDOUT_FILENO);
	print_json(json);
	print_object_begin(NULL);
	decode_print("headers", layer, exact, size);
	print_object_end();
	print_line();
	print_json(false);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	text[strcspn(text, "\n")] = '\0';
	fclose(file);
	free(exact);
	return text;
}

static void test_nested(void **state)
{
	assert_string_equal(decoded(false, PW_LAYER_ETHERNET, nested, sizeof(nested)), nested_text);
}

static void test_layers(void **state)
{
	assert_string_equal(decoded(false, PW_LAYER_IP, nested + 18, sizeof(nested) - 18),
			    strstr(nested_text, "ipv4 10.255"));
	assert_string_equal(decoded(false, PW_LAYER_MPLS, nested + 46, sizeof(nested) - 46),
			    strstr(nested_text, "mpls label 100"));
	assert_string_equal(decoded(false, PW_LAYER_IP, ipv6, sizeof(ipv6)),
			    "ipv6 2001:db8::1 > 2001:db8::2 hoplimit 64 length 20 | "
			    "tcp 4096 > 179 seq 8 SYN");
}

static void test_json(void **state)
{
	assert_string_equal(
		decoded(true, PW_LAYER_MPLS, nested + 50, 4),
		"{\"headers\":[{\"protocol\":\"mpls\",\"label\":202,\"tc\":0,\"bottom\":true,"
		"\"ttl\":255}]}");
}

static void test_every_truncation(void **state)
{
	uint32_t size;

	for (size = 0; size < sizeof(nested); size++) {
		const char *text = decoded(false, PW_LAYER_ETHERNET, nested, size);

		/* All that is there is said, and no more. */
		if (strstr(text, " (cut short)") != NULL)
			assert_string_equal(strstr(text, " (cut short)"), " (cut short)");
		assert_true(strlen(text) < sizeof(nested_text) + 12);
		decoded(true, PW_LAYER_IP, nested, size);
		decoded(true, PW_LAYER_MPLS, nested, size);
	}
	assert_non_null(strstr(decoded(false, PW_LAYER_ETHERNET, nested, 13), "cut short"));
	assert_non_null(strstr(decoded(false, PW_LAYER_ETHERNET, nested, 60), "cut short"));
}

/** Tunnels in tunnels, labels without a bottom: the line ends somewhere. */
static void test_bombs(void **state)
{
	uint8_t data[1024] = {0};
	const char *text;
	uint32_t i;

	text = decoded(false, PW_LAYER_MPLS, data, sizeof(data));
	assert_non_null(strstr(text, "cut short"));
	assert_true(strlen(text) < 1000);
	for (i = 0; i + 20 <= sizeof(data); i += 20) {
		data[i] = 0x45;
		data[i + 9] = 4; /* IP in IP */
	}
	text = decoded(false, PW_LAYER_IP, data, sizeof(data));
	assert_true(strlen(text) < 2000);
}

static void test_noise(void **state)
{
	uint8_t data[160];
	unsigned int round;
	uint32_t i;

	srand(1);
	for (round = 0; round < 3000; round++) {
		memcpy(data, nested, sizeof(nested));
		for (i = sizeof(nested); i < sizeof(data); i++)
			data[i] = (uint8_t)rand();
		for (i = 0; i < 4; i++)
			data[rand() % (int)sizeof(nested)] = (uint8_t)rand();
		decoded(round % 2 == 0, (uint8_t)(1 + round % 3), data,
			(uint32_t)rand() % sizeof(data));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nested), cmocka_unit_test(test_layers),
		cmocka_unit_test(test_json),   cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_bombs),  cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
