/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel faces that are TAPs, with the kernel itself on the other side: a port whose wire is a
 * ring (what is sent comes back out of it) in a network namespace of this program's own.
 */
#include "links_fixture.h"

#include "control/loop.h"

#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include "control/face.h"
#include "control/feed/kernel.h"

#define VLANS 300

/* An Ethernet frame with ARP in it, tagged or not. */
struct arp_frame {
	uint8_t destination[6];
	uint8_t source[6];
	uint16_t tpid, tci; /* in the way of an untagged frame */
	uint16_t type;
	struct ether_arp arp;
} __attribute__((packed));

static const uint8_t customer[6] = {2, 0, 0, 0, 0, 9};
static struct rte_ring *wire;

static uint64_t dropped(enum pw_drop drop)
{
	return pw_workers[0]->drops[drop] + pw_control_drops[drop];
}

/* ---- the wire ---- */

static void arrive(const void *frame, uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, length), frame, length);
	assert_int_equal(rte_ring_enqueue(wire, mbuf), 0);
}

/* A customer asks who has an address; @p vlan 0: without a tag. */
static void ask(uint16_t vlan, const char *target)
{
	struct arp_frame frame = {.tpid = htons(0x8100), .tci = htons(vlan)};

	memset(frame.destination, 0xff, 6);
	memcpy(frame.source, customer, 6);
	frame.type = htons(ETHERTYPE_ARP);
	frame.arp.ea_hdr = (struct arphdr){.ar_hrd = htons(ARPHRD_ETHER),
					   .ar_pro = htons(ETHERTYPE_IP),
					   .ar_hln = 6,
					   .ar_pln = 4,
					   .ar_op = htons(ARPOP_REQUEST)};
	memcpy(frame.arp.arp_sha, customer, 6);
	inet_pton(AF_INET, target, frame.arp.arp_tpa);
	frame.arp.arp_spa[0] = 10;
	memcpy(frame.arp.arp_spa + 1, frame.arp.arp_tpa + 1, 2);
	frame.arp.arp_spa[3] = 2;
	if (!vlan)
		memmove((uint8_t *)&frame + 4, &frame, 12);
	arrive((uint8_t *)&frame + (vlan ? 0 : 4), sizeof(frame) - (vlan ? 0 : 4));
}

static void control_step(void)
{
	struct rte_mbuf *mbuf;

	while (rte_ring_sc_dequeue(pw_workers[0]->punt, (void **)&mbuf) == 0)
		pw_punt_take(mbuf);
	pw_loop_step(10);
	pw_resolve();
	pw_retire_poll();
}

/* Who has it, as the next ARP reply on the wire says; what else the kernel sends is let go. */
static bool answered(uint16_t vlan, const char *target, const uint8_t mac[6])
{
	uint8_t address[4];
	bool found = false;

	inet_pton(AF_INET, target, address);
	for (int round = 0; round < 50 && !found; round++) {
		struct rte_mbuf *mbuf;

		pw_worker_step(pw_workers[0]);
		while (rte_ring_dequeue(wire, (void **)&mbuf) == 0) {
			const struct arp_frame *frame = rte_pktmbuf_mtod_offset(
				mbuf, const struct arp_frame *, vlan ? 0 : -4);

			if (mbuf->data_len >= sizeof(*frame) - (vlan ? 0 : 4) &&
			    frame->type == htons(ETHERTYPE_ARP) &&
			    frame->arp.ea_hdr.ar_op == htons(ARPOP_REPLY))
				found = (!vlan || (frame->tpid == htons(0x8100) &&
						   frame->tci == htons(vlan))) &&
					!memcmp(frame->arp.arp_spa, address, 4) &&
					!memcmp(frame->arp.arp_sha, mac, 6) &&
					!memcmp(frame->arp.arp_tha, customer, 6);
			rte_pktmbuf_free(mbuf);
		}
		control_step();
	}
	return found;
}

/* ---- the kernel ---- */

static struct ifreq kernel_says(unsigned long what, const char *name)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_return_code(ioctl(fd, what, &request), errno);
	close(fd);
	return request;
}

static void assert_kernel_up(const char *name, bool up, bool carrier)
{
	int wanted = (up ? IFF_UP : 0) | (carrier ? IFF_RUNNING : 0), flags = -1;

	/* The kernel takes up to a second to notice a carrier. */
	for (int i = 0; i < 300 && flags != wanted; i++) {
		if (i)
			usleep(10000);
		flags = kernel_says(SIOCGIFFLAGS, name).ifr_flags & (IFF_UP | IFF_RUNNING);
	}
	assert_int_equal(flags, wanted);
}

static int set_mtu(const char *name, uint32_t mtu)
{
	struct nlmsghdr *nlh = link_message(RTM_NEWLINK, 0, name);

	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return send_message(nlh);
}

/* ---- tests ---- */

