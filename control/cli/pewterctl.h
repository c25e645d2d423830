/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_H
#define PEWTERCTL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/cli/client.h"

/**
 * pewterctl: shows, watches, and sets what `ip` has no words for.
 *
 *   pewterctl.c        options and commands, batch
 *   pewterctl_show.c   counters              pewterctl_table.c   tables
 *   pewterctl_feed.c   what daemons feed      pewterctl_sa.c      IPsec
 *   pewterctl_stats.c  live rates
 *   pewterctl_trace.c  packets through the stages
 *   pewterctl_capture.c  packets at a port or stage, as pcapng
 *   pewterctl_set.c    knobs of labels and tunnels
 *   client.c           the connection        print.c   text or JSON
 *   watch.c            what trace and capture share
 *   decode.c           headers in words      pcapng.c  the file format
 */

#define STATUS_OK     0
#define STATUS_USAGE  1 /* the command line is wrong */
#define STATUS_FAILED 2 /* pewterd refused or is not there, or a file cannot be used */

/** A command; argv[0] is its name. Returns a STATUS_*. */
typedef int (*command_fn)(struct client *client, int argc, char **argv);

int command_show(struct client *client, int argc, char **argv);
int command_stats(struct client *client, int argc, char **argv);
int command_trace(struct client *client, int argc, char **argv);
int command_capture(struct client *client, int argc, char **argv);
int command_label(struct client *client, int argc, char **argv);
int command_tunnel(struct client *client, int argc, char **argv);
int command_link(struct client *client, int argc, char **argv);

/* What `show` finds in pewterctl_table.c */
int show_vrfs(struct client *client);
int show_neighbours(struct client *client);
int show_tunnels(struct client *client);
int show_labels(struct client *client);

/* ... and in pewterctl_feed.c */
int show_fpm(struct client *client);

/* ... and in pewterctl_sa.c */
int show_sas(struct client *client);
int show_policies(struct client *client);

/** An attribute that is there, as one field (see print.h); nothing for one that is not. */
void print_address(const char *key, const char *format, const struct nlattr *attribute);
void print_attribute(const char *key, const char *format, const struct nlattr *attribute);
void print_name(const char *key, const char *format, const struct nlattr *attribute);

/** Says how the command is used; STATUS_USAGE. */
int usage(const char *command);

/** Begins the JSON array of a list before its first element, or at its end if it is empty. */
void list_begin(bool *begun);
/** Ends it, when the dump went well. Returns the STATUS_* of @p ret. */
int list_end(bool begun, int ret);

/** A nested next hop (PW_NEXTHOP_ATTR_*): text, or an object named @p key. NULL: nothing. */
void nexthop_print(const char *key, const struct nlattr *nest);

/** A whole decimal number of @p min .. @p max; false, and said, when @p text is none. */
bool parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *value);

#endif
