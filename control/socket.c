/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/client.h"
#include "control/loop.h"
#include "lib/log.h"

#define ROUND_ACCEPTS  64
#define FILES_RESERVED 128 /* descriptors that ports, logs and the like need */
#define BACKLOG        1024

static const struct pw_socket_options *options;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct stat identity; /* of the socket file, so that only ours is removed */
static struct pw_watcher *watcher;
static int listener = -1;
static int spare = -1; /* given up to accept, and refuse, when descriptors run out */
static unsigned int client_limit;
static gid_t group = (gid_t)-1;

/* ---- who may ----------------------------------------------------------------------------- */

static bool id_listed(const struct pw_id_list *list, uint32_t id)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->ids[i] == id)
			return true;
	return false;
}

static bool gid_allowed(gid_t gid)
{
	return (group != (gid_t)-1 && gid == group) || id_listed(&options->gids, gid);
}

static bool supplementary_allowed(int fd)
{
	socklen_t size = 0;
	bool allowed = false;
	gid_t *gids;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	gids = malloc(size);
	if (gids && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*gids) && !allowed; i++)
			allowed = gid_allowed(gids[i]);
	free(gids);
	return allowed;
}

static bool peer_allowed(int fd, struct ucred *peer)
{
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size))
		return false;
	return peer->uid == 0 || peer->uid == geteuid() || id_listed(&options->uids, peer->uid) ||
	       gid_allowed(peer->gid) || supplementary_allowed(fd);
}

/* ---- connections ------------------------------------------------------------------------- */

