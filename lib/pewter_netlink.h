/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_PEWTER_NETLINK_H
#define PW_PEWTER_NETLINK_H

#include <stdint.h>

/**
 * What Pewter's API socket has beyond Linux UAPI netlink. Public: needs nothing else of Pewter.
 *
 * The socket is a Unix SOCK_SEQPACKET; a packet holds any number of netlink messages, each on a
 * 4-byte boundary, in the byte order of the machine. Requests, acknowledgements, dumps and
 * errors (always with the extended acknowledgement, and with the request unless NLM_F_CAPPED
 * says that it was too long) are as in AF_NETLINK, with nlmsg_pid 0. An NLMSG_OVERRUN says that
 * events were lost because they were not read fast enough: dump again what they were about.
 *
 * Message types from 0x400 are Pewter's own, whatever protocol the connection speaks.
 */

/* ---- the connection: 0x400 .. 0x41f ------------------------------------------------------ */

#define PW_NETLINK_VERSION    1
#define PW_NETLINK_PACKET_MAX (1u << 20) /* bytes of a packet to the daemon */
#define PW_NETLINK_GROUPS     256        /* groups 1 .. 255 may be subscribed to */

enum pw_msg_connection {
	/** struct pw_msg_hello both ways; the answer has PW_HELLO_* attributes behind it. */
	PW_MSG_HELLO = 0x400,
	/** struct pw_msg_group: events of one group (RTNLGRP_*) from now on, or no more. */
	PW_MSG_SUBSCRIBE = 0x401,
	PW_MSG_UNSUBSCRIBE = 0x402,
};

/** First, where the defaults (NETLINK_ROUTE, PW_HELLO_DUMP_BYTES) are not wanted. */
struct pw_msg_hello {
	uint32_t version;    /* PW_NETLINK_VERSION */
	uint32_t protocol;   /* NETLINK_ROUTE or NETLINK_XFRM, whose message types overlap */
	uint32_t dump_bytes; /* packets of a dump are no larger, if messages allow; 0 = default */
	uint32_t flags;      /* PW_HELLO_* */
};
#define PW_HELLO_DUMP_BYTES 32768
#define PW_HELLO_RESYNC     0x1 /* was connected before: an NLMSG_OVERRUN follows the answer */

enum pw_hello_attribute {
	PW_HELLO_UNSPEC,
	PW_HELLO_NAME,   /* string: the daemon's name, "pewterd" */
	PW_HELLO_DAEMON, /* string: its version */
	PW_HELLO_PID,    /* u32: its process id */
};

struct pw_msg_group {
	uint32_t group; /* 1 .. PW_NETLINK_GROUPS - 1 */
};

/* ---- 0x420: what Linux has no message for: statistics, watching, tunnel and label knobs -------
 *
 * Served by control/netlink_pewter.c and control/watch.c; pewterctl(8) speaks them.
 *
 * Every message here begins with a struct rtgenmsg (rtgen_family = AF_UNSPEC, padded with zeroes
 * to 4 bytes), followed by netlink attributes. Integers are in host byte order and exactly as
 * wide as noted; u64 payloads are not aligned beyond 4 bytes. "address" is an IPv4 or IPv6
 * address of 4 or 16 bytes in network byte order. "string" ends with a NUL, which is counted.
 * An attribute that does not apply is left out. Unknown attributes in a request are refused;
 * unknown attributes in an answer are to be skipped.
 *
 * The first group is asked for with NLM_F_REQUEST | NLM_F_DUMP and answered with messages of
 * the same type, and NLMSG_DONE. PW_MSG_SUMMARY takes no NLM_F_DUMP: it has one answer.
 */
enum {
	PW_MSG_DROP = 0x420, /* a reason why packets are dropped: PW_DROP_ATTR_* */
	PW_MSG_PORT,         /* a port and its counters: PW_PORT_ATTR_* */
	PW_MSG_STAGE,        /* a stage of a worker: PW_STAGE_ATTR_* */
	PW_MSG_VRF,          /* a routing table: PW_VRF_ATTR_* */
	PW_MSG_NEIGHBOUR,    /* a neighbour as the workers know it: PW_NEIGHBOUR_ATTR_* */
	PW_MSG_TUNNEL,       /* first the tunnels, then their endpoints: PW_TUNNEL_ATTR_* */
	PW_MSG_LABEL,        /* an incoming label: PW_LABEL_ATTR_* */
	PW_MSG_WORKER,       /* a worker: PW_WORKER_ATTR_* */
	PW_MSG_SUMMARY,      /* the daemon: PW_SUMMARY_ATTR_* */
	PW_MSG_EVENT,        /* what was counted besides drops: PW_DROP_ATTR_* */
	PW_MSG_SA,           /* a security association of ESP, without keys: PW_SA_ATTR_* */
	PW_MSG_POLICY,       /* a policy of IPsec: PW_POLICY_ATTR_* */

