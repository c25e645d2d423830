/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/loop.h"
#include "control/output.h"
#include "control/xfrm.h"
#include "lib/log.h"
#include "lib/pewter_netlink.h"

/* A client takes its turn: so much is read, and so many packets of its dump are made, a round. */
#define ROUND_PACKETS 16
#define ROUND_BYTES   (512u << 10)
#define ROUND_DUMPS   16

/* Answers: beyond this its requests wait. Events and streams: beyond these they are lost. */
#define ANSWERS_MAX     (256u << 10)
#define STREAM_MAX      (512u << 10)
#define EVENTS_MAX      (1u << 20)

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

struct pw_client {
	LIST_ENTRY(pw_client) next;
	TAILQ_ENTRY(pw_client) next_active;
	bool active; /* has work after the round */
	bool hangup; /* the other end is closed: nobody reads answers */
	bool broken; /* closed after the round */
	bool lost;   /* events were: NLMSG_OVERRUN is due */
	bool root;   /* the peer runs as user 0 */
	int fd;
	struct pw_watcher *watcher;
	uint32_t protocol;
	uint32_t dump_bytes;
	uint64_t groups[PW_NETLINK_GROUPS / 64];
	struct output output;
	uint8_t *input; /* what is left of a packet that had to wait */
	size_t input_size, input_used;
	struct dump *dump;
	void (*on_close)(void *context);
	void *on_close_context;
};

static LIST_HEAD(, pw_client) clients = LIST_HEAD_INITIALIZER(clients);
static TAILQ_HEAD(, pw_client) active = TAILQ_HEAD_INITIALIZER(active);
static unsigned int client_count;
static uint32_t listeners[2][PW_NETLINK_GROUPS]; /* of NETLINK_ROUTE's groups; of XFRM's */

static uint8_t *receive_buffer; /* PW_NETLINK_PACKET_MAX */
static char *dump_buffer;       /* DUMP_ROOM */

static void client_activate(struct pw_client *client)
{
	if (client->active)
		return;
	client->active = true;
	TAILQ_INSERT_TAIL(&active, client, next_active);
}

static void client_break(struct pw_client *client)
{
	client->broken = true;
	client_activate(client);
	pw_loop_again(0);
}

/* ---- output ------------------------------------------------------------------------------ */

void pw_client_queue(struct pw_client *client, const void *data, size_t size)
{
	if (client->broken || client->hangup)
		return;
	client_activate(client);
	if (output_put(&client->output, data, size))
		client_break(client);
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

/** What comes and goes on it may hold keys, of which no copy stays. */
static bool client_secret(const struct pw_client *client)
{
	return client->protocol == NETLINK_XFRM;
}

/** The two protocols' groups have the same numbers. */
static uint32_t *group_listeners(uint32_t protocol, uint32_t group)
{
	return &listeners[protocol == NETLINK_XFRM][group];
}

static bool client_listens(const struct pw_client *client, uint32_t group)
{
	return client->groups[group / 64] >> (group % 64) & 1;
}

static void event_queue(struct pw_client *client, const struct nlmsghdr *nlh)
{
	if (client->lost || output_bytes(&client->output) + nlh->nlmsg_len > EVENTS_MAX) {
		client->lost = true;
		return;
	}
	pw_client_queue(client, nlh, nlh->nlmsg_len);
	pw_loop_again(0);
}

static void event_queue_all(uint32_t protocol, uint32_t group, const struct nlmsghdr *nlh)
{
	struct pw_client *client;

	if (!*group_listeners(protocol, group))
		return;
	LIST_FOREACH (client, &clients, next)
		if (client->protocol == protocol && client_listens(client, group))
			event_queue(client, nlh);
}

void pw_notify(uint32_t group, const struct nlmsghdr *nlh)
{
	uint32_t seq;
	struct pw_client *echo = pw_request_echo(&seq);

	if (group >= PW_NETLINK_GROUPS)
		return;
	if (echo && !client_listens(echo, group)) {
		struct nlmsghdr *copy = malloc(nlh->nlmsg_len);

		if (copy) {
			memcpy(copy, nlh, nlh->nlmsg_len);
			copy->nlmsg_seq = seq;
			pw_client_queue(echo, copy, copy->nlmsg_len);
			free(copy);
		}
	}
	event_queue_all(NETLINK_ROUTE, group, nlh);
}

bool pw_notify_wanted(uint32_t group)
{
	uint32_t seq;

	return group < PW_NETLINK_GROUPS &&
	       (*group_listeners(NETLINK_ROUTE, group) || pw_request_echo(&seq));
}

void pw_notify_xfrm(uint32_t group, const struct nlmsghdr *nlh)
{
	if (group < PW_NETLINK_GROUPS)
		event_queue_all(NETLINK_XFRM, group, nlh);
}

bool pw_notify_xfrm_wanted(uint32_t group)
{
	return group < PW_NETLINK_GROUPS && *group_listeners(NETLINK_XFRM, group);
}

void pw_client_overrun(struct pw_client *client)
{
	client->lost = true;
	client_activate(client);
	pw_loop_again(0);
}

/** Events were lost and all before them is sent: now the client can be told. */
static void overrun_queue(struct pw_client *client)
{
	struct nlmsghdr overrun = {.nlmsg_len = sizeof(overrun), .nlmsg_type = NLMSG_OVERRUN};

	if (!client->lost || output_bytes(&client->output))
		return;
	client->lost = false;
	pw_client_queue(client, &overrun, sizeof(overrun));
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
	client_activate(client);
	return 0;
}

static void dump_end(struct pw_client *client)
{
	if (client->dump && client_secret(client))
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
	if (client_secret(client))
		explicit_bzero(dump_buffer, DUMP_ROOM);
	if (ret > 0)
		return;
	if (size)
		pw_client_queue(client, last, size);
	dump_end(client);
}

/* ---- input ------------------------------------------------------------------------------- */

/** Answers pile up, or a dump is at work: what else the client wants has to wait. */
static bool client_stalled(const struct pw_client *client)
{
	return client->dump || output_bytes(&client->output) > ANSWERS_MAX;
}

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

	while (used < size && !client_stalled(client) && !client->broken) {
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
		client_break(client);
		return;
	}
	memcpy(client->input, data, size);
	client->input_size = size;
	client->input_used = used;
}

