/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

static const char *where;

void say_where(const char *text)
{
	where = text;
}

void say(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "pewterctl: %s", where != NULL ? where : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- connection -------------------------------------------------------------------------- */

static int client_open(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error;

	if (client->fd >= 0)
		return 0;
	if (strlen(client->path) >= sizeof(address.sun_path)) {
		say("socket path is longer than %zu bytes: %s", sizeof(address.sun_path) - 1,
		    client->path);
		return -ENAMETOOLONG;
	}
	strcpy(address.sun_path, client->path);
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (client->fd >= 0 &&
	    connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	error = errno;
	say("cannot connect to %s: %s%s", client->path, strerror(error),
	    error == ENOENT || error == ECONNREFUSED ? " (is pewterd running?)" : "");
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	return -error;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	free(client->buffer);
	client->buffer = NULL;
	client->size = 0;
}

struct nlmsghdr *client_message(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	return nlh;
}

/** Reads one packet, of whatever size. Its size, 0 for the end, or negative. */
static ssize_t receive(struct client *client)
{
	ssize_t size = recv(client->fd, NULL, 0, MSG_PEEK | MSG_TRUNC);

	if (size > 0 && (size_t)size > client->size) {
		uint8_t *larger = realloc(client->buffer, (size_t)size);

		if (larger == NULL)
			return -ENOMEM;
		client->buffer = larger;
		client->size = (size_t)size;
	}
	if (size > 0)
		size = recv(client->fd, client->buffer, client->size, 0);
	return size < 0 ? -errno : size;
}

static int read_packet(struct client *client, size_t *size)
{
	ssize_t ret = receive(client);

	if (ret > 0) {
		*size = (size_t)ret;
		return 0;
	}
	if (ret == -EINTR)
		return CLIENT_TIMEOUT;
	if (ret == 0 || ret == -ECONNRESET) {
		say("pewterd closed the connection");
		return -ECONNRESET;
	}
	say("cannot read from pewterd: %s", strerror((int)-ret));
	return (int)ret;
}

/** The extended acknowledgement's words behind @p fixed bytes; NULL without. */
static const char *message_text(const struct nlmsghdr *nlh, size_t fixed)
{
	const struct nlattr *attribute;
	const char *text = NULL;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	mnl_attr_for_each(attribute, nlh, (unsigned int)fixed)
	{
		if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
			text = attribute_string(attribute);
	}
	return text;
}

static int say_error(const struct nlmsghdr *nlh, size_t fixed, int error)
{
	const char *text = message_text(nlh, fixed);

	if (text != NULL)
		say("%s", text);
	else
		say("pewterd refused: %s", strerror(-error));
	return error;
}

/** What an NLMSG_ERROR says; 0 for an acknowledgement. */
static int message_error(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	size_t fixed = sizeof(*answer);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*answer)) {
		say("pewterd sent an ill-formed answer");
		return -EPROTO;
	}
	/* What was refused stands between the error and its words, unless it was long. */
	if (answer->error != 0 && !(nlh->nlmsg_flags & NLM_F_CAPPED))
		fixed += MNL_ALIGN(mnl_nlmsg_get_payload_len(&answer->msg));
	return answer->error == 0 ? 0 : say_error(nlh, fixed, answer->error);
}

/** A connection that was refused was closed behind words that are still to be read. */
static int send_failed(struct client *client, int error)
{
	const struct nlmsghdr *nlh;
	ssize_t size = receive(client);

	nlh = (const struct nlmsghdr *)client->buffer;
	if (size > 0 && mnl_nlmsg_ok(nlh, (int)size) && nlh->nlmsg_type == NLMSG_ERROR &&
	    message_error(nlh) < 0)
		return -error;
	say("cannot send to pewterd: %s", strerror(error));
	return -error;
}

int client_send(struct client *client, struct nlmsghdr *nlh)
{
	int ret = client_open(client);

	if (ret < 0)
		return ret;
	nlh->nlmsg_seq = ++client->seq;
	if (send(client->fd, nlh, nlh->nlmsg_len, MSG_NOSIGNAL) >= 0)
		return 0;
	return send_failed(client, errno);
}

static int done_error(const struct nlmsghdr *nlh)
{
	int error = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
	return error < 0 ? say_error(nlh, sizeof(error), error) : CLIENT_DONE;
}

/**
 * Goes through the messages of the packet that answer the last request. CLIENT_DONE at an
 * acknowledgement (@p acknowledged) or NLMSG_DONE.
 */
