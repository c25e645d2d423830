/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers, NOTIFICATION, KEEPALIVE, ROUTE-REFRESH. */
#include "control/bgp/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int bgp_error_set(struct bgp_error *error, uint8_t code, uint8_t subcode, const char *format, ...)
{
	va_list args;

	*error = (struct bgp_error){.code = code, .subcode = subcode};
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -EPROTO;
}

const char *bgp_error_name(uint8_t code, uint8_t subcode)
{
	static const char *const codes[] = {
		[BGP_ERROR_HEADER] = "message header error",
		[BGP_ERROR_OPEN] = "OPEN message error",
		[BGP_ERROR_UPDATE] = "UPDATE message error",
		[BGP_ERROR_HOLD_TIMER] = "hold timer expired",
		[BGP_ERROR_STATE] = "finite state machine error",
		[BGP_ERROR_CEASE] = "cease",
		[BGP_ERROR_REFRESH] = "ROUTE-REFRESH message error",
	};
	static const char *const cease[] = {
		[1] = "cease: maximum number of prefixes reached",
		[2] = "cease: administrative shutdown",
		[3] = "cease: peer de-configured",
		[4] = "cease: administrative reset",
		[5] = "cease: connection rejected",
		[6] = "cease: other configuration change",
		[7] = "cease: connection collision resolution",
		[8] = "cease: out of resources",
		[9] = "cease: hard reset",
	};

	if (code == BGP_ERROR_CEASE && subcode < sizeof(cease) / sizeof(*cease) && cease[subcode])
		return cease[subcode];
	if (code < sizeof(codes) / sizeof(*codes) && codes[code])
		return codes[code];
	return "unknown error";
}

int bgp_family_of(uint16_t afi, uint8_t safi)
{
	if (safi != BGP_SAFI_VPN || afi < 1 || afi > 2)
		return -1;
	return afi == 1 ? BGP_VPNV4 : BGP_VPNV6;
}

int bgp_header_decode(const uint8_t *header, size_t *size, uint8_t *type, struct bgp_error *error)
{
	static const uint8_t least[] = {
		[BGP_OPEN] = 29,      [BGP_UPDATE] = 23,        [BGP_NOTIFICATION] = 21,
		[BGP_KEEPALIVE] = 19, [BGP_ROUTE_REFRESH] = 23,
	};

	for (unsigned int i = 0; i < 16; i++)
		if (header[i] != 0xff)
			return bgp_error_set(error, BGP_ERROR_HEADER, 1,
					     "a message does not begin with the marker");
	*size = bgp_get16(header + 16);
	*type = header[18];
	if (*type < BGP_OPEN || *type > BGP_ROUTE_REFRESH) {
		bgp_error_set(error, BGP_ERROR_HEADER, 3, "message of unknown type %u", *type);
		error->data[0] = *type;
		error->size = 1;
		return -EPROTO;
	}
	if (*size < least[*type] || *size > BGP_MESSAGE_MAX ||
	    (*type == BGP_KEEPALIVE && *size != BGP_HEADER_SIZE)) {
		bgp_error_set(error, BGP_ERROR_HEADER, 2, "message of type %u with %zu bytes",
			      *type, *size);
		memcpy(error->data, header + 16, 2);
		error->size = 2;
		return -EPROTO;
	}
	return 0;
}

size_t bgp_header_encode(uint8_t *message, const uint8_t *end, uint8_t type)
{
	size_t size = (size_t)(end - message);

	memset(message, 0xff, 16);
	bgp_put16(message + 16, (uint16_t)size);
	message[18] = type;
	return size;
}

size_t bgp_notification_encode(const struct bgp_error *error, uint8_t *message)
{
	uint8_t *at = message + BGP_HEADER_SIZE;

	*at++ = error->code;
	*at++ = error->subcode;
	memcpy(at, error->data, error->size);
	return bgp_header_encode(message, at + error->size, BGP_NOTIFICATION);
}

void bgp_notification_decode(const uint8_t *body, size_t size, struct bgp_error *error)
{
	*error = (struct bgp_error){.code = body[0], .subcode = body[1]};
	size = size - 2 < sizeof(error->data) ? size - 2 : sizeof(error->data);
	memcpy(error->data, body + 2, size);
	error->size = (uint8_t)size;
	snprintf(error->text, sizeof(error->text), "%s (%u/%u)",
		 bgp_error_name(error->code, error->subcode), error->code, error->subcode);
}

size_t bgp_keepalive_encode(uint8_t *message)
{
	return bgp_header_encode(message, message + BGP_HEADER_SIZE, BGP_KEEPALIVE);
}

size_t bgp_refresh_encode(enum bgp_family family, uint8_t *message)
{
	uint8_t *at = bgp_put16(message + BGP_HEADER_SIZE, family == BGP_VPNV4 ? 1 : 2);

	*at++ = 0;
	*at++ = BGP_SAFI_VPN;
	return bgp_header_encode(message, at, BGP_ROUTE_REFRESH);
}

bool bgp_refresh_decode(const uint8_t *body, size_t size, enum bgp_family *family)
{
	int found;

	/* With more it carries outbound route filters, with a subtype it is RFC 7313's. */
	if (size != 4 || body[2])
		return false;
	found = bgp_family_of(bgp_get16(body), body[3]);
	if (found < 0)
		return false;
	*family = (enum bgp_family)found;
	return true;
}
