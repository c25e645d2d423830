/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/core.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/client.h"
#include "control/control.h"
#include "control/loop.h"
#include "control/xfrm.h"
#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/label.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/sa.h"
#include "dataplane/table/vrf.h"
#include "dataplane/worker.h"
#include "lib/log.h"
#include "lib/retire.h"

#define PUNT_BURST     64
#define PUNT_PER_ROUND 1024
#define RETIRE_WAIT_MS 1

static struct pw_core_options core;
static int wake_fd = -1;

/* ---- in the loop ------------------------------------------------------------------------- */

/** Packets that wait for a neighbour, and those for the kernel; news of SAs. */
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
	pw_sa_notices();
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

/* ---- parts ------------------------------------------------------------------------------- */

static int hooks_start(void)
{
	int ret = pw_loop_after_round(resolve_hook, NULL);

	/* Answers go out when what they say is true for the workers too. */
	ret = ret ? ret : pw_loop_after_round(pw_client_flush_all, NULL);
	return ret ? ret : pw_loop_after_round(retire_hook, NULL);
}

static void wake_stop(void)
{
	if (wake_fd >= 0)
		close(wake_fd);
	wake_fd = -1;
}

static int wake_start(void)
{
	int ret;

	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wake_fd >= 0 && pw_loop_watch(wake_fd, EPOLLIN, wake_event, NULL))
		return 0;
	ret = -errno;
	wake_stop();
	return ret;
}

static int retire_start(void)
{
	return pw_retire_init(core.workers);
}

static int vrf_start(void)
{
	return pw_vrf_table_init(core.lpm_bytes);
}

static int workers_start(void)
{
	return pw_workers_init(core.workers, core.mbufs);
}

static const struct pw_part core_parts[] = {
	{"event loop", pw_loop_init, pw_loop_fini},
	{"event loop's hooks", hooks_start, NULL},
	{"wake-up of the event loop", wake_start, wake_stop},
	{"reclamation", retire_start, pw_retire_fini},
	{"packet field", pw_packet_register, NULL},
	{"interface table", pw_interface_table_init, pw_interface_table_fini},
	{"VRF table", vrf_start, pw_vrf_table_fini},
	{"neighbour table", pw_neighbour_table_init, pw_neighbour_table_fini},
	{"next-hop table", pw_nexthop_table_init, pw_nexthop_table_fini},
	{"endpoint table", pw_endpoint_table_init, pw_endpoint_table_fini},
	{"label table", pw_label_table_init, pw_label_table_fini},
	{"SA table", pw_sa_table_init, pw_sa_table_fini},
	{"policy table", pw_policy_table_init, pw_policy_table_fini},
	{"workers", workers_start, pw_workers_fini},
	{"routes", pw_route_init, pw_route_fini},
	{"links", pw_link_init, pw_link_fini},
	{"security associations", pw_xfrm_init, pw_xfrm_fini},
};

/* ---- up and down ------------------------------------------------------------------------- */

int pw_parts_start(const struct pw_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int ret = parts[i].start();

		if (!ret)
			continue;
		if (parts[i].name)
			pw_error("cannot start (%s): %s", parts[i].name, strerror(-ret));
		pw_parts_stop(parts, i);
		return ret;
	}
	return 0;
}

void pw_parts_stop(const struct pw_part *parts, size_t count)
{
	while (count--)
		if (parts[count].stop)
			parts[count].stop();
}

int pw_core_start(const struct pw_core_options *options)
{
	core = *options;
	return pw_parts_start(core_parts, RTE_DIM(core_parts));
}

void pw_core_stop(void)
{
	pw_parts_stop(core_parts, RTE_DIM(core_parts));
}

int pw_core_wake_fd(void)
{
	return wake_fd;
}
