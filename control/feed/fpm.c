/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection from zebra, and what becomes of its routes without it. */
#include "control/feed/fpm.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "control/feed/fpm_internal.h"
#include "control/label.h"
#include "control/loop.h"
#include "control/route.h"
#include "lib/log.h"

#define BACKLOG          4
#define TICK_MS          1000
#define SWEEP_MS         5
#define SWEEP_BUDGET     8192 /* prefixes looked at in one go */
#define KEEPALIVE_IDLE   10   /* seconds */
#define KEEPALIVE_PERIOD 5
#define KEEPALIVE_TRIES  3

static const struct pw_fpm_options *options;
static struct pw_fpm_state state;
static struct pw_fpm_stream stream;
static struct pw_watcher *listener, *client;
static int listen_fd = -1, client_fd = -1;
static struct pw_timer *tick_timer, *sweep_timer;
static struct pw_route_sweep sweep;
static bool turned_away; /* another client, since the last that was taken */

/* ---- addresses --------------------------------------------------------------------------- */

static bool port_parse(const char *text, uint16_t *port)
{
	char *end;
	unsigned long number;

	if (!isdigit((unsigned char)*text))
		return false;
	number = strtoul(text, &end, 10);
	*port = (uint16_t)number;
	return !*end && number >= 1 && number <= UINT16_MAX;
}

int pw_fpm_parse_address(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	char host[INET6_ADDRSTRLEN + 2];
	uint16_t port = PW_FPM_PORT;
	const char *colon;
	size_t length;

	if (!text)
		text = PW_FPM_ADDRESS;
	memset(address, 0, sizeof(*address));
	colon = strrchr(text, ':');
	/* An IPv6 address without a port has colons and no brackets. */
	if (colon && text[0] != '[' && strchr(text, ':') != colon)
		colon = NULL;
	if (colon && text[0] == '[' && colon[-1] != ']')
		colon = NULL;
	if (colon && !port_parse(colon + 1, &port))
		return -EINVAL;
	length = colon ? (size_t)(colon - text) : strlen(text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return 0;
}

int pw_fpm_parse_map(const char *text, struct pw_fpm_map *map)
{
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : 0;
	char *end;

	memset(map, 0, sizeof(*map));
	if (!length || length >= sizeof(map->name) || !equals[1] ||
	    strlen(equals + 1) >= sizeof(map->link))
		return -EINVAL;
	memcpy(map->name, text, length);
	snprintf(map->link, sizeof(map->link), "%s", equals + 1);
	if (isdigit((unsigned char)map->name[0])) {
		unsigned long number = strtoul(map->name, &end, 10);

		if (!*end && number >= 1 && number <= INT32_MAX)
			map->ifindex = (uint32_t)number;
	}
	return 0;
}

static socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6);
}

const char *pw_fpm_address_text(const struct sockaddr_storage *address, char *text)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, 64, "%s:%u", host, ntohs(in->sin_port));
	} else {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, 64, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
	return text;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		      &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

/* ---- the sweep --------------------------------------------------------------------------- */

static size_t labels_sweep(void)
{
	struct pw_label_route *route;
	size_t swept = 0;
	uint32_t label = 0;

	while ((route = pw_label_next(label))) {
		label = route->label + 1;
		if (route->source != PW_ROUTE_FPM || route->session == pw_fpm_feed.session)
			continue;
		pw_label_notify(route, RTM_DELROUTE, 0);
		pw_label_delete(route);
		swept++;
	}
	return swept;
}

static void sweep_stop(void)
{
	if (sweep_timer)
		pw_timer_stop(sweep_timer);
	sweep_timer = NULL;
	state.sweep_in = 0;
}

static void sweep_step(void *context)
{
	size_t swept;

	if (pw_route_feed_sweep(&pw_fpm_feed, &sweep, SWEEP_BUDGET))
		return;
	swept = sweep.swept + labels_sweep();
	pw_fpm_nexthops_sweep();
	state.swept += swept;
	sweep_stop();
	if (swept)
		pw_info("FPM: %zu routes and labels that did not come again were taken out", swept);
}

static void sweep_start(void)
{
	sweep = (struct pw_route_sweep){0};
	sweep_timer = pw_loop_timer(SWEEP_MS, sweep_step, NULL);
	if (!sweep_timer)
		state.sweep_in = 1; /* again in a second */
}

/* ---- the connection ---------------------------------------------------------------------- */

/* What the session made is stale from now on. */
static void session_end(const char *why)
{
	char text[64];

	pw_watcher_stop(client);
	close(client_fd);
	client = NULL;
	client_fd = -1;
	state.connected = false;
	sweep_stop();
	pw_fpm_nexthops_settle();
	pw_fpm_nexthops_stale();
	pw_fpm_interfaces_end();
	pw_fpm_feed.session++;
	pw_warning("FPM: %s: %s; its routes stay", pw_fpm_address_text(&state.peer, text), why);
}

static void client_event(uint32_t events, void *context)
{
	const char *why;
	ssize_t bytes;

	bytes = recv(client_fd, stream.bytes + stream.used, sizeof(stream.bytes) - stream.used, 0);
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (bytes <= 0) {
		session_end(bytes ? strerror(errno) : "the connection was closed");
		return;
	}
	stream.used += (size_t)bytes;
	if (pw_fpm_stream_handle(&stream, pw_fpm_message, &why)) {
		session_end(why);
		return;
	}
	pw_fpm_nexthops_settle();
}

static void keep_alive(int fd)
{
	static const struct {
		int level, name, value;
	} settings[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_PERIOD},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value,
			   sizeof(settings[i].value));
}

