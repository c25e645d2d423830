/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection itself: batches out, acknowledgements, dumps and events in. */
#include "control/bgp/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "control/bgp/dataplane_internal.h"
#include "control/loop.h"
#include "lib/log.h"

#define RECEIVE_SIZE  (256u << 10) /* more than a packet of Pewter's */
#define ROUND_PACKETS 1024
#define WINDOW        2 /* batches on their way: their events must fit in Pewter's queue */
#define RECONNECT_MS  500
#define RESYNC_MS     200
#define NEVER         UINT64_MAX

static const struct bgp_config *config;
static struct pw_watcher *watcher;
static struct pw_api_batch batch;
static uint8_t *receive_buffer;
static int fd = -1;
static int last_error; /* of connecting: said once */
static enum bgp_sync_stage stage;
static uint32_t dump_seq;     /* of the dump that runs */
static uint32_t acks[WINDOW]; /* sequence numbers that end the batches on their way */
static unsigned int ack_count;
static uint64_t reconnect_at, resync_at = NEVER;
static struct bgp_dataplane_counts counts;

uint64_t bgp_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool bgp_dataplane_connected(void)
{
	return fd >= 0;
}

bool bgp_dataplane_ready(void)
{
	return fd >= 0 && stage == BGP_SYNC_DONE;
}

void bgp_dataplane_count(struct bgp_dataplane_counts *result)
{
	*result = counts;
	result->pending = ack_count;
}

struct bgp_dataplane_counts *bgp_dataplane_counters(void)
{
	return &counts;
}

/* ---- out --------------------------------------------------------------------------------- */

static void disconnect(int error)
{
	pw_warning("lost pewterd (%s): forwarding is its own; reconnecting", strerror(error));
	pw_watcher_stop(watcher);
	close(fd);
	fd = -1;
	ack_count = 0;
	batch.used = 0;
	batch.last = NULL;
	reconnect_at = bgp_now() + RECONNECT_MS;
	pw_loop_again(RECONNECT_MS);
}

/* False: not now, the window or the socket is full. */
static bool batch_flush(void)
{
	uint32_t seq = batch.seq;
	int ret;

	if (fd < 0 || !batch.used)
		return fd >= 0;
	if (ack_count == WINDOW)
		return false;
	batch.last->nlmsg_flags |= NLM_F_ACK;
	ret = pw_api_batch_send(&batch, fd);
	if (ret == -EAGAIN) {
		pw_watcher_events(watcher, EPOLLIN | EPOLLOUT);
		return false;
	}
	if (ret) {
		disconnect(-ret);
		return false;
	}
	acks[ack_count++] = seq;
	counts.batches++;
	return true;
}

struct pw_api_batch *bgp_dataplane_batch(bool full)
{
	if (fd < 0 || (full && !batch_flush()))
		return NULL;
	return &batch;
}

/* Dumps are asked for one after the other; a request of ours is answered before they begin. */
static void dump_begin(void)
{
	static const struct {
		uint16_t type;
		uint8_t family;
	} dumps[] = {
		[BGP_SYNC_LINKS] = {RTM_GETLINK, AF_UNSPEC},
		[BGP_SYNC_NEXTHOPS] = {RTM_GETNEXTHOP, AF_UNSPEC},
		[BGP_SYNC_IPV4] = {RTM_GETROUTE, AF_INET},
		[BGP_SYNC_IPV6] = {RTM_GETROUTE, AF_INET6},
		[BGP_SYNC_MPLS] = {RTM_GETROUTE, AF_MPLS},
	};
	int ret;

	bgp_netlink_put_dump(&batch, dumps[stage].type, dumps[stage].family);
	dump_seq = batch.seq;
	ret = pw_api_batch_send(&batch, fd);
	if (ret == -EAGAIN)
		pw_watcher_events(watcher, EPOLLIN | EPOLLOUT);
	else if (ret)
		disconnect(-ret);
}

static void sync_begin(void)
{
	resync_at = NEVER;
	stage = BGP_SYNC_LINKS;
	bgp_sync_begin();
	dump_begin();
}

void bgp_dataplane_resync(void)
{
	if (resync_at == NEVER)
		resync_at = bgp_now() + RESYNC_MS;
	pw_loop_again(RESYNC_MS);
}

/* ---- in ---------------------------------------------------------------------------------- */

static void handle_answer(const struct nlmsghdr *nlh)
{
	const struct nlmsghdr *request;
	const char *text;
	int error = pw_api_error(nlh, &text);

	if (error) {
		request = pw_api_error_request(nlh);
		if (request)
			bgp_send_refused(request, error, text);
		else
			pw_error("pewterd: %s", text ? text : strerror(-error));
	}
	if (ack_count && nlh->nlmsg_seq == acks[0]) {
		memmove(acks, acks + 1, --ack_count * sizeof(*acks));
		pw_loop_again(0);
	}
}

