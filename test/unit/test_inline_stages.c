/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inline crypto through the whole PE: core0 is a port whose NIC, made here of rings and
 * intel-ipsec-mb behind DPDK's rte_security, does ESP; core1 is one without; red0 is a customer's.
 * SAs come by `ip xfrm` through pewter-run of the build in PW_BUILD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <rte_cryptodev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_ip.h>
#include <rte_security_driver.h>

#include "control/control.h"
#include "control/loop.h"
#include "control/sa.h"
#include "crypto_fixture.h"
#include "dataplane/worker.h"
#include "drivers/crypto_inline.h"
#include "drivers/port.h"
#include "lib/retire.h"
#include "test/path/pe.h"

#define ETHER  14
#define IPV4   20
#define INNER  64
#define INSIDE (4 + 4 + INNER) /* GRE, label, packet */
#define TEXT   ((INSIDE + 2 + 3) & ~3)
#define SEALED (16 + TEXT + 16) /* ESP header, IV, text, ICV */
#define FRAME  (ETHER + IPV4 + SEALED)
#define KEY    20
#define WINDOW 32

enum { CORE0, CORE1, RED };
static const char *const names[] = {"core0", "core1", "red0"};

/* ---- the NIC ------------------------------------------------------------------------------ */

struct nic_session {
	struct pw_crypto_key *key;
};

struct rte_flow {
	struct rte_security_session *session; /* NULL: free */
	uint32_t spi, destination;
};

static struct {
	uint16_t ethdev;
	struct rte_security_ctx context;
	struct pw_crypto_worker *crypto;
	struct rte_flow flows[8];
	unsigned int sessions, sealed, opened, seen;
	bool metadata_fails; /* the driver takes no packet */
	bool sleeps;         /* opens nothing */
	bool alternates;     /* opens every other */
	bool lies;           /* says of all that it opened it */
} nic;

static int nic_session_create(void *device, struct rte_security_session_conf *conf,
			      struct rte_security_session *session)
{
	struct nic_session *own = SECURITY_GET_SESS_PRIV(session);
	uint8_t raw[KEY];

	memcpy(raw, conf->crypto_xform->aead.key.data, 16);
	memcpy(raw + 16, &conf->ipsec.salt, 4);
	nic.sessions++;
	return pw_crypto_key_new(suite_named("aes128gcm16"), raw, KEY, NULL, 0, &own->key);
}

static int nic_session_destroy(void *device, struct rte_security_session *session)
{
	struct nic_session *own = SECURITY_GET_SESS_PRIV(session);

	pw_crypto_key_free(own->key);
	nic.sessions--;
	return 0;
}

static unsigned int nic_session_size(void *device)
{
	return sizeof(struct nic_session);
}

/* In a field that nothing uses between esp-output and the NIC. */
static int nic_metadata_set(void *device, struct rte_security_session *session,
			    struct rte_mbuf *mbuf, void *parameters)
{
	if (nic.metadata_fails)
		return -EINVAL;
	memcpy(&mbuf->hash, &session, sizeof(session));
	return 0;
}

static const struct rte_cryptodev_capabilities algorithms[] = {
	{
		.op = RTE_CRYPTO_OP_TYPE_SYMMETRIC,
		.sym = {.xform_type = RTE_CRYPTO_SYM_XFORM_AEAD,
			.aead = {.algo = RTE_CRYPTO_AEAD_AES_GCM,
				 .block_size = 16,
				 .key_size = {16, 16, 0},
				 .digest_size = {16, 16, 0},
				 .aad_size = {0, 65535, 1},
				 .iv_size = {8, 8, 0}}},
	},
	RTE_CRYPTODEV_END_OF_CAPABILITIES_LIST()};

