/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_MESSAGE_H
#define BGP_MESSAGE_H

#include <assert.h>

#include "control/bgp/types.h"

/**
 * BGP messages: RFC 4271, with what VPN routes need: RFC 4760 (MP), 4364, 4659 and 8277 (VPN
 * routes and their labels), 6793 (4-byte AS), 2918 (refresh), 4724 (graceful restart), 7911
 * (ADD-PATH), 9012 (tunnel encapsulation), 7606 (errors). Pure functions of their arguments.
 */

#define BGP_PORT        179
#define BGP_HEADER_SIZE 19
#define BGP_MESSAGE_MAX 4096
#define BGP_AS_TRANS    23456
#define BGP_TARGETS_MAX (BGP_MESSAGE_MAX / 8)
#define BGP_LABEL_MAX   0xfffff
#define BGP_LABEL_NULL4 0
#define BGP_LABEL_NULL6 2
#define BGP_LABEL_FIRST 16 /* below are the reserved ones */
#define BGP_LOCAL_PREF  100
#define BGP_SAFI_VPN    128
#define BGP_RESTART_MAX 4095 /* seconds that fit in the capability */

enum bgp_message_type {
	BGP_OPEN = 1,
	BGP_UPDATE,
	BGP_NOTIFICATION,
	BGP_KEEPALIVE,
	BGP_ROUTE_REFRESH,
};

/** NOTIFICATION codes, RFC 4271 4.5 and RFC 4486. */
enum bgp_error_code {
	BGP_ERROR_HEADER = 1, /* 1 not synchronised, 2 bad length, 3 bad type */
	BGP_ERROR_OPEN, /* 1 version, 2 AS, 3 identifier, 4 parameter, 6 hold time, 7 capability */
	BGP_ERROR_UPDATE, /* 1 attribute list, 2 unknown well-known, 9 optional attribute */
	BGP_ERROR_HOLD_TIMER,
	BGP_ERROR_STATE,
	BGP_ERROR_CEASE, /* 1 prefixes, 2 shutdown, 3 de-configured, 5 rejected, 7 collision */
	BGP_ERROR_REFRESH,
};

/** What a NOTIFICATION says, sent or received. */
struct bgp_error {
	uint8_t code, subcode;
	uint8_t size;
	uint8_t data[16];
	char text[96]; /* for the log */
};

