/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CRYPTO_INLINE_H
#define PW_CRYPTO_INLINE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_security.h>

#include "drivers/crypto.h"

/**
 * ESP by the port itself: rte_security's inline crypto. On the way out the NIC encrypts a packet
 * and fills in its ICV as it sends it; on the way in it has checked and decrypted a packet before
 * the worker sees it. All else stays Pewter's: headers, sequence numbers, IVs, padding, the
 * anti-replay window, tunnel mode.
 *
 * It is a matter of each packet and port. An SA may have sessions on some ports and not on
 * others: every SA has its key in the engine of crypto.h as well, which does whatever a port does
 * not. Both use the same sequence numbers, so packets of one SA may leave by ports with and
 * without.
 */

/* ---- ports: control thread ---------------------------------------------------------------- */

/**
 * Before rte_eth_dev_configure(): asks for the offload. 0, or -ENOTSUP with a sentence in @p why
 * (PW_CRYPTO_WHY_BYTES).
 */
int pw_inline_configure(const struct rte_eth_dev_info *info, struct rte_eth_conf *configuration,
			char *why);

/**
 * After rte_eth_dev_start(): looks what the port can do; SAs made from now on use it. 0, or
 * -ENOTSUP with a sentence: no security context, or none of ESP's suites in either direction.
 * -ENOMEM, or -EAGAIN when the memory of keys may not be locked.
 */
int pw_inline_port_add(uint16_t ethdev, const char *name, char *why);

/**
 * Before rte_eth_dev_stop(), when no worker receives or sends by it any more. SAs lose their
 * sessions on it. A port that has not been added is allowed.
 */
void pw_inline_port_remove(uint16_t ethdev);

/** Has it been added? */
bool pw_inline_port_has(uint16_t ethdev);

/* ---- SAs: control thread ------------------------------------------------------------------ */

/** What a port must know of an SA. Nothing is kept of it, but by the NIC. */
struct pw_inline_sa {
	const struct pw_crypto_suite *suite;
	const uint8_t *cipher_key; /* of the suite's lengths: with the salt at its end */
	const uint8_t *auth_key;   /* NULL for an AEAD */
	uint32_t spi;              /* host order */
	bool ingress;
	bool tunnel; /* tunnel mode, otherwise transport mode */
	bool esn;
	bool udp;                /* in UDP (RFC 3948) */
	uint8_t family;          /* AF_INET or AF_INET6, of the packet that carries ESP */
	uint8_t source[16];      /* its addresses, network order; zero: any */
	uint8_t destination[16]; /* ingress: not zero */
};

/** A session of an SA on one port. Stays where it is until it is freed. */
struct pw_inline_session {
	void *session; /* rte_security's; NULL: none */
	struct rte_security_ctx *context;
	struct rte_flow *flow;          /* ingress */
	struct pw_inline_session *next; /* of the port's */
	uint16_t ethdev;
	bool metadata;
};

/** The sessions of one SA, by ethdev. Read-only for workers. */
struct pw_inline {
	bool ingress;
	struct pw_inline_session ports[RTE_MAX_ETHPORTS];
};

/**
 * The session of an SA on one port. 0, or with a sentence in @p why
 * -ENODEV   not added, see above
 * -ENOTSUP  the port does not do this suite, mode, direction or UDP; or ESN, whose high half no
 *           packet carries, so that the NIC would have to guess it
 * -ENOSPC   the port takes no more of them
 * or the device's error.
 */
int pw_inline_session_new(uint16_t ethdev, const struct pw_inline_sa *sa,
			  struct pw_inline_session *session, char *why);
void pw_inline_session_free(struct pw_inline_session *session);

/**
 * Sessions on all ports that have been added. A port that refuses is left to the engine, with a
 * line in the log. 0 (@p inlined is NULL when no port does it) or -ENOMEM.
 */
int pw_inline_new(const struct pw_inline_sa *sa, struct pw_inline **inlined);

/** When no worker uses it any more, and (egress) its last packets are sent. NULL is allowed. */
void pw_inline_free(struct pw_inline *inlined);

/* ---- packets: workers --------------------------------------------------------------------- */

/** Does this port do the SA's cryptography? @p inlined may be NULL. */
static inline bool pw_inline_has(const struct pw_inline *inlined, uint16_t ethdev)
{
	return inlined != NULL && ethdev < RTE_MAX_ETHPORTS &&
	       inlined->ports[ethdev].session != NULL;
}

/**
 * Egress, instead of pw_crypto_seal(), where pw_inline_has() says so of the port by which the
 * packet leaves. The packet is in one piece and complete: Ethernet, IP, ESP header, IV, clear text
 * with its padding, pad length and next header, and room for the ICV, all within its length. From
 * here on nothing of it may change, and it may go by that port only.
 * @p l2_bytes: Ethernet with tags; @p l3_bytes: up to the SPI, a UDP header included.
 * False when the driver does not take it: seal it with pw_crypto_seal() then.
 */
static inline bool pw_inline_egress(const struct pw_inline *inlined, uint16_t ethdev,
				    struct rte_mbuf *mbuf, uint16_t l2_bytes, uint16_t l3_bytes,
				    bool ipv6)
{
	const struct pw_inline_session *session = &inlined->ports[ethdev];

	if (session->metadata &&
	    rte_security_set_pkt_metadata(session->context, session->session, mbuf, NULL) != 0)
		return false;
	mbuf->l2_len = l2_bytes;
	mbuf->l3_len = l3_bytes;
	mbuf->ol_flags |=
		RTE_MBUF_F_TX_SEC_OFFLOAD | (ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return true;
}

enum pw_inline_opened {
	PW_INLINE_CLOSED, /* as it was on the wire: pw_crypto_open() it */
	PW_INLINE_OPENED, /* ICV good; the text is clear, everything else as on the wire */
	PW_INLINE_FAILED, /* refused by the NIC: drop it as one with a bad ICV */
};

/**
 * Ingress: what the port by which it came (mbuf->port) did to a packet of this SA. Clears the
 * flags. What a port says of an SA that it has no session of is not believed. The window is
 * checked and moved by the caller, as after pw_crypto_open(). @p inlined may be NULL.
 */
static inline enum pw_inline_opened pw_inline_ingress(const struct pw_inline *inlined,
						      struct rte_mbuf *mbuf)
{
	const uint64_t both = RTE_MBUF_F_RX_SEC_OFFLOAD | RTE_MBUF_F_RX_SEC_OFFLOAD_FAILED;
	uint64_t flags = mbuf->ol_flags & both;

	if (likely(flags == 0))
		return PW_INLINE_CLOSED;
	mbuf->ol_flags &= ~both;
	return flags == RTE_MBUF_F_RX_SEC_OFFLOAD && pw_inline_has(inlined, mbuf->port) &&
			       inlined->ingress
		       ? PW_INLINE_OPENED
		       : PW_INLINE_FAILED;
}

#endif