#define CAPABILITY(way, flags)                                                                     \
	{                                                                                          \
		.action = RTE_SECURITY_ACTION_TYPE_INLINE_CRYPTO,                                  \
		.protocol = RTE_SECURITY_PROTOCOL_IPSEC,                                           \
		.ipsec = {.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP,                                \
			  .mode = RTE_SECURITY_IPSEC_SA_MODE_TRANSPORT,                            \
			  .direction = RTE_SECURITY_IPSEC_SA_DIR_##way},                           \
		.crypto_capabilities = algorithms, .ol_flags = flags                               \
	}

static const struct rte_security_capability capabilities[] = {
	CAPABILITY(EGRESS, RTE_SECURITY_TX_OLOAD_NEED_MDATA),
	CAPABILITY(INGRESS, 0),
	{.action = RTE_SECURITY_ACTION_TYPE_NONE}};

static const struct rte_security_capability *nic_capabilities_get(void *device)
{
	return capabilities;
}

static const struct rte_security_ops nic_ops = {
	.session_create = nic_session_create,
	.session_destroy = nic_session_destroy,
	.session_get_size = nic_session_size,
	.set_pkt_metadata = nic_metadata_set,
	.capabilities_get = nic_capabilities_get,
};

/* In place of ethdev's, which ask the ring driver. */
void *rte_eth_dev_get_sec_ctx(uint16_t ethdev)
{
	return ethdev == nic.ethdev ? &nic.context : NULL;
}

static struct rte_flow *nic_flow(uint32_t spi, uint32_t destination)
{
	for (unsigned int i = 0; i < RTE_DIM(nic.flows); i++)
		if (nic.flows[i].session && nic.flows[i].spi == spi &&
		    nic.flows[i].destination == destination)
			return &nic.flows[i];
	return NULL;
}

static unsigned int nic_flows(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < RTE_DIM(nic.flows); i++)
		count += nic.flows[i].session != NULL;
	return count;
}

/* Two rules for the same packets it does not take. */
struct rte_flow *rte_flow_create(uint16_t ethdev, const struct rte_flow_attr *attributes,
				 const struct rte_flow_item pattern[],
				 const struct rte_flow_action actions[],
				 struct rte_flow_error *error)
{
	const struct rte_flow_item_ipv4 *ip = pattern[1].spec;
	const struct rte_flow_item_esp *esp = pattern[2].spec;
	unsigned int i = 0;

	while (i < RTE_DIM(nic.flows) && nic.flows[i].session)
		i++;
	if (i == RTE_DIM(nic.flows) || nic_flow(esp->hdr.spi, ip->hdr.dst_addr)) {
		error->message = "there is such a rule";
		rte_errno = EEXIST;
		return NULL;
	}
	nic.flows[i] = (struct rte_flow){
		((const struct rte_flow_action_security *)actions[0].conf)->security_session,
		esp->hdr.spi, ip->hdr.dst_addr};
	return &nic.flows[i];
}

int rte_flow_destroy(uint16_t ethdev, struct rte_flow *flow, struct rte_flow_error *error)
{
	flow->session = NULL;
	return 0;
}

static struct pw_crypto_op nic_op(struct rte_security_session *session, struct rte_mbuf *mbuf,
				  uint16_t esp_at)
{
	const struct nic_session *own = SECURITY_GET_SESS_PRIV(session);

	return (struct pw_crypto_op){.key = own->key,
				     .esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, esp_at),
				     .text_bytes = (uint16_t)(mbuf->data_len - esp_at - 32)};
}

/* As it sends: what is marked is sealed. */
static uint16_t nic_transmit(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
			     void *context)
{
	for (uint16_t i = 0; i < count; i++) {
		struct rte_security_session *session;
		struct pw_crypto_op op;

		if (!(mbufs[i]->ol_flags & RTE_MBUF_F_TX_SEC_OFFLOAD))
			continue;
		assert_true(mbufs[i]->ol_flags & RTE_MBUF_F_TX_IPV4);
		assert_int_equal(mbufs[i]->l2_len, ETHER);
		assert_int_equal(mbufs[i]->l3_len, IPV4);
		memcpy(&session, &mbufs[i]->hash, sizeof(session));
		op = nic_op(session, mbufs[i], ETHER + IPV4);
		assert_int_equal(pw_crypto_seal(nic.crypto, &op, 1), 0);
		nic.sealed++;
	}
	return count;
}

/* As it receives: what a rule picks out is opened. */
static uint16_t nic_receive(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
			    uint16_t most, void *context)
{
	for (uint16_t i = 0; i < count; i++) {
		const struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(mbufs[i], const struct rte_ipv4_hdr *, ETHER);
		const struct rte_flow *flow;
		struct pw_crypto_op op;
		uint32_t spi;

		mbufs[i]->port = port;
		if (ip->next_proto_id != IPPROTO_ESP)
			continue;
		memcpy(&spi, ip + 1, sizeof(spi));
		flow = nic_flow(spi, ip->dst_addr);
		if (nic.lies)
			mbufs[i]->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
		if (!flow || nic.lies || nic.sleeps || (nic.alternates && nic.seen++ % 2))
			continue;
		op = nic_op(flow->session, mbufs[i], ETHER + IPV4);
		mbufs[i]->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
		nic.opened++;
		if (pw_crypto_open(nic.crypto, &op, 1))
			mbufs[i]->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD_FAILED;
	}
	return count;
}

