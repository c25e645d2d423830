/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "drivers/soft.h"
#include "drivers/tap.h"

/** tap:NAME: the kernel, or a guest, is the other end of the wire. */

/* An empty TAP costs a system call to ask; while nothing comes it is asked this seldom. */
#define TAP_REST_MICROSECONDS 20
#define TAP_QUEUES_MAX        16

static uint64_t tap_rest; /* in TSC cycles */

static uint16_t tap_receive(uint16_t ethdev, uint16_t index, struct rte_mbuf *packets[],
			    uint16_t count, uint16_t max, void *parameter)
{
	struct pw_soft_queue *queue = parameter;
	uint64_t now = rte_rdtsc();
	uint16_t before = count;
	uint8_t excess;
	ssize_t length;

	if (now < queue->next_read)
		return count;
	while (count < max) {
		struct rte_mbuf *mbuf = queue->spare;

		if (!mbuf) {
			mbuf = rte_pktmbuf_alloc(queue->pool);
			if (!mbuf) {
				queue->rx_nombuf++;
				break;
			}
			queue->spare = mbuf;
		}
		length = readv(queue->fd,
			       (struct iovec[]){
				       {rte_pktmbuf_mtod(mbuf, void *), rte_pktmbuf_tailroom(mbuf)},
				       {&excess, 1}},
			       2);
		if (length < 0)
			break;
		if (length < RTE_ETHER_HDR_LEN || length > rte_pktmbuf_tailroom(mbuf)) {
			queue->rx_errors++;
			continue;
		}
		queue->spare = NULL;
		mbuf->data_len = length;
		mbuf->pkt_len = length;
		mbuf->port = ethdev;
		queue->rx_packets++;
		queue->rx_bytes += length;
		packets[count++] = mbuf;
	}
	queue->next_read = count == before ? now + tap_rest : 0;
	return count;
}

static uint16_t tap_transmit(uint16_t ethdev, uint16_t index, struct rte_mbuf *packets[],
			     uint16_t count, void *parameter)
{
	struct pw_soft_queue *queue = parameter;

	for (uint16_t i = 0; i < count; i++) {
		const struct rte_mbuf *mbuf = packets[i];

		if (mbuf->nb_segs != 1 ||
		    write(queue->fd, rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len) < 0) {
			queue->tx_errors++;
			continue;
		}
		queue->tx_packets++;
		queue->tx_bytes += mbuf->data_len;
	}
	return count; /* net_null frees them all */
}

static int tap_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	if (!pw_interface_name_valid(spec->argument))
		return pw_port_refuse(-EINVAL, error, size,
				      "\"%s\" is no name for a TAP (1 to 15 characters)",
				      spec->argument);
	return 0;
}

static int tap_create(struct pw_port_device *device, char *error, size_t size)
{
	uint16_t count = RTE_MIN(pw_ethdev_workers(), TAP_QUEUES_MAX);
	const char *name = device->port.spec.argument;
	struct pw_soft *soft;
	int first, result;

	/* Our end has a MAC of its own, the kernel keeps the one it gave the TAP. */
	pw_port_stable_mac(name, device->port.mac);
	tap_rest = rte_get_tsc_hz() / 1000000 * TAP_REST_MICROSECONDS;
	/* One descriptor a queue. A TAP that the operator made may be single-queue. */
	first = pw_tap_attach(name, IFF_MULTI_QUEUE);
	if (first == -EINVAL) {
		first = pw_tap_attach(name, 0);
		count = 1;
	}
	if (first < 0)
		return pw_tap_refuse(name, first, error, size);
	result = pw_soft_create(device, count);
	soft = device->private;
	if (soft)
		soft->queue[0].fd = first;
	else
		close(first);
	if (result)
		return pw_port_refuse(result, error, size, "TAP %s: %s", name, strerror(-result));
	for (uint16_t i = 1; i < count; i++) {
		soft->queue[i].fd = pw_tap_attach(name, IFF_MULTI_QUEUE);
		if (soft->queue[i].fd < 0)
			return pw_tap_refuse(name, soft->queue[i].fd, error, size);
	}
	return 0;
}

static int tap_start(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->port.spec.argument;
	int result = pw_netdev_set_mtu(name, device->port.mtu);

	if (!result)
		result = pw_netdev_set_up(name, true);
	if (!result)
		result = pw_soft_hook(device, tap_receive, tap_transmit);
	if (result)
		return pw_port_refuse(result, error, size, "TAP %s: %s", name, strerror(-result));
	return 0;
}

static int tap_set_mtu(struct pw_port_device *device, uint16_t mtu)
{
	return pw_netdev_set_mtu(device->port.spec.argument, mtu);
}

static bool tap_carrier(const struct pw_port_device *device)
{
	return pw_netdev_running(device->port.spec.argument);
}

const struct pw_port_ops pw_port_tap_ops = {
	.name = "tap",
	.check = tap_check,
	.create = tap_create,
	.start = tap_start,
	.rx_fd = pw_soft_rx_fd,
	.stop = pw_soft_unhook,
	.destroy = pw_soft_destroy,
	.set_mtu = tap_set_mtu,
	.carrier = tap_carrier,
	.statistics = pw_soft_statistics,
};
