/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_SA_H
#define PW_TABLE_SA_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#include "dataplane/table/slot.h"
#include "drivers/crypto.h"
#include "lib/seqwindow.h"

/**
 * Security associations of ESP (RFC 4301 4.4.2, RFC 4303). One object serves both directions, as
 * in XFRM: outward by the id that an endpoint names, inward by (VRF, destination, SPI).
 *
 * struct pw_sa is never edited. What workers change (sequence number, window) is apart in struct
 * pw_sa_state, which outlives every change of the description, and counters are per worker.
 */
#define PW_SAS             32768

#define PW_SA_ESN          0x0001 /* extended sequence numbers (RFC 4303 2.2.1) */
#define PW_SA_UDP          0x0002 /* in UDP (RFC 3948), both ways */
#define PW_SA_IPV6         0x0004 /* outer addresses are IPv6 */
#define PW_SA_TUNNEL       0x0008 /* tunnel mode: an IP packet inside */
#define PW_SA_RANDOM_IV    0x0010 /* CBC: an unpredictable IV; else the sequence number */
#define PW_SA_GRE          0x0020 /* inward: policy lets it carry GRE between its addresses */
#define PW_SA_MPLS         0x0040 /* inward: the same for MPLS-in-IP */
#define PW_SA_REPLAY_CHECK 0x0080 /* the window is larger than 0 */
#define PW_SA_NO_ECN       0x0100 /* tunnel mode: the outer ECN field means nothing */
#define PW_SA_DECAP_DSCP   0x0200 /* tunnel mode, inward: DSCP from the outer header */
#define PW_SA_IP4          0x0400 /* inward: as PW_SA_GRE for IPv4 in IP; tunnel mode: inside */
#define PW_SA_IP6          0x0800 /* the same for IPv6 in IP */
#define PW_SA_CLOSED       0x1000 /* tunnel mode, inward: its interface is not there */

/** What all workers of an SA write. Allocated with room for the window. */
struct pw_sa_state {
	uint64_t sequence;  /* outward: last number given out; all workers add to it */
	uint32_t exhausted; /* outward: 1 once a packet found no number left */
	/* Inward: where an authentic packet came from when that is not as configured. */
	uint32_t mapping; /* 0 none, 1 being written, 2 to be read (then set to 0) */
	uint8_t mapped_address[16];
	uint16_t mapped_port; /* network byte order */
	struct pw_seqwindow window __attribute__((aligned(64)));
};

struct pw_inline;
struct pw_policy_list;

struct pw_sa {
	const struct pw_crypto_key *key; /* NULL: no SA */
	struct pw_sa_state *state;
	const struct pw_inline *inlined; /* its sessions on ports (crypto_inline.h); NULL: none */
	uint64_t sequence_limit;         /* highest number that may be sent */
	uint32_t id;
	uint32_t spi; /* network byte order */
	uint16_t flags;
	uint8_t iv_bytes;
	uint8_t icv_bytes;
	uint8_t align;   /* of payload + padding + 2: 4 or 16 */
	uint8_t esp_at;  /* outward: bytes from the outer IP header to the ESP header */
	uint16_t pad_to; /* outward: payloads shorter than this are padded to it (TFC), 0 = not */
	uint16_t vrf;    /* front door: where its destination is local, or its way is looked up */
	uint16_t inside_vrf; /* tunnel mode */
	uint16_t udp_remote; /* port of the remote in UDP, network byte order */
	uint16_t udp_local;
	/** Inward: endpoint of GRE without key between its addresses, when policy allows; else 0.
	 */
	uint32_t endpoint;
	uint32_t reqid;
	uint8_t source[16]; /* IPv4 in the first 4 bytes, rest 0 */
	uint8_t destination[16];
	uint32_t if_id;
	uint32_t interface; /* tunnel mode, inward: what the packet inside comes in on */
	uint32_t spd;       /* tunnel mode, inward: policies that it must pass (policy.h) */
	uint16_t path_mtu;  /* outward: of the outer packet's way, learnt by ICMP; 0 = none was */
	uint16_t pad;
	/** Tunnel mode, inward: what it may carry by its own selector (policy.h); NULL: anything.
	 */
	const struct pw_policy_list *bounds;
	uint32_t pad2[2];
};
static_assert(sizeof(struct pw_sa) == 128, "two cache lines");

