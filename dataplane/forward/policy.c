/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * policy: what a VRF with policies lets in and out, and which SA takes what is routed into an
 * IPsec interface (RFC 4301 5.1, 5.2). What is looked up in such a VRF is looked up here, so that
 * nothing gets round its policies.
 */
#include "dataplane/forward/lookup.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/selector.h"

#include <netinet/in.h>
#include <rte_udp.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_IPV4 = PW_LOOKUP_POLICY, /* in another VRF with policies: no stage leads to itself */
	EDGE_IPV6 = PW_LOOKUP_EDGES,
};

#define PORT_IKE     500
#define PORT_IKE_NAT 4500

/* A burst, by packet. */
struct burst {
	struct rte_mbuf **mbufs;
	rte_edge_t *edges;
	unsigned int n;
	bool v6[PW_LOOKUP_BURST];
	bool inward[PW_LOOKUP_BURST];             /* the VRF's policies have not let it in yet */
	const struct pw_sa *sas[PW_LOOKUP_BURST]; /* that it came in by; NULL: in clear */
	bool known[PW_LOOKUP_BURST];              /* its selector is */
	struct pw_selector selectors[PW_LOOKUP_BURST];
	const struct pw_spd *spds[PW_LOOKUP_BURST];          /* of the VRF; NULL: none */
	const struct pw_policy_list *lists[PW_LOOKUP_BURST]; /* to be asked next; NULL: none */
	const struct pw_policy_rule *rules[PW_LOOKUP_BURST]; /* what was found */
};

/* Found once, for all lists that are asked. */
static const struct pw_selector *selector_of(struct burst *burst, unsigned int i)
{
	if (!burst->known[i])
		pw_selector_of(&burst->selectors[i], burst->mbufs[i], burst->v6[i]);
	burst->known[i] = true;
	return &burst->selectors[i];
}

/* Asks each packet's list: those of one list and version together. */
static void ask(struct burst *burst)
{
	const struct pw_policy_rule *rules[PW_LOOKUP_BURST];
	const struct pw_selector *selectors[PW_LOOKUP_BURST];
	uint8_t at[PW_LOOKUP_BURST];

	memset(burst->rules, 0, burst->n * sizeof(*burst->rules));
	for (unsigned int first = 0; first < burst->n; first++) {
		const struct pw_policy_list *list = burst->lists[first];
		bool v6 = burst->v6[first];
		unsigned int count = 0;

		if (!list)
			continue;
		for (unsigned int i = first; i < burst->n; i++) {
			if (burst->lists[i] != list || burst->v6[i] != v6)
				continue;
			at[count] = (uint8_t)i;
			selectors[count++] = selector_of(burst, i);
			burst->lists[i] = NULL;
		}
		pw_policy_list_select(list, selectors, count, v6, rules);
		for (unsigned int i = 0; i < count; i++)
			burst->rules[at[i]] = rules[i];
	}
}

/* ---- where the VRF's routes lead ------------------------------------------------------------ */

static void look_up(struct burst *burst, bool v6)
{
	struct rte_mbuf *mbufs[PW_LOOKUP_BURST];
	rte_edge_t edges[PW_LOOKUP_BURST];
	uint8_t at[PW_LOOKUP_BURST];
	unsigned int count = 0;

	for (unsigned int i = 0; i < burst->n; i++) {
		if (burst->edges[i] == PW_LOOKUP_POLICY || burst->v6[i] != v6)
			continue;
		at[count] = (uint8_t)i;
		mbufs[count++] = burst->mbufs[i];
	}
	if (!count)
		return;
	if (v6)
		pw_lookup6(mbufs, edges, count);
	else
		pw_lookup4(mbufs, edges, count);
	for (unsigned int i = 0; i < count; i++)
		burst->edges[at[i]] = edges[i];
}

/* A lookup that left the next hop open met another VRF with policies. */
static void enter(struct burst *burst)
{
	for (unsigned int i = 0; i < burst->n; i++) {
		const struct pw_packet *packet = pw_packet(burst->mbufs[i]);
		const struct pw_vrf *vrf = pw_vrf_get(packet->vrf);

		burst->v6[i] = pw_ip_version(burst->mbufs[i]) == 6;
		burst->sas[i] = packet->sa ? pw_sa_get(packet->sa) : NULL;
		/* What an SA carries was let in where it came out, not in VRFs that leads to. */
		burst->inward[i] = !(packet->flags & PW_PACKET_ORIGINATED) &&
				   !(burst->sas[i] && burst->sas[i]->inside_vrf == packet->vrf);
		burst->known[i] = false;
		burst->spds[i] = NULL;
		burst->edges[i] = PW_LOOKUP_POLICY;
		if (packet->nexthop)
			continue;
		burst->edges[i] = PW_LOOKUP_DROP;
		if (vrf && vrf->spd)
			burst->spds[i] = pw_spd_get(vrf->spd);
	}
	look_up(burst, false);
	look_up(burst, true);
}