/* From this host, so with this kernel's interfaces. */
static bool peer_is_local(int fd, const struct sockaddr_storage *peer)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);

	return !getsockname(fd, (struct sockaddr *)&own, &size) && same_host(&own, peer);
}

static void session_begin(int fd, const struct sockaddr_storage *peer)
{
	char text[64];
	bool local = peer_is_local(fd, peer);

	client = pw_loop_watch(fd, EPOLLIN, client_event, NULL);
	if (!client) {
		pw_error("FPM: no memory for a connection");
		close(fd);
		return;
	}
	keep_alive(fd);
	client_fd = fd;
	stream.used = 0;
	turned_away = false;
	state.peer = *peer;
	state.connected = true;
	state.sessions++;
	state.sweep_in = state.hold ? state.hold : 1;
	pw_fpm_interfaces_begin(options->map, options->map_count, local);
	pw_info("FPM: %s is connected%s", pw_fpm_address_text(peer, text),
		local ? "" : " from another host: interfaces by --fpm-interface only");
}

static void listen_event(uint32_t events, void *context)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	char text[64];
	int fd = accept4(listen_fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!state.connected) {
		session_begin(fd, &peer);
		return;
	}
	/* There is one zebra; a dead one's connection ends by its keep-alives. */
	if (!turned_away)
		pw_warning("FPM: %s turned away: there is a connection already",
			   pw_fpm_address_text(&peer, text));
	turned_away = true;
	close(fd);
}

static void tick(void *context)
{
	if (!state.connected)
		return;
	if (pw_fpm_interfaces_changed()) {
		session_end("closed to have it all again: links that it needs have come");
		return;
	}
	if (state.sweep_in && !sweep_timer && --state.sweep_in == 0)
		sweep_start();
}

/* ---- start and end ----------------------------------------------------------------------- */

static int socket_open(const struct sockaddr_storage *address)
{
	int one = 1;

	listen_fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listen_fd < 0)
		return -errno;
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listen_fd, (const struct sockaddr *)address, address_size(address)) ||
	    listen(listen_fd, BACKLOG))
		return -errno;
	listener = pw_loop_watch(listen_fd, EPOLLIN, listen_event, NULL);
	tick_timer = listener ? pw_loop_timer(TICK_MS, tick, NULL) : NULL;
	return tick_timer ? 0 : -errno;
}

int pw_fpm_start(const struct pw_fpm_options *wanted)
{
	char text[64];
	int ret;

	pw_fpm_show_register();
	options = wanted;
	state = (struct pw_fpm_state){.enabled = wanted->enabled, .hold = wanted->hold};
	if (!wanted->enabled)
		return 0;
	state.listener = wanted->address;
	ret = socket_open(&wanted->address);
	if (ret) {
		pw_error("FPM: cannot listen on %s: %s",
			 pw_fpm_address_text(&wanted->address, text), strerror(-ret));
		pw_fpm_stop();
	}
	return ret;
}

void pw_fpm_stop(void)
{
	if (state.connected)
		session_end("stopping");
	if (listener)
		pw_watcher_stop(listener);
	if (listen_fd >= 0)
		close(listen_fd);
	if (tick_timer)
		pw_timer_stop(tick_timer);
	listener = NULL;
	listen_fd = -1;
	tick_timer = NULL;
	pw_fpm_nexthops_sweep();
	state = (struct pw_fpm_state){0};
}

void pw_fpm_state(struct pw_fpm_state *out)
{
	*out = state;
}
