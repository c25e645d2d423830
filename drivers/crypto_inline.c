/* SPDX-License-Identifier: BSD-3-Clause */
/* Inline crypto of ports: what they can do, and the sessions of SAs on them. */
#include "drivers/crypto_inline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_flow.h>
#include <rte_malloc.h>
#include <rte_security_driver.h>

#include "drivers/crypto_cryptodev.h"
#include "lib/log.h"

/* As many as a NIC's tables hold; what a driver keeps in them is small. */
#define SESSIONS 2048

/* A port that does ESP; context is NULL where none has been added. */
static struct port {
	struct rte_security_ctx *context;
	struct rte_mempool *pool;
	struct pw_inline_session *sessions;
	char name[RTE_ETH_NAME_MAX_LEN];
} ports[RTE_MAX_ETHPORTS];

static int __attribute__((format(printf, 3, 4)))
refuse(int code, char *why, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, PW_CRYPTO_WHY_BYTES, format, arguments);
	va_end(arguments);
	return code;
}

/* ---- what a port can do ------------------------------------------------------------------- */

static const struct rte_security_capability *capability_of(struct rte_security_ctx *context,
							   bool ingress, bool tunnel)
{
	struct rte_security_capability_idx index = {
		.action = RTE_SECURITY_ACTION_TYPE_INLINE_CRYPTO,
		.protocol = RTE_SECURITY_PROTOCOL_IPSEC,
		.ipsec.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP,
		.ipsec.mode = tunnel ? RTE_SECURITY_IPSEC_SA_MODE_TUNNEL
				     : RTE_SECURITY_IPSEC_SA_MODE_TRANSPORT,
		.ipsec.direction = ingress ? RTE_SECURITY_IPSEC_SA_DIR_INGRESS
					   : RTE_SECURITY_IPSEC_SA_DIR_EGRESS,
	};
	const struct rte_security_capability *capability =
		rte_security_capability_get(context, &index);

	/* The trailer is made and taken away here. */
	if (capability != NULL && (capability->ol_flags & (RTE_SECURITY_TX_HW_TRAILER_OFFLOAD |
							   RTE_SECURITY_RX_HW_TRAILER_OFFLOAD)))
		return NULL;
	return capability;
}

/* Does it do this part of a suite? Some drivers count the nonce of 12 bytes as the IV of an AEAD or
 * GMAC, some ESP's IV of 8; sets the one. */
static bool part_has(const struct rte_cryptodev_capabilities *list, struct rte_crypto_sym_xform *x)
{
	for (; list->op != RTE_CRYPTO_OP_TYPE_UNDEFINED; list++) {
		const struct rte_cryptodev_symmetric_capability *sym = &list->sym;

		if (list->op != RTE_CRYPTO_OP_TYPE_SYMMETRIC || sym->xform_type != x->type)
			continue;
		if (x->type == RTE_CRYPTO_SYM_XFORM_CIPHER && sym->cipher.algo == x->cipher.algo &&
		    rte_cryptodev_sym_capability_check_cipher(sym, x->cipher.key.length,
							      x->cipher.iv.length) == 0)
			return true;
		for (uint16_t iv = 12; iv >= 8; iv -= 4) {
			if (x->type == RTE_CRYPTO_SYM_XFORM_AEAD &&
			    sym->aead.algo == x->aead.algo &&
			    rte_cryptodev_sym_capability_check_aead(sym, x->aead.key.length,
								    x->aead.digest_length,
								    x->aead.aad_length, iv) == 0) {
				x->aead.iv.length = iv;
				return true;
			}
			if (x->type == RTE_CRYPTO_SYM_XFORM_AUTH &&
			    sym->auth.algo == x->auth.algo &&
			    rte_cryptodev_sym_capability_check_auth(
				    sym, x->auth.key.length, x->auth.digest_length,
				    x->auth.iv.length > 0 ? iv : 0) == 0) {
				x->auth.iv.length = x->auth.iv.length > 0 ? iv : 0;
				return true;
			}
		}
	}
	return false;
}

static bool suite_has(const struct rte_security_capability *capability,
		      struct pw_cryptodev_xforms *xforms)
{
	for (struct rte_crypto_sym_xform *x = xforms->first; x != NULL; x = x->next)
		if (!part_has(capability->crypto_capabilities, x))
			return false;
	return true;
}

