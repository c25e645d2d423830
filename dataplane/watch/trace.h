/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_TRACE_H
#define PW_WATCH_TRACE_H

#include "dataplane/watch/order.h"

/**
 * A trace follows packets from the stage where they match a filter to the port, the kernel or
 * the drop: a record as the packet enters each stage. What a stage decided shows in the record
 * of the next.
 */
#define PW_TRACE_DATA   160 /* bytes of the packet kept at each stage */
#define PW_TRACE_STAGES 32  /* stages a packet passes at most: free slots it must find */
#define PW_TRACE_SLOTS  4096

#endif