/* ---- the VRF's policies --------------------------------------------------------------------- */

/*
 * Keys are agreed on, and what is protected arrives, before there is any SA for the packet itself
 * (RFC 4301 5.2). Of a fragment but the first nothing comes without the first, which says more.
 */
static bool is_ipsec(const struct rte_mbuf *mbuf, bool v6)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	const struct rte_ipv6_hdr *ip6 = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);
	uint16_t header = v6 ? sizeof(*ip6) : rte_ipv4_hdr_len(ip);
	uint8_t protocol = v6 ? ip6->proto : ip->next_proto_id;
	const struct rte_ipv6_fragment_ext *fragment = (const void *)(ip6 + 1);
	const struct rte_udp_hdr *udp;
	bool later = !v6 && ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK);

	if (protocol == IPPROTO_FRAGMENT && v6 &&
	    mbuf->data_len >= sizeof(*ip6) + sizeof(*fragment)) {
		protocol = fragment->next_header;
		later = fragment->frag_data & RTE_BE16(RTE_IPV6_EHDR_FO_MASK);
		header += sizeof(*fragment);
	}
	if (protocol == IPPROTO_ESP)
		return true;
	if (protocol != IPPROTO_UDP)
		return false;
	if (later)
		return true;
	udp = rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, header);
	return mbuf->data_len >= header + sizeof(*udp) &&
	       (udp->dst_port == RTE_BE16(PORT_IKE) || udp->dst_port == RTE_BE16(PORT_IKE_NAT));
}

/*
 * Where no policy selects. To tunnels that end here the default of directions in and out is
 * applied per remote end, by those policies that are about them.
 */
static uint8_t default_inward(struct burst *burst, unsigned int i)
{
	const struct pw_spd *spd = burst->spds[i];

	if (burst->edges[i] != PW_LOOKUP_LOCAL)
		return spd->fwd_default;
	if (spd->in_default == PW_POLICY_BYPASS)
		return PW_POLICY_BYPASS;
	switch (selector_of(burst, i)->protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case IPPROTO_GRE:
	case IPPROTO_MPLS:
		return PW_POLICY_BYPASS;
	}
	return spd->in_default;
}

static enum pw_drop judge_inward(struct burst *burst, unsigned int i)
{
	const struct pw_policy_rule *rule = burst->rules[i];
	const struct pw_sa *sa = burst->sas[i];

	switch (rule ? rule->action : default_inward(burst, i)) {
	case PW_POLICY_BYPASS:
		return PW_DROP_NONE;
	case PW_POLICY_PROTECT:
		if (rule->flags & PW_POLICY_OPTIONAL || (sa && pw_policy_accepts(rule, sa)))
			return PW_DROP_NONE;
		return sa ? PW_DROP_POLICY_SA : PW_DROP_POLICY_CLEAR;
	default:
		return PW_DROP_POLICY_BLOCK;
	}
}

/* What came in clear or by another VRF's SA, and where policy says what may. */
static void inward(struct burst *burst)
{
	bool asked[PW_LOOKUP_BURST];

	for (unsigned int i = 0; i < burst->n; i++) {
		asked[i] = burst->spds[i] && burst->inward[i] &&
			   burst->edges[i] != PW_LOOKUP_DROP &&
			   !(burst->edges[i] == PW_LOOKUP_LOCAL &&
			     is_ipsec(burst->mbufs[i], burst->v6[i]));
		burst->lists[i] = asked[i] ? burst->spds[i]->in : NULL;
	}
	ask(burst);
	for (unsigned int i = 0; i < burst->n; i++) {
		enum pw_drop drop;

		if (!asked[i])
			continue;
		drop = judge_inward(burst, i);
		if (drop != PW_DROP_NONE)
			burst->edges[i] = pw_stage_drop(burst->mbufs[i], drop);
	}
}

static rte_edge_t protect(struct rte_mbuf *mbuf, const struct pw_policy_rule *rule, bool v6)
{
	if (unlikely(!pw_lookup_hop(mbuf, v6))) {
		pw_stage_icmp(mbuf, PW_DROP_IP_TTL, PW_ICMP_TIME_EXCEEDED, 0, 0);
		return PW_LOOKUP_ICMP;
	}
	pw_packet(mbuf)->nexthop = rule->nexthop;
	return PW_LOOKUP_TUNNEL;
}