static unsigned int suites_count(struct rte_security_ctx *context, bool ingress, bool tunnel)
{
	const struct rte_security_capability *capability = capability_of(context, ingress, tunnel);
	const struct pw_crypto_suite *suite;
	struct pw_cryptodev_xforms xforms;
	unsigned int count = 0;

	for (unsigned int s = 0; capability != NULL && (suite = pw_crypto_suite_at(s)) != NULL;
	     s++) {
		pw_cryptodev_xforms(suite, ingress, false, NULL, NULL, &xforms);
		count += suite_has(capability, &xforms);
	}
	return count;
}

/* ---- ports -------------------------------------------------------------------------------- */

int pw_inline_configure(const struct rte_eth_dev_info *info, struct rte_eth_conf *configuration,
			char *why)
{
	if (!(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_SECURITY) &&
	    !(info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SECURITY))
		return refuse(-ENOTSUP, why, "the driver %s does no inline crypto",
			      info->driver_name);
	configuration->txmode.offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_SECURITY;
	configuration->rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SECURITY;
	return 0;
}

int pw_inline_port_add(uint16_t ethdev, const char *name, char *why)
{
	struct rte_security_ctx *context = rte_eth_dev_get_sec_ctx(ethdev);
	unsigned int counts[2][2], all = 0;
	char pool[RTE_MEMPOOL_NAMESIZE];
	struct port *port = &ports[ethdev];
	int ret;

	if (context == NULL)
		return refuse(-ENOTSUP, why, "port %s has no inline crypto", name);
	for (int ingress = 0; ingress < 2; ingress++)
		for (int tunnel = 0; tunnel < 2; tunnel++)
			all += counts[ingress][tunnel] = suites_count(context, ingress, tunnel);
	if (all == 0)
		return refuse(-ENOTSUP, why, "port %s does none of ESP's suites inline", name);
	snprintf(pool, sizeof(pool), "pw_inline_%u", ethdev);
	port->pool =
		rte_mempool_create(pool, SESSIONS,
				   (unsigned int)sizeof(struct rte_security_session) +
					   rte_security_session_get_size(context),
				   0, 0, NULL, NULL, NULL, NULL, rte_eth_dev_socket_id(ethdev), 0);
	if (port->pool == NULL)
		return refuse(-ENOMEM, why, "port %s: no memory for inline sessions", name);
	ret = pw_cryptodev_pool_guard(port->pool);
	if (ret) {
		rte_mempool_free(port->pool);
		return refuse(ret, why, "port %s: the memory of keys may not be locked: %s", name,
			      strerror(-ret));
	}
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->context = context;
	pw_info("port %s: inline crypto of %u suites out and %u in (transport mode), %u and %u "
		"(tunnel mode), without ESN",
		name, counts[0][0], counts[1][0], counts[0][1], counts[1][1]);
	return 0;
}

bool pw_inline_port_has(uint16_t ethdev)
{
	return ethdev < RTE_MAX_ETHPORTS && ports[ethdev].context != NULL;
}

void pw_inline_port_remove(uint16_t ethdev)
{
	struct port *port = &ports[ethdev];

	if (port->context == NULL)
		return;
	while (port->sessions != NULL)
		pw_inline_session_free(port->sessions);
	port->context = NULL;
	rte_mempool_free(port->pool);
}

/* ---- a session ---------------------------------------------------------------------------- */

static bool any(const uint8_t *address, uint8_t family)
{
	static const uint8_t zero[16];

	return memcmp(address, zero, family == AF_INET ? 4 : 16) == 0;
}

