/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "drivers/soft.h"

/**
 * TAPs: the kernel is the other end of the wire (tap:NAME), or has its face there (what a
 * NIC that DPDK owns, or a VLAN, looks like to the kernel).
 */

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

static int tap_refuse(const char *name, int code, char *error, size_t size)
{
	const char *why = strerror(code);

	if (code == EPERM)
		why = "not permitted (it needs CAP_NET_ADMIN)";
	else if (code == EBUSY)
		why = "another program has it";
	else if (code == EINVAL)
		why = "an interface of that name exists and is no TAP that can be used";
	return pw_port_refuse(-code, error, size, "TAP %s: %s", name, why);
}

/* One descriptor a queue. A TAP that the operator made may be single-queue. */
static int tap_attach(const char *name, short flags)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

static int tap_create(struct pw_port_device *device, char *error, size_t size)
{
	uint16_t count = RTE_MIN(pw_ethdev_workers(), TAP_QUEUES_MAX);
	const char *name = device->port.face_name;
	struct pw_soft *soft;
	int first, result;

	tap_rest = rte_get_tsc_hz() / 1000000 * TAP_REST_MICROSECONDS;
	first = tap_attach(name, IFF_MULTI_QUEUE);
	if (first == -EINVAL) {
		first = tap_attach(name, 0);
		count = 1;
	}
	if (first == -ENOENT)
		return pw_port_refuse(-ENOENT, error, size,
				      "TAP %s: there is no /dev/net/tun (modprobe tun)", name);
	if (first < 0)
		return tap_refuse(name, -first, error, size);
	result = pw_soft_create(device, count);
	soft = device->private;
	if (soft)
		soft->queue[0].fd = first;
	else
		close(first);
	if (result)
		return pw_port_refuse(result, error, size, "TAP %s: %s", name, strerror(-result));
	for (uint16_t i = 1; i < count; i++) {
		soft->queue[i].fd = tap_attach(name, IFF_MULTI_QUEUE);
		if (soft->queue[i].fd < 0)
			return tap_refuse(name, -soft->queue[i].fd, error, size);
	}
	return 0;
}

/* tap:NAME: our end has a MAC of its own, the kernel keeps the one it gave the TAP. */
static int tap_wire_create(struct pw_port_device *device, char *error, size_t size)
{
	snprintf(device->port.face_name, sizeof(device->port.face_name), "%.15s",
		 device->port.spec.argument);
	pw_port_stable_mac(device->port.spec.argument, device->port.mac);
	return tap_create(device, error, size);
}

static int tap_start(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->port.face_name;
	int result = 0;

	device->port.face_ifindex = if_nametoindex(name);
	if (device->is_face)
		result = pw_netdev_set_mac(name, device->port.mac);
	if (!result)
		result = pw_netdev_set_mtu(name, device->port.mtu);
	if (!result)
		result = pw_netdev_set_up(name, true);
	if (!result)
		result = pw_soft_hook(device, tap_receive, tap_transmit);
	if (result)
		return pw_port_refuse(result, error, size, "TAP %s: %s", name, strerror(-result));
	return 0;
}

static int tap_wire_start(struct pw_port_device *device, char *error, size_t size)
{
	int result = tap_start(device, error, size);

	/* It is the other end of the wire, no face of ours. */
	device->port.face_ifindex = 0;
	device->port.face_name[0] = '\0';
	return result;
}

void pw_face_set_carrier(struct pw_port_device *face, bool carrier)
{
	const struct pw_soft *soft = face->private;
	int value = carrier;

	/* Kernels before 5.0 have no such call; their TAPs are always running. */
	ioctl(soft->queue[0].fd, TUNSETCARRIER, &value);
}

static int tap_set_mtu(struct pw_port_device *device, uint16_t mtu)
{
	const char *name = device->is_face ? device->port.face_name : device->port.spec.argument;

	return pw_netdev_set_mtu(name, mtu);
}

static bool tap_carrier(const struct pw_port_device *device)
{
	return pw_netdev_running(device->is_face ? device->port.face_name
						 : device->port.spec.argument);
}

const struct pw_port_ops pw_port_tap_ops = {
	.name = "tap",
	.check = tap_check,
	.create = tap_wire_create,
	.start = tap_wire_start,
	.stop = pw_soft_unhook,
	.destroy = pw_soft_destroy,
	.set_mtu = tap_set_mtu,
	.carrier = tap_carrier,
	.statistics = pw_soft_statistics,
};

const struct pw_port_ops pw_port_face_ops = {
	.name = "face",
	.create = tap_create,
	.start = tap_start,
	.stop = pw_soft_unhook,
	.destroy = pw_soft_destroy,
	.set_mtu = tap_set_mtu,
	.carrier = tap_carrier,
	.statistics = pw_soft_statistics,
};
