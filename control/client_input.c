/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client sends: packets of messages, some of which have to wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "control/client_internal.h"

static uint8_t *receive_buffer; /* PW_NETLINK_PACKET_MAX */

static void refuse_framing(struct pw_client *client, const uint8_t *data, size_t size,
			   const char *text)
{
	struct nlmsghdr header = {0};
	struct pw_request request = {.client = client, .nlh = &header};
	uint32_t buffer[PW_ERROR_MAX / sizeof(uint32_t)];

	memcpy(&header, data, size < sizeof(header) ? size : sizeof(header));
	header.nlmsg_len = sizeof(header); /* all that is sure to be there, and sent back */
	pw_refuse(&request, NULL, -EINVAL, "%s", text);
	pw_client_queue(client, buffer, pw_request_error(&request, -EINVAL, buffer));
}

/** iproute2 sends dump requests as whole structs: what follows the message is zero. */
static bool packet_padding(const uint8_t *data, size_t size)
{
	static const uint8_t zero[sizeof(struct nlmsghdr)];

	return memcmp(data, zero, size < sizeof(zero) ? size : sizeof(zero)) == 0;
}

/**
 * Takes messages from @p used on until the packet ends or the client has to wait. Returns up to
 * where the packet is done.
 */
static size_t packet_take(struct pw_client *client, const uint8_t *data, size_t size, size_t used)
{
	size_t seen = used;

	while (used < size && !pw_client_stalled(client) && !client->broken) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)(data + used);
		size_t rest = size - used;

		if (used && packet_padding(data + used, rest))
			return size;
		if (rest < sizeof(*nlh)) {
			refuse_framing(client, data + used, rest,
				       "message shorter than its header");
			return size;
		}
		if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > rest) {
			refuse_framing(client, data + used, rest,
				       nlh->nlmsg_len > rest
					       ? "message longer than its packet"
					       : "message length shorter than a header");
			return size;
		}
		if (used >= seen && client->protocol == NETLINK_ROUTE)
			seen = used + pw_request_ahead(data + used, rest);
		pw_request_dispatch(client, nlh);
		used += NLMSG_ALIGN(nlh->nlmsg_len) < rest ? NLMSG_ALIGN(nlh->nlmsg_len) : rest;
	}
	return client->broken ? size : used;
}

/** Keeps a packet, and how far it was taken, for when the client is no longer stalled. */
static void input_keep(struct pw_client *client, const uint8_t *data, size_t size, size_t used)
{
	client->input = malloc(size);
	if (!client->input) {
		pw_client_break(client);
		return;
	}
	memcpy(client->input, data, size);
	client->input_size = size;
	client->input_used = used;
}

void pw_client_input_free(struct pw_client *client)
{
	if (client->input && pw_client_secret(client))
		explicit_bzero(client->input, client->input_size);
	free(client->input);
	client->input = NULL;
}

void pw_client_input_continue(struct pw_client *client)
{
	if (!client->input)
		return;
	client->input_used =
		packet_take(client, client->input, client->input_size, client->input_used);
	if (client->input_used == client->input_size)
		pw_client_input_free(client);
}

size_t pw_client_receive(struct pw_client *client)
{
	ssize_t size =
		recv(client->fd, receive_buffer, PW_NETLINK_PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
	bool secret = pw_client_secret(client);
	size_t used;

	if (size < 0) {
		if (errno != EAGAIN && errno != EINTR)
			pw_client_break(client);
		return 0;
	}
	if (size == 0) { /* a SEQPACKET's end of file; an empty packet reads the same */
		pw_client_break(client);
		return 0;
	}
	if ((size_t)size > PW_NETLINK_PACKET_MAX) {
		refuse_framing(client, receive_buffer, sizeof(struct nlmsghdr),
			       "packet longer than the daemon takes");
		explicit_bzero(receive_buffer, PW_NETLINK_PACKET_MAX);
		return (size_t)size;
	}
	used = packet_take(client, receive_buffer, (size_t)size, 0);
	if (used < (size_t)size)
		input_keep(client, receive_buffer, (size_t)size, used);
	/* The client may have said in this very packet what it speaks. */
	if (secret || pw_client_secret(client))
		explicit_bzero(receive_buffer, (size_t)size);
	return (size_t)size;
}

int pw_client_input_init(void)
{
	receive_buffer = malloc(PW_NETLINK_PACKET_MAX);
	return receive_buffer ? 0 : -ENOMEM;
}

void pw_client_input_fini(void)
{
	free(receive_buffer);
	receive_buffer = NULL;
}
