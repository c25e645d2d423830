/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_XFRM_H
#define PW_FEED_XFRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/control.h"

/**
 * The XFRM mirror: SAs and policies that an IKE daemon gives to the kernel are Pewter's too, and
 * what Pewter does with them is told to the kernel. Control thread only.
 */

/** What of the kernel's is mirrored. */
struct pw_xfrm_options {
	bool enabled;
	uint32_t interval; /* seconds between two reports of counters */
	bool by_mark;      /* only with exactly this mark; else what a packet without one meets */
	uint32_t mark, mask;
	uint32_t if_id; /* of policies and SAs; 0: of no interface */
	bool by_reqid;
	uint32_t reqid_first, reqid_last;
};

#define PW_XFRM_INTERVAL 2 /* seconds, unless said otherwise */

/**
 * Reads what --xfrm-mirror has behind its "=" (NULL: nothing): words as interval=5,if_id=7 into
 * @p options. 0, or -EINVAL with a sentence in @p why.
 */
int pw_xfrm_mirror_parse(const char *text, struct pw_xfrm_options *options, char *why, size_t size);

/** Reads what there is and follows it. 0 or -errno, said in the log; 0 when not enabled. */
int pw_xfrm_mirror_start(const struct pw_xfrm_options *options);

/** Tells the kernel the last counters and lets go of it. */
void pw_xfrm_mirror_stop(void);

struct pw_sa_detail;

/** An SA of the kernel's is at the end of its soft or hard lifetime here: it may have to know. */
void pw_xfrm_mirror_expired(struct pw_sa_detail *sa, bool hard);

/**
 * Makes the kernel ask its IKE daemon (XFRM_MSG_ACQUIRE) for what its policy wants between these
 * addresses. True when it was asked.
 */
bool pw_xfrm_mirror_acquire(const struct pw_address *local, const struct pw_address *remote,
			    uint8_t protocol);

struct pw_policy;

/**
 * The same for an SA in tunnel mode between these addresses, whose packets the kernel never sees.
 * Whether a daemon listens is not known.
 */
bool pw_xfrm_mirror_acquire_tunnel(const struct pw_policy *policy, const struct pw_address *source,
				   const struct pw_address *destination);

#endif