static void dump_done(const struct nlmsghdr *nlh)
{
	const char *text;
	int error = pw_api_error(nlh, &text);

	if (error)
		pw_error("pewterd ended a dump: %s", text ? text : strerror(-error));
	dump_seq = 0;
	bgp_sync_stage_done(stage);
	stage++;
	if (stage != BGP_SYNC_DONE)
		dump_begin();
}

static void handle(const struct nlmsghdr *nlh)
{
	bool dumped = dump_seq && nlh->nlmsg_seq == dump_seq;

	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
		if (dumped)
			dump_done(nlh);
		else
			handle_answer(nlh);
		break;
	case NLMSG_DONE:
		if (dumped)
			dump_done(nlh);
		break;
	case NLMSG_OVERRUN:
		pw_info("events were lost: reading everything again");
		bgp_dataplane_resync();
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		/* A link that changed may be a tunnel or a VRF, or have taken routes with it. */
		if (dumped)
			bgp_sync_link(nlh);
		else
			bgp_dataplane_resync();
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		bgp_sync_nexthop(nlh);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		bgp_sync_route(nlh, dumped);
		break;
	default:
		break;
	}
}

static void receive(void)
{
	for (unsigned int i = 0; i < ROUND_PACKETS && fd >= 0; i++) {
		ssize_t size = recv(fd, receive_buffer, RECEIVE_SIZE, MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)receive_buffer;
		int left = (int)size;

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0) {
			disconnect(size ? errno : ECONNRESET);
			return;
		}
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			if (fd >= 0)
				handle(nlh);
	}
}

static void event(uint32_t events, void *context)
{
	if (events & EPOLLOUT) {
		pw_watcher_events(watcher, EPOLLIN);
		/* A dump's request has no acknowledgement to wait for. */
		if (stage != BGP_SYNC_DONE && batch.used &&
		    pw_api_batch_send(&batch, fd) == -EAGAIN)
			pw_watcher_events(watcher, EPOLLIN | EPOLLOUT);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive();
}

/* ---- the connection's life --------------------------------------------------------------- */

static void subscribe(void)
{
	static const uint32_t groups[] = {RTNLGRP_LINK, RTNLGRP_NEXTHOP, RTNLGRP_IPV4_ROUTE,
					  RTNLGRP_IPV6_ROUTE};

	for (unsigned int i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		bgp_netlink_put_subscribe(&batch, groups[i]);
}

static void reconnect(void)
{
	reconnect_at = bgp_now() + RECONNECT_MS;
	fd = pw_api_open(config->api);
	if (fd < 0) {
		if (fd != last_error)
			pw_warning("%s: %s: trying again", config->api, strerror(-fd));
		last_error = fd;
		fd = -1;
		return;
	}
	last_error = 0;
	watcher = pw_loop_watch(fd, EPOLLIN, event, NULL);
	if (!watcher) {
		close(fd);
		fd = -1;
		return;
	}
	pw_info("connected to pewterd at %s", config->api);
	subscribe();
	sync_begin();
}

void bgp_dataplane_configure(const struct bgp_config *wanted)
{
	config = wanted;
	bgp_sync_configure(wanted);
	bgp_send_configure(wanted);
	if (!receive_buffer)
		receive_buffer = malloc(RECEIVE_SIZE);
	if (!receive_buffer) {
		pw_error("out of memory");
		exit(1);
	}
	if (fd >= 0)
		bgp_dataplane_resync();
}

void bgp_dataplane_stop(void)
{
	if (fd >= 0) {
		pw_watcher_stop(watcher);
		close(fd);
	}
	fd = -1;
	pw_api_batch_free(&batch);
	free(receive_buffer);
	receive_buffer = NULL;
}

/* Earliest first; the loop is told of the next time. */
static void timers(void)
{
	uint64_t now = bgp_now();

	if (fd < 0) {
		if (now >= reconnect_at)
			reconnect();
		if (fd < 0)
			pw_loop_again(RECONNECT_MS);
	}
	if (fd < 0 || resync_at == NEVER)
		return;
	if (now < resync_at)
		pw_loop_again((uint32_t)(resync_at - now));
	else if (stage == BGP_SYNC_DONE && !ack_count && !batch.used)
		sync_begin();
}

void bgp_dataplane_flush(void)
{
	timers();
	if (!bgp_dataplane_ready())
		return;
	/* Once everything is to be read again, nothing new is sent before that. */
	if (resync_at > bgp_now())
		bgp_send_all();
	batch_flush();
}
