/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LPM_MIB_DEFAULT 1024
#define LPM_MIB_MAX     (1u << 20)
#define MBUFS_MIN       2048
#define MBUFS_MAX       (16u << 20)
#define CPU_MAX         CPU_SETSIZE
#define FPM_HOLD_MAX    86400

enum {
	OPTION_ALLOW_UID = 256,
	OPTION_ALLOW_GID,
	OPTION_MBUFS,
	OPTION_NO_HUGE,
	OPTION_LPM_MEMORY,
	OPTION_CRYPTO,
	OPTION_FPM,
	OPTION_FPM_HOLD,
	OPTION_FPM_INTERFACE,
	OPTION_NO_KERNEL_ROUTES,
	OPTION_XFRM_MIRROR,
};

static const struct option longs[] = {
	{"workers", required_argument, NULL, 'w'},
	{"socket", required_argument, NULL, 's'},
	{"startup", required_argument, NULL, 'f'},
	{"port", required_argument, NULL, 'p'},
	{"log-level", required_argument, NULL, 'l'},
	{"allow-uid", required_argument, NULL, OPTION_ALLOW_UID},
	{"allow-gid", required_argument, NULL, OPTION_ALLOW_GID},
	{"mbufs", required_argument, NULL, OPTION_MBUFS},
	{"no-huge", no_argument, NULL, OPTION_NO_HUGE},
	{"lpm-memory", required_argument, NULL, OPTION_LPM_MEMORY},
	{"fpm", optional_argument, NULL, OPTION_FPM},
	{"fpm-hold", required_argument, NULL, OPTION_FPM_HOLD},
	{"fpm-interface", required_argument, NULL, OPTION_FPM_INTERFACE},
	{"no-kernel-routes", no_argument, NULL, OPTION_NO_KERNEL_ROUTES},
	{"xfrm-mirror", optional_argument, NULL, OPTION_XFRM_MIRROR},
	{"crypto", required_argument, NULL, OPTION_CRYPTO},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static const char usage[] =
	"Usage: pewterd [OPTION ...] [-- EAL-ARGUMENT ...]\n"
	"A provider-edge router in user space: VPN labels in multipoint GRE over any IP network.\n"
	"\n"
	"  -p, --port [NAME=]DRIVER:ARGUMENT\n"
	"                        a port (may be repeated): af_xdp:IFNAME af_packet:IFNAME\n"
	"                        tap:NAME pci:ADDRESS memif:SOCKET vhost:SOCKET null:\n"
	"  -w, --workers CPULIST one worker on each of these CPUs, e.g. 1 or 0,2-3\n"
	"                        (default: one worker on any CPU)\n"
	"  -s, --socket PATH     the API socket (default " PW_SOCKET_PATH ")\n"
	"  -f, --startup FILE    commands as for \"ip -batch\" (for \"ip -f mpls -batch\" in a\n"
	"                        FILE.mpls), run at the start (may be repeated)\n"
	"  -l, --log-level LEVEL error, warning, info (default) or debug\n"
	"      --allow-uid LIST  users who may connect besides root and group " PW_SOCKET_GROUP "\n"
	"      --allow-gid LIST  and groups\n"
	"      --mbufs N         packet buffers\n"
	"      --lpm-memory MIB  bound of the memory that routes take (default 1024)\n"
	"      --no-huge         do without hugepages\n"
	"      --crypto ENGINE   who seals and opens ESP: ipsec_mb (default), or\n"
	"                        cryptodev=NAME[,wait=MILLISECONDS]\n"
	"      --no-kernel-routes  do not take the kernel's routes for the underlay\n"
	"      --fpm[=ADDRESS[:PORT]]  take routes of FRR's zebra by FPM (default 127.0.0.1:2620)\n"
	"      --fpm-hold SECONDS  from a reconnection until routes that did not come again go\n"
	"                        (default 60)\n"
	"      --fpm-interface INTERFACE=LINK  the kernel's interface, by name or number, is this\n"
	"                        link (may be repeated)\n"
	"      --xfrm-mirror[=WORD,...]  take the SAs and policies that an IKE daemon gives to\n"
	"                        the kernel; interval=SECONDS between reports to it (default 2),\n"
	"                        reqid=N[-N], mark=VALUE[/MASK], if_id=N: those only\n"
	"  -h, --help            this text\n"
	"  -V, --version         the version\n";

static int __attribute__((format(printf, 1, 2))) bad(const char *format, ...)
{
	va_list args;

	fputs("pewterd: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\n", stderr);
	return -EINVAL;
}

/** A decimal number at the start of @p text; @p end is behind it. */
static bool number_at(const char *text, unsigned long max, unsigned long *number, char **end)
{
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoul(text, end, 10);
	return !errno && *number <= max;
}

static int number_option(const char *name, const char *text, unsigned long min, unsigned long max,
			 unsigned long *number)
{
	char *end;

	if (!number_at(text, max, number, &end) || *end || *number < min)
		return bad("--%s takes a number from %lu to %lu, not \"%s\"", name, min, max, text);
	return 0;
}

/* ---- lists ------------------------------------------------------------------------------- */

int pw_options_cpus(const char *text, uint16_t *cpus, unsigned int max)
{
	unsigned int count = 0;
	char *at = (char *)text;

	for (;;) {
		unsigned long first, last;

		if (!number_at(at, CPU_MAX - 1, &first, &at))
			return -EINVAL;
		last = first;
		if (*at == '-' && (!number_at(at + 1, CPU_MAX - 1, &last, &at) || last < first))
			return -EINVAL;
		for (; first <= last; first++) {
			for (unsigned int i = 0; i < count; i++)
				if (cpus[i] == first)
					return -EINVAL;
			if (count == max)
				return -EINVAL;
			cpus[count++] = (uint16_t)first;
		}
		if (!*at)
			return (int)count;
		if (*at++ != ',')
			return -EINVAL;
	}
}

static int workers_option(const char *text, struct pw_options *options)
{
	int count = pw_options_cpus(text, options->cpus, PW_WORKERS);
	cpu_set_t usable;

	if (count < 0)
		return bad("--workers takes up to %d different CPUs such as \"1\" or \"0,2-3\", "
			   "not \"%s\"",
			   PW_WORKERS, text);
	if (sched_getaffinity(0, sizeof(usable), &usable) == 0)
		for (int i = 0; i < count; i++)
			if (!CPU_ISSET(options->cpus[i], &usable))
				return bad("--workers: CPU %u is not there, or not for this "
					   "process",
					   options->cpus[i]);
	options->workers = (uint16_t)count;
	options->pinned = true;
	return 0;
}

/** A user's or group's name, or its number. */
static bool id_parse(const char *text, bool user, uint32_t *id)
{
	const struct passwd *passwd;
	const struct group *group;
	unsigned long number;
	char *end;

	if (number_at(text, UINT32_MAX - 1, &number, &end) && !*end) {
		*id = (uint32_t)number;
		return true;
	}
	if (user) {
		passwd = getpwnam(text);
		*id = passwd ? passwd->pw_uid : 0;
		return passwd != NULL;
	}
	group = getgrnam(text);
	*id = group ? group->gr_gid : 0;
	return group != NULL;
}

static int ids_option(const char *text, bool user, struct pw_id_list *list)
{
	char *copy = strdup(text), *rest = copy, *word;
	int ret = copy ? 0 : -ENOMEM;

	while (!ret && (word = strsep(&rest, ","))) {
		uint32_t id, *ids;

		if (!id_parse(word, user, &id)) {
			ret = bad("there is no %s \"%s\"", user ? "user" : "group", word);
			break;
		}
		ids = realloc(list->ids, (list->count + 1) * sizeof(*ids));
		if (!ids) {
			ret = -ENOMEM;
			break;
		}
		list->ids = ids;
		list->ids[list->count++] = id;
	}
	free(copy);
	return ret;
}

static int startup_option(const char *path, struct pw_options *options)
{
	const char **paths =
		realloc(options->startup, (options->startup_count + 1) * sizeof(*options->startup));

	if (!paths)
		return bad("out of memory");
	options->startup = paths;
	options->startup[options->startup_count++] = path;
	return 0;
}

static int port_option(const char *text, struct pw_options *options)
{
	struct pw_port_spec *ports, spec;
	char error[160];

	if (pw_port_parse(text, &spec, error, sizeof(error)))
		return bad("--port %s: %s", text, error);
	for (size_t i = 0; i < options->port_count; i++)
		if (strcmp(options->ports[i].name, spec.name) == 0)
			return bad("--port %s: there is a port \"%s\" already", text, spec.name);
	ports = realloc(options->ports, (options->port_count + 1) * sizeof(*ports));
	if (!ports)
		return bad("out of memory");
	options->ports = ports;
	options->ports[options->port_count++] = spec;
	return 0;
}

static int fpm_interface_option(const char *text, struct pw_fpm_options *fpm)
{
	struct pw_fpm_map *map = realloc(fpm->map, (fpm->map_count + 1) * sizeof(*map));

	if (!map)
		return bad("out of memory");
	fpm->map = map;
	if (pw_fpm_parse_map(text, &map[fpm->map_count]))
		return bad("--fpm-interface takes INTERFACE=LINK, not \"%s\"", text);
	fpm->map_count++;
	return 0;
}

static int fpm_option(int option, struct pw_options *options)
{
	unsigned long number = 0;
	int ret;

	switch (option) {
	case OPTION_FPM:
		options->fpm.enabled = true;
		if (pw_fpm_parse_address(optarg, &options->fpm.address))
			return bad("--fpm takes an address and a port, such as 127.0.0.1:2620 or "
				   "[::1]:2620, not \"%s\"",
				   optarg);
		return 0;
	case OPTION_FPM_HOLD:
		ret = number_option("fpm-hold", optarg, 1, FPM_HOLD_MAX, &number);
		options->fpm.hold = (uint32_t)number;
		return ret;
	default:
		return fpm_interface_option(optarg, &options->fpm);
	}
}

static int mirror_option(const char *text, struct pw_options *options)
{
	char why[256];

	if (pw_xfrm_mirror_parse(text, &options->xfrm, why, sizeof(why)))
		return bad("--xfrm-mirror takes %s", why);
	return 0;
}

/* ---- the command line -------------------------------------------------------------------- */

static int level_option(const char *text, struct pw_options *options)
{
	int level = pw_log_parse_level(text);

	if (level < 0)
		return bad("--log-level takes error, warning, info or debug, not \"%s\"", text);
	options->log_level = (enum pw_log_level)level;
	return 0;
}

static int crypto_option(const char *text, struct pw_options *options)
{
	char why[PW_CRYPTO_WHY_BYTES];

	if (pw_crypto_engine_parse(text, &options->crypto, why))
		return bad("--crypto: %s", why);
	return 0;
}

static int option_take(int option, struct pw_options *options)
{
	unsigned long number = 0;
	int ret = 0;

	switch (option) {
	case 'w':
		return workers_option(optarg, options);
	case 's':
		options->socket.path = optarg;
		return 0;
	case 'f':
		return startup_option(optarg, options);
	case 'p':
		return port_option(optarg, options);
	case 'l':
		return level_option(optarg, options);
	case OPTION_ALLOW_UID:
		return ids_option(optarg, true, &options->socket.uids);
	case OPTION_ALLOW_GID:
		return ids_option(optarg, false, &options->socket.gids);
	case OPTION_MBUFS:
		ret = number_option("mbufs", optarg, MBUFS_MIN, MBUFS_MAX, &number);
		options->mbufs = (unsigned int)number;
		return ret;
	case OPTION_LPM_MEMORY:
		ret = number_option("lpm-memory", optarg, 1, LPM_MIB_MAX, &number);
		options->lpm_bytes = (size_t)number << 20;
		return ret;
	case OPTION_CRYPTO:
		return crypto_option(optarg, options);
	case OPTION_NO_HUGE:
		options->no_huge = true;
		return 0;
	case OPTION_NO_KERNEL_ROUTES:
		options->no_kernel_routes = true;
		return 0;
	case OPTION_FPM:
	case OPTION_FPM_HOLD:
	case OPTION_FPM_INTERFACE:
		return fpm_option(option, options);
	case OPTION_XFRM_MIRROR:
		return mirror_option(optarg, options);
	default:
		return -EINVAL; /* getopt has said why */
	}
}

/** Where "--" is; what follows it is EAL's. */
static int separator(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

enum pw_options_result pw_options_parse(int argc, char **argv, struct pw_options *options)
{
	int own = separator(argc, argv), option;

	*options = (struct pw_options){
		.workers = 1,
		.log_level = PW_LOG_INFO,
		.lpm_bytes = (size_t)LPM_MIB_DEFAULT << 20,
		.fpm.hold = PW_FPM_HOLD,
		.xfrm.interval = PW_XFRM_INTERVAL,
	};
	while ((option = getopt_long(own, argv, "w:s:f:p:l:hV", longs, NULL)) != -1) {
		if (option == 'h' || option == 'V') {
			if (option == 'h')
				fputs(usage, stdout);
			else
				puts("pewterd " PW_VERSION);
			return PW_OPTIONS_EXIT;
		}
		if (option_take(option, options))
			return PW_OPTIONS_BAD;
	}
	if (optind < own) {
		bad("unexpected argument \"%s\"", argv[optind]);
		return PW_OPTIONS_BAD;
	}
	if (own < argc) {
		options->eal = argv + own + 1;
		options->eal_count = argc - own - 1;
	}
	return PW_OPTIONS_RUN;
}

void pw_options_free(struct pw_options *options)
{
	free(options->startup);
	free(options->ports);
	free(options->socket.uids.ids);
	free(options->socket.gids.ids);
	free(options->fpm.map);
}