	/* Requests, answered by NLMSG_ERROR. */
	PW_MSG_LABEL_ALLOW = 0x430, /* who may use a label: PW_ALLOW_ATTR_* */
	PW_MSG_TUNNEL_SET,          /* a tunnel's TTL model: PW_TUNNEL_SET_ATTR_* */
	PW_MSG_LINK_SET,            /* a port's or VLAN's MPLS input: PW_LINK_SET_ATTR_* */
	PW_MSG_LABEL_SET,           /* a label's protection: PW_LABEL_SET_ATTR_* */
	PW_MSG_ENDPOINT_SET,        /* a remote end is down: PW_ENDPOINT_SET_ATTR_* */

	/*
	 * Watching. PW_MSG_TRACE and PW_MSG_CAPTURE (NLM_F_REQUEST | NLM_F_ACK, PW_WATCH_ATTR_*)
	 * begin a watch; once acknowledged, PW_MSG_RECORD messages with the request's sequence
	 * number follow as packets pass. It ends when the number of packets that was asked for
	 * is there, or with PW_MSG_WATCH_STOP on the same connection, or with the connection.
	 * In the first two cases PW_MSG_WATCH_END and NLMSG_DONE, also with the request's
	 * sequence number, come last. A connection has one watch at a time; the daemon has one
	 * trace and a few captures at a time and answers -EBUSY beyond.
	 */
	PW_MSG_TRACE = 0x438,
	PW_MSG_CAPTURE,
	PW_MSG_WATCH_STOP, /* no attributes */
	PW_MSG_RECORD,     /* PW_RECORD_ATTR_* */
	PW_MSG_WATCH_END,  /* PW_END_ATTR_* */
};

/* PW_MSG_DROP, PW_MSG_EVENT */
enum {
	PW_DROP_ATTR_UNSPEC,
	PW_DROP_ATTR_NAME,    /* string */
	PW_DROP_ATTR_TEXT,    /* string: a sentence for the operator */
	PW_DROP_ATTR_PACKETS, /* u64: since the start, all workers */
	PW_DROP_ATTR_COUNT
};

/* PW_MSG_PORT: RX and TX of the device since it was opened; L3_* of its interfaces */
enum {
	PW_PORT_ATTR_UNSPEC,
	PW_PORT_ATTR_IFINDEX,       /* u32: of its link in Pewter, 0 without one */
	PW_PORT_ATTR_NAME,          /* string: the operator's name */
	PW_PORT_ATTR_DRIVER,        /* string: "af_xdp", "af_packet", "tap", "pci", ... */
	PW_PORT_ATTR_DEVICE,        /* string: what it stands on (interface, PCI address, socket) */
	PW_PORT_ATTR_MAC,           /* 6 bytes */
	PW_PORT_ATTR_MTU,           /* u16: bytes at layer 3 */
	PW_PORT_ATTR_MTU_MAX,       /* u16 */
	PW_PORT_ATTR_RX_QUEUES,     /* u16 */
	PW_PORT_ATTR_TX_QUEUES,     /* u16 */
	PW_PORT_ATTR_UP,            /* u8: 1 = administratively up */
	PW_PORT_ATTR_CARRIER,       /* u8: 1 = the device sees a link */
	PW_PORT_ATTR_FACE,          /* string: its kernel face's interface name in the kernel */
	PW_PORT_ATTR_RX_PACKETS,    /* u64 */
	PW_PORT_ATTR_RX_BYTES,      /* u64: Ethernet, without FCS */
	PW_PORT_ATTR_RX_MISSED,     /* u64: lost because the worker was too slow */
	PW_PORT_ATTR_RX_ERRORS,     /* u64 */
	PW_PORT_ATTR_RX_NO_BUFFER,  /* u64 */
	PW_PORT_ATTR_TX_PACKETS,    /* u64 */
	PW_PORT_ATTR_TX_BYTES,      /* u64: Ethernet, without FCS */
	PW_PORT_ATTR_TX_ERRORS,     /* u64 */
	PW_PORT_ATTR_L3_RX_PACKETS, /* u64: the port's own interface (no VLAN) at layer 3 */
	PW_PORT_ATTR_L3_RX_BYTES,   /* u64 */
	PW_PORT_ATTR_L3_TX_PACKETS, /* u64 */
	PW_PORT_ATTR_L3_TX_BYTES,   /* u64 */
	PW_PORT_ATTR_VRF,           /* string: VRF link it belongs to, "default" without one */
	PW_PORT_ATTR_COUNT
};