static void test_port(void **state)
{
	const struct pw_link *link = link_named("w");

	/* As a NIC that DPDK owns: its face is there with it. */
	assert_non_null(link->face);
	assert_int_equal(link->face_ifindex, if_nametoindex("w"));
	assert_memory_equal(kernel_says(SIOCGIFHWADDR, "w").ifr_hwaddr.sa_data, link->mac, 6);
	assert_true(pw_interface_get(link->index)->flags & PW_INTERFACE_FACE);
	assert_false(pw_interface_get(link->index)->flags & PW_INTERFACE_NATIVE);
	assert_kernel_up("w", true, true);
	assert_int_equal(add_address("w", "10.0.0.1", 24), 0);
	ask(0, "10.0.0.1");
	assert_true(answered(0, "10.0.0.1", link->mac));
	assert_int_equal(pw_control_events[PW_EVENT_PUNTED], 1);
	assert_true(pw_control_events[PW_EVENT_FROM_KERNEL] >= 1);
}

static void test_vlan(void **state)
{
	const struct pw_link *link;

	assert_int_equal(add_vlan("w", "w.10", 10), 0);
	link = link_named("w.10");
	assert_int_equal(link->face_ifindex, if_nametoindex("w.10"));
	assert_kernel_up("w.10", false, false);
	assert_int_equal(link_up("w.10", true), 0);
	assert_kernel_up("w.10", true, true);
	assert_int_equal(add_address("w.10", "10.0.10.1", 24), 0);
	ask(10, "10.0.10.1");
	assert_true(answered(10, "10.0.10.1", link->mac));
	/* Not an address of this VLAN, and no VLAN at all. */
	ask(11, "10.0.10.1");
	assert_false(answered(11, "10.0.10.1", link->mac));
	assert_int_equal(dropped(PW_DROP_VLAN_UNKNOWN), 1);

	/* The face does what the link does. */
	assert_int_equal(set_mtu("w.10", 1300), 0);
	assert_int_equal(kernel_says(SIOCGIFMTU, "w.10").ifr_mtu, 1300);
	pw_link_set_carrier(link_named("w"), false);
	assert_kernel_up("w", true, false);
	assert_kernel_up("w.10", true, false);
	pw_link_set_carrier(link_named("w"), true);
	assert_kernel_up("w.10", true, true);
	assert_int_equal(link_up("w.10", false), 0);
	assert_kernel_up("w.10", false, false);
	assert_int_equal(delete_link("w.10"), 0);
	assert_int_equal(if_nametoindex("w.10"), 0);
	assert_int_equal(if_nametoindex("w"), link_named("w")->face_ifindex);
}

static void test_name_taken(void **state)
{
	assert_int_equal(system("ip tuntap add taken mode tap"), 0);
	assert_int_equal(add_vlan("w", "taken", 10), -EEXIST);
	assert_said("TAP taken: the kernel has an interface of that name already");
	assert_null(pw_link_by_name("taken"));
	assert_int_equal(pw_port_get(link_named("w")->port)->vlan[10], 0);
	assert_int_equal(system("ip link delete taken"), 0);
	assert_int_equal(add_vlan("w", "taken", 10), 0);
}

/* What was punted for a link that is gone reaches no other link, not even one with its id. */
static void test_late(void **state)
{
	struct rte_mbuf *mbuf = NULL;
	uint32_t number;

	assert_int_equal(add_vlan("w", "w.10", 10), 0);
	assert_int_equal(link_up("w.10", true), 0);
	ask(10, "10.0.10.1");
	pw_worker_step(pw_workers[0]);
	assert_int_equal(rte_ring_sc_dequeue(pw_workers[0]->punt, (void **)&mbuf), 0);
	assert_int_equal(pw_packet(mbuf)->request, PW_REQUEST_PUNT);
	assert_int_equal(pw_packet(mbuf)->interface, link_named("w.10")->index);
	number = pw_face_number(link_named("w.10"));
	assert_int_equal(pw_packet(mbuf)->nexthop, number);
	assert_int_equal(delete_link("w.10"), 0);
	assert_int_equal(add_vlan("w", "w.20", 20), 0);
	assert_int_not_equal(pw_face_number(link_named("w.20")), number);
	pw_packet(mbuf)->interface = link_named("w.20")->index;
	pw_punt_take(mbuf);
	assert_int_equal(dropped(PW_DROP_PUNT_NO_FACE), 1);
	assert_int_equal(pw_control_events[PW_EVENT_PUNTED], 0);
}

static void test_limits(void **state)
{
	struct rte_mbuf *mbuf = NULL;

	assert_int_equal(add_vlan("w", "w.10", 10), 0);
	assert_int_equal(link_up("w.10", true), 0);
	pw_workers[0]->punt_rate.tokens = 0;
	pw_workers[0]->punt_rate.last = pw_workers[0]->now = rte_rdtsc();
	pw_workers[0]->punt_rate.cost = UINT64_MAX / 4;
	ask(10, "10.0.10.1");
	pw_worker_step(pw_workers[0]);
	assert_int_equal(dropped(PW_DROP_PUNT_RATE), 1);

	/* The control thread is not there: what does not fit is dropped, nobody waits. */
	pw_workers[0]->punt_rate.cost = 0;
	for (unsigned int i = 0; i < rte_ring_get_capacity(pw_workers[0]->punt) + 5; i++) {
		ask(10, "10.0.10.1");
		pw_worker_step(pw_workers[0]);
	}
	assert_int_equal(dropped(PW_DROP_PUNT_RATE), 6);

	/* The kernel takes nothing on a face that is down. */
	assert_int_equal(link_up("w.10", false), 0);
	assert_int_equal(rte_ring_sc_dequeue(pw_workers[0]->punt, (void **)&mbuf), 0);
	pw_punt_take(mbuf);
	assert_int_equal(dropped(PW_DROP_INTERFACE_DOWN), 1);
}

