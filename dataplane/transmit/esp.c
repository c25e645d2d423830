/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * esp-output: what was made ready (outer header, SPI, room for IV and ICV, trailer) gets its
 * sequence number and IV, and is encrypted in place, a burst at a time.
 *
 * All workers share an SA's numbers: each takes as many as it has packets for, in one addition,
 * so none is used twice and none is kept for later.
 *
 * Where the port by which a whole frame leaves has a session of the SA, the NIC encrypts instead.
 */
#include "dataplane/transmit/esp.h"
#include "drivers/crypto_inline.h"

#include <netinet/in.h>
#include <rte_udp.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_TRANSMIT,
	EDGE_ETHERNET,
};

/* Packets sealed together: what the headers of so many touch stays in the first cache. */
#define BURST 64

struct burst {
	uint16_t count; /* of ops */
	uint16_t packet[BURST];
	struct pw_crypto_op ops[BURST];
};

/* Packets of one SA in a row. */
static uint16_t run_length(void **objs, uint16_t first, uint16_t n)
{
	uint32_t sa = pw_packet(objs[first])->sa;
	uint16_t last = first + 1;

	while (last < n && pw_packet(objs[last])->sa == sa)
		last++;
	return last - first;
}

/* The NIC is to seal it as it sends it; false: the engine is. */
static bool by_port(const struct pw_sa *sa, struct rte_mbuf *mbuf)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_port_table *port;

	if (packet->esp_mode != PW_ESP_FRAME || packet->port >= PW_PORTS)
		return false;
	port = pw_port_get(packet->port);
	return port && pw_inline_has(sa->inlined, port->ethdev) &&
	       pw_inline_egress(sa->inlined, port->ethdev, mbuf, packet->esp_at - sa->esp_at,
				sa->esp_at, sa->flags & PW_SA_IPV6);
}

/* RFC 4303 3.3.3: numbers never cycle. */
static rte_edge_t exhausted(struct pw_worker *worker, const struct pw_sa *sa, struct rte_mbuf *mbuf)
{
	if (!__atomic_exchange_n(&sa->state->exhausted, 1, __ATOMIC_RELAXED)) {
		if (pw_sa_notice_put(PW_SA_NOTICE_EXHAUSTED, sa->id))
			worker->punted = true;
		else
			__atomic_store_n(&sa->state->exhausted, 0, __ATOMIC_RELAXED);
	}
	return pw_stage_drop(mbuf, PW_DROP_ESP_SEQUENCE);
}

/* What is the same for all packets of a run; not read again after each store to one. */
struct run {
	const struct pw_sa *sa;
	const struct pw_crypto_key *key;
	uint64_t number; /* of the first */
	uint16_t iv_bytes;
	uint16_t around; /* bytes of ESP that are not text */
	bool counter;    /* the IV is the number */
	bool esn;
	bool inlined;
};

/* Numbers one packet and says what the engine is to do; returns the bytes that it protects. */
static inline uint16_t number_one(struct pw_worker *worker, const struct run *run, uint64_t number,
				  struct rte_mbuf *mbuf, const struct pw_packet *packet,
				  struct pw_crypto_op *op)
{
	uint8_t *esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, packet->esp_at);
	uint16_t text = mbuf->data_len - packet->esp_at - run->around;
	uint32_t low = rte_cpu_to_be_32((uint32_t)number);

	memcpy(esp + 4, &low, sizeof(low));
	if (likely(run->counter)) {
		uint64_t counter = rte_cpu_to_be_64(number);

		memcpy(esp + PW_ESP_HEADER, &counter, sizeof(counter));
	} else if (run->sa->flags & PW_SA_RANDOM_IV) {
		pw_crypto_random_iv(worker->crypto, esp + PW_ESP_HEADER);
	}
	op->key = run->key;
	op->esp = esp;
	op->mbuf = mbuf;
	op->esn_high = (uint32_t)(number >> 32);
	op->text_bytes = text;
	op->esn = run->esn;
	return text - 2 - esp[PW_ESP_HEADER + run->iv_bytes + text - 2];
}

