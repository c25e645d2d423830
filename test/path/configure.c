/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/path/configure.h"

#define ROUNDS_AFTER 10 /* for what a request leaves to the event loop */

int configure_by(const char *socket, const char *script, void (*step)(int timeout_ms))
{
	const char *build = getenv("PW_BUILD");
	char runner[4096];
	int status = 0;
	pid_t child;

	snprintf(runner, sizeof(runner), "%s/control/cli/pewter-run",
		 build ? build : "build/release");
	child = fork();
	if (child == 0) {
		execl(runner, runner, "-s", socket, "sh", "-ec", script, (char *)NULL);
		perror(runner);
		_exit(127);
	}
	if (child < 0) {
		perror("fork");
		return -1;
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		step(5);
	for (int i = 0; i < ROUNDS_AFTER; i++)
		step(1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
