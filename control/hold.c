/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that wait for their neighbour: a few for each, a bounded number in all. */
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "control/links.h"
#include "control/neighbours.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/worker.h"

#define HOLD_MAX       1024
#define HOLD_NEIGHBOUR 8
#define NEXTHOP_DEPTH  8 /* groups, tunnels and what is under them */

struct pw_held {
	TAILQ_ENTRY(pw_held) own;            /* of the neighbour, or of the settled */
	TAILQ_ENTRY(pw_held) all;            /* those that wait, the oldest first */
	struct pw_link_neighbour *neighbour; /* NULL: settled */
	struct rte_mbuf *mbuf;
	uint32_t id; /* the neighbour's, for what is settled */
};

uint64_t pw_control_drops[PW_DROP_COUNT];

static struct pw_held pool[HOLD_MAX];
static struct pw_held_list unused;  /* linked by own */
static struct pw_held_list waiting; /* linked by all */
static struct pw_held_list settled; /* linked by own: to be sent on by the flush */

static void drop(struct rte_mbuf *mbuf, enum pw_drop reason)
{
	pw_control_drops[reason]++;
	rte_pktmbuf_free(mbuf);
}

static struct rte_mbuf *let_go(struct pw_held *held)
{
	struct rte_mbuf *mbuf = held->mbuf;

	TAILQ_REMOVE(&held->neighbour->held, held, own);
	held->neighbour->held_count--;
	TAILQ_REMOVE(&waiting, held, all);
	held->neighbour = NULL;
	held->mbuf = NULL;
	TAILQ_INSERT_HEAD(&unused, held, own);
	return mbuf;
}

static void hold(struct pw_link_neighbour *neighbour, struct rte_mbuf *mbuf)
{
	struct pw_held *held;

	if (neighbour->held_count >= HOLD_NEIGHBOUR)
		drop(let_go(TAILQ_FIRST(&neighbour->held)), PW_DROP_NEIGHBOUR_HOLD);
	else if (TAILQ_EMPTY(&unused) && !TAILQ_EMPTY(&waiting))
		drop(let_go(TAILQ_FIRST(&waiting)), PW_DROP_NEIGHBOUR_HOLD);
	held = TAILQ_FIRST(&unused);
	if (!held) {
		drop(mbuf, PW_DROP_NEIGHBOUR_HOLD);
		return;
	}
	TAILQ_REMOVE(&unused, held, own);
	held->mbuf = mbuf;
	held->neighbour = neighbour;
	held->id = neighbour->id;
	TAILQ_INSERT_TAIL(&neighbour->held, held, own);
	TAILQ_INSERT_TAIL(&waiting, held, all);
	neighbour->held_count++;
}

/* Answered or given up: either way workers look again, and find the header or the refusal
 * (which sends ICMP). Only after what was settled has reached the tables. */
void pw_hold_settled(struct pw_link_neighbour *neighbour)
{
	struct pw_held *held;

	while ((held = TAILQ_FIRST(&neighbour->held))) {
		TAILQ_REMOVE(&neighbour->held, held, own);
		TAILQ_REMOVE(&waiting, held, all);
		neighbour->held_count--;
		held->neighbour = NULL;
		TAILQ_INSERT_TAIL(&settled, held, own);
	}
}

static void inject(struct rte_mbuf *mbuf)
{
	if (!pw_worker_inject(mbuf))
		pw_control_drops[PW_DROP_NEIGHBOUR_HOLD]++;
}

static void release(struct rte_mbuf *mbuf)
{
	pw_packet(mbuf)->flags |= PW_PACKET_RELEASED;
	inject(mbuf);
}

/* No lookup led it here, so none may send it on; IMPOSED is all that a popped packet shows. */
static bool by_label(struct rte_mbuf *mbuf)
{
	return pw_packet(mbuf)->flags & (PW_PACKET_LABELLED | PW_PACKET_IMPOSED);
}