/* PW_MSG_STAGE: one message for each stage and worker; counters since the start */
enum {
	PW_STAGE_ATTR_UNSPEC,
	PW_STAGE_ATTR_NAME,    /* string */
	PW_STAGE_ATTR_WORKER,  /* u16 */
	PW_STAGE_ATTR_ORDER,   /* u16: place in the packet's way */
	PW_STAGE_ATTR_CALLS,   /* u64 */
	PW_STAGE_ATTR_PACKETS, /* u64 */
	PW_STAGE_ATTR_CYCLES,  /* u64: of the TSC */
	PW_STAGE_ATTR_COUNT
};

/* PW_MSG_VRF */
enum {
	PW_VRF_ATTR_UNSPEC,
	PW_VRF_ATTR_NAME,       /* string: the VRF link's name; absent: only a table */
	PW_VRF_ATTR_TABLE,      /* u32: Linux table id */
	PW_VRF_ATTR_INDEX,      /* u16: the dataplane's own number */
	PW_VRF_ATTR_LINKS,      /* u32: interfaces in it */
	PW_VRF_ATTR_INTERFACES, /* nest of PW_VRF_ATTR_NAME strings, the first 256 of them */
	PW_VRF_ATTR_ROUTES4,    /* u64: prefixes, local and neighbour ones included */
	PW_VRF_ATTR_ROUTES6,    /* u64 */
	PW_VRF_ATTR_COUNT
};

/* PW_MSG_NEIGHBOUR */
enum {
	PW_NEIGHBOUR_ATTR_UNSPEC,
	PW_NEIGHBOUR_ATTR_ADDRESS, /* address */
	PW_NEIGHBOUR_ATTR_DEV,     /* string */
	PW_NEIGHBOUR_ATTR_MAC,     /* 6 bytes */
	PW_NEIGHBOUR_ATTR_STATE,   /* string: "incomplete", "reachable", "failed" */
	PW_NEIGHBOUR_ATTR_PORT,    /* string */
	PW_NEIGHBOUR_ATTR_VLAN,    /* u16 */
	PW_NEIGHBOUR_ATTR_MTU,     /* u16 */
	PW_NEIGHBOUR_ATTR_COUNT
};

/* A next hop, nested in other objects */
enum {
	PW_NEXTHOP_ATTR_UNSPEC,
	PW_NEXTHOP_ATTR_ID,     /* u32: the dataplane's own number */
	PW_NEXTHOP_ATTR_TYPE,   /* string: "none", "blackhole", "unreachable", "prohibit", "local",
				 * "glean", "neighbour", "tunnel", "lookup", "group" */
	PW_NEXTHOP_ATTR_VIA,    /* address: neighbour, or the tunnel's remote end */
	PW_NEXTHOP_ATTR_DEV,    /* string */
	PW_NEXTHOP_ATTR_LABELS, /* u32 each: label values, outermost first */
	PW_NEXTHOP_ATTR_TABLE,  /* u32: Linux table of a lookup */
	PW_NEXTHOP_ATTR_STATE,  /* string: of the neighbour */
	PW_NEXTHOP_ATTR_PORT,   /* string: where it leaves */
	PW_NEXTHOP_ATTR_COUNT
};