/* ---- the PE ------------------------------------------------------------------------------- */

static char directory[] = "/tmp/pw-inline-XXXXXX";
static char socket_path[64];

/* Runs a shell script whose `ip` speaks to the PE; its exit status. */
static int configure(const char *script)
{
	const char *build = getenv("PW_BUILD");
	char runner[4096];
	int status = 0;
	pid_t child;

	snprintf(runner, sizeof(runner), "%s/control/cli/pewter-run", build ? build : ".");
	child = fork();
	if (child == 0) {
		execl(runner, runner, "-s", socket_path, "sh", "-ec", script, (char *)NULL);
		perror(runner);
		_exit(127);
	}
	assert_true(child > 0);
	while (waitpid(child, &status, WNOHANG) == 0)
		pe_wait(5, NULL, NULL);
	for (int i = 0; i < 10; i++)
		pe_wait(1, NULL, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void configured(const char *script)
{
	assert_int_equal(configure(script), 0);
}

#define SA_IN                                                                                      \
	"ip xfrm state add src 10.255.0.2 dst 10.255.0.1 proto esp spi 0x1001 mode transport"      \
	" replay-window 32 aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128 "
#define SA_OUT                                                                                     \
	"ip xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1002 mode transport"      \
	" aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128 "

static const char network[] =
	"ip -batch - <<BATCH\n"
	"link set core0 up\n"
	"link set core1 up\n"
	"link set red0 up\n"
	"addr add 192.0.2.1/24 dev core0\n"
	"addr add 198.51.100.1/24 dev core1\n"
	"addr add 10.255.0.1/32 dev core0\n"
	"neigh add 192.0.2.2 lladdr 02:00:00:00:c0:02 dev core0 nud permanent\n"
	"neigh add 198.51.100.2 lladdr 02:00:00:00:c1:02 dev core1 nud permanent\n"
	"route add 10.255.0.2/32 via 192.0.2.2\n"
	"route add 203.0.113.0/24 via 198.51.100.2\n"
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
	"xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto gre dir out"
	" tmpl proto esp mode transport\n"
	"xfrm policy add src 10.255.0.2/32 dst 10.255.0.1/32 proto gre dir in"
	" tmpl proto esp mode transport\n"
	"BATCH\n"
	"ip -f mpls route add 200 dev red\n";

/* What the PE sent since last asked. */
static struct {
	unsigned int port;
	size_t length;
	uint8_t bytes[FRAME];
} sent[128];
static unsigned int sent_count;

static void take(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	assert_true(sent_count < RTE_DIM(sent) && length <= FRAME);
	sent[sent_count].port = port;
	sent[sent_count].length = length;
	memcpy(sent[sent_count++].bytes, frame, length);
}

static unsigned int run(void)
{
	sent_count = 0;
	pe_run(take, NULL);
	return sent_count;
}

static uint64_t drops(enum pw_drop drop)
{
	static uint64_t before[PW_DROP_COUNT];
	uint64_t now = pw_workers[0]->drops[drop], more = now - before[drop];

	before[drop] = now;
	return more;
}

/* ---- packets ------------------------------------------------------------------------------ */

static struct pw_crypto_key *key, *other_key;

static void ether(uint8_t *frame, uint8_t port)
{
	const uint8_t header[ETHER] = {0x02, 0x50, 0, 0, 0, port, 0x02, 0, 0, 0, 1, 2, 8, 0};

	memcpy(frame, header, sizeof(header));
}

static void ipv4(uint8_t *at, uint16_t length, uint8_t protocol, uint32_t from, uint32_t to)
{
	struct rte_ipv4_hdr ip = {.version_ihl = RTE_IPV4_VHL_DEF,
				  .total_length = rte_cpu_to_be_16(length),
				  .time_to_live = 60,
				  .next_proto_id = protocol,
				  .src_addr = rte_cpu_to_be_32(from),
				  .dst_addr = rte_cpu_to_be_32(to)};

	ip.hdr_checksum = rte_ipv4_cksum(&ip);
	memcpy(at, &ip, sizeof(ip));
}

/* A customer's packet, told by its mark. */
static void inner(uint8_t *at, uint32_t from, uint32_t to, uint32_t mark)
{
	memset(at, 0, INNER);
	ipv4(at, INNER, IPPROTO_UDP, from, to);
	memcpy(at + INNER - 4, &mark, 4);
}

/* From the remote PE, sealed; the mark is the number. */
static void sealed_frame(uint8_t *frame, const struct pw_crypto_key *with, uint32_t to,
			 uint32_t number)
{
	static const uint8_t gre_and_label[] = {0, 0, 0x88, 0x47, 0, 0x0c, 0x81, 0x40};
	uint8_t *esp = frame + ETHER + IPV4, *text = esp + 16;
	struct pw_crypto_op op = {.key = with, .esp = esp, .text_bytes = TEXT};
	uint32_t spi = RTE_BE32(0x1001), low = rte_cpu_to_be_32(number);
	uint64_t iv = number;

	ether(frame, CORE0);
	ipv4(frame + ETHER, IPV4 + SEALED, IPPROTO_ESP, RTE_IPV4(10, 255, 0, 2), to);
	memcpy(esp, &spi, 4);
	memcpy(esp + 4, &low, 4);
	memcpy(esp + 8, &iv, 8);
	memcpy(text, gre_and_label, sizeof(gre_and_label));
	inner(text + 8, RTE_IPV4(10, 2, 0, 2), RTE_IPV4(10, 1, 0, 2), number);
	for (uint8_t i = 0; i < TEXT - INSIDE - 2; i++)
		text[INSIDE + i] = i + 1;
	text[TEXT - 2] = TEXT - INSIDE - 2;
	text[TEXT - 1] = IPPROTO_GRE;
	assert_int_equal(pw_crypto_seal(nic.crypto, &op, 1), 0);
}

static void receive_changed(uint8_t port, const struct pw_crypto_key *with, uint32_t number,
			    uint8_t change)
{
	uint8_t frame[FRAME];

	sealed_frame(frame, with, RTE_IPV4(10, 255, 0, 1), number);
	frame[5] = port;
	frame[FRAME - 1] ^= change;
	assert_int_equal(pe_send(port, frame, sizeof(frame)), 0);
}

static void receive(uint8_t port, uint32_t number)
{
	receive_changed(port, key, number, 0);
}

/* The customer has got the packet with this mark. */
static void delivered(unsigned int at, uint32_t mark)
{
	uint8_t expected[INNER];
	uint32_t got;

	inner(expected, RTE_IPV4(10, 2, 0, 2), RTE_IPV4(10, 1, 0, 2), mark);
	assert_true(at < sent_count);
	assert_int_equal(sent[at].port, RED);
	memcpy(&got, sent[at].bytes + ETHER + INNER - 4, 4);
	assert_int_equal(got, mark);
	assert_memory_equal(sent[at].bytes + ETHER + 12, expected + 12, INNER - 12);
}

static void customer_sends(uint32_t mark)
{
	uint8_t frame[ETHER + INNER];

	ether(frame, RED);
	inner(frame + ETHER, RTE_IPV4(10, 1, 0, 2), RTE_IPV4(10, 2, 0, 2), mark);
	assert_int_equal(pe_send(RED, frame, sizeof(frame)), 0);
}

/* It left by this port, sealed, with this number, and the customer's packet is in it. */
static void left(unsigned int at, unsigned int port, uint32_t number, uint32_t mark)
{
	uint8_t *esp = sent[at].bytes + ETHER + IPV4, expected[INNER];
	struct pw_crypto_op op = {.key = key, .esp = esp, .text_bytes = TEXT};
	uint32_t low, spi;

	assert_true(at < sent_count);
	assert_int_equal(sent[at].port, port);
	assert_int_equal(sent[at].length, FRAME);
	memcpy(&spi, esp, 4);
	memcpy(&low, esp + 4, 4);
	assert_int_equal(rte_be_to_cpu_32(spi), 0x1002);
	assert_int_equal(rte_be_to_cpu_32(low), number);
	inner(expected, RTE_IPV4(10, 1, 0, 2), RTE_IPV4(10, 2, 0, 2), mark);
	assert_memory_not_equal(esp + 16 + 8 + 12, expected + 12, INNER - 12);
	assert_int_equal(pw_crypto_open(nic.crypto, &op, 1), 0);
	assert_memory_equal(esp + 16 + 8 + 12, expected + 12, INNER - 12);
	assert_int_equal(esp[16 + TEXT - 1], IPPROTO_GRE);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_offload(void **state)
{
	configured("! " SA_OUT "offload dev core1 dir out 2>$PW_ERR\n"
		   "grep 'core1 cannot take an SA: it has no inline crypto' $PW_ERR >&2");
	configured("! " SA_OUT "offload dev core0 dir in 2>$PW_ERR\n"
		   "grep 'inbound if its destination is an address of this PE' $PW_ERR >&2");
	configured("! " SA_IN "offload dev core0 dir out 2>$PW_ERR\n"
		   "grep 'to an address of this PE is offloaded inbound' $PW_ERR >&2");
	configured("! " SA_IN "flag esn offload dev core0 dir in 2>$PW_ERR\n"
		   "grep 'port core0 does no ESN' $PW_ERR >&2");
	configured("! ip xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1002 "
		   "mode transport aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 36)) 128 "
		   "offload dev core0 dir out 2>$PW_ERR\n"
		   "grep 'port core0 does no aes256gcm16 inline (out)' $PW_ERR >&2");
	configured("[ -z \"$(ip xfrm state)\" ]");
	assert_int_equal(nic.sessions, 0);
	assert_int_equal(nic_flows(), 0);
	configured(SA_IN "offload dev core0 dir in\n" SA_OUT "offload dev core0 dir out\n"
			 "ip xfrm state | grep 'dev core0 dir in' >&2\n"
			 "ip xfrm state | grep 'dev core0 dir out' >&2");
	assert_int_equal(nic.sessions, 2);
	assert_int_equal(nic_flows(), 1);
}

/* Nobody asks for the port: it is used all the same, and not shown as asked for. */
static void test_unasked(void **state)
{
	configured("ip xfrm state flush\n" SA_IN "\n" SA_OUT "\n! ip xfrm state | grep core0 >&2");
	assert_int_equal(nic_flows(), 1);
}

static void test_egress(void **state)
{
	nic.sealed = 0;
	customer_sends(7);
	customer_sends(8);
	assert_int_equal(run(), 2);
	assert_int_equal(nic.sealed, 2);
	left(0, CORE0, 1, 7);
	left(1, CORE0, 2, 8);
	/* The driver does not take it. */
	nic.metadata_fails = true;
	customer_sends(9);
	assert_int_equal(run(), 1);
	nic.metadata_fails = false;
	assert_int_equal(nic.sealed, 2);
	left(0, CORE0, 3, 9);
	/* By the port without, and back: one SA, one run of numbers. */
	configured("ip route replace 10.255.0.2/32 via 198.51.100.2");
	customer_sends(10);
	assert_int_equal(run(), 1);
	assert_int_equal(nic.sealed, 2);
	left(0, CORE1, 4, 10);
	configured("ip route replace 10.255.0.2/32 via 192.0.2.2");
	customer_sends(11);
	assert_int_equal(run(), 1);
	assert_int_equal(nic.sealed, 3);
	left(0, CORE0, 5, 11);
}

static const struct pw_sa_counters *inward_counters(uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t local[4] = {10, b, c, d};
	const struct pw_sa *sa = pw_sa_find(RTE_BE32(0x1001), 0, false, local);

	assert_non_null(sa);
	assert_non_null(sa->inlined);
	return &pw_workers[0]->sa[sa->id];
}

static void test_ingress(void **state)
{
	const struct pw_sa_counters *counters = inward_counters(255, 0, 1);
	struct pw_sa_counters before = *counters;

	nic.opened = 0;
	receive(CORE0, 1);
	assert_int_equal(run(), 1);
	delivered(0, 1);
	assert_int_equal(nic.opened, 1);
	assert_int_equal(counters->packets, before.packets + 1);
	/* Again: the NIC opens it, Pewter's window refuses it. */
	receive(CORE0, 1);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_REPLAY), 1);
	assert_int_equal(counters->replays, before.replays + 1);
	/* Forged: and it does not move the window. */
	receive_changed(CORE0, key, 1000, 1);
	assert_int_equal(run(), 0);
	assert_int_equal(nic.opened, 3);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	assert_int_equal(counters->icv_failures, before.icv_failures + 1);
	receive(CORE0, 2);
	assert_int_equal(run(), 1);
	delivered(0, 2);
	/* Not opened by it: the engine's. */
	nic.sleeps = true;
	receive(CORE0, 3);
	receive_changed(CORE0, key, 4, 1);
	assert_int_equal(run(), 1);
	delivered(0, 3);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	nic.sleeps = false;
	/* What it says of a packet that it did not open ends as text that is not right. */
	nic.lies = true;
	receive(CORE0, 5);
	assert_int_equal(run(), 0);
	nic.lies = false;
}

/* Some of a burst are opened already: numbers are taken in their order nevertheless. */
static void test_mixed(void **state)
{
	drops(PW_DROP_ESP_REPLAY);
	nic.alternates = true;
	nic.opened = 0;
	for (uint32_t number = 100; number < 100 + 2 * WINDOW; number++)
		receive(CORE0, number);
	assert_int_equal(run(), 2 * WINDOW);
	assert_int_equal(nic.opened, WINDOW);
	for (uint32_t i = 0; i < 2 * WINDOW; i++)
		delivered(i, 100 + i);
	nic.alternates = false;
	/* By the other port too; a copy by the first is refused. */
	receive(CORE1, 200);
	assert_int_equal(run(), 1);
	delivered(0, 200);
	receive(CORE0, 200);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_REPLAY), 1);
}

