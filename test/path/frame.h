/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_FRAME_H
#define PW_TEST_FRAME_H

/* Headers of frames that a PE of ports made of rings is sent. Addresses in host byte order. */
#include <stdint.h>
#include <string.h>

#include <rte_ip.h>

#define FRAME_ETHER 14

/* Ethernet with IPv4 in it, to the MAC address of the PE's port. */
static inline void frame_ether(uint8_t *frame, unsigned int port)
{
	const uint8_t header[FRAME_ETHER] = {0x02, 0x50, 0, 0, 0, (uint8_t)port, 0x02, 0, 0,
					     0,    1,    2, 8, 0};

	memcpy(frame, header, sizeof(header));
}

static inline void frame_ipv4(uint8_t *at, uint16_t length, uint8_t protocol, uint32_t from,
			      uint32_t to)
{
	struct rte_ipv4_hdr ip = {.version_ihl = RTE_IPV4_VHL_DEF,
				  .total_length = rte_cpu_to_be_16(length),
				  .time_to_live = 60,
				  .next_proto_id = protocol,
				  .src_addr = rte_cpu_to_be_32(from),
				  .dst_addr = rte_cpu_to_be_32(to)};

	ip.hdr_checksum = rte_ipv4_cksum(&ip);
	memcpy(at, &ip, sizeof(ip));
}

#endif
