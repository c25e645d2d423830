/* SPDX-License-Identifier: BSD-3-Clause */
/* Path attributes of received routes. What is wrong with one ends as RFC 7606 7 says. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "control/bgp/message.h"

#define FLAG_OPTIONAL   0x80
#define FLAG_TRANSITIVE 0x40
#define FLAG_LONG       0x10

enum attribute {
	ORIGIN = 1,
	AS_PATH,
	NEXT_HOP,
	MED,
	LOCAL_PREF,
	ATOMIC_AGGREGATE,
	AGGREGATOR,
	COMMUNITIES,
	ORIGINATOR_ID,
	CLUSTER_LIST,
	MP_REACH = 14,
	MP_UNREACH,
	EXTENDED_COMMUNITIES,
	TUNNEL_ENCAPSULATION = 23,
	IPV6_COMMUNITIES = 25,
	LARGE_COMMUNITIES = 32,
};

#define AS_SET               1
#define AS_SEQUENCE          2
#define AS_CONFED_SET        4
#define TUNNEL_GRE           2
#define TUNNEL_MPLS_IN_GRE   11
#define SUBTLV_ENCAPSULATION 1
#define SUBTLV_ENDPOINT      6
#define SUBTLV_LONG          128 /* types from here on have two bytes of length */

struct decoder {
	const struct bgp_session *session;
	uint32_t local_as;
	struct bgp_update *update;
	struct bgp_attributes *attributes;
	struct bgp_error *error;
	uint64_t seen[4]; /* types that came */
};

/* The routes of the message are as good as withdrawn; the first reason is kept. */
static void __attribute__((format(printf, 2, 3)))
withdraw(struct decoder *decoder, const char *format, ...)
{
	va_list args;

	if (decoder->update->withdraw)
		return;
	decoder->update->withdraw = true;
	va_start(args, format);
	vsnprintf(decoder->update->text, sizeof(decoder->update->text), format, args);
	va_end(args);
}

static bool seen(const struct decoder *decoder, uint8_t type)
{
	return decoder->seen[type / 64] >> type % 64 & 1;
}

/* ---- the AS path ------------------------------------------------------------------------- */

static void decode_as_path(struct decoder *decoder, struct bgp_span span)
{
	unsigned int width = decoder->session->as4 ? 4 : 2, length = 0;
	struct bgp_attributes *attributes = decoder->attributes;
	bool first = true;

	while (span.size) {
		uint8_t type = span.data[0], count = span.size < 2 ? 0 : span.data[1];

		if (!count || type < AS_SET || type > AS_CONFED_SET ||
		    span.size - 2 < (size_t)count * width) {
			withdraw(decoder, "ill-formed AS_PATH");
			return;
		}
		for (unsigned int i = 0; i < count; i++) {
			const uint8_t *at = span.data + 2 + i * width;
			uint32_t as = width == 4 ? bgp_get32(at) : bgp_get16(at);

			if (as == decoder->local_as)
				decoder->update->loop = true;
			if (first && type == AS_SEQUENCE)
				attributes->first_as = as;
			first = false;
		}
		if (type <= AS_SEQUENCE)
			length += type == AS_SET ? 1 : count;
		span.data += 2 + count * width;
		span.size -= 2 + count * width;
	}
	attributes->as_path_length = length;
}

/* ---- communities, tunnels ---------------------------------------------------------------- */

/* RFC 4360 4, RFC 5668 2: route targets by 2-byte AS, by address, by 4-byte AS. */
static bool is_target(const uint8_t *community)
{
	return community[0] <= 2 && community[1] == 2;
}

static void decode_targets(struct decoder *decoder, struct bgp_span span)
{
	struct bgp_attributes *attributes = decoder->attributes;

	if (!span.size || span.size % 8) {
		withdraw(decoder, "EXTENDED_COMMUNITIES with %zu bytes", span.size);
		return;
	}
	for (size_t i = 0; i < span.size; i += 8)
		if (is_target(span.data + i) && attributes->target_count < BGP_TARGETS_MAX)
			decoder->update->targets[attributes->target_count++] =
				bgp_get64(span.data + i);
}

