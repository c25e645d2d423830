/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/bgp/dataplane.h"
#include "control/bgp/peer.h"
#include "control/loop.h"
#include "lib/log.h"

#define OUTPUT_FIRST    (64u << 10)
#define OPEN_WAIT_MS    (4u * 60 * 1000) /* RFC 4271 8.2.2: a large value before the OPEN came */
#define CONNECT_WAIT_MS 10000
#define ROUND_READS     16

static struct bgp_connection *closing;

/* ---- addresses and options --------------------------------------------------------------- */

static socklen_t to_socket(const struct bgp_address *address, uint16_t port,
			   struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof(*storage));
	storage->ss_family = address->family;
	if (address->family == AF_INET) {
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, address->bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, address->bytes, 16);
	return sizeof(*in6);
}

/* RFC 2385: the kernel signs and checks. */
static int set_password(int fd, const struct bgp_neighbor_config *neighbor)
{
	struct tcp_md5sig md5 = {.tcpm_keylen = (uint16_t)strlen(neighbor->password)};
	int ret;

	if (!md5.tcpm_keylen)
		return 0;
	to_socket(&neighbor->address, 0, (struct sockaddr_storage *)&md5.tcpm_addr);
	memcpy(md5.tcpm_key, neighbor->password, md5.tcpm_keylen);
	ret = setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)) ? -errno : 0;
	explicit_bzero(&md5, sizeof(md5));
	return ret;
}

/* RFC 5082: who is further away than so many hops cannot have sent it. */
static int set_ttl(int fd, const struct bgp_neighbor_config *neighbor)
{
	bool v4 = neighbor->address.family == AF_INET;
	int level = v4 ? IPPROTO_IP : IPPROTO_IPV6, ttl = 255, min = 256 - neighbor->hops;

	if (!neighbor->hops)
		return 0;
	if (setsockopt(fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, &ttl, sizeof(ttl)) ||
	    setsockopt(fd, level, v4 ? IP_MINTTL : IPV6_MINHOPCOUNT, &min, sizeof(min)))
		return -errno;
	return 0;
}

int bgp_listen(const struct bgp_endpoint *endpoint, const struct bgp_config *config)
{
	struct sockaddr_storage address;
	socklen_t size = to_socket(&endpoint->address, endpoint->port, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, ret = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (address.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))))
		ret = -errno;
	for (unsigned int i = 0; !ret && i < config->neighbor_count; i++)
		if (config->neighbors[i].address.family == address.ss_family)
			ret = set_password(fd, &config->neighbors[i]);
	if (!ret && (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 16)))
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* ---- input ------------------------------------------------------------------------------- */

/* Takes whole messages off the buffer. False: the connection ended. */
static bool take_messages(struct bgp_connection *connection)
{
	struct bgp_error error;
	size_t used = 0, size;
	uint8_t type;

	while (connection->received - used >= BGP_HEADER_SIZE && !connection->closing) {
		const uint8_t *message = connection->input + used;

		if (bgp_header_decode(message, &size, &type, &error)) {
			bgp_connection_close(connection, &error, error.text);
			return false;
		}
		if (connection->received - used < size)
			break;
		if (bgp_session_message(connection, type, message + BGP_HEADER_SIZE,
					size - BGP_HEADER_SIZE, &error)) {
			bgp_connection_close(connection, &error, error.text);
			return false;
		}
		used += size;
	}
	connection->received -= used;
	memmove(connection->input, connection->input + used, connection->received);
	return !connection->closing;
}

static void read_some(struct bgp_connection *connection)
{
	for (unsigned int i = 0; i < ROUND_READS; i++) {
		ssize_t size = recv(connection->fd, connection->input + connection->received,
				    sizeof(connection->input) - connection->received, 0);

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0) {
			bgp_connection_close(connection, NULL,
					     size ? strerror(errno) : "closed by the neighbour");
			return;
		}
		connection->received += (size_t)size;
		if (!take_messages(connection))
			return;
	}
}

/* ---- output ------------------------------------------------------------------------------ */

void bgp_connection_write(struct bgp_connection *connection, const uint8_t *message, size_t size)
{
	if (connection->closing)
		return;
	if (connection->out_head == connection->out_tail)
		connection->out_head = connection->out_tail = 0;
	if (connection->out_size - connection->out_tail < size) {
		size_t larger = connection->out_size ? 2 * connection->out_size : OUTPUT_FIRST;
		uint8_t *output = realloc(connection->output, larger);

		if (!output) {
			bgp_connection_close(connection, NULL, "out of memory");
			return;
		}
		connection->output = output;
		connection->out_size = larger;
	}
	memcpy(connection->output + connection->out_tail, message, size);
	connection->out_tail += size;
}

