/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/bgp/connection.h"
#include "control/bgp/dataplane.h"
#include "control/bgp/label.h"
#include "control/bgp/local.h"
#include "control/bgp/restart.h"
#include "control/loop.h"
#include "lib/log.h"

#define CONNECT_MS   2000 /* between attempts */
#define COLLISION_MS 5000 /* so long two connections may have begun at the same time */
#define OUTPUT_FULL  (1u << 20)

struct bgp_peer_list bgp_peers = TAILQ_HEAD_INITIALIZER(bgp_peers);
const struct bgp_config *bgp_peer_config;

static struct {
	int fd;
	struct pw_watcher *watcher;
	struct bgp_endpoint endpoint;
} listeners[BGP_LISTENERS];
static unsigned int listener_count;
static uint32_t indexes; /* in use */
static uint64_t started_at;
static bool settled; /* every neighbour has said everything since the start */

/* ---- asking ------------------------------------------------------------------------------ */

const struct bgp_session *bgp_peer_session(const struct bgp_peer *peer)
{
	return peer->session ? &peer->session->session : NULL;
}

bool bgp_peer_can_carry(const struct bgp_peer *peer, enum bgp_family family,
			const struct bgp_address *next_hop)
{
	return family == BGP_VPNV6 || next_hop->family == AF_INET ||
	       peer->session->session.extended_next_hop;
}

void bgp_peer_write(struct bgp_peer *peer, const uint8_t *message, size_t size)
{
	if (!peer->session)
		return;
	bgp_connection_write(peer->session, message, size);
	peer->updates_sent++;
}

bool bgp_peer_full(const struct bgp_peer *peer)
{
	return !peer->session || peer->session->out_tail - peer->session->out_head > OUTPUT_FULL;
}

uint32_t bgp_peers_established(void)
{
	const struct bgp_peer *peer;
	uint32_t bits = 0;

	TAILQ_FOREACH (peer, &bgp_peers, next)
		if (peer->session)
			bits |= UINT32_C(1) << peer->index;
	return bits;
}

struct bgp_peer *bgp_peer_by_address(const struct bgp_address *address)
{
	struct bgp_peer *peer;

	TAILQ_FOREACH (peer, &bgp_peers, next)
		if (bgp_address_equal(&peer->config.address, address))
			return peer;
	return NULL;
}

void bgp_peers_refresh(void)
{
	uint8_t message[BGP_HEADER_SIZE + 4];
	struct bgp_peer *peer;

	TAILQ_FOREACH (peer, &bgp_peers, next)
		for (int family = 0; peer->session && family < BGP_FAMILIES; family++)
			if (peer->session->remote.refresh &&
			    peer->session->session.families[family])
				bgp_connection_write(
					peer->session, message,
					bgp_refresh_encode((enum bgp_family)family, message));
}

bool bgp_restarting(void)
{
	return bgp_labels_known() && !settled;
}

/* ---- sessions come and go ---------------------------------------------------------------- */

static const char *name(const struct bgp_peer *peer)
{
	static char text[BGP_ADDRESS_TEXT];

	return bgp_address_text(&peer->config.address, text);
}

void bgp_peer_up(struct bgp_peer *peer, struct bgp_connection *connection)
{
	peer->session = connection;
	if (peer->incoming == connection)
		peer->incoming = NULL;
	else
		peer->outgoing = NULL;
	peer->id = connection->remote.id;
	peer->changed_at = bgp_now();
	peer->sessions++;
	peer->sent_prefixes = 0;
	peer->errors = 0;
	*peer->reason = '\0';
	pw_info("neighbor %s is up:%s%s%s%s", name(peer),
		connection->session.families[BGP_VPNV4] ? " VPNv4" : "",
		connection->session.families[BGP_VPNV6] ? " VPNv6" : "",
		connection->session.add_path[0] || connection->session.add_path[1] ? ", ADD-PATH"
										   : "",
		connection->remote.restart ? ", graceful restart" : "");
	for (int family = 0; family < BGP_FAMILIES; family++) {
		peer->eor_received[family] = peer->eor_sent[family] = false;
		peer->swept[family] = false;
		peer->sweep_at[family] = 0;
		if (connection->session.families[family])
			bgp_locals_offer(peer, (enum bgp_family)family);
	}
}

static void session_lost(struct bgp_peer *peer, const char *reason)
{
	peer->session = NULL;
	peer->changed_at = bgp_now();
	bgp_paths_stale(peer);
	bgp_locals_forget(peer);
	peer->sent_prefixes = 0;
	if (bgp_peer_config->stale_time)
		peer->stale_until = peer->changed_at + bgp_peer_config->stale_time * UINT64_C(1000);
	pw_warning("neighbor %s is down: %s; its %zu routes are kept, stale", name(peer), reason,
		   peer->path_count);
}

