/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf_dyn.h>

#include "dataplane/idle.h"
#include "dataplane/receive/entry.h"
#include "dataplane/receive/reassembly.h"
#include "dataplane/table/cache.h"
#include "dataplane/transmit/template.h"
#include "drivers/pool.h"
#include "drivers/port.h"
#include "lib/log.h"
#include "lib/retire.h"

#define EXPIRE_EVERY_MS  100

#define RING_SIZE        2048
#define ICMP_PER_SECOND  1000
#define ICMP_BURST       100
#define PUNT_PER_SECOND  10000
#define PUNT_BURST       1000
#define REASSEMBLY_MBUFS 1024
#define MBUF_CACHE       256

RTE_DEFINE_PER_LCORE(struct pw_worker *, pw_worker);

struct pw_worker *pw_workers[PW_WORKERS];
uint16_t pw_worker_count;
struct rte_mempool *pw_mbuf_pool;
struct rte_mempool *pw_reassembly_pool;

const char *const pw_path_stages[] = {
	"port-receive", "ethernet-input",  "local-input",
	"reassembly",   "esp-input",       "gre-input",
	"mpls-input",   "ipv4-lookup",     "ipv6-lookup",
	"policy",       "tunnel-output",   "esp-output",
	"fragment",     "ethernet-output", "port-transmit",
	"icmp-error",   "icmp-echo",       "neighbour-resolve",
	"kernel-punt",  "path-mtu",        "drop",
	NULL,
};

static bool stopping;
static int wake_fd = -1;

static_assert(PW_INTERFACES <= UINT16_MAX + 1 && PW_ENDPOINTS <= UINT16_MAX + 1,
	      "16 bits of each in struct pw_packet");

int pw_packet_register(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "pw_packet",
		.size = sizeof(struct pw_packet),
		.align = alignof(struct pw_packet),
	};
	int offset = rte_mbuf_dynfield_register_offset(&field, PW_PACKET_OFFSET);

	return offset == PW_PACKET_OFFSET ? 0 : -rte_errno;
}

static void rate_init(struct pw_rate *rate, uint64_t per_second, uint64_t burst)
{
	rate->cost = rte_get_tsc_hz() / per_second;
	rate->burst = burst * rate->cost;
	rate->tokens = rate->burst;
	rate->last = rte_rdtsc();
}

static int fragments_init(struct pw_worker *worker)
{
	uint64_t lifetime = rte_get_tsc_hz() / 1000 * PW_REASSEMBLY_MS;

	for (unsigned int i = 0; i < RTE_DIM(worker->fragments); i++) {
		worker->fragments[i] = rte_ip_frag_table_create(
			PW_REASSEMBLY_PACKETS, 4, PW_REASSEMBLY_PACKETS, lifetime, SOCKET_ID_ANY);
		if (!worker->fragments[i])
			return -ENOMEM;
	}
	return 0;
}

static int graph_init(struct pw_worker *worker)
{
	struct rte_graph_param param = {.socket_id = SOCKET_ID_ANY};
	char name[RTE_GRAPH_NAMESIZE];
	rte_graph_t id;
	uint16_t count = 0;

	while (pw_path_stages[count])
		count++;
	param.node_patterns = (const char **)(uintptr_t)pw_path_stages;
	param.nb_node_patterns = count;
	snprintf(name, sizeof(name), "worker-%u", worker->index);
	id = rte_graph_create(name, &param);
	if (id == RTE_GRAPH_ID_INVALID)
		return -rte_errno;
	worker->graph = rte_graph_lookup(name);
	return 0;
}

static int worker_init(struct pw_worker *worker)
{
	char name[RTE_RING_NAMESIZE];
	int ret;

	/* Workers share outer addresses: far apart, their ids do not meet in a reassembly. */
	worker->ip_id = (uint16_t)(worker->index * (UINT16_MAX / PW_WORKERS));
	rate_init(&worker->icmp_rate, ICMP_PER_SECOND, ICMP_BURST);
	rate_init(&worker->punt_rate, PUNT_PER_SECOND, PUNT_BURST);
	snprintf(name, sizeof(name), "inject-%u", worker->index);
	worker->inject = rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "punt-%u", worker->index);
	worker->punt =
		rte_ring_create(name, RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	worker->poll = rte_zmalloc("poll list", sizeof(*worker->poll), 0);
	worker->sa = rte_zmalloc("SA counters", PW_SAS * sizeof(*worker->sa), RTE_CACHE_LINE_SIZE);
	if (!worker->inject || !worker->punt || !worker->poll || !worker->sa)
		return -ENOMEM;
	worker->templates = pw_cache_new(PW_TEMPLATES_BYTES);
	worker->entries = pw_cache_new(PW_ENTRIES_BYTES);
	if (!worker->templates || !worker->entries)
		return -ENOMEM;
	ret = pw_crypto_worker_new(&worker->crypto);
	if (ret)
		return ret;
	ret = pw_idle_init(worker);
	ret = ret ? ret : fragments_init(worker);
	return ret ? ret : graph_init(worker);
}