/* Without a lookup: for labels, and routes whose VRF does not see the neighbour's host route. */
static void transmit(uint32_t id, struct rte_mbuf *mbuf)
{
	const struct pw_neighbour *object = pw_neighbour_get(id);
	struct pw_packet *packet = pw_packet(mbuf);
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint16_t type = RTE_BE16(data[0] >> 4 == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	char *header;

	if (object->state != PW_NEIGHBOUR_REACHABLE) {
		drop(mbuf, PW_DROP_NEIGHBOUR_FAILED);
		return;
	}
	header = rte_pktmbuf_prepend(mbuf, object->rewrite_len);
	if (!header) {
		drop(mbuf, PW_DROP_NO_BUFFER);
		return;
	}
	if (packet->flags & PW_PACKET_LABELLED)
		type = RTE_BE16(RTE_ETHER_TYPE_MPLS);
	memcpy(header, object->rewrite, object->rewrite_len);
	memcpy(header + object->rewrite_len - sizeof(type), &type, sizeof(type));
	packet->nexthop = 0;
	packet->port = object->port;
	packet->flags &= (uint8_t)~PW_PACKET_RELEASED; /* a frame, not to be looked up again */
	inject(mbuf);
}

void pw_neighbour_flush(void)
{
	struct pw_held *held;

	if (TAILQ_EMPTY(&settled))
		return;
	pw_resolve();
	while ((held = TAILQ_FIRST(&settled))) {
		TAILQ_REMOVE(&settled, held, own);
		if (by_label(held->mbuf))
			transmit(held->id, held->mbuf);
		else
			release(held->mbuf);
		held->mbuf = NULL;
		TAILQ_INSERT_HEAD(&unused, held, own);
	}
}

void pw_hold_drop(struct pw_link_neighbour *neighbour, enum pw_drop reason)
{
	while (neighbour->held_count)
		drop(let_go(TAILQ_FIRST(&neighbour->held)), reason);
}

/* The destination of the IP packet that the mbuf begins with. */
static bool destination(struct rte_mbuf *mbuf, struct pw_address *address)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint16_t length = rte_pktmbuf_data_len(mbuf);

	memset(address, 0, sizeof(*address));
	if (length >= sizeof(struct rte_ipv4_hdr) && data[0] >> 4 == 4) {
		address->family = AF_INET;
		memcpy(address->bytes, data + offsetof(struct rte_ipv4_hdr, dst_addr), 4);
		return true;
	}
	if (length >= sizeof(struct rte_ipv6_hdr) && data[0] >> 4 == 6) {
		address->family = AF_INET6;
		memcpy(address->bytes, data + offsetof(struct rte_ipv6_hdr, dst_addr), 16);
		return true;
	}
	return false;
}

/* Whom the packet waits for; NULL when it cannot be said. */
static struct pw_link_neighbour *neighbour_of(struct rte_mbuf *mbuf)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_nexthop *nexthop = pw_nexthop_get(packet->nexthop);
	struct pw_link_neighbour *neighbour;
	struct pw_address address;
	struct pw_link *link;

	for (int depth = 0; depth < NEXTHOP_DEPTH; depth++) {
		nexthop = pw_nexthop_select(nexthop, mbuf->hash.rss);
		if (nexthop->type != PW_NEXTHOP_TUNNEL)
			break;
		nexthop = pw_nexthop_get(pw_endpoint_get(nexthop->endpoint)->underlay);
	}
	if (nexthop->type == PW_NEXTHOP_NEIGHBOUR)
		return pw_neighbour_by_id(nexthop->neighbour);
	if (nexthop->type != PW_NEXTHOP_GLEAN || !destination(mbuf, &address))
		return NULL;
	link = pw_link_by_index(nexthop->interface);
	if (!link || !pw_neighbour_ethernet(link) || pw_address_multicast(&address))
		return NULL;
	neighbour = pw_neighbour_obtain(link, &address);
	if (neighbour)
		neighbour->gleaned = true;
	return neighbour;
}

void pw_neighbour_hold(struct rte_mbuf *mbuf)
{
	bool released = pw_packet(mbuf)->flags & PW_PACKET_RELEASED;
	struct pw_link_neighbour *neighbour = neighbour_of(mbuf);

	if (!neighbour || !neighbour->link) {
		/* What it was punted for has changed meanwhile. */
		if (released)
			drop(mbuf, PW_DROP_NEIGHBOUR_NONE);
		else
			release(mbuf);
		return;
	}
	switch (neighbour->state) {
	case PW_NEIGHBOUR_REACHABLE:
		if (released || by_label(mbuf)) {
			transmit(neighbour->id, mbuf);
			break;
		}
		if (neighbour->gleaned && !neighbour->routed) {
			pw_neighbour_settle(neighbour, neighbour->state, neighbour->nud);
			pw_resolve();
		}
		release(mbuf);
		break;
	case PW_NEIGHBOUR_FAILED:
		drop(mbuf, PW_DROP_NEIGHBOUR_FAILED);
		break;
	default:
		if (pw_neighbour_resolve(neighbour)) {
			hold(neighbour, mbuf);
		} else {
			drop(mbuf, PW_DROP_NEIGHBOUR_HOLD);
			pw_neighbour_release(neighbour);
		}
	}
}

void pw_hold_init(void)
{
	TAILQ_INIT(&unused);
	TAILQ_INIT(&waiting);
	TAILQ_INIT(&settled);
	memset(pool, 0, sizeof(pool));
	memset(pw_control_drops, 0, sizeof(pw_control_drops));
	for (unsigned int i = 0; i < HOLD_MAX; i++)
		TAILQ_INSERT_TAIL(&unused, &pool[i], own);
}

void pw_hold_fini(void)
{
	for (unsigned int i = 0; i < HOLD_MAX; i++)
		if (pool[i].mbuf)
			drop(pool[i].mbuf, PW_DROP_STOPPED);
	pw_hold_init();
}
