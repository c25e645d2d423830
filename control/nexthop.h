/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_NEXTHOP_H
#define PW_CONTROL_NEXTHOP_H

#include <assert.h>
#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/control.h"
#include "dataplane/table/nexthop.h"

/**
 * Paths: what routes lead to. A path owns one next-hop id of the workers' table. Equal paths are
 * one object, counted, so a million routes through one PE share an id, and what happens to the
 * PE, its link or its neighbour is a store to that id.
 *
 * What they share is in path.c.
 *
 *   leg     one way out                        (nexthop.c)
 *   multi   several legs with weights          (group.c)
 *   object  a next-hop object or group with an id of its own, see ip-nexthop(8) (group.c)
 *   pair    a path and the one that takes over from it (pair.c)
 */
enum pw_path_kind {
	PW_PATH_LEG,
	PW_PATH_MULTI,
	PW_PATH_OBJECT,
	PW_PATH_PAIR,
};

#define PW_TABLES_MANY UINT32_MAX

#define PW_HOP_ONLINK  0x01
#define PW_HOP_LOOKUP  0x02 /* look up in the default table: a label popped on "lo" */

/** One way out as it was configured. Compared as bytes. */
struct pw_hop {
	uint8_t type; /* RTN_UNICAST, _LOCAL, _BLACKHOLE, _UNREACHABLE, _PROHIBIT */
	uint8_t flags;
	uint8_t label_count;
	uint8_t label_ttl; /* MPLS_IPTUNNEL_TTL, 0 = not given */
	uint32_t oif;
	uint32_t labels[PW_NEXTHOP_LABELS]; /* 20 bits each, outermost first */
	struct pw_address gateway;
	uint8_t zero[3];
};
static_assert(sizeof(struct pw_hop) == 44, "no padding: hashed and compared as bytes");

struct pw_path;

/** One path's part in another. */
struct pw_member {
	struct pw_path *child;
	struct pw_path *parent;
	uint32_t weight; /* 1 .. 256 */
	LIST_ENTRY(pw_member) by_child;
};

struct pw_path {
	uint8_t kind;
	bool dead;     /* its links are down: routes step aside for the next best */
	bool usable;   /* a group may send flows this way */
	bool queued;   /* waits for pw_paths_publish() */
	bool affected; /* routes through it must be looked at again */
	bool hashed;
	bool labels_only; /* affected: by a change that no route minds */
	uint32_t refs;
	uint32_t routes; /* of these, how many are routes; pair: prefixes */
	uint32_t paired; /* of the routes, those that a pair with this path looks after */
	uint32_t table;  /* where all of them are, PW_TABLES_MANY when in several */
	uint32_t id;     /* next-hop id */
	uint32_t hash;
	struct pw_path *hash_next;
	LIST_HEAD(, pw_member) users;
	TAILQ_ENTRY(pw_path) dirty;
};
static_assert(sizeof(struct pw_path) == 64, "a line; what a leg is compared by is on the next");

struct pw_leg {
	struct pw_path path;
	struct pw_hop hop;
	bool gone;          /* its link was deleted */
	uint32_t neighbour; /* taken, 0 = none */
	uint32_t endpoint;  /* taken, 0 = none */
	LIST_ENTRY(pw_leg) by_link;
	LIST_ENTRY(pw_leg) by_neighbour;
	LIST_ENTRY(pw_leg) by_endpoint;
};

struct pw_multi {
	struct pw_path path;
	uint32_t group;
	uint32_t count;
	struct pw_member members[];
};

struct pw_object {
	struct pw_path path;
	uint32_t nhid; /* the operator's id */
	uint8_t family;
	uint8_t protocol;
	uint8_t source; /* a feed's, 0: the operator's */
	bool is_group;
	bool gone; /* deleted; kept while routes still refer to it */
	uint32_t group;
	uint32_t count; /* 1 when it is no group */
	struct pw_member *members;
	RB_ENTRY(pw_object) node;
};

/* ---- legs -------------------------------------------------------------------------------- */

/**
 * The leg for a checked hop, made and published if there is none, counted.
 * 0, -ENOSPC (next hops, neighbours or endpoints used up), -ENOMEM, -EINVAL, -EEXIST, with one
 * sentence in @p why.
 */
int pw_leg_take(const struct pw_hop *hop, struct pw_path **path, const char **why);

/** Fetches into the cache what pw_leg_take() will read for each of @p n hops. Changes nothing. */
void pw_legs_ahead(const struct pw_hop *hops, unsigned int n);

/** Counts another user; the last pw_path_drop() frees after a grace period. */
void pw_path_hold(struct pw_path *path);
void pw_path_drop(struct pw_path *path);

/** Publishes it again when the batch is through. */
void pw_path_queue(struct pw_path *path);

/** Publishes all that is queued. True when there was something. */
bool pw_paths_publish(void);

/** True when some path's routes must be looked at again, and whether this path's must. */
bool pw_paths_affected(void);
bool pw_path_affected(const struct pw_path *path);

/** A route of the table leads through the path: spares looking through the others later. */
void pw_path_note_table(struct pw_path *path, uint32_t table);
bool pw_paths_affect_table(uint32_t table);
void pw_path_affect(struct pw_path *path);

/** The same for a change of what it stands for: the id is the same, so only labels care. */
void pw_path_affect_labels(struct pw_path *path);

/** After the routes have been looked at. */
void pw_paths_settled(void);

/** The legs of a path, one after another: index from 0, NULL at the end, with its weight. */
const struct pw_leg *pw_path_leg(const struct pw_path *path, unsigned int index, uint32_t *weight);

