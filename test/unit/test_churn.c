/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Routes change while a worker forwards. Each packet says when it was put in; where it comes out
 * must be where its address led at some moment between then and now, and none may be lost.
 *
 * PW_TEST_SECONDS: how long (default 3).
 */
#include "routes_fixture.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_malloc.h>

#include "dataplane/worker.h"
#include "drivers/port.h"

#define BLOCKS   4096 /* each with one address that is sent to; every other one is IPv6 */
#define LEVELS   3    /* prefixes over that address, from short to long */
#define GATEWAYS 8    /* 1 .. 8; the default route leads to 9 */
#define HISTORY  8    /* changes of a block while a packet is on its way, at most */
#define BURST    64
#define IN_HAND  384 /* packets on their way */
#define BATCH    64  /* changes, then they are settled as after a packet of messages */

static struct {
	struct rte_ring *rx, *tx;
	uint32_t link;
} ports[2];

static struct block {
	uint8_t via[LEVELS];    /* gateway, 0 = no such route */
	uint64_t when[HISTORY]; /* number of the change */
	uint8_t what[HISTORY];  /* gateway from then on */
	unsigned int changes;
} blocks[BLOCKS];

static uint64_t changes; /* so far */
static uint64_t sent, received, wrong;

struct stamp {
	uint64_t change; /* the last one before the packet was put in */
	uint32_t block;
} __attribute__((packed));

static uint64_t random_next(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- the router --------------------------------------------------------------------------- */

static bool block_ipv6(uint32_t block)
{
	return block & 1;
}

static struct pw_address gateway_address(bool ipv6, unsigned int number)
{
	struct pw_address address = address_of(ipv6 ? "2001:db8:1::10" : "10.1.0.10");

	address.bytes[ipv6 ? 15 : 3] += (uint8_t)number;
	return address;
}

static struct pw_address block_address(uint32_t block)
{
	struct pw_address address = address_of(block_ipv6(block) ? "2001:db9::1" : "20.0.0.1");
	unsigned int at = block_ipv6(block) ? 4 : 1;

	address.bytes[at] = (uint8_t)(block >> 8);
	address.bytes[at + 1] = (uint8_t)block;
	return address;
}

static unsigned int level_length(bool ipv6, unsigned int level)
{
	static const uint8_t lengths[2][LEVELS] = {{24, 28, 32}, {48, 61, 128}};

	return lengths[ipv6][level];
}

static void put_link_up(uint32_t link)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)link;
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	if (send_message(nlh))
		fail_msg("link: %s", said);
}

static void put_link_address(uint32_t link, const char *text, uint8_t length)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct pw_address address = address_of(text);
	struct ifaddrmsg *ifa;

	nlh->nlmsg_type = RTM_NEWADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = address.family;
	ifa->ifa_prefixlen = length;
	ifa->ifa_index = link;
	put_address(nlh, IFA_LOCAL, &address);
	put_address(nlh, IFA_ADDRESS, &address);
	if (send_message(nlh))
		fail_msg("address %s: %s", text, said);
}

static void put_gateway_neighbour(bool ipv6, unsigned int number)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	struct pw_address address = gateway_address(ipv6, number);
	uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)number};
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = address.family;
	ndm->ndm_ifindex = (int)ports[1].link;
	ndm->ndm_state = NUD_PERMANENT;
	put_address(nlh, NDA_DST, &address);
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	if (send_message(nlh))
		fail_msg("neighbour: %s", said);
}

static void route_set(const struct pw_address *to, unsigned int length, unsigned int gateway)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(message_buffer);
	bool ipv6 = to->family == AF_INET6;
	struct pw_address via = gateway_address(ipv6, gateway), prefix = *to;
	struct rtmsg *rtm;

	nlh->nlmsg_type = gateway ? RTM_NEWROUTE : RTM_DELROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | (gateway ? NLM_F_CREATE | NLM_F_REPLACE : 0);
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	*rtm = (struct rtmsg){.rtm_family = to->family,
			      .rtm_dst_len = (unsigned char)length,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_type = gateway ? RTN_UNICAST : 0,
			      .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE};
	pw_prefix_mask(prefix.bytes, pw_address_size(prefix.family), length);
	if (length)
		put_address(nlh, RTA_DST, &prefix);
	if (gateway)
		put_address(nlh, RTA_GATEWAY, &via);
	if (pw_request_internal(nlh, said, sizeof(said)))
		fail_msg("route: %s", said);
}

