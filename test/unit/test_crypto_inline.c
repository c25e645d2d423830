/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inline crypto, with a NIC that is made here: two ring ports, cable between them, whose security
 * context, sessions and flows are this file's, and which seal what they send and open what they
 * receive as such a NIC would, by intel-ipsec-mb. It stands in for the driver only: DPDK's own
 * rte_security is between it and what is tested.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_flow.h>
#include <rte_security_driver.h>

#include "crypto_fixture.h"
#include "drivers/crypto_inline.h"
#include "memory_scan.h"

#define TABLE 3 /* sessions that the NIC has room for */
#define L2    14
#define L3    20
#define TEXT  96
#define SPI   0x11223344

/* ---- the NIC ------------------------------------------------------------------------------ */

struct nic_session {
	struct pw_crypto_key *key;
	uint8_t raw[36]; /* as the hardware's table would hold it */
	uint32_t spi;
	uint8_t text_at;
};

static struct {
	uint16_t ethdev;
	struct rte_mempool *pool;
	struct rte_security_ctx context;
	struct pw_crypto_worker *worker;
	unsigned int sessions;
	bool metadata_fails, flow_fails, breaks_icv;
	/* The flow rule, as the driver got it. */
	struct rte_security_session *flow_session;
	uint32_t flow_spi;
	struct rte_flow_item_ipv4 flow_ip, flow_ip_mask;
	unsigned int flows;
	bool flow_udp;
	/* What the session was to be. */
	struct rte_security_session_conf conf;
	struct rte_crypto_sym_xform xform;
} nic;

static int metadata_offset = -1;

static struct rte_security_session **metadata(struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, metadata_offset, struct rte_security_session **);
}

static int nic_session_create(void *device, struct rte_security_session_conf *conf,
			      struct rte_security_session *session)
{
	struct nic_session *own = SECURITY_GET_SESS_PRIV(session);
	const struct rte_crypto_sym_xform *x = conf->crypto_xform;

	assert_ptr_equal(device, &nic);
	nic.conf = *conf;
	nic.xform = *x;
	if (nic.sessions == TABLE)
		return -ENOSPC;
	nic.sessions++;
	memset(own, 0, sizeof(*own));
	memcpy(own->raw, x->aead.key.data, x->aead.key.length);
	memcpy(own->raw + x->aead.key.length, &conf->ipsec.salt, 4);
	own->spi = conf->ipsec.spi;
	own->text_at = 16;
	return pw_crypto_key_new(
		suite_named(x->aead.key.length == 16 ? "aes128gcm16" : "aes256gcm16"), own->raw,
		x->aead.key.length + 4u, NULL, 0, &own->key);
}

static int nic_session_destroy(void *device, struct rte_security_session *session)
{
	struct nic_session *own = SECURITY_GET_SESS_PRIV(session);

	/* As real drivers do, it leaves the session's memory as it is. */
	pw_crypto_key_free(own->key);
	nic.sessions--;
	return 0;
}

static unsigned int nic_session_size(void *device)
{
	return sizeof(struct nic_session);
}

static int nic_metadata_set(void *device, struct rte_security_session *session,
			    struct rte_mbuf *mbuf, void *parameters)
{
	if (nic.metadata_fails)
		return -EINVAL;
	*metadata(mbuf) = session;
	return 0;
}

/* AES-GCM with keys of 128 and 256 bits, the IV counted as ixgbe's driver does. */
static const struct rte_cryptodev_capabilities nic_algorithms[] = {
	{
		.op = RTE_CRYPTO_OP_TYPE_SYMMETRIC,
		.sym = {.xform_type = RTE_CRYPTO_SYM_XFORM_AEAD,
			.aead = {.algo = RTE_CRYPTO_AEAD_AES_GCM,
				 .block_size = 16,
				 .key_size = {16, 32, 16},
				 .digest_size = {16, 16, 0},
				 .aad_size = {0, 65535, 1},
				 .iv_size = {8, 8, 0}}},
	},
	RTE_CRYPTODEV_END_OF_CAPABILITIES_LIST()};

#define CAPABILITY(way, how, flags)                                                                \
	{                                                                                          \
		.action = RTE_SECURITY_ACTION_TYPE_INLINE_CRYPTO,                                  \
		.protocol = RTE_SECURITY_PROTOCOL_IPSEC,                                           \
		.ipsec = {.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP,                                \
			  .mode = RTE_SECURITY_IPSEC_SA_MODE_##how,                                \
			  .direction = RTE_SECURITY_IPSEC_SA_DIR_##way,                            \
			  .options = {.esn = 1}},                                                  \
		.crypto_capabilities = nic_algorithms, .ol_flags = flags                           \
	}

