/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "drivers/soft.h"
#include "lib/log.h"

/**
 * AF_PACKET: a memory-mapped ring to receive from, sendmmsg() to send. The steering program
 * stands twice: as the sockets' filter (only Pewter's frames come in) and in tc (they go no
 * further into the kernel).
 */

#define RING_BYTES     (4U << 20) /* a queue */
#define BLOCK_BYTES    (64U << 10)
#define SEND_BURST     64
#define FANOUT_RETRIES 8

/* Headers before the frame in its slot, see tpacket_rcv() in the kernel. */
#define SLOT_OVERHEAD (TPACKET_ALIGN(TPACKET2_HDRLEN) + 16 + sizeof(struct virtio_net_hdr) + 16)

/* A frame from the kernel of this very machine (veth) may have only the beginning of a
 * checksum, for hardware to finish. */
static void checksum_finish(struct rte_mbuf *mbuf, const struct virtio_net_hdr *header)
{
	uint32_t start = header->csum_start;
	uint32_t field = start + header->csum_offset;
	uint16_t sum;

	if (field + sizeof(sum) > mbuf->data_len)
		return;
	sum = ~rte_raw_cksum(rte_pktmbuf_mtod_offset(mbuf, void *, start), mbuf->data_len - start);
	if (sum == 0)
		sum = 0xffff; /* the same number; in UDP 0 would say "none" (RFC 768) */
	memcpy(rte_pktmbuf_mtod_offset(mbuf, void *, field), &sum, sizeof(sum));
}

static bool tag_insert(struct rte_mbuf *mbuf, const struct tpacket2_hdr *slot)
{
	uint16_t type = ETH_P_8021Q;
	uint8_t *frame;

	if (slot->tp_status & TP_STATUS_VLAN_TPID_VALID)
		type = slot->tp_vlan_tpid;
	frame = (uint8_t *)rte_pktmbuf_prepend(mbuf, RTE_VLAN_HLEN);
	if (!frame)
		return false;
	memmove(frame, frame + RTE_VLAN_HLEN, 2 * RTE_ETHER_ADDR_LEN);
	frame[12] = type >> 8;
	frame[13] = type & 0xff;
	frame[14] = slot->tp_vlan_tci >> 8;
	frame[15] = slot->tp_vlan_tci & 0xff;
	return true;
}

/* Copies the frame out of its slot. NULL when it is none for a router. */
static struct rte_mbuf *slot_take(struct pw_soft_queue *queue, const struct tpacket2_hdr *slot)
{
	const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
	const struct sockaddr_ll *address;
	struct virtio_net_hdr header;
	struct rte_mbuf *mbuf;

	address = RTE_PTR_ADD(slot, TPACKET_ALIGN(sizeof(*slot)));
	if (address->sll_pkttype == PACKET_OUTGOING)
		return NULL;
	memcpy(&header, frame - sizeof(header), sizeof(header));
	/* Cut off, or several segments that the kernel glued together (GRO, a veth's TSO). */
	if (slot->tp_len != slot->tp_snaplen || slot->tp_len > queue->soft->frame_max ||
	    slot->tp_len < RTE_ETHER_HDR_LEN || header.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		queue->rx_errors++;
		return NULL;
	}
	mbuf = rte_pktmbuf_alloc(queue->pool);
	if (!mbuf) {
		queue->rx_nombuf++;
		return NULL;
	}
	mbuf->data_len = slot->tp_snaplen;
	mbuf->pkt_len = slot->tp_snaplen;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), frame, slot->tp_snaplen);
	if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		checksum_finish(mbuf, &header);
	if ((slot->tp_status & TP_STATUS_VLAN_VALID) && !tag_insert(mbuf, slot)) {
		queue->rx_errors++;
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	return mbuf;
}

static uint16_t packet_receive(uint16_t ethdev, uint16_t index, struct rte_mbuf *packets[],
			       uint16_t count, uint16_t max, void *parameter)
{
	struct pw_soft_queue *queue = parameter;

	while (count < max) {
		struct tpacket2_hdr *slot =
			(void *)(queue->ring + (size_t)queue->frame * queue->frame_size);
		struct rte_mbuf *mbuf;

		if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		mbuf = slot_take(queue, slot);
		__atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		if (++queue->frame == queue->frame_count)
			queue->frame = 0;
		if (!mbuf)
			continue;
		mbuf->port = ethdev;
		queue->rx_packets++;
		queue->rx_bytes += mbuf->pkt_len;
		packets[count++] = mbuf;
	}
	return count;
}