/* PW_MSG_TUNNEL. With PW_TUNNEL_ATTR_ENDPOINT it is an endpoint of the tunnel NAME */
enum {
	PW_TUNNEL_ATTR_UNSPEC,
	PW_TUNNEL_ATTR_NAME,          /* string */
	PW_TUNNEL_ATTR_ENDPOINT,      /* u32: the dataplane's own number */
	PW_TUNNEL_ATTR_ENCAPSULATION, /* string: "gre", "mpls-in-ip", "ip-in-ip" */
	PW_TUNNEL_ATTR_LOCAL,         /* address */
	PW_TUNNEL_ATTR_REMOTE,        /* address; absent in a tunnel: multipoint */
	PW_TUNNEL_ATTR_KEY,           /* u32 */
	PW_TUNNEL_ATTR_TTL,           /* u8: outer; 0 = inherit */
	PW_TUNNEL_ATTR_TTL_MODEL,     /* string: "uniform", "pipe", "short-pipe" */
	PW_TUNNEL_ATTR_LABEL_TTL,     /* u8: pipe and short-pipe: TTL of pushed labels */
	PW_TUNNEL_ATTR_MTU,           /* u32: bytes; endpoint: largest payload, labels included */
	PW_TUNNEL_ATTR_UP,            /* u8 */
	PW_TUNNEL_ATTR_UNDERLAY,      /* nest of PW_NEXTHOP_ATTR_*: endpoint only */
	PW_TUNNEL_ATTR_TABLE,         /* u32: of the underlay (front door) */
	PW_TUNNEL_ATTR_PROTECTION,    /* string: endpoint only, what is sent: "clear", "esp",
				       * "required" (by policy, and no SA), "blocked" */
	PW_TUNNEL_ATTR_SPI,           /* u32: of the SA that it is sent with */
	PW_TUNNEL_ATTR_INWARD,        /* string: endpoint only, what is taken from it: "any",
				       * "esp" (not in clear), "blocked" */
	PW_TUNNEL_ATTR_COUNT
};

/* PW_MSG_LABEL */
enum {
	PW_LABEL_ATTR_UNSPEC,
	PW_LABEL_ATTR_LABEL,   /* u32: 0 .. 2^20 - 1 */
	PW_LABEL_ATTR_ACTION,  /* string: "pop", "swap", "discard" */
	PW_LABEL_ATTR_VRF,     /* string: VRF link, pop and look up there */
	PW_LABEL_ATTR_TABLE,   /* u32: the same as a Linux table */
	PW_LABEL_ATTR_NEXTHOP, /* nest of PW_NEXTHOP_ATTR_* */
	PW_LABEL_ATTR_TTL,     /* string: "uniform", "pipe"; absent: as the tunnel says */
	PW_LABEL_ATTR_ALLOWED, /* nest of PW_ALLOW_ATTR_REMOTE; absent: every known endpoint */
	PW_LABEL_ATTR_PROTECT, /* u8: 1 = only from an SA; absent: from clear as well */
	PW_LABEL_ATTR_COUNT
};

/* PW_MSG_WORKER: counters since the start */
enum {
	PW_WORKER_ATTR_UNSPEC,
	PW_WORKER_ATTR_INDEX,      /* u16 */
	PW_WORKER_ATTR_CPU,        /* u32 */
	PW_WORKER_ATTR_TSC,        /* u64: time stamp counter when read */
	PW_WORKER_ATTR_HZ,         /* u64: its frequency */
	PW_WORKER_ATTR_BUSY,       /* u64: TSC cycles spent on packets, polling in vain excluded */
	PW_WORKER_ATTR_WALKS,      /* u64: times round its stages */
	PW_WORKER_ATTR_IDLE_WALKS, /* u64: of these, without a packet */
	PW_WORKER_ATTR_SLEEPS,     /* u64 */
	PW_WORKER_ATTR_RX_PACKETS, /* u64 */
	PW_WORKER_ATTR_DROPS,      /* u64 */
	PW_WORKER_ATTR_COUNT
};

