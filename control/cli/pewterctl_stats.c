/* SPDX-License-Identifier: BSD-3-Clause */
/** stats: what changes from one look to the next, as rates. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/pewterctl.h"
#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

struct port {
	char name[32];
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, lost;
};

struct worker {
	uint64_t index, cpu, tsc, busy, rx_packets, drops;
};

/** One look at everything. */
struct look {
	double time; /* seconds, monotonic */
	struct port *port;
	size_t ports;
	struct worker *worker;
	size_t workers;
	uint64_t hz;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int port_add(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_PORT_ATTR_COUNT];
	struct look *look = context;
	struct port *port;
	const char *name;

	attributes_parse(nlh, table, PW_PORT_ATTR_COUNT - 1);
	name = attribute_string(table[PW_PORT_ATTR_NAME]);
	port = realloc(look->port, (look->ports + 1) * sizeof(*port));
	if (port == NULL)
		return -1;
	look->port = port;
	port += look->ports++;
	snprintf(port->name, sizeof(port->name), "%s", name != NULL ? name : "?");
	port->rx_packets = attribute_number(table[PW_PORT_ATTR_RX_PACKETS]);
	port->rx_bytes = attribute_number(table[PW_PORT_ATTR_RX_BYTES]);
	port->tx_packets = attribute_number(table[PW_PORT_ATTR_TX_PACKETS]);
	port->tx_bytes = attribute_number(table[PW_PORT_ATTR_TX_BYTES]);
	port->lost = attribute_number(table[PW_PORT_ATTR_RX_MISSED]) +
		     attribute_number(table[PW_PORT_ATTR_RX_ERRORS]) +
		     attribute_number(table[PW_PORT_ATTR_RX_NO_BUFFER]) +
		     attribute_number(table[PW_PORT_ATTR_TX_ERRORS]);
	return 0;
}

static int worker_add(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_WORKER_ATTR_COUNT];
	struct look *look = context;
	struct worker *worker;

	attributes_parse(nlh, table, PW_WORKER_ATTR_COUNT - 1);
	worker = realloc(look->worker, (look->workers + 1) * sizeof(*worker));
	if (worker == NULL)
		return -1;
	look->worker = worker;
	worker += look->workers++;
	worker->index = attribute_number(table[PW_WORKER_ATTR_INDEX]);
	worker->cpu = attribute_number(table[PW_WORKER_ATTR_CPU]);
	worker->tsc = attribute_number(table[PW_WORKER_ATTR_TSC]);
	worker->busy = attribute_number(table[PW_WORKER_ATTR_BUSY]);
	worker->rx_packets = attribute_number(table[PW_WORKER_ATTR_RX_PACKETS]);
	worker->drops = attribute_number(table[PW_WORKER_ATTR_DROPS]);
	look->hz = attribute_number(table[PW_WORKER_ATTR_HZ]);
	return 0;
}

static void look_free(struct look *look)
{
	free(look->port);
	free(look->worker);
	memset(look, 0, sizeof(*look));
}

static int look_take(struct client *client, struct look *look)
{
	int ret;

	memset(look, 0, sizeof(*look));
	look->time = now();
	ret = client_dump(client, PW_MSG_PORT, port_add, look);
	return ret < 0 ? ret : client_dump(client, PW_MSG_WORKER, worker_add, look);
}

/** "1.23M": for people. */
static void print_rate(const char *key, int width, double rate)
{
	static const char units[] = " kMGTP";
	unsigned int unit = 0;
	double shown = rate;

	if (printing_json()) {
		print_real(key, NULL, rate);
		return;
	}
	while (shown >= 1000 && unit < sizeof(units) - 2) {
		shown /= 1000;
		unit++;
	}
	if (unit > 0)
		print_text(" %*.2f%c", width, shown, units[unit]);
	else
		print_text(" %*.0f%s", width, shown, width > 0 ? " " : "");
}

static double rate(uint64_t after, uint64_t before, double seconds)
{
	return after > before && seconds > 0 ? (double)(after - before) / seconds : 0;
}