static uint16_t packet_transmit(uint16_t ethdev, uint16_t index, struct rte_mbuf *packets[],
				uint16_t count, void *parameter)
{
	struct pw_soft_queue *queue = parameter;
	/* PACKET_VNET_HDR asks for one with each frame: nothing left to do. */
	static const struct virtio_net_hdr plain;
	struct mmsghdr messages[SEND_BURST];
	struct iovec vectors[SEND_BURST][2];

	for (uint16_t done = 0; done < count;) {
		uint16_t burst = RTE_MIN(count - done, SEND_BURST);
		int sent;

		memset(messages, 0, burst * sizeof(messages[0]));
		for (uint16_t i = 0; i < burst; i++) {
			struct rte_mbuf *mbuf = packets[done + i];

			vectors[i][0].iov_base = (void *)(uintptr_t)&plain;
			vectors[i][0].iov_len = sizeof(plain);
			vectors[i][1].iov_base = rte_pktmbuf_mtod(mbuf, void *);
			vectors[i][1].iov_len = mbuf->data_len;
			messages[i].msg_hdr.msg_iov = vectors[i];
			messages[i].msg_hdr.msg_iovlen = 2;
		}
		sent = sendmmsg(queue->fd, messages, burst, MSG_DONTWAIT);
		for (int i = 0; i < sent; i++)
			queue->tx_bytes += packets[done + i]->data_len;
		if (sent > 0) {
			queue->tx_packets += sent;
			done += sent;
		} else {
			/* The first one cannot be sent: queue full, too long, link down. */
			queue->tx_errors++;
			done++;
		}
	}
	return count; /* net_null frees them all */
}

