/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes -> what a BGP neighbour sends to pewter-bgp, once its session is up. An input is a byte
 * of the session's capabilities, then a row of records: a byte of kind, two bytes length, data.
 * Kinds: a message of a type with a header that fits; bytes as they are; a netlink message from
 * pewterd; a configuration; and the end of the session.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "control/bgp/connection.h"
#include "control/bgp/dataplane_internal.h"
#include "control/bgp/peer.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define KIND_STREAM  8
#define KIND_NETLINK 9
#define KIND_CONFIG  10
#define KIND_CLOSE   11

static const char text[] =
	"local-as 65000\n"
	"router-id 10.255.0.1\n"
	"next-hop 10.255.0.1\n"
	"neighbor 10.0.0.9 passive max-prefixes 300\n"
	"listen 127.0.0.1:1\n"
	"tunnel gre1\n"
	"vrf red rd 65000:1 import 65000:1 export 65000:1 redistribute static "
	"max-prefixes 20\n"
	"vrf blue rd 65000:2 import 65000:1 import 65000:2 redistribute connected\n"
	"state /dev/null\n";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bgp_config config;
static struct bgp_peer *peer;
static int far_end = -1;

static void put_link(const char *name, const char *kind, uint32_t ifindex, uint32_t table)
{
	uint8_t buffer[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	struct nlattr *nest, *data;

	nlh->nlmsg_type = RTM_NEWLINK;
	info->ifi_index = (int)ifindex;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	if (table)
		mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, table);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, nest);
	bgp_sync_link(nlh);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char error[256];

	pw_log_set_level(PW_LOG_ERROR);
	if (pw_loop_init() || bgp_config_parse("config", text, &config, error, sizeof(error)))
		abort();
	config.listener_count = 0;
	bgp_dataplane_configure(&config);
	if (bgp_peers_configure(&config) || bgp_vrfs_configure(&config))
		abort();
	peer = TAILQ_FIRST(&bgp_peers);
	bgp_sync_begin();
	put_link("gre1", "gre", 5, 0);
	put_link("red", "vrf", 6, 10);
	put_link("blue", "vrf", 7, 20);
	bgp_sync_stage_done(BGP_SYNC_LINKS);
	return 0;
}

static void give(const void *data, size_t size)
{
	if (far_end >= 0 && send(far_end, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	pw_loop_step(0);
}

static void hang_up(void)
{
	if (far_end >= 0)
		close(far_end);
	far_end = -1;
	for (unsigned int i = 0; i < 3; i++)
		pw_loop_step(0);
	bgp_connections_collect();
}

static void begin(uint8_t capabilities)
{
	struct bgp_open open = {
		.as = 65000,
		.id = 0x0a000009,
		.hold_time = 90,
		.families = {true, true},
		.as4 = capabilities & 1,
		.add_path_send = {capabilities & 2, capabilities & 4},
		.extended_next_hop = capabilities & 8,
		.refresh = true,
		.restart = capabilities & 16,
	};
	uint8_t message[BGP_MESSAGE_MAX];
	int ends[2];

	hang_up();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		abort();
	far_end = ends[1];
	peer->idle_until = 0;
	peer->incoming = bgp_connection_accept(peer, ends[0]);
	if (!peer->incoming)
		abort();
	give(message, bgp_open_encode(&open, message));
	give(message, bgp_keepalive_encode(message));
	if (!peer->session || peer->incoming)
		abort();
}

static void read_answers(void)
{
	uint8_t answer[65536];

	bgp_peers_flush();
	while (far_end >= 0 && recv(far_end, answer, sizeof(answer), 0) > 0)
		;
}

/* What would be sent to pewterd. */
static void decide(void)
{
	struct bgp_hop hops[BGP_PATHS_MAX];
	struct bgp_route *route;

	while ((route = bgp_route_next_dirty())) {
		unsigned int count = bgp_route_select(route, hops, config.multipath);

		for (unsigned int i = 0; i < count; i++)
			if (!hops[i].via.family || hops[i].oif != 5 ||
			    hops[i].label > BGP_LABEL_MAX)
				abort();
		bgp_route_collect(route);
	}
}

static void netlink(const uint8_t *data, size_t size)
{
	uint8_t buffer[8192] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = (struct nlmsghdr *)buffer;

	if (size < sizeof(*nlh) || size > sizeof(buffer))
		return;
	memcpy(buffer, data, size);
	nlh->nlmsg_len = (uint32_t)size;
	if (nlh->nlmsg_type == RTM_NEWLINK)
		bgp_sync_link(nlh);
	else
		bgp_sync_route(nlh, nlh->nlmsg_flags & 1);
}

static void configuration(const uint8_t *data, size_t size)
{
	char *copy = strndup((const char *)data, size), error[256];
	struct bgp_config parsed;

	if (copy && bgp_config_parse("config", copy, &parsed, error, sizeof(error)) == 0)
		bgp_config_free(&parsed);
	free(copy);
}

static void record(uint8_t kind, const uint8_t *data, size_t size)
{
	uint8_t message[BGP_MESSAGE_MAX];

	switch (kind) {
	case KIND_STREAM:
		give(data, size);
		break;
	case KIND_NETLINK:
		netlink(data, size);
		break;
	case KIND_CONFIG:
		configuration(data, size);
		break;
	case KIND_CLOSE:
		hang_up();
		break;
	default:
		if (size > sizeof(message) - BGP_HEADER_SIZE)
			size = sizeof(message) - BGP_HEADER_SIZE;
		memcpy(message + BGP_HEADER_SIZE, data, size);
		give(message, bgp_header_encode(message, message + BGP_HEADER_SIZE + size,
						kind ? kind : BGP_UPDATE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bgp_vrf *vrf;

	if (!size)
		return 0;
	begin(data[0]);
	for (data++, size--; size > 3;) {
		size_t length = (size_t)data[1] << 8 | data[2];

		length = length < size - 3 ? length : size - 3;
		record(data[0] % 12, data + 3, length);
		read_answers();
		decide();
		data += 3 + length;
		size -= 3 + length;
	}
	hang_up();
	/* What is left of it would make the next input another one. */
	bgp_paths_drop(peer);
	decide();
	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		struct bgp_route *route;

		bgp_locals_drop(vrf);
		while ((route = TAILQ_FIRST(&vrf->routes)))
			bgp_dataplane_remove(route);
	}
	if (peer->path_count || peer->stale_count)
		abort();
	return 0;
}
