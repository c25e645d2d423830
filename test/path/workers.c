/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two workers on one pair of SAs at once: each steps its own graph on a thread of its own, from
 * and to queues of its own. Outward no sequence number is used twice and none is left out; inward
 * of two copies of a packet, one for each worker at the same time, just one is accepted.
 *
 *   PW_BUILD=... path-workers [ROUNDS]
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "control/control.h"
#include "control/core.h"
#include "control/loop.h"
#include "control/socket.h"
#include "dataplane/worker.h"
#include "drivers/crypto.h"
#include "drivers/port.h"
#include "test/path/configure.h"
#include "test/path/frame.h"

#define WORKERS     2
#define RING_SIZE   1024
#define MBUFS       16383
#define LPM_BYTES   (64u << 20)
#define PACKETS     500 /* for one worker, a round */
#define ROUNDS      200
#define WINDOW      "1024" /* more than PACKETS: no copy comes too late */
#define INNER_BYTES 64
#define ETHER       FRAME_ETHER
#define IPV4        20
#define ESP_AND_IV  16
#define ICV         16
#define INSIDE      (4 + 4 + INNER_BYTES) /* GRE, label, packet */
#define TEXT        ((INSIDE + 2 + 3) & ~3)
#define SPI_IN      0x1001

enum port { CORE, RED, PORTS };
static const char *const names[PORTS] = {"core", "red0"};

static struct rte_ring *rx[PORTS][WORKERS], *tx[PORTS][WORKERS];
static char directory[] = "/tmp/pw-workers-XXXXXX";
static char socket_path[64];
static pthread_barrier_t barrier;
static bool ending;
static unsigned int failures;

static const char script[] =
	"key=0x$(printf '5a%.0s' $(seq 20))\n"
	"ip -batch - <<BATCH\n"
	"link set core up\n"
	"link set red0 up\n"
	"addr add 192.0.2.1/24 dev core\n"
	"addr add 10.255.0.1/32 dev core\n"
	"neigh add 192.0.2.2 lladdr 02:00:00:00:c0:02 dev core nud permanent\n"
	"route add 10.255.0.2/32 via 192.0.2.2\n"
	"link add red type vrf table 10\n"
	"link set red up\n"
	"link set red0 master red\n"
	"addr add 10.1.0.1/24 dev red0\n"
	"neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 dev red0 nud permanent\n"
	"link add mgre0 type gre local 10.255.0.1 ttl 64\n"
	"link set mgre0 up\n"
	"addr add 172.16.0.1/24 dev mgre0\n"
	"neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent\n"
	"route add table 10 10.2.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0\n"
	"xfrm state add src 10.255.0.2 dst 10.255.0.1 proto esp spi 0x1001 mode transport"
	" aead rfc4106(gcm(aes)) $key 128 replay-window " WINDOW "\n"
	"xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1002 mode transport"
	" aead rfc4106(gcm(aes)) $key 128\n"
	"xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto gre dir out"
	" tmpl proto esp mode transport\n"
	"xfrm policy add src 10.255.0.2/32 dst 10.255.0.1/32 proto gre dir in"
	" tmpl proto esp mode transport\n"
	"BATCH\n"
	"ip -f mpls route add 200 dev red\n";

static void die(const char *what)
{
	printf("FAIL workers/%s %s\n", what, strerror(errno));
	exit(1);
}

static void check(bool good, const char *what, unsigned long long number)
{
	if (good)
		return;
	printf("FAIL workers/%s %llu\n", what, number);
	failures++;
}

/* ---- a PE -------------------------------------------------------------------------------- */

