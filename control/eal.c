/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/eal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#define FILE_PREFIX "pewter-" /* and the process's id */

#define ARGUMENTS   32
#define TEXT_SIZE   8192

/* What memory goes for, roughly upward: tables and workers; see the table sizes. */
#define BASE_MIB       160
#define WORKER_MIB     24
#define MBUF_BYTES     2560
#define MBUFS_BASE     16384
#define MBUFS_PER_PORT 8192 /* and worker: receive and transmit rings, and what is on the way */
#define CRYPTODEV_MIB  96   /* its queues, and the sessions of 10,000 SAs of the largest kind */

struct arguments {
	char *owned[ARGUMENTS + 1];
	char *argv[ARGUMENTS + 1]; /* the same, for EAL, which moves them about */
	int argc;
};

static int add(struct arguments *arguments, const char *text)
{
	char *copy = strdup(text);

	if (!copy || arguments->argc == ARGUMENTS) {
		free(copy);
		return -ENOMEM;
	}
	arguments->owned[arguments->argc] = copy;
	arguments->argv[arguments->argc++] = copy;
	return 0;
}

/** Appends a CPU set as "(0-1,4)". */
static void append_cpus(char *text, const cpu_set_t *cpus)
{
	size_t used = strlen(text);
	const char *before = "(";

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		int last = cpu;

		if (!CPU_ISSET(cpu, cpus))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
			last++;
		used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s%d-%d", before, cpu,
					 last);
		before = ",";
		cpu = last;
	}
	snprintf(text + used, TEXT_SIZE - used, ")");
}

/** The control thread shares a worker's CPU only where there is no other. */
static int add_lcores(struct arguments *arguments, const struct pw_options *options)
{
	static char text[TEXT_SIZE];
	cpu_set_t all, rest;

	if (sched_getaffinity(0, sizeof(all), &all))
		return -errno;
	rest = all;
	for (uint16_t i = 0; options->pinned && i < options->workers; i++)
		CPU_CLR(options->cpus[i], &rest);
	strcpy(text, "--lcores=0@");
	append_cpus(text, CPU_COUNT(&rest) ? &rest : &all);
	for (uint16_t i = 0; i < options->workers; i++) {
		size_t used = strlen(text);

		if (options->pinned) {
			snprintf(text + used, TEXT_SIZE - used, ",%u@%u", i + 1, options->cpus[i]);
		} else {
			snprintf(text + used, TEXT_SIZE - used, ",%u@", i + 1);
			append_cpus(text, &all);
		}
	}
	return add(arguments, text);
}

/** Bytes of hugepages that nobody uses. */
static uint64_t huge_free(void)
{
	static const char folder[] = "/sys/kernel/mm/hugepages";
	DIR *directory = opendir(folder);
	const struct dirent *entry;
	uint64_t bytes = 0;

	while (directory && (entry = readdir(directory))) {
		uint64_t kib, pages = 0, reserved = 0;
		char path[512];
		FILE *file;

		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kib) != 1)
			continue;
		for (int i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/%s/%s", folder, entry->d_name,
				 i ? "resv_hugepages" : "free_hugepages");
			file = fopen(path, "r");
			if (file && fscanf(file, "%" SCNu64, i ? &reserved : &pages) != 1)
				pages = 0;
			if (file)
				fclose(file);
		}
		bytes += (pages > reserved ? pages - reserved : 0) * kib * 1024;
	}
	if (directory)
		closedir(directory);
	return bytes;
}

static int add_memory(struct arguments *arguments, const struct pw_options *options)
{
	uint64_t mib = BASE_MIB + (uint64_t)options->workers * WORKER_MIB +
		       ((uint64_t)options->mbufs * MBUF_BYTES >> 20);
	uint64_t there = huge_free() >> 20;
	char text[32];

	if (options->crypto.device[0] != '\0')
		mib += CRYPTODEV_MIB;
	if (!options->no_huge && there >= mib)
		return add(arguments, "--in-memory");
	if (!options->no_huge)
		pw_info("runs without hugepages: %" PRIu64 " MiB of them are free, %" PRIu64
			" MiB wanted",
			there, mib);
	snprintf(text, sizeof(text), "%" PRIu64, mib);
	/* EAL refuses --in-memory with --no-huge; without its configuration nothing is on disk. */
	return add(arguments, "--no-huge") || add(arguments, "--no-shconf") ||
			       add(arguments, "-m") || add(arguments, text)
		       ? -ENOMEM
		       : 0;
}

static bool wants_pci(const struct pw_options *options)
{
	if (strchr(options->crypto.device, ':') != NULL)
		return true;
	for (size_t i = 0; i < options->port_count; i++)
		if (options->ports[i].driver == PW_PORT_PCI)
			return true;
	return false;
}

static int add_all(struct arguments *arguments, const struct pw_options *options)
{
	char prefix[48];
	int ret;

	snprintf(prefix, sizeof(prefix), "--file-prefix=" FILE_PREFIX "%d", getpid());
	ret = add(arguments, "pewterd");
	ret = ret ? ret : add_lcores(arguments, options);
	ret = ret ? ret : add(arguments, prefix);
	ret = ret ? ret : add(arguments, "--no-telemetry");
	ret = ret ? ret : add(arguments, "--iova-mode=va");
	ret = ret ? ret
		  : add(arguments, options->log_level == PW_LOG_DEBUG ? "--log-level=*:info"
								      : "--log-level=*:error");
	if (!ret && !wants_pci(options))
		ret = add(arguments, "--no-pci");
	ret = ret ? ret : add_memory(arguments, options);
	for (int i = 0; !ret && i < options->eal_count; i++)
		ret = add(arguments, options->eal[i]);
	return ret;
}

/** EAL makes a folder for every process; those of daemons that were killed are still there. */
static void leftovers_remove(void)
{
	char path[PATH_MAX], *end;
	const struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "%s", rte_eal_get_runtime_dir());
	directory = opendir(dirname(path));
	while (directory && (entry = readdir(directory))) {
		const char *name = entry->d_name;
		long pid;

		if (strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0)
			continue;
		pid = strtol(name + strlen(FILE_PREFIX), &end, 10);
		/* With files in it, it is not one that this program leaves. */
		if (pid > 0 && pid <= INT_MAX && !*end && kill((pid_t)pid, 0) && errno == ESRCH)
			unlinkat(dirfd(directory), name, AT_REMOVEDIR);
	}
	if (directory)
		closedir(directory);
}

int pw_eal_init(struct pw_options *options)
{
	static struct arguments arguments; /* EAL keeps pointers into them */
	char why[PW_CRYPTO_WHY_BYTES];
	int ret;

	if (!options->mbufs)
		options->mbufs = MBUFS_BASE + (unsigned int)options->port_count * options->workers *
						      MBUFS_PER_PORT;
	ret = add_all(&arguments, options);
	if (ret) {
		pw_error("too many EAL arguments");
		return ret;
	}
	rte_openlog_stream(stderr);
	if (rte_eal_init(arguments.argc, arguments.argv) < 0) {
		ret = rte_errno ? -rte_errno : -EINVAL;
		pw_error("DPDK does not start: %s", rte_strerror(-ret));
		return ret;
	}
	leftovers_remove();
	ret = pw_crypto_engine_start(&options->crypto, options->workers, why);
	if (ret) {
		pw_error("--crypto: %s", why);
		pw_eal_fini();
	}
	return ret;
}

void pw_eal_fini(void)
{
	char folder[PATH_MAX];

	pw_crypto_engine_stop();
	/* EAL leaves it. */
	snprintf(folder, sizeof(folder), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(folder);
}
