/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/face.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "control/links.h"
#include "control/loop.h"
#include "control/nexthop.h"
#include "control/xfrm.h"
#include "dataplane/path.h"
#include "dataplane/worker.h"
#include "drivers/tap.h"
#include "lib/log.h"

/* Frames of one face in a round of the loop; what is left is read in the next. */
#define FACE_BURST 64

#define MACS       (2 * RTE_ETHER_ADDR_LEN)

struct pw_face {
	struct pw_tap tap;
	struct pw_watcher *watcher; /* NULL: the kernel took the TAP away */
	const struct pw_link *link;
	uint32_t number;
	uint8_t mac[6];       /* as the kernel has it */
	struct pw_path *path; /* a tunnel's: into it; held */
	LIST_ENTRY(pw_face) all;
};
static LIST_HEAD(, pw_face) faces = LIST_HEAD_INITIALIZER(faces);

uint64_t pw_control_events[PW_EVENT_COUNT];

static void drop(struct rte_mbuf *mbuf, enum pw_drop reason)
{
	pw_control_drops[reason]++;
	rte_pktmbuf_free(mbuf);
}

/* ---- kernel -> wire ---------------------------------------------------------------------- */

/* A frame without room for it must be taken all the same, or the loop is told of it for ever. */
static ssize_t discard(const struct pw_face *face)
{
	char nothing[1];
	ssize_t length = read(face->tap.fd, nothing, sizeof(nothing));

	if (length >= 0)
		pw_control_drops[PW_DROP_NO_BUFFER]++;
	return length;
}

/* A whole IP packet, or one byte more than there is room for. */
static ssize_t receive_ip(const struct pw_face *face, struct rte_mbuf *mbuf)
{
	uint8_t excess;
	struct iovec parts[] = {{rte_pktmbuf_mtod(mbuf, void *), rte_pktmbuf_tailroom(mbuf)},
				{&excess, sizeof(excess)}};
	ssize_t length = readv(face->tap.fd, parts, RTE_DIM(parts));

	if (length < 0)
		return length;
	mbuf->data_len = (uint16_t)RTE_MIN(length, rte_pktmbuf_tailroom(mbuf));
	mbuf->pkt_len = mbuf->data_len;
	return length;
}

/* Into the tunnel, wherever it is addressed to; port-receive knows it by the port. */
static void transmit_ip(const struct pw_face *face, struct rte_mbuf *mbuf, size_t length)
{
	struct pw_packet *packet = pw_packet_clear(mbuf);
	unsigned int version = length ? *rte_pktmbuf_mtod(mbuf, const uint8_t *) >> 4 : 0;

	if (length > mbuf->data_len) {
		drop(mbuf, PW_DROP_ETHERNET_SEGMENTS);
		return;
	}
	if (!face->path || (version == 4 && length < sizeof(struct rte_ipv4_hdr)) ||
	    (version == 6 && length < sizeof(struct rte_ipv6_hdr)) ||
	    (version != 4 && version != 6)) {
		drop(mbuf, PW_DROP_TUNNEL_PAYLOAD);
		return;
	}
	packet->port = PW_PORT_NONE;
	packet->nexthop = face->path->id;
	packet->vrf = pw_link_vrf(face->link);
	packet->interface = (uint16_t)face->link->index;
	packet->flags = PW_PACKET_ORIGINATED | PW_PACKET_FORWARDED | PW_PACKET_NO_ICMP;
	if (pw_worker_inject_flow(mbuf, face->number))
		pw_control_events[PW_EVENT_FROM_KERNEL]++;
	else
		pw_control_drops[PW_DROP_PORT_FULL]++;
}

/* The frame is read to where the tag leaves its place. */
static ssize_t receive(const struct pw_face *face, struct rte_mbuf *mbuf)
{
	uint16_t vlan = face->link->vlan, tag = vlan ? RTE_VLAN_HLEN : 0;
	uint16_t fields[2] = {RTE_BE16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(vlan)};
	size_t room = rte_pktmbuf_tailroom(mbuf) - MACS - tag;
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *), excess;
	struct iovec parts[] = {{data, MACS}, {data + MACS + tag, room}, {&excess, sizeof(excess)}};
	ssize_t length = readv(face->tap.fd, parts, RTE_DIM(parts));

	if (length < 0)
		return length;
	memcpy(data + MACS, fields, tag);
	mbuf->data_len = (uint16_t)RTE_MIN(length + tag, rte_pktmbuf_tailroom(mbuf));
	mbuf->pkt_len = mbuf->data_len;
	return length;
}

static void transmit(const struct pw_face *face, struct rte_mbuf *mbuf, size_t length)
{
	const struct pw_link *link = face->link;

	if (length < RTE_ETHER_HDR_LEN) {
		drop(mbuf, PW_DROP_ETHERNET_TRUNCATED);
		return;
	}
	if (length + (link->vlan ? RTE_VLAN_HLEN : 0) > mbuf->data_len) {
		drop(mbuf, PW_DROP_ETHERNET_SEGMENTS);
		return;
	}
	pw_packet_clear(mbuf)->port = link->port;
	if (pw_worker_inject_flow(mbuf, face->number))
		pw_control_events[PW_EVENT_FROM_KERNEL]++;
	else
		pw_control_drops[PW_DROP_PORT_FULL]++;
}

