/* SPDX-License-Identifier: BSD-3-Clause */
/* A PE within one thread, for the path harness and the fuzz target. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "control/control.h"
#include "control/core.h"
#include "control/loop.h"
#include "control/socket.h"
#include "control/statistics.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "lib/log.h"
#include "test/path/pe.h"

#define RING_SIZE    1024
#define MBUFS        16383
#define LPM_BYTES    (64u << 20)
#define QUIET_ROUNDS 4 /* a punt needs worker, control loop and worker again */
#define ROUNDS_MAX   10000

static struct {
	struct rte_ring *rx;
	struct rte_ring *tx;
} ports[PE_PORTS_MAX];
static unsigned int port_count;
static struct pe_config configured;
uint16_t pe_headroom = RTE_PKTMBUF_HEADROOM;

/* One lcore, on a CPU that we may run on: everything happens on this thread. */
static int start_eal(void)
{
	char lcores[64];
	char prefix[64];
	char *argv[] = {
		"pewter-path", "--no-huge", /* not with --in-memory, which wants hugepages of its
					       own */
		"--no-shconf", "--no-pci",      "--no-telemetry", "-m",
		"512",         "--file-prefix", prefix,           "--lcores",
		lcores,        "--log-level",   "*:error",
	};
	cpu_set_t allowed;
	int cpu = 0;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -errno;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &allowed))
		cpu++;
	snprintf(prefix, sizeof(prefix), "pewter-path-%d", getpid());
	snprintf(lcores, sizeof(lcores), "0@%d", cpu);
	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return -rte_errno;
	return 0;
}

static int core_start(void)
{
	return pw_core_start(
		&(struct pw_core_options){.workers = 1, .mbufs = MBUFS, .lpm_bytes = LPM_BYTES});
}

static int socket_start(void)
{
	struct pw_socket_options options = {.path = configured.socket};
	char error[200];
	int rc;

	if (options.path == NULL)
		return 0;
	rc = pw_socket_open(&options, error, sizeof(error));
	if (rc != 0)
		fprintf(stderr, "%s\n", error);
	return rc;
}

static int open_port(unsigned int n, const char *name)
{
	struct rte_ether_addr mac = {.addr_bytes = {0x02, 0x50, 0, 0, 0, n}};
	char ring[RTE_RING_NAMESIZE];
	char error[200] = "";
	int ethdev, port;

	snprintf(ring, sizeof(ring), "path-rx-%u", n);
	ports[n].rx =
		rte_ring_create(ring, RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(ring, sizeof(ring), "path-tx-%u", n);
	ports[n].tx =
		rte_ring_create(ring, RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (ports[n].rx == NULL || ports[n].tx == NULL)
		return -rte_errno;
	ethdev = rte_eth_from_rings(name, &ports[n].rx, 1, &ports[n].tx, 1, 0);
	if (ethdev < 0)
		return -rte_errno;
	/* The ring driver's own address is all zero: the first one added takes its place. */
	if (rte_eth_dev_mac_addr_add(ethdev, &mac, 0) != 0)
		return -EIO;
	port = pw_port_open_ethdev(name, ethdev, error, sizeof(error));
	if (port < 0) {
		fprintf(stderr, "port %s: %s\n", name, error);
		return port;
	}
	if (pw_link_add_port(port) == NULL)
		return -errno;
	return 0;
}

static int ports_start(void)
{
	int rc = 0;

	for (port_count = 0; rc == 0 && port_count < configured.ports; port_count++)
		rc = open_port(port_count, configured.names[port_count]);
	if (rc != 0)
		pw_port_close_all();
	return rc;
}

/* As in the daemon, but for threads, signals and the kernel. */
static const struct pw_part parts[] = {
	{NULL, core_start, pw_core_stop},
	{"ports", ports_start, pw_port_close_all},
	{"API socket", socket_start, pw_socket_close},
	{"statistics", pw_statistics_init, pw_statistics_fini},
};

static void exact_free(void *address, void *opaque)
{
	free(opaque);
}

/*
 * The buffer ends where the frame ends, so reading past the frame is reading past an
 * allocation, which AddressSanitizer sees.
 */
static struct rte_mbuf *exact_mbuf(const uint8_t *frame, size_t length)
{
	size_t shared_size = RTE_ALIGN(sizeof(struct rte_mbuf_ext_shared_info), 8);
	struct rte_mbuf_ext_shared_info *shared;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	uint8_t *block = malloc(shared_size + RTE_PKTMBUF_HEADROOM + length);

	if (mbuf == NULL || block == NULL) {
		rte_pktmbuf_free(mbuf);
		free(block);
		return NULL;
	}
	shared = (struct rte_mbuf_ext_shared_info *)block;
	shared->free_cb = exact_free;
	shared->fcb_opaque = block;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(mbuf, block + shared_size, 0, RTE_PKTMBUF_HEADROOM + length,
				  shared);
	rte_pktmbuf_reset_headroom(mbuf);
	mbuf->data_len = length;
	mbuf->pkt_len = length;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), frame, length);
	return mbuf;
}

