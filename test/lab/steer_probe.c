/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opens one port and shows what comes in: for test_steer.py, which plays both neighbours.
 *
 *   steer_probe PORT [local=ADDRESS | echo=ADDRESS | esp=ADDRESS | vlan=ID]...
 *
 * prints "port ..." when it is ready, then a line "rx HEX" for each frame that is Pewter's.
 * A line "tx HEX" on standard input is sent; "close", "stats", "mtu N", "down", "up", "link",
 * "reopen" and "delete=ADDRESS" do what they say; end of input ends it.
 * PROBE_WORKERS says for how many workers the port has queues (1).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "dataplane/path.h"
#include "dataplane/idle.h"
#include "dataplane/worker.h"
#include "drivers/pool.h"
#include "drivers/port.h"
#include "drivers/steer.h"
#include "lib/log.h"
#include "lib/retire.h"

#define BURST 32

static int port = -1;

static int local(const char *text, bool add, uint8_t also)
{
	uint8_t address[16];

	if (inet_pton(AF_INET, text, address) == 1)
		return pw_steer_local(port, AF_INET, address, add, also);
	if (inet_pton(AF_INET6, text, address) == 1)
		return pw_steer_local(port, AF_INET6, address, add, also);
	return -EINVAL;
}

static void receive(void)
{
	const struct pw_port *it = pw_port_find(port);
	struct rte_mbuf *packets[BURST];

	for (uint16_t queue = 0; it && queue < it->rx_queues; queue++) {
		uint16_t count = rte_eth_rx_burst(it->ethdev, queue, packets, BURST);

		for (uint16_t i = 0; i < count; i++) {
			const uint8_t *data = rte_pktmbuf_mtod(packets[i], uint8_t *);

			printf("rx ");
			for (uint16_t k = 0; k < packets[i]->data_len; k++)
				printf("%02x", data[k]);
			printf("\n");
			rte_pktmbuf_free(packets[i]);
		}
	}
}

static void transmit(const char *hex)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	unsigned int byte;

	if (!mbuf)
		return;
	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		*rte_pktmbuf_append(mbuf, 1) = byte;
	if (rte_eth_tx_burst(pw_port_find(port)->ethdev, 0, &mbuf, 1) == 0)
		rte_pktmbuf_free(mbuf);
}

static void statistics(void)
{
	struct pw_port_statistics s;

	pw_port_statistics(port, &s);
	printf("stats rx=%" PRIu64 " missed=%" PRIu64 " errors=%" PRIu64 " nombuf=%" PRIu64
	       " tx=%" PRIu64 " tx_errors=%" PRIu64 "\n",
	       s.rx_packets, s.rx_missed, s.rx_errors, s.rx_nombuf, s.tx_packets, s.tx_errors);
}

static void describe(void)
{
	const struct pw_port *it = pw_port_find(port);

	printf("port driver=%d queues=%u/%u mtu=%u/%u carrier=%d face=%d:%s "
	       "mac=%02x:%02x:%02x:%02x:%02x:%02x\n",
	       it->spec.driver, it->rx_queues, it->tx_queues, it->mtu, it->mtu_max, it->carrier,
	       it->face, it->face_name, it->mac[0], it->mac[1], it->mac[2], it->mac[3], it->mac[4],
	       it->mac[5]);
}

static void link_state(void)
{
	bool changed = pw_port_poll_link(port);

	printf("link changed=%d carrier=%d\n", changed, pw_port_find(port)->carrier);
}

static void command(char *line)
{
	char error[256] = "";
	int result = 0;
	unsigned int id;

	if (strncmp(line, "tx ", 3) == 0)
		transmit(line + 3);
	else if (strcmp(line, "stats") == 0)
		statistics();
	else if (strcmp(line, "link") == 0)
		link_state();
	else if (strcmp(line, "up") == 0 || strcmp(line, "down") == 0)
		result = pw_port_set_up(port, line[0] == 'u');
	else if (sscanf(line, "mtu %u", &id) == 1)
		result = pw_port_set_mtu(port, id);
	else if (strncmp(line, "local=", 6) == 0)
		result = local(line + 6, true, 0);
	else if (strncmp(line, "echo=", 5) == 0)
		result = local(line + 5, true, PW_STEER_ECHO);
	else if (strncmp(line, "esp=", 4) == 0)
		result = local(line + 4, true, PW_STEER_ESP);
	else if (strncmp(line, "delete=", 7) == 0)
		result = local(line + 7, false, 0);
	else if (sscanf(line, "vlan=%u", &id) == 1)
		result = pw_steer_vlan(port, id, true);
	else if (strcmp(line, "reopen") == 0) {
		struct pw_port_spec spec = pw_port_find(port)->spec;

		pw_port_close(port);
		result = port = pw_port_open(&spec, error, sizeof(error));
		if (port >= 0)
			describe();
	} else
		result = -EINVAL;
	if (strstr(line, "tx "))
		line[strcspn(line, " ")] = '\0'; /* not the whole frame */
	printf("done %s: %d %s\n", line, result, error);
}

/* Reads what is there; false at the end of input. */
static bool commands(void)
{
	static char text[65536];
	static size_t used;
	ssize_t got = read(STDIN_FILENO, text + used, sizeof(text) - 1 - used);
	char *end;

	if (got == 0)
		return false;
	if (got < 0)
		return errno == EAGAIN;
	used += got;
	text[used] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end = '\0';
		command(text);
		used -= end + 1 - text;
		memmove(text, end + 1, used + 1);
	}
	return used < sizeof(text) - 1;
}

static void run(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	do {
		receive();
		fflush(stdout);
		poll(&input, 1, 1);
	} while (commands());
}

/* Workers that nobody runs: this program polls. */
static int workers_make(void)
{
	const char *count = getenv("PROBE_WORKERS");

	for (int i = 0; i < (count ? atoi(count) : 1); i++) {
		pw_workers[i] = rte_zmalloc("worker", sizeof(*pw_workers[i]), RTE_CACHE_LINE_SIZE);
		if (!pw_workers[i])
			return -ENOMEM;
		pw_workers[i]->poll = rte_zmalloc("poll list", sizeof(struct pw_poll_list), 0);
		if (!pw_workers[i]->poll || pw_idle_init(pw_workers[i]))
			return -ENOMEM;
		pw_worker_count = i + 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char *arguments[] = {"steer_probe",
				    "--no-huge",
				    "--no-shconf",
				    "--no-pci",
				    "--no-telemetry",
				    "-l0",
				    "-m256",
				    "--log-level=lib.*:error",
				    NULL};
	struct pw_port_spec spec;
	char error[256];

	pw_log_set_level(PW_LOG_DEBUG);
	if (argc < 2 || pw_port_parse(argv[1], &spec, error, sizeof(error)) < 0) {
		fprintf(stderr, "%s\n", argc < 2 ? "steer_probe PORT ..." : error);
		return 2;
	}
	if (rte_eal_init(8, arguments) < 0 || pw_retire_init(1) < 0)
		return 2;
	pw_mbuf_pool = pw_pool_create("packets", 16384, 256, RTE_MBUF_DEFAULT_BUF_SIZE);
	if (!pw_mbuf_pool || workers_make() < 0)
		return 2;
	port = pw_port_open(&spec, error, sizeof(error));
	if (port < 0) {
		printf("refused %d %s\n", port, error);
		return 1;
	}
	for (int i = 2; i < argc; i++)
		command(argv[i]);
	describe();
	fflush(stdout);
	run();
	pw_port_close_all();
	rte_eal_cleanup();
	return 0;
}