static void input_free(struct pw_client *client)
{
	if (client->input && client_secret(client))
		explicit_bzero(client->input, client->input_size);
	free(client->input);
	client->input = NULL;
}

static void input_continue(struct pw_client *client)
{
	if (!client->input)
		return;
	client->input_used =
		packet_take(client, client->input, client->input_size, client->input_used);
	if (client->input_used == client->input_size)
		input_free(client);
}

/** Returns the bytes read, 0 when there is no more for now. */
static size_t packet_receive(struct pw_client *client)
{
	ssize_t size =
		recv(client->fd, receive_buffer, PW_NETLINK_PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
	bool secret = client_secret(client);
	size_t used;

	if (size < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_break(client);
		return 0;
	}
	if (size == 0) { /* a SEQPACKET's end of file; an empty packet reads the same */
		client_break(client);
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
	if (secret || client_secret(client))
		explicit_bzero(receive_buffer, (size_t)size);
	return (size_t)size;
}

static void client_event(uint32_t events, void *context)
{
	struct pw_client *client = context;
	size_t bytes = 0, size;

	client_activate(client);
	if (events & (EPOLLHUP | EPOLLERR)) {
		/* What it asked for before it left is still done, as a kernel would have. */
		client->hangup = true;
		output_reset(&client->output);
		dump_end(client);
	}
	for (unsigned int i = 0; i < ROUND_PACKETS && bytes < ROUND_BYTES; i++) {
		if (client->input || client_stalled(client) || client->broken)
			break;
		size = packet_receive(client);
		if (!size)
			break;
		bytes += size;
	}
}

/* ---- the client's life ------------------------------------------------------------------- */

int pw_client_subscribe(struct pw_client *client, uint32_t group, bool on)
{
	if (group == 0 || group >= PW_NETLINK_GROUPS)
		return -EINVAL;
	if (client_listens(client, group) == on)
		return 0;
	client->groups[group / 64] ^= UINT64_C(1) << (group % 64);
	*group_listeners(client->protocol, group) += on ? 1 : -1;
	return 0;
}

static void groups_leave(struct pw_client *client)
{
	for (uint32_t group = 1; group < PW_NETLINK_GROUPS; group++)
		pw_client_subscribe(client, group, false);
}

static void client_free(struct pw_client *client)
{
	if (client->on_close)
		client->on_close(client->on_close_context);
	groups_leave(client);
	if (client->active)
		TAILQ_REMOVE(&active, client, next_active);
	LIST_REMOVE(client, next);
	client_count--;
	pw_watcher_stop(client->watcher);
	close(client->fd);
	output_reset(&client->output);
	input_free(client);
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
	LIST_INSERT_HEAD(&clients, client, next);
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
		overrun_queue(client);
		if (!client->dump || !writable)
			break;
		dump_continue(client);
	}
	if (!client->dump && client->input)
		input_continue(client);
	more = writable && (client->dump || client->input || output_bytes(&client->output));
	pw_watcher_events(client->watcher, (client_stalled(client) || client->input ? 0 : EPOLLIN) |
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
			client_activate(client);
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
		groups_leave(client); /* they were the other's */
	client->protocol = protocol;
	client->output.secret = client_secret(client);
	client->dump_bytes = dump_bytes;
	return dump_bytes;
}

int pw_client_init(void)
{
	receive_buffer = malloc(PW_NETLINK_PACKET_MAX);
	dump_buffer = malloc(DUMP_ROOM);
	if (!receive_buffer || !dump_buffer) {
		pw_client_fini();
		return -ENOMEM;
	}
	pw_client_register();
	return 0;
}

void pw_client_fini(void)
{
	struct pw_client *client;

	while ((client = LIST_FIRST(&clients)))
		client_free(client);
	free(receive_buffer);
	free(dump_buffer);
	receive_buffer = NULL;
	dump_buffer = NULL;
}
