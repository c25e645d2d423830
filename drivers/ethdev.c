/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/worker.h"
#include "drivers/crypto_inline.h"
#include "drivers/port_internal.h"
#include "lib/log.h"

#define DESCRIPTORS 1024

uint16_t pw_ethdev_workers(void)
{
	return RTE_MAX(pw_worker_count, 1);
}

int pw_ethdev_create(struct pw_port_device *device, const char *driver, const char *arguments)
{
	static unsigned int next;
	int result;

	/* DPDK was built for a number of devices and says nothing when they are used up. */
	if (rte_eth_dev_count_avail() >= RTE_MAX_ETHPORTS) {
		pw_error("DPDK has room for %u devices and no more", RTE_MAX_ETHPORTS);
		return -ENOSPC;
	}
	snprintf(device->bus, sizeof(device->bus), "vdev");
	snprintf(device->dpdk_name, sizeof(device->dpdk_name), "%s_pw%u", driver, next++);
	result = rte_eal_hotplug_add(device->bus, device->dpdk_name, arguments);
	if (result < 0)
		return result == -1 ? -EIO : result;
	result = rte_eth_dev_get_port_by_name(device->dpdk_name, &device->port.ethdev);
	if (result < 0)
		rte_eal_hotplug_remove(device->bus, device->dpdk_name);
	else
		device->created = true;
	return result;
}

static void queues_choose(struct pw_port_device *device, const struct rte_eth_dev_info *info)
{
	uint16_t wanted = device->queues ? device->queues : pw_ethdev_workers();

	device->port.rx_queues = RTE_MAX(RTE_MIN(wanted, info->max_rx_queues), 1);
	device->port.tx_queues = RTE_MAX(RTE_MIN(wanted, info->max_tx_queues), 1);
}

/* On the addresses of the flow: fragments and ESP then stay together. */
static void rss_choose(struct rte_eth_conf *configuration, const struct rte_eth_dev_info *info,
		       uint16_t rx_queues)
{
	uint64_t functions = info->flow_type_rss_offloads & RTE_ETH_RSS_IP;

	if (rx_queues < 2 || functions == 0)
		return;
	configuration->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	configuration->rx_adv_conf.rss_conf.rss_hf = functions;
}

static int queues_setup(struct pw_port_device *device, uint16_t rx_descriptors,
			uint16_t tx_descriptors)
{
	uint16_t ethdev = device->port.ethdev;
	int node = rte_eth_dev_socket_id(ethdev);
	int result = 0;

	for (uint16_t i = 0; i < device->port.rx_queues && !result; i++) {
		result =
			rte_eth_rx_queue_setup(ethdev, i, rx_descriptors, node, NULL, pw_mbuf_pool);
		if (!result && device->ops->queue_made)
			device->ops->queue_made(device, i);
	}
	for (uint16_t i = 0; i < device->port.tx_queues && !result; i++)
		result = rte_eth_tx_queue_setup(ethdev, i, tx_descriptors, node, NULL);
	return result;
}

/* What device and buffers allow; a received packet is one segment. */
static void mtu_choose(struct pw_port_device *device, const struct rte_eth_dev_info *info)
{
	uint32_t room = rte_pktmbuf_data_room_size(pw_mbuf_pool) - RTE_PKTMBUF_HEADROOM;
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
	uint32_t most;
	uint16_t mtu;

	if (device->frame_room)
		room = RTE_MIN(room, device->frame_room);
	most = room - overhead;
	if (!device->ops->set_mtu) {
		most = RTE_MIN(most, info->max_mtu);
		if (info->max_rx_pktlen > overhead + RTE_ETHER_CRC_LEN)
			most = RTE_MIN(most, info->max_rx_pktlen - overhead - RTE_ETHER_CRC_LEN);
		most = RTE_MAX(most, (uint32_t)RTE_ETHER_MTU);
	}
	device->port.mtu_max = RTE_MIN(most, (uint32_t)UINT16_MAX - overhead);
	if (device->netdev.mtu)
		device->port.mtu = RTE_MIN(device->netdev.mtu, device->port.mtu_max);
	else if (rte_eth_dev_get_mtu(device->port.ethdev, &mtu) == 0 && !device->ops->set_mtu)
		device->port.mtu = RTE_MIN(mtu, device->port.mtu_max);
	else
		device->port.mtu = RTE_MIN((uint16_t)RTE_ETHER_MTU, device->port.mtu_max);
	if (device->netdev.mtu > device->port.mtu)
		pw_warning("port %s: the MTU of %s is %u, but packet buffers hold %u",
			   device->port.spec.name, device->netdev.name, device->netdev.mtu,
			   device->port.mtu);
}

