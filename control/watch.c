/* SPDX-License-Identifier: BSD-3-Clause */
/** Traces and captures: orders to the workers, their records to the clients. */
#include "control/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bsd/sys/queue.h>
#include <linux/rtnetlink.h>
#include <rte_cycles.h>

#include "control/loop.h"
#include "control/statistics.h"
#include "dataplane/table/sa.h"
#include "dataplane/watch/capture.h"
#include "dataplane/watch/order.h"
#include "dataplane/watch/trace.h"
#include "dataplane/worker.h"
#include "lib/log.h"
#include "lib/retire.h"

#define DRAIN_MS      10
#define DRAIN_RECORDS 2048   /* of a watch in one round, so that other work is not kept waiting */
#define QUIET_MS      100    /* a trace is whole when no record came for so long ... */
#define TAIL_MS       3000   /* ... or this long after its last packet was picked */
#define RECORD_ROOM   16384u /* bytes of a record message: data, names, next hop */

/** A client's trace or capture. */
struct watch {
	LIST_ENTRY(watch) entry;
	struct pw_client *client;
	uint32_t seq;
	struct pw_watch_order *order;
	struct pw_watch *successor; /* what workers are given when it ends */
	bool published;
	bool told; /* PW_MSG_WATCH_END is sent */
	uint32_t delivered;
	uint64_t base_tsc, base_ns; /* the same moment: the TSC, and UTC */
	uint64_t full_ms;           /* when the last packet was picked; 0 = not yet */
	uint64_t record_ms;         /* when the last record came */
};

static LIST_HEAD(, watch) watches = LIST_HEAD_INITIALIZER(watches);
static struct pw_watch *current; /* what the workers have */
static struct pw_timer *timer;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t now_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

/* ---- publishing -------------------------------------------------------------------------- */

static void reclaim_watch(void *context, uint64_t argument)
{
	free(context);
}

static void reclaim_order(void *context, uint64_t argument)
{
	pw_watch_order_destroy(context);
}

/** Gives the workers the orders of all published watches, written into @p next. */
static void publish(struct pw_watch *next)
{
	struct pw_watch *old = current;
	struct watch *watch;
	uint16_t i;

	next->count = 0;
	LIST_FOREACH (watch, &watches, entry) {
		if (watch->published)
			next->order[next->count++] = watch->order;
	}
	pw_watch_stages(next);
	if (next->count == 0) {
		free(next);
		next = NULL;
	}
	for (i = 0; i < pw_worker_count; i++)
		__atomic_store_n(&pw_workers[i]->watch, next, __ATOMIC_RELEASE);
	current = next;
	if (old != NULL)
		pw_retire(reclaim_watch, old, 0);
}

static void unpublish(struct watch *watch)
{
	if (!watch->published)
		return;
	watch->published = false;
	publish(watch->successor);
	watch->successor = NULL;
}

static void stop_idle_timer(void)
{
	if (!LIST_EMPTY(&watches) || timer == NULL)
		return;
	pw_timer_stop(timer);
	timer = NULL;
}

static void destroy(struct watch *watch)
{
	unpublish(watch);
	LIST_REMOVE(watch, entry);
	pw_retire(reclaim_order, watch->order, 0);
	free(watch);
	stop_idle_timer();
}

static void client_closed(void *context)
{
	destroy(context);
}

/* ---- records to the client --------------------------------------------------------------- */

static uint64_t record_time(const struct watch *watch, uint64_t tsc)
{
	uint64_t hz = rte_get_tsc_hz(), cycles = tsc - watch->base_tsc;

	return watch->base_ns + cycles / hz * 1000000000u + cycles % hz * 1000000000u / hz;
}

static void put_tunnel_source(struct nlmsghdr *nlh, uint32_t id)
{
	const struct pw_endpoint *endpoint;
	struct nlattr *nest;

	if (id == 0 || id >= pw_endpoints.ids)
		return;
	endpoint = pw_endpoint_get(id);
	nest = mnl_attr_nest_start(nlh, PW_RECORD_ATTR_ENDPOINT);
	pw_statistics_put_address(nlh, PW_NEXTHOP_ATTR_VIA, endpoint->match.family,
				  endpoint->match.remote);
	pw_statistics_put_name(nlh, PW_NEXTHOP_ATTR_DEV,
			       pw_statistics_interface_name(endpoint->interface));
	mnl_attr_nest_end(nlh, nest);
}