static void open_port(enum port port)
{
	struct rte_ether_addr mac = {.addr_bytes = {0x02, 0x50, 0, 0, 0, (uint8_t)port}};
	char error[200] = "", ring[RTE_RING_NAMESIZE];
	int ethdev, index;

	for (unsigned int i = 0; i < WORKERS; i++) {
		snprintf(ring, sizeof(ring), "rx-%u-%u", port, i);
		rx[port][i] = rte_ring_create(ring, RING_SIZE, SOCKET_ID_ANY,
					      RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(ring, sizeof(ring), "tx-%u-%u", port, i);
		tx[port][i] = rte_ring_create(ring, RING_SIZE, SOCKET_ID_ANY,
					      RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!rx[port][i] || !tx[port][i])
			die("rings");
	}
	ethdev = rte_eth_from_rings(names[port], rx[port], WORKERS, tx[port], WORKERS, 0);
	if (ethdev < 0 || rte_eth_dev_mac_addr_add((uint16_t)ethdev, &mac, 0))
		die("ethdev");
	index = pw_port_open_ethdev(names[port], (uint16_t)ethdev, error, sizeof(error));
	if (index < 0 || !pw_link_add_port((uint16_t)index)) {
		fprintf(stderr, "%s\n", error);
		die("port");
	}
}

static void step_all(int timeout_ms)
{
	pw_loop_step(timeout_ms);
	for (uint16_t i = 0; i < WORKERS; i++)
		pw_worker_step(pw_workers[i]);
}

static void start(void)
{
	char prefix[64], lcores[64];
	char *argv[] = {
		"path-workers", "--no-huge",   "--no-shconf",   "--no-pci", "--no-telemetry",
		"-m",           "512",         "--file-prefix", prefix,     "--lcores",
		lcores,         "--log-level", "*:error",
	};
	struct pw_core_options options = {
		.workers = WORKERS, .mbufs = MBUFS, .lpm_bytes = LPM_BYTES};
	static struct pw_socket_options listen = {.path = socket_path};
	char error[200] = "";

	snprintf(prefix, sizeof(prefix), "pewter-workers-%d", getpid());
	/* The workers' threads inherit it: they are to have more than one CPU. */
	snprintf(lcores, sizeof(lcores), "0@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
	if (!mkdtemp(directory))
		die("directory");
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		die("EAL");
	if (pw_core_start(&options))
		die("core");
	for (enum port port = 0; port < PORTS; port++)
		open_port(port);
	if (pw_socket_open(&listen, error, sizeof(error)))
		die(error);
	if (configure_by(socket_path, script, step_all))
		die("configuration");
}

static void stop(void)
{
	pw_socket_close();
	pw_port_close_all();
	pw_core_stop();
	rte_eal_cleanup();
	rmdir(rte_eal_get_runtime_dir());
	unlink(socket_path);
	rmdir(directory);
}

/* ---- workers ----------------------------------------------------------------------------- */

static bool has_work(unsigned int worker)
{
	for (enum port port = 0; port < PORTS; port++)
		if (!rte_ring_empty(rx[port][worker]))
			return true;
	return false;
}

/* Between the two barriers of a round the rings are this thread's alone. */
static void *worker_main(void *argument)
{
	unsigned int worker = (unsigned int)(uintptr_t)argument;

	if (rte_thread_register())
		die("thread");
	for (;;) {
		pthread_barrier_wait(&barrier);
		if (ending)
			break;
		while (has_work(worker))
			pw_worker_step(pw_workers[worker]);
		for (int i = 0; i < 4; i++)
			pw_worker_step(pw_workers[worker]);
		pthread_barrier_wait(&barrier);
	}
	rte_thread_unregister();
	return NULL;
}

static void round_run(void)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
}

static uint64_t drops_of(enum pw_drop drop)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < WORKERS; i++)
		sum += pw_workers[i]->drops[drop];
	return sum;
}

static uint64_t drops_all(void)
{
	uint64_t sum = 0;

	for (unsigned int drop = 1; drop < PW_DROP_COUNT; drop++)
		sum += drops_of(drop);
	return sum;
}

/* ---- packets ----------------------------------------------------------------------------- */

static void put(enum port port, unsigned int worker, const uint8_t *frame, uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

	if (!mbuf)
		die("mbuf");
	memcpy(rte_pktmbuf_append(mbuf, length), frame, length);
	if (rte_ring_enqueue(rx[port][worker], mbuf))
		die("ring");
}

/* A customer's packet; its last bytes say which. */
static void inner(uint8_t *at, uint32_t from, uint32_t to, uint64_t mark)
{
	memset(at, 0, INNER_BYTES);
	frame_ipv4(at, INNER_BYTES, IPPROTO_UDP, from, to);
	memcpy(at + INNER_BYTES - sizeof(mark), &mark, sizeof(mark));
}