static void port_rates(const struct look *before, const struct look *after, double seconds)
{
	static const struct port none;
	size_t i, k;

	print_text("%-16s %10s %10s %10s %10s %10s\n", "port", "rx pkt/s", "rx bit/s", "tx pkt/s",
		   "tx bit/s", "lost/s");
	print_array_begin("ports");
	for (i = 0; i < after->ports; i++) {
		const struct port *port = &after->port[i], *old = &none;

		for (k = 0; k < before->ports; k++)
			if (strcmp(before->port[k].name, port->name) == 0)
				old = &before->port[k];
		if (old == &none)
			continue; /* it came between the looks */
		print_object_begin(NULL);
		print_string("port", "%-16s", port->name);
		print_rate("rx_packets_per_second", 9,
			   rate(port->rx_packets, old->rx_packets, seconds));
		print_rate("rx_bits_per_second", 9,
			   8 * rate(port->rx_bytes, old->rx_bytes, seconds));
		print_rate("tx_packets_per_second", 9,
			   rate(port->tx_packets, old->tx_packets, seconds));
		print_rate("tx_bits_per_second", 9,
			   8 * rate(port->tx_bytes, old->tx_bytes, seconds));
		print_rate("lost_per_second", 9, rate(port->lost, old->lost, seconds));
		print_object_end();
		print_line();
	}
	print_array_end();
}

static double worker_rates(const struct look *before, const struct look *after, double seconds)
{
	double drops = 0;
	size_t i;

	print_array_begin("workers");
	for (i = 0; i < after->workers && i < before->workers; i++) {
		const struct worker *worker = &after->worker[i], *old = &before->worker[i];
		double cycles = (double)(worker->tsc - old->tsc);
		double busy = cycles > 0 ? 100.0 * (double)(worker->busy - old->busy) / cycles : 0;

		print_object_begin(NULL);
		print_number("worker", "worker %" PRIu64, worker->index);
		print_number("cpu", " cpu %" PRIu64 ":", worker->cpu);
		print_real("busy_percent", " busy %.1f%%", busy < 100 ? busy : 100);
		print_text(", packets/s");
		print_rate("rx_packets_per_second", 0,
			   rate(worker->rx_packets, old->rx_packets, seconds));
		print_text(", drops/s");
		print_rate("drops_per_second", 0, rate(worker->drops, old->drops, seconds));
		print_object_end();
		print_line();
		drops += rate(worker->drops, old->drops, seconds);
	}
	print_array_end();
	return drops;
}

static void rates_print(const struct look *before, const struct look *after)
{
	double seconds = after->time - before->time;
	time_t wall = time(NULL);
	struct tm local;
	char text[32];

	localtime_r(&wall, &local);
	strftime(text, sizeof(text), "%H:%M:%S", &local);
	print_object_begin(NULL);
	print_text("---- %s ----\n", text);
	print_number("time", NULL, (uint64_t)wall);
	print_real("seconds", NULL, seconds);
	port_rates(before, after, seconds);
	print_real("drops_per_second", NULL, worker_rates(before, after, seconds));
	print_object_end();
	if (printing_json())
		print_line();
}

static int watch(struct client *client, double interval, uint64_t count)
{
	struct timespec pause = {(time_t)interval,
				 (long)((interval - (double)(time_t)interval) * 1e9)};
	struct look before, after;
	uint64_t i;
	int ret = look_take(client, &before);

	for (i = 0; ret == 0 && (count == 0 || i < count); i++) {
		nanosleep(&pause, NULL);
		ret = look_take(client, &after);
		if (ret == 0)
			rates_print(&before, &after);
		look_free(&before);
		before = after;
	}
	look_free(&before);
	return ret < 0 ? STATUS_FAILED : STATUS_OK;
}

int command_stats(struct client *client, int argc, char **argv)
{
	double interval = 1;
	uint64_t count = 0;
	int option;
	char *end;

	optind = 0;
	while ((option = getopt(argc, argv, "+j")) != -1) {
		if (option != 'j')
			return usage("stats");
		print_json(true);
	}
	if (argc - optind > 2)
		return usage("stats");
	if (optind < argc) {
		interval = strtod(argv[optind], &end);
		if (end == argv[optind] || *end != '\0' ||
		    !(interval >= 0.1 && interval <= 86400)) {
			say("an interval is 0.1 to 86400 seconds, not \"%s\"", argv[optind]);
			return STATUS_USAGE;
		}
	}
	if (argc - optind == 2 && !parse_number(argv[optind + 1], "a count", 1, UINT32_MAX, &count))
		return STATUS_USAGE;
	return watch(client, interval, count);
}
