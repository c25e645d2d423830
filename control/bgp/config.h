/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_CONFIG_H
#define BGP_CONFIG_H

#include <net/if.h> /* before its twin in linux/ */

#include "control/bgp/types.h"

/** The configuration file: one statement a line, words apart by spaces, # begins a comment. */

#define BGP_CONFIG_PATH  "/etc/pewter/bgp.conf"
#define BGP_LISTENERS    8
#define BGP_NEIGHBORS    32
#define BGP_TUNNELS      16
#define BGP_VRFS         4096
#define BGP_VRF_TARGETS  64
#define BGP_PASSWORD_MAX 80 /* bytes: TCP_MD5SIG_MAXKEYLEN */
#define BGP_PATHS_MAX    64 /* hops of a route at most: Pewter's */

struct bgp_endpoint {
	struct bgp_address address;
	uint16_t port;
};

struct bgp_neighbor_config {
	struct bgp_address address;
	struct bgp_address source; /* to connect from, or none */
	uint16_t port;             /* to connect to */
	uint16_t hold_time;        /* seconds */
	uint16_t hops;             /* TTL security (RFC 5082): how far at most; 0 = not checked */
	bool passive;              /* does not connect */
	uint32_t max_prefixes;     /* 0 = unlimited */
	char password[BGP_PASSWORD_MAX + 1];
};

struct bgp_vrf_config {
	char name[IFNAMSIZ];
	uint64_t rd;
	uint64_t imports[BGP_VRF_TARGETS], exports[BGP_VRF_TARGETS];
	unsigned int import_count, export_count;
	uint32_t label; /* 0: from the range */
	uint32_t max_prefixes;
	uint8_t redistribute[256 / 8]; /* by RTPROT_*; RTPROT_KERNEL: connected */
};

struct bgp_config {
	uint32_t local_as;
	uint32_t router_id;          /* host order */
	struct bgp_address next_hop; /* none: the first tunnel's local address */
	struct bgp_endpoint listeners[BGP_LISTENERS];
	unsigned int listener_count;
	struct bgp_neighbor_config neighbors[BGP_NEIGHBORS];
	unsigned int neighbor_count;
	char tunnels[BGP_TUNNELS][IFNAMSIZ];
	unsigned int tunnel_count;
	struct bgp_vrf_config *vrfs;
	unsigned int vrf_count;
	uint32_t label_first, label_last;
	uint32_t metric;
	uint16_t multipath;      /* hops of a route at most */
	bool backup;             /* the best path to another PE is installed, too */
	uint16_t restart_time;   /* seconds that the neighbours are to keep what we sent */
	uint32_t stale_time;     /* seconds that their routes are kept without them; 0 = for ever */
	uint32_t withdraw_delay; /* ms that a withdrawn route without another path stays */
	uint32_t sweep_delay;    /* seconds between End-of-RIB and the sweep */
	char state[256];         /* file */
	char api[108];           /* Pewter's socket */
	char control[108];       /* this program's own */
};

/**
 * Reads a file. 0, or -errno with one sentence in @p error that names the file, the line and the
 * word.
 */
int bgp_config_read(const char *path, struct bgp_config *config, char *error, size_t size);

/** The same from memory; @p path is only for errors. */
int bgp_config_parse(const char *path, const char *text, struct bgp_config *config, char *error,
		     size_t size);

void bgp_config_free(struct bgp_config *config);

static inline bool bgp_config_redistributes(const struct bgp_vrf_config *vrf, uint8_t protocol)
{
	return vrf->redistribute[protocol / 8] >> protocol % 8 & 1;
}

#endif