/* PW_MSG_SUMMARY */
enum {
	PW_SUMMARY_ATTR_UNSPEC,
	PW_SUMMARY_ATTR_VERSION,      /* string */
	PW_SUMMARY_ATTR_PID,          /* u32 */
	PW_SUMMARY_ATTR_UPTIME,       /* u64: nanoseconds since the start */
	PW_SUMMARY_ATTR_WORKERS,      /* u32 */
	PW_SUMMARY_ATTR_PORTS,        /* u32 */
	PW_SUMMARY_ATTR_VRFS,         /* u32: routing tables */
	PW_SUMMARY_ATTR_TUNNELS,      /* u32 */
	PW_SUMMARY_ATTR_ENDPOINTS,    /* u32 */
	PW_SUMMARY_ATTR_NEIGHBOURS,   /* u32 */
	PW_SUMMARY_ATTR_NEXTHOPS,     /* u32 */
	PW_SUMMARY_ATTR_LABELS,       /* u32: incoming labels */
	PW_SUMMARY_ATTR_ROUTES4,      /* u64: prefixes in all tables */
	PW_SUMMARY_ATTR_ROUTES6,      /* u64 */
	PW_SUMMARY_ATTR_LPM_BYTES,    /* u64: memory of all routing tables */
	PW_SUMMARY_ATTR_BUFFERS,      /* u32: packet buffers */
	PW_SUMMARY_ATTR_BUFFERS_USED, /* u32: of these, not free now */
	PW_SUMMARY_ATTR_RX_PACKETS,   /* u64: all ports' devices */
	PW_SUMMARY_ATTR_RX_BYTES,     /* u64 */
	PW_SUMMARY_ATTR_TX_PACKETS,   /* u64 */
	PW_SUMMARY_ATTR_TX_BYTES,     /* u64 */
	PW_SUMMARY_ATTR_DROPS,        /* u64: all reasons */
	PW_SUMMARY_ATTR_SAS,          /* u32: security associations, larval ones too */
	PW_SUMMARY_ATTR_POLICIES,     /* u32: of IPsec */
	PW_SUMMARY_ATTR_COUNT
};

/*
 * PW_MSG_SA, the newest first. Everything else of it, and for root its keys, is told by
 * XFRM_MSG_GETSA. Counters are all workers', since the SA came; with a standby's, those that it
 * was given.
 */
enum {
	PW_SA_ATTR_UNSPEC,
	PW_SA_ATTR_SPI,          /* u32; absent: larval, from an acquire */
	PW_SA_ATTR_SOURCE,       /* address */
	PW_SA_ATTR_DESTINATION,  /* address */
	PW_SA_ATTR_DIRECTION,    /* string: "in" when the destination is an address of this PE, else
				  * "out" */
	PW_SA_ATTR_STATE,        /* string: "valid", "dying" (past its soft lifetime), "larval" (no
				  * keys yet) */
	PW_SA_ATTR_MODE,         /* string: "transport", "tunnel" */
	PW_SA_ATTR_REQID,        /* u32 */
	PW_SA_ATTR_IF_ID,        /* u32; absent: 0 */
	PW_SA_ATTR_MARK,         /* u32, and PW_SA_ATTR_MARK_MASK; absent: none */
	PW_SA_ATTR_MARK_MASK,    /* u32 */
	PW_SA_ATTR_CIPHER,       /* string: XFRM's name of the cipher or AEAD; absent: larval */
	PW_SA_ATTR_KEY_BITS,     /* u16: the cipher's, salt included */
	PW_SA_ATTR_AUTH,         /* string: XFRM's name of the HMAC; absent: an AEAD */
	PW_SA_ATTR_ICV_BITS,     /* u16 */
	PW_SA_ATTR_ESN,          /* u8: 1 = extended sequence numbers */
	PW_SA_ATTR_WINDOW,       /* u32: replay window, 0 = none */
	PW_SA_ATTR_SEQUENCE,     /* u64: out: last number given out; in: highest taken */
	PW_SA_ATTR_ENCAP_SPORT,  /* u16: ESP in UDP (RFC 3948), from this port; absent: not */
	PW_SA_ATTR_ENCAP_DPORT,  /* u16 */
	PW_SA_ATTR_VRF,          /* string: VRF link of the outer packets, as in PW_PORT_ATTR_VRF */
	PW_SA_ATTR_TABLE,        /* u32: the same as a Linux table */
	PW_SA_ATTR_PACKETS,      /* u64 */
	PW_SA_ATTR_BYTES,        /* u64: inside ESP, without padding */
	PW_SA_ATTR_REPLAYS,      /* u64: refused by the window */
	PW_SA_ATTR_ICV_FAILURES, /* u64 */
	PW_SA_ATTR_INVALID,      /* u64: wrong source, encapsulation or length, or contents that
				  * no policy lets it carry */
	PW_SA_ATTR_AGE,          /* u64: seconds since it was added */
	PW_SA_ATTR_IDLE,         /* u64: seconds since its last packet; absent: never used */
	/* What is left of its lifetimes; those that it has, and soft ones until they are over. */
	PW_SA_ATTR_SOFT_SECONDS, /* u64 */
	PW_SA_ATTR_HARD_SECONDS, /* u64 */
	PW_SA_ATTR_SOFT_BYTES,   /* u64 */
	PW_SA_ATTR_HARD_BYTES,   /* u64 */
	PW_SA_ATTR_SOFT_PACKETS, /* u64 */
	PW_SA_ATTR_HARD_PACKETS, /* u64 */
	/* Tunnel mode, in: where the packets inside come in; no table: nowhere, since the
	 * interface that it names by if_id or mark is not there. */
	PW_SA_ATTR_INTERFACE,    /* string: IPsec interface; absent: none */
	PW_SA_ATTR_INSIDE_VRF,   /* string: VRF link, as in PW_PORT_ATTR_VRF */
	PW_SA_ATTR_INSIDE_TABLE, /* u32 */
	/* Out: the path MTU that ICMP errors about its packets told; absent: none did. */
	PW_SA_ATTR_PATH_MTU,         /* u32: of the outer packet */
	PW_SA_ATTR_PATH_MTU_SECONDS, /* u64: so long it holds */
	PW_SA_ATTR_COUNT
};

