/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that arrive as ESP. Each number is taken once, and opening destroys what is sealed, so
 * they are made ahead, before a repetition, with numbers that go on from the last one's; the
 * bench port copies them out of there.
 */
#include "control/bench/bench.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <netinet/in.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>

#include "dataplane/transmit/esp.h"
#include "dataplane/worker.h"

#define MEMORY_MAX ((size_t)256 << 20)
#define LINE       64
#define MTU        1700 /* no frame is larger */
#define LEAST      (2 * PW_BENCH_BURST)

struct pw_bench_sealed_packet {
	uint32_t at; /* in lines */
	uint16_t length;
};

static struct pw_bench_sealed supplies[PW_BENCH_WORKERS];

uint16_t pw_bench_esp_before(const struct pw_crypto_suite *suite)
{
	return PW_ESP_HEADER + suite->iv_bytes;
}

static void iv_write(const struct pw_sa *sa, uint8_t *iv, uint64_t number)
{
	uint64_t counter = rte_cpu_to_be_64(number);

	if (sa->iv_bytes == sizeof(counter))
		memcpy(iv, &counter, sizeof(counter));
	else if (sa->flags & PW_SA_RANDOM_IV)
		pw_crypto_random_iv(pw_worker()->crypto, iv);
}

uint16_t pw_bench_esp_write(uint8_t *esp, const struct pw_sa *sa, uint64_t number, uint16_t length,
			    struct pw_crypto_op *op)
{
	uint16_t trailer = pw_esp_trailer(sa->align, 0, length);
	uint32_t low = rte_cpu_to_be_32((uint32_t)number);
	uint8_t *text = esp + PW_ESP_HEADER + sa->iv_bytes;

	memcpy(esp, &sa->spi, sizeof(sa->spi));
	memcpy(esp + 4, &low, sizeof(low));
	iv_write(sa, esp + PW_ESP_HEADER, number);
	pw_esp_write_trailer(text + length, sa->align, 0, length, trailer,
			     sa->flags & PW_SA_TUNNEL ? IPPROTO_IPIP : IPPROTO_GRE);
	*op = (struct pw_crypto_op){
		.key = sa->key,
		.esp = esp,
		.text_bytes = length + trailer,
	};
	return PW_ESP_HEADER + sa->iv_bytes + op->text_bytes + sa->icv_bytes;
}

/* ---- making ------------------------------------------------------------------------------ */

static int room(void **memory, size_t *size, size_t wanted)
{
	if (*size >= wanted)
		return 0;
	if (*memory)
		munmap(*memory, *size);
	*size = 0;
	*memory = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*memory == MAP_FAILED) {
		*memory = NULL;
		return -ENOMEM;
	}
	madvise(*memory, wanted, MADV_HUGEPAGE);
	*size = wanted;
	return 0;
}

static size_t lines_of(const struct pw_bench_stream *stream)
{
	size_t most = 0;

	for (unsigned int i = 0; i < PW_BENCH_IMIX_PERIOD; i++)
		most = RTE_MAX(most, stream->sizes[i]);
	/* Of the largest packet: what is around it, and where padding may spill. */
	return RTE_ALIGN_CEIL(most + PW_BENCH_HEADER_MAX + PW_ESP_SPILL + 64, LINE) / LINE;
}

/* One burst's packets, behind each other. Returns how many lines they take, 0 if it failed. */
static size_t burst_make(struct pw_bench_sealed *sealed, struct pw_bench_stream *stream, size_t at,
			 uint32_t n)
{
	struct pw_crypto_op ops[PW_BENCH_BURST];
	size_t begin = at;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *frame = sealed->memory + at * LINE;
		uint16_t before = stream->esp + pw_bench_esp_before(stream->suite);
		uint16_t length;
		uint32_t peer;

		length = pw_bench_stream_frame(stream, frame, &peer) - before;
		length = stream->esp + pw_bench_esp_write(frame + stream->esp,
							  pw_bench_sa_in(stream->work, peer),
							  pw_bench_sa_number(stream->work, peer),
							  length, &ops[i]);
		sealed->packets[sealed->count++] =
			(struct pw_bench_sealed_packet){.at = (uint32_t)at, .length = length};
		at += RTE_ALIGN_CEIL(RTE_MAX(length + PW_ESP_SPILL, PW_BENCH_HEADER_MAX), LINE) /
		      LINE;
	}
	return pw_crypto_seal(pw_worker()->crypto, ops, n) ? 0 : at - begin;
}

