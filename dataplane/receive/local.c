/* SPDX-License-Identifier: BSD-3-Clause */
/** local-input: addressed to this PE: tunnels, pings, or the kernel's business. */
#include "dataplane/exception/path_mtu.h"
#include "dataplane/receive/ip.h"
#include "dataplane/table/endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_icmp.h>
#include <rte_udp.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_REASSEMBLY,
	EDGE_GRE,
	EDGE_ECHO,
	EDGE_PUNT,
	EDGE_ICMP,
	EDGE_ESP,
	EDGE_PATH_MTU,
};

#define ICMP_UNREACHABLE    3
#define ICMP_CODE_PROTOCOL  2
#define ICMP_CODE_PORT      3
#define ICMPV6_ECHO_REQUEST 128
#define ESP_HEADER          8 /* no packet of ESP ends with it */
#define PORT_ESP_IN_UDP     4500

/*
 * Came straight off the wire of a port, or without labels through a tunnel, whose kernel face
 * takes what the PE itself is asked for.
 */
static const struct pw_interface *kernel_face(struct rte_mbuf *mbuf)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_interface *interface = pw_interface_get(packet->interface);

	if (interface->vrf != packet->vrf || (packet->endpoint && *pw_packet_label(mbuf)))
		return NULL;
	if (interface->flags & (PW_INTERFACE_NATIVE | PW_INTERFACE_FACE))
		return interface;
	return NULL;
}

static rte_edge_t to_kernel(struct rte_mbuf *mbuf, const struct pw_interface *face)
{
	if (face->flags & PW_INTERFACE_NATIVE)
		return pw_stage_drop(mbuf, PW_DROP_KERNEL_COPY);
	return EDGE_PUNT;
}

/* The kernel answers pings only where it has the routes to: in the default VRF. */
static bool kernel_answers_pings(const struct pw_packet *packet, const struct pw_interface *face)
{
	return face && packet->vrf == 0;
}

static rte_edge_t unserved(struct rte_mbuf *mbuf, uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_UDP:
		pw_stage_icmp(mbuf, PW_DROP_LOCAL_PORT, ICMP_UNREACHABLE, ICMP_CODE_PORT, 0);
		return EDGE_ICMP;
	case IPPROTO_TCP:
		return pw_stage_drop(mbuf, PW_DROP_LOCAL_PORT);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return pw_stage_drop(mbuf, PW_DROP_LOCAL_ICMP);
	}
	pw_stage_icmp(mbuf, PW_DROP_LOCAL_PROTOCOL, ICMP_UNREACHABLE, ICMP_CODE_PROTOCOL, 0);
	return EDGE_ICMP;
}

/*
 * RFC 3948: on the port of IKE behind NATs, what begins with zeroes is IKE, and one octet 0xff
 * keeps the NAT's mapping alive; both are the IKE daemon's, everything else is ESP.
 */
static bool is_esp_in_udp(const struct rte_mbuf *mbuf, uint16_t header)
{
	const struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, header);
	uint16_t length;
	uint32_t spi;

	if (mbuf->data_len < header + sizeof(*udp) + sizeof(spi) ||
	    udp->dst_port != RTE_BE16(PORT_ESP_IN_UDP))
		return false;
	length = rte_be_to_cpu_16(udp->dgram_len);
	if (length <= sizeof(*udp) + ESP_HEADER || length > mbuf->data_len - header)
		return false;
	memcpy(&spi, udp + 1, sizeof(spi));
	return spi != 0;
}

static bool is_about_esp(const struct rte_mbuf *mbuf)
{
	struct pw_esp_quote quote;

	return pw_esp_quote_read(mbuf, &quote) != -ENOENT;
}

static rte_edge_t to_esp(struct rte_mbuf *mbuf)
{
	pw_packet(mbuf)->esp_mode = PW_ESP_LOCAL;
	return EDGE_ESP;
}

static rte_edge_t dispatch(struct rte_mbuf *mbuf, uint8_t protocol, uint16_t header, bool fragment)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_interface *face = kernel_face(mbuf);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, header);
	bool v6 = pw_ip_version(mbuf) == 6;
	bool icmp = protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);

	if (protocol == IPPROTO_GRE || protocol == IPPROTO_MPLS ||
	    ((protocol == IPPROTO_IPV6 || protocol == IPPROTO_IPIP) && pw_tunnel_ip_ends)) {
		/* An SA in tunnel mode that it came by does not protect tunnels within. */
		pw_packet(mbuf)->sa = 0;
		return fragment ? EDGE_REASSEMBLY : EDGE_GRE;
	}
	if (protocol == IPPROTO_ESP)
		return fragment ? EDGE_REASSEMBLY : to_esp(mbuf);
	if (protocol == IPPROTO_UDP && !fragment && is_esp_in_udp(mbuf, header)) {
		/* Octets behind the datagram are no part of it. */
		const struct rte_udp_hdr *udp =
			rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, header);

		pw_stage_trim(mbuf, header + rte_be_to_cpu_16(udp->dgram_len));
		return to_esp(mbuf);
	}
	if (icmp && !fragment && is_about_esp(mbuf))
		return EDGE_PATH_MTU;
	if (icmp && !kernel_answers_pings(packet, face)) {
		if (fragment)
			return EDGE_REASSEMBLY;
		if (mbuf->data_len < header + sizeof(struct rte_icmp_hdr))
			return pw_stage_drop(mbuf, PW_DROP_LOCAL_TRUNCATED);
		if (payload[0] == (v6 ? ICMPV6_ECHO_REQUEST : RTE_IP_ICMP_ECHO_REQUEST))
			return EDGE_ECHO;
	}
	if (face)
		return to_kernel(mbuf, face);
	return unserved(mbuf, protocol);
}

static rte_edge_t ipv4(struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	return dispatch(mbuf, ip->next_proto_id, rte_ipv4_hdr_len(ip),
			ip->fragment_offset &
				RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG));
}

static rte_edge_t ipv6(struct rte_mbuf *mbuf)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);
	const struct rte_ipv6_fragment_ext *fragment = (const void *)(ip + 1);

	if (ip->proto != IPPROTO_FRAGMENT)
		return dispatch(mbuf, ip->proto, sizeof(*ip), false);
	if (mbuf->data_len < sizeof(*ip) + sizeof(*fragment))
		return pw_stage_drop(mbuf, PW_DROP_LOCAL_TRUNCATED);
	return dispatch(mbuf, fragment->next_header, sizeof(*ip) + sizeof(*fragment), true);
}

static uint16_t local_input(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i++)
		edges[i] = pw_ip_version(objs[i]) == 6 ? ipv6(objs[i]) : ipv4(objs[i]);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(local_input, "local-input", local_input, "drop", "reassembly", "gre-input", "icmp-echo",
	 "kernel-punt", "icmp-error", "esp-input", "path-mtu")