/* PW_MSG_POLICY, the newest first. Everything of it is told by XFRM_MSG_GETPOLICY */
enum {
	PW_POLICY_ATTR_UNSPEC,
	PW_POLICY_ATTR_INDEX,            /* u32 */
	PW_POLICY_ATTR_DIRECTION,        /* string: "in", "out", "fwd" */
	PW_POLICY_ATTR_SOURCE,           /* address */
	PW_POLICY_ATTR_SOURCE_LEN,       /* u8: prefix length */
	PW_POLICY_ATTR_DESTINATION,      /* address */
	PW_POLICY_ATTR_DESTINATION_LEN,  /* u8 */
	PW_POLICY_ATTR_PROTOCOL,         /* u8; absent: any */
	PW_POLICY_ATTR_PRIORITY,         /* u32 */
	PW_POLICY_ATTR_ACTION,           /* string: "clear", "use" (an SA when there is one),
					  * "protect", "block" */
	PW_POLICY_ATTR_REQID,            /* u32: of its template; absent: any SA's */
	PW_POLICY_ATTR_IF_ID,            /* u32; absent: 0 */
	PW_POLICY_ATTR_SOURCE_PORT,      /* u16: or ICMP type; absent: any */
	PW_POLICY_ATTR_DESTINATION_PORT, /* u16: or ICMP code; absent: any */
	/* Of what is forwarded; both absent: of tunnels between PEs, or what it names is not there
	 */
	PW_POLICY_ATTR_LINK,   /* string: the IPsec interface whose it is */
	PW_POLICY_ATTR_VRF,    /* string: the VRF, of the interface or of the policy */
	PW_POLICY_ATTR_LOCAL,  /* address: in tunnel mode, the PE's end; absent: any */
	PW_POLICY_ATTR_REMOTE, /* address: in tunnel mode, the other end; absent: any */
	PW_POLICY_ATTR_SPI,    /* u32: outward in tunnel mode, the SA in use; absent: none */
	PW_POLICY_ATTR_DOWN,   /* string: why nothing gets there */
	PW_POLICY_ATTR_MARK,   /* u32; absent: 0 */
	PW_POLICY_ATTR_COUNT
};

/* PW_MSG_LABEL_ALLOW: replaces what was allowed before */
enum {
	PW_ALLOW_ATTR_UNSPEC,
	PW_ALLOW_ATTR_LABEL,   /* u32 */
	PW_ALLOW_ATTR_REMOTES, /* nest of PW_ALLOW_ATTR_REMOTE; absent: every known endpoint */
	PW_ALLOW_ATTR_REMOTE,  /* address of a tunnel's remote end */
	PW_ALLOW_ATTR_COUNT
};

/* PW_MSG_TUNNEL_SET: what is absent stays as it is */
enum {
	PW_TUNNEL_SET_ATTR_UNSPEC,
	PW_TUNNEL_SET_ATTR_NAME,      /* string: the tunnel */
	PW_TUNNEL_SET_ATTR_TTL_MODEL, /* u8: PW_TTL_* */
	PW_TUNNEL_SET_ATTR_LABEL_TTL, /* u8: 1 .. 255, TTL of pushed labels (pipe, short-pipe) */
	PW_TUNNEL_SET_ATTR_FACE,      /* u8: 1 the kernel has the tunnel too, as a TUN; 0 not */
	PW_TUNNEL_SET_ATTR_COUNT
};