/* Out: both modes; in: transport mode only, for tunnel mode it would take the trailer away. */
static const struct rte_security_capability nic_capabilities[] = {
	CAPABILITY(EGRESS, TRANSPORT, RTE_SECURITY_TX_OLOAD_NEED_MDATA),
	CAPABILITY(EGRESS, TUNNEL, RTE_SECURITY_TX_OLOAD_NEED_MDATA),
	CAPABILITY(INGRESS, TRANSPORT, 0),
	CAPABILITY(INGRESS, TUNNEL, RTE_SECURITY_RX_HW_TRAILER_OFFLOAD),
	{.action = RTE_SECURITY_ACTION_TYPE_NONE}};

static const struct rte_security_capability nothing[] = {{.action = RTE_SECURITY_ACTION_TYPE_NONE}};
static const struct rte_security_capability *capabilities = nic_capabilities;

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

struct rte_flow *rte_flow_create(uint16_t ethdev, const struct rte_flow_attr *attributes,
				 const struct rte_flow_item pattern[],
				 const struct rte_flow_action actions[],
				 struct rte_flow_error *error)
{
	assert_int_equal(ethdev, nic.ethdev);
	assert_true(attributes->ingress && !attributes->egress);
	if (nic.flow_fails) {
		error->message = "no room for rules";
		rte_errno = ENOSPC;
		return NULL;
	}
	assert_int_equal(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
	assert_int_equal(pattern[1].type, RTE_FLOW_ITEM_TYPE_IPV4);
	memcpy(&nic.flow_ip, pattern[1].spec, sizeof(nic.flow_ip));
	memcpy(&nic.flow_ip_mask, pattern[1].mask, sizeof(nic.flow_ip_mask));
	assert_int_equal(pattern[2].type, RTE_FLOW_ITEM_TYPE_ESP);
	nic.flow_spi = ntohl(((const struct rte_flow_item_esp *)pattern[2].spec)->hdr.spi);
	assert_int_equal(pattern[3].type, RTE_FLOW_ITEM_TYPE_END);
	assert_int_equal(actions[0].type, RTE_FLOW_ACTION_TYPE_SECURITY);
	nic.flow_session =
		((const struct rte_flow_action_security *)actions[0].conf)->security_session;
	nic.flows++;
	return (struct rte_flow *)&nic.flow_session;
}

int rte_flow_destroy(uint16_t ethdev, struct rte_flow *flow, struct rte_flow_error *error)
{
	assert_int_equal(ethdev, nic.ethdev);
	assert_ptr_equal(flow, &nic.flow_session);
	nic.flow_session = NULL;
	nic.flows--;
	return 0;
}

static struct pw_crypto_op nic_op(const struct nic_session *own, struct rte_mbuf *mbuf,
				  uint16_t esp_at)
{
	return (struct pw_crypto_op){
		.key = own->key,
		.esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, esp_at),
		.text_bytes = (uint16_t)(mbuf->data_len - esp_at - own->text_at - 16),
	};
}

/* As it sends: what is marked is sealed. */
static uint16_t nic_transmit(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
			     void *context)
{
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		const struct nic_session *own;
		struct pw_crypto_op op;

		if (!(mbuf->ol_flags & RTE_MBUF_F_TX_SEC_OFFLOAD))
			continue;
		assert_true(mbuf->ol_flags & RTE_MBUF_F_TX_IPV4);
		own = SECURITY_GET_SESS_PRIV(*metadata(mbuf));
		op = nic_op(own, mbuf, (uint16_t)(mbuf->l2_len + mbuf->l3_len));
		assert_int_equal(pw_crypto_seal(nic.worker, &op, 1), 0);
		if (nic.breaks_icv)
			op.esp[mbuf->data_len - L2 - L3 - 1] ^= 1;
		mbuf->ol_flags = 0;
	}
	return count;
}