/* Which packets the NIC is to open: by addresses and SPI. */
static int flow_make(uint16_t ethdev, const struct pw_inline_sa *sa,
		     struct pw_inline_session *session, struct rte_flow_error *error)
{
	struct rte_flow_attr attributes = {.ingress = 1};
	struct rte_flow_item_ipv4 ipv4 = {0}, ipv4_mask = {0};
	struct rte_flow_item_ipv6 ipv6 = {0}, ipv6_mask = {0};
	struct rte_flow_item_esp esp = {.hdr.spi = htonl(sa->spi)};
	struct rte_flow_item_esp esp_mask = {.hdr.spi = UINT32_MAX};
	struct rte_flow_action_security security = {session->session};
	struct rte_flow_action actions[] = {{RTE_FLOW_ACTION_TYPE_SECURITY, &security},
					    {RTE_FLOW_ACTION_TYPE_END, NULL}};
	struct rte_flow_item pattern[5] = {{.type = RTE_FLOW_ITEM_TYPE_ETH}};
	unsigned int items = 2;

	if (sa->family == AF_INET) {
		memcpy(&ipv4.hdr.src_addr, sa->source, 4);
		memcpy(&ipv4.hdr.dst_addr, sa->destination, 4);
		ipv4_mask.hdr.src_addr = any(sa->source, AF_INET) ? 0 : UINT32_MAX;
		ipv4_mask.hdr.dst_addr = UINT32_MAX;
		pattern[1] = (struct rte_flow_item){
			.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ipv4, .mask = &ipv4_mask};
	} else {
		memcpy(ipv6.hdr.src_addr, sa->source, 16);
		memcpy(ipv6.hdr.dst_addr, sa->destination, 16);
		memset(ipv6_mask.hdr.src_addr, any(sa->source, AF_INET6) ? 0 : 0xff, 16);
		memset(ipv6_mask.hdr.dst_addr, 0xff, 16);
		pattern[1] = (struct rte_flow_item){
			.type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &ipv6, .mask = &ipv6_mask};
	}
	if (sa->udp)
		pattern[items++].type = RTE_FLOW_ITEM_TYPE_UDP;
	pattern[items++] = (struct rte_flow_item){
		.type = RTE_FLOW_ITEM_TYPE_ESP, .spec = &esp, .mask = &esp_mask};
	pattern[items].type = RTE_FLOW_ITEM_TYPE_END;
	session->flow = rte_flow_create(ethdev, &attributes, pattern, actions, error);
	return session->flow != NULL ? 0 : rte_errno ? -rte_errno : -EIO;
}

static void conf_make(const struct pw_inline_sa *sa,
		      const struct rte_security_capability *capability,
		      struct pw_cryptodev_xforms *xforms, struct rte_security_session_conf *conf)
{
	struct rte_security_ipsec_xform *ipsec = &conf->ipsec;

	memset(conf, 0, sizeof(*conf));
	conf->action_type = capability->action;
	conf->protocol = capability->protocol;
	conf->crypto_xform = xforms->first;
	ipsec->spi = sa->spi;
	if (sa->suite->salt_bytes > 0)
		memcpy(&ipsec->salt, sa->cipher_key + sa->suite->key_bytes - 4, 4);
	ipsec->options.udp_encap = sa->udp;
	/* IVs are in the packets already. */
	ipsec->options.iv_gen_disable = capability->ipsec.options.iv_gen_disable;
	ipsec->direction = capability->ipsec.direction;
	ipsec->proto = capability->ipsec.proto;
	ipsec->mode = capability->ipsec.mode;
	if (sa->family == AF_INET) {
		ipsec->tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4;
		memcpy(&ipsec->tunnel.ipv4.src_ip, sa->source, 4);
		memcpy(&ipsec->tunnel.ipv4.dst_ip, sa->destination, 4);
	} else {
		ipsec->tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV6;
		memcpy(&ipsec->tunnel.ipv6.src_addr, sa->source, 16);
		memcpy(&ipsec->tunnel.ipv6.dst_addr, sa->destination, 16);
	}
}

static const struct rte_security_capability *sa_check(const struct port *port,
						      const struct pw_inline_sa *sa,
						      struct pw_cryptodev_xforms *xforms, char *why)
{
	const struct rte_security_capability *capability =
		capability_of(port->context, sa->ingress, sa->tunnel);
	const char *lacks = NULL;