static int handle(struct client *client, size_t size, client_fn fn, void *context,
		  bool acknowledged)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)client->buffer;
	int left = (int)size, ret;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		bool refusal = nlh->nlmsg_type == NLMSG_ERROR && nlh->nlmsg_seq == 0;

		if (nlh->nlmsg_seq != client->seq && !refusal)
			continue;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return done_error(nlh);
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			ret = message_error(nlh);
			if (ret < 0 || acknowledged)
				return ret < 0 ? ret : CLIENT_DONE;
			continue;
		}
		ret = fn != NULL ? fn(nlh, context) : 0;
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int exchange(struct client *client, struct nlmsghdr *nlh, client_fn fn, void *context)
{
	size_t size;
	int ret = client_send(client, nlh);

	if (ret < 0)
		return ret;
	do {
		ret = read_packet(client, &size);
		if (ret == 0)
			ret = handle(client, size, fn, context, true);
	} while (ret == 0 || ret == CLIENT_TIMEOUT);
	return ret < 0 ? ret : 0;
}

int client_request(struct client *client, struct nlmsghdr *nlh)
{
	nlh->nlmsg_flags |= NLM_F_ACK;
	return exchange(client, nlh, NULL, NULL);
}

int client_dump(struct client *client, uint16_t type, client_fn fn, void *context)
{
	uint32_t buffer[16];

	return exchange(client, client_message(buffer, type, NLM_F_DUMP), fn, context);
}

int client_get(struct client *client, uint16_t type, client_fn fn, void *context)
{
	uint32_t buffer[16];

	return exchange(client, client_message(buffer, type, NLM_F_ACK), fn, context);
}

int client_stream(struct client *client, int timeout_ms, client_fn fn, void *context)
{
	struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
	int ready = poll(&poll_fd, 1, timeout_ms);
	size_t size;
	int ret;

	if (ready == 0 || (ready < 0 && errno == EINTR))
		return CLIENT_TIMEOUT;
	ret = read_packet(client, &size);
	return ret != 0 ? ret : handle(client, size, fn, context, false);
}

/* ---- attributes -------------------------------------------------------------------------- */

static void attribute_note(const struct nlattr *attribute, const struct nlattr **table,
			   uint16_t max)
{
	if (mnl_attr_get_type(attribute) <= max)
		table[mnl_attr_get_type(attribute)] = attribute;
}

void attributes_parse(const struct nlmsghdr *nlh, const struct nlattr **table, uint16_t max)
{
	const struct nlattr *attribute;

	memset(table, 0, (max + 1u) * sizeof(*table));
	mnl_attr_for_each(attribute, nlh, sizeof(struct rtgenmsg))
	{
		attribute_note(attribute, table, max);
	}
}

void attributes_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max)
{
	const struct nlattr *attribute;

	memset(table, 0, (max + 1u) * sizeof(*table));
	if (nest == NULL)
		return;
	mnl_attr_for_each_nested(attribute, nest)
	{
		attribute_note(attribute, table, max);
	}
}

uint64_t attribute_number(const struct nlattr *attribute)
{
	if (attribute == NULL)
		return 0;
	switch (mnl_attr_get_payload_len(attribute)) {
	case 1:
		return mnl_attr_get_u8(attribute);
	case 2:
		return mnl_attr_get_u16(attribute);
	case 4:
		return mnl_attr_get_u32(attribute);
	case 8:
		return mnl_attr_get_u64(attribute);
	default:
		return 0;
	}
}

const char *attribute_string(const struct nlattr *attribute)
{
	const char *text = attribute != NULL ? mnl_attr_get_payload(attribute) : NULL;
	uint16_t size = attribute != NULL ? mnl_attr_get_payload_len(attribute) : 0;

	return size > 0 && text[size - 1] == '\0' ? text : NULL;
}

const char *attribute_address(const struct nlattr *attribute, char text[ADDRESS_TEXT])
{
	const uint8_t *bytes = attribute != NULL ? mnl_attr_get_payload(attribute) : NULL;

	switch (attribute != NULL ? mnl_attr_get_payload_len(attribute) : 0) {
	case 4:
		return inet_ntop(AF_INET, bytes, text, ADDRESS_TEXT);
	case 6:
		snprintf(text, ADDRESS_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
			 bytes[2], bytes[3], bytes[4], bytes[5]);
		return text;
	case 16:
		return inet_ntop(AF_INET6, bytes, text, ADDRESS_TEXT);
	default:
		return "?";
	}
}