/* As a NIC does with a frame larger than its buffers: a chain. */
static struct rte_mbuf *pool_mbuf(const uint8_t *frame, size_t length)
{
	struct rte_mbuf *head = NULL, *next;
	size_t piece;

	do {
		next = rte_pktmbuf_alloc(pw_mbuf_pool);
		if (next == NULL)
			goto out;
		next->data_off = pe_headroom;
		piece = RTE_MIN(length, (size_t)rte_pktmbuf_tailroom(next));
		memcpy(rte_pktmbuf_append(next, piece), frame, piece);
		if (head == NULL)
			head = next;
		else if (rte_pktmbuf_chain(head, next) != 0)
			goto out_next;
		frame += piece;
		length -= piece;
	} while (length > 0);
	return head;
out_next:
	rte_pktmbuf_free(next);
out:
	rte_pktmbuf_free(head);
	return NULL;
}

int pe_send(unsigned int port, const uint8_t *frame, size_t length)
{
	struct rte_mbuf *mbuf;

	if (port >= port_count)
		return -EINVAL;
	if (configured.exact && length < UINT16_MAX - RTE_PKTMBUF_HEADROOM)
		mbuf = exact_mbuf(frame, length);
	else
		mbuf = pool_mbuf(frame, length);
	if (mbuf == NULL)
		return -ENOMEM;
	if (rte_ring_enqueue(ports[port].rx, mbuf) != 0) {
		rte_pktmbuf_free(mbuf);
		return -ENOBUFS;
	}
	return 0;
}

static unsigned int collect(pe_sent_fn sent, void *context)
{
	uint8_t frame[UINT16_MAX];
	struct rte_mbuf *mbuf;
	unsigned int n = 0;
	const uint8_t *data;

	for (unsigned int port = 0; port < port_count; port++) {
		while (rte_ring_dequeue(ports[port].tx, (void **)&mbuf) == 0) {
			data = rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, frame);
			if (data != NULL)
				sent(port, data, mbuf->pkt_len, context);
			rte_pktmbuf_free(mbuf);
			n++;
		}
	}
	return n;
}

static bool pending(void)
{
	for (unsigned int port = 0; port < port_count; port++) {
		if (!rte_ring_empty(ports[port].rx))
			return true;
	}
	return false;
}

unsigned int pe_wait(int timeout_ms, pe_sent_fn sent, void *context)
{
	pw_loop_step(timeout_ms);
	pw_worker_step(pw_workers[0]);
	if (pw_workers[0]->punted) {
		pw_workers[0]->punted = false;
		eventfd_write(pw_core_wake_fd(), 1);
	}
	return sent == NULL ? 0 : collect(sent, context);
}

unsigned int pe_run(pe_sent_fn sent, void *context)
{
	unsigned int total = 0, quiet = 0, rounds = 0, n;

	while (quiet < QUIET_ROUNDS && rounds++ < ROUNDS_MAX) {
		n = pe_wait(0, sent, context);
		quiet = n == 0 && !pending() ? quiet + 1 : 0;
		total += n;
	}
	return total;
}

void pe_rate_set(unsigned int packets)
{
	struct pw_worker *worker = pw_workers[0];

	worker->icmp_rate.tokens = packets == 0 ? 0 : worker->icmp_rate.cost * (uint64_t)packets;
	worker->punt_rate.tokens = packets == 0 ? 0 : worker->punt_rate.cost * (uint64_t)packets;
	worker->icmp_rate.last = worker->punt_rate.last = rte_rdtsc();
}

unsigned int pe_buffers_used(void)
{
	return rte_mempool_in_use_count(pw_mbuf_pool) +
	       rte_mempool_in_use_count(pw_reassembly_pool);
}

int pe_start(const struct pe_config *config)
{
	int rc = start_eal();

	if (rc != 0) {
		fprintf(stderr, "EAL: %s\n", strerror(-rc));
		return rc;
	}
	if (config->ports > PE_PORTS_MAX)
		return -E2BIG;
	configured = *config;
	return pw_parts_start(parts, RTE_DIM(parts));
}

void pe_stop(void)
{
	pw_parts_stop(parts, RTE_DIM(parts));
	rte_eal_cleanup();
	rmdir(rte_eal_get_runtime_dir());
}
