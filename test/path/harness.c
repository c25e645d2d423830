/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packet-path harness: a PE in one thread, driven by lines on stdin.
 *
 *   harness SOCKET PORT...     API socket's path, names of the ports; prints "ready"
 *
 *   send PORT HEX      the frame arrives on the port (its number)
 *   run                until nothing moves: "sent PORT HEX" for each frame, then "done"
 *   wait MS            the same, for so many milliseconds
 *   counters           "drop NAME N", "event NAME N", "buffers N" (in use), and for each
 *                      interface "interface ID RX-PACKETS RX-BYTES TX-PACKETS TX-BYTES"; "done"
 *   rate PACKETS       what the ICMP and punt limits let through from now
 *   ip-id ID           identification of the next outer header that has one
 *   later SECONDS      what is due of SAs until then happens now
 *   watch 0|1          as if somebody watched, who looks at no packet
 *   headroom BYTES     before the frames that arrive from now on
 *   quit
 *
 * While it waits for a line it keeps the control loop and the worker going, so that a program
 * that talks to the API socket is answered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/loop.h"
#include "control/control.h"
#include "control/sa.h"
#include "dataplane/watch/order.h"
#include "dataplane/worker.h"
#include "test/path/pe.h"

#define LINE_MAX_BYTES (4 * 65536)
#define STEP_MS        20

static char input[LINE_MAX_BYTES];
static size_t input_used;
static bool readable, ended;

static void stdin_ready(uint32_t events, void *context)
{
	readable = true;
}

static void print_frame(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	static const char digits[] = "0123456789abcdef";

	printf("sent %u ", port);
	for (size_t i = 0; i < length; i++) {
		putchar(digits[frame[i] >> 4]);
		putchar(digits[frame[i] & 15]);
	}
	putchar('\n');
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static void command_send(char *line)
{
	static uint8_t frame[UINT16_MAX];
	size_t length = 0;
	char *hex;
	unsigned int port = strtoul(line, &hex, 10);
	int rc;

	hex += strspn(hex, " ");
	for (; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0 && length < sizeof(frame); hex += 2)
		frame[length++] = hex_digit(hex[0]) << 4 | hex_digit(hex[1]);
	rc = *hex == '\0' ? pe_send(port, frame, length) : -EINVAL;
	if (rc != 0)
		printf("error send: %s\n", strerror(-rc));
}

static void command_counters(void)
{
	uint64_t drops;
	struct pw_interface_counters sum;

	for (unsigned int drop = 1; drop < PW_DROP_COUNT; drop++) {
		drops = pw_control_drops[drop]; /* of packets that were held or punted */
		for (unsigned int i = 0; i < pw_worker_count; i++)
			drops += pw_workers[i]->drops[drop];
		if (drops != 0)
			printf("drop %s %lu\n", pw_drop_name(drop), drops);
	}
	for (unsigned int event = 0; event < PW_EVENT_COUNT; event++) {
		uint64_t events = pw_control_events[event];

		for (unsigned int i = 0; i < pw_worker_count; i++)
			events += pw_workers[i]->events[event];
		if (events != 0)
			printf("event %s %lu\n", pw_event_name(event), events);
	}
	for (unsigned int id = 1; id < PW_INTERFACES; id++) {
		memset(&sum, 0, sizeof(sum));
		for (unsigned int i = 0; i < pw_worker_count; i++) {
			sum.rx_packets += pw_workers[i]->counters[id].rx_packets;
			sum.rx_bytes += pw_workers[i]->counters[id].rx_bytes;
			sum.tx_packets += pw_workers[i]->counters[id].tx_packets;
			sum.tx_bytes += pw_workers[i]->counters[id].tx_bytes;
		}
		if (sum.rx_packets != 0 || sum.tx_packets != 0)
			printf("interface %u %lu %lu %lu %lu\n", id, sum.rx_packets, sum.rx_bytes,
			       sum.tx_packets, sum.tx_bytes);
	}
	printf("buffers %u\ndone\n", pe_buffers_used());
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void command_wait(unsigned long duration)
{
	int64_t end = milliseconds() + duration;

	do {
		pe_wait(1, print_frame, NULL);
	} while (milliseconds() < end);
	printf("done\n");
}

static bool command(char *line)
{
	if (strncmp(line, "send ", 5) == 0) {
		command_send(line + 5);
	} else if (strcmp(line, "run") == 0) {
		pe_run(print_frame, NULL);
		printf("done\n");
	} else if (strncmp(line, "wait ", 5) == 0) {
		command_wait(strtoul(line + 5, NULL, 10));
	} else if (strcmp(line, "counters") == 0) {
		command_counters();
	} else if (strncmp(line, "rate ", 5) == 0) {
		pe_rate_set(strtoul(line + 5, NULL, 10));
	} else if (strncmp(line, "ip-id ", 6) == 0) {
		pw_workers[0]->ip_id = strtoul(line + 6, NULL, 10);
	} else if (strncmp(line, "later ", 6) == 0) {
		pw_sa_tick(pw_sa_now() + strtoul(line + 6, NULL, 10) * UINT64_C(1000));
	} else if (strncmp(line, "watch ", 6) == 0) {
		static const struct pw_watch nothing;

		pw_workers[0]->watch = line[6] == '1' ? &nothing : NULL;
	} else if (strncmp(line, "headroom ", 9) == 0) {
		pe_headroom = (uint16_t)strtoul(line + 9, NULL, 10);
	} else if (strcmp(line, "quit") == 0) {
		return false;
	} else {
		printf("error unknown command: %s\n", line);
	}
	return true;
}

/* Whole lines of what has arrived; false when it is time to go. */
static bool read_commands(void)
{
	ssize_t n = read(STDIN_FILENO, input + input_used, sizeof(input) - input_used - 1);
	char *line = input, *newline;

	if (n <= 0) {
		ended = true;
		return false;
	}
	input_used += n;
	input[input_used] = '\0';
	while ((newline = strchr(line, '\n')) != NULL) {
		*newline = '\0';
		if (!command(line))
			return false;
		line = newline + 1;
	}
	input_used -= line - input;
	memmove(input, line, input_used);
	fflush(stdout);
	return input_used < sizeof(input) - 1;
}

int main(int argc, char **argv)
{
	struct pe_config config = {.exact = getenv("PW_TEST_EXACT") != NULL};
	bool running = true;

	if (argc < 3) {
		fprintf(stderr, "usage: %s SOCKET PORT...\n", argv[0]);
		return 2;
	}
	config.socket = argv[1];
	config.names = (const char *const *)argv + 2;
	config.ports = argc - 2;
	if (pe_start(&config) != 0)
		return 1;
	if (pw_loop_watch(STDIN_FILENO, EPOLLIN, stdin_ready, NULL) == NULL) {
		perror("stdin");
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (running) {
		pe_wait(STEP_MS, NULL, NULL);
		if (readable) {
			readable = false;
			running = read_commands();
		}
	}
	pe_stop();
	return 0;
}