/* As it receives: what the rule picks out is opened. */
static uint16_t nic_receive(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
			    uint16_t most, void *context)
{
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		const uint8_t *esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, L2 + L3);
		struct pw_crypto_op op;

		mbuf->port = port;
		if (nic.flow_session == NULL ||
		    (uint32_t)(esp[0] << 24 | esp[1] << 16 | esp[2] << 8 | esp[3]) != nic.flow_spi)
			continue;
		op = nic_op(SECURITY_GET_SESS_PRIV(nic.flow_session), mbuf, L2 + L3);
		mbuf->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
		if (pw_crypto_open(nic.worker, &op, 1))
			mbuf->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD_FAILED;
	}
	return count;
}

/* ---- SAs ---------------------------------------------------------------------------------- */

static uint8_t raw[36] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

static struct pw_inline_sa sa_make(bool ingress, const char *suite)
{
	return (struct pw_inline_sa){
		.suite = suite_named(suite),
		.cipher_key = raw,
		.auth_key = raw,
		.spi = SPI,
		.ingress = ingress,
		.family = AF_INET,
		.source = {10, 0, 0, 1},
		.destination = {10, 0, 0, 2},
	};
}

static void session_refused(const struct pw_inline_sa *sa, int error, const char *says)
{
	unsigned int sessions = nic.sessions, flows = nic.flows;
	struct pw_inline_session session;
	char why[PW_CRYPTO_WHY_BYTES] = "";

	assert_int_equal(pw_inline_session_new(nic.ethdev, sa, &session, why), error);
	assert_null(session.session);
	assert_int_equal(nic.sessions, sessions);
	assert_int_equal(nic.flows, flows);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
}

static void test_ports_refused(void **state)
{
	struct rte_eth_dev_info info = {.driver_name = "net_plain"};
	struct rte_eth_conf configuration = {0};
	char why[PW_CRYPTO_WHY_BYTES];

	assert_int_equal(pw_inline_configure(&info, &configuration, why), -ENOTSUP);
	assert_non_null(strstr(why, "net_plain does no inline crypto"));
	info.tx_offload_capa = RTE_ETH_TX_OFFLOAD_SECURITY | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	info.rx_offload_capa = RTE_ETH_RX_OFFLOAD_SECURITY;
	assert_int_equal(pw_inline_configure(&info, &configuration, why), 0);
	assert_int_equal(configuration.txmode.offloads, RTE_ETH_TX_OFFLOAD_SECURITY);
	assert_int_equal(configuration.rxmode.offloads, RTE_ETH_RX_OFFLOAD_SECURITY);

	assert_int_equal(pw_inline_port_add((uint16_t)(nic.ethdev + 1), "x0", why), -ENOTSUP);
	assert_non_null(strstr(why, "port x0 has no inline crypto"));
	capabilities = nothing;
	assert_int_equal(pw_inline_port_add(nic.ethdev, "x0", why), -ENOTSUP);
	assert_non_null(strstr(why, "none of ESP's suites"));
	capabilities = nic_capabilities;
	/* Not added: no SA gets a session. */
	struct pw_inline_sa sa = sa_make(false, "aes128gcm16");
	struct pw_inline *inlined;

	session_refused(&sa, -ENODEV, "does no inline crypto");
	assert_int_equal(pw_inline_new(&sa, &inlined), 0);
	assert_null(inlined);
}

static void test_sessions_refused(void **state)
{
	struct pw_inline_sa sa = sa_make(false, "aes192gcm16");
	struct pw_inline *inlined;

	/* The NIC's key sizes are 16 and 32. */
	session_refused(&sa, -ENOTSUP, "port core0 does no aes192gcm16 inline (out)");
	sa = sa_make(true, "aes128-sha256");
	session_refused(&sa, -ENOTSUP, "no aes128-sha256 inline (in)");
	sa = sa_make(true, "aes128gcm16");
	sa.tunnel = true;
	session_refused(&sa, -ENOTSUP, "no tunnel mode inline (in)");
	sa.tunnel = false;
	sa.udp = true;
	session_refused(&sa, -ENOTSUP, "no ESP in UDP");
	sa.udp = false;
	sa.esn = true;
	session_refused(&sa, -ENOTSUP, "no ESN");
	sa.esn = false;
	nic.flow_fails = true;
	session_refused(&sa, -ENOSPC, "does not pick out SPI 0x11223344: no room for rules");
	/* Then it is the engine's alone, and the SA stands. */
	assert_int_equal(pw_inline_new(&sa, &inlined), 0);
	assert_null(inlined);
	nic.flow_fails = false;
	assert_int_equal(nic.sessions, 0);
}

