/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_PEER_H
#define BGP_PEER_H

#include <sys/queue.h>

#include "control/bgp/config.h"
#include "control/bgp/message.h"
#include "control/bgp/rib.h"

/** Neighbours: their sessions (RFC 4271 8) and what is kept of them while there is none. */

struct bgp_connection;

struct bgp_peer {
	TAILQ_ENTRY(bgp_peer) next;
	struct bgp_neighbor_config config;
	unsigned int index; /* 0 .. BGP_NEIGHBORS - 1, a bit in struct bgp_local */
	uint32_t id;        /* its BGP identifier, when it was up last */
	struct bgp_connection *incoming, *outgoing; /* that are not established yet */
	struct bgp_connection *session;             /* the one that is, or NULL */
	struct bgp_path_list paths[BGP_FAMILIES];
	size_t path_count, stale_count;
	int sent_prefixes;
	bool eor_received[BGP_FAMILIES], eor_sent[BGP_FAMILIES];
	bool swept[BGP_FAMILIES]; /* since the session began */
	uint64_t sweep_at[BGP_FAMILIES];
	uint64_t stale_until; /* ms; 0 = not counting */
	uint64_t connect_at;
	uint64_t idle_until; /* after a limit was reached: no session before */
	uint64_t changed_at; /* when the session came or went */
	uint64_t updates_received, updates_sent;
	uint64_t sessions; /* so far */
	uint64_t errors;   /* UPDATEs treated as withdrawals */
	char reason[112];  /* why the last session ended */
	bool wanted;       /* while a configuration is taken over */
};
TAILQ_HEAD(bgp_peer_list, bgp_peer);
extern struct bgp_peer_list bgp_peers;

/** Neighbours and listeners of a configuration come, change or go. 0 or -errno, logged. */
int bgp_peers_configure(const struct bgp_config *config);
void bgp_peers_stop(void);

/** Timers: call it a few times a second. */
void bgp_peers_tick(void);
/** Local routes to neighbours, and all output. Called at the end of each round. */
void bgp_peers_flush(void);

/** A bit for each neighbour with a session. */
uint32_t bgp_peers_established(void);
/** Asks everyone for everything: import targets changed. */
void bgp_peers_refresh(void);

/** The session, or NULL. */
const struct bgp_session *bgp_peer_session(const struct bgp_peer *peer);
/** The next hop can be said in this family. */
bool bgp_peer_can_carry(const struct bgp_peer *peer, enum bgp_family family,
			const struct bgp_address *next_hop);
/** Queues a message. */
void bgp_peer_write(struct bgp_peer *peer, const uint8_t *message, size_t size);
/** So much is queued that more should wait. */
bool bgp_peer_full(const struct bgp_peer *peer);

/* Between peer.c, connection.c and session.c: */

extern const struct bgp_config *bgp_peer_config;

/** Both ends agree: the session begins. */
void bgp_peer_up(struct bgp_peer *peer, struct bgp_connection *connection);
/** A connection ended, for this reason; a session with it, if it had become one. */
void bgp_peer_down(struct bgp_peer *peer, struct bgp_connection *connection, const char *reason);
/** An OPEN came: RFC 4271 6.8. False: this connection gives way. */
bool bgp_peer_collide(struct bgp_peer *peer, struct bgp_connection *connection);
struct bgp_peer *bgp_peer_by_address(const struct bgp_address *address);

#endif
