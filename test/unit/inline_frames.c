/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <rte_ip.h>

#include "crypto_fixture.h"
#include "inline_frames.h"
#include "inline_nic.h"
#include "pe_fixture.h"
#include "test/path/frame.h"
#include "test/path/pe.h"

#define ETHER  FRAME_ETHER
#define IPV4   20
#define INNER  64
#define INSIDE (4 + 4 + INNER) /* GRE, label, packet */
#define TEXT   ((INSIDE + 2 + 3) & ~3)
#define SEALED (16 + TEXT + 16) /* ESP header, IV, text, ICV */

static_assert(INLINE_FRAME == ETHER + IPV4 + SEALED, "a sealed frame");

struct pw_crypto_key *key, *other_key;

/* A customer's packet, told by its mark. */
static void inner(uint8_t *at, uint32_t from, uint32_t to, uint32_t mark)
{
	memset(at, 0, INNER);
	frame_ipv4(at, INNER, IPPROTO_UDP, from, to);
	memcpy(at + INNER - 4, &mark, 4);
}

void sealed_frame(uint8_t *frame, const struct pw_crypto_key *with, uint32_t to, uint32_t number)
{
	static const uint8_t gre_and_label[] = {0, 0, 0x88, 0x47, 0, 0x0c, 0x81, 0x40};
	uint8_t *esp = frame + ETHER + IPV4, *text = esp + 16;
	struct pw_crypto_op op = {.key = with, .esp = esp, .text_bytes = TEXT};
	uint32_t spi = RTE_BE32(0x1001), low = rte_cpu_to_be_32(number);
	uint64_t iv = number;

	frame_ether(frame, CORE0);
	frame_ipv4(frame + ETHER, IPV4 + SEALED, IPPROTO_ESP, RTE_IPV4(10, 255, 0, 2), to);
	memcpy(esp, &spi, 4);
	memcpy(esp + 4, &low, 4);
	memcpy(esp + 8, &iv, 8);
	memcpy(text, gre_and_label, sizeof(gre_and_label));
	inner(text + 8, RTE_IPV4(10, 2, 0, 2), RTE_IPV4(10, 1, 0, 2), number);
	for (uint8_t i = 0; i < TEXT - INSIDE - 2; i++)
		text[INSIDE + i] = i + 1;
	text[TEXT - 2] = TEXT - INSIDE - 2;
	text[TEXT - 1] = IPPROTO_GRE;
	assert_int_equal(pw_crypto_seal(nic.crypto, &op, 1), 0);
}

void receive_changed(uint8_t port, const struct pw_crypto_key *with, uint32_t number,
		     uint8_t change)
{
	uint8_t frame[INLINE_FRAME];

	sealed_frame(frame, with, RTE_IPV4(10, 255, 0, 1), number);
	frame[5] = port;
	frame[INLINE_FRAME - 1] ^= change;
	assert_int_equal(pe_send(port, frame, sizeof(frame)), 0);
}

void receive(uint8_t port, uint32_t number)
{
	receive_changed(port, key, number, 0);
}

void delivered(unsigned int at, uint32_t mark)
{
	uint8_t expected[INNER];
	uint32_t got;

	inner(expected, RTE_IPV4(10, 2, 0, 2), RTE_IPV4(10, 1, 0, 2), mark);
	assert_true(at < sent_count);
	assert_int_equal(sent[at].port, RED);
	memcpy(&got, sent[at].bytes + ETHER + INNER - 4, 4);
	assert_int_equal(got, mark);
	assert_memory_equal(sent[at].bytes + ETHER + 12, expected + 12, INNER - 12);
}

void customer_sends(uint32_t mark)
{
	uint8_t frame[ETHER + INNER];

	frame_ether(frame, RED);
	inner(frame + ETHER, RTE_IPV4(10, 1, 0, 2), RTE_IPV4(10, 2, 0, 2), mark);
	assert_int_equal(pe_send(RED, frame, sizeof(frame)), 0);
}

void left(unsigned int at, unsigned int port, uint32_t number, uint32_t mark)
{
	uint8_t *esp = sent[at].bytes + ETHER + IPV4, expected[INNER];
	struct pw_crypto_op op = {.key = key, .esp = esp, .text_bytes = TEXT};
	uint32_t low, spi;

	assert_true(at < sent_count);
	assert_int_equal(sent[at].port, port);
	assert_int_equal(sent[at].length, INLINE_FRAME);
	memcpy(&spi, esp, 4);
	memcpy(&low, esp + 4, 4);
	assert_int_equal(rte_be_to_cpu_32(spi), 0x1002);
	assert_int_equal(rte_be_to_cpu_32(low), number);
	inner(expected, RTE_IPV4(10, 1, 0, 2), RTE_IPV4(10, 2, 0, 2), mark);
	assert_memory_not_equal(esp + 16 + 8 + 12, expected + 12, INNER - 12);
	assert_int_equal(pw_crypto_open(nic.crypto, &op, 1), 0);
	assert_memory_equal(esp + 16 + 8 + 12, expected + 12, INNER - 12);
	assert_int_equal(esp[16 + TEXT - 1], IPPROTO_GRE);
}

static struct pw_crypto_key *key_of(uint8_t byte)
{
	struct pw_crypto_key *made;
	uint8_t raw[INLINE_KEY];

	memset(raw, byte, sizeof(raw));
	assert_int_equal(
		pw_crypto_key_new(suite_named("aes128gcm16"), raw, INLINE_KEY, NULL, 0, &made), 0);
	return made;
}

void keys_make(void)
{
	key = key_of(0x5a);
	other_key = key_of(0xa5);
}

void keys_free(void)
{
	pw_crypto_key_free(key);
	pw_crypto_key_free(other_key);
}
