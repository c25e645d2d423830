/* SPDX-License-Identifier: BSD-3-Clause */
/* The UPDATE message: its frame, its routes, and how one is written. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "control/bgp/message.h"

#define LABEL_SIZE 3
#define RD_SIZE    8
#define FIXED_BITS (8 * (LABEL_SIZE + RD_SIZE))

/* ---- routes ------------------------------------------------------------------------------ */

int bgp_nlri_next(struct bgp_span *span, enum bgp_family family, bool add_path,
		  struct bgp_nlri *nlri)
{
	size_t header = add_path ? 5 : 1, bytes;
	const uint8_t *at = span->data;
	unsigned int bits;

	if (!span->size)
		return 0;
	if (span->size < header)
		return -EBADMSG;
	memset(nlri, 0, sizeof(*nlri));
	if (add_path)
		nlri->path_id = bgp_get32(at);
	bits = at[header - 1];
	bytes = (bits + 7) / 8;
	/* One label: RFC 8277 2.2, since the capability for more is not offered. */
	if (bits < FIXED_BITS || bits > FIXED_BITS + bgp_prefix_bits(family) ||
	    span->size - header < bytes)
		return -EBADMSG;
	at += header;
	nlri->label = (uint32_t)at[0] << 12 | (uint32_t)at[1] << 4 | at[2] >> 4;
	nlri->rd = bgp_get64(at + LABEL_SIZE);
	nlri->prefix.family = (uint8_t)family;
	nlri->prefix.length = (uint8_t)(bits - FIXED_BITS);
	memcpy(nlri->prefix.bytes, at + LABEL_SIZE + RD_SIZE, bytes - LABEL_SIZE - RD_SIZE);
	bgp_prefix_mask(&nlri->prefix);
	span->data += header + bytes;
	span->size -= header + bytes;
	return 1;
}

static uint8_t *put_nlri(uint8_t *at, const struct bgp_nlri *nlri, uint32_t label_bytes)
{
	unsigned int bytes = (nlri->prefix.length + 7u) / 8;

	*at++ = (uint8_t)(FIXED_BITS + nlri->prefix.length);
	*at++ = (uint8_t)(label_bytes >> 16);
	at = bgp_put16(at, (uint16_t)label_bytes);
	at = bgp_put64(at, nlri->rd);
	memcpy(at, nlri->prefix.bytes, bytes);
	return at + bytes;
}

uint8_t *bgp_nlri_encode(uint8_t *at, const struct bgp_nlri *nlri)
{
	return put_nlri(at, nlri, nlri->label << 4 | 1);
}

/* ---- the frame --------------------------------------------------------------------------- */

/* RFC 7606 5.3: routes that cannot be told apart end the session. */
static int check_nlri(struct bgp_span span, enum bgp_family family, bool add_path,
		      struct bgp_error *error)
{
	struct bgp_nlri nlri;
	int ret;

	do
		ret = bgp_nlri_next(&span, family, add_path, &nlri);
	while (ret > 0);
	if (ret == 0)
		return 0;
	return bgp_error_set(error, BGP_ERROR_UPDATE, 9, "ill-formed VPNv%d route in an UPDATE",
			     family == BGP_VPNV4 ? 4 : 6);
}

int bgp_update_decode(const uint8_t *body, size_t size, const struct bgp_session *session,
		      uint32_t local_as, struct bgp_update *update, struct bgp_error *error)
{
	size_t withdrawn, attributes;
	struct bgp_span span;

	memset(update, 0, offsetof(struct bgp_update, targets));
	/* RFC 7606 3 (a): lengths that do not fit end the session. */
	if (size < 4)
		return bgp_error_set(error, BGP_ERROR_UPDATE, 1, "UPDATE with %zu bytes", size);
	withdrawn = bgp_get16(body);
	if (withdrawn > size - 4)
		return bgp_error_set(error, BGP_ERROR_UPDATE, 1,
				     "UPDATE whose withdrawn routes are longer than it is");
	attributes = bgp_get16(body + 2 + withdrawn);
	if (attributes > size - 4 - withdrawn)
		return bgp_error_set(error, BGP_ERROR_UPDATE, 1,
				     "UPDATE whose attributes are longer than it is");
	span = (struct bgp_span){.data = body + 4 + withdrawn, .size = attributes};
	/* What IPv4 unicast routes there are around them was not asked for. */
	if (bgp_attributes_decode(span, session, local_as, update, error))
		return -EPROTO;
	if (check_nlri(update->reach, update->reach_family, session->add_path[update->reach_family],
		       error))
		return -EPROTO;
	return check_nlri(update->unreach, update->unreach_family,
			  session->add_path[update->unreach_family], error);
}

/* ---- writing ----------------------------------------------------------------------------- */

#define FLAG_OPTIONAL        0x80
#define FLAG_TRANSITIVE      0x40
#define FLAG_LONG            0x10

#define ATTRIBUTE_ORIGIN     1
#define ATTRIBUTE_AS_PATH    2
#define ATTRIBUTE_LOCAL_PREF 5
#define ATTRIBUTE_REACH      14
#define ATTRIBUTE_UNREACH    15
#define ATTRIBUTE_COMMUNITY  16 /* extended ones: route targets */
#define ATTRIBUTE_TUNNEL     23

