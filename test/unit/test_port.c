/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports: what a specification may say, refusals in words, ports of null and ring devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/idle.h"
#include "dataplane/table/interface.h"
#include "dataplane/worker.h"
#include "drivers/pool.h"
#include "drivers/port.h"
#include "lib/log.h"
#include "lib/retire.h"

static char error[256];

static void parses(const char *text, enum pw_port_driver driver, const char *name,
		   const char *argument)
{
	struct pw_port_spec spec;

	if (pw_port_parse(text, &spec, error, sizeof(error)))
		fail_msg("%s: %s", text, error);
	assert_int_equal(spec.driver, driver);
	assert_string_equal(spec.argument, argument);
	if (name)
		assert_string_equal(spec.name, name);
}

/* The sentence must say what is wrong: it contains @p word. */
static void refuses(const char *text, const char *word)
{
	struct pw_port_spec spec;

	error[0] = '\0';
	assert_int_equal(pw_port_parse(text, &spec, error, sizeof(error)), -EINVAL);
	if (!strstr(error, word))
		fail_msg("\"%s\" is refused with \"%s\"", text, error);
}

static void test_parse(void **state)
{
	parses("af_xdp:eth0", PW_PORT_AF_XDP, "eth0", "eth0");
	parses("core=af_xdp:eth0", PW_PORT_AF_XDP, "core", "eth0");
	parses("af_packet:enp0s31f6.7", PW_PORT_AF_PACKET, "enp0s31f6.7", "enp0s31f6.7");
	parses("tap:cust0", PW_PORT_TAP, "cust0", "cust0");
	parses("a=pci:0000:01:00.0", PW_PORT_PCI, "a", "0000:01:00.0");
	parses("a=pci:01:00.1", PW_PORT_PCI, "a", "01:00.1");
	parses("a=pci:01:00.1,crypto=inline", PW_PORT_PCI, "a", "01:00.1");
	parses("a=pci:01:00.1,crypto=none", PW_PORT_PCI, "a", "01:00.1");
	parses("m=memif:/run/m.sock", PW_PORT_MEMIF, "m", "/run/m.sock");
	parses("m=memif:/run/m.sock,role=client,id=3", PW_PORT_MEMIF, "m",
	       "/run/m.sock,role=client,id=3");
	parses("m=memif:/run/m.sock,mac=00:01:02:03:04:01", PW_PORT_MEMIF, "m",
	       "/run/m.sock,mac=00:01:02:03:04:01");
	parses("memif:/run/m.sock,role=client", PW_PORT_MEMIF, NULL,
	       "/run/m.sock,role=client"); /* the '=' is not a name's */
	parses("v=vhost:/run/v.sock,client=1", PW_PORT_VHOST, "v", "/run/v.sock,client=1");
	parses("fifteen-letters=null:", PW_PORT_NULL, "fifteen-letters", "");
}

static void test_parse_default_names_differ(void **state)
{
	struct pw_port_spec a, b;

	assert_int_equal(pw_port_parse("null:", &a, error, sizeof(error)), 0);
	assert_int_equal(pw_port_parse("null:", &b, error, sizeof(error)), 0);
	assert_true(strncmp(a.name, "port", 4) == 0);
	assert_string_not_equal(a.name, b.name);
}

static void test_parse_refuses(void **state)
{
	char path[200] = "memif:/";

	refuses("", "NAME=]DRIVER:ARGUMENT");
	refuses("eth0", "NAME=]DRIVER:ARGUMENT");
	refuses("dpdk:eth0", "no port driver \"dpdk\"");
	refuses(":eth0", "no port driver \"\"");
	refuses("af_xd:eth0", "no port driver \"af_xd\"");
	refuses("ring:0", "no port driver \"ring\"");
	refuses("=null:", "no name for a port");
	refuses("a/b=null:", "no name for a port");
	refuses("..=null:", "no name for a port");
	refuses("sixteen--letters=null:", "no name for a port");
	refuses("two words=null:", "no name for a port");
	refuses("af_xdp:", "no name of an interface");
	refuses("af_packet:sixteen--letters", "no name of an interface");
	refuses("af_packet:eth0,qpairs=9", "no name of an interface");
	refuses("tap:a b", "no name for a TAP");
	refuses("pci:", "no PCI address");
	refuses("pci:eth0", "no PCI address");
	refuses("pci:01:00.1,crypto=", "crypto= is inline or none");
	refuses("pci:01:00.1,crypto=inline,x", "crypto= is inline or none");
	refuses("pci:01:00.1,inline", "no PCI address");
	refuses("pci:0000:01:00.9", "no PCI address");
	refuses("pci:0000:01:20.0", "no PCI address");
	refuses("memif:m.sock", "absolute path");
	refuses("memif:/m,role=master", "role=master");
	refuses("memif:/m,id=x", "id=x");
	refuses("memif:/m,id=3x", "id=3x");
	refuses("memif:/m,mac=1:2", "mac=1:2");
	refuses("memif:/m,mac=01:00:5e:00:00:01", "mac=01:00:5e:00:00:01");
	refuses("memif:/m,mac=00:00:00:00:00:00", "mac=00:00:00:00:00:00");
	refuses("vhost:v.sock", "absolute path");
	refuses("vhost:/v,client=2", "client=2");
	refuses("vhost:/v,queues=2", "queues=2");
	refuses("null:1", "no argument");
	memset(path + strlen(path), 'x', 115);
	refuses(path, "too long");
	memset(path + strlen(path), 'x', 60);
	refuses(path, "too long");
}