/* ESP of others passes by; not if the NIC says that it has opened it. */
static void test_transit(void **state)
{
	uint8_t frame[FRAME];

	sealed_frame(frame, key, RTE_IPV4(203u, 0, 113, 1), 1);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	assert_int_equal(run(), 1);
	assert_int_equal(sent[0].port, CORE1);
	nic.lies = true;
	drops(PW_DROP_ESP_SPI);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_SPI), 1);
	nic.lies = false;
}

/* Deleted, and another with its SPI before any grace period has passed. */
static void replace_key(void)
{
	struct pw_address destination = {.family = AF_INET, .bytes = {10, 255, 0, 1}};
	struct pw_sa_detail *sa = pw_sa_lookup(0, &destination, RTE_BE32(0x1001));
	struct pw_sa_replay replay = {.set = false};
	struct pw_sa_detail model;
	char why[PW_CRYPTO_WHY_BYTES] = "";
	uint8_t raw[KEY];

	memset(raw, 0xa5, sizeof(raw));
	assert_non_null(sa);
	model = (struct pw_sa_detail){
		.entry = {.source = sa->entry.source,
			  .destination = destination,
			  .spi = sa->entry.spi,
			  .mode = sa->entry.mode},
		.suite = sa->suite,
		.selector = sa->selector,
		.limits = sa->limits,
		.window = WINDOW,
		.offload = {.ifindex = (int)pw_link_by_name("core0")->index,
			    .flags = XFRM_OFFLOAD_INBOUND},
		.offload_ethdev = nic.ethdev,
	};
	pw_sa_remove(sa);
	if (pw_sa_add(&model, &(struct pw_sa_keys){.cipher = raw}, &replay, NULL, &sa, why))
		fail_msg("%s", why);
	pw_loop_again(0);
	pe_wait(0, NULL, NULL);
}

