/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_REASSEMBLY_H
#define PW_RECEIVE_REASSEMBLY_H

#include "dataplane/worker.h"

#define PW_REASSEMBLY_PACKETS 256 /* being put together at a time, a worker and table */
#define PW_REASSEMBLY_MS      1000

/** Gives up packets whose time is over. Worker thread, now and then. */
void pw_reassembly_expire(struct pw_worker *worker);

#endif
