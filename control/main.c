/* SPDX-License-Identifier: BSD-3-Clause */
/* pewterd: brings everything up in order, runs the event loop, takes everything down again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_config.h>
#ifdef PW_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "control/client.h"
#include "control/control.h"
#include "control/eal.h"
#include "control/feed/kernel.h"
#include "control/loop.h"
#include "control/options.h"
#include "control/socket.h"
#include "control/startup.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "lib/retire.h"

#define PUNT_BURST     64
#define PUNT_PER_ROUND 1024
#define RETIRE_WAIT_MS 1
#define FILES_MAX      32768 /* one a kernel face */
#define LINK_POLL_MS   1000

static struct pw_options options;
static int wake_fd = -1, signal_fd = -1;
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

/** Packets that wait for a neighbour, and those for the kernel. */
static void wake_event(uint32_t events, void *context)
{
	struct rte_mbuf *mbufs[PUNT_BURST];
	unsigned int taken = 0;

	eventfd_read(wake_fd, &(eventfd_t){0});
	for (uint16_t i = 0; i < pw_worker_count; i++) {
		unsigned int count;

		while (taken < PUNT_PER_ROUND &&
		       (count = rte_ring_sc_dequeue_burst(pw_workers[i]->punt, (void **)mbufs,
							  PUNT_BURST, NULL))) {
			for (unsigned int k = 0; k < count; k++)
				pw_punt_take(mbufs[k]);
			taken += count;
		}
	}
	if (taken >= PUNT_PER_ROUND)
		eventfd_write(wake_fd, 1);
}

static void resolve_hook(void *context)
{
	pw_resolve();
}

static void retire_hook(void *context)
{
	if (pw_retire_poll())
		pw_loop_again(RETIRE_WAIT_MS);
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

static int retire_start(void)
{
	return pw_retire_init(options.workers);
}

static int vrf_start(void)
{
	return pw_vrf_table_init(options.lpm_bytes);
}

static int workers_start(void)
{
	return pw_workers_init(options.workers, options.mbufs);
}

static int ports_open(void)
{
	char error[256];

	for (size_t i = 0; i < options.port_count; i++) {
		const struct pw_port_spec *spec = &options.ports[i];
		int index = pw_port_open(spec, error, sizeof(error));

		if (index < 0) {
			pw_error("port %s: %s", spec->name, error);
			return index;
		}
		if (!pw_link_add_port((uint16_t)index)) {
			index = -errno;
			pw_error("port %s: cannot make its link: %s", spec->name, strerror(errno));
			return index;
		}
	}
	return 0;
}

static int workers_run(void)
{
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wake_fd < 0 || !pw_loop_watch(wake_fd, EPOLLIN, wake_event, NULL))
		return -errno;
	return pw_workers_start(wake_fd);
}

static int hooks_start(void)
{
	int ret = pw_loop_after_round(resolve_hook, NULL);

	/* Answers go out when what they say is true for the workers too. */
	ret = ret ? ret : pw_loop_after_round(pw_client_flush_all, NULL);
	ret = ret ? ret : pw_loop_after_round(retire_hook, NULL);
	if (!ret && !pw_loop_timer(LINK_POLL_MS, link_timer, NULL))
		ret = -errno;
	return ret;
}

static int socket_start(void)
{
	char error[256];
	int ret = pw_socket_open(&options.socket, error, sizeof(error));

	if (ret)
		pw_error("%s", error);
	return ret;
}

static int signals_start(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signal_fd < 0 || !pw_loop_watch(signal_fd, EPOLLIN, signal_event, NULL))
		return -errno;
	return 0;
}

/** Every part, in the order of starting. Those with a NULL name have said what is wrong. */
static const struct part {
	const char *name;
	int (*start)(void);
	void (*stop)(void);
} parts[] = {
	{"event loop", pw_loop_init, pw_loop_fini},
	{"signals", signals_start, NULL},
	{"reclamation", retire_start, pw_retire_fini},
	{"packet field", pw_packet_register, NULL},
	{"interface table", pw_interface_table_init, pw_interface_table_fini},
	{"VRF table", vrf_start, pw_vrf_table_fini},
	{"neighbour table", pw_neighbour_table_init, pw_neighbour_table_fini},
	{"next-hop table", pw_nexthop_table_init, pw_nexthop_table_fini},
	{"endpoint table", pw_endpoint_table_init, pw_endpoint_table_fini},
	{"label table", pw_label_table_init, pw_label_table_fini},
	{"workers", workers_start, pw_workers_fini},
	{"routes", pw_route_init, pw_route_fini},
	{"links", pw_link_init, pw_link_fini},
	{"event loop's hooks", hooks_start, NULL},
	{NULL, ports_open, pw_port_close_all},
	{"workers' threads", workers_run, NULL},
	{"kernel mirror", pw_kernel_feed_init, pw_kernel_feed_fini},
	{NULL, socket_start, pw_socket_close},
	{"statistics", pw_statistics_init, pw_statistics_fini},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static size_t parts_start(void)
{
	size_t count;

	for (count = 0; count < PARTS; count++) {
		int ret = parts[count].start();

		if (!ret)
			continue;
		if (parts[count].name)
			pw_error("cannot start (%s): %s", parts[count].name, strerror(-ret));
		break;
	}
	return count;
}

static void parts_stop(size_t count)
{
	pw_workers_stop(); /* what they hold is sent; nothing more is received */
	while (count--)
		if (parts[count].stop)
			parts[count].stop();
	if (wake_fd >= 0)
		close(wake_fd);
	if (signal_fd >= 0)
		close(signal_fd);
}

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
	size_t started;

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
	started = parts_start();
	if (started == PARTS) {
		if (pw_startup_run(options.startup, options.startup_count,
				   options.socket.path ? options.socket.path : PW_SOCKET_PATH,
				   startup_done))
			exit_status = 1;
		else if (!exit_status)
			pw_loop_run();
		notify("STOPPING=1");
		pw_startup_stop();
	} else {
		exit_status = 1;
	}
	signals_release();
	parts_stop(started);
	pw_eal_fini();
	pw_options_free(&options);
	return exit_status;
}