static void test_table_full(void **state)
{
	struct pw_inline_sa sa = sa_make(false, "aes256gcm16");
	struct pw_inline *inlined[TABLE + 1];

	for (unsigned int i = 0; i < TABLE; i++) {
		assert_int_equal(pw_inline_new(&sa, &inlined[i]), 0);
		assert_true(pw_inline_has(inlined[i], nic.ethdev));
		assert_false(pw_inline_has(inlined[i], (uint16_t)(nic.ethdev + 1)));
	}
	session_refused(&sa, -ENOSPC, "port core0 takes no more inline sessions (out)");
	assert_int_equal(pw_inline_new(&sa, &inlined[TABLE]), 0);
	assert_null(inlined[TABLE]);
	assert_false(pw_inline_has(inlined[TABLE], nic.ethdev));
	pw_inline_free(inlined[0]);
	assert_int_equal(pw_inline_new(&sa, &inlined[0]), 0);
	assert_non_null(inlined[0]);
	for (unsigned int i = 0; i <= TABLE; i++)
		pw_inline_free(inlined[i]);
	assert_int_equal(nic.sessions, 0);
}

/* What the driver is told. */
static void test_session(void **state)
{
	struct pw_inline_sa sa = sa_make(true, "aes256gcm16");
	struct pw_inline_session session;
	char why[PW_CRYPTO_WHY_BYTES];

	assert_int_equal(pw_inline_session_new(nic.ethdev, &sa, &session, why), 0);
	assert_int_equal(nic.conf.action_type, RTE_SECURITY_ACTION_TYPE_INLINE_CRYPTO);
	assert_int_equal(nic.conf.ipsec.spi, SPI);
	assert_int_equal(nic.conf.ipsec.direction, RTE_SECURITY_IPSEC_SA_DIR_INGRESS);
	assert_int_equal(nic.conf.ipsec.replay_win_sz, 0);
	assert_int_equal(nic.conf.ipsec.options.esn, 0);
	assert_int_equal(nic.xform.aead.op, RTE_CRYPTO_AEAD_OP_DECRYPT);
	assert_int_equal(nic.xform.aead.key.length, 32);
	assert_int_equal(nic.xform.aead.iv.length, 8);
	assert_int_equal(nic.flow_spi, SPI);
	assert_memory_equal(&nic.flow_ip.hdr.dst_addr, sa.destination, 4);
	assert_memory_equal(&nic.flow_ip.hdr.src_addr, sa.source, 4);
	assert_int_equal(nic.flow_ip_mask.hdr.src_addr, UINT32_MAX);
	pw_inline_session_free(&session);
	assert_int_equal(nic.flows, 0);
	/* Of any source: a group SA. */
	memset(sa.source, 0, sizeof(sa.source));
	assert_int_equal(pw_inline_session_new(nic.ethdev, &sa, &session, why), 0);
	assert_int_equal(nic.flow_ip_mask.hdr.src_addr, 0);
	assert_int_equal(nic.flow_ip_mask.hdr.dst_addr, UINT32_MAX);
	pw_inline_session_free(&session);
	assert_null(session.session);
}

/* ---- packets ------------------------------------------------------------------------------ */

static struct rte_mbuf *packet_make(uint32_t spi, uint8_t fill)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(nic.pool);
	uint8_t *at;

	assert_non_null(mbuf);
	at = (uint8_t *)rte_pktmbuf_append(mbuf, L2 + L3 + 16 + TEXT + 16);
	memset(at, 0x45, L2 + L3);
	at += L2 + L3;
	spi = htonl(spi);
	memcpy(at, &spi, 4);
	memset(at + 4, 7, 12); /* number and IV */
	memset(at + 16, fill, TEXT);
	memset(at + 16 + TEXT, 0, 16);
	return mbuf;
}

static uint8_t *text_of(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod_offset(mbuf, uint8_t *, L2 + L3 + 16);
}

/* Sends by the NIC; what comes in by it (the cable is a loop). */
static struct rte_mbuf *cable(struct rte_mbuf *mbuf)
{
	struct rte_mbuf *back = NULL;

	assert_int_equal(rte_eth_tx_burst(nic.ethdev, 0, &mbuf, 1), 1);
	assert_int_equal(rte_eth_rx_burst(nic.ethdev, 0, &back, 1), 1);
	return back;
}

