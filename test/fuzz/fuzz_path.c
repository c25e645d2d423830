/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes -> frames on the ports of a configured PE. An input is a row of records: a byte whose
 * low bits are the port, two bytes length, the frame. With bit 7 the frame's first IPv4 header
 * gets its right checksum, so that damage behind it is reached.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>

#include "test/fuzz/setup.h"
#include "test/path/pe.h"

#define ETHERNET 14

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_start();
	fuzz_configure((*argv)[0], PW_FUZZ_CONFIGURE);
	return 0;
}

/* Every octet is looked at, so that the sanitizer knows that it was set. */
static void sent(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	uint32_t *sum = context;

	if (length < ETHERNET || port >= PE_PORTS_MAX)
		abort();
	for (size_t i = 0; i < length; i++)
		*sum += frame[i];
}

static void checksum(uint8_t *frame, size_t length)
{
	struct rte_ipv4_hdr *ip = (void *)(frame + ETHERNET);

	if (length < ETHERNET + sizeof(*ip) || frame[12] != 8 || frame[13] != 0)
		return;
	if (rte_ipv4_hdr_len(ip) < sizeof(*ip) || rte_ipv4_hdr_len(ip) > length - ETHERNET)
		return;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = ~rte_raw_cksum(ip, rte_ipv4_hdr_len(ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[UINT16_MAX];
	uint32_t sum = 0;
	size_t length;

	pe_rate_set(100);
	while (size > 3) {
		length = (size_t)data[1] << 8 | data[2];
		if (length > size - 3)
			length = size - 3;
		memcpy(frame, data + 3, length);
		if (data[0] & 0x80)
			checksum(frame, length);
		if (length != 0)
			pe_send(data[0] & 3, frame, length);
		data += 3 + length;
		size -= 3 + length;
	}
	pe_run(sent, &sum);
	return 0;
}
