/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said over a connection: RFC 4271 8.2.2, with one state fewer (Idle has none). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/bgp/connection.h"
#include "control/bgp/dataplane.h"
#include "control/bgp/label.h"
#include "control/bgp/local.h"
#include "control/bgp/peer.h"
#include "control/bgp/restart.h"
#include "lib/log.h"

#define OPEN_HOLD_MS (4u * 60 * 1000)

/* ---- OPEN -------------------------------------------------------------------------------- */

void bgp_session_opened(struct bgp_connection *connection)
{
	const struct bgp_config *config = bgp_peer_config;
	struct bgp_open open = {
		.as = config->local_as,
		.id = config->router_id,
		.hold_time = connection->peer->config.hold_time,
		.restart_time = config->restart_time,
		.families = {true, true},
		.as4 = true,
		.refresh = true,
		.restart = true,
		.restarting = bgp_restarting(),
		/* Pewter forwards on, whatever becomes of this process. */
		.forwarding = {true, true},
		.add_path_receive = {true, true},
		.extended_next_hop = true,
	};
	uint8_t message[BGP_MESSAGE_MAX];

	connection->state = BGP_OPEN_SENT;
	connection->hold_until = bgp_now() + OPEN_HOLD_MS;
	bgp_connection_write(connection, message, bgp_open_encode(&open, message));
	bgp_connection_flush(connection);
}

static int check_open(const struct bgp_open *open, struct bgp_error *error)
{
	const struct bgp_config *config = bgp_peer_config;

	if (open->as != config->local_as)
		return bgp_error_set(
			error, BGP_ERROR_OPEN, 2,
			"the neighbour is in AS %u, not in %u (only iBGP is supported)", open->as,
			config->local_as);
	if (!open->id || open->id == config->router_id)
		return bgp_error_set(error, BGP_ERROR_OPEN, 3,
				     "the neighbour's router id %u.%u.%u.%u is %s", open->id >> 24,
				     open->id >> 16 & 255, open->id >> 8 & 255, open->id & 255,
				     open->id ? "also ours" : "none");
	if (open->hold_time == 1 || open->hold_time == 2)
		return bgp_error_set(error, BGP_ERROR_OPEN, 6, "a hold time of %u seconds",
				     open->hold_time);
	if (open->families[BGP_VPNV4] || open->families[BGP_VPNV6])
		return 0;
	bgp_error_set(error, BGP_ERROR_OPEN, 7,
		      "the neighbour has neither VPNv4 nor VPNv6 activated for us");
	/* RFC 5492 4: the capability that is missing. */
	memcpy(error->data, (const uint8_t[]){1, 4, 0, 1, 0, BGP_SAFI_VPN}, 6);
	error->size = 6;
	return -EPROTO;
}

static void agree(struct bgp_connection *connection)
{
	const struct bgp_open *remote = &connection->remote;
	struct bgp_session *session = &connection->session;
	uint16_t ours = connection->peer->config.hold_time;

	for (int family = 0; family < BGP_FAMILIES; family++) {
		session->families[family] = remote->families[family];
		session->add_path[family] =
			remote->families[family] && remote->add_path_send[family];
	}
	session->as4 = remote->as4;
	session->extended_next_hop = remote->extended_next_hop;
	connection->hold_time = remote->hold_time < ours ? remote->hold_time : ours;
}

static void timers_start(struct bgp_connection *connection)
{
	uint64_t now = bgp_now();

	connection->hold_until = connection->hold_time ? now + connection->hold_time * 1000u : 0;
	connection->keepalive_at =
		connection->hold_time ? now + connection->hold_time * 1000u / 3 : 0;
}

static int handle_open(struct bgp_connection *connection, const uint8_t *body, size_t size,
		       struct bgp_error *error)
{
	uint8_t message[BGP_HEADER_SIZE];

	if (bgp_open_decode(body, size, &connection->remote, error) ||
	    check_open(&connection->remote, error))
		return -EPROTO;
	if (!bgp_peer_collide(connection->peer, connection))
		return bgp_error_set(error, BGP_ERROR_CEASE, 7, "gave way to the other connection");
	agree(connection);
	connection->state = BGP_OPEN_CONFIRM;
	timers_start(connection);
	bgp_connection_write(connection, message, bgp_keepalive_encode(message));
	bgp_connection_flush(connection);
	return 0;
}

/* ---- UPDATE ------------------------------------------------------------------------------ */

/* Why a path is of no use, or NULL. */
static const char *unusable(const struct bgp_update *update)
{
	const struct bgp_attributes *attributes = &update->attributes;
	static char text[64];
	struct bgp_address own;

	if (update->loop)
		return "our AS is in its path";
	if (attributes->has_originator && attributes->originator == bgp_peer_config->router_id)
		return "it is our own (ORIGINATOR_ID)";
	if (!attributes->next_hop.family)
		return "it has no next hop";
	if (bgp_dataplane_next_hop(&own) && bgp_address_equal(&own, &attributes->next_hop)) {
		snprintf(text, sizeof(text), "its next hop is this PE");
		return text;
	}
	return NULL;
}

/* Explicit null is a label like others; implicit null and the reserved ones lead nowhere. */
static bool label_usable(uint32_t label)
{
	return label >= BGP_LABEL_FIRST || label == BGP_LABEL_NULL4 || label == BGP_LABEL_NULL6;
}

static int limit_error(struct bgp_peer *peer, enum bgp_family family, struct bgp_error *error)
{
	bgp_error_set(error, BGP_ERROR_CEASE, 1, "more than %u prefixes (max-prefixes)",
		      peer->config.max_prefixes);
	/* RFC 4486 4: the family and the limit. */
	bgp_put16(error->data, family == BGP_VPNV4 ? 1 : 2);
	error->data[2] = BGP_SAFI_VPN;
	bgp_put32(error->data + 3, peer->config.max_prefixes);
	error->size = 7;
	peer->idle_until = bgp_now() + BGP_LIMIT_IDLE_MS;
	return -EPROTO;
}

