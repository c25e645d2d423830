/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_STEER_H
#define PW_DRIVERS_STEER_H

/**
 * What the steering program (steer.bpf.c) and the control thread agree on. Plain C types:
 * both compilers read it.
 */

/** Names as the kernel shows them; ours are recognised by the program's. */
#define PW_STEER_PROGRAM   "pewter_steer"
#define PW_STEER_XSKS      "xsks_map" /* DPDK's AF_XDP driver insists on this name */
#define PW_STEER_CONFIG    "pw_config"
#define PW_STEER_LOCAL4    "pw_local4"
#define PW_STEER_LOCAL6    "pw_local6"
#define PW_STEER_VLANS     "pw_vlans"

#define PW_STEER_QUEUES    256
#define PW_STEER_ADDRESSES 4096
#define PW_STEER_VLAN_IDS  4096

/** Values of the local-address maps: what besides tunnels is Pewter's. */
#define PW_STEER_LOCAL 1 /* nothing; in every value */
#define PW_STEER_ECHO  2 /* echo requests */
#define PW_STEER_ESP   4 /* ESP, also in UDP (RFC 3948), and ICMP that says it was too big */
#define PW_STEER_IP    8 /* IP in IP, protocols 4 and 41 */

/** The one entry of pw_config. */
struct pw_steer_config {
	unsigned int enabled; /* transit packets are Pewter's: the local addresses are known */
	unsigned char mac[6];
	unsigned char pad[2];
};

#endif