static uint64_t mark_of(const uint8_t *frame)
{
	uint64_t mark;

	memcpy(&mark, frame + ETHER + INNER_BYTES - sizeof(mark), sizeof(mark));
	return mark;
}

/* ---- outward ------------------------------------------------------------------------------ */

/* The numbers of all that was sent, each once in @p seen. Returns how many there were. */
static unsigned int numbers_take(uint8_t *seen, uint64_t most)
{
	unsigned int count = 0;
	struct rte_mbuf *mbuf = NULL;

	for (unsigned int worker = 0; worker < WORKERS; worker++) {
		while (rte_ring_dequeue(tx[CORE][worker], (void **)&mbuf) == 0) {
			uint32_t number;

			memcpy(&number, rte_pktmbuf_mtod_offset(mbuf, uint8_t *, ETHER + IPV4 + 4),
			       4);
			number = rte_be_to_cpu_32(number);
			check(number > 0 && number <= most,
			      "outward a number beyond all packets:", number);
			if (number <= most) {
				check(!seen[number], "outward a number twice:", number);
				seen[number] = 1;
			}
			rte_pktmbuf_free(mbuf);
			count++;
		}
	}
	return count;
}

static void outward(unsigned int rounds)
{
	uint64_t most = (uint64_t)rounds * PACKETS * WORKERS, sent = 0;
	uint8_t frame[ETHER + INNER_BYTES], *seen = calloc(most + 1, 1);

	if (!seen)
		die("memory");
	frame_ether(frame, RED);
	inner(frame + ETHER, RTE_IPV4(10, 1, 0, 2), RTE_IPV4(10, 2, 0, 2), 0);
	for (unsigned int round = 0; round < rounds && !failures; round++) {
		for (unsigned int i = 0; i < PACKETS * WORKERS; i++)
			put(RED, i % WORKERS, frame, sizeof(frame));
		round_run();
		sent += numbers_take(seen, most);
	}
	check(sent == most, "outward packets sent:", sent);
	for (uint64_t number = 1; number <= most && !failures; number++)
		check(seen[number], "outward a number is missing:", number);
	check(drops_all() == 0, "outward drops:", drops_all());
	free(seen);
	if (!failures)
		printf("ok workers/outward %llu numbers\n", (unsigned long long)most);
}

/* ---- inward ------------------------------------------------------------------------------- */

static void shuffle(uint32_t *numbers, unsigned int count)
{
	for (unsigned int i = count - 1; i > 0; i--) {
		unsigned int k = (unsigned int)random() % (i + 1);
		uint32_t number = numbers[i];

		numbers[i] = numbers[k];
		numbers[k] = number;
	}
}

static uint16_t seal(struct pw_crypto_worker *crypto, const struct pw_crypto_key *key,
		     uint8_t *frame, uint32_t number)
{
	static const uint8_t gre_and_label[] = {0, 0, 0x88, 0x47, 0, 0x0c, 0x81, 0x40};
	uint8_t *esp = frame + ETHER + IPV4, *text = esp + ESP_AND_IV;
	struct pw_crypto_op op = {.key = key, .esp = esp, .text_bytes = TEXT};
	uint32_t spi = RTE_BE32(SPI_IN), low = rte_cpu_to_be_32(number);
	uint64_t iv = number;
	uint8_t padding = TEXT - INSIDE - 2;
	uint16_t length = IPV4 + ESP_AND_IV + TEXT + ICV;

	frame_ether(frame, CORE);
	frame_ipv4(frame + ETHER, length, IPPROTO_ESP, RTE_IPV4(10, 255, 0, 2),
		   RTE_IPV4(10, 255, 0, 1));
	memcpy(esp, &spi, 4);
	memcpy(esp + 4, &low, 4);
	memcpy(esp + 8, &iv, 8);
	memcpy(text, gre_and_label, sizeof(gre_and_label));
	inner(text + sizeof(gre_and_label), RTE_IPV4(10, 2, 0, 2), RTE_IPV4(10, 1, 0, 2), number);
	for (uint8_t i = 0; i < padding; i++)
		text[INSIDE + i] = i + 1;
	text[TEXT - 2] = padding;
	text[TEXT - 1] = IPPROTO_GRE;
	if (pw_crypto_seal(crypto, &op, 1))
		die("seal");
	return ETHER + length;
}