static void number_run(struct pw_worker *worker, const struct pw_sa *sa, void **objs,
		       uint16_t first, uint16_t count, rte_edge_t *edges, struct burst *burst)
{
	const struct run run = {
		.sa = sa,
		.key = sa->key,
		.number = __atomic_fetch_add(&sa->state->sequence, count, __ATOMIC_RELAXED) + 1,
		.iv_bytes = sa->iv_bytes,
		.around = PW_ESP_HEADER + sa->iv_bytes + sa->icv_bytes,
		.counter = sa->iv_bytes == sizeof(uint64_t),
		.esn = sa->flags & PW_SA_ESN,
		.inlined = sa->inlined && !sa->inlined->ingress,
	};
	uint64_t left = run.number > sa->sequence_limit ? 0 : sa->sequence_limit - run.number + 1;
	uint16_t passed = (uint16_t)RTE_MIN((uint64_t)count, left), ops = burst->count;
	struct pw_sa_counters *counters = &worker->sa[sa->id];
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < passed; i++) {
		struct rte_mbuf *mbuf = objs[first + i];
		const struct pw_packet *packet = pw_packet(mbuf);

		bytes += number_one(worker, &run, run.number + i, mbuf, packet, &burst->ops[ops]);
		edges[first + i] = packet->esp_mode == PW_ESP_FRAME ? EDGE_TRANSMIT : EDGE_ETHERNET;
		burst->packet[ops] = first + i;
		ops += likely(!run.inlined) || !by_port(sa, mbuf);
	}
	for (uint16_t i = first + passed; unlikely(i < first + count); i++)
		edges[i] = exhausted(worker, sa, objs[i]);
	burst->count = ops;
	counters->packets += passed;
	counters->bytes += bytes;
	counters->used = worker->now;
}

/* RFC 8200 8.1: over IPv6, UDP has a checksum. */
static void udp6_checksum(struct rte_mbuf *mbuf, const struct pw_packet *packet)
{
	struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, struct rte_udp_hdr *, packet->esp_at - sizeof(*udp));
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)udp - 1;

	udp->dgram_cksum = 0;
	udp->dgram_cksum = rte_ipv6_udptcp_cksum(ip, udp);
}

static void seal(struct pw_worker *worker, void **objs, rte_edge_t *edges, struct burst *burst)
{
	if (likely(!pw_crypto_seal(worker->crypto, burst->ops, burst->count)))
		return;
	for (uint16_t i = 0; i < burst->count; i++) {
		uint16_t at = burst->packet[i];

		if (burst->ops[i].status != PW_CRYPTO_OK)
			edges[at] = pw_stage_drop(objs[at], PW_DROP_ESP_ENGINE);
	}
}

/* Of packets of many SAs, all that will be read of each, one step for all after the other. */
static void prefetch(const struct pw_worker *worker, void **objs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(&pw_sas.map[pw_packet(objs[i])->sa]);
	for (uint16_t i = 0; i < n; i++) {
		rte_prefetch0(pw_sa_get(pw_packet(objs[i])->sa));
		rte_prefetch0(&worker->sa[pw_packet(objs[i])->sa]);
	}
	for (uint16_t i = 0; i < n; i++) {
		const struct pw_sa *sa = pw_sa_get(pw_packet(objs[i])->sa);

		if (!sa->key)
			continue;
		rte_prefetch0(sa->state);
		pw_crypto_key_prefetch(sa->key);
	}
}

static void burst_output(struct pw_worker *worker, void **objs, rte_edge_t *edges, uint16_t n)
{
	bool udp6 = false;
	struct burst burst;
	uint16_t count;

	burst.count = 0;
	if (unlikely(run_length(objs, 0, n) < n))
		prefetch(worker, objs, n);
	for (uint16_t i = 0; i < n; i += count) {
		const struct pw_sa *sa = pw_sa_get(pw_packet(objs[i])->sa);

		count = run_length(objs, i, n);
		if (unlikely(!sa->key)) {
			for (uint16_t k = i; k < i + count; k++)
				edges[k] = pw_stage_drop(objs[k], PW_DROP_SA_NONE);
			continue;
		}
		udp6 |= sa->flags & PW_SA_UDP && sa->flags & PW_SA_IPV6;
		number_run(worker, sa, objs, i, count, edges, &burst);
	}
	seal(worker, objs, edges, &burst);
	for (uint16_t i = 0; unlikely(udp6) && i < burst.count; i++) {
		struct rte_mbuf *mbuf = objs[burst.packet[i]];
		uint16_t flags = pw_sa_get(pw_packet(mbuf)->sa)->flags;

		if (flags & PW_SA_UDP && flags & PW_SA_IPV6)
			udp6_checksum(mbuf, pw_packet(mbuf));
	}
}

static uint16_t esp_output(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += BURST)
		burst_output(worker, &objs[i], &edges[i], RTE_MIN(BURST, n - i));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(esp_output, "esp-output", esp_output, "drop", "port-transmit", "ethernet-output")