static int pools_init(uint16_t workers, unsigned int mbufs)
{
	pw_mbuf_pool = pw_pool_create("packets", mbufs, MBUF_CACHE, RTE_MBUF_DEFAULT_BUF_SIZE);
	if (!pw_mbuf_pool)
		return -rte_errno;
	pw_reassembly_pool =
		rte_pktmbuf_pool_create("reassembly", REASSEMBLY_MBUFS * workers, 32, 0,
					PW_REASSEMBLY_MAX + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	return pw_reassembly_pool ? 0 : -rte_errno;
}

int pw_workers_init(uint16_t count, unsigned int mbufs)
{
	unsigned int lcore = -1;
	int ret;

	if (count == 0 || count > PW_WORKERS)
		return -EINVAL;
	ret = pools_init(count, mbufs);
	for (uint16_t i = 0; i < count && !ret; i++) {
		lcore = rte_get_next_lcore(lcore, 1, 0);
		pw_workers[i] =
			rte_zmalloc("worker", sizeof(struct pw_worker), RTE_CACHE_LINE_SIZE);
		if (!pw_workers[i]) {
			ret = -ENOMEM;
			break;
		}
		pw_workers[i]->index = i;
		pw_workers[i]->epoll = pw_workers[i]->wake = -1;
		/* Without a core of its own a worker can still be stepped (tests). */
		pw_workers[i]->lcore = lcore;
		pw_worker_count = i + 1;
		ret = worker_init(pw_workers[i]);
	}
	if (ret)
		pw_workers_fini();
	return ret;
}

static void ring_free(struct rte_ring *ring)
{
	struct rte_mbuf *mbuf;

	while (ring && rte_ring_sc_dequeue(ring, (void **)&mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

void pw_workers_fini(void)
{
	for (uint16_t i = 0; i < pw_worker_count; i++) {
		struct pw_worker *worker = pw_workers[i];

		if (worker->graph)
			rte_graph_destroy(rte_graph_from_name(worker->graph->name));
		rte_ip_frag_free_death_row(&worker->death_row, 0);
		for (unsigned int k = 0; k < RTE_DIM(worker->fragments); k++)
			if (worker->fragments[k])
				rte_ip_frag_table_destroy(worker->fragments[k]);
		ring_free(worker->inject);
		ring_free(worker->punt);
		pw_idle_fini(worker);
		rte_free(worker->poll);
		rte_free(worker->sa);
		pw_cache_free(worker->templates, PW_TEMPLATES_BYTES);
		pw_cache_free(worker->entries, PW_ENTRIES_BYTES);
		pw_crypto_worker_free(worker->crypto);
		rte_free(worker);
		pw_workers[i] = NULL;
	}
	pw_worker_count = 0;
	rte_mempool_free(pw_mbuf_pool);
	rte_mempool_free(pw_reassembly_pool);
	pw_mbuf_pool = pw_reassembly_pool = NULL;
}

/* Those who sleep do not look into their rings. */
static void handed_wake(struct pw_worker *worker)
{
	static_assert(PW_WORKERS <= 64, "a bit a worker");
	for (; worker->handed; worker->handed &= worker->handed - 1)
		pw_idle_wake_sleeping(pw_workers[__builtin_ctzll(worker->handed)]);
}

void pw_worker_walk(struct pw_worker *worker)
{
	worker->now = rte_rdtsc();
	worker->worked = false;
	rte_graph_walk(worker->graph);
	/* Without threads it is the caller who looks at punted. */
	if (unlikely(worker->punted && wake_fd >= 0)) {
		worker->punted = false;
		eventfd_write(wake_fd, 1);
	}
	if (unlikely(worker->handed))
		handed_wake(worker);
}

void pw_worker_step(struct pw_worker *worker)
{
	RTE_PER_LCORE(pw_worker) = worker;
	pw_worker_walk(worker);
	pw_reassembly_expire(worker);
	RTE_PER_LCORE(pw_worker) = NULL;
}

static int worker_main(void *context)
{
	struct pw_worker *worker = context;
	struct rte_rcu_qsbr *qsbr = pw_retire_qsbr();
	uint64_t period = rte_get_tsc_hz() / 1000 * EXPIRE_EVERY_MS;
	uint64_t expire = rte_rdtsc() + period;
	uint64_t idle_walks = 0;

	RTE_PER_LCORE(pw_worker) = worker;
	/* The kernel's default slack of 50 us would double the shortest sleeps. */
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	rte_rcu_qsbr_thread_register(qsbr, worker->index);
	rte_rcu_qsbr_thread_online(qsbr, worker->index);
	while (!__atomic_load_n(&stopping, __ATOMIC_RELAXED)) {
		pw_worker_walk(worker);
		if (unlikely(worker->now > expire)) {
			pw_reassembly_expire(worker);
			expire = worker->now + period;
		}
		rte_rcu_qsbr_quiescent(qsbr, worker->index);
		if (worker->worked) {
			idle_walks = 0;
		} else {
			worker->idle_walks++;
			pw_idle(worker, qsbr, &idle_walks);
		}
	}
	rte_rcu_qsbr_thread_offline(qsbr, worker->index);
	rte_rcu_qsbr_thread_unregister(qsbr, worker->index);
	RTE_PER_LCORE(pw_worker) = NULL;
	return 0;
}

int pw_workers_start(int wake)
{
	wake_fd = wake;
	stopping = false;
	for (uint16_t i = 0; i < pw_worker_count; i++) {
		int ret = -EINVAL;

		if (pw_workers[i]->lcore < RTE_MAX_LCORE)
			ret = rte_eal_remote_launch(worker_main, pw_workers[i],
						    pw_workers[i]->lcore);
		if (ret) {
			pw_workers_stop();
			return ret;
		}
	}
	return 0;
}

/* A walk carries every packet to its end, so nothing is left in a graph between walks. */
void pw_workers_stop(void)
{
	__atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
	for (uint16_t i = 0; i < pw_worker_count; i++)
		pw_idle_wake(pw_workers[i]);
	rte_eal_mp_wait_lcore();
}

static void poll_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

/* Lets what arrives there wake the worker. An interrupt is still enabled when the queue was taken
 * out of a list under a sleeping worker. */
static void queue_watch(struct pw_worker *worker, struct pw_poll_list *list, uint16_t i)
{
	uint16_t queue = list->item[i].queue;
	int fd = pw_port_rx_fd(list->item[i].port, queue, &list->item[i].interrupt);

	if (fd >= 0 && pw_idle_add(worker, fd) < 0)
		fd = PW_RX_LOOK;
	list->item[i].fd = fd;
	list->item[i].interrupt &= fd >= 0;
	if (list->item[i].interrupt)
		rte_eth_dev_rx_intr_disable(list->item[i].ethdev, queue);
}

/* The worker's list without @p port, and with queue @p queue of it when that is >= 0. */
static struct pw_poll_list *poll_list(struct pw_worker *worker, uint16_t port, uint16_t ethdev,
				      int queue)
{
	const struct pw_poll_list *old = worker->poll;
	struct pw_poll_list *list = rte_zmalloc(
		"poll list", sizeof(*list) + (old->count + 1) * sizeof(list->item[0]), 0);

	if (!list)
		return NULL;
	for (uint16_t i = 0; i < old->count; i++)
		if (old->item[i].port != port || queue >= 0)
			list->item[list->count++] = old->item[i];
	if (queue >= 0) {
		list->item[list->count].port = port;
		list->item[list->count].ethdev = ethdev;
		list->item[list->count].queue = (uint16_t)queue;
		queue_watch(worker, list, list->count++);
	}
	for (uint16_t i = 0; i < list->count; i++)
		list->blind += list->item[i].fd == PW_RX_LOOK;
	return list;
}

static int poll_change(struct pw_worker *worker, uint16_t port, uint16_t ethdev, int queue)
{
	struct pw_poll_list *list = poll_list(worker, port, ethdev, queue);
	struct pw_poll_list *old = worker->poll;

	if (!list)
		return -ENOMEM;
	__atomic_store_n(&worker->poll, list, __ATOMIC_RELEASE);
	pw_idle_wake(worker);
	for (uint16_t i = 0; queue < 0 && i < old->count; i++)
		if (old->item[i].port == port && old->item[i].fd >= 0)
			pw_idle_delete(worker, old->item[i].fd);
	pw_retire(poll_reclaim, old, 0);
	return 0;
}

int pw_workers_poll_add(uint16_t port, uint16_t ethdev, uint16_t rx_queues)
{
	for (uint16_t queue = 0; queue < rx_queues; queue++) {
		int ret = poll_change(pw_workers[queue % pw_worker_count], port, ethdev, queue);

		if (ret) {
			pw_workers_poll_delete(port);
			return ret;
		}
	}
	return 0;
}

void pw_workers_poll_delete(uint16_t port)
{
	for (uint16_t i = 0; i < pw_worker_count; i++)
		while (poll_change(pw_workers[i], port, 0, -1) == -ENOMEM)
			pw_retire_drain();
	pw_retire_drain();
}

bool pw_worker_inject_flow(struct rte_mbuf *mbuf, uint32_t flow)
{
	struct pw_worker *worker = pw_workers[flow % pw_worker_count];

	if (rte_ring_mp_enqueue(worker->inject, mbuf) == 0) {
		pw_idle_wake_sleeping(worker);
		return true;
	}
	rte_pktmbuf_free(mbuf);
	return false;
}

bool pw_worker_inject(struct rte_mbuf *mbuf)
{
	static uint32_t next;

	return pw_worker_inject_flow(mbuf, next++);
}