extern struct pw_slots pw_sas; /* of struct pw_sa */

/** Of one SA, written by one worker; the control thread adds them up. */
struct pw_sa_counters {
	uint64_t packets; /* protected, or opened and accepted */
	uint64_t bytes;   /* of these, inside ESP, without padding */
	uint64_t used;    /* TSC of the last one; 0 = never */
	uint64_t replays; /* refused by the window */
	uint64_t icv_failures;
	uint64_t invalid; /* authentic, but not what the SA may carry; wrong source; lengths */
	uint64_t spare[2];
};
static_assert(sizeof(struct pw_sa_counters) == 64, "one cache line");

static inline const struct pw_sa *pw_sa_get(uint32_t id)
{
	return (const struct pw_sa *)pw_slot_get(&pw_sas, id);
}

/**
 * Inward: the SA of a packet to @p destination (4 bytes, or 16 if @p v6) in VRF @p vrf.
 * NULL when there is none. Any worker.
 */
const struct pw_sa *pw_sa_find(uint32_t spi, uint16_t vrf, bool v6, const uint8_t *destination);

/**
 * The inward lookup in three steps, so that a burst's cache misses overlap: fetch where an SPI
 * is looked for; the id that is likely found there (0: none), fetching where its object is noted.
 */
void pw_sa_find_prefetch(uint32_t spi);
uint32_t pw_sa_find_guess(uint32_t spi);

/** The longest payload of ESP whose outer packet has at most @p mtu bytes; 0 if none fits. */
static inline uint16_t pw_sa_payload_max(const struct pw_sa *sa, uint16_t mtu)
{
	uint32_t around = sa->esp_at + 8u + sa->iv_bytes + sa->icv_bytes;
	uint32_t text = mtu > around ? (mtu - around) & ~(sa->align - 1u) : 0;

	return text > 2 ? (uint16_t)(text - 2) : 0;
}

/* ---- what workers tell the control thread --------------------------------------------------- */

enum pw_sa_notice {
	PW_SA_NOTICE_ACQUIRE,   /* endpoint id: protected, and no SA to use; once until cleared */
	PW_SA_NOTICE_EXHAUSTED, /* SA id: no sequence number left */
	PW_SA_NOTICE_MAPPING,   /* SA id: see pw_sa_state.mapping */
};

/** Worker: false when the ring is full (try with the next packet). */
bool pw_sa_notice_put(enum pw_sa_notice notice, uint32_t id);

/** Worker: asks for an SA for @p endpoint; false when that was done before. */
bool pw_sa_acquire(uint32_t endpoint);

/** Control thread: the next notice; false when there is none. */
bool pw_sa_notice_take(enum pw_sa_notice *notice, uint32_t *id);

/** Control thread: @p endpoint may ask again. */
void pw_sa_acquire_clear(uint32_t endpoint);

/* ---- control thread ------------------------------------------------------------------------ */

int pw_sa_table_init(void);
void pw_sa_table_fini(void);

/** State for a new SA; @p window 0 .. PW_SEQWINDOW_MAX. NULL without memory. */
struct pw_sa_state *pw_sa_state_new(uint32_t window, uint64_t sent, uint64_t received);

/** Frees it a grace period from now. */
void pw_sa_state_retire(struct pw_sa_state *state);

/** Frees a key a grace period from now (wiped then). */
void pw_sa_key_retire(struct pw_crypto_key *key);

/** Makes SA @p id be found inward by what its object says. 0, -EEXIST, -ENOSPC, -ENOMEM. */
int pw_sa_bind(uint32_t id);
/** Takes it out of the inward lookup. Before its object changes VRF, SPI or destination. */
void pw_sa_unbind(uint32_t id);

#endif
