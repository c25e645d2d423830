/* SPDX-License-Identifier: BSD-3-Clause */
/* The OPEN message and its capabilities. */
#include <errno.h>
#include <string.h>

#include "control/bgp/message.h"

#define VERSION              4
#define OPEN_SIZE            10
#define PARAMETER_CAPABILITY 2
#define PARAMETER_EXTENDED   255 /* RFC 9072 */

enum capability {
	CAPABILITY_MULTIPROTOCOL = 1,
	CAPABILITY_REFRESH = 2,
	CAPABILITY_EXTENDED_NEXT_HOP = 5,
	CAPABILITY_RESTART = 64,
	CAPABILITY_AS4 = 65,
	CAPABILITY_ADD_PATH = 69,
};

#define RESTART_STATE    0x8000
#define RESTART_TIME     0x0fff
#define FORWARDING       0x80
#define ADD_PATH_RECEIVE 1
#define ADD_PATH_SEND    2

/* ---- decoding ---------------------------------------------------------------------------- */

static void decode_restart(const uint8_t *data, size_t size, struct bgp_open *open)
{
	if (size < 2)
		return;
	open->restart = true;
	open->restarting = bgp_get16(data) & RESTART_STATE;
	open->restart_time = bgp_get16(data) & RESTART_TIME;
	for (size_t i = 2; i + 4 <= size; i += 4) {
		int family = bgp_family_of(bgp_get16(data + i), data[i + 2]);

		if (family >= 0)
			open->forwarding[family] = data[i + 3] & FORWARDING;
	}
}

static void decode_add_path(const uint8_t *data, size_t size, struct bgp_open *open)
{
	for (size_t i = 0; i + 4 <= size; i += 4) {
		int family = bgp_family_of(bgp_get16(data + i), data[i + 2]);

		/* RFC 7911 4: other values are ignored. */
		if (family < 0 || data[i + 3] < 1 || data[i + 3] > 3)
			continue;
		open->add_path_receive[family] = data[i + 3] & ADD_PATH_RECEIVE;
		open->add_path_send[family] = data[i + 3] & ADD_PATH_SEND;
	}
}

static void decode_next_hop(const uint8_t *data, size_t size, struct bgp_open *open)
{
	for (size_t i = 0; i + 6 <= size; i += 6)
		if (bgp_get16(data + i) == 1 && bgp_get16(data + i + 2) == BGP_SAFI_VPN &&
		    bgp_get16(data + i + 4) == 2)
			open->extended_next_hop = true;
}

/* One that is too short is as good as none (RFC 5492 says nothing of it). */
static void decode_capability(uint8_t code, const uint8_t *data, size_t size, struct bgp_open *open)
{
	int family;

	switch (code) {
	case CAPABILITY_MULTIPROTOCOL:
		family = size >= 4 ? bgp_family_of(bgp_get16(data), data[3]) : -1;
		if (family >= 0)
			open->families[family] = true;
		break;
	case CAPABILITY_REFRESH:
		open->refresh = true;
		break;
	case CAPABILITY_EXTENDED_NEXT_HOP:
		decode_next_hop(data, size, open);
		break;
	case CAPABILITY_RESTART:
		decode_restart(data, size, open);
		break;
	case CAPABILITY_AS4:
		if (size < 4)
			break;
		open->as4 = true;
		open->as = bgp_get32(data);
		break;
	case CAPABILITY_ADD_PATH:
		decode_add_path(data, size, open);
		break;
	default:
		break;
	}
}

static int decode_capabilities(const uint8_t *data, size_t size, struct bgp_open *open,
			       struct bgp_error *error)
{
	while (size) {
		if (size < 2 || size - 2 < data[1])
			return bgp_error_set(error, BGP_ERROR_OPEN, 0,
					     "OPEN with a capability that is cut off");
		decode_capability(data[0], data + 2, data[1], open);
		size -= 2u + data[1];
		data += 2 + data[1];
	}
	return 0;
}

static int decode_parameters(const uint8_t *data, size_t size, bool extended, struct bgp_open *open,
			     struct bgp_error *error)
{
	size_t header = extended ? 3 : 2;

	while (size) {
		size_t length;

		if (size < header)
			return bgp_error_set(error, BGP_ERROR_OPEN, 0,
					     "OPEN with a parameter that is cut off");
		length = extended ? bgp_get16(data + 1) : data[1];
		if (size - header < length)
			return bgp_error_set(error, BGP_ERROR_OPEN, 0,
					     "OPEN with a parameter that is cut off");
		if (data[0] != PARAMETER_CAPABILITY)
			return bgp_error_set(error, BGP_ERROR_OPEN, 4,
					     "OPEN with unknown parameter %u", data[0]);
		if (decode_capabilities(data + header, length, open, error))
			return -EPROTO;
		data += header + length;
		size -= header + length;
	}
	return 0;
}

