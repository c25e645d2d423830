/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_SA_H
#define PW_SA_H

/**
 * What the files of security associations share among themselves; what the rest of the control
 * thread may call is in xfrm.h. Control thread only.
 */
#include <sys/queue.h>

#include "control/request.h"
#include "control/xfrm.h"

struct pw_inline;

/** Of an SA that is a copy of the kernel's (feed/xfrm*.c); all zero in others. */
struct pw_sa_mirror {
	bool on;
	bool stale;       /* not seen yet in the dump that is read */
	bool gone;        /* the kernel does not know it any more */
	uint16_t words;   /* of the kernel's replay bitmap */
	uint64_t lease;   /* the kernel's count of what was sent: numbers up to it are Pewter's */
	uint64_t foreign; /* what the kernel itself has sent with, above the lease */
	uint64_t packets, received; /* as the kernel was told */
};

/** Of an SA in tunnel mode: where the packet inside comes in. */
struct pw_sa_inside {
	uint32_t interface; /* IPsec interface, 0 = none */
	uint32_t spd;       /* its policies */
	uint16_t vrf;
	bool closed; /* nowhere: it names an interface that is not there */
};

#define PW_SA_BITMAP_WORDS (PW_SEQWINDOW_MAX / 32)
#define PW_SA_LARVA_MS     30000 /* as net.core.xfrm_acq_expires */
#define PW_SA_SPI_MIN      256   /* RFC 4303 2.1: 0 .. 255 are reserved */

/** Everything of an SA but its keys. What a request asks for is made of the same struct. */
struct pw_sa_detail {
	struct pw_sa_entry entry;
	LIST_ENTRY(pw_sa_detail) by_seq;    /* larvae with a seq */
	LIST_ENTRY(pw_sa_detail) by_inside; /* by what binds it to an interface */

	/* As configured. */
	const struct pw_crypto_suite *suite; /* NULL: a larva */
	struct xfrm_selector selector;
	struct xfrm_lifetime_cfg limits;
	struct xfrm_encap_tmpl encap;     /* encap_type 0: not in UDP */
	struct xfrm_user_offload offload; /* ifindex 0: to no port in particular */
	uint16_t offload_ethdev;          /* of its port */
	struct pw_mark set_mark;
	uint32_t seq;          /* of the acquire that it answers, or the daemon's own */
	uint32_t window;       /* numbers that may come late, 0 = no replay check */
	uint32_t tfc_pad;      /* bytes, 0 = none */
	uint32_t flags;        /* XFRM_STATE_* */
	uint32_t extra_flags;  /* XFRM_SA_XFLAG_* */
	uint32_t event_timer;  /* XFRMA_ETIMER_THRESH, in 100 ms */
	uint32_t event_replay; /* XFRMA_REPLAY_THRESH, packets */
	uint32_t mapping_age;  /* XFRMA_MTIMER_THRESH, seconds */
	bool wide_replay;      /* replay state is said as XFRMA_REPLAY_ESN_VAL */

	/* The workers' part. */
	struct pw_crypto_key *key;
	struct pw_sa_state *state;
	struct pw_inline *inlined;     /* NULL: the engine does it all */
	struct pw_policy_list *bounds; /* tunnel mode: its selector; NULL: selects anything */
	uint8_t *secret; /* keys for root's eyes: cipher, then HMAC; memory of lib/secret.h */
	uint16_t vrf;    /* where the destination is local */
	bool inward;     /* it is, there */
	bool bound;      /* found by the workers */
	struct pw_sa_inside inside;
	uint16_t rights; /* that policy gives: PW_SA_GRE, MPLS, IP4, IP6 */
	uint32_t endpoint;
	uint32_t acquire_endpoint; /* an acquire's larva: who asked */

