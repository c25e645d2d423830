/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_PORT_H
#define PW_DRIVERS_PORT_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Ports: the hardware's face. Every kind ends up as a started DPDK ethdev with an RX and a TX
 * queue a worker where the device has them, published to workers (pw_port_publish()) and polled
 * (pw_workers_poll_add()). Control thread only.
 */
enum pw_port_driver {
	PW_PORT_AF_XDP,    /* af_xdp:IFNAME    a kernel interface, steered by our XDP program */
	PW_PORT_AF_PACKET, /* af_packet:IFNAME the same without XDP; a tc program keeps the kernel
			      out */
	PW_PORT_TAP,       /* tap:NAME         the kernel is the other end of the wire */
	PW_PORT_PCI,       /* pci:ADDRESS      any NIC DPDK drives; kernel face is a TAP */
	PW_PORT_MEMIF,     /* memif:SOCKET     server, or client with ",role=client" */
	PW_PORT_VHOST,     /* vhost:SOCKET     ,client=1 to connect */
	PW_PORT_NULL,      /* null:            receives nothing, sends nowhere */
	PW_PORT_RING, /* an existing ethdev made from rings: tests and bench (pw_port_open_ethdev)
		       */
};

/** How the kernel sees the port, for ARP, ND, BGP, SSH. */
enum pw_port_face {
	PW_FACE_NONE,   /* not at all: static neighbours */
	PW_FACE_NATIVE, /* it is the port's own interface (AF_XDP, AF_PACKET) */
	PW_FACE_TAP,    /* a TAP, which the control thread makes (control/face.h) */
};

struct pw_port_spec {
	char name[IFNAMSIZ]; /* the operator's name */
	enum pw_port_driver driver;
	char argument[128]; /* what follows the colon: interface, address, path */
	bool inline_crypto; /* pci:ADDRESS,crypto=inline: the NIC does ESP (crypto_inline.h) */
};

struct pw_port {
	uint16_t index; /* Pewter's port index */
	uint16_t ethdev;
	uint16_t rx_queues;
	uint16_t tx_queues;
	struct pw_port_spec spec;
	uint8_t mac[6];
	uint16_t mtu;     /* bytes at layer 3 now */
	uint16_t mtu_max; /* what device and packet buffers allow */
	bool carrier;     /* link state as last seen */
	enum pw_port_face face;
	uint32_t face_ifindex;    /* PW_FACE_NATIVE: the kernel's, else 0 */
	char face_name[IFNAMSIZ]; /* ... and its name */
};

/**
 * Parses "[NAME=]DRIVER:ARGUMENT". Without NAME the interface's or TAP's name, else "port" and
 * a number, is used. Returns 0 or -EINVAL with one sentence in @p error.
 */
int pw_port_parse(const char *text, struct pw_port_spec *spec, char *error, size_t size);

/**
 * Opens, configures (RSS on the IP flow where the device has it), starts, publishes and polls
 * a port. AF_XDP that cannot be had falls back to AF_PACKET with a
 * warning. Returns the port's index, or -errno with one sentence in @p error.
 */
int pw_port_open(const struct pw_port_spec *spec, char *error, size_t size);

/** The same for an ethdev that exists already (rings); the index or -errno. */
int pw_port_open_ethdev(const char *name, uint16_t ethdev, char *error, size_t size);

/** Stops receiving, detaches programs, closes the device. */
void pw_port_close(uint16_t index);
void pw_port_close_all(void);

#define PW_RX_LOOK  (-1)
#define PW_RX_NEVER (-2)

/**
 * A descriptor that becomes readable when a packet comes into RX queue @p queue, for as long as the
 * port is open. PW_RX_LOOK: there is none, one has to look; PW_RX_NEVER: nothing ever comes in.
 * With *@p interrupt it does so only while rte_eth_dev_rx_intr_enable() is in force.
 */
int pw_port_rx_fd(uint16_t index, uint16_t queue, bool *interrupt);

/** NULL when there is no such port. */
const struct pw_port *pw_port_find(uint16_t index);

/** 0, -EINVAL (out of the device's range), -errno of the device. */
int pw_port_set_mtu(uint16_t index, uint16_t mtu);

/** Administrative state: down stops polling and drops what is sent there. */
int pw_port_set_up(uint16_t index, bool up);

/** Reads the device's link state; true when it changed since the last call. */
bool pw_port_poll_link(uint16_t index);

/** Hardware/driver counters (rte_eth_stats): packets, bytes, missed, errors, no mbuf. */
struct pw_port_statistics {
	uint64_t rx_packets, rx_bytes, rx_missed, rx_errors, rx_nombuf;
	uint64_t tx_packets, tx_bytes, tx_errors;
};
int pw_port_statistics(uint16_t index, struct pw_port_statistics *statistics);

/* Steering: which packets of a native-faced port are Pewter's (drivers/steer.bpf.c). No-ops
 * for other ports. All return 0 or -errno. */

/** An address of this PE on the port's VRF: packets to it are the kernel's, but for tunnel
 * protocols and what @p also says: PW_STEER_ECHO, PW_STEER_ESP (steer.h). Adding it again changes
 * that. @p address 4 or 16 bytes, network order. */
int pw_steer_local(uint16_t port, int family, const uint8_t *address, bool add, uint8_t also);

/** Frames with this VLAN id are Pewter's as a whole. */
int pw_steer_vlan(uint16_t port, uint16_t vlan, bool add);

#endif
