/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_EXCEPTION_PATH_MTU_H
#define PW_EXCEPTION_PATH_MTU_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** What an ICMP error says of a packet of ESP that was too big for a router's next link. */
struct pw_esp_quote {
	const uint8_t *source, *destination; /* in the packet; 4 bytes, or 16 if v6 */
	uint32_t mtu;        /* of that link; 0: an old router, which does not say */
	uint32_t spi;        /* network byte order */
	uint32_t sequence;   /* low half of the number */
	uint16_t length;     /* of the packet that was too big */
	uint16_t udp_source; /* network byte order */
	uint16_t udp_destination;
	bool v6;
	bool udp; /* in UDP (RFC 3948) */
};

/**
 * Reads an IP packet, not a fragment, that carries ICMP: "fragmentation needed" (RFC 792, 1191) or
 * "packet too big" (RFC 4443) about ESP. Any thread. 0; -ENOENT: it is something else, or about
 * something else, IKE among it; -EBADMSG: it quotes too little of the ESP header.
 */
int pw_esp_quote_read(const struct rte_mbuf *mbuf, struct pw_esp_quote *quote);

#endif