/* RFC 9012 3.1: the endpoint's family 0 means the next hop. */
static void decode_endpoint(struct decoder *decoder, struct bgp_span span)
{
	struct bgp_address address = {0};
	uint16_t family;

	if (span.size < 6)
		return;
	family = bgp_get16(span.data + 4);
	if (family == 1 && span.size == 10)
		address.family = AF_INET;
	else if (family == 2 && span.size == 22)
		address.family = AF_INET6;
	else
		return;
	memcpy(address.bytes, span.data + 6, span.size - 6);
	bgp_address_unmap(&address);
	decoder->attributes->endpoint = address;
}

static bool decode_subtlvs(struct decoder *decoder, struct bgp_span span)
{
	bool endpoint = false, key = false;

	while (span.size) {
		size_t header = span.data[0] >= SUBTLV_LONG ? 3 : 2, length;
		struct bgp_span value;

		if (span.size < header)
			return false;
		length = header == 3 ? bgp_get16(span.data + 1) : span.data[1];
		if (span.size - header < length)
			return false;
		value = (struct bgp_span){.data = span.data + header, .size = length};
		if (span.data[0] == SUBTLV_ENCAPSULATION && !key && length == 4) {
			key = true;
			decoder->attributes->has_key = true;
			decoder->attributes->key = bgp_get32(value.data);
		} else if (span.data[0] == SUBTLV_ENDPOINT && !endpoint) {
			endpoint = true;
			decode_endpoint(decoder, value);
		}
		span.data += header + length;
		span.size -= header + length;
	}
	return true;
}

static void decode_tunnel(struct decoder *decoder, struct bgp_span span)
{
	bool found = false;

	while (span.size) {
		uint16_t type = span.size < 4 ? 0 : bgp_get16(span.data);
		size_t length = span.size < 4 ? 0 : bgp_get16(span.data + 2);
		struct bgp_span value = {.data = span.data + 4, .size = length};

		if (span.size < 4 || span.size - 4 < length) {
			withdraw(decoder, "ill-formed TUNNEL_ENCAPSULATION (RFC 9012 13)");
			return;
		}
		/* The first GRE tunnel counts; tunnels of other types are as if not there. */
		if ((type == TUNNEL_GRE || type == TUNNEL_MPLS_IN_GRE) && !found) {
			found = true;
			if (!decode_subtlvs(decoder, value)) {
				withdraw(decoder, "ill-formed TUNNEL_ENCAPSULATION (RFC 9012 13)");
				return;
			}
		}
		span.data += 4 + length;
		span.size -= 4 + length;
	}
}

/* ---- routes ------------------------------------------------------------------------------ */

/*
 * An RD of zeroes and an address, or an RD, a global and a link-local address behind RDs of their
 * own: RFC 4364 4.3.2, RFC 4659 3.2.1.1, RFC 8950 4.
 */
static int decode_next_hop(struct decoder *decoder, struct bgp_span span)
{
	struct bgp_address *next_hop = &decoder->attributes->next_hop;
	bool any;

	switch (span.size) {
	case 12:
		any = true;
		next_hop->family = AF_INET;
		memcpy(next_hop->bytes, span.data + 8, 4);
		break;
	case 24:
	case 48:
		any = decoder->update->reach_family == BGP_VPNV6 ||
		      decoder->session->extended_next_hop;
		next_hop->family = AF_INET6;
		memcpy(next_hop->bytes, span.data + 8, 16);
		bgp_address_unmap(next_hop);
		break;
	default:
		any = false;
	}
	/* RFC 7606 7.11: where the routes begin is not sure. */
	return any ? 0
		   : bgp_error_set(decoder->error, BGP_ERROR_UPDATE, 9,
				   "next hop of %zu bytes in an UPDATE", span.size);
}

