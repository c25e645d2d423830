/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/soft.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "dataplane/worker.h"

int pw_soft_create(struct pw_port_device *device, uint16_t count)
{
	struct pw_soft *soft;

	soft = rte_zmalloc("soft port", sizeof(*soft) + count * sizeof(soft->queue[0]),
			   RTE_CACHE_LINE_SIZE);
	if (!soft)
		return -ENOMEM;
	soft->count = count;
	for (uint16_t i = 0; i < count; i++) {
		soft->queue[i].fd = -1;
		soft->queue[i].pool = pw_mbuf_pool;
		soft->queue[i].soft = soft;
	}
	device->private = soft;
	device->queues = count;
	return pw_ethdev_create(device, "net_null", "no-rx=1");
}

int pw_soft_hook(struct pw_port_device *device, rte_rx_callback_fn receive,
		 rte_tx_callback_fn transmit)
{
	struct pw_soft *soft = device->private;
	uint16_t ethdev = device->port.ethdev;

	for (uint16_t i = 0; i < soft->count; i++) {
		struct pw_soft_queue *queue = &soft->queue[i];

		soft->hooked = i + 1;
		queue->rx_hook = rte_eth_add_rx_callback(ethdev, i, receive, queue);
		queue->tx_hook = rte_eth_add_tx_callback(ethdev, i, transmit, queue);
		if (!queue->rx_hook || !queue->tx_hook)
			return -ENOMEM;
	}
	return 0;
}

void pw_soft_unhook(struct pw_port_device *device)
{
	struct pw_soft *soft = device->private;
	uint16_t ethdev = device->port.ethdev;

	for (uint16_t i = 0; soft && i < soft->hooked; i++) {
		struct pw_soft_queue *queue = &soft->queue[i];

		/* Nobody polls or sends any more, so the hooks can be freed at once. */
		if (queue->rx_hook && rte_eth_remove_rx_callback(ethdev, i, queue->rx_hook) == 0)
			rte_free((void *)(uintptr_t)queue->rx_hook);
		if (queue->tx_hook && rte_eth_remove_tx_callback(ethdev, i, queue->tx_hook) == 0)
			rte_free((void *)(uintptr_t)queue->tx_hook);
		queue->rx_hook = NULL;
		queue->tx_hook = NULL;
	}
	if (soft)
		soft->hooked = 0;
}

int pw_soft_rx_fd(const struct pw_port_device *device, uint16_t queue)
{
	const struct pw_soft *soft = device->private;

	return soft->queue[queue].fd;
}

void pw_soft_destroy(struct pw_port_device *device)
{
	struct pw_soft *soft = device->private;

	for (uint16_t i = 0; soft && i < soft->count; i++) {
		struct pw_soft_queue *queue = &soft->queue[i];

		if (queue->ring)
			munmap(queue->ring, (size_t)queue->frame_size * queue->frame_count);
		if (queue->fd >= 0)
			close(queue->fd);
		rte_pktmbuf_free(queue->spare);
	}
	rte_free(soft);
	device->private = NULL;
}

void pw_soft_statistics(const struct pw_port_device *device, struct pw_port_statistics *statistics)
{
	const struct pw_soft *soft = device->private;

	for (uint16_t i = 0; i < soft->count; i++) {
		const struct pw_soft_queue *queue = &soft->queue[i];

		statistics->rx_packets += queue->rx_packets;
		statistics->rx_bytes += queue->rx_bytes;
		statistics->rx_errors += queue->rx_errors;
		statistics->rx_nombuf += queue->rx_nombuf;
		statistics->rx_missed += queue->rx_missed;
		statistics->tx_packets += queue->tx_packets;
		statistics->tx_bytes += queue->tx_bytes;
		statistics->tx_errors += queue->tx_errors;
	}
}
