/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/client_internal.h"
#include "control/loop.h"

/* A client takes its turn: so much is read, and so many packets of its dump are made, a round. */
#define ROUND_PACKETS 16
#define ROUND_BYTES   (512u << 10)
#define ROUND_DUMPS   16

/* Answers: beyond this its requests wait. Streams: beyond this they are lost. */
#define ANSWERS_MAX     (256u << 10)
#define STREAM_MAX      (512u << 10)

#define DUMP_BYTES_MIN  2048
#define DUMP_HEADER_MAX 64           /* bytes: more than any family's fixed header */
#define DUMP_ROOM       (128u << 10) /* the largest single message of a dump */

struct dump {
	struct pw_dump dump;
	struct pw_request request;
	pw_dump_fn fn;
	size_t size;
	uint32_t message[]; /* the request's copy, aligned */
};

struct pw_client_list pw_clients = LIST_HEAD_INITIALIZER(pw_clients);
static TAILQ_HEAD(, pw_client) active = TAILQ_HEAD_INITIALIZER(active);
static unsigned int client_count;

static char *dump_buffer; /* DUMP_ROOM */

void pw_client_activate(struct pw_client *client)
{
	if (client->active)
		return;
	client->active = true;
	TAILQ_INSERT_TAIL(&active, client, next_active);
}

void pw_client_break(struct pw_client *client)
{
	client->broken = true;
	pw_client_activate(client);
	pw_loop_again(0);
}

/* ---- output ------------------------------------------------------------------------------ */

void pw_client_queue(struct pw_client *client, const void *data, size_t size)
{
	if (client->broken || client->hangup)
		return;
	pw_client_activate(client);
	if (output_put(&client->output, data, size))
		pw_client_break(client);
}

bool pw_client_stream(struct pw_client *client, const struct nlmsghdr *nlh)
{
	if (client->broken || client->hangup || output_bytes(&client->output) > STREAM_MAX)
		return false;
	pw_client_queue(client, nlh, nlh->nlmsg_len);
	pw_loop_again(0);
	return true;
}

size_t pw_client_queued(const struct pw_client *client)
{
	return output_bytes(&client->output);
}

/* ---- dumps ------------------------------------------------------------------------------- */

int pw_client_dump(struct pw_client *client, const struct pw_request *request, pw_dump_fn fn)
{
	size_t size = request->nlh->nlmsg_len;
	struct dump *dump;

	if (client->hangup)
		return 0;
	/* What a request leaves out of its fixed header reads as zero. */
	dump = calloc(1, sizeof(*dump) + size + DUMP_HEADER_MAX);
	if (!dump)
		return -ENOMEM;
	memcpy(dump->message, request->nlh, size);
	dump->size = size;
	dump->request = *request;
	dump->request.nlh = (const struct nlmsghdr *)dump->message;
	dump->dump.request = &dump->request;
	dump->dump.nlh = dump->request.nlh;
	dump->fn = fn;
	client->dump = dump;
	pw_client_activate(client);
	return 0;
}

static void dump_end(struct pw_client *client)
{
	if (client->dump && pw_client_secret(client))
		explicit_bzero(client->dump->message, client->dump->size);
	free(client->dump);
	client->dump = NULL;
}

/** Makes one packet of the dump, with its NLMSG_DONE when that fits. */
static void dump_continue(struct pw_client *client)
{
	struct dump *dump = client->dump;
	uint32_t last[PW_ERROR_MAX / sizeof(uint32_t)];
	size_t size = 0;
	int ret;

	dump->dump.buffer = dump_buffer;
	dump->dump.size = client->dump_bytes;
	dump->dump.room = DUMP_ROOM;
	dump->dump.used = 0;
	ret = dump->fn(&dump->dump);
	if (ret > 0 && dump->dump.used == 0)
		/* Come again with an empty buffer would be for ever. */
		ret = pw_refuse(&dump->request, NULL, -EMSGSIZE, "object too large for a message");
	if (ret <= 0) {
		size = pw_request_done(&dump->request, ret, last);
		if (dump->dump.used && dump->dump.used + size <= client->dump_bytes) {
			memcpy(dump_buffer + dump->dump.used, last, size);
			dump->dump.used += size;
			size = 0;
		}
	}
	if (dump->dump.used)
		pw_client_queue(client, dump_buffer, dump->dump.used);
	if (pw_client_secret(client))
		explicit_bzero(dump_buffer, DUMP_ROOM);
	if (ret > 0)
		return;
	if (size)
		pw_client_queue(client, last, size);
	dump_end(client);
}

/* ---- input ------------------------------------------------------------------------------- */

bool pw_client_stalled(const struct pw_client *client)
{
	return client->dump || output_bytes(&client->output) > ANSWERS_MAX;
}

