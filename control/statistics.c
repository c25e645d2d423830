/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/label.h"
#include "control/statistics.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/rtnetlink.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "dataplane/table/endpoint.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/vrf.h"
#include "dataplane/watch/counters.h"
#include "drivers/port.h"

#define MESSAGE_ROOM 512 /* bytes that any message of this file fits in, next hops aside */

static uint64_t start_ns;

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct nlmsghdr *pw_statistics_message(struct pw_dump *dump, uint16_t type, size_t room)
{
	struct nlmsghdr *nlh = pw_dump_message(dump, type, room);

	if (nlh != NULL)
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	return nlh;
}

/* ---- drops and events -------------------------------------------------------------------- */

static void put_counter(struct nlmsghdr *nlh, const char *name, const char *text, uint64_t packets)
{
	mnl_attr_put_strz(nlh, PW_DROP_ATTR_NAME, name);
	mnl_attr_put_strz(nlh, PW_DROP_ATTR_TEXT, text);
	mnl_attr_put_u64(nlh, PW_DROP_ATTR_PACKETS, packets);
}

static int dump_drops(struct pw_dump *dump)
{
	for (; dump->cursor[0] + 1 < PW_DROP_COUNT; dump->cursor[0]++) {
		enum pw_drop drop = (enum pw_drop)(dump->cursor[0] + 1);
		struct nlmsghdr *nlh = pw_statistics_message(dump, PW_MSG_DROP, MESSAGE_ROOM);

		if (nlh == NULL)
			return 1;
		put_counter(nlh, pw_drop_name(drop), pw_drop_text(drop),
			    pw_counters_drop(drop) + pw_control_drops[drop]);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

static int dump_events(struct pw_dump *dump)
{
	for (; dump->cursor[0] < PW_EVENT_COUNT; dump->cursor[0]++) {
		enum pw_event event = (enum pw_event)dump->cursor[0];
		struct nlmsghdr *nlh = pw_statistics_message(dump, PW_MSG_EVENT, MESSAGE_ROOM);

		if (nlh == NULL)
			return 1;
		put_counter(nlh, pw_event_name(event), pw_event_text(event),
			    pw_counters_event(event) + pw_control_events[event]);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- ports ------------------------------------------------------------------------------- */

static const char *driver_name(enum pw_port_driver driver)
{
	switch (driver) {
	case PW_PORT_AF_XDP:
		return "af_xdp";
	case PW_PORT_AF_PACKET:
		return "af_packet";
	case PW_PORT_TAP:
		return "tap";
	case PW_PORT_PCI:
		return "pci";
	case PW_PORT_MEMIF:
		return "memif";
	case PW_PORT_VHOST:
		return "vhost";
	case PW_PORT_NULL:
		return "null";
	case PW_PORT_RING:
		return "ring";
	}
	return "unknown";
}

static void put_port_device(struct nlmsghdr *nlh, const struct pw_port *port)
{
	struct pw_port_statistics statistics = {0};

	mnl_attr_put_strz(nlh, PW_PORT_ATTR_DRIVER, driver_name(port->spec.driver));
	if (port->spec.argument[0] != '\0')
		mnl_attr_put_strz(nlh, PW_PORT_ATTR_DEVICE, port->spec.argument);
	mnl_attr_put(nlh, PW_PORT_ATTR_MAC, sizeof(port->mac), port->mac);
	mnl_attr_put_u16(nlh, PW_PORT_ATTR_MTU, port->mtu);
	mnl_attr_put_u16(nlh, PW_PORT_ATTR_MTU_MAX, port->mtu_max);
	mnl_attr_put_u16(nlh, PW_PORT_ATTR_RX_QUEUES, port->rx_queues);
	mnl_attr_put_u16(nlh, PW_PORT_ATTR_TX_QUEUES, port->tx_queues);
	mnl_attr_put_u8(nlh, PW_PORT_ATTR_CARRIER, port->carrier);
	if (pw_port_statistics(port->index, &statistics) != 0)
		return;
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_RX_PACKETS, statistics.rx_packets);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_RX_BYTES, statistics.rx_bytes);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_RX_MISSED, statistics.rx_missed);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_RX_ERRORS, statistics.rx_errors);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_RX_NO_BUFFER, statistics.rx_nombuf);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_TX_PACKETS, statistics.tx_packets);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_TX_BYTES, statistics.tx_bytes);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_TX_ERRORS, statistics.tx_errors);
}