void bgp_peer_down(struct bgp_peer *peer, struct bgp_connection *connection, const char *reason)
{
	if (peer->incoming == connection)
		peer->incoming = NULL;
	if (peer->outgoing == connection)
		peer->outgoing = NULL;
	snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
	if (peer->session == connection)
		session_lost(peer, reason);
	else if (connection->state > BGP_CONNECT)
		pw_info("neighbor %s: connection ended: %s", name(peer), reason);
	peer->connect_at = bgp_now() + CONNECT_MS;
}

bool bgp_peer_collide(struct bgp_peer *peer, struct bgp_connection *connection)
{
	struct bgp_connection *other =
		peer->session ? peer->session
			      : (connection == peer->incoming ? peer->outgoing : peer->incoming);
	struct bgp_error error;

	if (!other || other->state < BGP_OPEN_CONFIRM)
		return true;
	/* RFC 4724 5: who opens a new connection has lost the old session, unless both are new. */
	if (other == peer->session && (bgp_now() - peer->changed_at > COLLISION_MS ||
				       other->outgoing == connection->outgoing)) {
		bgp_connection_close(other, NULL, "the neighbour began a new session");
		return true;
	}
	/* The one that the higher identifier began stays. */
	if (connection->outgoing != (bgp_peer_config->router_id > connection->remote.id))
		return false;
	bgp_error_set(&error, BGP_ERROR_CEASE, 7, "gave way to the other connection");
	bgp_connection_close(other, &error, error.text);
	return true;
}

/* ---- listening --------------------------------------------------------------------------- */

static void from_socket(const struct sockaddr_storage *storage, struct bgp_address *address)
{
	memset(address, 0, sizeof(*address));
	address->family = (uint8_t)storage->ss_family;
	if (storage->ss_family == AF_INET)
		memcpy(address->bytes, &((const struct sockaddr_in *)storage)->sin_addr, 4);
	else
		memcpy(address->bytes, &((const struct sockaddr_in6 *)storage)->sin6_addr, 16);
	bgp_address_unmap(address);
}

static void accept_one(uint32_t events, void *context)
{
	int listener = *(int *)context;
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);
	int fd =
		accept4(listener, (struct sockaddr *)&storage, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct bgp_connection *connection;
	struct bgp_address address;
	struct bgp_peer *peer;

	if (fd < 0)
		return;
	from_socket(&storage, &address);
	peer = bgp_peer_by_address(&address);
	if (!peer || peer->idle_until > bgp_now()) {
		if (!peer)
			pw_info("refused a connection from %s, which is no neighbor",
				bgp_address_text(&address, (char[BGP_ADDRESS_TEXT]){0}));
		close(fd);
		return;
	}
	/* A second one before the first said anything: that has died there. */
	if (peer->incoming)
		bgp_connection_close(peer->incoming, NULL, "the neighbour connected again");
	connection = bgp_connection_accept(peer, fd);
	if (!connection)
		close(fd);
	else if (!connection->closing)
		peer->incoming = connection;
}

static int listeners_open(const struct bgp_config *config)
{
	for (unsigned int i = 0; i < config->listener_count; i++) {
		const struct bgp_endpoint *endpoint = &config->listeners[i];
		char text[BGP_ADDRESS_TEXT];
		int fd = bgp_listen(endpoint, config);

		if (fd < 0) {
			pw_error("cannot listen on %s port %u: %s",
				 bgp_address_text(&endpoint->address, text), endpoint->port,
				 strerror(-fd));
			return fd;
		}
		listeners[i].fd = fd;
		listeners[i].endpoint = *endpoint;
		listeners[i].watcher = pw_loop_watch(fd, EPOLLIN, accept_one, &listeners[i].fd);
		listener_count = i + 1;
		if (!listeners[i].watcher)
			return -ENOMEM;
	}
	return 0;
}

static void listeners_close(void)
{
	for (unsigned int i = 0; i < listener_count; i++) {
		if (listeners[i].watcher)
			pw_watcher_stop(listeners[i].watcher);
		close(listeners[i].fd);
	}
	listener_count = 0;
}

/* ---- configuration ----------------------------------------------------------------------- */

static void peer_close(struct bgp_peer *peer, const struct bgp_error *error, const char *reason)
{
	if (peer->incoming)
		bgp_connection_close(peer->incoming, error, reason);
	if (peer->outgoing)
		bgp_connection_close(peer->outgoing, error, reason);
	if (peer->session)
		bgp_connection_close(peer->session, error, reason);
}

static void peer_cease(struct bgp_peer *peer, uint8_t subcode, const char *reason)
{
	struct bgp_error error;

	bgp_error_set(&error, BGP_ERROR_CEASE, subcode, "%s", reason);
	peer_close(peer, &error, reason);
}

static void peer_free(struct bgp_peer *peer)
{
	peer_cease(peer, 3, "no longer configured");
	bgp_paths_drop(peer);
	TAILQ_REMOVE(&bgp_peers, peer, next);
	indexes &= ~(UINT32_C(1) << peer->index);
	free(peer);
}

