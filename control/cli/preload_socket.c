/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS   65536
#define DEFAULT_PATH  "/run/pewter/pewter.sock"
#define HELLO_SECONDS 10
#define RETRY_US      300000
#define PARTNER_FROM  512  /* out of the way of programs that count on low numbers */
#define DUMP_PACKET   4096 /* what the smallest of netlink programs read at a time */

/* Entries are made once for a number and stay: a thread may still look at a closed one. */
static struct netlink_socket *_Atomic sockets[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool retrying;

bool preload_protocol(int protocol)
{
	const char *list = getenv("PEWTER_RUN_PROTOCOLS");
	const char *name = protocol == NETLINK_ROUTE ? "route" : "xfrm";
	size_t length = strlen(name);

	if (protocol != NETLINK_ROUTE && protocol != NETLINK_XFRM)
		return false;
	if (!list || !*list)
		return true;
	for (const char *at = list; (at = strstr(at, name)); at += length)
		if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length]))
			return true;
	return false;
}

struct netlink_socket *preload_find(int fd)
{
	struct netlink_socket *s;

	if (fd < 0 || fd >= DESCRIPTORS)
		return NULL;
	s = atomic_load_explicit(&sockets[fd], memory_order_acquire);
	return s && s->used ? s : NULL;
}

/** The entry of a number, made if need be. Under the lock. */
static struct netlink_socket *entry(int fd)
{
	struct netlink_socket *s;

	if (fd < 0 || fd >= DESCRIPTORS) {
		errno = EMFILE;
		return NULL;
	}
	s = atomic_load_explicit(&sockets[fd], memory_order_relaxed);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->partner = -1;
		atomic_store_explicit(&sockets[fd], s, memory_order_release);
	}
	return s;
}

/* ---- connecting -------------------------------------------------------------------------- */

struct hello {
	struct nlmsghdr header;
	struct pw_msg_hello hello;
};

/** Says hello and waits for the answer. 0, or -1 with errno. */
static int greet(int fd, uint32_t protocol, uint32_t flags)
{
	struct timeval patience = {.tv_sec = HELLO_SECONDS}, forever = {0};
	struct hello message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = PW_MSG_HELLO,
			   .nlmsg_flags = NLM_F_REQUEST},
		.hello = {.version = PW_NETLINK_VERSION,
			  .protocol = protocol,
			  .dump_bytes = DUMP_PACKET,
			  .flags = flags},
	};
	struct {
		struct nlmsghdr header;
		int error;
		char rest[480];
	} answer;
	ssize_t size;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* A refusal may have come already, and the connection be closed behind it. */
	REAL(send)(fd, &message, sizeof(message), MSG_NOSIGNAL);
	do
		size = REAL(recv)(fd, &answer, sizeof(answer), 0);
	while (size < 0 && (errno == EINTR || errno == ECONNRESET));
	if (size < (ssize_t)sizeof(answer.header) + (ssize_t)sizeof(answer.error)) {
		errno = size < 0 && errno == EAGAIN ? ETIMEDOUT : ECONNREFUSED;
		return -1;
	}
	if (answer.header.nlmsg_type == NLMSG_ERROR) {
		errno = -answer.error;
		return -1;
	}
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
}