/** True when the path or a part of it leaves by the link. */
bool pw_path_uses_link(const struct pw_path *path, uint32_t oif);

/** Something about an endpoint changed (came up, went down, republished). */
void pw_nexthop_endpoint_changed(uint32_t endpoint);

/** Binds the legs of a tunnel with this gateway again: its NBMA entry changed. */
void pw_nexthop_nbma_changed(struct pw_link *tunnel, const struct pw_address *gateway);

/** The link goes: its legs are dead for ever, and their routes affected. */
void pw_nexthop_legs_gone(uint32_t oif);

/** Room for next-hop tables. 0 or -ENOMEM. */
int pw_nexthop_init(void);
void pw_nexthop_fini(void);

/* Between path.c, nexthop.c and group.c: */

int pw_path_table_init(void);
void pw_path_table_fini(void);

/** Publishes a leg. 0 or -ENOSPC. */
int pw_leg_publish(struct pw_path *path);

/** Frees what a leg holds; called a grace period after its last user went. */
void pw_leg_reclaim(struct pw_path *path);

/** Queues a path's users: its id is the same, what it stands for is not. */
void pw_path_users_queue(struct pw_path *path);

/** Sets liveness; tells users and routes about a change. */
void pw_path_set_state(struct pw_path *path, bool dead, bool usable);

/** Publishes @p nexthop under the path's id when it differs from what is there. */
int pw_path_store(struct pw_path *path, struct pw_nexthop *nexthop);

int pw_path_init(struct pw_path *path, enum pw_path_kind kind);
struct pw_path *pw_path_hash_find(uint32_t hash,
				  bool (*equal)(const struct pw_path *path, const void *key),
				  const void *key);
/** Fetches the bucket, or with @p chain what is in it. */
void pw_path_hash_ahead(uint32_t hash, bool chain);
void pw_path_hash_add(struct pw_path *path, uint32_t hash);
void pw_path_hash_remove(struct pw_path *path);

/* ---- several legs (group.c) -------------------------------------------------------------- */

/**
 * The path of @p count legs with weights; takes over nothing (the members are held for it).
 * One leg of any weight is the leg itself. 0, -ENOSPC, -ENOMEM.
 */
int pw_multi_take(struct pw_path *const *legs, const uint32_t *weights, unsigned int count,
		  struct pw_path **path);

/** Publishes a multi or an object. */
int pw_group_publish(struct pw_path *path);

/** Frees what a multi or an object holds; called a grace period after its last user went. */
void pw_group_reclaim(struct pw_path *path);

/**
 * A next-hop object out of one leg (@p is_group false) or out of objects. Not known by id yet.
 * @return 0, -ENOSPC, -ENOMEM
 */
int pw_object_make(uint32_t nhid, bool is_group, struct pw_path *const *members,
		   const uint32_t *weights, unsigned int count, struct pw_object **object);

/** New members for an object; every route through it follows by one store. 0 or -errno. */
int pw_object_replace(struct pw_object *object, struct pw_path *const *members,
		      const uint32_t *weights, unsigned int count);

/** Tells subscribers (netlink_nexthop.c). */
void pw_object_notify(const struct pw_object *object, uint16_t type, uint16_t flags);

void pw_object_add(struct pw_object *object);
/** Takes it out of the ids, out of groups (a group that is left empty goes too). */
void pw_object_delete(struct pw_object *object);
struct pw_object *pw_object_find(uint32_t nhid);
struct pw_object *pw_object_next(uint32_t after);
/** An unused id, 0 when there is none. */
uint32_t pw_object_unused(void);
/** Objects whose leg left by a link that is gone. */
void pw_objects_link_deleted(uint32_t oif);
void pw_objects_fini(void);

/** The leg when the path is a single one, not by an object. */
static inline const struct pw_leg *pw_leg_const(const struct pw_path *path)
{
	return path->kind == PW_PATH_LEG ? (const struct pw_leg *)path : NULL;
}

/** A path's members, held and told of its children's changes. Without weights: 1 each. */
void pw_members_link(struct pw_path *parent, struct pw_member *members,
		     struct pw_path *const *children, const uint32_t *weights, unsigned int count);
void pw_members_unlink(struct pw_member *members, unsigned int count);

/* ---- a path and its backup (pair.c) ------------------------------------------------------ */

/**
 * The pair of two paths: what workers have under its id is the primary while that is usable, and
 * the backup while only that is. 0, -ENOSPC, -ENOMEM.
 */
int pw_pair_take(struct pw_path *primary, struct pw_path *backup, struct pw_path **path);
int pw_pair_publish(struct pw_path *path);
void pw_pair_reclaim(struct pw_path *path);

/** The pair that has the next-hop id, or NULL. */
struct pw_path *pw_pair_of(uint32_t id);

/** Which of the two is in use. */
const struct pw_path *pw_pair_active(const struct pw_path *path);

/** A prefix got (+1) or lost (-1) the pair. */
void pw_pair_installed(struct pw_path *path, int change);

int pw_pairs_init(void);
void pw_pairs_fini(void);

/* ---- checks (resolve.c) ------------------------------------------------------------------ */

enum pw_blame { PW_BLAME_NONE, PW_BLAME_OIF, PW_BLAME_GATEWAY, PW_BLAME_ENCAP };

struct pw_complaint {
	const char *text;
	enum pw_blame about;
};

/**
 * Checks a hop of a route of @p family in @p table as the kernel does, and completes it (the
 * device of a gateway that was given without one). 0, or -errno and what is wrong.
 */
int pw_hop_check(struct pw_hop *hop, uint32_t table, int family, struct pw_complaint *complaint);

#endif
