/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/transmit/template.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_udp.h>

#include "dataplane/table/interface.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/transmit/esp.h"
#include "dataplane/transmit/impose.h"

static bool sends(const struct pw_endpoint *endpoint)
{
	if (endpoint->protect & PW_PROTECT_BLOCK_OUT)
		return false;
	return endpoint->sa ? pw_sa_get(endpoint->sa)->key != NULL
			    : !(endpoint->protect & PW_PROTECT_OUT);
}

static bool fits(const struct pw_nexthop *nexthop, const struct pw_endpoint *endpoint,
		 const struct pw_nexthop *way, const struct pw_neighbour *neighbour)
{
	return (nexthop->label_count || endpoint->encapsulation == PW_ENCAPSULATION_GRE ||
		endpoint->encapsulation == PW_ENCAPSULATION_IP) &&
	       (!nexthop->label_count || endpoint->encapsulation != PW_ENCAPSULATION_IP) &&
	       way->type == PW_NEXTHOP_NEIGHBOUR && !way->label_count &&
	       neighbour->state == PW_NEIGHBOUR_REACHABLE &&
	       !(endpoint->flags &
		 (PW_ENDPOINT_IPV6 | PW_ENDPOINT_CHECKSUM | PW_ENDPOINT_SEQUENCE)) &&
	       pw_interface_get(endpoint->interface)->flags & PW_INTERFACE_UP &&
	       neighbour->rewrite_len + endpoint->header_len +
			       nexthop->label_count * PW_MPLS_ENTRY <=
		       PW_TEMPLATE_SIZE;
}

/* All bytes, in the order of the wire, ending at @p end. */
static void write_bytes(struct pw_template *template, uint8_t *end,
			const struct pw_nexthop *nexthop, const struct pw_endpoint *endpoint,
			const struct pw_neighbour *neighbour)
{
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	uint16_t protocol = nexthop->label_count ? RTE_BE16(RTE_ETHER_TYPE_MPLS) : type;
	uint8_t *ip = end - template->ip_from_end;

	memcpy(end - template->length, neighbour->rewrite, neighbour->rewrite_len);
	memcpy(ip - sizeof(type), &type, sizeof(type));
	memcpy(ip, endpoint->header, endpoint->header_len);
	if (endpoint->encapsulation == PW_ENCAPSULATION_GRE)
		memcpy(ip + endpoint->gre_at + 2, &protocol, sizeof(protocol));
	for (unsigned int i = 0; i < nexthop->label_count; i++)
		pw_mpls_write(end - template->labels + i * PW_MPLS_ENTRY,
			      nexthop->labels[i] | nexthop->label_ttl);
}

/* IPv4, where it is a packet as it is. */
static uint8_t next_header(const struct pw_endpoint *endpoint)
{
	switch (endpoint->encapsulation) {
	case PW_ENCAPSULATION_GRE:
		return IPPROTO_GRE;
	case PW_ENCAPSULATION_IP:
		return IPPROTO_IPIP;
	default:
		return IPPROTO_MPLS;
	}
}

/* An IP packet without labels. */
static uint16_t plain_flags(const struct pw_endpoint *endpoint)
{
	if (endpoint->encapsulation == PW_ENCAPSULATION_GRE)
		return PW_TEMPLATE_PLAIN | PW_TEMPLATE_GRE | PW_TEMPLATE_INNER4 |
		       PW_TEMPLATE_INNER6;
	return PW_TEMPLATE_PLAIN | (endpoint->flags & PW_ENDPOINT_INNER4 ? PW_TEMPLATE_INNER4 : 0) |
	       (endpoint->flags & PW_ENDPOINT_INNER6 ? PW_TEMPLATE_INNER6 : 0);
}

static uint16_t flags_of(const struct pw_nexthop *nexthop, const struct pw_endpoint *endpoint)
{
	bool df = endpoint->flags & (PW_ENDPOINT_DF | PW_ENDPOINT_DF_INHERIT);

	return PW_TEMPLATE_USABLE | (df ? 0 : PW_TEMPLATE_ID) |
	       (endpoint->flags & PW_ENDPOINT_DF_INHERIT ? PW_TEMPLATE_DF_INHERIT : 0) |
	       (pw_impose_tos_mask(endpoint) ? PW_TEMPLATE_TOS_INHERIT : 0) |
	       (endpoint->flags & PW_ENDPOINT_TTL_INHERIT ? PW_TEMPLATE_TTL_INHERIT : 0) |
	       (nexthop->flags & PW_NEXTHOP_TTL_UNIFORM ? PW_TEMPLATE_TTL_UNIFORM : 0) |
	       (nexthop->label_count ? 0 : plain_flags(endpoint));
}

