/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/request.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/client.h"
#include "lib/log.h"
#include "lib/pewter_netlink.h"

#define TYPES     0x800
#define OWN_TYPES 0x400

struct handler {
	struct handler *next;
	int family;
	pw_request_fn handle;
	pw_dump_fn dump;
};

enum protocol_slot { PROTOCOL_ROUTE, PROTOCOL_XFRM, PROTOCOLS };
static struct handler *handlers[PROTOCOLS][TYPES];

static pw_ahead_fn ahead;

/** The request whose changes are being announced, for NLM_F_ECHO. */
static struct pw_request *current;

static const char *protocol_name(uint32_t protocol)
{
	return protocol == NETLINK_XFRM ? "XFRM " : "";
}

static struct handler **handler_list(uint32_t protocol, uint16_t type)
{
	bool xfrm = protocol == NETLINK_XFRM && type < OWN_TYPES;

	return &handlers[xfrm ? PROTOCOL_XFRM : PROTOCOL_ROUTE][type];
}

void pw_request_register_protocol(uint32_t protocol, uint16_t type, int family,
				  pw_request_fn handle, pw_dump_fn dump)
{
	struct handler **list, *handler;

	if (type >= TYPES || type < NLMSG_MIN_TYPE)
		abort();
	list = handler_list(protocol, type);
	for (handler = *list; handler; handler = handler->next)
		if (handler->family == family)
			break;
	if (!handler) {
		handler = calloc(1, sizeof(*handler));
		if (!handler)
			abort(); /* start-up */
		handler->next = *list;
		*list = handler;
	}
	*handler = (struct handler){handler->next, family, handle, dump};
}

void pw_request_register(uint16_t type, int family, pw_request_fn handle, pw_dump_fn dump)
{
	pw_request_register_protocol(NETLINK_ROUTE, type, family, handle, dump);
}

int pw_refuse(struct pw_request *request, const struct nlattr *attribute, int error,
	      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(request->text, sizeof(request->text), format, args);
	va_end(args);
	request->error = error;
	request->error_offset =
		attribute ? (uint32_t)((const char *)attribute - (const char *)request->nlh) : 0;
	return error;
}

/** NLMSGERR_ATTR_*: the text and where the bad attribute is. */
static void put_extended_ack(struct nlmsghdr *nlh, const struct pw_request *request)
{
	if (request->text[0])
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, request->text);
	if (request->error_offset)
		mnl_attr_put_u32(nlh, NLMSGERR_ATTR_OFFS, request->error_offset);
	if (request->text[0] || request->error_offset)
		nlh->nlmsg_flags |= NLM_F_ACK_TLVS;
}

static_assert(PW_ERROR_MAX >= PW_ERROR_ECHO_MAX + sizeof(struct nlmsghdr) +
				      sizeof(struct nlmsgerr) + 2 * sizeof(struct nlattr) +
				      sizeof(((struct pw_request *)0)->text) + sizeof(uint32_t),
	      "header, error, text and offset");

size_t pw_request_error(const struct pw_request *request, int error, void *buffer)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nlmsgerr *answer = mnl_nlmsg_put_extra_header(nlh, sizeof(*answer));
	size_t payload = mnl_nlmsg_get_payload_len(request->nlh);

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = request->nlh->nlmsg_seq;
	answer->error = error;
	answer->msg = *request->nlh;
	/*
	 * As the kernel does: an error carries the request, which its offset points into. Not one
	 * that may hold keys.
	 */
	if (error && request->protocol != NETLINK_XFRM &&
	    sizeof(*nlh) + payload <= PW_ERROR_ECHO_MAX)
		memcpy(mnl_nlmsg_put_extra_header(nlh, payload), request->nlh + 1, payload);
	else
		nlh->nlmsg_flags = NLM_F_CAPPED;
	if (error)
		put_extended_ack(nlh, request);
	return nlh->nlmsg_len;
}

size_t pw_request_done(const struct pw_request *request, int error, void *buffer)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	int *answer = mnl_nlmsg_put_extra_header(nlh, sizeof(*answer));

	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = request->nlh->nlmsg_seq;
	*answer = error;
	if (error)
		put_extended_ack(nlh, request);
	return nlh->nlmsg_len;
}

static const struct handler *handler_find(uint32_t protocol, uint16_t type, int family)
{
	const struct handler *handler, *any = NULL;

	if (type >= TYPES)
		return NULL;
	for (handler = *handler_list(protocol, type); handler; handler = handler->next) {
		if (handler->family == family)
			return handler;
		if (handler->family == -1)
			any = handler;
	}
	return any;
}

/** The family is the first byte of rtnetlink's payloads; own messages need not have one. */
static const struct handler *request_handler(struct pw_request *request, int *family)
{
	const struct nlmsghdr *nlh = request->nlh;

	*family = -1;
	if (mnl_nlmsg_get_payload_len(nlh) > 0)
		*family = *(const uint8_t *)mnl_nlmsg_get_payload(nlh);
	return handler_find(request->protocol, nlh->nlmsg_type, *family);
}

static int refuse_unhandled(struct pw_request *request, int family)
{
	uint16_t type = request->nlh->nlmsg_type;
	const char *protocol = protocol_name(request->protocol);

	if (type < TYPES && *handler_list(request->protocol, type))
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "%smessage type %u is not supported for address family %d",
				 protocol, type, family);
	return pw_refuse(request, NULL, -EOPNOTSUPP, "%smessage type %u is not supported", protocol,
			 type);
}

