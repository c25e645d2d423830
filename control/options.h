/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_OPTIONS_H
#define PW_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/feed/fpm.h"
#include "control/feed/xfrm.h"
#include "control/socket.h"
#include "dataplane/worker.h"
#include "drivers/crypto.h"
#include "drivers/port.h"
#include "lib/log.h"

/** What the command line says. See pewterd(8). */
struct pw_options {
	uint16_t workers;
	bool pinned; /* cpus[] says where the workers run */
	uint16_t cpus[PW_WORKERS];
	struct pw_socket_options socket;
	const char **startup; /* start-up files, in order */
	size_t startup_count;
	struct pw_port_spec *ports;
	size_t port_count;
	enum pw_log_level log_level;
	unsigned int mbufs; /* packet buffers, 0 = so many as workers and ports call for */
	size_t lpm_bytes;   /* bound of the route tables' memory */
	bool no_huge;
	struct pw_crypto_engine_spec crypto;
	bool no_kernel_routes; /* the kernel's main table is not mirrored */
	struct pw_fpm_options fpm;
	struct pw_xfrm_options xfrm;
	char **eal; /* what follows "--" */
	int eal_count;
};

enum pw_options_result { PW_OPTIONS_RUN, PW_OPTIONS_EXIT, PW_OPTIONS_BAD };

/**
 * Parses the command line. PW_OPTIONS_EXIT: --help or --version was answered. PW_OPTIONS_BAD:
 * one line on stderr says what is wrong.
 */
enum pw_options_result pw_options_parse(int argc, char **argv, struct pw_options *options);
void pw_options_free(struct pw_options *options);

/**
 * A CPU list such as "0,2-3" into @p cpus (at most @p max, no CPU twice). The number of CPUs,
 * or -EINVAL.
 */
int pw_options_cpus(const char *text, uint16_t *cpus, unsigned int max);

#endif
