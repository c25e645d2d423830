/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_SHOW_H
#define BGP_SHOW_H

#include <stdbool.h>

/** What the process knows, over a Unix socket of its own: mode 0660, one question each. */

/** 0 or -errno, logged. */
int bgp_show_listen(const char *path);
void bgp_show_stop(void);

/** Asks a running process and prints the answer: `pewter-bgp show`. An exit status. */
int bgp_show_ask(const char *path, int count, char **words, bool json);

#endif