/** Fills in the error and returns -EPROTO. */
int bgp_error_set(struct bgp_error *error, uint8_t code, uint8_t subcode, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** "Cease: maximum number of prefixes reached". */
const char *bgp_error_name(uint8_t code, uint8_t subcode);

/**
 * Checks a header. 0 with the message's whole size and type, or -EPROTO with what to send.
 * @p header has BGP_HEADER_SIZE bytes.
 */
int bgp_header_decode(const uint8_t *header, size_t *size, uint8_t *type, struct bgp_error *error);

/** Writes the header of a message whose body ends at @p end; returns the whole size. */
size_t bgp_header_encode(uint8_t *message, const uint8_t *end, uint8_t type);

/* ---- OPEN -------------------------------------------------------------------------------- */

struct bgp_open {
	uint32_t as;
	uint32_t id; /* the BGP identifier, host order */
	uint16_t hold_time;
	uint16_t restart_time; /* seconds; RFC 4724 */
	bool families[BGP_FAMILIES];
	bool as4;
	bool refresh;
	bool restart;                     /* has the graceful restart capability */
	bool restarting;                  /* its R bit */
	bool forwarding[BGP_FAMILIES];    /* its F bits */
	bool add_path_send[BGP_FAMILIES]; /* will send path identifiers */
	bool add_path_receive[BGP_FAMILIES];
	bool extended_next_hop; /* VPNv4 with an IPv6 next hop (RFC 8950) */
};

/** Decodes the message behind the header. 0, or -EPROTO with the NOTIFICATION to send. */
int bgp_open_decode(const uint8_t *body, size_t size, struct bgp_open *open,
		    struct bgp_error *error);

/** Writes a whole message of at most BGP_MESSAGE_MAX bytes; returns its size. */
size_t bgp_open_encode(const struct bgp_open *open, uint8_t *message);

/* ---- UPDATE ------------------------------------------------------------------------------ */

/** What both ends agreed on. */
struct bgp_session {
	bool families[BGP_FAMILIES];
	bool add_path[BGP_FAMILIES]; /* what is received has path identifiers */
	bool as4;
	bool extended_next_hop;
};

/** The attributes of a route that matter here. Compared as bytes. */
struct bgp_attributes {
	struct bgp_address next_hop; /* of the tunnel: mapped addresses unmapped */
	struct bgp_address endpoint; /* that RFC 9012 gives instead of it, or none */
	uint8_t origin;
	bool has_key;
	bool has_med;
	bool has_originator;
	uint8_t cluster_length; /* entries in CLUSTER_LIST */
	uint8_t reserved;
	uint32_t as_path_length; /* RFC 4271 9.1.2.2: a set counts as one */
	uint32_t first_as;       /* the neighbouring AS, 0 for a route of this AS */
	uint32_t local_pref;
	uint32_t med;
	uint32_t originator;   /* ORIGINATOR_ID, host order */
	uint32_t key;          /* of GRE: RFC 9012 */
	uint32_t target_count; /* route targets, which stand beside it */
};
static_assert(sizeof(struct bgp_attributes) == 68, "no padding: attributes are compared as bytes");

struct bgp_span {
	const uint8_t *data;
	size_t size;
};

struct bgp_update {
	struct bgp_span reach, unreach; /* NLRI of the families below */
	enum bgp_family reach_family, unreach_family;
	bool end_of_rib; /* of unreach_family */
	/* RFC 7606: the routes in reach are to be treated as withdrawn; text says why. */
	bool withdraw;
	bool loop; /* the AS path has the AS that was asked for: RFC 4271 9.1.2 */
	char text[96];
	struct bgp_attributes attributes;
	uint64_t targets[BGP_TARGETS_MAX]; /* as in bgp_rd_parse(); so many as attributes says */
};

/**
 * Decodes the message behind the header; the update points into @p body. Every NLRI has been
 * checked when it returns 0. -EPROTO: the session must end, with the NOTIFICATION in @p error.
 * @p local_as is looked for in the AS path.
 */
int bgp_update_decode(const uint8_t *body, size_t size, const struct bgp_session *session,
		      uint32_t local_as, struct bgp_update *update, struct bgp_error *error);

/** Decodes path attributes that begin at @p data; of bgp_update_decode(). */
int bgp_attributes_decode(struct bgp_span span, const struct bgp_session *session,
			  uint32_t local_as, struct bgp_update *update, struct bgp_error *error);

struct bgp_nlri {
	struct bgp_prefix prefix;
	uint32_t path_id;
	uint32_t label;
	uint64_t rd;
};

/** Takes the next route off the front. 1, 0 at the end, or -EBADMSG. */
int bgp_nlri_next(struct bgp_span *span, enum bgp_family family, bool add_path,
		  struct bgp_nlri *nlri);

/** Writes a route without a path identifier; returns behind it. At most BGP_NLRI_MAX bytes. */
uint8_t *bgp_nlri_encode(uint8_t *at, const struct bgp_nlri *nlri);
#define BGP_NLRI_MAX       28
#define BGP_LABEL_WITHDRAW 0x800000 /* RFC 8277 2.4, all three bytes */

/** What is said of all routes of one message. */
struct bgp_announcement {
	enum bgp_family family;
	struct bgp_address next_hop;
	const uint64_t *targets;
	unsigned int target_count;
	bool has_key;
	uint32_t key; /* of the tunnel: RFC 9012 */
};

/** An UPDATE that is being filled. */
struct bgp_writer {
	uint8_t message[BGP_MESSAGE_MAX];
	uint8_t *at;
	uint8_t *limit;
	uint8_t *nlri;                               /* where the first one begins */
	const struct bgp_announcement *announcement; /* NULL: withdraws */
	enum bgp_family family;
};

/** Begins a message that announces routes. @p announcement must outlive it. */
void bgp_writer_announce(struct bgp_writer *writer, const struct bgp_announcement *announcement);
/** Begins one that withdraws routes; without any it is the End-of-RIB marker (RFC 4724 2). */
void bgp_writer_withdraw(struct bgp_writer *writer, enum bgp_family family);
/** False when the message is full: finish it, begin another. */
bool bgp_writer_add(struct bgp_writer *writer, const struct bgp_nlri *nlri);
/** Returns the size of writer->message. */
size_t bgp_writer_finish(struct bgp_writer *writer);

/* ---- the others -------------------------------------------------------------------------- */

size_t bgp_notification_encode(const struct bgp_error *error, uint8_t *message);
void bgp_notification_decode(const uint8_t *body, size_t size, struct bgp_error *error);
size_t bgp_keepalive_encode(uint8_t *message);
size_t bgp_refresh_encode(enum bgp_family family, uint8_t *message);
/** True with the family of a ROUTE-REFRESH that is one; others are ignored (RFC 2918 4). */
bool bgp_refresh_decode(const uint8_t *body, size_t size, enum bgp_family *family);

/** The family of an AFI and SAFI, or -1. */
int bgp_family_of(uint16_t afi, uint8_t safi);

#endif
