/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_EAL_H
#define PW_EAL_H

#include "control/options.h"

/**
 * Starts DPDK's EAL as the options say: the control thread is lcore 0, workers are 1 .. n;
 * nothing on disk is shared with another daemon; without hugepages where not enough are free
 * (and says so). Chooses options->mbufs where that is 0. 0 or -errno, with a line in the log.
 */
int pw_eal_init(struct pw_options *options);
void pw_eal_fini(void);

#endif
