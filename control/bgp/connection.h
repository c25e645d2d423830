/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_CONNECTION_H
#define BGP_CONNECTION_H

#include "control/bgp/message.h"

/** A TCP connection with a neighbour, and how far the two have come with each other. */

struct bgp_peer;

enum bgp_state {
	BGP_CONNECT,
	BGP_OPEN_SENT,
	BGP_OPEN_CONFIRM,
	BGP_ESTABLISHED,
};

struct bgp_connection {
	struct bgp_peer *peer;
	struct pw_watcher *watcher;
	int fd;
	bool outgoing;
	bool closing; /* freed at the end of the round */
	enum bgp_state state;
	struct bgp_open remote;
	struct bgp_session session;
	uint16_t hold_time;  /* agreed, seconds; 0 = no timers */
	uint64_t hold_until; /* ms */
	uint64_t keepalive_at;
	size_t received; /* bytes in input */
	uint8_t *output;
	size_t out_head, out_tail, out_size;
	struct bgp_connection *next_closing;
	uint8_t input[64u << 10];
};

/** Listens, or connects; the neighbour's connection. NULL: said in the log. */
struct bgp_connection *bgp_connection_accept(struct bgp_peer *peer, int fd);
struct bgp_connection *bgp_connection_start(struct bgp_peer *peer);

/** A listening socket that knows the neighbours' passwords, or -errno. */
struct bgp_config;
struct bgp_endpoint;
int bgp_listen(const struct bgp_endpoint *endpoint, const struct bgp_config *config);

void bgp_connection_write(struct bgp_connection *connection, const uint8_t *message, size_t size);
/** Sends what is queued, as far as the other end takes it. */
void bgp_connection_flush(struct bgp_connection *connection);
/** Ends it, with a NOTIFICATION unless @p error is NULL. @p reason is for the log. */
void bgp_connection_close(struct bgp_connection *connection, const struct bgp_error *error,
			  const char *reason);
/** Frees what was closed. */
void bgp_connections_collect(void);

/* session.c */

/** TCP is up: says OPEN. */
void bgp_session_opened(struct bgp_connection *connection);
/** A message came. 0, or -EPROTO with the NOTIFICATION to send. */
int bgp_session_message(struct bgp_connection *connection, uint8_t type, const uint8_t *body,
			size_t size, struct bgp_error *error);
/** Keepalives and the hold timer. */
void bgp_session_tick(struct bgp_connection *connection, uint64_t now);

#endif
