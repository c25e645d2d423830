/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_WATCH_H
#define PW_CONTROL_WATCH_H

#include "control/request.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/vrf.h"
#include "dataplane/watch/order.h"

/**
 * Between watch_request.c, which decodes what a client wants, and watch.c, which hands it to
 * the workers and their records to the client.
 */

/** May this client begin one more? 0, -EALREADY (it has one), -EBUSY (there are too many). */
int pw_watch_room(const struct pw_request *request, bool trace);

/** Begins; the order is the watch's from then on. 0 or -ENOMEM (the order is the caller's). */
int pw_watch_begin(const struct pw_request *request, struct pw_watch_order *order);

/** PW_MSG_WATCH_STOP */
int pw_watch_stop(struct pw_request *request);

#endif
