/* SPDX-License-Identifier: BSD-3-Clause */
/* pewterd's parts in pewterd's order, with bench ports and without kernel mirror and socket. */
#include "control/bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "control/control.h"
#include "control/eal.h"
#include "control/loop.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "drivers/port_bench.h"
#include "lib/retire.h"

#define LANE_PACKETS 1024 /* as many as a NIC's ring has by default */
#define MBUFS_SPARE  4096
#define LPM_BYTES    ((size_t)2 << 30)

struct pw_bench_lane *pw_bench_lanes;
uint16_t pw_bench_port_ce, pw_bench_port_core;

static struct pw_options daemon_options;
static int wake_fd = -1;
static bool eal_up;
static size_t started;

static int retire_start(void)
{
	return pw_retire_init(daemon_options.workers);
}

static int vrf_start(void)
{
	return pw_vrf_table_init(daemon_options.lpm_bytes);
}

static int workers_start(void)
{
	return pw_workers_init(daemon_options.workers, daemon_options.mbufs);
}

static int lanes_start(void)
{
	int ret = 0;

	pw_bench_lanes = rte_zmalloc("bench lanes", pw_worker_count * sizeof(*pw_bench_lanes),
				     RTE_CACHE_LINE_SIZE);
	if (!pw_bench_lanes)
		return -ENOMEM;
	for (uint16_t i = 0; i < pw_worker_count && !ret; i++)
		ret = pw_bench_lane_init(&pw_bench_lanes[i], i, LANE_PACKETS);
	return ret;
}

static void lanes_stop(void)
{
	for (uint16_t i = 0; i < pw_worker_count; i++)
		pw_bench_lane_fini(&pw_bench_lanes[i]);
	rte_free(pw_bench_lanes);
	pw_bench_lanes = NULL;
}

static int port_open(const char *name, uint16_t *index)
{
	char error[200] = "";
	int port = pw_bench_port_open(name, pw_bench_lanes, error, sizeof(error));

	if (port < 0) {
		fprintf(stderr, "port %s: %s\n", name, error);
		return port;
	}
	*index = (uint16_t)port;
	return pw_link_add_port(*index) ? 0 : -errno;
}

static int ports_start(void)
{
	int ret = port_open("ce", &pw_bench_port_ce);

	return ret ? ret : port_open("core", &pw_bench_port_core);
}

static int workers_run(void)
{
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return wake_fd < 0 ? -errno : pw_workers_start(wake_fd);
}

static void workers_halt(void)
{
	pw_workers_stop();
	close(wake_fd);
}

static const struct {
	const char *name;
	int (*start)(void);
	void (*stop)(void);
} parts[] = {
	{"event loop", pw_loop_init, pw_loop_fini},
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
	{"bench packets", lanes_start, lanes_stop},
	{"bench ports", ports_start, pw_port_close_all},
	{"workers' threads", workers_run, workers_halt},
};

/* Workers get CPUs from the last one down: interrupts mostly go to the first. */
static int cpus_choose(const struct pw_bench_options *options)
{
	cpu_set_t allowed;
	uint16_t found = 0;

	daemon_options.pinned = true;
	if (options->cpus_given) {
		memcpy(daemon_options.cpus, options->cpus, sizeof(options->cpus));
		return 0;
	}
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && found < options->workers_max; cpu--)
		if (CPU_ISSET(cpu, &allowed))
			daemon_options.cpus[found++] = (uint16_t)cpu;
	if (found == options->workers_max)
		return 0;
	fprintf(stderr, "pewter-bench: %u workers, but %u CPUs to run on\n", options->workers_max,
		found);
	return -EINVAL;
}

int pw_bench_daemon_start(const struct pw_bench_options *options)
{
	int ret = cpus_choose(options);

	if (ret)
		return ret;
	daemon_options.workers = options->workers_max;
	daemon_options.mbufs = options->workers_max * LANE_PACKETS + MBUFS_SPARE;
	daemon_options.lpm_bytes = LPM_BYTES;
	daemon_options.no_huge = options->no_huge;
	daemon_options.log_level = PW_LOG_WARNING;
	pw_log_set_level(PW_LOG_WARNING);
	ret = pw_eal_init(&daemon_options);
	if (ret)
		return ret;
	eal_up = true;
	for (started = 0; started < RTE_DIM(parts); started++) {
		ret = parts[started].start();
		if (ret) {
			fprintf(stderr, "pewter-bench: cannot start (%s): %s\n",
				parts[started].name, strerror(-ret));
			return ret;
		}
	}
	return 0;
}

void pw_bench_daemon_round(void)
{
	pw_resolve();
	pw_retire_poll();
}

void pw_bench_daemon_stop(void)
{
	while (started-- > 0)
		if (parts[started].stop)
			parts[started].stop();
	started = 0;
	if (eal_up)
		pw_eal_fini();
	eal_up = false;
}
