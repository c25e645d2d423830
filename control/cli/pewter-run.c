/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a netlink program with Pewter in the kernel's place. */
#include <errno.h>
#include <getopt.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/cli/preload_path.h"
#include "lib/pewter_netlink.h"

#define DEFAULT_PATH "/run/pewter/pewter.sock"

static void usage(FILE *out)
{
	fprintf(out, "Usage: pewter-run [-b] [-s SOCKET] [-P PROTOCOLS] PROGRAM [ARGUMENT ...]\n"
		     "Runs a program whose netlink sockets then speak with Pewter, not with the "
		     "kernel.\n"
		     "\n"
		     "  -s, --socket PATH     Pewter's API socket (default " DEFAULT_PATH ",\n"
		     "                        or $PEWTER_SOCKET)\n"
		     "  -P, --protocols LIST  of \"route\" and \"xfrm\": what is Pewter's (default "
		     "both)\n"
		     "  -h, --help            this text\n"
		     "  -V, --version         the version\n");
}

/** What a refused connection is told: an error, our own request unless it is left out, words. */
struct refusal {
	struct nlmsghdr header;
	struct nlmsgerr error;
	char rest[480];
};

static const char *refusal_text(const struct refusal *refusal)
{
	size_t at = 0;
	struct nlattr attribute;

	if (!(refusal->header.nlmsg_flags & NLM_F_CAPPED))
		at = NLMSG_ALIGN(refusal->error.msg.nlmsg_len) - sizeof(struct nlmsghdr);
	if (refusal->header.nlmsg_flags & NLM_F_ACK_TLVS &&
	    at < sizeof(refusal->rest) - sizeof(attribute)) {
		memcpy(&attribute, refusal->rest + at, sizeof(attribute));
		if (attribute.nla_type == NLMSGERR_ATTR_MSG)
			return refusal->rest + at + sizeof(attribute);
	}
	return strerror(-refusal->error.error);
}

/** Says hello; prints the daemon's words if it refuses. */
static int greet(int fd)
{
	struct {
		struct nlmsghdr header;
		struct pw_msg_hello hello;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = PW_MSG_HELLO,
			   .nlmsg_flags = NLM_F_REQUEST},
		.hello = {.version = PW_NETLINK_VERSION, .protocol = NETLINK_ROUTE},
	};
	struct refusal answer = {0};
	struct timeval patience = {.tv_sec = 10};
	ssize_t size;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* When it has refused already, sending fails, and the refusal is there to be read. */
	send(fd, &message, sizeof(message), MSG_NOSIGNAL);
	do
		size = recv(fd, &answer, sizeof(answer) - 1, 0);
	while (size < 0 && (errno == EINTR || errno == ECONNRESET));
	if (size < (ssize_t)sizeof(answer.header)) {
		fprintf(stderr, "pewter-run: the daemon does not answer\n");
		return -1;
	}
	if (answer.header.nlmsg_type != NLMSG_ERROR)
		return 0;
	fprintf(stderr, "pewter-run: refused: %s\n", refusal_text(&answer));
	return -1;
}

/** One connection, to say in words what the program could only say by a number. */
static int probe(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "pewter-run: socket path %s is too long\n", path);
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "pewter-run: cannot connect to %s: %s%s\n", path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED ? " (is pewterd running?)" : "");
		return -1;
	}
	ret = greet(fd);
	close(fd);
	return ret;
}

static int run(char **argv)
{
	const char *socket_path = getenv("PEWTER_SOCKET");
	char library[4096], value[8192];

	if (probe(socket_path && *socket_path ? socket_path : DEFAULT_PATH))
		return 1;
	if (!pw_preload_path(library, sizeof(library))) {
		fprintf(stderr, "pewter-run: cannot find libpewter-run.so in %s\n", PW_LIBDIR);
		return 1;
	}
	if (!pw_preload_value(library, value, sizeof(value)) || setenv("LD_PRELOAD", value, 1)) {
		fprintf(stderr, "pewter-run: LD_PRELOAD is too long\n");
		return 1;
	}
	execvp(argv[0], argv);
	fprintf(stderr, "pewter-run: cannot run %s: %s\n", argv[0], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"bulk", no_argument, NULL, 'b'},
		{"socket", required_argument, NULL, 's'},
		{"protocols", required_argument, NULL, 'P'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "+bs:P:hV", longs, NULL)) != -1) {
		switch (option) {
		case 'b':
			setenv("PEWTER_RUN_BULK", "1", 1);
			break;
		case 's':
			setenv("PEWTER_SOCKET", optarg, 1);
			break;
		case 'P':
			setenv("PEWTER_RUN_PROTOCOLS", optarg, 1);
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			printf("pewter-run %s\n", PW_VERSION);
			return 0;
		default:
			return 2; /* getopt has said why */
		}
	}
	if (optind == argc) {
		fprintf(stderr, "pewter-run: no program given; see pewter-run --help\n");
		return 2;
	}
	return run(argv + optind);
}