static void port_open(unsigned int n, const char *name)
{
	struct rte_ether_addr mac = {.addr_bytes = {2, 0x50, 0, 0, 0, (uint8_t)n}};
	char ring[32], error[200] = "";
	int ethdev, port;

	snprintf(ring, sizeof(ring), "churn-rx-%u", n);
	ports[n].rx = rte_ring_create(ring, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(ring, sizeof(ring), "churn-tx-%u", n);
	ports[n].tx = rte_ring_create(ring, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	assert_non_null(ports[n].rx);
	assert_non_null(ports[n].tx);
	ethdev = rte_eth_from_rings(name, &ports[n].rx, 1, &ports[n].tx, 1, 0);
	assert_true(ethdev >= 0);
	assert_return_code(rte_eth_dev_mac_addr_add((uint16_t)ethdev, &mac, 0), 0);
	port = pw_port_open_ethdev(name, (uint16_t)ethdev, error, sizeof(error));
	if (port < 0)
		fail_msg("%s: %s", name, error);
	assert_non_null(pw_link_add_port((uint16_t)port));
	ports[n].link = link_named(name)->index;
}

static void eal_start(void)
{
	char lcores[64];
	char *arguments[] = {
		"test", "--no-huge", "--no-shconf", "--no-pci",       "-m",
		"512",  "--lcores",  lcores,        "--no-telemetry", "--log-level=error"};
	int first = -1, last = -1;
	cpu_set_t allowed;

	assert_return_code(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed)) {
			first = first < 0 ? cpu : first;
			last = cpu;
		}
	snprintf(lcores, sizeof(lcores), "0@%d,1@%d", first, last);
	assert_true(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
}

static int start(void **state)
{
	const struct pw_core_options core = {.workers = 1, .mbufs = 8191, .lpm_bytes = 64 << 20};
	struct pw_address any[2] = {{.family = AF_INET}, {.family = AF_INET6}};

	eal_start();
	pw_log_set_level(PW_LOG_ERROR);
	assert_return_code(pw_core_start(&core), 0);
	port_open(0, "ce");
	port_open(1, "core");
	assert_return_code(pw_workers_start(pw_core_wake_fd()), 0);
	put_link_up(ports[0].link);
	put_link_up(ports[1].link);
	put_link_address(ports[0].link, "10.0.0.1", 24);
	put_link_address(ports[1].link, "10.1.0.1", 24);
	put_link_address(ports[1].link, "2001:db8:1::1", 64);
	put_link_address(ports[0].link, "2001:db8:2::1", 64);
	for (unsigned int ipv6 = 0; ipv6 < 2; ipv6++) {
		for (unsigned int i = 1; i <= GATEWAYS + 1; i++)
			put_gateway_neighbour(ipv6, i);
		route_set(&any[ipv6], 0, GATEWAYS + 1);
	}
	settle();
	return 0;
}

static int stop(void **state)
{
	pw_workers_stop();
	pw_port_close_all();
	pw_core_stop();
	return 0;
}

/* ---- the model ---------------------------------------------------------------------------- */

static uint8_t block_now(const struct block *block)
{
	for (unsigned int level = LEVELS; level-- > 0;)
		if (block->via[level])
			return block->via[level];
	return GATEWAYS + 1;
}

/* Where the block's address led after a change, or at any later time. */
static bool block_led(const struct block *block, uint64_t since, uint8_t gateway)
{
	unsigned int oldest = block->changes > HISTORY ? block->changes - HISTORY : 0;

	for (unsigned int i = block->changes; i-- > oldest;) {
		if (block->what[i % HISTORY] == gateway)
			return true;
		if (block->when[i % HISTORY] <= since)
			return false;
	}
	/* From before the history: the very first state, or too many changes to tell. */
	return oldest || gateway == GATEWAYS + 1;
}

static void change_one(void)
{
	uint64_t random = random_next();
	uint32_t number = random % BLOCKS;
	unsigned int level = random >> 16 & 3, gateway = (random >> 20) % (GATEWAYS + 1);
	struct pw_address address = block_address(number);
	struct block *block = &blocks[number];

	level = level < LEVELS ? level : LEVELS - 1;
	if (!gateway && !block->via[level])
		gateway = 1;
	/* Valid from the moment before: workers may see it at once. */
	block->via[level] = (uint8_t)gateway;
	block->when[block->changes % HISTORY] = ++changes;
	block->what[block->changes++ % HISTORY] = block_now(block);
	route_set(&address, level_length(block_ipv6(number), level), gateway);
}

/* ---- packets ------------------------------------------------------------------------------ */

static struct rte_mbuf *packet_make(uint32_t block)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);
	struct stamp stamp = {.change = changes, .block = block};
	struct pw_address to = block_address(block);
	bool ipv6 = block_ipv6(block);
	struct rte_ether_hdr *ethernet;
	struct rte_ipv4_hdr *ip4;
	struct rte_ipv6_hdr *ip6;

	assert_non_null(mbuf);
	ethernet = (struct rte_ether_hdr *)rte_pktmbuf_append(mbuf, sizeof(*ethernet));
	*ethernet = (struct rte_ether_hdr){.dst_addr.addr_bytes = {2, 0x50, 0, 0, 0, 0},
					   .src_addr.addr_bytes = {2, 0, 0, 0, 0, 0xfe},
					   .ether_type = ipv6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6)
							      : RTE_BE16(RTE_ETHER_TYPE_IPV4)};
	if (ipv6) {
		ip6 = (struct rte_ipv6_hdr *)rte_pktmbuf_append(mbuf, sizeof(*ip6));
		*ip6 = (struct rte_ipv6_hdr){.vtc_flow = RTE_BE32(6u << 28),
					     .payload_len = RTE_BE16(sizeof(stamp)),
					     .proto = 253,
					     .hop_limits = 64};
		memcpy(ip6->src_addr, address_of("2001:db8:2::9").bytes, 16);
		memcpy(ip6->dst_addr, to.bytes, 16);
	} else {
		ip4 = (struct rte_ipv4_hdr *)rte_pktmbuf_append(mbuf, sizeof(*ip4));
		*ip4 = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
					     .total_length = RTE_BE16(sizeof(*ip4) + sizeof(stamp)),
					     .time_to_live = 64,
					     .next_proto_id = 253,
					     .src_addr = RTE_BE32(0x0a000009)};
		memcpy(&ip4->dst_addr, to.bytes, 4);
		ip4->hdr_checksum = rte_ipv4_cksum(ip4);
	}
	memcpy(rte_pktmbuf_append(mbuf, sizeof(stamp)), &stamp, sizeof(stamp));
	return mbuf;
}

