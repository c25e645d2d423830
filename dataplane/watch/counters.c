/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/watch/counters.h"

#include <string.h>

#include <rte_cycles.h>
#include <rte_graph_worker.h>

#include "dataplane/watch/record.h"

static inline uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t pw_counters_drop(enum pw_drop drop)
{
	uint64_t sum = 0;
	uint16_t i;

	for (i = 0; i < pw_worker_count; i++)
		sum += read_counter(&pw_workers[i]->drops[drop]);
	return sum;
}

static uint64_t worker_drops(const struct pw_worker *worker)
{
	uint64_t sum = 0;
	unsigned int drop;

	for (drop = PW_DROP_NONE + 1; drop < PW_DROP_COUNT; drop++)
		if (drop != PW_DROP_KERNEL_COPY)
			sum += read_counter(&worker->drops[drop]);
	return sum;
}

uint64_t pw_counters_drops(void)
{
	uint64_t sum = 0;
	uint16_t i;

	for (i = 0; i < pw_worker_count; i++)
		sum += worker_drops(pw_workers[i]);
	return sum;
}

uint64_t pw_counters_event(enum pw_event event)
{
	uint64_t sum = 0;
	uint16_t i;

	for (i = 0; i < pw_worker_count; i++)
		sum += read_counter(&pw_workers[i]->events[event]);
	return sum;
}

void pw_counters_interface(uint32_t interface, struct pw_interface_counters *sum)
{
	uint16_t i;

	memset(sum, 0, sizeof(*sum));
	if (interface >= PW_INTERFACES)
		return;
	for (i = 0; i < pw_worker_count; i++) {
		const struct pw_interface_counters *counters = &pw_workers[i]->counters[interface];

		sum->rx_packets += read_counter(&counters->rx_packets);
		sum->rx_bytes += read_counter(&counters->rx_bytes);
		sum->tx_packets += read_counter(&counters->tx_packets);
		sum->tx_bytes += read_counter(&counters->tx_bytes);
	}
}

static void read_node(const struct rte_node *node, struct pw_stage_counters *counters)
{
	counters->name = node->name;
	counters->order = pw_stage_find(node->name);
	counters->calls = read_counter(&node->total_calls);
	counters->packets = read_counter(&node->total_objs);
	counters->cycles = read_counter(&node->total_cycles);
}

bool pw_counters_stage(uint16_t worker, uint32_t at, struct pw_stage_counters *counters)
{
	struct rte_graph *graph;
	const struct rte_node *node;
	rte_graph_off_t offset;
	rte_node_t count;

	if (worker >= pw_worker_count || pw_workers[worker]->graph == NULL)
		return false;
	graph = pw_workers[worker]->graph;
	rte_graph_foreach_node(count, offset, graph, node)
	{
		if (count == at) {
			read_node(node, counters);
			return true;
		}
	}
	return false;
}

bool pw_counters_worker(uint16_t worker, struct pw_worker_counters *counters)
{
	struct pw_stage_counters stage;
	const struct pw_worker *self;
	uint64_t polling = 0;
	uint32_t i;

	if (worker >= pw_worker_count)
		return false;
	self = pw_workers[worker];
	memset(counters, 0, sizeof(*counters));
	counters->tsc = rte_rdtsc();
	counters->idle_walks = read_counter(&self->idle_walks);
	counters->sleeps = read_counter(&self->sleeps);
	counters->drops = worker_drops(self);
	for (i = 0; pw_counters_stage(worker, i, &stage); i++) {
		if (stage.order == PW_AT_PORT_RECEIVE) {
			counters->walks += stage.calls;
			counters->rx_packets += stage.packets;
			polling += stage.cycles;
		} else {
			counters->busy += stage.cycles;
		}
	}
	/* Receiving counts as busy in the share of walks that brought something. */
	if (counters->walks > counters->idle_walks)
		counters->busy += (uint64_t)((double)polling *
					     (double)(counters->walks - counters->idle_walks) /
					     (double)counters->walks);
	return true;
}