/* Slots that hold a whole frame of the buffers' size. */
static int ring_map(struct pw_soft_queue *queue, uint16_t frame_max)
{
	struct tpacket_req request;
	uint32_t frame_size = 2048;
	void *ring;

	while (frame_size < frame_max + SLOT_OVERHEAD)
		frame_size *= 2;
	request.tp_frame_size = frame_size;
	request.tp_block_size = BLOCK_BYTES;
	request.tp_block_nr = RING_BYTES / BLOCK_BYTES;
	request.tp_frame_nr = RING_BYTES / frame_size;
	if (setsockopt(queue->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		return -errno;
	ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, queue->fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	queue->ring = ring;
	queue->frame_size = frame_size;
	queue->frame_count = request.tp_frame_nr;
	return 0;
}

static int queue_option(const struct pw_soft_queue *queue, int option, int value)
{
	return setsockopt(queue->fd, SOL_PACKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int queue_open(struct pw_soft_queue *queue, const struct pw_port_device *device)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = device->netdev.index,
	};
	int filter = pw_steer_filter(&device->steer);
	int result;

	/* Protocol 0: nothing comes in before the filter is there and it is bound. */
	queue->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (queue->fd < 0)
		return -errno;
	result = queue_option(queue, PACKET_VERSION, TPACKET_V2);
	if (!result)
		result = queue_option(queue, PACKET_VNET_HDR, 1);
	if (!result)
		result = ring_map(queue, queue->soft->frame_max);
	/* Both only save work: what the kernel sends is also told from the address. */
	queue_option(queue, PACKET_IGNORE_OUTGOING, 1);
	queue_option(queue, PACKET_QDISC_BYPASS, 1);
	if (!result && filter >= 0 &&
	    setsockopt(queue->fd, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)) < 0)
		result = -errno;
	if (!result && bind(queue->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		result = -errno;
	return result;
}

/* Spreads flows over the workers. Not PACKET_FANOUT_FLAG_DEFRAG: fragments are forwarded. */
static int fanout_join(struct pw_soft *soft)
{
	for (unsigned int try = 0; try < FANOUT_RETRIES; try++) {
		uint16_t id = (getpid() + try * 4099) ^ soft->queue[0].fd;
		int result = queue_option(&soft->queue[0], PACKET_FANOUT,
					  id | (PACKET_FANOUT_HASH << 16));

		/* EINVAL: another program has a group of this id with another rule. */
		if (result == -EINVAL)
			continue;
		for (uint16_t i = 1; i < soft->count && !result; i++)
			result = queue_option(&soft->queue[i], PACKET_FANOUT,
					      id | (PACKET_FANOUT_HASH << 16));
		return result;
	}
	return -EINVAL;
}

static int packet_create(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->port.spec.argument;
	unsigned int merged;
	int result;

	result = pw_netdev_open(&device->netdev, name, error, size);
	if (result)
		return result;
	merged = pw_netdev_offloads_off(&device->netdev, PW_NETDEV_GRO | PW_NETDEV_LRO);
	if (merged)
		pw_warning("port %s: receive offload (GRO or LRO) of %s cannot be switched off; "
			   "packets that it merges are lost",
			   device->port.spec.name, name);
	memcpy(device->port.mac, device->netdev.mac, sizeof(device->port.mac));
	result = pw_soft_create(device, pw_ethdev_workers());
	if (result)
		return pw_port_refuse(result, error, size, "%s: %s", name, strerror(-result));
	return 0;
}

static int packet_start(struct pw_port_device *device, char *error, size_t size)
{
	const char *name = device->netdev.name;
	struct pw_soft *soft = device->private;
	char why[256];
	int result = 0;

	soft->frame_max = device->port.mtu_max + RTE_ETHER_HDR_LEN;
	if (pw_steer_skb_load(&device->steer, why, sizeof(why)) < 0)
		pw_warning("port %s: %s; the kernel and Pewter both see every packet of %s",
			   device->port.spec.name, why, name);
	for (uint16_t i = 0; i < soft->count && !result; i++)
		result = queue_open(&soft->queue[i], device);
	if (!result && soft->count > 1)
		result = fanout_join(soft);
	if (!result)
		result = pw_soft_hook(device, packet_receive, packet_transmit);
	if (!result && device->steer.loaded)
		result = pw_steer_begin(&device->steer, name, device->port.mac);
	if (result)
		return pw_port_refuse(result, error, size, "AF_PACKET on %s: %s%s", name,
				      strerror(-result),
				      result == -EPERM ? " (it needs CAP_NET_RAW)" : "");
	if (device->steer.loaded &&
	    pw_steer_tc_attach(&device->steer, device->netdev.index, why, sizeof(why)) < 0)
		pw_warning("port %s: %s; the kernel sees tunnel packets of %s as well",
			   device->port.spec.name, why, name);
	device->port.face = PW_FACE_NATIVE;
	device->port.face_ifindex = device->netdev.index;
	snprintf(device->port.face_name, sizeof(device->port.face_name), "%s", name);
	return 0;
}

static void packet_stop(struct pw_port_device *device)
{
	pw_soft_unhook(device);
	pw_steer_tc_detach(&device->steer, device->netdev.index);
}

static void packet_destroy(struct pw_port_device *device)
{
	pw_soft_destroy(device);
	pw_steer_end(&device->steer);
	pw_netdev_close(&device->netdev);
}

static void packet_statistics(const struct pw_port_device *device,
			      struct pw_port_statistics *statistics)
{
	struct pw_soft *soft = device->private;

	for (uint16_t i = 0; i < soft->count; i++) {
		struct tpacket_stats kernel;
		socklen_t length = sizeof(kernel);

		/* Reading resets them. */
		if (getsockopt(soft->queue[i].fd, SOL_PACKET, PACKET_STATISTICS, &kernel,
			       &length) == 0)
			soft->queue[i].rx_missed += kernel.tp_drops;
	}
	pw_soft_statistics(device, statistics);
}

const struct pw_port_ops pw_port_af_packet_ops = {
	.name = "af_packet",
	.check = pw_native_check,
	.create = packet_create,
	.start = packet_start,
	.rx_fd = pw_soft_rx_fd,
	.stop = packet_stop,
	.destroy = packet_destroy,
	.set_mtu = pw_native_set_mtu,
	.carrier = pw_native_carrier,
	.statistics = packet_statistics,
};