/* Drivers often say only -1, which is no errno. */
static const char *reason(int result)
{
	return result == -1 ? "the driver does not say why" : rte_strerror(-result);
}

static int configure_and_start(struct pw_port_device *device, const struct rte_eth_dev_info *info,
			       char *error, size_t size)
{
	const char *name = device->port.spec.name;
	uint16_t ethdev = device->port.ethdev;
	uint16_t rx_descriptors = DESCRIPTORS;
	uint16_t tx_descriptors = DESCRIPTORS;
	struct rte_eth_conf configuration = {.intr_conf.rxq = device->interrupts};
	char why[PW_CRYPTO_WHY_BYTES];
	int result;

	rss_choose(&configuration, info, device->port.rx_queues);
	if (device->port.spec.inline_crypto) {
		result = pw_inline_configure(info, &configuration, why);
		if (result)
			return pw_port_refuse(result, error, size, "%s: %s", name, why);
	}
	result = rte_eth_dev_configure(ethdev, device->port.rx_queues, device->port.tx_queues,
				       &configuration);
	if (result)
		return pw_port_refuse(result, error, size,
				      "%s: DPDK cannot configure the device: %s", name,
				      reason(result));
	result = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &rx_descriptors, &tx_descriptors);
	if (!result || result == -ENOTSUP)
		result = queues_setup(device, rx_descriptors, tx_descriptors);
	if (result)
		return pw_port_refuse(result, error, size, "%s: DPDK cannot set up queues: %s",
				      name, reason(result));
	result = rte_eth_dev_start(ethdev);
	if (result)
		return pw_port_refuse(result, error, size, "%s: DPDK cannot start the device: %s",
				      name, reason(result));
	device->started = true;
	device->unsafe = false;
	return 0;
}

/* Every queue's can be switched, and has a descriptor. */
static bool interrupts_work(const struct pw_port_device *device)
{
	uint16_t ethdev = device->port.ethdev;

	for (uint16_t i = 0; i < device->port.rx_queues; i++)
		if (rte_eth_dev_rx_intr_enable(ethdev, i) ||
		    rte_eth_dev_rx_intr_disable(ethdev, i) ||
		    rte_eth_dev_rx_intr_ctl_q_get_fd(ethdev, i) < 0)
			return false;
	return true;
}

int pw_ethdev_start(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->port.spec.name;
	uint16_t ethdev = device->port.ethdev;
	char why[PW_CRYPTO_WHY_BYTES];
	struct rte_ether_addr mac;
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(ethdev, &info);

	if (result)
		return pw_port_refuse(result, error, size, "%s: DPDK does not know the device: %s",
				      name, reason(result));
	queues_choose(device, &info);
	result = configure_and_start(device, &info, error, size);
	if (result && device->interrupts) {
		/* Its driver, or how the kernel hands it over, may not have them. */
		device->interrupts = false;
		result = configure_and_start(device, &info, error, size);
	}
	if (result)
		return result;
	if (device->port.spec.inline_crypto) {
		result = pw_inline_port_add(ethdev, name, why);
		if (result)
			return pw_port_refuse(result, error, size, "%s", why);
	}
	device->interrupts = device->interrupts && interrupts_work(device);
	mtu_choose(device, &info);
	if (rte_is_zero_ether_addr((const struct rte_ether_addr *)device->port.mac) &&
	    rte_eth_macaddr_get(ethdev, &mac) == 0)
		memcpy(device->port.mac, mac.addr_bytes, sizeof(device->port.mac));
	return 0;
}

void pw_ethdev_remove(struct pw_port_device *device)
{
	if (device->started) {
		pw_inline_port_remove(device->port.ethdev);
		rte_eth_dev_stop(device->port.ethdev);
	}
	device->started = false;
	if (!device->created || device->borrowed || device->unsafe)
		return;
	rte_eth_dev_close(device->port.ethdev);
	rte_eal_hotplug_remove(device->bus, device->dpdk_name);
	device->created = false;
}
