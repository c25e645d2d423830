/* SPDX-License-Identifier: BSD-3-Clause */
/* Idle workers: what wakes them, that nothing else does, and which of them may not sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/idle.h"
#include "dataplane/path.h"
#include "dataplane/table/interface.h"
#include "dataplane/worker.h"
#include "drivers/port.h"
#include "drivers/tap.h"
#include "lib/log.h"
#include "lib/retire.h"

#define WORKERS 2
#define FRAMES  15

static char error[256];

/* A port, and what to write into its other end. */
struct wire {
	int index;
	uint8_t frame[60];
};

static int end = -1; /* the other end, of the one port there is */

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int opens(const char *text)
{
	struct pw_port_spec spec;
	int index;

	assert_int_equal(pw_port_parse(text, &spec, error, sizeof(error)), 0);
	index = pw_port_open(&spec, error, sizeof(error));
	if (index < 0)
		fail_msg("%s: %s", text, error);
	return index;
}

/* An MPLS frame to the port, which is never the kernel's. */
static void wire_frame(struct wire *wire)
{
	memset(wire->frame, 0, sizeof(wire->frame));
	memcpy(wire->frame, pw_port_find(wire->index)->mac, ETH_ALEN);
	wire->frame[6] = 0x02;
	wire->frame[12] = ETH_P_MPLS_UC >> 8;
	wire->frame[13] = ETH_P_MPLS_UC & 0xff;
	wire->frame[16] = 0x01; /* bottom of stack */
	wire->frame[17] = 64;
}

/* The kernel's end of a TAP port. */
static struct wire wire_to_tap(void)
{
	struct wire wire = {.index = opens("t=tap:t0")};
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_ifindex = (int)if_nametoindex("t0")};

	end = socket(AF_PACKET, SOCK_RAW, 0);
	assert_true(end >= 0);
	assert_int_equal(bind(end, (struct sockaddr *)&address, sizeof(address)), 0);
	wire_frame(&wire);
	return wire;
}

/* A TAP of ours is the interface that the port takes. */
static struct wire wire_to_interface(const char *port, enum pw_port_driver driver)
{
	struct wire wire;

	end = pw_tap_attach("w0", 0);
	assert_true(end >= 0);
	wire.index = opens(port);
	if (pw_port_find(wire.index)->spec.driver != driver)
		skip(); /* it fell back to another */
	wire_frame(&wire);
	return wire;
}

static void wire_send(const struct wire *wire)
{
	assert_int_equal(write(end, wire->frame, sizeof(wire->frame)), sizeof(wire->frame));
}

static bool readable(int fd, int milliseconds)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, milliseconds) == 1 && (one.revents & POLLIN);
}

static uint16_t taken(const struct wire *wire)
{
	uint16_t queues = pw_port_find(wire->index)->rx_queues;
	struct rte_mbuf *mbufs[8];
	uint16_t count = 0;

	for (uint64_t until = now_us() + 1000000; !count && now_us() < until;)
		for (uint16_t i = 0; i < queues; i++)
			count += rte_eth_rx_burst(pw_port_find(wire->index)->ethdev, i,
						  mbufs + count, 4);
	rte_pktmbuf_free_bulk(mbufs, count);
	return count;
}

/* The queue whose descriptor says that there is a packet; which one is the kernel's choice. */
static int queue_readable(const struct wire *wire, int milliseconds)
{
	uint16_t queues = pw_port_find(wire->index)->rx_queues;
	bool interrupt;

	for (uint16_t i = 0; i < queues; i++)
		if (readable(pw_port_rx_fd(wire->index, i, &interrupt),
			     i + 1 == queues ? milliseconds : 0))
			return i;
	return -1;
}

static int events(void)
{
	struct epoll_event list[8];
	int count = 0;

	for (int i = 0; i < WORKERS; i++)
		count += epoll_wait(pw_workers[i]->epoll, list, RTE_DIM(list), 0);
	return count;
}