/** One error with its text, then the end. */
static void refuse(int fd, int error, const char *text)
{
	struct nlmsghdr none = {.nlmsg_len = sizeof(none)};
	struct pw_request request = {.nlh = &none};
	uint32_t buffer[PW_ERROR_MAX / sizeof(uint32_t)];
	size_t size;

	pw_refuse(&request, NULL, error, "%s", text);
	size = pw_request_error(&request, error, buffer);
	send(fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* What is left unread would turn the peer's next read into ECONNRESET. */
	shutdown(fd, SHUT_RD);
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
	close(fd);
}

static void connection_take(int fd)
{
	struct ucred peer = {0};

	if (!peer_allowed(fd, &peer)) {
		pw_warning("refused a client of user %u (process %d): not allowed", peer.uid,
			   peer.pid);
		refuse(fd, -EPERM, "this user may not configure Pewter");
		return;
	}
	if (pw_client_count() >= client_limit) {
		pw_warning("refused process %d: %u clients are connected", peer.pid, client_limit);
		refuse(fd, -EUSERS, "too many clients");
		return;
	}
	if (!pw_client_add(fd))
		refuse(fd, -ENOMEM, "out of memory");
}

/** No descriptor is left: with the spare one, tell one caller, and so go on. */
static void connection_refuse_spare(void)
{
	int fd;

	close(spare);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(fd, -EMFILE, "out of file descriptors");
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_event(uint32_t events, void *context)
{
	for (unsigned int i = 0; i < ROUND_ACCEPTS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			connection_take(fd);
		else if (errno == EMFILE || errno == ENFILE)
			connection_refuse_spare();
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- the socket -------------------------------------------------------------------------- */

static int __attribute__((format(printf, 4, 5)))
fail(char *error, size_t size, int number, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
	return number;
}

/** Makes the directory that @p path is in, and opens it. */
static int directory_open(const char *path, char *error, size_t size)
{
	char copy[sizeof(address.sun_path)], *name;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	name = dirname(copy);
	if (mkdir(name, 0755) && errno != EEXIST)
		return fail(error, size, -errno, "cannot make directory %s: %s", name,
			    strerror(errno));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(error, size, -errno, "cannot open directory %s: %s", name,
			    strerror(errno));
	return fd;
}

/** Is a daemon behind the socket file? 0: no (and the file is gone), -EADDRINUSE, -errno. */
static int stale_remove(char *error, size_t size)
{
	struct stat status;
	int fd, ret;

	if (lstat(address.sun_path, &status))
		return errno == ENOENT ? 0
				       : fail(error, size, -errno, "cannot look at %s: %s",
					      address.sun_path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return fail(error, size, -EEXIST, "%s exists and is no socket", address.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(error, size, -errno, "cannot make a socket: %s", strerror(errno));
	ret = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(fd);
	if (ret != ECONNREFUSED)
		return fail(error, size, -EADDRINUSE,
			    "%s is already in use: another daemon listens there", address.sun_path);
	if (unlink(address.sun_path))
		return fail(error, size, -errno, "cannot remove %s: %s", address.sun_path,
			    strerror(errno));
	return 0;
}

static int socket_listen(char *error, size_t size)
{
	const struct group *entry = getgrnam(PW_SOCKET_GROUP);
	bool lists = options->uids.count || options->gids.count;

	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0)
		return fail(error, size, -errno, "cannot make a socket: %s", strerror(errno));
	/* Nobody can connect before listen(), so the mode need not be right before. */
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)))
		return fail(error, size, -errno, "cannot bind %s: %s", address.sun_path,
			    strerror(errno));
	if (lstat(address.sun_path, &identity))
		return fail(error, size, -errno, "cannot look at %s: %s", address.sun_path,
			    strerror(errno));
	group = entry ? entry->gr_gid : (gid_t)-1;
	if (entry && chown(address.sun_path, (uid_t)-1, group))
		pw_debug("%s stays with its group: %s", address.sun_path, strerror(errno));
	if (chmod(address.sun_path, lists ? 0666 : 0660))
		return fail(error, size, -errno, "cannot set the mode of %s: %s", address.sun_path,
			    strerror(errno));
	if (listen(listener, BACKLOG))
		return fail(error, size, -errno, "cannot listen on %s: %s", address.sun_path,
			    strerror(errno));
	return 0;
}

/** As many descriptors as may be had; says how many clients that serves. */
static unsigned int limit_clients(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return PW_SOCKET_CLIENTS;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t soft = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			limit.rlim_cur = soft;
	}
	if (limit.rlim_cur >= PW_SOCKET_CLIENTS + FILES_RESERVED)
		return PW_SOCKET_CLIENTS;
	return limit.rlim_cur > 2 * FILES_RESERVED ? (unsigned int)limit.rlim_cur - FILES_RESERVED
						   : (unsigned int)limit.rlim_cur / 2;
}

int pw_socket_open(const struct pw_socket_options *opts, char *error, size_t size)
{
	const char *path = opts->path ? opts->path : PW_SOCKET_PATH;
	int directory, ret;

	options = opts;
	if (strlen(path) >= sizeof(address.sun_path) || !*path)
		return fail(error, size, -ENAMETOOLONG, "socket path %s is too %s", path,
			    *path ? "long" : "short");
	strcpy(address.sun_path, path);
	directory = directory_open(path, error, size);
	if (directory < 0)
		return directory;
	/* Two daemons that start at once must not each take the other's socket for stale. */
	flock(directory, LOCK_EX);
	ret = stale_remove(error, size);
	if (!ret)
		ret = socket_listen(error, size);
	close(directory);
	if (!ret && pw_client_init())
		ret = fail(error, size, -ENOMEM, "out of memory");
	if (!ret) {
		client_limit = limit_clients();
		spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		watcher = pw_loop_watch(listener, EPOLLIN, listener_event, NULL);
		if (!watcher)
			ret = fail(error, size, -errno, "cannot watch the socket: %s",
				   strerror(errno));
	}
	if (ret)
		pw_socket_close();
	return ret;
}

void pw_socket_close(void)
{
	struct stat status;

	if (watcher)
		pw_watcher_stop(watcher);
	watcher = NULL;
	pw_client_fini();
	if (identity.st_ino && lstat(address.sun_path, &status) == 0 &&
	    status.st_ino == identity.st_ino && status.st_dev == identity.st_dev)
		unlink(address.sun_path);
	identity = (struct stat){0};
	if (listener >= 0)
		close(listener);
	if (spare >= 0)
		close(spare);
	listener = spare = -1;
}
