/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_RESTART_H
#define BGP_RESTART_H

#include "control/bgp/types.h"

/** This process's own restart (RFC 4724), and the wait after a limit was reached. */

#define BGP_LIMIT_IDLE_MS 60000

/** It ran before, and the neighbours have not been told everything yet: the R bit. */
bool bgp_restarting(void);

#endif
