/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_XFRM_INTERNAL_H
#define PW_FEED_XFRM_INTERNAL_H

/** Between the files of the XFRM mirror. */
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>

#include "control/feed/xfrm.h"
#include "control/sa.h"

#define PW_XFRM_BUFFER 65536

extern struct pw_xfrm_options pw_xfrm_options;

/** Is something said of which ones are Pewter's? */
static inline bool pw_xfrm_selective(void)
{
	return pw_xfrm_options.by_reqid || pw_xfrm_options.by_mark || pw_xfrm_options.if_id;
}

/** Protocols of tunnels between PEs, and 0, which has them too. */
static inline bool pw_xfrm_tunnels(uint8_t protocol)
{
	return !protocol || protocol == IPPROTO_GRE || protocol == IPPROTO_MPLS ||
	       protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

/** How it stands, for the log and for tests. */
struct pw_xfrm_counters {
	uint64_t resyncs;
	uint64_t skipped; /* SAs and policies that are not Pewter's business */
	uint64_t refused; /* those that are, and cannot be done here */
	uint64_t shared;  /* times that the kernel was seen sending with an SA of Pewter's */
};
extern struct pw_xfrm_counters pw_xfrm_counters;

/* ---- xfrm.c -------------------------------------------------------------------------------- */

/** Follows a kernel, or what plays one in a test, at these descriptors, which it closes. */
int pw_xfrm_mirror_open(int events, int commands);

/** One message of the kernel's event groups, its length checked against its buffer. */
void pw_xfrm_event(const struct nlmsghdr *nlh);

/** Takes everything from dumps: what they do not name any more goes. */
void pw_xfrm_resync(void);

/** Once a second. */
void pw_xfrm_tick(void);

/* ---- xfrm_command.c ------------------------------------------------------------------------- */

typedef int (*pw_xfrm_fn)(const struct nlmsghdr *nlh, void *context);

void pw_xfrm_command_begin(int fd);
void pw_xfrm_command_end(void);

/** Begins a request in @p buffer. */
struct nlmsghdr *pw_xfrm_message(void *buffer, uint16_t type, uint16_t flags);

/** Sends it and waits; @p fn sees the answer, if any. 0, or the kernel's -errno. */
int pw_xfrm_exchange(struct nlmsghdr *nlh, pw_xfrm_fn fn, void *context);

/**
 * XFRM_MSG_GETSA or GETPOLICY of all. The kernel lists the newest first, and of two that are
 * equal the order decides, so @p fn is shown them the other way round, after the dump has ended.
 */
int pw_xfrm_dump(uint16_t type, pw_xfrm_fn fn, void *context);

/** Many small requests without acknowledgement: @p fn sees answers and errors. */
void pw_xfrm_batch_add(const struct nlmsghdr *nlh, pw_xfrm_fn fn);
void pw_xfrm_batch_send(pw_xfrm_fn fn);

/** The first attribute of a type behind a header of @p size bytes with at least @p least bytes. */
const struct nlattr *pw_xfrm_attribute(const struct nlmsghdr *nlh, size_t size, uint16_t type,
				       size_t least);

/* ---- xfrm_sa.c ------------------------------------------------------------------------------ */

/** What names an SA in the kernel. */
struct pw_xfrm_name {
	struct xfrm_usersa_id id;
	struct xfrm_mark mark;
};

void pw_xfrm_name(const struct pw_sa_detail *sa, struct pw_xfrm_name *name);
void pw_xfrm_put_mark(struct nlmsghdr *nlh, const struct xfrm_mark *mark);

/** Ours that this names, if it is a copy of the kernel's. */
struct pw_sa_detail *pw_xfrm_sa_find(const struct pw_xfrm_name *name);

/** An XFRM_MSG_NEWSA as the kernel answers it: becomes Pewter's, or brings it up to date. */
int pw_xfrm_sa_take(const struct nlmsghdr *nlh, void *context);

/** Reads the one that is named anew: it may have changed, or be gone. */
void pw_xfrm_sa_refresh(const struct pw_xfrm_name *name);
void pw_xfrm_sa_remove(struct pw_sa_detail *sa);
int pw_xfrm_sas_read(void);

/* ---- xfrm_policy.c -------------------------------------------------------------------------- */

/** XFRM_MSG_NEWPOLICY, UPDPOLICY: becomes Pewter's, or changes it. */
int pw_xfrm_policy_take(const struct nlmsghdr *nlh, void *context);

/** XFRM_MSG_DELPOLICY, and POLEXPIRE. */
void pw_xfrm_policy_gone(const struct nlmsghdr *nlh);
int pw_xfrm_policies_read(void);

/** XFRM_MSG_GETDEFAULT. */
void pw_xfrm_default_begin(void);
int pw_xfrm_default_take(const struct nlmsghdr *nlh, void *context);

/* ---- xfrm_report.c -------------------------------------------------------------------------- */

#define PW_XFRM_LEASE (UINT64_C(1) << 27) /* sequence numbers */

/**
 * Gives the SA numbers to send with, as far as the kernel's count of it, which is moved ahead.
 * 0, or -errno: it must not be used.
 */
int pw_xfrm_lease(struct pw_sa_detail *sa);

/** Leases that are half used up. */
void pw_xfrm_leases_renew(void);

/** Counters, use times and replay windows that changed since. */
void pw_xfrm_report(void);

#endif