static int opens(const char *text)
{
	struct pw_port_spec spec;

	assert_int_equal(pw_port_parse(text, &spec, error, sizeof(error)), 0);
	error[0] = '\0';
	return pw_port_open(&spec, error, sizeof(error));
}

static void test_open_refuses(void **state)
{
	assert_int_equal(opens("af_xdp:no-such"), -ENODEV);
	assert_string_equal(error, "there is no interface no-such");
	assert_int_equal(opens("af_packet:no-such"), -ENODEV);
	assert_string_equal(error, "there is no interface no-such");
	assert_int_equal(opens("af_packet:lo"), -EINVAL);
	assert_string_equal(error, "lo is not an Ethernet interface");
	assert_int_equal(opens("pci:ffff:77:00.0"), -ENODEV);
	assert_string_equal(error, "there is no PCI device ffff:77:00.0");
	assert_int_equal(opens("memif:/no/such/directory/socket"), -ENOENT);
	assert_non_null(strstr(error, "/no/such/directory/socket cannot be made"));
	assert_int_equal(opens("memif:/no/such/directory/socket,role=client"), -ENOENT);
	assert_non_null(strstr(error, "nobody to connect to at /no/such/directory/socket"));
	assert_int_equal(opens("vhost:/no/such/directory/socket"), -ENOENT);
	assert_non_null(strstr(error, "/no/such/directory/socket cannot be made"));
	/* Nothing of them stays. */
	for (uint16_t i = 0; i < PW_PORTS; i++)
		assert_null(pw_port_find(i));
	assert_int_equal(rte_eth_dev_count_avail(), 0);
}

static void test_null(void **state)
{
	struct pw_port_statistics statistics;
	const struct pw_port *port;
	int index = opens("n=null:");

	assert_int_equal(index, 0);
	port = pw_port_find(index);
	assert_string_equal(port->spec.name, "n");
	assert_int_equal(port->face, PW_FACE_NONE);
	assert_int_equal(port->mtu, 1500);
	assert_int_equal(port->mac[0], 0x02);
	assert_non_null(pw_port_get(index));
	assert_int_equal(pw_port_get(index)->ethdev, port->ethdev);
	assert_int_equal(pw_workers[0]->poll->count, 1);
	assert_int_equal(pw_port_statistics(index, &statistics), 0);
	assert_int_equal(statistics.rx_packets, 0);

	assert_int_equal(opens("n=null:"), -EEXIST);
	assert_string_equal(error, "there is a port n already");

	/* The same port has the same MAC when it is opened again. */
	uint8_t mac[6];
	memcpy(mac, port->mac, sizeof(mac));
	pw_port_close(index);
	assert_null(pw_port_find(index));
	assert_null(pw_port_get(index));
	assert_int_equal(pw_workers[0]->poll->count, 0);
	assert_int_equal(opens("n=null:"), 0);
	assert_memory_equal(pw_port_find(0)->mac, mac, sizeof(mac));
	pw_port_close_all();
	assert_int_equal(rte_eth_dev_count_avail(), 0);
}

static void test_mtu(void **state)
{
	int index = opens("n=null:");
	uint16_t most = pw_port_find(index)->mtu_max;

	assert_true(most >= 1500);
	assert_int_equal(pw_port_set_mtu(index, most), 0);
	assert_int_equal(pw_port_find(index)->mtu, most);
	assert_int_equal(pw_port_set_mtu(index, most + 1), -EINVAL);
	assert_int_equal(pw_port_set_mtu(index, 67), -EINVAL);
	assert_int_equal(pw_port_find(index)->mtu, most);
	assert_int_equal(pw_port_set_mtu(index, 68), 0);
	assert_int_equal(pw_port_set_mtu(99, 1500), -ENODEV);
	pw_port_close(index);
}

static void test_up_and_down(void **state)
{
	int index = opens("n=null:");

	assert_int_equal(pw_port_set_up(index, true), 0);
	assert_int_equal(pw_workers[0]->poll->count, 1);
	assert_int_equal(pw_port_set_up(index, false), 0);
	assert_int_equal(pw_workers[0]->poll->count, 0);
	assert_int_equal(pw_port_set_up(index, false), 0);
	assert_int_equal(pw_port_set_up(index, true), 0);
	assert_int_equal(pw_workers[0]->poll->count, 1);
	assert_int_equal(pw_port_set_up(index + 1, true), -ENODEV);
	assert_false(pw_port_poll_link(index));
	pw_port_close(index);
}