/* Only the new key opens, and it does so in the NIC. */
static void test_same_spi(void **state)
{
	replace_key();
	assert_int_equal(nic_flows(), 1);
	drops(PW_DROP_ESP_ICV);
	receive(CORE0, 300);
	assert_int_equal(run(), 0);
	assert_int_equal(drops(PW_DROP_ESP_ICV), 1);
	nic.opened = 0;
	receive_changed(CORE0, other_key, 1, 0);
	assert_int_equal(run(), 1);
	delivered(0, 1);
	assert_int_equal(nic.opened, 1);
}

/* Its destination's address comes and goes: the SA is outward, inward, outward. */
static void test_turned(void **state)
{
	unsigned int flows = nic_flows();
	uint8_t frame[FRAME];
	uint64_t packets;

	configured("ip xfrm state add src 10.255.0.2 dst 10.9.9.9 proto esp spi 0x1001"
		   " mode transport replay-window 32"
		   " aead 'rfc4106(gcm(aes))' 0x$(printf '5a%.0s' $(seq 20)) 128"
		   " offload dev core0 dir out\n"
		   "ip addr add 10.9.9.9/32 dev core0\n"
		   "ip xfrm state | grep -A20 'dst 10.9.9.9' | grep -m1 'dev core0 dir in' >&2");
	assert_int_equal(nic_flows(), flows + 1);
	nic.opened = 0;
	packets = inward_counters(9, 9, 9)->packets;
	sealed_frame(frame, key, RTE_IPV4(10, 9, 9, 9), 1);
	assert_int_equal(pe_send(CORE0, frame, sizeof(frame)), 0);
	/* Authentic, though no tunnel takes it. */
	assert_int_equal(run(), 0);
	assert_int_equal(inward_counters(9, 9, 9)->packets, packets + 1);
	assert_int_equal(nic.opened, 1);
	configured("ip addr del 10.9.9.9/32 dev core0\n"
		   "ip xfrm state | grep -A20 'dst 10.9.9.9' | grep -m1 'dev core0 dir out' >&2");
	assert_int_equal(nic_flows(), flows);
	configured("ip xfrm state del dst 10.9.9.9 proto esp spi 0x1001");
}