/* PW_MSG_LABEL_SET */
enum {
	PW_LABEL_SET_ATTR_UNSPEC,
	PW_LABEL_SET_ATTR_LABEL,   /* u32 */
	PW_LABEL_SET_ATTR_PROTECT, /* u8: 1 takes the label only from an SA (RFC 4023 8.1), 0 from
				    * clear as well; whether the label has a route or not */
	PW_LABEL_SET_ATTR_COUNT
};

/*
 * PW_MSG_ENDPOINT_SET: what watches a remote PE (BFD, BGP) says that it is down, and later that
 * it is up again. Routes with a backup go there meanwhile. What comes from it is still taken.
 * Lasts until it is said otherwise, or no route and no neighbour entry names the endpoint.
 */
enum {
	PW_ENDPOINT_SET_ATTR_UNSPEC,
	PW_ENDPOINT_SET_ATTR_TUNNEL, /* string: the tunnel */
	PW_ENDPOINT_SET_ATTR_REMOTE, /* address of the remote end */
	PW_ENDPOINT_SET_ATTR_DOWN,   /* u8: 1 = down, 0 = as its routes say */
	PW_ENDPOINT_SET_ATTR_COUNT
};

/* PW_MSG_LINK_SET */
enum {
	PW_LINK_SET_ATTR_UNSPEC,
	PW_LINK_SET_ATTR_NAME, /* string: a port or VLAN sub-interface */
	PW_LINK_SET_ATTR_MPLS, /* u8: 1 takes labelled frames (0x8847) off the wire, 0 drops them,
				* as it is from the start; net.mpls.conf.DEV.input in Linux */
	PW_LINK_SET_ATTR_REVERSE_ROUTE, /* u8: 1 makes routes through an IPsec interface to what its
					 * policies send, 0 takes them away, as from the start */
	PW_LINK_SET_ATTR_COUNT
};

/** RTA_PROTOCOL of routes that an IPsec interface's policies make. */
#define PW_ROUTE_PROTOCOL_REVERSE 114

/* RFC 3443. With one label, which is popped where the IP header is looked up, pipe and
 * short-pipe are the same thing. */
#define PW_TTL_PIPE       0
#define PW_TTL_UNIFORM    1
#define PW_TTL_SHORT_PIPE 2

/* PW_MSG_TRACE, PW_MSG_CAPTURE */
enum {
	PW_WATCH_ATTR_UNSPEC,
	PW_WATCH_ATTR_PACKETS, /* u32: packets; absent or 0: until stopped */
	PW_WATCH_ATTR_STAGE,   /* string: where to look; capture: absent = ports. Trace: where
				* packets are picked, absent = "ethernet-input" */
	PW_WATCH_ATTR_PORT,    /* string: this port only, absent = all */
	PW_WATCH_ATTR_SNAPLEN, /* u32: bytes of a packet at most (capture); absent = 65535 */
	PW_WATCH_ATTR_FILTER_ETHERNET, /* struct bpf_insn each, classic BPF, at most
					* PW_FILTER_INSTRUCTIONS: for packets that begin at their
					* Ethernet header. Absent: all match */
	PW_WATCH_ATTR_FILTER_IP,       /* the same for packets that begin at their IP header;
					* labelled ones are matched by what is below the labels */
	PW_WATCH_ATTR_COUNT
};
#define PW_FILTER_INSTRUCTIONS 2048

/* What a record's data begin with */
#define PW_LAYER_ETHERNET 1
#define PW_LAYER_IP       2
#define PW_LAYER_MPLS     3

#define PW_DIRECTION_NONE 0 /* seen at a stage */
#define PW_DIRECTION_IN   1
#define PW_DIRECTION_OUT  2