void bgp_connection_flush(struct bgp_connection *connection)
{
	ssize_t size;

	if (connection->closing || connection->state == BGP_CONNECT)
		return;
	while (connection->out_head < connection->out_tail) {
		size = send(connection->fd, connection->output + connection->out_head,
			    connection->out_tail - connection->out_head, MSG_NOSIGNAL);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			break;
		if (size < 0) {
			bgp_connection_close(connection, NULL, strerror(errno));
			return;
		}
		connection->out_head += (size_t)size;
	}
	pw_watcher_events(connection->watcher,
			  EPOLLIN | (connection->out_head < connection->out_tail ? EPOLLOUT : 0));
}

/* ---- life -------------------------------------------------------------------------------- */

static void connected(struct bgp_connection *connection)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size))
		error = errno;
	if (error) {
		bgp_connection_close(connection, NULL, strerror(error));
		return;
	}
	bgp_session_opened(connection);
}

static void event(uint32_t events, void *context)
{
	struct bgp_connection *connection = context;

	if (connection->state == BGP_CONNECT) {
		connected(connection);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(connection);
	if (events & EPOLLOUT && !connection->closing)
		bgp_connection_flush(connection);
}

static struct bgp_connection *connection_new(struct bgp_peer *peer, int fd, bool outgoing)
{
	struct bgp_connection *connection = malloc(sizeof(*connection));
	int one = 1;

	if (!connection)
		return NULL;
	memset(connection, 0, offsetof(struct bgp_connection, input));
	connection->peer = peer;
	connection->fd = fd;
	connection->outgoing = outgoing;
	connection->hold_until = bgp_now() + (outgoing ? CONNECT_WAIT_MS : OPEN_WAIT_MS);
	connection->watcher = pw_loop_watch(fd, outgoing ? EPOLLOUT : EPOLLIN, event, connection);
	if (!connection->watcher) {
		free(connection);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connection;
}

struct bgp_connection *bgp_connection_accept(struct bgp_peer *peer, int fd)
{
	struct bgp_connection *connection;

	if (set_ttl(fd, &peer->config))
		return NULL;
	connection = connection_new(peer, fd, false);
	if (connection)
		bgp_session_opened(connection);
	return connection;
}

struct bgp_connection *bgp_connection_start(struct bgp_peer *peer)
{
	const struct bgp_neighbor_config *config = &peer->config;
	struct bgp_connection *connection = NULL;
	struct sockaddr_storage address;
	socklen_t size;
	int ret = 0, fd;

	fd = socket(config->address.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return NULL;
	if (config->source.family) {
		size = to_socket(&config->source, 0, &address);
		if (bind(fd, (struct sockaddr *)&address, size))
			ret = -errno;
	}
	if (!ret)
		ret = set_password(fd, config);
	if (!ret)
		ret = set_ttl(fd, config);
	size = to_socket(&config->address, config->port, &address);
	if (!ret && connect(fd, (struct sockaddr *)&address, size) && errno != EINPROGRESS)
		ret = -errno;
	if (!ret)
		connection = connection_new(peer, fd, true);
	if (!connection) {
		snprintf(peer->reason, sizeof(peer->reason), "cannot connect: %s",
			 strerror(ret ? -ret : ENOMEM));
		close(fd);
	}
	return connection;
}

void bgp_connection_close(struct bgp_connection *connection, const struct bgp_error *error,
			  const char *reason)
{
	uint8_t message[64];

	if (connection->closing)
		return;
	if (error && connection->state != BGP_CONNECT) {
		size_t size = bgp_notification_encode(error, message);

		bgp_connection_write(connection, message, size);
		bgp_connection_flush(connection);
		if (connection->closing)
			return;
	}
	connection->closing = true;
	pw_watcher_stop(connection->watcher);
	close(connection->fd);
	connection->next_closing = closing;
	closing = connection;
	bgp_peer_down(connection->peer, connection, reason);
}

void bgp_connections_collect(void)
{
	struct bgp_connection *connection;

	while ((connection = closing)) {
		closing = connection->next_closing;
		free(connection->output);
		free(connection);
	}
}
