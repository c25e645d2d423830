/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_CAPTURE_H
#define PW_WATCH_CAPTURE_H

#include "dataplane/watch/order.h"

/**
 * A capture copies packets at ports (as they come from the wire and as they go to it) or as
 * they enter one stage.
 */
#define PW_CAPTURE_SNAPLEN_MAX 9728      /* more than a packet buffer holds */
#define PW_CAPTURE_MEMORY      (8 << 20) /* bytes of a worker's ring, about */
#define PW_CAPTURE_SLOTS_MAX   16384
#define PW_CAPTURE_SLOTS_MIN   256

/** Slots, a power of two, for packets of up to @p snaplen bytes. */
uint32_t pw_capture_slots(uint32_t snaplen);

#endif