/* PW_MSG_RECORD: a packet as it entered a stage. The trace says what the stages before decided */
enum {
	PW_RECORD_ATTR_UNSPEC,
	PW_RECORD_ATTR_NUMBER,    /* u32: of the packet in this watch, from 1 */
	PW_RECORD_ATTR_TIME,      /* u64: nanoseconds since 1970, UTC */
	PW_RECORD_ATTR_WORKER,    /* u16 */
	PW_RECORD_ATTR_STAGE,     /* string */
	PW_RECORD_ATTR_DIRECTION, /* u8: PW_DIRECTION_* */
	PW_RECORD_ATTR_LAYER,     /* u8: PW_LAYER_* */
	PW_RECORD_ATTR_LENGTH,    /* u32: of the packet from its first byte in DATA */
	PW_RECORD_ATTR_DATA,      /* its first bytes */
	PW_RECORD_ATTR_PORT,      /* string */
	PW_RECORD_ATTR_DROP,      /* string: name of the reason, at stage "drop" */
	PW_RECORD_ATTR_INTERFACE, /* string: it came in there */
	PW_RECORD_ATTR_VRF,       /* string: where it is looked up */
	PW_RECORD_ATTR_TABLE,     /* u32: the same as a Linux table */
	PW_RECORD_ATTR_NEXTHOP,   /* nest of PW_NEXTHOP_ATTR_*: chosen */
	PW_RECORD_ATTR_ENDPOINT,  /* nest: PW_NEXTHOP_ATTR_VIA and DEV: tunnel it came through */
	PW_RECORD_ATTR_LABEL,     /* u32: topmost label it came in with */
	PW_RECORD_ATTR_ICMP,      /* 2 bytes: type and code of the ICMP error to be sent */
	PW_RECORD_ATTR_MTU,       /* u32: of the way, where it mattered */
	PW_RECORD_ATTR_HASH,      /* u32: of the flow */
	PW_RECORD_ATTR_FLAGS,     /* u8: 1 made here, 2 labelled, 4 no ICMP, 8 was held */
	PW_RECORD_ATTR_LOST,      /* u64: records lost so far, when any */
	PW_RECORD_ATTR_SA,        /* u32: SPI of the SA that it came in by; at esp-output: that it
				   * is to leave by */
	PW_RECORD_ATTR_COUNT
};

/* PW_MSG_WATCH_END */
enum {
	PW_END_ATTR_UNSPEC,
	PW_END_ATTR_MATCHED, /* u64: packets that matched */
	PW_END_ATTR_LOST,    /* u64: records lost because the reader was too slow */
	PW_END_ATTR_COUNT
};

/*
 * 0x440: feeds. PW_MSG_FPM takes no NLM_F_DUMP: it has one answer. Counters since the start.
 */
enum {
	PW_MSG_FPM = 0x440, /* the connection from FRR's zebra: PW_FPM_ATTR_* */
};

/* PW_MSG_FPM */
enum {
	PW_FPM_ATTR_UNSPEC,
	PW_FPM_ATTR_ENABLED,  /* u8: 0 = pewterd runs without --fpm; then no LISTEN, HOLD, ... */
	PW_FPM_ATTR_LISTEN,   /* string: address and port */
	PW_FPM_ATTR_PEER,     /* string: zebra's; absent: not connected */
	PW_FPM_ATTR_SESSIONS, /* u64: connections so far */
	PW_FPM_ATTR_FRAMES,   /* u64 */
	PW_FPM_ATTR_MESSAGES, /* u64 */
	PW_FPM_ATTR_SKIPPED,  /* u64: of these, nothing for Pewter */
	PW_FPM_ATTR_REFUSED,  /* u64 */
	PW_FPM_ATTR_SKIPPED_TEXT, /* string: the last one's reason */
	PW_FPM_ATTR_REFUSED_TEXT, /* string */
	PW_FPM_ATTR_ROUTES,       /* u64: of zebra's, in all tables */
	PW_FPM_ATTR_LABELS,       /* u64: incoming labels of zebra's */
	PW_FPM_ATTR_STALE,        /* u64: of both, from earlier connections and not come again */
	PW_FPM_ATTR_WAITING,      /* u64: next-hop groups that wait for members */
	PW_FPM_ATTR_HOLD,         /* u32: seconds from a connection until the stale ones go */
	PW_FPM_ATTR_SWEEP_IN,     /* u32: of these, seconds left; absent: not running */
	PW_FPM_ATTR_SWEPT,        /* u64: routes and labels taken out as stale */
	PW_FPM_ATTR_COUNT
};

/* ---- end of 0x420 ---------------------------------------------------------------------------- */

#endif