int preload_dial(uint32_t protocol, uint32_t flags)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("PEWTER_SOCKET");
	int fd, error;

	path = path && *path ? path : DEFAULT_PATH;
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = REAL(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (REAL(connect)(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    greet(fd, protocol, flags) == 0)
		return fd;
	error = errno == ENOENT ? ECONNREFUSED : errno;
	REAL(close)(fd);
	errno = error;
	return -1;
}

/** Gives @p fd the flags that the program wants of its socket. */
static void apply_type(int fd, int type)
{
	if (!(type & SOCK_CLOEXEC))
		REAL(fcntl)(fd, F_SETFD, 0);
	if (type & SOCK_NONBLOCK)
		REAL(fcntl)(fd, F_SETFL, REAL(fcntl)(fd, F_GETFL) | O_NONBLOCK);
}

int preload_open(int type, uint32_t protocol)
{
	int fd = preload_dial(protocol, 0);
	struct netlink_socket *s;

	if (fd < 0)
		return -1;
	apply_type(fd, type);
	pthread_mutex_lock(&lock);
	s = entry(fd);
	if (s) {
		s->used = true;
		s->parked = s->no_enobufs = false;
		s->protocol = protocol;
		s->bulk = protocol == NETLINK_ROUTE ? preload_bulk_new(fd) : NULL;
		s->generation++;
		s->awaited = 0;
		memset(s->groups, 0, sizeof(s->groups));
	}
	pthread_mutex_unlock(&lock);
	if (!s) {
		REAL(close)(fd);
		errno = EMFILE;
		return -1;
	}
	return fd;
}

/** The partner is ours to close only as long as the program has not put its own there. */
static void partner_close(struct netlink_socket *s)
{
	struct stat status;

	if (s->partner >= 0 && fstat(s->partner, &status) == 0 && status.st_ino == s->partner_inode)
		REAL(close)(s->partner);
	s->partner = -1;
}

void preload_forget(int fd)
{
	struct netlink_socket *s = preload_find(fd);

	if (!s)
		return;
	if (s->bulk)
		preload_bulk_close(fd, s->bulk);
	pthread_mutex_lock(&lock);
	s->bulk = NULL;
	s->used = s->parked = false;
	s->generation++;
	partner_close(s);
	pthread_mutex_unlock(&lock);
}

int preload_duplicate(int from, int to)
{
	struct netlink_socket *s, *copy;
	int ret = 0;

	if (to < 0 || from == to)
		return to;
	preload_forget(to);
	s = preload_find(from);
	if (!s)
		return to;
	pthread_mutex_lock(&lock);
	copy = entry(to);
	if (copy) {
		uint32_t generation = copy->generation + 1;

		*copy = *s;
		copy->bulk = NULL;
		copy->partner = -1;
		copy->generation = generation;
	} else {
		ret = -1;
	}
	pthread_mutex_unlock(&lock);
	if (ret) {
		REAL(close)(to);
		errno = EMFILE;
		return -1;
	}
	return to;
}

/* ---- groups ------------------------------------------------------------------------------ */

bool preload_listens(const struct netlink_socket *s, uint32_t group)
{
	return s->groups[group / 32] >> (group % 32) & 1;
}

static int group_send(int fd, uint32_t group, bool on)
{
	struct {
		struct nlmsghdr header;
		struct pw_msg_group group;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = on ? PW_MSG_SUBSCRIBE : PW_MSG_UNSUBSCRIBE,
			   .nlmsg_flags = NLM_F_REQUEST},
		.group = {.group = group},
	};

	return REAL(send)(fd, &message, sizeof(message), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int preload_subscribe(int fd, struct netlink_socket *s, uint32_t group, bool on)
{
	int ret = 0;

	if (group == 0 || group >= PW_NETLINK_GROUPS) {
		errno = EINVAL;
		return -1;
	}
	pthread_mutex_lock(&lock);
	if (preload_listens(s, group) != on) {
		s->groups[group / 32] ^= UINT32_C(1) << (group % 32);
		if (!s->parked)
			ret = group_send(fd, group, on);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

/* ---- a daemon that went away ------------------------------------------------------------- */

/** Puts @p replacement in the place of @p fd, with its flags. Under the lock. */
static bool replace(int fd, struct netlink_socket *s, int replacement)
{
	int cloexec = REAL(fcntl)(fd, F_GETFD), flags = REAL(fcntl)(fd, F_GETFL);

	if (flags >= 0)
		REAL(fcntl)(replacement, F_SETFL, flags);
	if (cloexec < 0 || REAL(dup3)(replacement, fd, cloexec & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) {
		REAL(close)(replacement);
		return false;
	}
	REAL(close)(replacement);
	s->generation++;
	return true;
}

/** What the program's events are about, policies and SAs, went with the former daemon. */
static void restore(const struct netlink_socket *s)
{
	int fd;

	if (s->protocol != NETLINK_XFRM || !preload_listens(s, XFRMNLGRP_EXPIRE))
		return;
	fd = preload_dial(NETLINK_XFRM, 0);
	if (fd < 0)
		return;
	preload_xfrm_restore(fd);
	REAL(close)(fd);
}

/** Connects a parked descriptor again. Under the lock. */
static bool reconnect(int fd, struct netlink_socket *s)
{
	bool listens = false;
	int connection;

	for (size_t i = 0; i < sizeof(s->groups) / sizeof(s->groups[0]); i++)
		listens |= s->groups[i] != 0;
	connection = preload_dial(s->protocol, listens ? PW_HELLO_RESYNC : 0);
	if (connection < 0)
		return false;
	for (uint32_t group = 1; group < PW_NETLINK_GROUPS; group++)
		if (preload_listens(s, group))
			group_send(connection, group, true);
	if (!replace(fd, s, connection))
		return false;
	s->parked = false;
	restore(s);
	partner_close(s); /* wakes who sleeps on the descriptor's former self */
	return true;
}

static void *retry(void *unused)
{
	bool parked = true;

	while (parked) {
		usleep(RETRY_US);
		parked = false;
		pthread_mutex_lock(&lock);
		for (int fd = 0; fd < DESCRIPTORS; fd++) {
			struct netlink_socket *s =
				atomic_load_explicit(&sockets[fd], memory_order_relaxed);

			if (s && s->used && s->parked && !reconnect(fd, s))
				parked = true;
		}
		if (!parked)
			retrying = false;
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	retrying = false; /* threads are not inherited; the next loss starts another */
	pthread_mutex_unlock(&lock);
}

static void __attribute__((constructor)) initialise(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/** A program that ends without closing its sockets: what it believes to be done is done. */
static void __attribute__((destructor)) finish(void)
{
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		struct netlink_socket *s = preload_find(fd);

		if (s && s->bulk)
			preload_bulk_close(fd, s->bulk);
	}
}

/** Under the lock. Without the thread, the next request still connects again. */
static void retry_start(void)
{
	sigset_t all, before;
	pthread_t thread;

	if (retrying)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (pthread_create(&thread, NULL, retry, NULL) == 0) {
		pthread_detach(thread);
		retrying = true;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/** One end of a pair that nobody writes to: a read, or a poll, sleeps. Under the lock. */
static void park(int fd, struct netlink_socket *s)
{
	struct stat status;
	int pair[2], partner;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return;
	partner = REAL(fcntl)(pair[1], F_DUPFD_CLOEXEC, PARTNER_FROM);
	if (partner >= 0) {
		REAL(close)(pair[1]);
		pair[1] = partner;
	}
	partner_close(s);
	if (fstat(pair[1], &status) || !replace(fd, s, pair[0])) {
		REAL(close)(pair[1]);
		return;
	}
	s->partner = pair[1];
	s->partner_inode = status.st_ino;
	s->parked = true;
	retry_start();
}

void preload_lost(int fd, struct netlink_socket *s, uint32_t generation)
{
	pthread_mutex_lock(&lock);
	if (s->used && s->generation == generation && !reconnect(fd, s))
		park(fd, s);
	pthread_mutex_unlock(&lock);
}

bool preload_connected(int fd, struct netlink_socket *s)
{
	bool connected = true;

	if (!s->parked)
		return true;
	pthread_mutex_lock(&lock);
	if (s->parked)
		connected = reconnect(fd, s);
	pthread_mutex_unlock(&lock);
	return connected;
}
