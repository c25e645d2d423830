/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_LABEL_H
#define PW_TABLE_LABEL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/** Incoming labels: a flat array over the whole 20-bit space, one 8-byte store an entry. */
#define PW_LABELS         (1u << 20)
#define PW_LABEL_RESERVED 16 /* RFC 3032: 0-15 are not for assignment */
#define PW_LABEL_SETS     4096

enum pw_label_action {
	PW_LABEL_NONE,    /* not mine */
	PW_LABEL_POP,     /* pop: LOOKUP next hop for the VRF case, else send by the next hop */
	PW_LABEL_SWAP,    /* replace by the next hop's labels */
	PW_LABEL_DISCARD, /* blackhole */
};

#define PW_LABEL_TTL_UNIFORM 0x01 /* ttl-propagate: label TTL goes down to what is below */
#define PW_LABEL_TTL_PIPE    0x02 /* ttl-propagate disabled, whatever the tunnel says */
#define PW_LABEL_PROTECTED   0x04 /* only from an SA (RFC 4023 8.1) */

struct pw_label {
	uint8_t action;   /* enum pw_label_action */
	uint8_t flags;    /* PW_LABEL_TTL_*; neither: as the tunnel says */
	uint16_t allowed; /* set of endpoints that may use it; 0 = every known endpoint */
	uint32_t nexthop;
};
static_assert(sizeof(struct pw_label) == 8, "read and written in one piece");

extern uint64_t *pw_labels; /* of struct pw_label */

static inline struct pw_label pw_label_get(uint32_t label)
{
	uint64_t word = __atomic_load_n(&pw_labels[label], __ATOMIC_CONSUME);
	struct pw_label entry;

	__builtin_memcpy(&entry, &word, sizeof(entry));
	return entry;
}

/** May this endpoint use labels with this set? Any worker. */
bool pw_label_allows(uint16_t set, uint32_t endpoint);

/** Control thread. */
int pw_label_table_init(void);
void pw_label_table_fini(void);

/** Publishes an entry; PW_LABEL_NONE removes it. Label below 2^20. */
void pw_label_set(uint32_t label, struct pw_label entry);

/**
 * Publishes a set of endpoint ids. @p set is 0 for a new one, else the one to replace.
 * Returns the set (1 ..), -ENOSPC or -ENOMEM.
 */
int pw_label_set_publish(uint16_t set, const uint32_t *endpoints, uint32_t count);
void pw_label_set_free(uint16_t set);

#endif