/* Until the NIC has so many sessions, that is, those that are held have gone. */
static void sessions_reach(unsigned int count)
{
	time_t end = time(NULL) + 10;

	while (nic.sessions > count && time(NULL) < end)
		pe_wait(50, NULL, NULL);
	assert_int_equal(nic.sessions, count);
}

/* The outward one, and the grace period after it. */
static void outward_delete(void)
{
	struct pw_address destination = {.family = AF_INET, .bytes = {10, 255, 0, 2}};
	struct pw_sa_detail *sa = pw_sa_lookup(0, &destination, RTE_BE32(0x1002));

	assert_non_null(sa);
	pw_sa_remove(sa);
	pw_retire_drain();
}

/* The NIC keeps an outward key for as long as its queue may have packets for it. */
static void test_deleted(void **state)
{
	sessions_reach(2);
	outward_delete();
	assert_int_equal(nic.sessions, 2);
	sessions_reach(1);
	configured("ip xfrm state flush");
	sessions_reach(0);
	assert_int_equal(nic_flows(), 0);
}

/* ---- set up ------------------------------------------------------------------------------- */
static int setup(void **state)
{
	static const struct pe_config config = {
		.names = names, .ports = RTE_DIM(names), .socket = socket_path};
	char why[PW_CRYPTO_WHY_BYTES], errors[80];
	uint8_t raw[KEY];

	assert_non_null(mkdtemp(directory));
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	snprintf(errors, sizeof(errors), "%s/err", directory);
	setenv("PW_ERR", errors, 1);
	nic.ethdev = RTE_MAX_ETHPORTS;
	assert_int_equal(pe_start(&config), 0);
	assert_non_null(pw_link_by_name("core0"));
	nic.ethdev = pw_port_find(pw_link_by_name("core0")->port)->ethdev;
	nic.context.device = &nic;
	nic.context.ops = &nic_ops;
	assert_int_equal(pw_crypto_worker_new(&nic.crypto), 0);
	assert_non_null(rte_eth_add_tx_callback(nic.ethdev, 0, nic_transmit, NULL));
	assert_non_null(rte_eth_add_rx_callback(nic.ethdev, 0, nic_receive, NULL));
	assert_int_equal(pw_inline_port_add(nic.ethdev, "core0", why), 0);
	memset(raw, 0x5a, sizeof(raw));
	assert_int_equal(pw_crypto_key_new(suite_named("aes128gcm16"), raw, KEY, NULL, 0, &key), 0);
	memset(raw, 0xa5, sizeof(raw));
	assert_int_equal(
		pw_crypto_key_new(suite_named("aes128gcm16"), raw, KEY, NULL, 0, &other_key), 0);
	return configure(network);
}

static int teardown(void **state)
{
	char command[128];

	/* One that stands and one that is held go with their port. */
	configured(SA_IN "\n" SA_OUT);
	outward_delete();
	assert_int_equal(nic.sessions, 2);
	pw_crypto_key_free(key);
	pw_crypto_key_free(other_key);
	pe_stop();
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return nic.sessions != 0 || system(command) != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offload),  cmocka_unit_test(test_unasked),
		cmocka_unit_test(test_egress),   cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_mixed),    cmocka_unit_test(test_transit),
		cmocka_unit_test(test_same_spi), cmocka_unit_test(test_turned),
		cmocka_unit_test(test_deleted),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
