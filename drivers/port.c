/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "dataplane/table/interface.h"
#include "dataplane/worker.h"
#include "drivers/port_internal.h"
#include "lib/log.h"

#define MTU_MIN     68 /* RFC 791 */
#define DRAIN_BURST 32

static struct pw_port_device *ports[PW_PORTS];

struct pw_port_device *pw_port_device(uint16_t index)
{
	return index < PW_PORTS ? ports[index] : NULL;
}

const struct pw_port *pw_port_find(uint16_t index)
{
	const struct pw_port_device *device = pw_port_device(index);

	return device ? &device->port : NULL;
}

static struct pw_port_device *device_make(const struct pw_port_spec *spec,
					  const struct pw_port_ops *ops, char *error, size_t size)
{
	struct pw_port_device *device;
	uint16_t free = PW_PORTS;

	for (uint16_t i = PW_PORTS; i-- > 0;) {
		if (!ports[i])
			free = i;
		else if (strcmp(ports[i]->port.spec.name, spec->name) == 0) {
			pw_port_refuse(-EEXIST, error, size, "there is a port %s already",
				       spec->name);
			rte_errno = EEXIST;
			return NULL;
		}
	}
	if (free == PW_PORTS) {
		pw_port_refuse(-ENOSPC, error, size, "%s: there are %u ports already", spec->name,
			       PW_PORTS);
		rte_errno = ENOSPC;
		return NULL;
	}
	device = rte_zmalloc("port", sizeof(*device), 0);
	if (!device) {
		pw_port_refuse(-ENOMEM, error, size, "%s: out of memory", spec->name);
		rte_errno = ENOMEM;
		return NULL;
	}
	device->ops = ops;
	device->port.spec = *spec;
	device->port.index = free;
	device->port.ethdev = RTE_MAX_ETHPORTS;
	ports[free] = device;
	return device;
}

/* From whatever state an opening that failed, or close, left it in. */
static void device_free(struct pw_port_device *device)
{
	uint16_t index = device->port.index;

	if (device->up)
		pw_workers_poll_delete(index);
	if (pw_port_get(index))
		pw_port_withdraw(index);
	if (device->started && device->ops->stop)
		device->ops->stop(device);
	pw_ethdev_remove(device);
	if (device->ops->destroy)
		device->ops->destroy(device);
	ports[index] = NULL;
	rte_free(device);
}