static int decode_reach(struct decoder *decoder, struct bgp_span span)
{
	size_t next_hop;
	int family;

	if (span.size < 5 || span.size - 5 < span.data[3])
		return bgp_error_set(decoder->error, BGP_ERROR_UPDATE, 9,
				     "MP_REACH_NLRI that is cut off");
	family = bgp_family_of(bgp_get16(span.data), span.data[2]);
	/* RFC 4760 7: routes that were not asked for are ignored. */
	if (family < 0 || !decoder->session->families[family])
		return 0;
	next_hop = span.data[3];
	decoder->update->reach_family = (enum bgp_family)family;
	if (decode_next_hop(decoder, (struct bgp_span){span.data + 4, next_hop}))
		return -EPROTO;
	decoder->update->reach.data = span.data + 5 + next_hop;
	decoder->update->reach.size = span.size - 5 - next_hop;
	return 0;
}

static int decode_unreach(struct decoder *decoder, struct bgp_span span, bool alone)
{
	int family;

	if (span.size < 3)
		return bgp_error_set(decoder->error, BGP_ERROR_UPDATE, 9,
				     "MP_UNREACH_NLRI that is cut off");
	family = bgp_family_of(bgp_get16(span.data), span.data[2]);
	if (family < 0 || !decoder->session->families[family])
		return 0;
	decoder->update->unreach_family = (enum bgp_family)family;
	decoder->update->unreach.data = span.data + 3;
	decoder->update->unreach.size = span.size - 3;
	decoder->update->end_of_rib = span.size == 3 && alone;
	return 0;
}

/* ---- one attribute ----------------------------------------------------------------------- */

/* Sizes of those whose value is a number or a list; what else is wrong makes no difference. */
static bool size_right(uint8_t type, size_t size)
{
	switch (type) {
	case ORIGIN:
		return size == 1;
	case NEXT_HOP:
	case MED:
	case LOCAL_PREF:
	case ORIGINATOR_ID:
		return size == 4;
	case COMMUNITIES:
	case CLUSTER_LIST:
		return size && size % 4 == 0;
	case IPV6_COMMUNITIES:
		return size && size % 20 == 0;
	case LARGE_COMMUNITIES:
		return size && size % 12 == 0;
	default:
		return true;
	}
}

/* Well-known ones are transitive and not optional, and so on: RFC 4271 5. */
static bool flags_right(uint8_t type, uint8_t flags)
{
	static const uint8_t right[] = {
		[ORIGIN] = FLAG_TRANSITIVE,
		[AS_PATH] = FLAG_TRANSITIVE,
		[NEXT_HOP] = FLAG_TRANSITIVE,
		[MED] = FLAG_OPTIONAL,
		[LOCAL_PREF] = FLAG_TRANSITIVE,
		[ORIGINATOR_ID] = FLAG_OPTIONAL,
		[CLUSTER_LIST] = FLAG_OPTIONAL,
		[MP_REACH] = FLAG_OPTIONAL,
		[MP_UNREACH] = FLAG_OPTIONAL,
		[EXTENDED_COMMUNITIES] = FLAG_OPTIONAL | FLAG_TRANSITIVE,
		[TUNNEL_ENCAPSULATION] = FLAG_OPTIONAL | FLAG_TRANSITIVE,
	};

	return type >= sizeof(right) || !right[type] ||
	       (flags & (FLAG_OPTIONAL | FLAG_TRANSITIVE)) == right[type];
}

