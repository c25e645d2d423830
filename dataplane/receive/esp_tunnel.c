/* SPDX-License-Identifier: BSD-3-Clause */
/** esp-input, SAs in tunnel mode (RFC 4301 5.2): out of the outer packet into the inside VRF. */
#include "dataplane/receive/esp_tunnel.h"

#include <netinet/in.h>

#include "dataplane/receive/ip.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/vrf.h"

#define DSCP 0xfc

/* TOS or traffic class of the IP packet at the data pointer. */
static uint8_t tos_of(const struct rte_mbuf *mbuf)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);

	return data[0] >> 4 == 6 ? (uint8_t)(data[0] << 4 | data[1] >> 4) : data[1];
}

static void dscp_set(struct rte_mbuf *mbuf, uint8_t outer)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint8_t tos = (outer & DSCP) | (tos_of(mbuf) & ~DSCP);
	uint16_t old, new;

	memcpy(&old, data, 2);
	if (data[0] >> 4 == 6) {
		data[0] = (uint8_t)(0x60 | tos >> 4);
		data[1] = (uint8_t)(tos << 4 | (data[1] & 0xf));
	} else {
		struct rte_ipv4_hdr *ip = (void *)data;

		data[1] = tos;
		memcpy(&new, data, 2);
		ip->hdr_checksum = pw_checksum_update(ip->hdr_checksum, old, new);
	}
}

/* Inner header, and what the outer one says for it. */
static enum pw_drop inner_check(struct rte_mbuf *mbuf, const struct pw_sa *sa, uint8_t outer,
				bool v6)
{
	enum pw_drop drop = v6 ? pw_ipv6_check(mbuf) : pw_ipv4_check(mbuf);

	if (unlikely(drop != PW_DROP_NONE))
		return drop;
	if (v6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		if (pw_ipv6_is_link_local(ip->src_addr) || pw_ipv6_is_link_local(ip->dst_addr))
			return PW_DROP_PUNT_NO_FACE;
	}
	if (unlikely(sa->flags & PW_SA_DECAP_DSCP))
		dscp_set(mbuf, outer);
	if (unlikely(sa->flags & PW_SA_NO_ECN))
		return PW_DROP_NONE;
	return pw_ip_ecn_decapsulate(mbuf, outer & 3);
}

enum pw_drop pw_esp_tunnel_open(struct rte_mbuf *mbuf, const struct pw_sa *sa, uint16_t payload_at,
				uint16_t payload, uint8_t next_header)
{
	struct pw_packet *packet = pw_packet(mbuf);
	uint8_t outer = tos_of(mbuf);
	bool v6 = next_header == IPPROTO_IPV6;

	if (unlikely(next_header != IPPROTO_IPIP && !v6))
		return next_header == IPPROTO_NONE ? PW_DROP_ESP_DUMMY : PW_DROP_ESP_NEXT_HEADER;
	if (unlikely(!(sa->flags & (v6 ? PW_SA_IP6 : PW_SA_IP4))))
		return PW_DROP_ESP_NEXT_HEADER;
	if (unlikely(sa->flags & PW_SA_CLOSED))
		return PW_DROP_POLICY_NONE;
	if (likely(sa->interface) &&
	    unlikely(!(pw_interface_get(sa->interface)->flags & PW_INTERFACE_UP)))
		return PW_DROP_TUNNEL_DOWN;
	rte_pktmbuf_adj(mbuf, payload_at);
	pw_stage_trim(mbuf, payload);
	packet->interface = (uint16_t)sa->interface;
	packet->vrf = sa->inside_vrf;
	packet->endpoint = 0;
	packet->esp_mode = PW_ESP_TRANSIT;
	mbuf->hash.rss = 0;
	return inner_check(mbuf, sa, outer, v6);
}

/* ---- policy -------------------------------------------------------------------------------- */

/* Without an interface: the policies that the VRF has at this moment. */
static const struct pw_policy_list *list_of(const struct pw_sa *sa)
{
	const struct pw_vrf *vrf;

	if (likely(sa->interface))
		return pw_spd_get(sa->spd)->in;
	vrf = pw_vrf_get(sa->inside_vrf);
	return vrf && vrf->spd ? pw_spd_get(vrf->spd)->in : NULL;
}

/* RFC 4301 5.2, step 4: an SA's own selector bounds what policy allows. */
static bool within_bounds(const struct pw_sa *sa, struct rte_mbuf *mbuf)
{
	const struct pw_policy_rule *rule;

	pw_policy_select_burst(sa->bounds, &mbuf, 1, pw_ip_version(mbuf) == 6, &rule);
	return rule != NULL;
}

static enum pw_drop verdict(const struct pw_policy_rule *rule, const struct pw_sa *sa,
			    struct rte_mbuf *mbuf)
{
	/* What an SA carries is what policy says, whatever the default (RFC 4301 5.2, step 4). */
	if (unlikely(!rule))
		return PW_DROP_POLICY_SELECTOR;
	if (unlikely(rule->action == PW_POLICY_DISCARD))
		return PW_DROP_POLICY_BLOCK;
	if (unlikely(!pw_policy_accepts(rule, sa)))
		return PW_DROP_POLICY_SA;
	return likely(!sa->bounds) || within_bounds(sa, mbuf) ? PW_DROP_NONE
							      : PW_DROP_POLICY_SELECTOR;
}

static void count(struct pw_worker *worker, const struct pw_sa *sa, const struct rte_mbuf *mbuf)
{
	struct pw_interface_counters *counters = &worker->counters[sa->interface];

	if (likely(sa->interface)) {
		counters->rx_packets++;
		counters->rx_bytes += mbuf->pkt_len;
	}
}

void pw_esp_tunnel_admit(struct pw_worker *worker, void *const *objs,
			 const struct pw_esp_inside *inside, enum pw_drop *drops)
{
	const struct pw_policy_rule *rules[RTE_DIM(inside->at)];
	struct rte_mbuf *mbufs[RTE_DIM(inside->at)];
	uint16_t last;

	for (uint16_t i = 0; i < inside->count; i++)
		mbufs[i] = objs[inside->at[i]];
	for (uint16_t i = 0; i < inside->count; i = last) {
		const struct pw_policy_list *list = list_of(inside->sas[i]);
		uint8_t version = pw_ip_version(mbufs[i]);

		last = i + 1;
		while (last < inside->count && pw_ip_version(mbufs[last]) == version &&
		       list_of(inside->sas[last]) == list)
			last++;
		if (list)
			pw_policy_select_burst(list, &mbufs[i], last - i, version == 6, &rules[i]);
		else
			memset(&rules[i], 0, (last - i) * sizeof(rules[0]));
	}
	for (uint16_t i = 0; i < inside->count; i++) {
		drops[i] = verdict(rules[i], inside->sas[i], mbufs[i]);
		if (likely(drops[i] == PW_DROP_NONE))
			count(worker, inside->sas[i], mbufs[i]);
	}
}