static void test_steering_without_a_kernel_face(void **state)
{
	int index = opens("n=null:");
	uint8_t address[16] = {10, 0, 0, 1};

	assert_int_equal(pw_steer_local(index, AF_INET, address, true, 0), 0);
	assert_int_equal(pw_steer_vlan(index, 7, true), 0);
	assert_int_equal(pw_steer_vlan(index, 0, true), -EINVAL);
	assert_int_equal(pw_steer_vlan(index, 4096, true), -EINVAL);
	assert_int_equal(pw_steer_local(99, AF_INET, address, true, 0), -ENODEV);
	pw_port_close(index);
}

static void test_ring(void **state)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	unsigned int before = rte_mempool_avail_count(pw_mbuf_pool);
	const struct pw_port *port;
	struct rte_ring *ring;
	uint16_t ethdev;
	int index;

	assert_int_equal(rte_eal_hotplug_add("vdev", "net_ring_t", ""), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring_t", &ethdev), 0);
	ring = rte_ring_lookup("ETH_RXTX0_net_ring_t");
	assert_non_null(ring);
	index = pw_port_open_ethdev("r", ethdev, error, sizeof(error));
	assert_true(index >= 0);
	port = pw_port_find(index);
	assert_int_equal(port->spec.driver, PW_PORT_RING);
	assert_int_equal(pw_port_open_ethdev("s", ethdev, error, sizeof(error)), -EBUSY);
	assert_non_null(strstr(error, "is port r already"));
	assert_int_equal(pw_port_open_ethdev("s", 31, error, sizeof(error)), -ENODEV);
	assert_int_equal(pw_port_open_ethdev("a b", ethdev, error, sizeof(error)), -EINVAL);

	/* What came while it was down is not delivered later. */
	assert_int_equal(pw_port_set_up(index, false), 0);
	assert_int_equal(rte_ring_enqueue(ring, mbuf), 0);
	assert_int_equal(pw_port_set_up(index, true), 0);
	assert_int_equal(rte_ring_count(ring), 0);
	assert_int_equal(rte_mempool_avail_count(pw_mbuf_pool), before + 1);
	pw_port_close(index);
	/* Not ours to remove. */
	assert_true(rte_eth_dev_is_valid_port(ethdev));
	rte_eth_dev_close(ethdev);
	rte_eal_hotplug_remove("vdev", "net_ring_t");
}

static void test_many(void **state)
{
	char text[32];
	int count = 0;
	int result;

	/* Until DPDK has no room: a refusal in words, and the others live on. */
	do {
		snprintf(text, sizeof(text), "n%d=null:", count);
		result = opens(text);
		count += result >= 0;
	} while (result >= 0);
	assert_int_equal(count, RTE_MAX_ETHPORTS);
	assert_int_equal(result, -ENOSPC);
	assert_string_not_equal(error, "");
	for (int i = 0; i < count; i++)
		assert_non_null(pw_port_find(i));
	pw_port_close_all();
	assert_int_equal(opens("again=null:"), 0);
	pw_port_close_all();
}

/* One object after the other, as an AF_XDP socket wants them. */
static void object_follows(struct rte_mempool *pool, void *context, void *object, unsigned int i)
{
	uintptr_t *last = context;

	if (*last)
		assert_int_equal((uintptr_t)object - *last,
				 rte_mempool_calc_obj_size(pool->elt_size, pool->flags, NULL));
	*last = (uintptr_t)object;
}

static void test_pool_is_one_piece(void **state)
{
	uintptr_t last = 0;

	if (rte_eal_iova_mode() != RTE_IOVA_VA)
		skip();
	assert_int_equal(pw_mbuf_pool->nb_mem_chunks, 1);
	assert_int_equal(rte_mempool_obj_iter(pw_mbuf_pool, object_follows, &last), 4096);
	assert_int_equal(rte_pktmbuf_data_room_size(pw_mbuf_pool), RTE_MBUF_DEFAULT_BUF_SIZE);
}

/* A worker that nobody runs. */
static int setup(void **state)
{
	static char *arguments[] = {"test_port",
				    "--no-huge",
				    "--no-shconf",
				    "--no-pci",
				    "--no-telemetry",
				    "-l0",
				    "--log-level=lib.eal:critical",
				    "-m128"};

	pw_log_set_level(PW_LOG_ERROR);
	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0 || pw_retire_init(1))
		return -1;
	pw_mbuf_pool = pw_pool_create("packets", 4096, 64, RTE_MBUF_DEFAULT_BUF_SIZE);
	pw_workers[0] = rte_zmalloc("worker", sizeof(*pw_workers[0]), RTE_CACHE_LINE_SIZE);
	if (!pw_mbuf_pool || !pw_workers[0])
		return -1;
	pw_workers[0]->poll = rte_zmalloc("poll list", sizeof(struct pw_poll_list), 0);
	pw_worker_count = 1;
	return pw_workers[0]->poll ? pw_idle_init(pw_workers[0]) : -1;
}

static int teardown(void **state)
{
	pw_port_close_all();
	pw_retire_fini();
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_default_names_differ),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_open_refuses),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_steering_without_a_kernel_face),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_pool_is_one_piece),
	};

	return cmocka_run_group_tests_name("port", tests, setup, teardown);
}
