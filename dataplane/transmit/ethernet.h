/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_ETHERNET_H
#define PW_TRANSMIT_ETHERNET_H

#include "dataplane/stage.h"
#include "dataplane/table/neighbour.h"

#include <rte_ether.h>

/** Puts the neighbour's ready-made header before the packet; false without headroom. */
static inline bool pw_ethernet_write(struct pw_worker *worker, struct rte_mbuf *mbuf,
				     const struct pw_neighbour *neighbour, uint16_t type)
{
	char *at = rte_pktmbuf_prepend(mbuf, neighbour->rewrite_len);

	if (unlikely(!at))
		return false;
	memcpy(at, neighbour->rewrite, 14);
	if (unlikely(neighbour->rewrite_len == 18))
		memcpy(at + 14, neighbour->rewrite + 14, 4);
	memcpy(at + neighbour->rewrite_len - 2, &type, 2);
	pw_packet(mbuf)->port = neighbour->port;
	worker->counters[neighbour->interface].tx_packets++;
	worker->counters[neighbour->interface].tx_bytes += mbuf->pkt_len;
	return true;
}

#endif