static void put_port_link(struct nlmsghdr *nlh, const struct pw_link *link)
{
	struct pw_interface_counters counters;

	mnl_attr_put_u8(nlh, PW_PORT_ATTR_UP, link->admin_up);
	if (link->face_ifindex != 0)
		mnl_attr_put_strz(nlh, PW_PORT_ATTR_FACE, link->face_name);
	pw_statistics_put_name(nlh, PW_PORT_ATTR_VRF, pw_statistics_vrf_name(pw_link_vrf(link)));
	pw_counters_interface(link->index, &counters);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_L3_RX_PACKETS, counters.rx_packets);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_L3_RX_BYTES, counters.rx_bytes);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_L3_TX_PACKETS, counters.tx_packets);
	mnl_attr_put_u64(nlh, PW_PORT_ATTR_L3_TX_BYTES, counters.tx_bytes);
}

static int dump_ports(struct pw_dump *dump)
{
	pw_statistics_names_refresh();
	for (; dump->cursor[0] < PW_PORTS; dump->cursor[0]++) {
		const struct pw_port *port = pw_port_find((uint16_t)dump->cursor[0]);
		const struct pw_link *link;
		struct nlmsghdr *nlh;

		if (port == NULL)
			continue;
		nlh = pw_statistics_message(dump, PW_MSG_PORT, 2 * MESSAGE_ROOM);
		if (nlh == NULL)
			return 1;
		link = pw_link_by_index(pw_statistics_port_link(port->index));
		mnl_attr_put_u32(nlh, PW_PORT_ATTR_IFINDEX, link != NULL ? link->index : 0);
		pw_statistics_put_name(nlh, PW_PORT_ATTR_NAME,
				       pw_statistics_port_name(port->index));
		put_port_device(nlh, port);
		if (link != NULL)
			put_port_link(nlh, link);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- stages and workers ------------------------------------------------------------------ */

static int dump_stages(struct pw_dump *dump)
{
	struct pw_stage_counters counters;

	for (; dump->cursor[0] < pw_worker_count; dump->cursor[0]++, dump->cursor[1] = 0) {
		uint16_t worker = (uint16_t)dump->cursor[0];

		for (; pw_counters_stage(worker, (uint32_t)dump->cursor[1], &counters);
		     dump->cursor[1]++) {
			struct nlmsghdr *nlh =
				pw_statistics_message(dump, PW_MSG_STAGE, MESSAGE_ROOM);

			if (nlh == NULL)
				return 1;
			mnl_attr_put_strz(nlh, PW_STAGE_ATTR_NAME, counters.name);
			mnl_attr_put_u16(nlh, PW_STAGE_ATTR_WORKER, worker);
			mnl_attr_put_u16(nlh, PW_STAGE_ATTR_ORDER, counters.order);
			mnl_attr_put_u64(nlh, PW_STAGE_ATTR_CALLS, counters.calls);
			mnl_attr_put_u64(nlh, PW_STAGE_ATTR_PACKETS, counters.packets);
			mnl_attr_put_u64(nlh, PW_STAGE_ATTR_CYCLES, counters.cycles);
			pw_dump_commit(dump, nlh);
		}
	}
	return 0;
}

/* The CPU a worker is pinned to, which is not its lcore's number; -1: it runs on any. */
static int pinned_cpu(unsigned int lcore)
{
	rte_cpuset_t cpus;

	if (lcore >= RTE_MAX_LCORE)
		return -1;
	cpus = rte_lcore_cpuset(lcore);
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&cpus) == 1; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			return cpu;
	return -1;
}

static int dump_workers(struct pw_dump *dump)
{
	struct pw_worker_counters counters;

	for (; pw_counters_worker((uint16_t)dump->cursor[0], &counters); dump->cursor[0]++) {
		uint16_t worker = (uint16_t)dump->cursor[0];
		struct nlmsghdr *nlh = pw_statistics_message(dump, PW_MSG_WORKER, MESSAGE_ROOM);
		int cpu;

		if (nlh == NULL)
			return 1;
		mnl_attr_put_u16(nlh, PW_WORKER_ATTR_INDEX, worker);
		cpu = pinned_cpu(pw_workers[worker]->lcore);
		if (cpu >= 0)
			mnl_attr_put_u32(nlh, PW_WORKER_ATTR_CPU, (uint32_t)cpu);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_TSC, counters.tsc);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_HZ, rte_get_tsc_hz());
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_BUSY, counters.busy);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_WALKS, counters.walks);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_IDLE_WALKS, counters.idle_walks);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_SLEEPS, counters.sleeps);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_RX_PACKETS, counters.rx_packets);
		mnl_attr_put_u64(nlh, PW_WORKER_ATTR_DROPS, counters.drops);
		pw_dump_commit(dump, nlh);
	}
	return 0;
}

