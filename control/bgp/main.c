/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#ifdef PW_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "control/bgp/dataplane.h"
#include "control/bgp/label.h"
#include "control/bgp/peer.h"
#include "control/bgp/show.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define TICK_MS 250

static struct bgp_config configs[2];
static unsigned int current; /* which of them is in force */
static const char *config_path = BGP_CONFIG_PATH;

static const char usage[] =
	"Usage: pewter-bgp [OPTION ...]\n"
	"       pewter-bgp [OPTION ...] show [neighbors | vrfs | routes]\n"
	"VPN routes between Pewter and a BGP speaker: an iBGP peer for VPNv4 and VPNv6.\n"
	"\n"
	"  -c, --config FILE     the configuration (default " BGP_CONFIG_PATH ")\n"
	"  -t, --test            read the configuration, say what is wrong with it, and end\n"
	"  -s, --socket PATH     show: the running program's control socket\n"
	"                        (default: what the configuration says)\n"
	"  -j, --json            show: as JSON\n"
	"  -l, --log-level LEVEL error, warning, info (default) or debug\n"
	"  -h, --help            this text\n"
	"  -V, --version         the version\n";

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'},    {"test", no_argument, NULL, 't'},
	{"socket", required_argument, NULL, 's'},    {"json", no_argument, NULL, 'j'},
	{"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},         {0},
};

/* ---- configuration ----------------------------------------------------------------------- */

/* What a running process cannot change. */
static bool fixed_parts_equal(const struct bgp_config *a, const struct bgp_config *b)
{
	return a->local_as == b->local_as && a->router_id == b->router_id &&
	       a->metric == b->metric && strcmp(a->state, b->state) == 0 &&
	       strcmp(a->api, b->api) == 0 && strcmp(a->control, b->control) == 0;
}

static int configure(void)
{
	const struct bgp_config *config = &configs[current];
	int ret;

	bgp_dataplane_configure(config);
	ret = bgp_peers_configure(config);
	if (!ret)
		ret = bgp_vrfs_configure(config);
	return ret;
}

static void reload(void)
{
	struct bgp_config *next = &configs[!current];
	char error[256];

	if (bgp_config_read(config_path, next, error, sizeof(error))) {
		pw_error("%s; the old configuration stays", error);
		return;
	}
	if (!fixed_parts_equal(next, &configs[current])) {
		pw_error("%s: local-as, router-id, metric, state, socket and control need a "
			 "restart; the old configuration stays",
			 config_path);
		bgp_config_free(next);
		return;
	}
	current = !current;
	if (configure()) {
		pw_error("%s: not all of it could be applied", config_path);
	} else {
		pw_info("configuration read again");
	}
	bgp_peers_refresh();
	bgp_config_free(&configs[!current]);
}

/* ---- running ----------------------------------------------------------------------------- */

static void on_signal(uint32_t events, void *context)
{
	struct signalfd_siginfo info;

	if (read(*(int *)context, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload();
	else
		pw_loop_stop();
}

static void tick(void *context)
{
	bgp_peers_tick();
}

static void round_end(void *context)
{
	bgp_dataplane_flush();
	bgp_peers_flush();
}

static int signals(int *fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 || !pw_loop_watch(*fd, EPOLLIN, on_signal, fd) ? -errno : 0;
}

static int run(void)
{
	const struct bgp_config *config = &configs[current];
	int signal_fd, ret = pw_loop_init();

	if (!ret)
		ret = signals(&signal_fd);
	if (!ret)
		ret = pw_loop_after_round(round_end, NULL);
	if (!ret && !pw_loop_timer(TICK_MS, tick, NULL))
		ret = -ENOMEM;
	if (ret) {
		pw_error("cannot start: %s", strerror(-ret));
		return 1;
	}
	if (bgp_show_listen(config->control) || bgp_labels_load(config->state) || configure())
		return 1;
	pw_info("ready: AS %u, %u neighbors, %u VRFs", config->local_as, config->neighbor_count,
		config->vrf_count);
#ifdef PW_SYSTEMD
	sd_notify(0, "READY=1");
#endif
	pw_loop_again(0);
	pw_loop_run();
	/* Routes and labels stay where they are: forwarding does not depend on this process. */
	bgp_show_stop();
	bgp_peers_stop();
	bgp_dataplane_stop();
	bgp_labels_free();
	pw_loop_fini();
	close(signal_fd);
	return 0;
}

static int log_level(const char *name)
{
	int level = pw_log_parse_level(name);

	if (level < 0) {
		fprintf(stderr, "pewter-bgp: unknown log level \"%s\"\n", name);
		return -EINVAL;
	}
	pw_log_set_level((enum pw_log_level)level);
	return 0;
}

int main(int argc, char **argv)
{
	bool json = false, test = false;
	const char *control = NULL;
	char error[256];
	int option, ret;

	pw_log_set_name("pewter-bgp");
	while ((option = getopt_long(argc, argv, "c:ts:jl:hV", longs, NULL)) != -1)
		switch (option) {
		case 'c':
			config_path = optarg;
			break;
		case 't':
			test = true;
			break;
		case 's':
			control = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'l':
			if (log_level(optarg))
				return 2;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("pewter-bgp " PW_VERSION);
			return 0;
		default:
			fputs("Try pewter-bgp --help\n", stderr);
			return 2;
		}
	if (optind < argc && strcmp(argv[optind], "show") != 0) {
		fprintf(stderr, "pewter-bgp: unknown command \"%s\"\n", argv[optind]);
		return 2;
	}
	if (optind == argc || !control) {
		ret = bgp_config_read(config_path, &configs[0], error, sizeof(error));
		if (ret) {
			pw_error("%s", error);
			return 1;
		}
	}
	if (optind < argc)
		ret = bgp_show_ask(control ? control : configs[0].control, argc - optind - 1,
				   argv + optind + 1, json);
	else
		ret = test ? 0 : run();
	bgp_config_free(&configs[0]);
	bgp_config_free(&configs[1]);
	return ret;
}