static void descriptor(struct wire wire)
{
	uint16_t queues = pw_port_find(wire.index)->rx_queues;
	bool interrupt = true;

	for (uint16_t i = 0; i < queues; i++) {
		assert_true(pw_port_rx_fd(wire.index, i, &interrupt) >= 0);
		assert_false(interrupt);
	}
	assert_int_equal(pw_port_rx_fd(wire.index, queues, &interrupt), PW_RX_LOOK);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pw_workers[i]->poll->blind, 0);
	events(); /* the new lists */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(queue_readable(&wire, 0), -1);
		assert_int_equal(events(), 0);
		wire_send(&wire);
		wire_send(&wire);
		assert_true(queue_readable(&wire, 1000) >= 0);
		assert_int_equal(events(), 1); /* one worker is told, once */
		assert_int_equal(events(), 0);
		for (int count = 0; count < 2;) {
			uint16_t more = taken(&wire);

			assert_true(more > 0);
			count += more;
		}
	}
	/* Not polled: nobody is told. */
	assert_int_equal(pw_port_set_up(wire.index, false), 0);
	events();
	wire_send(&wire);
	usleep(20000);
	assert_int_equal(events(), 0);
}

static void test_tap_descriptor(void **state)
{
	descriptor(wire_to_tap());
}

static void test_af_packet_descriptor(void **state)
{
	descriptor(wire_to_interface("p=af_packet:w0", PW_PORT_AF_PACKET));
}

static void test_af_xdp_descriptor(void **state)
{
	descriptor(wire_to_interface("x=af_xdp:w0", PW_PORT_AF_XDP));
}

/* ---- with the workers' threads ------------------------------------------------------------ */

static bool asleep(int worker)
{
	return __atomic_load_n(&pw_workers[worker]->asleep, __ATOMIC_RELAXED);
}

static void wait_asleep(void)
{
	uint64_t until = now_us() + 2000000;

	for (int i = 0; i < WORKERS; i++)
		while (!asleep(i)) {
			if (now_us() > until)
				fail_msg("worker %d does not sleep", i);
			usleep(1000);
		}
	usleep(1000);
}

/* Of this process in 0.4 s, in percent of a core. */
static double cpu_used(void)
{
	struct rusage before, after;
	uint64_t used;

	getrusage(RUSAGE_SELF, &before);
	usleep(400000);
	getrusage(RUSAGE_SELF, &after);
	used = (uint64_t)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
	       (uint64_t)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
	       after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
	       before.ru_stime.tv_usec;
	return (double)used / 4000;
}

static uint64_t drops(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < WORKERS; i++)
		for (int k = 0; k < PW_DROP_COUNT; k++)
			sum += __atomic_load_n(&pw_workers[i]->drops[k], __ATOMIC_RELAXED);
	return sum;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Until a sleeping worker has dropped what @p send gives it (nothing is configured). Without an
 * event it would take 25 ms, half a longest sleep; a busy machine may be slow at times.
 */
static void prompt(void (*send)(const struct wire *), const struct wire *wire)
{
	uint64_t took[FRAMES];

	for (int i = 0; i < FRAMES; i++) {
		uint64_t before = drops();
		uint64_t start;

		wait_asleep();
		start = now_us();
		send(wire);
		while (drops() == before) {
			if (now_us() - start > 1000000)
				fail_msg("nobody took it");
			usleep(50);
		}
		took[i] = now_us() - start;
	}
	qsort(took, FRAMES, sizeof(took[0]), compare);
	print_message("median %lu us, worst %lu us\n", took[FRAMES / 2], took[FRAMES - 1]);
	assert_true(took[FRAMES / 2] < 8000);
}

static void sleeps(void)
{
	double used;

	wait_asleep();
	used = cpu_used();
	print_message("%.2f %% of a core\n", used);
	assert_true(used < 5);
}

static void wakes(struct wire wire)
{
	assert_int_equal(pw_workers_start(-1), 0);
	sleeps();
	prompt(wire_send, &wire);
	/* What is not asked for disturbs nobody. */
	assert_int_equal(pw_port_set_up(wire.index, false), 0);
	for (int i = 0; i < 100; i++)
		wire_send(&wire);
	sleeps();
	assert_int_equal(pw_port_set_up(wire.index, true), 0);
	prompt(wire_send, &wire);
}

static void test_tap_wakes(void **state)
{
	wakes(wire_to_tap());
}

static void test_af_packet_wakes(void **state)
{
	wakes(wire_to_interface("p=af_packet:w0", PW_PORT_AF_PACKET));
}

static void test_af_xdp_wakes(void **state)
{
	wakes(wire_to_interface("x=af_xdp:w0", PW_PORT_AF_XDP));
}

/* An interface that vanishes leaves descriptors with an error that nobody can take away. */
static void vanish(struct wire wire)
{
	assert_int_equal(pw_workers_start(-1), 0);
	wait_asleep();
	close(end);
	end = -1;
	usleep(20000);
	sleeps();
}

