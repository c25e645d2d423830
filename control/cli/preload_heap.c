/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iproute2 6.1 takes 32 KiB for each answer and forgets them when it is an acknowledgement: a
 * file of a million commands would cost it 4 GiB. So the buffer for an acknowledgement that
 * preload_bulk.c makes up is lent, always the same one, to be forgotten as often as it likes.
 */
#include <stdlib.h>

#include "control/cli/preload.h"

#define LENT_MIN 32768 /* what rtnl_recvmsg() takes at least */

static _Alignas(16) char lent[LENT_MIN];
static bool lend;

void preload_heap_lend(bool on)
{
	lend = on;
}

void *malloc(size_t size)
{
	if (__builtin_expect(lend, 0) && size == LENT_MIN) {
		lend = false;
		return lent;
	}
	return REAL(malloc)(size);
}

void free(void *block)
{
	if (block != lent)
		REAL(free)(block);
}
