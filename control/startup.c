/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/cli/preload_path.h"
#include "control/loop.h"
#include "lib/log.h"

#define SAID_MAX 800

static const char *const *files;
static size_t file_count, file_at;
static const char *socket_path;
static pw_startup_fn done;

static pid_t child;
static struct pw_watcher *output_watcher;
static int output_fd = -1;
static char said[SAID_MAX]; /* what ip wrote, its lines joined; the end is cut */
static size_t said_used;

static int file_begin(void);

static void output_take(const char *data, ssize_t size)
{
	for (ssize_t i = 0; i < size; i++) {
		if (data[i] != '\n' && said_used < sizeof(said) - 1)
			said[said_used++] = data[i];
		else if (data[i] == '\n' && said_used && said_used < sizeof(said) - 3)
			said_used += (size_t)sprintf(said + said_used, "; ");
	}
}

/** Without the separator behind the last line. */
static void output_finish(void)
{
	if (said_used >= 2 && memcmp(said + said_used - 2, "; ", 2) == 0)
		said_used -= 2;
	said[said_used] = 0;
}

static void output_close(void)
{
	if (output_watcher)
		pw_watcher_stop(output_watcher);
	output_watcher = NULL;
	if (output_fd >= 0)
		close(output_fd);
	output_fd = -1;
}

/** The child has closed its output, so it has ended or is about to. */
static void file_end(void)
{
	int status = 0;

	output_close();
	output_finish();
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	child = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (said[0])
			pw_warning("start-up file %s: ip says: %s", files[file_at], said);
		file_at++;
		if (file_at == file_count)
			done(0);
		else if (file_begin())
			done(1);
		return;
	}
	pw_error("start-up file %s failed: %s", files[file_at],
		 said[0] ? said : "ip said nothing of why");
	done(1);
}

static void output_event(uint32_t events, void *context)
{
	char buffer[4096];
	ssize_t size = read(output_fd, buffer, sizeof(buffer));

	if (size > 0)
		output_take(buffer, size);
	else if (size == 0 || (errno != EAGAIN && errno != EINTR))
		file_end();
}

/* ---- the child --------------------------------------------------------------------------- */

static bool variable_is(const char *entry, const char *name)
{
	size_t length = strlen(name);

	return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

/** Our environment, with the preload library and the socket, without NOTIFY_SOCKET. */
static char **environment_make(const char *library)
{
	static char preload[8192], socket_entry[256],
		protocols[] = "PEWTER_RUN_PROTOCOLS=route,xfrm", bulk[] = "PEWTER_RUN_BULK=1";
	static const char *const ours[] = {"LD_PRELOAD", "PEWTER_SOCKET", "PEWTER_RUN_PROTOCOLS",
					   "PEWTER_RUN_BULK", "NOTIFY_SOCKET"};
	size_t count = 0, used = 0;
	char value[8000], **copy;

	while (environ[count])
		count++;
	copy = calloc(count + 5, sizeof(*copy));
	if (!copy || !pw_preload_value(library, value, sizeof(value))) {
		free(copy);
		return NULL;
	}
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", value);
	snprintf(socket_entry, sizeof(socket_entry), "PEWTER_SOCKET=%s", socket_path);
	for (size_t i = 0; i < count; i++) {
		bool replaced = false;

		for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
			replaced |= variable_is(environ[i], ours[k]);
		if (!replaced)
			copy[used++] = environ[i];
	}
	copy[used++] = preload;
	copy[used++] = socket_entry;
	copy[used++] = protocols;
	copy[used++] = bulk;
	return copy;
}

/** A batch is of one address family, and only by its name can a file say that it is labels'. */
static bool file_of_labels(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot && strcmp(dot, ".mpls") == 0;
}

static int spawn(const char *file, char **environment, int output)
{
	char *const any[] = {"ip", "-batch", (char *)file, NULL};
	char *const labels[] = {"ip", "-f", "mpls", "-batch", (char *)file, NULL};
	char *const *argv = file_of_labels(file) ? labels : any;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int ret;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	ret = posix_spawnp(&child, "ip", &actions, &attributes, argv, environment);
	if (ret)
		child = 0;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -ret;
}

static int file_begin(void)
{
	const char *file = files[file_at];
	char library[4096], **environment;
	int pipe_fds[2], ret;

	said_used = 0;
	if (access(file, R_OK)) {
		pw_error("cannot read start-up file %s: %s", file, strerror(errno));
		return -ENOENT;
	}
	if (!pw_preload_path(library, sizeof(library))) {
		pw_error("start-up files need libpewter-run.so, which is not in %s", PW_LIBDIR);
		return -ENOENT;
	}
	environment = environment_make(library);
	if (!environment || pipe2(pipe_fds, O_CLOEXEC)) {
		pw_error("start-up file %s: %s", file, strerror(errno));
		free(environment);
		return -ENOMEM;
	}
	ret = spawn(file, environment, pipe_fds[1]);
	free(environment);
	close(pipe_fds[1]);
	output_fd = pipe_fds[0];
	if (ret) {
		pw_error("start-up file %s: cannot run ip: %s", file, strerror(-ret));
		output_close();
		return ret;
	}
	fcntl(output_fd, F_SETFL, O_NONBLOCK);
	output_watcher = pw_loop_watch(output_fd, EPOLLIN, output_event, NULL);
	if (!output_watcher) {
		ret = -errno;
		pw_startup_stop();
	}
	return ret;
}

int pw_startup_run(const char *const *paths, size_t count, const char *socket, pw_startup_fn fn)
{
	files = paths;
	file_count = count;
	file_at = 0;
	socket_path = socket;
	done = fn;
	if (count)
		return file_begin();
	done(0);
	return 0;
}

void pw_startup_stop(void)
{
	output_close();
	if (!child)
		return;
	kill(child, SIGTERM);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	child = 0;
}