static bool device_carrier(const struct pw_port_device *device)
{
	struct rte_eth_link link = {0};

	if (device->ops->carrier)
		return device->ops->carrier(device);
	return rte_eth_link_get_nowait(device->port.ethdev, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

/* Two specifications may mean the same hardware. */
static int device_unique(const struct pw_port_device *device, char *error, size_t size)
{
	for (uint16_t i = 0; i < PW_PORTS; i++)
		if (ports[i] && ports[i] != device && ports[i]->port.ethdev == device->port.ethdev)
			return pw_port_refuse(-EBUSY, error, size, "%s is port %s already",
					      device->port.spec.argument, ports[i]->port.spec.name);
	return 0;
}

/* Workers know it first, then poll it. */
static int device_publish(struct pw_port_device *device, char *error, size_t size)
{
	struct pw_port *port = &device->port;
	uint16_t senders = RTE_MIN(port->tx_queues, pw_ethdev_workers());
	int result;

	result = pw_port_publish(port->index, port->ethdev, senders);
	if (!result)
		result = pw_workers_poll_add(port->index, port->ethdev, port->rx_queues);
	if (result)
		return pw_port_refuse(result, error, size, "%s: workers cannot take the port: %s",
				      port->spec.name, strerror(-result));
	device->up = true;
	return 0;
}

static int device_open(struct pw_port_device *device, char *error, size_t size)
{
	int result = 0;

	if (device->ops->create)
		result = device->ops->create(device, error, size);
	if (!result)
		result = device_unique(device, error, size);
	if (!result)
		result = pw_ethdev_start(device, error, size);
	if (!result && device->ops->start)
		result = device->ops->start(device, error, size);
	if (result)
		return result;
	device->port.carrier = device_carrier(device);
	return device_publish(device, error, size);
}

int pw_port_rx_fd(uint16_t index, uint16_t queue, bool *interrupt)
{
	const struct pw_port_device *device = pw_port_device(index);

	*interrupt = false;
	if (!device || queue >= device->port.rx_queues)
		return PW_RX_LOOK;
	if (device->ops->rx_fd)
		return device->ops->rx_fd(device, queue);
	if (!device->interrupts)
		return PW_RX_LOOK;
	*interrupt = true;
	return rte_eth_dev_rx_intr_ctl_q_get_fd(device->port.ethdev, queue);
}

/*
 * The kernel lets go of an AF_XDP queue some time after its socket was closed: by the daemon
 * before this one, or by our own probe. A try that fails for it costs a device number.
 */
#define SETTLE_TRIES        6
#define SETTLE_MICROSECONDS 150000

static int port_open(const struct pw_port_spec *spec, const struct pw_port_ops *ops, bool *fallback,
		     bool *again, char *error, size_t size)
{
	struct pw_port_device *device = device_make(spec, ops, error, size);
	int result;

	*fallback = *again = false;
	if (!device)
		return -rte_errno;
	result = device_open(device, error, size);
	if (result == 0)
		return device->port.index;
	*fallback = device->fallback;
	*again = device->fallback && device->unsafe;
	device_free(device);
	return result;
}

int pw_port_open(const struct pw_port_spec *spec, char *error, size_t size)
{
	struct pw_port_spec other = *spec;
	bool fallback, again = true;
	int result = -EINVAL;

	if (spec->driver >= PW_PORT_RING)
		return pw_port_refuse(-EINVAL, error, size, "%s: no such driver", spec->name);
	for (int try = 0; try < SETTLE_TRIES && again; try++) {
		if (try > 0)
			usleep(SETTLE_MICROSECONDS);
		result = port_open(spec, pw_port_driver_ops(spec->driver), &fallback, &again, error,
				   size);
		again = again && result < 0;
	}
	if (result < 0 && fallback) {
		pw_warning("port %s: %s; AF_PACKET is used instead", spec->name, error);
		other.driver = PW_PORT_AF_PACKET;
		result = port_open(&other, &pw_port_af_packet_ops, &fallback, &again, error, size);
	}
	return result;
}

int pw_port_open_ethdev(const char *name, uint16_t ethdev, char *error, size_t size)
{
	struct pw_port_spec spec = {.driver = PW_PORT_RING};
	struct pw_port_device *device;
	int result;

	if (!pw_interface_name_valid(name))
		return pw_port_refuse(-EINVAL, error, size, "\"%s\" is no name for a port", name);
	if (!rte_eth_dev_is_valid_port(ethdev))
		return pw_port_refuse(-ENODEV, error, size, "there is no ethdev %u", ethdev);
	snprintf(spec.name, sizeof(spec.name), "%s", name);
	snprintf(spec.argument, sizeof(spec.argument), "%u", ethdev);
	device = device_make(&spec, &pw_port_ring_ops, error, size);
	if (!device)
		return -rte_errno;
	device->port.ethdev = ethdev;
	device->created = true;
	device->borrowed = true;
	device->interrupts = true;
	result = device_open(device, error, size);
	if (result == 0)
		return device->port.index;
	device_free(device);
	return result;
}

void pw_port_close(uint16_t index)
{
	struct pw_port_device *device = pw_port_device(index);

	if (!device)
		return;
	device_free(device);
}

void pw_port_close_all(void)
{
	for (uint16_t i = 0; i < PW_PORTS; i++)
		pw_port_close(i);
}

int pw_native_set_mtu(struct pw_port_device *device, uint16_t mtu)
{
	return pw_netdev_set_mtu(device->netdev.name, mtu);
}

bool pw_native_carrier(const struct pw_port_device *device)
{
	return pw_netdev_running(device->netdev.name);
}

int pw_port_set_mtu(uint16_t index, uint16_t mtu)
{
	struct pw_port_device *device = pw_port_device(index);
	int result;

	if (!device)
		return -ENODEV;
	if (mtu < MTU_MIN || mtu > device->port.mtu_max)
		return -EINVAL;
	if (device->ops->set_mtu)
		result = device->ops->set_mtu(device, mtu);
	else
		result = rte_eth_dev_set_mtu(device->port.ethdev, mtu);
	if (result == -ENOTSUP && mtu <= RTE_ETHER_MTU)
		result = 0; /* the device does not care */
	if (result)
		return result;
	device->port.mtu = mtu;
	return 0;
}

/* What came in while nobody polled is stale. */
static void device_drain(const struct pw_port_device *device)
{
	struct rte_mbuf *packets[DRAIN_BURST];
	uint16_t count;

	for (uint16_t queue = 0; queue < device->port.rx_queues; queue++)
		for (unsigned int burst = 0; burst < 4096 / DRAIN_BURST; burst++) {
			count = rte_eth_rx_burst(device->port.ethdev, queue, packets, DRAIN_BURST);
			if (count == 0)
				break;
			rte_pktmbuf_free_bulk(packets, count);
		}
}

int pw_port_set_up(uint16_t index, bool up)
{
	struct pw_port_device *device = pw_port_device(index);
	int result = 0;

	if (!device)
		return -ENODEV;
	if (device->up == up)
		return 0;
	if (!up) {
		pw_workers_poll_delete(index);
		device->up = false;
		rte_eth_dev_set_link_down(device->port.ethdev);
		return 0;
	}
	rte_eth_dev_set_link_up(device->port.ethdev);
	if (device->netdev.index)
		result = pw_netdev_set_up(device->netdev.name, true);
	if (!result) {
		device_drain(device);
		result = pw_workers_poll_add(index, device->port.ethdev, device->port.rx_queues);
	}
	device->up = result == 0;
	return result;
}

bool pw_port_poll_link(uint16_t index)
{
	struct pw_port_device *device = pw_port_device(index);
	bool carrier;

	if (!device)
		return false;
	carrier = device_carrier(device);
	if (carrier == device->port.carrier)
		return false;
	device->port.carrier = carrier;
	if (!carrier && device->netdev.index && !if_nametoindex(device->netdev.name))
		pw_error("port %s: interface %s is gone", device->port.spec.name,
			 device->netdev.name);
	return true;
}

int pw_port_statistics(uint16_t index, struct pw_port_statistics *statistics)
{
	const struct pw_port_device *device = pw_port_device(index);
	struct rte_eth_stats stats;
	int result;

	if (!device)
		return -ENODEV;
	memset(statistics, 0, sizeof(*statistics));
	if (device->ops->statistics) {
		device->ops->statistics(device, statistics);
		return 0;
	}
	result = rte_eth_stats_get(device->port.ethdev, &stats);
	if (result)
		return result;
	statistics->rx_packets = stats.ipackets;
	statistics->rx_bytes = stats.ibytes;
	statistics->rx_missed = stats.imissed;
	statistics->rx_errors = stats.ierrors;
	statistics->rx_nombuf = stats.rx_nombuf;
	statistics->tx_packets = stats.opackets;
	statistics->tx_bytes = stats.obytes;
	statistics->tx_errors = stats.oerrors;
	return 0;
}