static int peer_configure(const struct bgp_neighbor_config *config)
{
	struct bgp_peer *peer = bgp_peer_by_address(&config->address);

	if (peer) {
		if (memcmp(&peer->config, config, sizeof(*config)) != 0) {
			peer->config = *config;
			peer_cease(peer, 6, "its configuration changed");
			peer->connect_at = peer->idle_until = 0;
		}
	} else {
		peer = calloc(1, sizeof(*peer));
		if (!peer)
			return -ENOMEM;
		peer->config = *config;
		peer->index = (unsigned int)__builtin_ctz(~indexes);
		indexes |= UINT32_C(1) << peer->index;
		for (int family = 0; family < BGP_FAMILIES; family++)
			TAILQ_INIT(&peer->paths[family]);
		peer->changed_at = bgp_now();
		TAILQ_INSERT_TAIL(&bgp_peers, peer, next);
	}
	peer->wanted = true;
	return 0;
}

int bgp_peers_configure(const struct bgp_config *config)
{
	struct bgp_peer *peer, *following;
	int ret = 0;

	if (!started_at)
		started_at = bgp_now();
	bgp_peer_config = config;
	TAILQ_FOREACH (peer, &bgp_peers, next)
		peer->wanted = false;
	/* Those that go make room for those that come. */
	for (unsigned int i = 0; i < config->neighbor_count; i++) {
		peer = bgp_peer_by_address(&config->neighbors[i].address);
		if (peer)
			peer->wanted = true;
	}
	for (peer = TAILQ_FIRST(&bgp_peers); peer; peer = following) {
		following = TAILQ_NEXT(peer, next);
		if (!peer->wanted)
			peer_free(peer);
	}
	for (unsigned int i = 0; !ret && i < config->neighbor_count; i++)
		ret = peer_configure(&config->neighbors[i]);
	if (ret)
		return ret;
	listeners_close();
	return listeners_open(config);
}

void bgp_peers_stop(void)
{
	struct bgp_peer *peer;

	listeners_close();
	/* Without a NOTIFICATION the neighbours keep what they have (RFC 4724 4.2). */
	TAILQ_FOREACH (peer, &bgp_peers, next)
		peer_close(peer, NULL, "this process ends");
	while ((peer = TAILQ_FIRST(&bgp_peers)))
		peer_free(peer);
	bgp_connections_collect();
}

/* ---- timers ------------------------------------------------------------------------------ */

static void sweep(struct bgp_peer *peer, enum bgp_family family)
{
	size_t swept = bgp_paths_sweep(peer, family);

	if (swept)
		pw_info("neighbor %s: %zu stale VPNv%d routes are gone", name(peer), swept,
			family == BGP_VPNV4 ? 4 : 6);
}

static void sweep_when_due(struct bgp_peer *peer, uint64_t now)
{
	for (int family = 0; family < BGP_FAMILIES; family++) {
		if (!peer->session || peer->swept[family] || !peer->eor_received[family] ||
		    now < peer->sweep_at[family])
			continue;
		sweep(peer, (enum bgp_family)family);
		peer->swept[family] = true;
	}
	if (!peer->stale_until || now < peer->stale_until)
		return;
	peer->stale_until = 0;
	for (int family = 0; family < BGP_FAMILIES; family++)
		sweep(peer, (enum bgp_family)family);
}

static bool peer_settled(const struct bgp_peer *peer)
{
	if (!peer->session)
		return false;
	for (int family = 0; family < BGP_FAMILIES; family++)
		if (peer->session->session.families[family] && !peer->swept[family])
			return false;
	return true;
}

static void settle(uint64_t now)
{
	const struct bgp_peer *peer;
	bool all = true;

	if (settled)
		return;
	TAILQ_FOREACH (peer, &bgp_peers, next)
		all &= peer_settled(peer);
	if (!all && (!bgp_peer_config->stale_time ||
		     now < started_at + bgp_peer_config->stale_time * UINT64_C(1000)))
		return;
	settled = true;
	bgp_dataplane_release();
}

void bgp_peers_tick(void)
{
	uint64_t now = bgp_now();
	struct bgp_peer *peer;

	TAILQ_FOREACH (peer, &bgp_peers, next) {
		if (peer->incoming)
			bgp_session_tick(peer->incoming, now);
		if (peer->outgoing)
			bgp_session_tick(peer->outgoing, now);
		if (peer->session)
			bgp_session_tick(peer->session, now);
		sweep_when_due(peer, now);
		if (!peer->config.passive && !peer->outgoing && !peer->session &&
		    now >= peer->connect_at && now >= peer->idle_until) {
			peer->connect_at = now + CONNECT_MS;
			peer->outgoing = bgp_connection_start(peer);
		}
	}
	settle(now);
}

void bgp_peers_flush(void)
{
	struct bgp_peer *peer;

	TAILQ_FOREACH (peer, &bgp_peers, next) {
		if (!peer->session)
			continue;
		bgp_locals_send(peer);
		if (peer->session)
			bgp_connection_flush(peer->session);
	}
	bgp_connections_collect();
}