/* Goes out; or would, had it a route: what is to be protected needs none. */
static bool leaves(struct rte_mbuf *mbuf, rte_edge_t edge)
{
	switch (edge) {
	case PW_LOOKUP_ETHERNET:
	case PW_LOOKUP_TUNNEL:
	case PW_LOOKUP_RESOLVE:
	case PW_LOOKUP_POLICY:
		return true;
	case PW_LOOKUP_ICMP:
		return pw_packet(mbuf)->reason == PW_DROP_ROUTE_NONE ||
		       pw_packet(mbuf)->reason == PW_DROP_ROUTE_UNREACHABLE;
	}
	return false;
}

/* Where no policy selects. A bundle's endpoint is an IPsec interface's that sends all by one SA. */
static uint8_t default_outward(const struct pw_spd *spd, struct rte_mbuf *mbuf, rte_edge_t edge)
{
	const struct pw_nexthop *nexthop;

	if (spd->out_default == PW_POLICY_BYPASS || edge == PW_LOOKUP_POLICY)
		return edge == PW_LOOKUP_POLICY ? spd->interface_default : spd->out_default;
	nexthop = pw_nexthop_get(pw_packet(mbuf)->nexthop);
	if (edge == PW_LOOKUP_TUNNEL && nexthop->type == PW_NEXTHOP_TUNNEL &&
	    pw_endpoint_get(nexthop->endpoint)->flags & PW_ENDPOINT_IPSEC)
		return spd->interface_default;
	return spd->out_default;
}

static void outward(struct burst *burst)
{
	bool asked[PW_LOOKUP_BURST];

	for (unsigned int i = 0; i < burst->n; i++) {
		asked[i] = burst->spds[i] && leaves(burst->mbufs[i], burst->edges[i]);
		burst->lists[i] = asked[i] ? burst->spds[i]->out : NULL;
	}
	ask(burst);
	for (unsigned int i = 0; i < burst->n; i++) {
		const struct pw_policy_rule *rule = burst->rules[i];

		if (!asked[i])
			continue;
		switch (rule ? rule->action
			     : default_outward(burst->spds[i], burst->mbufs[i], burst->edges[i])) {
		case PW_POLICY_BYPASS:
			break;
		case PW_POLICY_PROTECT:
			burst->edges[i] = protect(burst->mbufs[i], rule, burst->v6[i]);
			break;
		default:
			burst->edges[i] = pw_stage_drop(burst->mbufs[i], PW_DROP_POLICY_BLOCK);
		}
	}
}

/* ---- IPsec interfaces ------------------------------------------------------------------------ */

/* Into an IPsec interface: by an SA or not at all. */
static rte_edge_t into_interface(struct rte_mbuf *mbuf, const struct pw_policy_rule *rule, bool v6)
{
	if (rule && rule->action == PW_POLICY_PROTECT)
		return protect(mbuf, rule, v6);
	return pw_stage_drop(mbuf, rule && rule->action == PW_POLICY_DISCARD ? PW_DROP_POLICY_BLOCK
									     : PW_DROP_POLICY_NONE);
}

static void interfaces(struct burst *burst)
{
	bool asked[PW_LOOKUP_BURST];

	for (unsigned int i = 0; i < burst->n; i++) {
		const struct pw_packet *packet = pw_packet(burst->mbufs[i]);
		const struct pw_nexthop *nexthop;

		asked[i] = false;
		burst->lists[i] = NULL;
		if (burst->edges[i] != PW_LOOKUP_POLICY)
			continue;
		if (!packet->nexthop) {
			burst->edges[i] = burst->v6[i] ? EDGE_IPV6 : EDGE_IPV4;
			continue;
		}
		asked[i] = true;
		nexthop = pw_nexthop_get(packet->nexthop);
		if (nexthop->type == PW_NEXTHOP_POLICY) /* else it went away meanwhile */
			burst->lists[i] = pw_spd_get(nexthop->spd)->out;
	}
	ask(burst);
	for (unsigned int i = 0; i < burst->n; i++)
		if (asked[i])
			burst->edges[i] =
				into_interface(burst->mbufs[i], burst->rules[i], burst->v6[i]);
}

static uint16_t policy(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST) {
		struct burst burst;

		burst.mbufs = (struct rte_mbuf **)&objs[i];
		burst.edges = &edges[i];
		burst.n = RTE_MIN(n - i, PW_LOOKUP_BURST);
		enter(&burst);
		inward(&burst);
		outward(&burst);
		interfaces(&burst);
	}
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(policy, "policy", policy, "drop", "ipv4-lookup", PW_LOOKUP_STAGES_ON, "ipv6-lookup")