#define ORIGIN_INCOMPLETE    2
#define TUNNEL_GRE           2
#define ROOM_FIXED           64 /* attributes behind the routes, route targets not counted */

static uint8_t *put_next_hop(uint8_t *at, const struct bgp_announcement *announcement)
{
	const struct bgp_address *next_hop = &announcement->next_hop;
	bool mapped = announcement->family == BGP_VPNV6 && next_hop->family == AF_INET;
	unsigned int size = next_hop->family == AF_INET6 || mapped ? 16 : 4;

	*at++ = (uint8_t)(RD_SIZE + size);
	memset(at, 0, RD_SIZE + 16);
	at += RD_SIZE;
	if (mapped) {
		at[10] = at[11] = 0xff;
		memcpy(at + 12, next_hop->bytes, 4);
	} else {
		memcpy(at, next_hop->bytes, size);
	}
	return at + size;
}

static void writer_begin(struct bgp_writer *writer, uint8_t type, enum bgp_family family)
{
	uint8_t *at = writer->message + BGP_HEADER_SIZE;

	at = bgp_put16(at, 0); /* withdrawn routes */
	at = bgp_put16(at, 0); /* path attributes: filled in at the end */
	*at++ = FLAG_OPTIONAL | FLAG_LONG;
	*at++ = type;
	at = bgp_put16(at, 0);
	at = bgp_put16(at, family == BGP_VPNV4 ? 1 : 2);
	*at++ = BGP_SAFI_VPN;
	writer->family = family;
	writer->at = at;
	writer->limit = writer->message + BGP_MESSAGE_MAX;
	writer->announcement = NULL;
}

void bgp_writer_announce(struct bgp_writer *writer, const struct bgp_announcement *announcement)
{
	writer_begin(writer, ATTRIBUTE_REACH, announcement->family);
	writer->announcement = announcement;
	writer->limit -= ROOM_FIXED + 8 * announcement->target_count;
	writer->at = put_next_hop(writer->at, announcement);
	*writer->at++ = 0; /* reserved */
	writer->nlri = writer->at;
}

void bgp_writer_withdraw(struct bgp_writer *writer, enum bgp_family family)
{
	writer_begin(writer, ATTRIBUTE_UNREACH, family);
	writer->nlri = writer->at;
}

bool bgp_writer_add(struct bgp_writer *writer, const struct bgp_nlri *nlri)
{
	if (writer->limit - writer->at < BGP_NLRI_MAX)
		return false;
	writer->at = writer->announcement ? bgp_nlri_encode(writer->at, nlri)
					  : put_nlri(writer->at, nlri, BGP_LABEL_WITHDRAW);
	return true;
}

static uint8_t *put_attributes(uint8_t *at, const struct bgp_announcement *announcement)
{
	at = bgp_put16(at, FLAG_TRANSITIVE << 8 | ATTRIBUTE_ORIGIN);
	*at++ = 1;
	*at++ = ORIGIN_INCOMPLETE;
	at = bgp_put16(at, FLAG_TRANSITIVE << 8 | ATTRIBUTE_AS_PATH);
	*at++ = 0;
	at = bgp_put16(at, FLAG_TRANSITIVE << 8 | ATTRIBUTE_LOCAL_PREF);
	*at++ = 4;
	at = bgp_put32(at, BGP_LOCAL_PREF);
	if (announcement->target_count) {
		at = bgp_put16(at, (FLAG_OPTIONAL | FLAG_TRANSITIVE | FLAG_LONG) << 8 |
					   ATTRIBUTE_COMMUNITY);
		at = bgp_put16(at, (uint16_t)(8 * announcement->target_count));
		for (unsigned int i = 0; i < announcement->target_count; i++)
			at = bgp_put64(at, announcement->targets[i]);
	}
	if (!announcement->has_key)
		return at;
	/* RFC 9012 3.1, 3.2.4: the egress is the next hop (family 0), the key of its tunnel. */
	at = bgp_put16(at, (FLAG_OPTIONAL | FLAG_TRANSITIVE) << 8 | ATTRIBUTE_TUNNEL);
	*at++ = 18;
	at = bgp_put16(at, TUNNEL_GRE);
	at = bgp_put16(at, 14);
	*at++ = 6;
	*at++ = 6;
	at = bgp_put32(at, 0);
	at = bgp_put16(at, 0);
	*at++ = 1;
	*at++ = 4;
	return bgp_put32(at, announcement->key);
}

size_t bgp_writer_finish(struct bgp_writer *writer)
{
	uint8_t *attributes = writer->message + BGP_HEADER_SIZE + 4;

	bgp_put16(attributes + 2, (uint16_t)(writer->at - attributes - 4));
	if (writer->announcement)
		writer->at = put_attributes(writer->at, writer->announcement);
	bgp_put16(attributes - 2, (uint16_t)(writer->at - attributes));
	return bgp_header_encode(writer->message, writer->at, BGP_UPDATE);
}