static void readable(uint32_t events, void *context)
{
	struct pw_face *face = context;
	bool tunnel = face->link->kind == PW_LINK_TUNNEL;
	ssize_t length = 0;

	for (int i = 0; i < FACE_BURST && length >= 0; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

		if (!mbuf)
			length = discard(face);
		else
			length = tunnel ? receive_ip(face, mbuf) : receive(face, mbuf);
		if (!mbuf || length < 0)
			rte_pktmbuf_free(mbuf);
		else if (tunnel)
			transmit_ip(face, mbuf, (size_t)length);
		else
			transmit(face, mbuf, (size_t)length);
	}
	if (length >= 0 || errno == EAGAIN || errno == EINTR)
		return;
	/* Somebody deleted it; the kernel feed says so and what follows from it. */
	pw_watcher_stop(face->watcher);
	face->watcher = NULL;
}

/* ---- wire -> kernel ---------------------------------------------------------------------- */

static enum pw_drop refusal(int code)
{
	switch (code) {
	case EIO: /* the TAP is down */
		return PW_DROP_INTERFACE_DOWN;
	case ENOMEM:
	case ENOBUFS:
	case EAGAIN:
		return PW_DROP_NO_BUFFER;
	default:
		return PW_DROP_PUNT_NO_FACE;
	}
}

void pw_face_punt(struct rte_mbuf *mbuf)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_link *link = pw_link_by_index(packet->interface);
	const struct pw_face *face = link ? link->face : NULL;

	/* Another number: the interface went, and its id is another link's since. */
	if (!face || face->number != packet->nexthop) {
		drop(mbuf, PW_DROP_PUNT_NO_FACE);
		return;
	}
	if (mbuf->nb_segs != 1) {
		drop(mbuf, PW_DROP_ETHERNET_SEGMENTS);
		return;
	}
	if (write(face->tap.fd, rte_pktmbuf_mtod(mbuf, const void *), mbuf->data_len) < 0) {
		drop(mbuf, refusal(errno));
		return;
	}
	pw_control_events[PW_EVENT_PUNTED]++;
	rte_pktmbuf_free(mbuf);
}

void pw_punt_take(struct rte_mbuf *mbuf)
{
	switch (pw_packet(mbuf)->request) {
	case PW_REQUEST_PUNT:
		pw_face_punt(mbuf);
		break;
	case PW_REQUEST_PATH_MTU:
		pw_sa_path_mtu_take(mbuf);
		break;
	default:
		pw_neighbour_hold(mbuf);
	}
}

/* ---- life -------------------------------------------------------------------------------- */

static bool carrier_of(const struct pw_link *link)
{
	const struct pw_link *wire =
		link->kind == PW_LINK_VLAN ? pw_link_by_index(link->parent) : link;

	return wire && wire->carrier && (wire == link || wire->admin_up);
}

static int tun_open(struct pw_face *face, char *error, size_t size)
{
	struct pw_hop hop = {.type = RTN_UNICAST, .oif = face->link->index};
	const char *why;
	int ret = pw_leg_take(&hop, &face->path, &why);

	if (ret < 0) {
		snprintf(error, size, "%s", why);
		return ret;
	}
	return pw_tun_create(&face->tap, face->link->name,
			     (uint16_t)RTE_MIN(face->link->mtu, (uint32_t)PW_MTU_MAX), error, size);
}

static void path_release(struct pw_face *face)
{
	if (face->path)
		pw_path_drop(face->path);
	face->path = NULL;
}

void pw_faces_release(void)
{
	struct pw_face *face;

	LIST_FOREACH (face, &faces, all)
		path_release(face);
}

int pw_face_open(struct pw_link *link, char *error, size_t size)
{
	static uint32_t number;
	struct pw_face *face = calloc(1, sizeof(*face));
	int ret;

	if (!face) {
		snprintf(error, size, "%s: no memory for its kernel face", link->name);
		return -ENOMEM;
	}
	face->link = link;
	face->number = ++number;
	memcpy(face->mac, link->mac, sizeof(face->mac));
	if (link->kind == PW_LINK_TUNNEL)
		ret = tun_open(face, error, size);
	else
		ret = pw_tap_create(&face->tap, link->name, link->mac,
				    (uint16_t)RTE_MIN(link->mtu, (uint32_t)PW_MTU_MAX), error,
				    size);
	if (ret < 0)
		goto out;
	face->watcher = pw_loop_watch(face->tap.fd, EPOLLIN, readable, face);
	if (!face->watcher) {
		ret = -errno;
		snprintf(error, size, "%s: its kernel face cannot be watched: %s", link->name,
			 strerror(-ret));
		pw_tap_close(&face->tap);
		goto out;
	}
	pw_tap_set_carrier(&face->tap, carrier_of(link));
	LIST_INSERT_HEAD(&faces, face, all);
	link->face = face;
	pw_link_set_face(link, face->tap.ifindex, face->tap.name);
	return 0;
out:
	path_release(face);
	free(face);
	return ret;
}

void pw_face_close(struct pw_link *link)
{
	struct pw_face *face = link->face;

	if (!face)
		return;
	pw_link_set_face(link, 0, "");
	link->face = NULL;
	if (face->watcher)
		pw_watcher_stop(face->watcher);
	pw_tap_close(&face->tap);
	path_release(face);
	LIST_REMOVE(face, all);
	free(face);
}

void pw_face_follow(const struct pw_link *link)
{
	struct pw_face *face = link->face;
	int ret;

	if (!face || !face->watcher)
		return;
	pw_tap_set_carrier(&face->tap, carrier_of(link));
	if (!memcmp(face->mac, link->mac, sizeof(face->mac)))
		return;
	memcpy(face->mac, link->mac, sizeof(face->mac));
	ret = pw_tap_set_mac(&face->tap, face->mac);
	if (ret < 0)
		pw_warning("%s: its kernel face does not take its MAC: %s", link->name,
			   strerror(-ret));
}

uint32_t pw_face_number(const struct pw_link *link)
{
	return link->face ? link->face->number : 0;
}