	/* Lifetime (sa_lifetime.c). */
	struct xfrm_lifetime_cur before; /* what it is to have done before this process */
	struct pw_sa_counters origin;    /* of its id, when it began */
	uint64_t added_ms, used_ms;      /* monotonic; used_ms 0 = never */
	uint64_t deadline;               /* ms */
	uint32_t heap_at;                /* position in the heap + 1 */
	bool limited;                    /* on the list that is polled */
	TAILQ_ENTRY(pw_sa_detail) limit;
	uint64_t event_ms, event_packets; /* of the last XFRM_MSG_NEWAE */
	uint64_t mapping_ms;              /* when another change of address may be told; 0 = now */

	/* Path MTU (sa_path_mtu.c), outward. */
	uint16_t path_mtu;          /* 0 = none was learnt */
	uint64_t path_mtu_ms;       /* when it is forgotten */
	uint64_t path_mtu_sequence; /* last number that was sent before it was learnt */

	struct pw_sa_mirror mirror;
};

/** Replay state as a request gives it and as it is told. */
struct pw_sa_replay {
	bool set;
	uint64_t sent, received;
	uint32_t seen[PW_SA_BITMAP_WORDS]; /* bit i: number received - i was seen */
};

/** Keys, where the request has them. */
struct pw_sa_keys {
	const void *cipher, *auth;
};

static inline struct pw_sa_detail *pw_sa_detail(const struct pw_sa_entry *entry)
{
	return entry->detail;
}

/* ---- sa.c: the store --------------------------------------------------------------------- */

/** In order of arrival, the newest first, as the kernel lists them. */
TAILQ_HEAD(pw_sa_list, pw_sa_entry);
extern struct pw_sa_list pw_sa_list;
extern uint32_t pw_sa_count;      /* larvae too */
extern uint64_t pw_sa_generation; /* changes when one goes */

/** As the kernel: the mark that the request has must match the SA's under the SA's mask. */
struct pw_sa_detail *pw_sa_lookup(uint32_t mark, const struct pw_address *destination,
				  uint32_t spi);

/** SAs and larvae between two addresses: the one after @p after (NULL: the first), or NULL. */
const struct pw_sa_entry *pw_sa_between(const struct pw_address *source,
					const struct pw_address *destination,
					const struct pw_sa_entry *after);

/** The larva without SPI that an SA like @p like fulfils: by seq, else by what was asked for. */
struct pw_sa_detail *pw_sa_larva_of(const struct pw_sa_detail *like);
struct pw_sa_detail *pw_sa_larva_by_seq(uint32_t seq);

/**
 * Makes an SA with keys, usable at once; @p larva, if any, goes. 0, or -errno with one sentence
 * in @p why (PW_CRYPTO_WHY_BYTES); nothing changed then.
 */
int pw_sa_add(const struct pw_sa_detail *model, const struct pw_sa_keys *keys,
	      const struct pw_sa_replay *replay, struct pw_sa_detail *larva,
	      struct pw_sa_detail **sa, char *why);

/** Makes a larva: with an SPI, or none (an acquire's). NULL without memory or room. */
struct pw_sa_detail *pw_sa_add_larva(const struct pw_sa_detail *model);

/** Gives a larva without one its SPI. */
void pw_sa_larva_spi(struct pw_sa_detail *larva, uint32_t spi);

/** Wipes its keys and frees it; no event is sent. */
void pw_sa_remove(struct pw_sa_detail *sa);

/** The workers see what was changed in @p sa. 0, -ENOSPC or -EEXIST. */
int pw_sa_publish(struct pw_sa_detail *sa);

/* ---- sa_inward.c: where destinations are local --------------------------------------------- */

/**
 * True when the SA's destination is an address of this PE: in the VRF of its interface's underlay,
 * where it has one, else in any. That VRF, or where its way is looked up.
 */
bool pw_sa_inward(const struct pw_sa_entry *entry, uint16_t *vrf);

/** True when an address is this PE's, and the first VRF that has it, else the default VRF. */
bool pw_sa_address_local(const struct pw_address *address, uint16_t *vrf);