/** Where the packet's SA is not yet, or no more, something else is in its place. */
static void put_sa(struct nlmsghdr *nlh, const struct pw_record *record)
{
	const struct pw_packet *packet = &record->packet;
	bool made_here = packet->flags & PW_PACKET_ORIGINATED;

	switch (record->stage) {
	case PW_AT_GRE_INPUT:
	case PW_AT_MPLS_INPUT:
	case PW_AT_ESP_OUTPUT:
		break;
	case PW_AT_IPV4_LOOKUP:
	case PW_AT_IPV6_LOOKUP:
		if (packet->endpoint != 0 && !made_here)
			break;
		return;
	default:
		return;
	}
	if (packet->sa != 0 && packet->sa < pw_sas.ids && pw_sa_get(packet->sa)->key != NULL)
		mnl_attr_put_u32(nlh, PW_RECORD_ATTR_SA, ntohl(pw_sa_get(packet->sa)->spi));
}

/** What was decided about the packet before it came to the record's stage. */
static void put_decisions(struct nlmsghdr *nlh, const struct pw_record *record)
{
	const struct pw_packet *packet = &record->packet;
	const struct pw_vrf *vrf = packet->vrf < PW_VRFS ? pw_vrf_get(packet->vrf) : NULL;

	pw_statistics_put_name(nlh, PW_RECORD_ATTR_INTERFACE,
			       pw_statistics_interface_name(packet->interface));
	if (packet->interface != 0 || packet->nexthop != 0) {
		pw_statistics_put_name(nlh, PW_RECORD_ATTR_VRF,
				       pw_statistics_vrf_name(packet->vrf));
		if (vrf != NULL)
			mnl_attr_put_u32(nlh, PW_RECORD_ATTR_TABLE, vrf->table);
	}
	pw_statistics_put_nexthop(nlh, PW_RECORD_ATTR_NEXTHOP, packet->nexthop);
	put_tunnel_source(nlh, packet->endpoint);
	if (record->label != 0)
		mnl_attr_put_u32(nlh, PW_RECORD_ATTR_LABEL, record->label >> 12);
	if (record->stage == PW_AT_ICMP_ERROR) {
		const uint8_t icmp[2] = {packet->icmp_type, packet->icmp_code};

		mnl_attr_put(nlh, PW_RECORD_ATTR_ICMP, sizeof(icmp), icmp);
	}
	if (packet->mtu != 0)
		mnl_attr_put_u32(nlh, PW_RECORD_ATTR_MTU, packet->mtu);
	if (record->hash != 0)
		mnl_attr_put_u32(nlh, PW_RECORD_ATTR_HASH, record->hash);
	if (packet->flags != 0)
		mnl_attr_put_u8(nlh, PW_RECORD_ATTR_FLAGS, packet->flags);
	put_sa(nlh, record);
}

static bool send_record(struct watch *watch, const struct pw_record *record)
{
	static uint32_t buffer[RECORD_ROOM / sizeof(uint32_t)];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	uint64_t lost = pw_watch_order_lost(watch->order);

	static_assert(PW_CAPTURE_SNAPLEN_MAX + 4 * PW_STATISTICS_NEXTHOP_ROOM + 1024 <= RECORD_ROOM,
		      "the largest record fits");
	nlh->nlmsg_type = PW_MSG_RECORD;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = watch->seq;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_u32(nlh, PW_RECORD_ATTR_NUMBER, record->number);
	mnl_attr_put_u64(nlh, PW_RECORD_ATTR_TIME, record_time(watch, record->tsc));
	mnl_attr_put_u16(nlh, PW_RECORD_ATTR_WORKER, record->worker);
	mnl_attr_put_strz(nlh, PW_RECORD_ATTR_STAGE, pw_stage_name(record->stage));
	mnl_attr_put_u8(nlh, PW_RECORD_ATTR_DIRECTION, record->direction);
	mnl_attr_put_u8(nlh, PW_RECORD_ATTR_LAYER, record->layer);
	mnl_attr_put_u32(nlh, PW_RECORD_ATTR_LENGTH, record->length);
	mnl_attr_put(nlh, PW_RECORD_ATTR_DATA, record->captured, record->data);
	if (record->direction != PW_DIRECTION_NONE)
		pw_statistics_put_name(nlh, PW_RECORD_ATTR_PORT,
				       pw_statistics_port_name(record->packet.port));
	if (record->stage == PW_AT_DROP || record->stage == PW_AT_ICMP_ERROR)
		pw_statistics_put_name(nlh, PW_RECORD_ATTR_DROP,
				       pw_drop_name((enum pw_drop)record->packet.reason));
	if (watch->order->trace)
		put_decisions(nlh, record);
	if (lost != 0)
		mnl_attr_put_u64(nlh, PW_RECORD_ATTR_LOST, lost);
	return pw_client_stream(watch->client, nlh);
}

/** The ring whose next record is the oldest; NULL when all are empty. */
static struct pw_record_ring *oldest(struct pw_watch_order *order)
{
	struct pw_record_ring *found = NULL;
	uint64_t tsc = UINT64_MAX;
	uint16_t i;