int bgp_open_decode(const uint8_t *body, size_t size, struct bgp_open *open,
		    struct bgp_error *error)
{
	bool extended;
	size_t length;

	*open = (struct bgp_open){0};
	if (size < OPEN_SIZE)
		return bgp_error_set(error, BGP_ERROR_HEADER, 2, "OPEN with %zu bytes", size);
	if (body[0] != VERSION) {
		bgp_error_set(error, BGP_ERROR_OPEN, 1, "OPEN of BGP version %u", body[0]);
		bgp_put16(error->data, VERSION);
		error->size = 2;
		return -EPROTO;
	}
	open->as = bgp_get16(body + 1);
	open->hold_time = bgp_get16(body + 3);
	open->id = bgp_get32(body + 5);
	length = body[9];
	body += OPEN_SIZE;
	size -= OPEN_SIZE;
	extended = length == PARAMETER_EXTENDED && size >= 3 && body[0] == PARAMETER_EXTENDED;
	if (extended) {
		length = bgp_get16(body + 1);
		body += 3;
		size -= 3;
	}
	if (length != size)
		return bgp_error_set(error, BGP_ERROR_OPEN, 0,
				     "OPEN with %zu bytes of parameters that says %zu", size,
				     length);
	return decode_parameters(body, size, extended, open, error);
}

/* ---- encoding ---------------------------------------------------------------------------- */

static uint8_t *put_family(uint8_t *at, int family)
{
	at = bgp_put16(at, family == BGP_VPNV4 ? 1 : 2);
	*at++ = BGP_SAFI_VPN;
	return at;
}

static uint8_t *put_multiprotocol(uint8_t *at, int family)
{
	*at++ = CAPABILITY_MULTIPROTOCOL;
	*at++ = 4;
	at = bgp_put16(at, family == BGP_VPNV4 ? 1 : 2);
	*at++ = 0;
	*at++ = BGP_SAFI_VPN;
	return at;
}

static uint8_t *put_restart(uint8_t *at, const struct bgp_open *open)
{
	uint8_t *length;

	*at++ = CAPABILITY_RESTART;
	length = at++;
	at = bgp_put16(at, (uint16_t)((open->restarting ? RESTART_STATE : 0) |
				      (open->restart_time & RESTART_TIME)));
	for (int i = 0; i < BGP_FAMILIES; i++) {
		if (!open->families[i])
			continue;
		at = put_family(at, i);
		*at++ = open->forwarding[i] ? FORWARDING : 0;
	}
	*length = (uint8_t)(at - length - 1);
	return at;
}

static uint8_t *put_add_path(uint8_t *at, const struct bgp_open *open)
{
	uint8_t *length;

	*at++ = CAPABILITY_ADD_PATH;
	length = at++;
	for (int i = 0; i < BGP_FAMILIES; i++) {
		uint8_t mode = (open->add_path_receive[i] ? ADD_PATH_RECEIVE : 0) |
			       (open->add_path_send[i] ? ADD_PATH_SEND : 0);

		if (!mode)
			continue;
		at = put_family(at, i);
		*at++ = mode;
	}
	*length = (uint8_t)(at - length - 1);
	return at;
}

static uint8_t *put_capabilities(uint8_t *at, const struct bgp_open *open)
{
	for (int i = 0; i < BGP_FAMILIES; i++)
		if (open->families[i])
			at = put_multiprotocol(at, i);
	if (open->refresh) {
		*at++ = CAPABILITY_REFRESH;
		*at++ = 0;
	}
	if (open->extended_next_hop) {
		*at++ = CAPABILITY_EXTENDED_NEXT_HOP;
		*at++ = 6;
		at = bgp_put16(at, 1);
		at = bgp_put16(at, BGP_SAFI_VPN);
		at = bgp_put16(at, 2);
	}
	if (open->as4) {
		*at++ = CAPABILITY_AS4;
		*at++ = 4;
		at = bgp_put32(at, open->as);
	}
	if (open->restart)
		at = put_restart(at, open);
	if (open->add_path_receive[0] || open->add_path_receive[1] || open->add_path_send[0] ||
	    open->add_path_send[1])
		at = put_add_path(at, open);
	return at;
}

size_t bgp_open_encode(const struct bgp_open *open, uint8_t *message)
{
	uint8_t *at = message + BGP_HEADER_SIZE, *length;

	*at++ = VERSION;
	at = bgp_put16(at, open->as > UINT16_MAX ? BGP_AS_TRANS : (uint16_t)open->as);
	at = bgp_put16(at, open->hold_time);
	at = bgp_put32(at, open->id);
	length = at++;
	*at++ = PARAMETER_CAPABILITY;
	at = put_capabilities(at + 1, open);
	/* About 60 bytes: one parameter has room for them. */
	length[2] = (uint8_t)(at - length - 3);
	*length = (uint8_t)(at - length - 1);
	return bgp_header_encode(message, at, BGP_OPEN);
}