static struct pw_crypto_op software_op(const struct pw_crypto_key *key, struct rte_mbuf *mbuf)
{
	return (struct pw_crypto_op){
		.key = key, .esp = text_of(mbuf) - 16, .mbuf = mbuf, .text_bytes = TEXT};
}

static void test_packets(void **state)
{
	struct pw_inline_sa out = sa_make(false, "aes128gcm16"), in = sa_make(true, "aes128gcm16");
	struct pw_inline *egress, *ingress;
	uint8_t clear[TEXT], sealed[TEXT + 16];
	struct pw_crypto_key *key;
	struct pw_crypto_op op;
	struct rte_mbuf *mbuf;

	assert_int_equal(pw_crypto_key_new(out.suite, raw, 20, NULL, 0, &key), 0);
	assert_int_equal(pw_inline_new(&out, &egress), 0);
	memset(clear, 0x33, sizeof(clear));

	/* Out by the NIC, in by software, which agree. */
	mbuf = packet_make(SPI, 0x33);
	assert_true(pw_inline_egress(egress, nic.ethdev, mbuf, L2, L3, false));
	mbuf = cable(mbuf);
	assert_memory_not_equal(text_of(mbuf), clear, TEXT);
	assert_int_equal(pw_inline_ingress(NULL, mbuf), PW_INLINE_CLOSED);
	memcpy(sealed, text_of(mbuf), sizeof(sealed));
	op = software_op(key, mbuf);
	assert_int_equal(pw_crypto_open(nic.worker, &op, 1), 0);
	assert_memory_equal(text_of(mbuf), clear, TEXT);
	/* The same by software is the same: packets of one SA may go either way. */
	assert_int_equal(pw_crypto_seal(nic.worker, &op, 1), 0);
	assert_memory_equal(text_of(mbuf), sealed, sizeof(sealed));

	/* Out by software, in by the NIC. */
	assert_int_equal(pw_inline_new(&in, &ingress), 0);
	mbuf = cable(mbuf);
	assert_memory_equal(text_of(mbuf), clear, TEXT);
	assert_int_equal(pw_inline_ingress(ingress, mbuf), PW_INLINE_OPENED);
	/* Its flags are gone: it is not taken for opened twice. */
	assert_int_equal(pw_inline_ingress(ingress, mbuf), PW_INLINE_CLOSED);

	/* A NIC whose word is not to be taken: of an SA without a session, or of one for egress. */
	mbuf->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
	assert_int_equal(pw_inline_ingress(NULL, mbuf), PW_INLINE_FAILED);
	mbuf->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
	assert_int_equal(pw_inline_ingress(egress, mbuf), PW_INLINE_FAILED);
	mbuf->ol_flags |= RTE_MBUF_F_RX_SEC_OFFLOAD;
	mbuf->port++;
	assert_int_equal(pw_inline_ingress(ingress, mbuf), PW_INLINE_FAILED);
	rte_pktmbuf_free(mbuf);

	/* Forged. */
	nic.breaks_icv = true;
	mbuf = packet_make(SPI, 0x33);
	assert_true(pw_inline_egress(egress, nic.ethdev, mbuf, L2, L3, false));
	mbuf = cable(mbuf);
	nic.breaks_icv = false;
	assert_int_equal(pw_inline_ingress(ingress, mbuf), PW_INLINE_FAILED);
	rte_pktmbuf_free(mbuf);

	/* Another SPI than the rule's: closed, and the engine's. */
	mbuf = packet_make(SPI + 1, 0x33);
	op = software_op(key, mbuf);
	assert_int_equal(pw_crypto_seal(nic.worker, &op, 1), 0);
	mbuf = cable(mbuf);
	assert_int_equal(pw_inline_ingress(ingress, mbuf), PW_INLINE_CLOSED);
	assert_int_equal(pw_crypto_open(nic.worker, &op, 1), 0);
	rte_pktmbuf_free(mbuf);

	/* The driver does not take it: not marked, and clear still. */
	nic.metadata_fails = true;
	mbuf = packet_make(SPI, 0x33);
	assert_false(pw_inline_egress(egress, nic.ethdev, mbuf, L2, L3, false));
	assert_int_equal(mbuf->ol_flags, 0);
	assert_memory_equal(text_of(mbuf), clear, TEXT);
	nic.metadata_fails = false;
	rte_pktmbuf_free(mbuf);

	pw_inline_free(egress);
	pw_inline_free(ingress);
	pw_crypto_key_free(key);
	assert_int_equal(nic.sessions, 0);
}

