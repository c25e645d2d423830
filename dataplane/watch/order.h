/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_ORDER_H
#define PW_WATCH_ORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <pcap/bpf.h>
#include <rte_graph.h>
#include <rte_mbuf.h>

#include "dataplane/path.h"
#include "dataplane/watch/record.h"
#include "dataplane/watch/watch.h"

#define PW_WATCH_NODES  256 /* rte_graph node ids that are looked at */
#define PW_WATCH_ORDERS 5   /* one trace and some captures at a time */
#define PW_WATCH_MARKS  255 /* packets under trace that can be told apart */

/** Classic BPF programs, validated; NULL matches everything. */
struct pw_filter {
	struct bpf_insn *ethernet; /* for packets that begin at their Ethernet header */
	struct bpf_insn *ip; /* for packets that begin at their IP header, or labels before it */
};

/** One client's wish. Written by the control thread before it is published, except *. */
struct pw_watch_order {
	bool trace;      /* otherwise capture */
	uint8_t stage;   /* PW_AT_*: trace: where packets are picked; capture: where they are
			  * seen, PW_AT_NONE: at ports */
	uint16_t port;   /* this port only; PW_PORT_NONE: all */
	uint32_t limit;  /* packets at most, UINT32_MAX: until stopped */
	uint32_t picked; /* * packets so far; atomic, may overshoot the limit */
	struct pw_filter filter;
	uint32_t numbers[PW_WATCH_MARKS + 1]; /* * mark in pw_packet -> number of the packet */
	uint16_t ring_count;
	struct pw_record_ring *rings[]; /* one a worker */
};

/** What worker->watch points to. */
struct pw_watch {
	uint8_t stage[PW_WATCH_NODES]; /* rte_graph node id -> PW_AT_* */
	uint16_t count;
	struct pw_watch_order *order[PW_WATCH_ORDERS];
};

/* For trace.c and capture.c */
void pw_trace_stage(struct pw_watch_order *order, const struct pw_worker *worker,
		    enum pw_stage_id stage, void **objs, uint16_t n);
void pw_capture_stage(struct pw_watch_order *order, const struct pw_worker *worker,
		      enum pw_stage_id stage, void **objs, uint16_t n);

/** Does the packet, which begins with @p layer (PW_LAYER_*), match? */
bool pw_filter_match(const struct pw_filter *filter, const struct rte_mbuf *mbuf, uint8_t layer);

/** What the data of a packet that enters a stage begin with: PW_LAYER_*. */
uint8_t pw_watch_layer(enum pw_stage_id stage, const struct rte_mbuf *mbuf);

/** Fills a record; @p room bytes of data at most. */
void pw_record_fill(struct pw_record *record, const struct pw_worker *worker,
		    enum pw_stage_id stage, uint8_t layer, struct rte_mbuf *mbuf, uint32_t room);

/* Control thread: */

/**
 * An order with empty rings of @p slots records (a power of two) of @p data bytes for each of
 * @p workers workers. NULL: out of memory.
 */
struct pw_watch_order *pw_watch_order_create(uint16_t workers, uint32_t slots, uint32_t data);

/** Frees it with its filters; no worker may see it any more. NULL is ignored. */
void pw_watch_order_destroy(struct pw_watch_order *order);

/** Adds up what all its rings lost. */
uint64_t pw_watch_order_lost(const struct pw_watch_order *order);

/** Packets picked so far, never above the limit. */
uint32_t pw_watch_order_picked(const struct pw_watch_order *order);

/** Fills in stage[] from the registered nodes. */
void pw_watch_stages(struct pw_watch *watch);

#endif