/** Something that says where the SA is found, or leads to, may have changed. */
void pw_sa_follow(struct pw_sa_detail *sa);

/** Begins and ends: ESP to the SA's destination is for the workers. */
void pw_sa_steer(struct pw_sa_detail *sa);
void pw_sa_unsteer(struct pw_sa_detail *sa);
void pw_sa_inward_fini(void);

/* ---- sa_inside.c: what is inside tunnel mode ------------------------------------------------ */

/** Front-door VRF of the SA's interface; false: it has none, or no underlay device is named. */
bool pw_sa_front_door(const struct pw_sa_entry *entry, uint16_t *vrf);

/** Where the packets inside come in, now. */
void pw_sa_inside_find(const struct pw_sa_detail *sa, struct pw_sa_inside *inside);

/** It follows changes of its interface from now on; not any more. Around changes of if_id. */
void pw_sa_inside_link(struct pw_sa_detail *sa);
void pw_sa_inside_unlink(struct pw_sa_detail *sa);

/* ---- sa_path_mtu.c: what ICMP says of an SA's way -------------------------------------------- */

/** A new SA goes the way of the one that it follows, whose path MTU it takes over. */
void pw_sa_path_mtu_inherit(struct pw_sa_detail *sa);

/** Its time is over. */
void pw_sa_path_mtu_expire(struct pw_sa_detail *sa);

/* ---- sa_inline.c: inline crypto of ports ---------------------------------------------------- */

/**
 * Sessions on the ports that can; the SA has its keys. 0, or, only where a port was asked for or
 * without memory, -errno with a sentence.
 */
int pw_sa_inline_make(struct pw_sa_detail *sa, char *why);

/** Freed when no worker and no port needs it any more. NULL is allowed. */
void pw_sa_inline_retire(struct pw_inline *inlined);

/** Does the port that was asked for do it (still)? */
bool pw_sa_inline_offloaded(const struct pw_sa_detail *sa);

/**
 * The SA's direction changed: sessions the other way. Returns those it had, for
 * pw_sa_inline_turned() once the workers have been told.
 */
struct pw_inline *pw_sa_inline_turn(struct pw_sa_detail *sa);
void pw_sa_inline_turned(struct pw_sa_detail *sa, struct pw_inline *old);
void pw_sa_inline_init(void);
void pw_sa_inline_fini(void);

/* ---- sa_replay.c ---------------------------------------------------------------------------- */

/** State for the workers with this behind it. NULL without memory. */
struct pw_sa_state *pw_sa_replay_new(const struct pw_sa_detail *model,
				     const struct pw_sa_replay *replay);
void pw_sa_replay_read(const struct pw_sa_detail *sa, struct pw_sa_replay *replay);

/** Moves both counts forward. 0, or -EINVAL with a sentence: they never go back. */
int pw_sa_replay_forward(struct pw_sa_detail *sa, const struct pw_sa_replay *replay, char *why);

/** Decodes XFRMA_REPLAY_VAL or XFRMA_REPLAY_ESN_VAL (either may be NULL). 0 or refused. */
int pw_sa_replay_parse(struct pw_request *request, const struct nlattr *narrow,
		       const struct nlattr *wide, bool esn, struct pw_sa_replay *replay,
		       uint32_t *window);
void pw_sa_replay_put(struct nlmsghdr *nlh, const struct pw_sa_detail *sa);

/* ---- sa_lifetime.c ------------------------------------------------------------------------ */

/** What an SA has done. Times in seconds since 1970, 0 = never. */
struct pw_sa_usage {
	struct xfrm_lifetime_cur current;
	uint64_t last_used;
	uint64_t replays, icv_failures, invalid;
};

/** Adds the workers' counters up. */
void pw_sa_usage(struct pw_sa_detail *sa, struct pw_sa_usage *usage);