/* The part of ESP. */
static void protect(struct pw_template *template, const struct pw_endpoint *endpoint,
		    const struct pw_neighbour *neighbour)
{
	const struct pw_sa *sa = pw_sa_get(endpoint->sa);
	uint16_t payload = pw_sa_payload_max(sa, neighbour->mtu);

	template->inside = endpoint->header_len - endpoint->gre_at + template->labels;
	payload = RTE_MIN(payload, endpoint->mtu + template->inside - template->labels);
	template->room = payload > template->inside ? payload - template->inside : 0;
	template->tail = pw_esp_tail_max(sa);
	template->packet.sa = endpoint->sa;
	template->flags |= PW_TEMPLATE_SEALED;
	template->align = sa->align;
	template->icv = sa->icv_bytes;
	template->flags |= sa->flags &PW_SA_UDP ? PW_TEMPLATE_UDP : 0;
	template->next_header = next_header(endpoint);
	template->packet.esp_at = neighbour->rewrite_len + endpoint->esp_at;
	template->packet.esp_mode = PW_ESP_FRAME;
	/* TFC padding; or an SA of another kind than the header was made for. */
	if (sa->pad_to || endpoint->gre_at != endpoint->esp_at + PW_ESP_HEADER + sa->iv_bytes)
		template->flags = 0;
}

/* Nothing but a neighbour's Ethernet header, for packets without labels. */
static void compose_link(struct pw_template *template, const struct pw_nexthop *nexthop)
{
	const struct pw_neighbour *neighbour = pw_neighbour_get(nexthop->neighbour);
	uint8_t *end = template->near + PW_TEMPLATE_MOVE;
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV4);

	if (nexthop->label_count || neighbour->state != PW_NEIGHBOUR_REACHABLE)
		return;
	template->flags = PW_TEMPLATE_LINK | PW_TEMPLATE_FAST4 | PW_TEMPLATE_FAST6;
	template->length = neighbour->rewrite_len;
	template->room = neighbour->mtu;
	template->tail = 0;
	template->labels = 0;
	template->tunnel = 0;
	template->link = neighbour->interface;
	template->packet = (struct pw_packet){
		.nexthop = nexthop->id,
		.port = neighbour->port,
		.flags = PW_PACKET_LAYER3 | PW_PACKET_FORWARDED,
	};
	memset(template->near, 0, PW_TEMPLATE_MOVE);
	memcpy(end - template->length, neighbour->rewrite, template->length);
	memcpy(end - sizeof(type), &type, sizeof(type));
}

static uint16_t fast_flags(uint16_t flags)
{
	if (!(flags & PW_TEMPLATE_PLAIN))
		return PW_TEMPLATE_FAST4 | PW_TEMPLATE_FAST6;
	return (flags & PW_TEMPLATE_INNER4 ? PW_TEMPLATE_FAST4 : 0) |
	       (flags & PW_TEMPLATE_INNER6 ? PW_TEMPLATE_FAST6 : 0);
}

void pw_template_compose(struct pw_template *template, uint32_t id, uint32_t generation)
{
	const struct pw_nexthop *nexthop = pw_nexthop_get(id);
	const struct pw_endpoint *endpoint;
	const struct pw_neighbour *neighbour;
	const struct pw_nexthop *way;
	uint8_t bytes[PW_TEMPLATE_SIZE] = {0};
	uint16_t mtu;

	template->generation = generation;
	template->flags = 0;
	if (nexthop->type == PW_NEXTHOP_NEIGHBOUR)
		compose_link(template, nexthop);
	if (nexthop->type != PW_NEXTHOP_TUNNEL)
		return;
	endpoint = pw_endpoint_get(nexthop->endpoint);
	way = pw_nexthop_get(endpoint->underlay);
	neighbour = pw_neighbour_get(way->neighbour);
	if (!sends(endpoint) || !fits(nexthop, endpoint, way, neighbour))
		return;
	template->labels = nexthop->label_count *PW_MPLS_ENTRY;
	template->ip_from_end = endpoint->header_len + template->labels;
	template->length = neighbour->rewrite_len + template->ip_from_end;
	write_bytes(template, bytes + sizeof(bytes), nexthop, endpoint, neighbour);
	memcpy(template->far, bytes, PW_TEMPLATE_MOVE);
	memcpy(template->near, bytes + PW_TEMPLATE_MOVE, PW_TEMPLATE_MOVE);
	template->flags = flags_of(nexthop, endpoint) |
			  (template->length > PW_TEMPLATE_MOVE ? PW_TEMPLATE_FAR : 0);
	template->tos_mask = pw_impose_tos_mask(endpoint);
	template->gre_from_end = endpoint->header_len - endpoint->gre_at + template->labels;
	mtu = neighbour->mtu > template->ip_from_end ? neighbour->mtu - template->ip_from_end : 0;
	template->room = RTE_MIN(
		endpoint->mtu > template->labels ? endpoint->mtu - template->labels : 0, mtu);
	template->tail = 0;
	template->packet = (struct pw_packet){
		.nexthop = way->id,
		.vrf = endpoint->vrf,
		.port = neighbour->port,
		.flags = PW_PACKET_LAYER3 | PW_PACKET_FORWARDED,
	};
	template->partial_sum = endpoint->partial_sum;
	template->tunnel = endpoint->interface;
	template->link = neighbour->interface;
	if (endpoint->sa)
		protect(template, endpoint, neighbour);
	if (template->flags & PW_TEMPLATE_USABLE)
		template->flags |= fast_flags(template->flags);
}
