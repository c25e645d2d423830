/* SPDX-License-Identifier: BSD-3-Clause */
#include "pe_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_common.h>

#include "dataplane/worker.h"
#include "test/path/configure.h"
#include "test/path/pe.h"

struct sent_frame sent[128];
unsigned int sent_count;

static char directory[] = "/tmp/pw-unit-XXXXXX";
static char socket_path[64], errors_path[64];

int pe_fixture_start(const char *const *names, unsigned int ports)
{
	const struct pe_config config = {.names = names, .ports = ports, .socket = socket_path};

	if (!mkdtemp(directory)) {
		perror(directory);
		return -1;
	}
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	snprintf(errors_path, sizeof(errors_path), "%s/err", directory);
	setenv("PW_ERR", errors_path, 1);
	return pe_start(&config);
}

int pe_fixture_stop(void)
{
	pe_stop();
	unlink(socket_path);
	unlink(errors_path);
	return rmdir(directory);
}

static void step(int timeout_ms)
{
	pe_wait(timeout_ms, NULL, NULL);
}

int configure(const char *script)
{
	return configure_by(socket_path, script, step);
}

void configured(const char *script)
{
	assert_int_equal(configure(script), 0);
}

static void take(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	assert_true(sent_count < RTE_DIM(sent) && length <= sizeof(sent[0].bytes));
	sent[sent_count].port = port;
	sent[sent_count].length = length;
	memcpy(sent[sent_count++].bytes, frame, length);
}

unsigned int run(void)
{
	sent_count = 0;
	pe_run(take, NULL);
	return sent_count;
}

uint64_t drops(enum pw_drop drop)
{
	static uint64_t before[PW_DROP_COUNT];
	uint64_t now = pw_workers[0]->drops[drop], more = now - before[drop];

	before[drop] = now;
	return more;
}
