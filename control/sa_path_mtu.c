/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ICMP errors say of the way of an SA's packets (RFC 4301 8.2): believed only where they quote
 * a packet that the SA has just sent, and for ten minutes (RFC 1191 6.3, RFC 8201 5.3).
 *
 * Whoever sees no packet of the SA must guess SPI and sequence number. Whoever does see them could
 * as well throw them away.
 */
#include "control/sa.h"

#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf.h>

#include "control/bundle.h"
#include "control/links.h"
#include "dataplane/exception/path_mtu.h"
#include "dataplane/path.h"
#include "lib/log.h"

#define EXPIRES_MS UINT64_C(600000) /* as the kernel's net.ipv4.route.mtu_expires */
#define RETRY_MS   1000

/*
 * The quoted number is among so many last ones: what a fast SA sends while the error comes back,
 * 0.4 s at 10 million packets a second. Of 2^32 numbers it is one in a thousand.
 */
#define RECENT (UINT64_C(1) << 22)

/*
 * Every IPv4 host takes 576 bytes (RFC 791 3.1), and IPv6 links have at least 1280 (RFC 8200 5).
 * Below this the kernel goes on with a fixed size and without DF; here the operator says so by
 * nopmtudisc, and nobody else can have customers' packets cut to pieces.
 */
#define IPV4_MIN 576
#define IPV6_MIN 1280

static struct pw_address address_of(const struct pw_esp_quote *quote, const uint8_t *bytes)
{
	struct pw_address address = {.family = quote->v6 ? AF_INET6 : AF_INET};

	memcpy(address.bytes, bytes, pw_address_size(address.family));
	return address;
}

/* ---- whose packet it is about --------------------------------------------------------------- */

static bool ports_are(const struct xfrm_encap_tmpl *encap, const struct pw_esp_quote *quote)
{
	if (!encap->encap_type || !quote->udp)
		return !encap->encap_type && !quote->udp;
	return encap->encap_sport == quote->udp_source &&
	       encap->encap_dport == quote->udp_destination;
}

/* In this front-door VRF; mtu: of the link by which it leaves. */
static struct pw_sa_detail *sender_of(const struct pw_esp_quote *quote, uint16_t vrf, uint32_t *mtu)
{
	struct pw_address source = address_of(quote, quote->source);
	struct pw_address destination = address_of(quote, quote->destination);
	const struct pw_sa_entry *entry = NULL;

	while ((entry = pw_sa_between(&source, &destination, entry))) {
		struct pw_sa_detail *sa = entry->detail;

		if (entry->larval || sa->inward || entry->spi != quote->spi ||
		    !ports_are(&sa->encap, quote))
			continue;
		*mtu = RTE_MAX(pw_protection_way_mtu(entry, vrf), pw_bundles_way_mtu(entry, vrf));
		if (*mtu)
			return sa;
	}
	return NULL;
}

static uint64_t last_sent(const struct pw_sa_detail *sa)
{
	uint64_t sent = __atomic_load_n(&sa->state->sequence, __ATOMIC_RELAXED);

	return RTE_MIN(sent, pw_sa_get(sa->entry.id)->sequence_limit);
}

