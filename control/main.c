/* SPDX-License-Identifier: BSD-3-Clause */
/* pewterd: brings everything up in order, runs the event loop, takes everything down again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_config.h>
#ifdef PW_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "control/control.h"
#include "control/core.h"
#include "control/eal.h"
#include "control/feed/fpm.h"
#include "control/feed/kernel.h"
#include "control/feed/xfrm.h"
#include "control/loop.h"
#include "control/options.h"
#include "control/socket.h"
#include "control/startup.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "lib/log.h"

#define FILES_MAX    32768 /* one a kernel face */
#define LINK_POLL_MS 1000

static struct pw_options options;
static int signal_fd = -1;
static int exit_status;

static void notify(const char *state)
{
#ifdef PW_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

/* ---- in the loop ------------------------------------------------------------------------- */

static void signal_event(uint32_t events, void *context)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
		pw_info("%s: stopping", strsignal((int)info.ssi_signo));
		pw_loop_stop();
	}
}

static void link_timer(void *context)
{
	pw_link_poll();
}

static void startup_done(int status)
{
	if (status) {
		exit_status = 1;
		pw_loop_stop();
		return;
	}
	notify("READY=1");
	pw_info("ready: %zu port%s, %u worker%s, socket %s", options.port_count,
		options.port_count == 1 ? "" : "s", options.workers,
		options.workers == 1 ? "" : "s",
		options.socket.path ? options.socket.path : PW_SOCKET_PATH);
}

/* ---- up and down ------------------------------------------------------------------------- */

static int core_start(void)
{
	return pw_core_start(&(struct pw_core_options){.workers = options.workers,
						       .mbufs = options.mbufs,
						       .lpm_bytes = options.lpm_bytes});
}

static int port_open(const struct pw_port_spec *spec)
{
	char error[256];
	int index = pw_port_open(spec, error, sizeof(error));

	if (index < 0) {
		pw_error("port %s: %s", spec->name, error);
		return index;
	}
	if (pw_link_add_port((uint16_t)index))
		return 0;
	index = -errno;
	pw_error("port %s: cannot make its link: %s", spec->name, strerror(errno));
	return index;
}

static int ports_open(void)
{
	int ret = 0;

	for (size_t i = 0; i < options.port_count && !ret; i++)
		ret = port_open(&options.ports[i]);
	if (ret)
		pw_port_close_all();
	return ret;
}

static int link_timer_start(void)
{
	return pw_loop_timer(LINK_POLL_MS, link_timer, NULL) ? 0 : -errno;
}

static int workers_run(void)
{
	return pw_workers_start(pw_core_wake_fd());
}

static int socket_start(void)
{
	char error[256];
	int ret = pw_socket_open(&options.socket, error, sizeof(error));

	if (ret)
		pw_error("%s", error);
	return ret;
}

static int kernel_start(void)
{
	pw_kernel_routes_enable(!options.no_kernel_routes);
	return pw_kernel_feed_init();
}

static int mirror_start(void)
{
	return pw_xfrm_mirror_start(&options.xfrm);
}

static int fpm_start(void)
{
	return pw_fpm_start(&options.fpm);
}

static void signals_stop(void)
{
	if (signal_fd >= 0)
		close(signal_fd);
	signal_fd = -1;
}

static int signals_start(void)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signal_fd >= 0 && pw_loop_watch(signal_fd, EPOLLIN, signal_event, NULL))
		return 0;
	ret = -errno;
	signals_stop();
	return ret;
}

/**
 * What the daemon has beside the core. The workers' threads are last, so that they end first:
 * what they hold is sent, nothing more is received, and then the rest goes.
 */
static const struct pw_part parts[] = {
	{NULL, core_start, pw_core_stop},
	{"signals", signals_start, signals_stop},
	{"timer of links", link_timer_start, NULL},
	{NULL, ports_open, pw_port_close_all},
	{"kernel mirror", kernel_start, pw_kernel_feed_fini},
	{NULL, mirror_start, pw_xfrm_mirror_stop},
	{NULL, socket_start, pw_socket_close},
	{"statistics", pw_statistics_init, pw_statistics_fini},
	{NULL, fpm_start, pw_fpm_stop},
	{"workers' threads", workers_run, pw_workers_stop},
};

static void signals_block(void)
{
	sigset_t set;

	/* Before any thread is made, so that all inherit it: only the loop hears of them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/** As many kernel faces as the hard limit allows, not as the soft one, which is 1024 mostly. */
static void files_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= FILES_MAX)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/** A second signal while everything is taken down ends the process at once. */
static void signals_release(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
	switch (pw_options_parse(argc, argv, &options)) {
	case PW_OPTIONS_EXIT:
		return 0;
	case PW_OPTIONS_BAD:
		return 2;
	default:
		break;
	}
	pw_log_set_level(options.log_level);
	signals_block();
	files_allow();
	if (pw_eal_init(&options))
		return 1;
	if (pw_parts_start(parts, RTE_DIM(parts)) == 0) {
		if (pw_startup_run(options.startup, options.startup_count,
				   options.socket.path ? options.socket.path : PW_SOCKET_PATH,
				   startup_done))
			exit_status = 1;
		else if (!exit_status)
			pw_loop_run();
		notify("STOPPING=1");
		pw_startup_stop();
		signals_release();
		pw_parts_stop(parts, RTE_DIM(parts));
	} else {
		exit_status = 1;
	}
	pw_eal_fini();
	pw_options_free(&options);
	return exit_status;
}
