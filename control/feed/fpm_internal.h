/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_FPM_INTERNAL_H
#define PW_FEED_FPM_INTERNAL_H

#include <linux/netlink.h>

#include "control/feed/fpm.h"

/* Between the files of the FPM feed. */

/* ---- fpm_frame.c ------------------------------------------------------------------------- */

#define PW_FPM_FRAME_MAX UINT16_MAX

/** What was received and not handled yet. */
struct pw_fpm_stream {
	size_t used;
	uint8_t bytes[4 * (PW_FPM_FRAME_MAX + 1)];
};

/**
 * A message, aligned and in full, that may be written to. @p next is the one behind it in the
 * same frame, or NULL.
 */
typedef void (*pw_fpm_message_fn)(struct nlmsghdr *nlh, const struct nlmsghdr *next);

/**
 * Calls @p fn for the messages of every complete frame and takes the frames out of the stream.
 * 0; or -EBADMSG with what is wrong in @p why: of the bad frame nothing was handled.
 */
int pw_fpm_stream_handle(struct pw_fpm_stream *stream, pw_fpm_message_fn fn, const char **why);

/* ---- fpm_message.c ----------------------------------------------------------------------- */

enum pw_fpm_verdict {
	PW_FPM_TAKEN,
	PW_FPM_SKIPPED, /* nothing for Pewter, and nothing wrong with it */
	PW_FPM_REFUSED,
};

#define PW_FPM_TEXT 192

struct pw_fpm_counters {
	uint64_t frames, messages;
	uint64_t verdicts[3];      /* by enum pw_fpm_verdict */
	char skipped[PW_FPM_TEXT]; /* the last one's reason */
	char refused[PW_FPM_TEXT];
};
extern struct pw_fpm_counters pw_fpm_counters;

/** What is made is marked with; a new session makes what was there stale. */
extern struct pw_feed pw_fpm_feed;

void pw_fpm_message(struct nlmsghdr *nlh, const struct nlmsghdr *next);

/* ---- fpm_nexthop.c ----------------------------------------------------------------------- */

/** RTM_NEWNEXTHOP, RTM_DELNEXTHOP; @p text of PW_FPM_TEXT bytes says why not. */
enum pw_fpm_verdict pw_fpm_nexthop_new(struct nlmsghdr *nlh, char *text);
enum pw_fpm_verdict pw_fpm_nexthop_delete(const struct nlmsghdr *nlh);

/**
 * Pewter's id for zebra's; a group some of whose members have not come gets along with those
 * that have.
 */
enum pw_fpm_verdict pw_fpm_nexthop_id(uint32_t id, uint32_t *nhid, char *text);

/** Makes the groups whose members have come by now. At the end of a batch. */
void pw_fpm_nexthops_settle(void);

/** The session ended: its ids mean nothing any more, what stale routes use stays. */
void pw_fpm_nexthops_stale(void);

/** Frees what ended sessions left. */
void pw_fpm_nexthops_sweep(void);

/** Groups that wait for members. */
size_t pw_fpm_nexthops_waiting(void);

/* ---- fpm_interface.c --------------------------------------------------------------------- */

/** Before a session. @p local: zebra runs over this kernel's interfaces. */
void pw_fpm_interfaces_begin(const struct pw_fpm_map *map, size_t count, bool local);
void pw_fpm_interfaces_end(void);

/** The link, or NULL with what the interface is called in @p name of at least 32 bytes. */
struct pw_link *pw_fpm_interface_link(uint32_t ifindex, char *name);

/** True, once, when a link is there (or up) now that messages were turned away without. */
bool pw_fpm_interfaces_changed(void);

/* ---- fpm.c ------------------------------------------------------------------------------- */

struct pw_fpm_state {
	bool enabled, connected;
	struct sockaddr_storage listener, peer;
	uint64_t sessions;
	uint32_t hold;
	uint32_t sweep_in; /* seconds until stale routes go; 0: not running */
	uint64_t swept;
};
void pw_fpm_state(struct pw_fpm_state *state);

/** ADDRESS:PORT as text, of at least 64 bytes. */
const char *pw_fpm_address_text(const struct sockaddr_storage *address, char *text);

/* ---- fpm_show.c -------------------------------------------------------------------------- */

void pw_fpm_show_register(void);

#endif