	for (i = 0; i < order->ring_count; i++) {
		const struct pw_record *record = pw_record_peek(order->rings[i]);

		if (record != NULL && record->tsc < tsc) {
			tsc = record->tsc;
			found = order->rings[i];
		}
	}
	return found;
}

/** Sends what is there; false when the client cannot take more now. */
static bool drain(struct watch *watch)
{
	struct pw_record_ring *ring;
	unsigned int count;

	for (count = 0; count < DRAIN_RECORDS; count++) {
		ring = oldest(watch->order);
		if (ring == NULL)
			return true;
		if (!send_record(watch, pw_record_peek(ring)))
			return false;
		pw_record_release(ring);
		watch->delivered++;
		watch->record_ms = now_ms();
	}
	return false;
}

static bool send_end(struct watch *watch)
{
	uint32_t buffer[64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	if (watch->told)
		return true;
	nlh->nlmsg_type = PW_MSG_WATCH_END;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = watch->seq;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_u64(nlh, PW_END_ATTR_MATCHED, pw_watch_order_picked(watch->order));
	mnl_attr_put_u64(nlh, PW_END_ATTR_LOST, pw_watch_order_lost(watch->order));
	watch->told = pw_client_stream(watch->client, nlh);
	return watch->told;
}

static bool send_done(struct watch *watch)
{
	uint32_t buffer[16];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = watch->seq;
	*(int *)mnl_nlmsg_put_extra_header(nlh, sizeof(int)) = 0;
	return pw_client_stream(watch->client, nlh);
}

/** Has everything that was asked for come? */
static bool complete(struct watch *watch)
{
	uint64_t now;

	if (pw_watch_order_picked(watch->order) < watch->order->limit)
		return false;
	if (!watch->order->trace)
		return watch->delivered >= watch->order->limit;
	now = now_ms();
	if (watch->full_ms == 0)
		watch->full_ms = now;
	return (now - watch->full_ms >= QUIET_MS && now - watch->record_ms >= QUIET_MS) ||
	       now - watch->full_ms >= TAIL_MS;
}

static void advance(struct watch *watch)
{
	if (!drain(watch))
		return;
	if (watch->published && complete(watch))
		unpublish(watch);
	if (watch->published || !send_end(watch) || !send_done(watch))
		return;
	pw_client_on_close(watch->client, NULL, NULL);
	destroy(watch);
}

static void tick(void *context)
{
	struct watch *watch, *next;

	pw_statistics_names_refresh();
	LIST_FOREACH_SAFE(watch, &watches, entry, next)
	{
		advance(watch);
	}
}

/* ---- requests ---------------------------------------------------------------------------- */

static struct watch *find(const struct pw_client *client)
{
	struct watch *watch;

	LIST_FOREACH (watch, &watches, entry) {
		if (watch->client == client)
			return watch;
	}
	return NULL;
}

int pw_watch_room(const struct pw_request *request, bool trace)
{
	unsigned int traces = 0, captures = 0;
	struct watch *watch;

	LIST_FOREACH (watch, &watches, entry) {
		if (watch->client == request->client)
			return -EALREADY;
		if (watch->order->trace)
			traces++;
		else
			captures++;
	}
	return (trace ? traces > 0 : captures >= PW_WATCH_ORDERS - 1) ? -EBUSY : 0;
}

int pw_watch_begin(const struct pw_request *request, struct pw_watch_order *order)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	struct pw_watch *next = calloc(1, sizeof(*next));
	struct pw_watch *successor = calloc(1, sizeof(*successor));

	if (timer == NULL)
		timer = pw_loop_timer(DRAIN_MS, tick, NULL);
	if (watch == NULL || next == NULL || successor == NULL || timer == NULL) {
		free(watch);
		free(next);
		free(successor);
		stop_idle_timer();
		return -ENOMEM;
	}
	watch->client = request->client;
	watch->seq = request->nlh->nlmsg_seq;
	watch->order = order;
	watch->successor = successor;
	watch->published = true;
	watch->base_ns = clock_ns(CLOCK_REALTIME);
	watch->base_tsc = rte_rdtsc();
	LIST_INSERT_HEAD(&watches, watch, entry);
	pw_client_on_close(watch->client, client_closed, watch);
	publish(next);
	return 0;
}

int pw_watch_stop(struct pw_request *request)
{
	struct watch *watch = find(request->client);

	if (request->client == NULL || watch == NULL)
		return pw_refuse(request, NULL, -ENOENT, "this connection watches nothing");
	unpublish(watch);
	pw_statistics_names_refresh();
	advance(watch);
	return 0;
}

void pw_watch_fini(void)
{
	while (!LIST_EMPTY(&watches)) {
		struct watch *watch = LIST_FIRST(&watches);

		pw_client_on_close(watch->client, NULL, NULL);
		destroy(watch);
	}
}