static int sealed_make(struct pw_bench_sealed *sealed, struct pw_bench_stream *stream,
		       uint32_t count)
{
	size_t each = lines_of(stream), at = 0;
	int ret;

	count = RTE_MAX((uint32_t)RTE_MIN(count, MEMORY_MAX / (each * LINE)), (uint32_t)LEAST);
	ret = room((void **)&sealed->memory, &sealed->memory_size, count * each * LINE);
	ret = ret ? ret
		  : room((void **)&sealed->packets, &sealed->packets_size,
			 count * sizeof(*sealed->packets));
	if (ret)
		return ret;
	sealed->count = 0;
	sealed->next = 0;
	while (sealed->count < count) {
		size_t lines = burst_make(sealed, stream, at,
					  RTE_MIN((uint32_t)PW_BENCH_BURST, count - sealed->count));

		if (!lines)
			return -EIO;
		at += lines;
	}
	return 0;
}

/* For one worker, or for those that share. */
struct supply {
	struct pw_bench_sealed *sealed;
	struct pw_bench_stream stream;
	uint32_t count;
	int error;
};

static void supply_make(void *context)
{
	struct supply *supply = context;

	supply->error = sealed_make(supply->sealed, &supply->stream, supply->count);
}

int pw_bench_seal_ahead(const struct pw_bench_row *row, uint32_t count, bool marked, uint64_t seed)
{
	uint16_t several = row->own ? row->workers : 1;
	int ret = 0;

	for (uint16_t i = 0; i < several && ret >= 0; i++) {
		struct supply supply = {.sealed = &supplies[i], .count = count};

		pw_bench_stream_init(&supply.stream, row, i, seed + i);
		supply.stream.marked = marked;
		ret = pw_bench_on_worker(supply_make, &supply);
		ret = ret < 0 ? ret : supply.error;
	}
	if (ret < 0)
		fprintf(stderr, "pewter-bench: packets sealed ahead: %s\n", strerror(-ret));
	return ret < 0 ? ret : 0;
}

struct pw_bench_sealed *pw_bench_sealed_of(const struct pw_bench_row *row, uint16_t worker)
{
	return pw_bench_is_opened(row->work) ? &supplies[row->own ? worker : 0] : NULL;
}

const uint8_t *pw_bench_sealed_first(uint16_t *length)
{
	*length = supplies[0].packets[0].length;
	return supplies[0].memory;
}

uint32_t pw_bench_sealed_used(const struct pw_bench_row *row)
{
	uint32_t most = 0;

	for (uint16_t i = 0; i < row->workers; i++) {
		const struct pw_bench_sealed *from = pw_bench_sealed_of(row, i);

		if (from)
			most = RTE_MAX(most, RTE_MIN(from->next, from->count));
	}
	return most;
}

void pw_bench_sealed_free(void)
{
	for (unsigned int i = 0; i < PW_BENCH_WORKERS; i++) {
		struct pw_bench_sealed *sealed = &supplies[i];

		if (sealed->memory)
			munmap(sealed->memory, sealed->memory_size);
		if (sealed->packets)
			munmap(sealed->packets, sealed->packets_size);
		memset(sealed, 0, sizeof(*sealed));
	}
}

/* ---- handing out ------------------------------------------------------------------------- */

uint16_t pw_bench_sealed_take(struct pw_bench_sealed *sealed, struct rte_mbuf **packets, uint16_t n)
{
	uint32_t first = __atomic_fetch_add(&sealed->next, n, __ATOMIC_RELAXED);

	if (first >= sealed->count)
		return 0;
	n = (uint16_t)RTE_MIN(n, sealed->count - first);
	for (uint16_t i = 0; i < n; i++) {
		const struct pw_bench_sealed_packet *packet = &sealed->packets[first + i];

		rte_memcpy(rte_pktmbuf_mtod(packets[i], void *),
			   sealed->memory + (size_t)packet->at * LINE, packet->length);
		packets[i]->data_len = packet->length;
		packets[i]->pkt_len = packet->length;
	}
	return n;
}
