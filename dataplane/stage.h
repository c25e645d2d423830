/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_STAGE_H
#define PW_STAGE_H

/** What the files of stages share: registration, sending on, header access. */

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "dataplane/path.h"
#include "dataplane/watch/watch.h"
#include "dataplane/worker.h"

/** Every stage's first edge is `drop`, so that code shared by stages can drop. */
#define PW_STAGE_DROP 0

/**
 * Registers a stage: its node, and the look of trace and capture at what comes in.
 * @param stage     C name
 * @param node_name as in the graph
 * @param function  rte_node_process_t
 * The rest are the names of the next stages, in the order of the stage's edge enum.
 */
#define PW_STAGE_FLAGS(stage, node_name, function, node_flags, ...)                                \
	static uint16_t stage##_watched(struct rte_graph *graph, struct rte_node *node,            \
					void **objs, uint16_t n)                                   \
	{                                                                                          \
		struct pw_worker *worker = pw_worker();                                            \
                                                                                                   \
		if (unlikely(worker->watch != NULL))                                               \
			pw_watch_stage(worker, node, objs, n);                                     \
		return function(graph, node, objs, n);                                             \
	}                                                                                          \
	static struct rte_node_register stage##_node = {                                           \
		.name = node_name,                                                                 \
		.process = stage##_watched,                                                        \
		.flags = node_flags,                                                               \
		.nb_edges = RTE_DIM(((const char *[]){__VA_ARGS__})),                              \
		.next_nodes = {__VA_ARGS__},                                                       \
	};                                                                                         \
	RTE_NODE_REGISTER(stage##_node)

#define PW_STAGE(stage, node_name, function, ...)                                                  \
	PW_STAGE_FLAGS(stage, node_name, function, 0, __VA_ARGS__)

/** Sends each packet along its own edge; runs of equal edges move together. */
static inline void pw_stage_next(struct rte_graph *graph, struct rte_node *node,
				 const rte_edge_t *edges, void **objs, uint16_t n)
{
	uint16_t first = 0;

	while (first < n) {
		uint16_t last = first + 1;

		while (last < n && edges[last] == edges[first])
			last++;
		if (first == 0 && last == n && objs == node->objs)
			rte_node_next_stream_move(graph, node, edges[0]);
		else
			rte_node_enqueue(graph, node, edges[first], &objs[first], last - first);
		first = last;
	}
}

/** The edge to `drop`, with the reason noted. */
static inline rte_edge_t pw_stage_drop(struct rte_mbuf *mbuf, enum pw_drop reason)
{
	pw_packet(mbuf)->reason = reason;
	return PW_STAGE_DROP;
}

/** Notes what an ICMP error would say; the caller returns its own edge to `icmp-error`. */
static inline void pw_stage_icmp(struct rte_mbuf *mbuf, enum pw_drop reason, uint8_t type,
				 uint8_t code, uint32_t info)
{
	struct pw_packet *packet = pw_packet(mbuf);

	packet->reason = reason;
	packet->icmp_type = type;
	packet->icmp_code = code;
	packet->icmp_info = info;
}

static inline uint8_t pw_ip_version(const struct rte_mbuf *mbuf)
{
	return *rte_pktmbuf_mtod(mbuf, const uint8_t *) >> 4;
}

/** Cuts what follows the packet (Ethernet padding). */
static inline void pw_stage_trim(struct rte_mbuf *mbuf, uint16_t length)
{
	mbuf->data_len = length;
	mbuf->pkt_len = length;
}

/** Incremental checksum update (RFC 1624) of a 16-bit word, all in network byte order. */
static inline uint16_t pw_checksum_update(uint16_t checksum, uint16_t old, uint16_t new)
{
	uint32_t sum = (uint16_t)~checksum + (uint16_t)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/** IPv4 TTL less one: TTL, protocol and checksum are one word, lowest byte first. */
static inline void pw_ipv4_decrement(struct rte_ipv4_hdr *ip)
{
	uint32_t word;

	memcpy(&word, &ip->time_to_live, sizeof(word));
	/* RFC 1624: 0x0100 goes to the checksum, with the carry around. */
	word += 0x10000 + ((uint32_t)(word >= 0xfffe0000) << 16) - 1;
	memcpy(&ip->time_to_live, &word, sizeof(word));
}

/** Flow hash of an IP packet at the data pointer: addresses, protocol, ports. Never 0. */
uint32_t pw_flow_hash(const struct rte_mbuf *mbuf);

/** The packet's flow hash, computed when it is first needed. */
static inline uint32_t pw_packet_hash(struct rte_mbuf *mbuf)
{
	if (!mbuf->hash.rss)
		mbuf->hash.rss = pw_flow_hash(mbuf);
	return mbuf->hash.rss;
}

/** One token of a rate limit; false when it is used up. */
static inline bool pw_rate_take(struct pw_rate *rate, uint64_t now)
{
	uint64_t tokens = rate->tokens + (now - rate->last);

	rate->last = now;
	if (tokens > rate->burst)
		tokens = rate->burst;
	if (tokens < rate->cost) {
		rate->tokens = tokens;
		return false;
	}
	rate->tokens = tokens - rate->cost;
	return true;
}

#endif