	pw_cryptodev_xforms(sa->suite, sa->ingress, false, sa->cipher_key, sa->auth_key, xforms);
	if (capability == NULL)
		lacks = sa->tunnel ? "tunnel mode" : "transport mode";
	else if (!suite_has(capability, xforms))
		lacks = sa->suite->name;
	else if (sa->udp && !capability->ipsec.options.udp_encap)
		lacks = "ESP in UDP";
	else if (sa->esn)
		lacks = "ESN, whose high half is in no packet";
	if (lacks == NULL)
		return capability;
	refuse(-ENOTSUP, why, "port %s does no %s inline (%s)", port->name, lacks,
	       sa->ingress ? "in" : "out");
	return NULL;
}

int pw_inline_session_new(uint16_t ethdev, const struct pw_inline_sa *sa,
			  struct pw_inline_session *session, char *why)
{
	const struct rte_security_capability *capability;
	struct rte_security_session_conf conf;
	struct pw_cryptodev_xforms xforms;
	struct rte_flow_error error = {0};
	struct port *port;
	int ret;

	memset(session, 0, sizeof(*session));
	if (ethdev >= RTE_MAX_ETHPORTS || ports[ethdev].context == NULL)
		return refuse(-ENODEV, why, "device %u does no inline crypto", ethdev);
	port = &ports[ethdev];
	capability = sa_check(port, sa, &xforms, why);
	if (capability == NULL)
		return -ENOTSUP;
	conf_make(sa, capability, &xforms, &conf);
	session->context = port->context;
	session->metadata =
		!sa->ingress && (capability->ol_flags & RTE_SECURITY_TX_OLOAD_NEED_MDATA);
	session->session = rte_security_session_create(port->context, &conf, port->pool);
	explicit_bzero(&conf.ipsec.salt, sizeof(conf.ipsec.salt));
	if (session->session == NULL)
		return refuse(-ENOSPC, why, "port %s takes no more inline sessions (%s)",
			      port->name, sa->ingress ? "in" : "out");
	session->ethdev = ethdev;
	session->next = port->sessions;
	port->sessions = session;
	if (!sa->ingress)
		return 0;
	ret = flow_make(ethdev, sa, session, &error);
	if (ret == 0)
		return 0;
	refuse(ret, why, "port %s does not pick out SPI 0x%08x: %s", port->name, sa->spi,
	       error.message != NULL ? error.message : rte_strerror(-ret));
	pw_inline_session_free(session);
	return ret;
}

void pw_inline_session_free(struct pw_inline_session *session)
{
	struct pw_inline_session **at;
	struct rte_flow_error error;
	struct port *port;
	int ret;

	if (session->session == NULL)
		return;
	port = &ports[session->ethdev];
	for (at = &port->sessions; *at != session;)
		at = &(*at)->next;
	*at = session->next;
	if (session->flow != NULL)
		rte_flow_destroy(session->ethdev, session->flow, &error);
	ret = rte_security_session_destroy(session->context, session->session);
	if (ret)
		pw_error("port %s does not give an inline session back: %s", port->name,
			 rte_strerror(-ret));
	else
		explicit_bzero(session->session, port->pool->elt_size);
	memset(session, 0, sizeof(*session));
}

/* ---- an SA -------------------------------------------------------------------------------- */

int pw_inline_new(const struct pw_inline_sa *sa, struct pw_inline **inlined)
{
	char why[PW_CRYPTO_WHY_BYTES];
	struct pw_inline *made = NULL;
	unsigned int sessions = 0;

	*inlined = NULL;
	for (uint16_t p = 0; p < RTE_MAX_ETHPORTS; p++) {
		if (ports[p].context == NULL)
			continue;
		if (made == NULL)
			made = rte_zmalloc("pw_inline", sizeof(*made), RTE_CACHE_LINE_SIZE);
		if (made == NULL)
			return -ENOMEM;
		made->ingress = sa->ingress;
		if (pw_inline_session_new(p, sa, &made->ports[p], why) == 0)
			sessions++;
		else
			pw_info("SA 0x%08x: %s; left to the crypto engine", sa->spi, why);
	}
	if (sessions > 0)
		*inlined = made;
	else
		rte_free(made);
	return 0;
}

void pw_inline_free(struct pw_inline *inlined)
{
	for (uint16_t p = 0; p < RTE_MAX_ETHPORTS && inlined != NULL; p++)
		pw_inline_session_free(&inlined->ports[p]);
	rte_free(inlined);
}