static void decode_value(struct decoder *decoder, uint8_t type, struct bgp_span span)
{
	struct bgp_attributes *attributes = decoder->attributes;

	if (!size_right(type, span.size)) {
		withdraw(decoder, "attribute %u with %zu bytes", type, span.size);
		return;
	}
	switch (type) {
	case ORIGIN:
		attributes->origin = span.data[0];
		if (span.data[0] > 2)
			withdraw(decoder, "ORIGIN %u", span.data[0]);
		break;
	case AS_PATH:
		decode_as_path(decoder, span);
		break;
	case MED:
		attributes->has_med = true;
		attributes->med = bgp_get32(span.data);
		break;
	case LOCAL_PREF:
		attributes->local_pref = bgp_get32(span.data);
		break;
	case ORIGINATOR_ID:
		attributes->has_originator = true;
		attributes->originator = bgp_get32(span.data);
		break;
	case CLUSTER_LIST:
		attributes->cluster_length = (uint8_t)(span.size / 4 > 255 ? 255 : span.size / 4);
		break;
	case EXTENDED_COMMUNITIES:
		decode_targets(decoder, span);
		break;
	case TUNNEL_ENCAPSULATION:
		decode_tunnel(decoder, span);
		break;
	default:
		break;
	}
}

static bool known(uint8_t type)
{
	return (type >= ORIGIN && type <= CLUSTER_LIST) ||
	       (type >= MP_REACH && type <= EXTENDED_COMMUNITIES) || type == TUNNEL_ENCAPSULATION ||
	       type == IPV6_COMMUNITIES || type == LARGE_COMMUNITIES;
}

static int decode_one(struct decoder *decoder, uint8_t flags, uint8_t type, struct bgp_span span,
		      bool alone)
{
	bool routes = type == MP_REACH || type == MP_UNREACH;

	if (seen(decoder, type)) {
		/* RFC 7606 3 (g): of others the first one counts. */
		return routes ? bgp_error_set(decoder->error, BGP_ERROR_UPDATE, 1,
					      "attribute %u twice in an UPDATE", type)
			      : 0;
	}
	decoder->seen[type / 64] |= UINT64_C(1) << type % 64;
	if (!known(type))
		return flags & FLAG_OPTIONAL
			       ? 0
			       : bgp_error_set(decoder->error, BGP_ERROR_UPDATE, 2,
					       "unknown well-known attribute %u", type);
	if (!flags_right(type, flags))
		withdraw(decoder, "attribute %u with flags %#x", type, flags);
	if (type == MP_REACH)
		return decode_reach(decoder, span);
	if (type == MP_UNREACH)
		return decode_unreach(decoder, span, alone);
	decode_value(decoder, type, span);
	return 0;
}

static void check_mandatory(struct decoder *decoder)
{
	static const uint8_t mandatory[] = {ORIGIN, AS_PATH, LOCAL_PREF};

	for (unsigned int i = 0; i < sizeof(mandatory); i++)
		if (!seen(decoder, mandatory[i]))
			withdraw(decoder, "no attribute %u", mandatory[i]);
}

int bgp_attributes_decode(struct bgp_span span, const struct bgp_session *session,
			  uint32_t local_as, struct bgp_update *update, struct bgp_error *error)
{
	struct decoder decoder = {
		.session = session,
		.local_as = local_as,
		.update = update,
		.attributes = &update->attributes,
		.error = error,
	};
	size_t whole = span.size;

	while (span.size) {
		size_t header = span.data[0] & FLAG_LONG ? 4 : 3, length = 0;

		if (span.size >= header)
			length = header == 4 ? bgp_get16(span.data + 2) : span.data[2];
		/* RFC 7606 4: what comes before is good, and says what is withdrawn. */
		if (span.size < header || span.size - header < length) {
			withdraw(&decoder, "an attribute that is cut off");
			break;
		}
		if (decode_one(&decoder, span.data[0], span.data[1],
			       (struct bgp_span){span.data + header, length},
			       header + length == whole))
			return -EPROTO;
		span.data += header + length;
		span.size -= header + length;
	}
	if (update->reach.size)
		check_mandatory(&decoder);
	if (decoder.attributes->endpoint.family)
		decoder.attributes->next_hop = decoder.attributes->endpoint;
	return 0;
}