/** Begins: @p before (may be NULL) is what the SA is to have done already. */
void pw_sa_lifetime_start(struct pw_sa_detail *sa, const struct xfrm_lifetime_cur *before);
void pw_sa_lifetime_stop(struct pw_sa_detail *sa);

/** Limits or thresholds changed. */
void pw_sa_lifetime_changed(struct pw_sa_detail *sa);

/** What it is to have done until now (XFRMA_LTIME_VAL). */
void pw_sa_lifetime_set(struct pw_sa_detail *sa, const struct xfrm_lifetime_cur *current);

/** Ends its life: gone, and XFRM_MSG_EXPIRE says so. */
void pw_sa_expire_hard(struct pw_sa_detail *sa);
/** Still usable; XFRM_MSG_EXPIRE asks for another. */
void pw_sa_expire_soft(struct pw_sa_detail *sa);

/** Takes note of a change of the remote's address and port. */
void pw_sa_mapping(struct pw_sa_detail *sa);

/** Milliseconds of the monotonic clock; what is due at a time, tests call with their own. */
uint64_t pw_sa_now(void);
void pw_sa_tick(uint64_t now_ms);
void pw_sa_poll(uint64_t now_ms);
void pw_sa_lifetime_fini(void);

/* ---- netlink_sa*.c ------------------------------------------------------------------------- */

#define PW_SA_ROOM 2048 /* bytes of the largest message about an SA */

/** XFRMA_* that messages about SAs take, for pw_request_attributes(). */
extern const struct pw_attribute_policy pw_netlink_sa_policy[];

/** Decodes and checks a struct xfrm_usersa_info and its attributes. 0 or refused. */
int pw_netlink_sa_parse(struct pw_request *request, struct pw_sa_detail *model,
			struct pw_sa_keys *keys, struct pw_sa_replay *replay);
int pw_netlink_sa_family(struct pw_request *request, uint16_t family, uint8_t protocol);
void pw_netlink_sa_address(uint16_t family, const xfrm_address_t *from, struct pw_address *to);
struct pw_mark pw_netlink_sa_mark(const struct nlattr *attribute);
/** The SA that a struct xfrm_usersa_id and XFRMA_MARK name. NULL: refused, *@p ret says why. */
struct pw_sa_detail *pw_netlink_sa_named(struct pw_request *request,
					 const struct xfrm_usersa_id *id, const struct nlattr *mark,
					 int *ret);

/** A struct xfrm_usersa_info, and its attributes; keys are zero unless @p keys. */
void pw_netlink_sa_put_info(struct nlmsghdr *nlh, struct pw_sa_detail *sa);
void pw_netlink_sa_put_attributes(struct nlmsghdr *nlh, struct pw_sa_detail *sa, bool keys);
void pw_netlink_sa_id(const struct pw_sa_detail *sa, struct xfrm_usersa_id *id);
void pw_netlink_sa_put_address(const struct pw_address *from, xfrm_address_t *to);
int pw_netlink_sa_answer(struct pw_request *request, struct pw_sa_detail *sa);
int pw_netlink_sa_dump(struct pw_dump *dump);
int pw_netlink_sa_information(struct pw_request *request);

void pw_netlink_sa_notify_new(struct pw_sa_detail *sa, uint16_t type, uint32_t seq);
void pw_netlink_sa_notify_delete(struct pw_sa_detail *sa, uint32_t seq);
void pw_netlink_sa_notify_flush(uint8_t protocol, uint32_t seq);
void pw_netlink_sa_notify_expire(struct pw_sa_detail *sa, bool hard);
void pw_netlink_sa_notify_mapping(struct pw_sa_detail *sa, const struct pw_address *address,
				  uint16_t port);
void pw_netlink_sa_notify_state(struct pw_sa_detail *sa, uint32_t cause);

void pw_netlink_sa_init(void);
void pw_netlink_sa_event_init(void);

#endif
