/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_SOFT_H
#define PW_DRIVERS_SOFT_H

#include "drivers/port_internal.h"

/**
 * Devices that read and write a kernel's file descriptor by Pewter's own code, behind an
 * ethdev like any other: DPDK's net_null with our receive and transmit hooked in as burst
 * callbacks. DPDK's own drivers for these two do what a router cannot have: net_af_packet puts
 * fragments together (PACKET_FANOUT_FLAG_DEFRAG) and hears what it sends, net_tap raises a
 * signal for each packet and gives both ends the same MAC.
 */

/** One queue. The first line is the receiver's, the second the transmitter's. */
struct pw_soft_queue {
	int fd;
	uint32_t frame;       /* AF_PACKET: ring position */
	uint32_t frame_count; /* AF_PACKET */
	uint32_t frame_size;  /* AF_PACKET */
	uint8_t *ring;        /* AF_PACKET */
	struct rte_mempool *pool;
	struct rte_mbuf *spare; /* TAP: buffer that the next read fills */
	uint64_t next_read;     /* TAP: not before this TSC */
	const struct pw_soft *soft;
	uint64_t rx_packets __rte_cache_aligned;
	uint64_t rx_bytes;
	uint64_t rx_errors;
	uint64_t rx_nombuf;
	uint64_t rx_missed; /* control thread */
	uint64_t tx_packets __rte_cache_aligned;
	uint64_t tx_bytes;
	uint64_t tx_errors;
	const struct rte_eth_rxtx_callback *rx_hook;
	const struct rte_eth_rxtx_callback *tx_hook;
} __rte_cache_aligned;

struct pw_soft {
	uint16_t count;
	uint16_t hooked;
	uint16_t frame_max; /* longest frame, VLAN tag included, that may come in */
	struct pw_soft_queue queue[];
};

/** Makes the ethdev and device->private with @p count queues, fds -1. 0, -ENOMEM, -errno. */
int pw_soft_create(struct pw_port_device *device, uint16_t count);

/** Hooks the functions in; the parameter they get is the queue. 0 or -ENOMEM. */
int pw_soft_hook(struct pw_port_device *device, rte_rx_callback_fn receive,
		 rte_tx_callback_fn transmit);
void pw_soft_unhook(struct pw_port_device *device);

/** The queue's own descriptor. */
int pw_soft_rx_fd(const struct pw_port_device *device, uint16_t queue);

/** Closes the descriptors and frees device->private. */
void pw_soft_destroy(struct pw_port_device *device);

void pw_soft_statistics(const struct pw_port_device *device, struct pw_port_statistics *statistics);

#endif