static void test_vanished(void **state)
{
	vanish(wire_to_interface("p=af_packet:w0", PW_PORT_AF_PACKET));
}

static void test_vanished_af_xdp(void **state)
{
	vanish(wire_to_interface("x=af_xdp:w0", PW_PORT_AF_XDP));
}

/* Dropped, since there is no such port. */
static void inject(const struct wire *wire)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

	assert_non_null(mbuf);
	*pw_packet(mbuf) = (struct pw_packet){.port = PW_PORTS};
	assert_true(pw_worker_inject(mbuf));
}

static void test_injected_wakes(void **state)
{
	assert_int_equal(pw_workers_start(-1), 0);
	prompt(inject, NULL);
}

/* Worker 1 has no queue to send on, so that both must wake. */
static void test_handed_over_wakes(void **state)
{
	struct pw_port_statistics statistics = {0};
	int index = opens("n=null:");
	uint64_t took[FRAMES];

	assert_int_equal(pw_port_publish(index, pw_port_find(index)->ethdev, 1), 0);
	assert_int_equal(pw_workers_start(-1), 0);
	for (int i = 0; i < FRAMES; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
		uint64_t start;

		assert_non_null(mbuf);
		*pw_packet(mbuf) = (struct pw_packet){.port = index};
		assert_non_null(rte_pktmbuf_append(mbuf, 60));
		wait_asleep();
		start = now_us();
		assert_true(pw_worker_inject_flow(mbuf, 1));
		while (statistics.tx_packets != (uint64_t)i + 1) {
			assert_true(now_us() - start < 1000000);
			usleep(50);
			assert_int_equal(pw_port_statistics(index, &statistics), 0);
		}
		took[i] = now_us() - start;
	}
	assert_int_equal(pw_workers[1]->events[PW_EVENT_HANDED_OVER], FRAMES);
	qsort(took, FRAMES, sizeof(took[0]), compare);
	assert_true(took[FRAMES / 2] < 8000);
}

/* Nothing says when a packet comes into a ring: the worker looks, and does not sleep for long. */
static void test_without_descriptor(void **state)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	struct rte_ring *ring;
	uint16_t ethdev;
	bool interrupt;
	int index;

	assert_int_equal(rte_eal_hotplug_add("vdev", "net_ring_t", ""), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring_t", &ethdev), 0);
	ring = rte_ring_lookup("ETH_RXTX0_net_ring_t");
	assert_non_null(ring);
	assert_int_equal(pw_workers_start(-1), 0);
	wait_asleep();
	index = pw_port_open_ethdev("r", ethdev, error, sizeof(error));
	assert_true(index >= 0);
	assert_int_equal(pw_port_rx_fd(index, 0, &interrupt), PW_RX_LOOK);
	assert_int_equal(pw_workers[0]->poll->blind, 1);
	usleep(100000);
	for (int i = 0; i < 100; i++) {
		assert_false(asleep(0));
		usleep(1000);
	}
	assert_non_null(rte_pktmbuf_append(mbuf, 60));
	assert_int_equal(rte_ring_enqueue(ring, mbuf), 0);
	for (uint64_t until = now_us() + 1000000; rte_ring_count(ring); usleep(50))
		assert_true(now_us() < until);
	pw_port_close(index);
	wait_asleep();
	rte_eth_dev_close(ethdev);
	rte_eal_hotplug_remove("vdev", "net_ring_t");
}

/* ---- RX interrupts: a virtio device of this process, and its back end ---------------------- */

static uint16_t back_end;

static uint16_t ethdev_made(const char *name, const char *arguments)
{
	uint16_t ethdev;

	assert_int_equal(rte_eal_hotplug_add("vdev", name, arguments), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &ethdev), 0);
	return ethdev;
}

static void back_end_start(uint16_t ethdev)
{
	struct rte_eth_conf configuration = {0};

	assert_int_equal(rte_eth_dev_configure(ethdev, 1, 1, &configuration), 0);
	assert_int_equal(rte_eth_rx_queue_setup(ethdev, 0, 64, 0, NULL, pw_mbuf_pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(ethdev, 0, 64, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(ethdev), 0);
}

static void back_end_send(const struct wire *wire)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, sizeof(wire->frame)), wire->frame, sizeof(wire->frame));
	assert_int_equal(rte_eth_tx_burst(back_end, 0, &mbuf, 1), 1);
}