/* The port goes before the SA: its sessions go with it, and the SA is the engine's. */
static void test_port_gone(void **state)
{
	struct pw_inline_sa out = sa_make(false, "aes128gcm16"), in = sa_make(true, "aes128gcm16");
	struct pw_inline *egress, *ingress;

	assert_int_equal(pw_inline_new(&out, &egress), 0);
	assert_int_equal(pw_inline_new(&in, &ingress), 0);
	assert_int_equal(nic.sessions, 2);
	pw_inline_port_remove(nic.ethdev);
	assert_int_equal(nic.sessions, 0);
	assert_int_equal(nic.flows, 0);
	assert_false(pw_inline_has(egress, nic.ethdev));
	pw_inline_free(egress);
	pw_inline_free(ingress);
	pw_inline_port_remove(nic.ethdev);
}

/* The driver leaves the key in a session that it has given back; it goes all the same. */
static void test_keys_wiped(void **state)
{
	struct pw_inline_sa sa = sa_make(false, "aes256gcm16");
	struct scan_pattern pattern;
	struct pw_inline *inlined;
	struct scan_result result;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(rte_rdtsc() >> 3 ^ i * 41);
	pattern = scan_pattern(raw + 8);
	assert_int_equal(pw_inline_new(&sa, &inlined), 0);
	result = scan_memory(&pattern, 1);
	assert_true(result.found >= 3); /* here, in the session, and in what the NIC made of it */
	pw_inline_free(inlined);
	explicit_bzero(raw, sizeof(raw));
	assert_int_equal(scan_memory(&pattern, 1).found, 0);
}

/* ---- set up ------------------------------------------------------------------------------- */

static int setup(void **state)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "test_nic_metadata", .size = sizeof(void *), .align = sizeof(void *)};
	struct rte_ring *ring = rte_ring_create("cable", 64, SOCKET_ID_ANY, 0);
	struct rte_eth_conf configuration = {0};
	int ethdev = rte_eth_from_ring(ring);

	assert_true(ethdev >= 0);
	nic.ethdev = (uint16_t)ethdev;
	nic.context.device = &nic;
	nic.context.ops = &nic_ops;
	nic.pool = rte_pktmbuf_pool_create("packets", 127, 0, 0, 2048, SOCKET_ID_ANY);
	metadata_offset = rte_mbuf_dynfield_register(&field);
	assert_true(nic.pool != NULL && metadata_offset >= 0);
	assert_int_equal(pw_crypto_worker_new(&nic.worker), 0);
	assert_int_equal(rte_eth_dev_configure(nic.ethdev, 1, 1, &configuration), 0);
	assert_int_equal(rte_eth_rx_queue_setup(nic.ethdev, 0, 64, 0, NULL, nic.pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(nic.ethdev, 0, 64, 0, NULL), 0);
	assert_non_null(rte_eth_add_tx_callback(nic.ethdev, 0, nic_transmit, NULL));
	assert_non_null(rte_eth_add_rx_callback(nic.ethdev, 0, nic_receive, NULL));
	assert_int_equal(rte_eth_dev_start(nic.ethdev), 0);
	return 0;
}

static int port_add(void **state)
{
	char why[PW_CRYPTO_WHY_BYTES];

	assert_int_equal(pw_inline_port_add(nic.ethdev, "core0", why), 0);
	return 0;
}

static int port_remove(void **state)
{
	pw_inline_port_remove(nic.ethdev);
	return 0;
}

int main(void)
{
	char *arguments[] = {"test", "--no-huge", "--no-shconf",        "-m",
			     "64",   "--no-pci",  "--no-telemetry",     "--iova-mode=va",
			     "-l",   "0",         "--log-level=*:error"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_refused),
		cmocka_unit_test_setup_teardown(test_sessions_refused, port_add, port_remove),
		cmocka_unit_test_setup_teardown(test_table_full, port_add, port_remove),
		cmocka_unit_test_setup_teardown(test_session, port_add, port_remove),
		cmocka_unit_test_setup_teardown(test_packets, port_add, port_remove),
		cmocka_unit_test_setup_teardown(test_port_gone, port_add, port_remove),
		cmocka_unit_test_setup_teardown(test_keys_wiped, port_add, port_remove),
	};

	if (rte_eal_init(RTE_DIM(arguments), arguments) < 0)
		return 1;
	return cmocka_run_group_tests(tests, setup, NULL);
}