/** Handles the request or begins its dump. *@p dumps: answers come later, without an ack. */
static int request_run(struct pw_request *request, bool *dumps)
{
	const struct nlmsghdr *nlh = request->nlh;
	struct pw_request *outer = current;
	const struct handler *handler;
	int family, ret;

	*dumps = false;
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "message type %u is no request",
				 nlh->nlmsg_type);
	handler = request_handler(request, &family);
	if (!handler)
		return refuse_unhandled(request, family);
	if (handler->dump && nlh->nlmsg_flags & NLM_F_DUMP) {
		if (!request->client)
			return pw_refuse(request, NULL, -EOPNOTSUPP, "a feed cannot ask for dumps");
		*dumps = true;
		ret = pw_client_dump(request->client, request, handler->dump);
		return ret ? pw_refuse(request, NULL, ret, "out of memory") : 0;
	}
	if (!handler->handle)
		return pw_refuse(request, NULL, -EOPNOTSUPP,
				 "%smessage type %u is only supported as a dump",
				 protocol_name(request->protocol), nlh->nlmsg_type);
	current = request;
	ret = handler->handle(request);
	current = outer;
	return ret;
}

void pw_request_register_ahead(pw_ahead_fn fn)
{
	ahead = fn;
}

size_t pw_request_ahead(const void *data, size_t size)
{
	const struct nlmsghdr *messages[PW_REQUESTS_AHEAD];
	unsigned int count = 0;
	size_t used = 0;

	while (count < PW_REQUESTS_AHEAD && used + sizeof(struct nlmsghdr) <= size) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)((const char *)data + used);

		if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > size - used)
			return size; /* framing is wrong from here on */
		messages[count++] = nlh;
		used += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	/* One message is as well off without. */
	if (ahead && count > 1)
		ahead(messages, count);
	return used;
}

void pw_request_dispatch(struct pw_client *client, const struct nlmsghdr *nlh)
{
	struct pw_request request = {
		.client = client,
		.nlh = nlh,
		.protocol = pw_client_protocol(client),
	};
	uint32_t buffer[PW_ERROR_MAX / sizeof(uint32_t)];
	bool dumps = false;
	int ret;

	if (nlh->nlmsg_flags & NLM_F_REQUEST)
		ret = request_run(&request, &dumps);
	else
		ret = pw_refuse(&request, NULL, -EINVAL, "message without NLM_F_REQUEST");
	if (ret)
		pw_debug("request type %u refused: %s%s%s", nlh->nlmsg_type, strerror(-ret),
			 request.text[0] ? ": " : "", request.text);
	if (ret || (!dumps && nlh->nlmsg_flags & NLM_F_ACK))
		pw_client_queue(client, buffer, pw_request_error(&request, ret, buffer));
}

int pw_request_internal(const struct nlmsghdr *nlh, char *error, size_t size)
{
	return pw_request_feed(NULL, nlh, error, size);
}

static int run_alone(struct pw_request *request, char *error, size_t size)
{
	bool dumps;
	int ret = request_run(request, &dumps);

	if (ret && size)
		snprintf(error, size, "%s", request->text[0] ? request->text : strerror(-ret));
	return ret;
}

int pw_request_internal_protocol(uint32_t protocol, const struct nlmsghdr *nlh, char *error,
				 size_t size)
{
	struct pw_request request = {.nlh = nlh, .protocol = protocol};

	return run_alone(&request, error, size);
}

int pw_request_feed(const struct pw_feed *feed, const struct nlmsghdr *nlh, char *error,
		    size_t size)
{
	struct pw_request request = {.feed = feed, .nlh = nlh, .protocol = NETLINK_ROUTE};

	return run_alone(&request, error, size);
}

int pw_reply(struct pw_request *request, struct nlmsghdr *nlh)
{
	nlh->nlmsg_seq = request->nlh->nlmsg_seq;
	nlh->nlmsg_pid = 0;
	if (request->client)
		pw_client_queue(request->client, nlh, nlh->nlmsg_len);
	return 0;
}

/** NLM_F_ECHO: who changed it is told too, subscribed or not. For pw_notify(). */
struct pw_client *pw_request_echo(uint32_t *seq)
{
	if (!current || !current->client || !(current->nlh->nlmsg_flags & NLM_F_ECHO))
		return NULL;
	*seq = current->nlh->nlmsg_seq;
	return current->client;
}

struct nlmsghdr *pw_dump_message(struct pw_dump *dump, uint16_t type, size_t room)
{
	struct nlmsghdr *nlh;

	/* dump->size is what the client reads at a time; a single larger message goes alone. */
	room = NLMSG_ALIGN(room < sizeof(*nlh) ? sizeof(*nlh) : room);
	if (dump->used ? dump->used + room > dump->size : room > dump->room)
		return NULL;
	nlh = mnl_nlmsg_put_header(dump->buffer + dump->used);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = dump->nlh->nlmsg_seq;
	return nlh;
}

void pw_dump_commit(struct pw_dump *dump, struct nlmsghdr *nlh)
{
	dump->used += NLMSG_ALIGN(nlh->nlmsg_len);
}