static void test_interrupt_wakes(void **state)
{
	char path[64], arguments[128];
	struct wire wire;
	uint16_t front_end;
	bool interrupt;

	snprintf(path, sizeof(path), "/tmp/test_idle-%d.sock", getpid());
	snprintf(arguments, sizeof(arguments), "iface=%s", path);
	back_end = ethdev_made("net_vhost_t", arguments);
	back_end_start(back_end);
	snprintf(arguments, sizeof(arguments), "path=%s", path);
	front_end = ethdev_made("net_virtio_user_t", arguments);
	assert_int_equal(pw_workers_start(-1), 0);
	wire.index = pw_port_open_ethdev("v", front_end, error, sizeof(error));
	assert_true(wire.index >= 0);
	wire_frame(&wire);
	assert_true(pw_port_rx_fd(wire.index, 0, &interrupt) >= 0);
	assert_true(interrupt);
	sleeps();
	prompt(back_end_send, &wire);
	/* Taken out of the list of a worker that sleeps, and back in. */
	assert_int_equal(pw_port_set_up(wire.index, false), 0);
	sleeps();
	assert_int_equal(pw_port_set_up(wire.index, true), 0);
	prompt(back_end_send, &wire);
	pw_workers_stop();
	pw_port_close(wire.index);
	rte_eal_hotplug_remove("vdev", "net_virtio_user_t");
	rte_eal_hotplug_remove("vdev", "net_vhost_t");
	unlink(path);
}

static void test_stop_wakes(void **state)
{
	uint64_t took[FRAMES];

	for (int i = 0; i < FRAMES; i++) {
		assert_int_equal(pw_workers_start(-1), 0);
		wait_asleep();
		took[i] = now_us();
		pw_workers_stop();
		took[i] = now_us() - took[i];
	}
	qsort(took, FRAMES, sizeof(took[0]), compare);
	assert_true(took[FRAMES / 2] < 8000);
}

/* ---- a network of our own, two workers ---------------------------------------------------- */

static void quiet(const char *path)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		fprintf(stderr, "%s is not written\n", path);
	close(fd);
}

static int nothing_left(void **state)
{
	pw_workers_stop();
	pw_port_close_all();
	if (end >= 0)
		close(end);
	end = -1;
	return 0;
}

static int setup(void **state)
{
	static char lcores[64];
	static char *arguments[] = {"test_idle", "--no-huge",      "--no-shconf",
				    "--no-pci",  "--no-telemetry", "--log-level=*:critical",
				    "-m256",     "--lcores",       lcores};
	cpu_set_t allowed;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -1;
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	snprintf(lcores, sizeof(lcores), "0@%d,1@%d,2@%d", cpu, cpu, cpu);
	pw_log_set_level(PW_LOG_ERROR);
	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0 || pw_packet_register() ||
	    pw_retire_init(WORKERS) || pw_interface_table_init())
		return -1;
	return pw_workers_init(WORKERS, 16384);
}

static int teardown(void **state)
{
	pw_port_close_all();
	pw_workers_fini();
	pw_interface_table_fini();
	pw_retire_fini();
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_tap_descriptor, nothing_left),
		cmocka_unit_test_teardown(test_af_packet_descriptor, nothing_left),
		cmocka_unit_test_teardown(test_af_xdp_descriptor, nothing_left),
		cmocka_unit_test_teardown(test_tap_wakes, nothing_left),
		cmocka_unit_test_teardown(test_af_packet_wakes, nothing_left),
		cmocka_unit_test_teardown(test_af_xdp_wakes, nothing_left),
		cmocka_unit_test_teardown(test_vanished, nothing_left),
		cmocka_unit_test_teardown(test_vanished_af_xdp, nothing_left),
		cmocka_unit_test_teardown(test_injected_wakes, nothing_left),
		cmocka_unit_test_teardown(test_handed_over_wakes, nothing_left),
		cmocka_unit_test_teardown(test_without_descriptor, nothing_left),
		cmocka_unit_test_teardown(test_interrupt_wakes, nothing_left),
		cmocka_unit_test_teardown(test_stop_wakes, nothing_left),
	};

	if (unshare(CLONE_NEWNET)) {
		fprintf(stderr, "no network namespace of its own: not permitted\n");
		return 77;
	}
	/* The kernel says nothing on a new interface. */
	quiet("/proc/sys/net/ipv6/conf/default/disable_ipv6");
	return cmocka_run_group_tests_name("idle", tests, setup, teardown);
}
