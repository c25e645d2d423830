/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <rte_cryptodev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_ip.h>
#include <rte_security_driver.h>

#include "control/control.h"
#include "crypto_fixture.h"
#include "drivers/crypto_inline.h"
#include "drivers/port.h"
#include "inline_frames.h"
#include "inline_nic.h"

#define ETHER 14
#define IPV4  20
#define KEY   INLINE_KEY

struct nic_session {
	struct pw_crypto_key *key;
};

struct rte_flow {
	struct rte_security_session *session; /* NULL: free */
	uint32_t spi, destination;
};

static struct rte_flow flows[8];

struct inline_nic nic = {.ethdev = RTE_MAX_ETHPORTS};
static struct rte_security_ctx context;

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
	return ethdev == nic.ethdev ? &context : NULL;
}

static struct rte_flow *nic_flow(uint32_t spi, uint32_t destination)
{
	for (unsigned int i = 0; i < RTE_DIM(flows); i++)
		if (flows[i].session && flows[i].spi == spi && flows[i].destination == destination)
			return &flows[i];
	return NULL;
}

unsigned int nic_flows(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < RTE_DIM(flows); i++)
		count += flows[i].session != NULL;
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

	while (i < RTE_DIM(flows) && flows[i].session)
		i++;
	if (i == RTE_DIM(flows) || nic_flow(esp->hdr.spi, ip->hdr.dst_addr)) {
		error->message = "there is such a rule";
		rte_errno = EEXIST;
		return NULL;
	}
	flows[i] = (struct rte_flow){
		((const struct rte_flow_action_security *)actions[0].conf)->security_session,
		esp->hdr.spi, ip->hdr.dst_addr};
	return &flows[i];
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

void nic_make(const char *name)
{
	char why[PW_CRYPTO_WHY_BYTES];

	assert_non_null(pw_link_by_name(name));
	nic.ethdev = pw_port_find(pw_link_by_name(name)->port)->ethdev;
	context.device = &nic;
	context.ops = &nic_ops;
	assert_int_equal(pw_crypto_worker_new(&nic.crypto), 0);
	assert_non_null(rte_eth_add_tx_callback(nic.ethdev, 0, nic_transmit, NULL));
	assert_non_null(rte_eth_add_rx_callback(nic.ethdev, 0, nic_receive, NULL));
	assert_int_equal(pw_inline_port_add(nic.ethdev, name, why), 0);
}