/* The whole of a number of which the lower half is quoted; 0: not sent, or not lately. */
static uint64_t number_sent(const struct pw_sa_detail *sa, uint32_t low)
{
	uint64_t sent = last_sent(sa);
	uint32_t ago = (uint32_t)sent - low;

	return ago < RTE_MIN(sent, RECENT) ? sent - ago : 0;
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* RFC 1191 7.1: what links there are, for routers that do not say it. */
static uint32_t plateau_below(uint32_t length)
{
	static const uint16_t plateaus[] = {65535, 32000, 17914, 8166, 4352, 2002,
					    1492,  1006,  508,   296,  68};
	unsigned int i = 0;

	while (i < RTE_DIM(plateaus) - 1 && plateaus[i] >= length)
		i++;
	return plateaus[i];
}

static enum pw_drop believe(struct pw_sa_detail *sa, const struct pw_esp_quote *quote,
			    uint32_t present, uint32_t *mtu)
{
	uint64_t number;

	if (sa->flags & XFRM_STATE_NOPMTUDISC)
		return PW_DROP_PATH_MTU_OFF;
	number = number_sent(sa, quote->sequence);
	if (!number)
		return PW_DROP_PATH_MTU_SEQUENCE;
	*mtu = quote->mtu;
	if (!*mtu && !quote->v6) {
		/* Others that were on their way are not to step further down. */
		if (sa->path_mtu && number <= sa->path_mtu_sequence)
			return PW_DROP_PATH_MTU_KNOWN;
		*mtu = plateau_below(RTE_MIN(quote->length, present));
	}
	if (*mtu < (quote->v6 ? IPV6_MIN : IPV4_MIN))
		return PW_DROP_PATH_MTU_SMALL;
	return *mtu < present ? PW_DROP_NONE : PW_DROP_PATH_MTU_KNOWN;
}

/* ---- what follows from it -------------------------------------------------------------------- */

/* The endpoints that it protects follow in pw_resolve(). */
static int set(struct pw_sa_detail *sa, uint16_t mtu)
{
	uint16_t old = sa->path_mtu;
	int ret;

	sa->path_mtu = mtu;
	ret = pw_sa_publish(sa);
	if (ret) {
		sa->path_mtu = old;
		pw_error("SA %#x: its path MTU cannot be changed: %s", ntohl(sa->entry.spi),
			 strerror(-ret));
		return ret;
	}
	pw_protection_sa_changed(&sa->entry);
	return 0;
}

static enum pw_drop learn(struct pw_sa_detail *sa, uint32_t mtu, uint32_t present,
			  const struct pw_address *router)
{
	char source[PW_ADDRESS_TEXT], destination[PW_ADDRESS_TEXT], by[PW_ADDRESS_TEXT];

	if (set(sa, (uint16_t)mtu))
		return PW_DROP_NO_BUFFER;
	sa->path_mtu_sequence = last_sent(sa);
	sa->path_mtu_ms = pw_sa_now() + EXPIRES_MS;
	pw_sa_lifetime_changed(sa);
	pw_control_events[PW_EVENT_PATH_MTU]++;
	pw_info("SA %#x from %s to %s: path MTU %u instead of %u, says %s", ntohl(sa->entry.spi),
		pw_address_format(&sa->entry.source, source),
		pw_address_format(&sa->entry.destination, destination), mtu, present,
		pw_address_format(router, by));
	return PW_DROP_NONE;
}

static struct pw_address address_in(struct rte_mbuf *mbuf, const struct pw_esp_quote *quote,
				    size_t at4, size_t at6)
{
	return address_of(quote,
			  rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, quote->v6 ? at6 : at4));
}

static enum pw_drop take(struct rte_mbuf *mbuf)
{
	struct pw_address source, to, router;
	struct pw_esp_quote quote;
	struct pw_sa_detail *sa;
	uint32_t present, mtu;
	enum pw_drop drop;

	if (pw_esp_quote_read(mbuf, &quote))
		return PW_DROP_LOCAL_TRUNCATED;
	source = address_of(&quote, quote.source);
	to = address_in(mbuf, &quote, offsetof(struct rte_ipv4_hdr, dst_addr),
			offsetof(struct rte_ipv6_hdr, dst_addr));
	router = address_in(mbuf, &quote, offsetof(struct rte_ipv4_hdr, src_addr),
			    offsetof(struct rte_ipv6_hdr, src_addr));
	sa = pw_address_same(&source, &to) ? sender_of(&quote, pw_packet(mbuf)->vrf, &present)
					   : NULL;
	if (!sa)
		return PW_DROP_PATH_MTU_SA;
	if (sa->path_mtu)
		present = RTE_MIN(present, sa->path_mtu);
	drop = believe(sa, &quote, present, &mtu);
	return drop == PW_DROP_NONE ? learn(sa, mtu, present, &router) : drop;
}

void pw_sa_path_mtu_take(struct rte_mbuf *mbuf)
{
	enum pw_drop drop = take(mbuf);

	if (drop != PW_DROP_NONE)
		pw_control_drops[drop]++;
	rte_pktmbuf_free(mbuf);
}

void pw_sa_path_mtu_expire(struct pw_sa_detail *sa)
{
	uint16_t mtu = sa->path_mtu;

	sa->path_mtu_ms += RETRY_MS;
	if (set(sa, 0))
		return;
	sa->path_mtu_ms = 0;
	pw_info("SA %#x: path MTU %u was learnt %u s ago, and no longer holds",
		ntohl(sa->entry.spi), mtu, (unsigned int)(EXPIRES_MS / 1000));
}

static bool succeeds(const struct pw_sa_detail *sa, const struct pw_sa_detail *old)
{
	return old != sa && old->path_mtu && old->entry.mode == sa->entry.mode &&
	       old->entry.reqid == sa->entry.reqid && old->entry.if_id == sa->entry.if_id &&
	       old->encap.encap_type == sa->encap.encap_type;
}

void pw_sa_path_mtu_inherit(struct pw_sa_detail *sa)
{
	const struct pw_sa_entry *entry = NULL;

	if (sa->inward || sa->flags & XFRM_STATE_NOPMTUDISC)
		return;
	while ((entry = pw_sa_between(&sa->entry.source, &sa->entry.destination, entry))) {
		const struct pw_sa_detail *old = entry->detail;

		if (!succeeds(sa, old) || old->path_mtu_ms <= sa->path_mtu_ms)
			continue;
		sa->path_mtu = old->path_mtu;
		sa->path_mtu_ms = old->path_mtu_ms;
	}
}
