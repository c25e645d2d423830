/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_PORT_INTERNAL_H
#define PW_DRIVERS_PORT_INTERNAL_H

/**
 * Between port.c and the kinds of port (port_KIND.c). Control thread only, but for the receive
 * and transmit functions that workers call.
 *
 *   port_parse.c   "NAME=DRIVER:ARGUMENT"
 *   port.c         open, close, state: the same for all kinds
 *   ethdev.c       a DPDK device: queues, RSS, start, remove
 *   netdev.c       a kernel interface: exists, up, MTU, MAC, offloads
 *   steer*.c       the steering program of a kernel interface
 *   tap.c          TAPs, for tap:NAME and for kernel faces
 *   port_KIND.c    what makes a kind different
 */

#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ethdev.h>

#include "drivers/port.h"

/** Writes the sentence and returns @p code. */
int pw_port_refuse(int code, char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- steering (steer.c, steer_attach.c, steer_tc.c) -------------------------------------- */

struct bpf_object;

struct pw_steer {
	bool loaded; /* the maps below are open */
	int config;
	int local4;
	int local6;
	int vlans;
	int program;               /* AF_XDP; -1 = none */
	int xsks;                  /* AF_XDP; -1 = none */
	struct bpf_object *object; /* AF_PACKET */
	bool tc;                   /* a tc filter of ours is attached */
	bool clsact;               /* we made the qdisc */
};

extern const unsigned char pw_steer_xdp[];
extern const size_t pw_steer_xdp_size;
extern const unsigned char pw_steer_skb[];
extern const size_t pw_steer_skb_size;

/** A file descriptor that reads as the XDP object, or -errno. */
int pw_steer_xdp_file(void);

/** Whether a loaded program is a pewterd's, by its name, which is put in @p name ("": unknown). */
#define PW_STEER_NAME_SIZE 16 /* BPF_OBJ_NAME_LEN */
bool pw_steer_program_is_ours(uint32_t id, char name[PW_STEER_NAME_SIZE]);

/** Removes programs of ours that a dead pewterd left, of either kind of port. 0, -EBUSY (XDP is
 * somebody else's), -errno. */
int pw_steer_xdp_clear(uint32_t ifindex, const char *name, char *error, size_t size);
void pw_steer_xdp_detach(uint32_t ifindex);

/** Loads and attaches the program, and takes it away again. 0 or -errno with a sentence. */
int pw_steer_xdp_try(uint32_t ifindex, const char *name, char *error, size_t size);

/** Takes over the descriptors that DPDK's driver left open of the program that is attached now
 * and of its maps. 0 or -errno. */
int pw_steer_xdp_find(struct pw_steer *steer, uint32_t ifindex);

/** AF_PACKET: loads the object. 0 or -errno. */
int pw_steer_skb_load(struct pw_steer *steer, char *error, size_t size);

/** Takes Pewter's frames away from the kernel. 0 or -errno. */
int pw_steer_tc_attach(struct pw_steer *steer, uint32_t ifindex, char *error, size_t size);
void pw_steer_tc_detach(struct pw_steer *steer, uint32_t ifindex);

/** Removes the tc filter that a dead pewterd left. */
void pw_steer_tc_clear(uint32_t ifindex);

/** The program for SO_ATTACH_BPF, or -errno. */
int pw_steer_filter(const struct pw_steer *steer);

/** Tells the program our MAC and the interface's addresses, and that it may begin. */
int pw_steer_begin(struct pw_steer *steer, const char *interface, const uint8_t mac[6]);
void pw_steer_end(struct pw_steer *steer);

/* ---- a kernel interface (netdev.c) ------------------------------------------------------- */

#define PW_NETDEV_GRO    0x1
#define PW_NETDEV_LRO    0x2
#define PW_NETDEV_RXVLAN 0x4

/**
 * Checks that it is there and Ethernet, fills in index, MAC and MTU, takes the lock that keeps
 * a second pewterd away. 0, -ENODEV, -EINVAL, -EBUSY, -errno with a sentence.
 */
struct pw_netdev {
	char name[IFNAMSIZ];
	uint32_t index;
	uint8_t mac[6];
	uint16_t mtu;
	int lock;
	unsigned int switched_off; /* PW_NETDEV_*, to be restored */
};
int pw_netdev_open(struct pw_netdev *netdev, const char *name, char *error, size_t size);
void pw_netdev_close(struct pw_netdev *netdev);

int pw_netdev_mac(const char *name, uint8_t mac[6]);
int pw_netdev_set_mac(const char *name, const uint8_t mac[6]);
int pw_netdev_set_mtu(const char *name, uint16_t mtu);
int pw_netdev_set_up(const char *name, bool up);
bool pw_netdev_running(const char *name);
/** "veth", "ixgbe" ...; "" when it does not say. */
void pw_netdev_driver(const char *name, char driver[32]);
bool pw_netdev_is_veth(const char *name);
/** Channels that receive, at least 1. */
uint16_t pw_netdev_queues(const char *name);
/** Switches offloads off that would hide or merge frames; what stays on is returned. */
unsigned int pw_netdev_offloads_off(struct pw_netdev *netdev, unsigned int features);

/** A MAC for devices that have none of their own: the same whenever this port is opened. */
void pw_port_stable_mac(const char *name, uint8_t mac[6]);

/* ---- a kind of port ---------------------------------------------------------------------- */

struct pw_port_device;

struct pw_port_ops {
	const char *name;

	/** The argument's form. 0 or -EINVAL with a sentence. */
	int (*check)(const struct pw_port_spec *spec, char *error, size_t size);

	/**
	 * Makes the ethdev (pw_ethdev_create()) and whatever it needs; sets device->fallback
	 * when another kind may be tried. On failure destroy() is called all the same.
	 */
	int (*create)(struct pw_port_device *device, char *error, size_t size);

	/** The ethdev has started; nobody polls it yet: hooks, face, steering. */
	int (*start)(struct pw_port_device *device, char *error, size_t size);

	/** RX queue @p queue has just been set up; its driver may have opened something. */
	void (*queue_made)(struct pw_port_device *device, uint16_t queue);

	/** As pw_port_rx_fd(). NULL: only where the device has RX interrupts. */
	int (*rx_fd)(const struct pw_port_device *device, uint16_t queue);

	/** Nobody polls it any more; the ethdev is still there. */
	void (*stop)(struct pw_port_device *device);

	/** The ethdev is gone. */
	void (*destroy)(struct pw_port_device *device);

	/** Instead of ethdev's. 0 or -errno. NULL: ethdev's. */
	int (*set_mtu)(struct pw_port_device *device, uint16_t mtu);
	bool (*carrier)(const struct pw_port_device *device);
	void (*statistics)(const struct pw_port_device *device,
			   struct pw_port_statistics *statistics);
};

struct pw_port_device {
	struct pw_port port; /* first: what pw_port_find() returns */
	const struct pw_port_ops *ops;
	char bus[8];                          /* DPDK's "vdev" or "pci" */
	char dpdk_name[RTE_ETH_NAME_MAX_LEN]; /* there */
	bool created;                         /* the ethdev exists ... */
	bool borrowed;                        /* ... and is not ours to remove */
	bool started;
	bool unsafe; /* its driver cannot be trusted to close what it failed to open */
	bool up;
	bool fallback;           /* create() failed in a way that another kind may not */
	bool interrupts;         /* RX interrupts are wanted; after the start: there are */
	uint16_t queues;         /* RX and TX queues that create() wants; 0 = one a worker */
	uint16_t rx_descriptors; /* 0 = the device's default */
	uint16_t frame_room; /* largest frame without CRC that create() knows of; 0 = ask ethdev */
	struct pw_netdev netdev; /* native faces */
	struct pw_steer steer;
	void *private; /* the kind's */
};

extern const struct pw_port_ops pw_port_af_xdp_ops;
extern const struct pw_port_ops pw_port_af_packet_ops;
extern const struct pw_port_ops pw_port_tap_ops;
extern const struct pw_port_ops pw_port_pci_ops;
extern const struct pw_port_ops pw_port_memif_ops;
extern const struct pw_port_ops pw_port_vhost_ops;
extern const struct pw_port_ops pw_port_null_ops;
extern const struct pw_port_ops pw_port_ring_ops;

const struct pw_port_ops *pw_port_driver_ops(enum pw_port_driver driver);

/** NULL when there is no such port. */
struct pw_port_device *pw_port_device(uint16_t index);

/** Shared by AF_XDP and AF_PACKET. */
int pw_native_check(const struct pw_port_spec *spec, char *error, size_t size);
int pw_native_set_mtu(struct pw_port_device *device, uint16_t mtu);
bool pw_native_carrier(const struct pw_port_device *device);

/** Is this usable as a Linux interface's name, and within DPDK's device arguments? */
bool pw_interface_name_valid(const char *name);

/** Can a socket be made at (server) or found at (client) @p path? 0 or -errno with a sentence. */
int pw_socket_check(const char *path, bool client, char *error, size_t size);

/* ---- ethdev.c ---------------------------------------------------------------------------- */

/** Adds a virtual device of driver @p driver (net_tap ...) with DPDK's @p arguments. */
int pw_ethdev_create(struct pw_port_device *device, const char *driver, const char *arguments);

/** Queues, RSS, promiscuous mode off, start; fills rx_queues, tx_queues, mtu_max, mac. */
int pw_ethdev_start(struct pw_port_device *device, char *error, size_t size);

/** Stops, closes and removes it. */
void pw_ethdev_remove(struct pw_port_device *device);

/** Workers, or 1 before there are any. */
uint16_t pw_ethdev_workers(void);

#endif