/* Somebody deletes it in the kernel: no end of the world, and no loop that spins. */
static void test_deleted(void **state)
{
	uint32_t index;

	assert_int_equal(add_vlan("w", "w.10", 10), 0);
	assert_int_equal(link_up("w.10", true), 0);
	index = link_named("w.10")->index;
	assert_int_equal(system("ip link delete w.10"), 0);
	for (int i = 0; i < 5; i++)
		control_step();
	assert_int_equal(link_named("w.10")->face_ifindex, 0);
	ask(10, "10.0.10.1");
	pw_worker_step(pw_workers[0]);
	control_step();
	assert_int_equal(dropped(PW_DROP_PUNT_NO_FACE), 1);
	assert_int_equal(delete_link("w.10"), 0);
	assert_int_equal(pw_interface_get(index)->kind, PW_INTERFACE_NONE);
}

static void test_many(void **state)
{
	char name[IFNAMSIZ], address[INET_ADDRSTRLEN];
	uint8_t mac[6];

	memcpy(mac, link_named("w")->mac, sizeof(mac));
	for (uint16_t i = 1; i <= VLANS; i++) {
		snprintf(name, sizeof(name), "w.%u", i);
		snprintf(address, sizeof(address), "10.%u.%u.1", 1 + i / 256, i % 256);
		assert_int_equal(add_vlan("w", name, i), 0);
		assert_int_equal(link_up(name, true), 0);
		assert_int_equal(add_address(name, address, 24), 0);
		assert_int_equal(if_nametoindex(name), link_named(name)->face_ifindex);
	}
	control_step();
	for (uint16_t i = 1; i <= VLANS; i += VLANS - 1) {
		snprintf(address, sizeof(address), "10.%u.%u.1", 1 + i / 256, i % 256);
		ask(i, address);
		assert_true(answered(i, address, mac));
	}
	for (uint16_t i = 1; i <= VLANS; i++) {
		snprintf(name, sizeof(name), "w.%u", i);
		assert_int_equal(delete_link(name), 0);
		assert_int_equal(if_nametoindex(name), 0);
	}
	assert_int_not_equal(if_nametoindex("w"), 0);
}

/* ---- start and end ---- */

static int start(void **state)
{
	static struct rte_ether_addr mac = {.addr_bytes = {2, 0, 0, 0, 0, 1}};
	static char device[16], ring[RTE_RING_NAMESIZE];
	static unsigned int next;
	uint16_t ethdev;
	char error[256];
	int port;

	if (fixture_start(state))
		return -1;
	/* The driver leaves its ring behind, so each device has another name. */
	snprintf(device, sizeof(device), "net_ring_f%u", next++);
	snprintf(ring, sizeof(ring), "ETH_RXTX0_%s", device);
	*state = device;
	assert_int_equal(rte_eal_hotplug_add("vdev", device, ""), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(device, &ethdev), 0);
	/* The ring driver's own address is all zero: the first one added takes its place. */
	assert_int_equal(rte_eth_dev_mac_addr_add(ethdev, &mac, 0), 0);
	wire = rte_ring_lookup(ring);
	assert_non_null(wire);
	port = pw_port_open_ethdev("w", ethdev, error, sizeof(error));
	assert_return_code(port, -port);
	((struct pw_port *)(uintptr_t)pw_port_find((uint16_t)port))->face = PW_FACE_TAP;
	memset(pw_control_events, 0, sizeof(pw_control_events));
	assert_non_null(pw_link_add_port((uint16_t)port));
	assert_return_code(pw_kernel_feed_init(), 0);
	return link_up("w", true);
}

static int stop(void **state)
{
	uint32_t used;

	pw_kernel_feed_fini();
	pw_port_close_all();
	rte_eal_hotplug_remove("vdev", *state);
	pw_core_stop();
	used = if_nametoindex("w");
	return used ? -1 : 0;
}

static void test_nothing(void **state)
{
	skip(); /* no namespace, or no /dev/net/tun */
}

#define FACE_TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest nothing[] = {cmocka_unit_test(test_nothing)};
	const struct CMUnitTest tests[] = {
		FACE_TEST(test_port), FACE_TEST(test_vlan),   FACE_TEST(test_name_taken),
		FACE_TEST(test_late), FACE_TEST(test_limits), FACE_TEST(test_deleted),
		FACE_TEST(test_many),
	};

	if (unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK))
		return cmocka_run_group_tests_name("face", nothing, NULL, NULL);
	return cmocka_run_group_tests_name("face", tests, NULL, NULL);
}