static void packets_send(void)
{
	struct rte_mbuf *burst[BURST];

	if (sent - received > IN_HAND - BURST)
		return;
	for (unsigned int i = 0; i < BURST; i++)
		burst[i] = packet_make(random_next() % BLOCKS);
	assert_int_equal(rte_ring_enqueue_bulk(ports[0].rx, (void **)burst, BURST, NULL), BURST);
	sent += BURST;
}

static void packet_check(struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	bool ipv6 = ethernet->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
	struct stamp stamp;

	memcpy(&stamp,
	       (const char *)(ethernet + 1) +
		       (ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)),
	       sizeof(stamp));
	assert_true(stamp.block < BLOCKS && block_ipv6(stamp.block) == ipv6);
	if (!block_led(&blocks[stamp.block], stamp.change, ethernet->dst_addr.addr_bytes[5]))
		wrong++;
	received++;
	rte_pktmbuf_free(mbuf);
}

static void packets_receive(void)
{
	struct rte_mbuf *burst[BURST];
	unsigned int count;

	while ((count = rte_ring_dequeue_burst(ports[1].tx, (void **)burst, BURST, NULL)))
		for (unsigned int i = 0; i < count; i++)
			packet_check(burst[i]);
}

/* ---- the test ----------------------------------------------------------------------------- */

static void test_churn(void **state)
{
	const char *wanted = getenv("PW_TEST_SECONDS");
	double begin = seconds(), end = begin + (wanted ? atof(wanted) : 3);

	while (seconds() < end) {
		for (unsigned int i = 0; i < BATCH; i++) {
			change_one();
			if (i % 8 == 0) {
				packets_send();
				packets_receive();
			}
		}
		settle();
	}
	end = seconds();
	for (double last = end + 5; received < sent && seconds() < last;)
		packets_receive();
	printf("%.0f changes/s beside %.0f packets/s: %lu packets lost, %lu led astray\n",
	       (double)changes / (end - begin), (double)received / (end - begin), sent - received,
	       wrong);
	for (unsigned int i = 1; i < PW_DROP_COUNT; i++)
		if (pw_workers[0]->drops[i] + pw_control_drops[i])
			printf("%s: %lu\n", pw_drop_name(i),
			       pw_workers[0]->drops[i] + pw_control_drops[i]);
	assert_true(changes > 0 && received > 0);
	assert_int_equal(sent, received);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_churn, start, stop)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