static void client_event(uint32_t events, void *context)
{
	struct pw_client *client = context;
	size_t bytes = 0, size;

	pw_client_activate(client);
	if (events & (EPOLLHUP | EPOLLERR)) {
		/* What it asked for before it left is still done, as a kernel would have. */
		client->hangup = true;
		output_reset(&client->output);
		dump_end(client);
	}
	for (unsigned int i = 0; i < ROUND_PACKETS && bytes < ROUND_BYTES; i++) {
		if (client->input || pw_client_stalled(client) || client->broken)
			break;
		size = pw_client_receive(client);
		if (!size)
			break;
		bytes += size;
	}
}

/* ---- the client's life ------------------------------------------------------------------- */

static void client_free(struct pw_client *client)
{
	if (client->on_close)
		client->on_close(client->on_close_context);
	pw_client_groups_leave(client);
	if (client->active)
		TAILQ_REMOVE(&active, client, next_active);
	LIST_REMOVE(client, next);
	client_count--;
	pw_watcher_stop(client->watcher);
	close(client->fd);
	output_reset(&client->output);
	pw_client_input_free(client);
	dump_end(client);
	free(client);
}

void pw_client_on_close(struct pw_client *client, void (*fn)(void *context), void *context)
{
	client->on_close = fn;
	client->on_close_context = context;
}

struct pw_client *pw_client_add(int fd)
{
	struct pw_client *client = calloc(1, sizeof(*client));
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (!client)
		return NULL;
	client->fd = fd;
	client->root = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
	client->protocol = NETLINK_ROUTE;
	client->dump_bytes = PW_HELLO_DUMP_BYTES;
	client->watcher = pw_loop_watch(fd, EPOLLIN, client_event, client);
	if (!client->watcher) {
		free(client);
		return NULL;
	}
	LIST_INSERT_HEAD(&pw_clients, client, next);
	client_count++;
	return client;
}

unsigned int pw_client_count(void)
{
	return client_count;
}

uint32_t pw_client_protocol(const struct pw_client *client)
{
	return client->protocol;
}

bool pw_client_root(const struct pw_client *client)
{
	return client->root;
}

/** One client's work after a round. True when there is more that need not wait for the peer. */
static bool client_flush(struct pw_client *client)
{
	bool writable = true, more;

	for (unsigned int i = 0; i < ROUND_DUMPS; i++) {
		int ret = output_send(&client->output, client->fd);

		if (ret < 0) {
			client->broken = true;
			return false;
		}
		writable = ret > 0;
		pw_client_overrun_queue(client);
		if (!client->dump || !writable)
			break;
		dump_continue(client);
	}
	if (!client->dump && client->input)
		pw_client_input_continue(client);
	more = writable && (client->dump || client->input || output_bytes(&client->output));
	pw_watcher_events(client->watcher,
			  (pw_client_stalled(client) || client->input ? 0 : EPOLLIN) |
				  (writable ? 0 : EPOLLOUT));
	return more;
}

void pw_client_flush_all(void *context)
{
	TAILQ_HEAD(, pw_client) turn = TAILQ_HEAD_INITIALIZER(turn);
	struct pw_client *client;
	bool more = false;

	TAILQ_CONCAT(&turn, &active, next_active);
	while ((client = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, client, next_active);
		client->active = false;
		if (!client->broken && client_flush(client)) {
			pw_client_activate(client);
			more = true;
		}
		if (client->broken)
			client_free(client);
	}
	/* Answers to input that was taken here wait for the round that makes it true. */
	if (more)
		pw_loop_again(0);
}

uint32_t pw_client_hello(struct pw_client *client, uint32_t protocol, uint32_t dump_bytes)
{
	if (dump_bytes == 0 || dump_bytes > PW_HELLO_DUMP_BYTES)
		dump_bytes = PW_HELLO_DUMP_BYTES;
	if (dump_bytes < DUMP_BYTES_MIN)
		dump_bytes = DUMP_BYTES_MIN;
	if (protocol != client->protocol)
		pw_client_groups_leave(client); /* they were the other's */
	client->protocol = protocol;
	client->output.secret = pw_client_secret(client);
	client->dump_bytes = dump_bytes;
	return dump_bytes;
}

int pw_client_init(void)
{
	dump_buffer = malloc(DUMP_ROOM);
	if (!dump_buffer || pw_client_input_init()) {
		pw_client_fini();
		return -ENOMEM;
	}
	pw_client_register();
	return 0;
}

void pw_client_fini(void)
{
	struct pw_client *client;

	while ((client = LIST_FIRST(&pw_clients)))
		client_free(client);
	pw_client_input_fini();
	free(dump_buffer);
	dump_buffer = NULL;
}