/* ---- summary ----------------------------------------------------------------------------- */

static void put_port_totals(struct nlmsghdr *nlh)
{
	struct pw_port_statistics sum = {0}, statistics;
	uint32_t ports = 0;
	uint16_t i;

	for (i = 0; i < PW_PORTS; i++) {
		const struct pw_port *port = pw_port_find(i);

		if (port == NULL)
			continue;
		ports++;
		if (pw_port_statistics(i, &statistics) != 0)
			continue;
		sum.rx_packets += statistics.rx_packets;
		sum.rx_bytes += statistics.rx_bytes;
		sum.tx_packets += statistics.tx_packets;
		sum.tx_bytes += statistics.tx_bytes;
	}
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_PORTS, ports);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_RX_PACKETS, sum.rx_packets);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_RX_BYTES, sum.rx_bytes);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_TX_PACKETS, sum.tx_packets);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_TX_BYTES, sum.tx_bytes);
}

static void put_route_totals(struct nlmsghdr *nlh)
{
	uint64_t routes4 = 0, routes6 = 0;
	uint32_t vrfs = 0;
	unsigned int i;

	for (i = 0; i < PW_VRFS; i++) {
		if (pw_vrfs[i] == NULL)
			continue;
		vrfs++;
		routes4 += pw_lpm_count(pw_vrfs[i]->lpm4);
		routes6 += pw_lpm_count(pw_vrfs[i]->lpm6);
	}
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_VRFS, vrfs);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_ROUTES4, routes4);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_ROUTES6, routes6);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_LPM_BYTES, pw_vrf_memory_used());
}

static void put_table_totals(struct nlmsghdr *nlh)
{
	const struct pw_link *link;
	uint32_t tunnels = 0;

	for (link = pw_link_next(0); link != NULL; link = pw_link_next(link->index))
		tunnels += link->kind == PW_LINK_TUNNEL;
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_TUNNELS, tunnels);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_LABELS, pw_label_count());
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_ENDPOINTS, pw_endpoints.ids_used);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_NEIGHBOURS, pw_neighbours.ids_used);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_NEXTHOPS, pw_nexthops.ids_used);
}

static void put_buffers(struct nlmsghdr *nlh)
{
	if (pw_mbuf_pool == NULL)
		return;
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_BUFFERS, pw_mbuf_pool->size);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_BUFFERS_USED, rte_mempool_in_use_count(pw_mbuf_pool));
}

static uint64_t drops_total(void)
{
	uint64_t sum = pw_counters_drops();

	for (unsigned int drop = PW_DROP_NONE + 1; drop < PW_DROP_COUNT; drop++)
		sum += pw_control_drops[drop];
	return sum;
}

static int get_summary(struct pw_request *request)
{
	uint8_t buffer[2 * MESSAGE_ROOM] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	pw_statistics_names_refresh();
	nlh->nlmsg_type = PW_MSG_SUMMARY;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	mnl_attr_put_strz(nlh, PW_SUMMARY_ATTR_VERSION, PW_VERSION);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_PID, (uint32_t)getpid());
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_UPTIME, monotonic_ns() - start_ns);
	mnl_attr_put_u32(nlh, PW_SUMMARY_ATTR_WORKERS, pw_worker_count);
	put_port_totals(nlh);
	put_route_totals(nlh);
	put_table_totals(nlh);
	put_buffers(nlh);
	mnl_attr_put_u64(nlh, PW_SUMMARY_ATTR_DROPS, drops_total());
	pw_statistics_put_ipsec(nlh);
	return pw_reply(request, nlh);
}

void pw_statistics_register(void)
{
	start_ns = monotonic_ns();
	pw_request_register(PW_MSG_DROP, -1, NULL, dump_drops);
	pw_request_register(PW_MSG_EVENT, -1, NULL, dump_events);
	pw_request_register(PW_MSG_PORT, -1, NULL, dump_ports);
	pw_request_register(PW_MSG_STAGE, -1, NULL, dump_stages);
	pw_request_register(PW_MSG_WORKER, -1, NULL, dump_workers);
	pw_request_register(PW_MSG_SUMMARY, -1, get_summary, NULL);
}

int pw_statistics_init(void)
{
	pw_statistics_register();
	pw_statistics_sa_register();
	pw_netlink_pewter_register();
	pw_watch_register();
	return 0;
}

void pw_statistics_fini(void)
{
	pw_watch_fini();
}
