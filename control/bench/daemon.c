/* SPDX-License-Identifier: BSD-3-Clause */
/* pewterd's parts in pewterd's order, with bench ports and without kernel mirror and socket. */
#include "control/bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "control/control.h"
#include "control/core.h"
#include "control/eal.h"
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
static bool eal_up, parts_up;

static int core_start(void)
{
	return pw_core_start(&(struct pw_core_options){.workers = daemon_options.workers,
						       .mbufs = daemon_options.mbufs,
						       .lpm_bytes = daemon_options.lpm_bytes});
}

static void lanes_stop(void)
{
	for (uint16_t i = 0; i < pw_worker_count; i++)
		pw_bench_lane_fini(&pw_bench_lanes[i]);
	rte_free(pw_bench_lanes);
	pw_bench_lanes = NULL;
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
	if (ret)
		lanes_stop();
	return ret;
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

	ret = ret ? ret : port_open("core", &pw_bench_port_core);
	if (ret)
		pw_port_close_all();
	return ret;
}

static int workers_run(void)
{
	return pw_workers_start(pw_core_wake_fd());
}

static const struct pw_part parts[] = {
	{NULL, core_start, pw_core_stop},
	{"bench packets", lanes_start, lanes_stop},
	{"bench ports", ports_start, pw_port_close_all},
	{"workers' threads", workers_run, pw_workers_stop},
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
	ret = pw_parts_start(parts, RTE_DIM(parts));
	parts_up = ret == 0;
	return ret;
}

void pw_bench_daemon_round(void)
{
	pw_resolve();
	pw_retire_poll();
}

void pw_bench_daemon_stop(void)
{
	if (parts_up)
		pw_parts_stop(parts, RTE_DIM(parts));
	parts_up = false;
	if (eal_up)
		pw_eal_fini();
	eal_up = false;
}
