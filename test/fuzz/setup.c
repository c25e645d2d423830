/* SPDX-License-Identifier: BSD-3-Clause */
/* The PE that is fuzzed: started once, configured by the real `ip` through pewter-run. */
#include "test/fuzz/setup.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/path/pe.h"

static char directory[] = "/tmp/pw-fuzz-XXXXXX";
static char socket_path[64];

static const char *const names[] = {"core", "red0", "blue0", "core2"};

/* What the PE holds it gives back, so that what is left is a leak. */
static void tidy(void)
{
	pe_stop();
	unlink(socket_path);
	rmdir(directory);
}

const char *fuzz_socket(void)
{
	return socket_path;
}

void fuzz_start(void)
{
	struct pe_config config = {
		.names = names, .ports = 4, .socket = socket_path, .exact = true};

	if (mkdtemp(directory) == NULL) {
		perror(directory);
		exit(1);
	}
	snprintf(socket_path, sizeof(socket_path), "%s/sock", directory);
	if (pe_start(&config) != 0)
		exit(1);
	atexit(tidy);
}

/* The program under test answers from this very thread, so wait for the child step by step. */
static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0)
		pe_wait(5, NULL, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void fuzz_configure(const char *program, const char *batch)
{
	char path[4096], runner[4200], source[4096];
	pid_t child;

	snprintf(path, sizeof(path), "%s", program);
	snprintf(runner, sizeof(runner), "%s/../../control/cli/pewter-run", dirname(path));
	snprintf(source, sizeof(source), "%s", batch);
	child = fork();
	if (child == 0) {
		execlp(runner, runner, "-s", socket_path, "sh", "-e", source, (char *)NULL);
		perror(runner);
		_exit(127);
	}
	if (child < 0 || wait_for(child) != 0) {
		fprintf(stderr, "%s with %s failed\n", runner, source);
		exit(1);
	}
}
