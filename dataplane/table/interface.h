/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_INTERFACE_H
#define PW_TABLE_INTERFACE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/table/slot.h"

/** Interface id 0 is "none". An interface's id is its netlink ifindex in Pewter. */
#define PW_INTERFACES 16384
#define PW_PORTS      256
#define PW_VLANS      4096
#define PW_PORT_NONE  UINT16_MAX

enum pw_interface_kind {
	PW_INTERFACE_NONE,
	PW_INTERFACE_LOOPBACK,
	PW_INTERFACE_PORT,
	PW_INTERFACE_VLAN,
	PW_INTERFACE_VRF,
	PW_INTERFACE_TUNNEL,
};

#define PW_INTERFACE_UP     0x01 /* may carry packets: administratively up, carrier present */
#define PW_INTERFACE_MPLS   0x02 /* labelled packets (0x8847) are accepted on the wire side */
#define PW_INTERFACE_NATIVE 0x04 /* the kernel sees the wire itself (AF_XDP, AF_PACKET) */
#define PW_INTERFACE_FACE   0x08 /* the kernel sees it by a TAP: what it is to get is punted */

/** What workers know of a layer-3 interface. One cache line. */
struct pw_interface {
	uint8_t kind;  /* enum pw_interface_kind */
	uint8_t flags; /* PW_INTERFACE_* */
	uint16_t vrf;  /* table its packets are looked up in */
	uint16_t port; /* index of the port, PW_PORT_NONE for virtual interfaces */
	uint16_t vlan; /* VLAN id, 0 = untagged */
	uint16_t mtu;  /* bytes at layer 3 */
	uint8_t mac[6];
	uint32_t id;
	uint32_t face;            /* FACE: the face's number, which no other face ever has */
	uint32_t icmp_source4;    /* network byte order; 0: none */
	uint8_t icmp_source6[16]; /* a global address, else link-local; all 0: none */
	uint8_t pad[20];
};
static_assert(sizeof(struct pw_interface) == 64, "one cache line");

/** What workers know of a port; rewritten whole and published by pointer. */
struct pw_port_table {
	uint16_t ethdev;         /* DPDK port id */
	uint16_t tx_queues;      /* workers 0 .. tx_queues - 1 own one; others hand over to
				  * worker (own index % tx_queues) */
	uint32_t untagged;       /* interface id of untagged frames, 0 = none */
	uint32_t vlan[PW_VLANS]; /* VLAN id -> interface id, 0 = none; single stores */
};

extern struct pw_slots pw_interfaces;            /* of struct pw_interface */
extern struct pw_port_table *pw_ports[PW_PORTS]; /* NULL = no such port */

static inline const struct pw_interface *pw_interface_get(uint32_t id)
{
	return (const struct pw_interface *)pw_slot_get(&pw_interfaces, id);
}

static inline const struct pw_port_table *pw_port_get(uint16_t port)
{
	return __atomic_load_n(&pw_ports[port], __ATOMIC_CONSUME);
}

/** Writers, control thread. Return 0, -ENOMEM, -ENOSPC or -EEXIST (the VLAN is taken). */
int pw_interface_table_init(void);
void pw_interface_table_fini(void);

/** Makes the port known to workers; @p ethdev must be started. */
int pw_port_publish(uint16_t port, uint16_t ethdev, uint16_t tx_queues);

/** Binds (port, VLAN; 0 = untagged) to an interface id; id 0 unbinds. */
int pw_port_bind(uint16_t port, uint16_t vlan, uint32_t interface);

/** Hides the port from workers; returns after they let go of it, so it may be closed. */
void pw_port_withdraw(uint16_t port);

#endif