static void accepted_take(uint8_t *seen, uint32_t first)
{
	struct rte_mbuf *mbuf = NULL;

	for (unsigned int worker = 0; worker < WORKERS; worker++) {
		while (rte_ring_dequeue(tx[RED][worker], (void **)&mbuf) == 0) {
			uint64_t number = mark_of(rte_pktmbuf_mtod(mbuf, uint8_t *)) - first;

			if (number >= PACKETS)
				check(false, "inward a packet that was not sent:", number);
			else
				seen[number]++;
			rte_pktmbuf_free(mbuf);
		}
	}
}

/* Each packet twice, one for each worker, in two orders. */
static void inward_round(struct pw_crypto_worker *crypto, const struct pw_crypto_key *key,
			 uint32_t first)
{
	static uint8_t frames[PACKETS][ETHER + IPV4 + ESP_AND_IV + TEXT + ICV];
	uint8_t seen[PACKETS] = {0};
	uint32_t order[PACKETS];
	uint64_t replays = drops_of(PW_DROP_ESP_REPLAY);

	for (uint32_t i = 0; i < PACKETS; i++) {
		order[i] = i;
		seal(crypto, key, frames[i], first + i);
	}
	for (unsigned int worker = 0; worker < WORKERS; worker++) {
		/* The same order for both is the closest race; any other the wider one. */
		if (first / PACKETS % 2)
			shuffle(order, PACKETS);
		for (uint32_t i = 0; i < PACKETS; i++)
			put(CORE, worker, frames[order[i]], sizeof(frames[0]));
	}
	round_run();
	accepted_take(seen, first);
	for (uint32_t i = 0; i < PACKETS; i++)
		check(seen[i] == 1,
		      seen[i] ? "inward a packet accepted twice:"
			      : "inward a packet refused in the window:",
		      first + i);
	check(drops_of(PW_DROP_ESP_REPLAY) - replays == PACKETS * (WORKERS - 1),
	      "inward replays counted:", drops_of(PW_DROP_ESP_REPLAY) - replays);
}

static void inward(unsigned int rounds)
{
	static const struct pw_crypto_proposal proposal = {
		.cipher = "rfc4106(gcm(aes))", .key_bits = 160, .icv_bits = 128};
	const struct pw_crypto_suite *suite;
	struct pw_crypto_worker *crypto;
	struct pw_crypto_key *key;
	char why[PW_CRYPTO_WHY_BYTES];
	uint8_t bytes[20];

	memset(bytes, 0x5a, sizeof(bytes));
	if (pw_crypto_suite_find(&proposal, &suite, why) ||
	    pw_crypto_key_new(suite, bytes, sizeof(bytes), NULL, 0, &key) ||
	    pw_crypto_worker_new(&crypto))
		die("crypto");
	for (unsigned int round = 0; round < rounds && !failures; round++)
		inward_round(crypto, key, 1 + round * PACKETS);
	check(drops_all() == drops_of(PW_DROP_ESP_REPLAY), "inward other drops:", drops_all());
	pw_crypto_worker_free(crypto);
	pw_crypto_key_free(key);
	if (!failures)
		printf("ok workers/inward %u packets, each for both workers\n", rounds * PACKETS);
}

static void drops_show(void)
{
	for (unsigned int drop = 1; drop < PW_DROP_COUNT; drop++)
		if (drops_of(drop))
			printf("%s %llu\n", pw_drop_name(drop), (unsigned long long)drops_of(drop));
}

/* ---- both --------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : ROUNDS;
	pthread_t threads[WORKERS];
	unsigned int used;

	srandom(4303);
	start();
	used = rte_mempool_in_use_count(pw_mbuf_pool);
	pthread_barrier_init(&barrier, NULL, WORKERS + 1);
	for (uintptr_t i = 0; i < WORKERS; i++)
		if (pthread_create(&threads[i], NULL, worker_main, (void *)i))
			die("thread");
	outward(rounds);
	if (!failures)
		inward(rounds);
	ending = true;
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	check(rte_mempool_in_use_count(pw_mbuf_pool) == used,
	      "buffers lost:", rte_mempool_in_use_count(pw_mbuf_pool));
	if (failures)
		drops_show();
	stop();
	return failures ? 1 : 0;
}