static int announce(struct bgp_peer *peer, struct bgp_update *update, bool add_path,
		    struct bgp_error *error)
{
	struct bgp_interned *interned = bgp_attributes_intern(&update->attributes, update->targets);
	struct bgp_nlri nlri;
	int ret = interned ? 0 : -ENOMEM;

	while (!ret && bgp_nlri_next(&update->reach, update->reach_family, add_path, &nlri) > 0) {
		if (label_usable(nlri.label)) {
			ret = bgp_path_announce(peer, &nlri, interned);
		} else {
			bgp_path_withdraw(peer, &nlri);
			peer->errors++;
		}
	}
	bgp_attributes_release(interned);
	if (ret == -ENOSPC)
		return limit_error(peer, update->reach_family, error);
	return ret ? bgp_error_set(error, BGP_ERROR_CEASE, 8, "out of memory for routes") : 0;
}

static void withdraw(struct bgp_peer *peer, struct bgp_span span, enum bgp_family family,
		     bool add_path)
{
	struct bgp_nlri nlri;

	while (bgp_nlri_next(&span, family, add_path, &nlri) > 0)
		bgp_path_withdraw(peer, &nlri);
}

static void end_of_rib(struct bgp_peer *peer, enum bgp_family family)
{
	if (peer->eor_received[family])
		return;
	peer->eor_received[family] = true;
	/* A speaker that starts says so before its own neighbours are there: wait a little. */
	peer->sweep_at[family] = bgp_now() + bgp_peer_config->sweep_delay * UINT64_C(1000);
}

static int handle_update(struct bgp_connection *connection, const uint8_t *body, size_t size,
			 struct bgp_error *error)
{
	static struct bgp_update update;
	const struct bgp_session *session = &connection->session;
	struct bgp_peer *peer = connection->peer;
	const char *why;

	if (bgp_update_decode(body, size, session, bgp_peer_config->local_as, &update, error))
		return -EPROTO;
	peer->updates_received++;
	if (update.end_of_rib)
		end_of_rib(peer, update.unreach_family);
	withdraw(peer, update.unreach, update.unreach_family,
		 session->add_path[update.unreach_family]);
	if (!update.reach.size)
		return 0;
	if (update.withdraw && !peer->errors++)
		pw_warning("neighbor %s: %s: its routes are treated as withdrawn (RFC 7606); said "
			   "once",
			   bgp_address_text(&peer->config.address, (char[BGP_ADDRESS_TEXT]){0}),
			   update.text);
	why = unusable(&update);
	if (!update.withdraw && !why)
		return announce(peer, &update, session->add_path[update.reach_family], error);
	withdraw(peer, update.reach, update.reach_family, session->add_path[update.reach_family]);
	return 0;
}

/* ---- messages ---------------------------------------------------------------------------- */

static void handle_notification(struct bgp_connection *connection, const uint8_t *body, size_t size)
{
	struct bgp_error error;
	char reason[128];

	bgp_notification_decode(body, size, &error);
	snprintf(reason, sizeof(reason), "the neighbour says %s", error.text);
	bgp_connection_close(connection, NULL, reason);
}

static void handle_refresh(struct bgp_connection *connection, const uint8_t *body, size_t size)
{
	enum bgp_family family;

	if (bgp_refresh_decode(body, size, &family) && connection->session.families[family])
		bgp_locals_offer(connection->peer, family);
}

int bgp_session_message(struct bgp_connection *connection, uint8_t type, const uint8_t *body,
			size_t size, struct bgp_error *error)
{
	if (type == BGP_NOTIFICATION) {
		handle_notification(connection, body, size);
		return 0;
	}
	if (connection->state == BGP_OPEN_SENT && type == BGP_OPEN)
		return handle_open(connection, body, size, error);
	if (connection->state < BGP_OPEN_CONFIRM || type == BGP_OPEN ||
	    (connection->state == BGP_OPEN_CONFIRM && type != BGP_KEEPALIVE))
		return bgp_error_set(error, BGP_ERROR_STATE, (uint8_t)connection->state,
				     "message of type %u out of turn", type);
	if (connection->hold_time)
		connection->hold_until = bgp_now() + connection->hold_time * 1000u;
	if (connection->state == BGP_OPEN_CONFIRM) {
		connection->state = BGP_ESTABLISHED;
		bgp_peer_up(connection->peer, connection);
		return 0;
	}
	if (type == BGP_UPDATE)
		return handle_update(connection, body, size, error);
	if (type == BGP_ROUTE_REFRESH)
		handle_refresh(connection, body, size);
	return 0;
}

void bgp_session_tick(struct bgp_connection *connection, uint64_t now)
{
	uint8_t message[BGP_HEADER_SIZE];
	struct bgp_error error;

	if (connection->hold_until && now >= connection->hold_until) {
		bgp_error_set(&error, BGP_ERROR_HOLD_TIMER, 0, "hold timer expired");
		bgp_connection_close(connection, &error,
				     connection->state == BGP_CONNECT ? "no answer" : error.text);
		return;
	}
	if (connection->state < BGP_OPEN_CONFIRM || !connection->keepalive_at ||
	    now < connection->keepalive_at)
		return;
	connection->keepalive_at = now + connection->hold_time * 1000u / 3;
	bgp_connection_write(connection, message, bgp_keepalive_encode(message));
	bgp_connection_flush(connection);
}
