/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Not a test: how fast routes are taken, from a client's first write to the answer that says that
 * workers have them all.
 *
 *   bench_routes [ROUTES [VRFS [sorted|random [4|6 [socket|direct]]]]]
 *
 * Labelled routes, 1,000 next hops for each 100 VRFs, as a route reflector would give them.
 * "direct" leaves the socket out.
 */
#define FIXTURE_MEMORY    "1024"
#define FIXTURE_LPM_BYTES (size_t)(1u << 30)
#include "test/unit/routes_fixture.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/client.h"
#include "control/loop.h"
#include "control/socket.h"

#define REMOTES      100
#define HOPS_A_VRF   10
#define PACKET_BYTES 32768
#define FIRST_TABLE  1000

static struct {
	unsigned int routes, vrfs, family;
	bool random, direct;
} options = {1000000, 1000, AF_INET, true, false};

static uint8_t *messages;
static size_t bytes;
static char path[108];
static struct pw_socket_options socket_options = {.path = path};

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Of this process: mostly the first touch of fresh memory. */
static double kernel_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* ---- messages ---------------------------------------------------------------------------- */

/* Prefix @p n of a table: spread over 128.0.0.0/2 or 2001:db8::/32, each once. */
static void prefix_of(unsigned int n, uint8_t bytes_out[16])
{
	uint32_t place = (n * 2654435761u) & 0x3fffff; /* odd: a permutation of 22 bits */

	memset(bytes_out, 0, 16);
	if (options.family == AF_INET) {
		uint32_t address = htonl(0x80000000u | place << 8);

		memcpy(bytes_out, &address, 4);
	} else {
		uint32_t high = htonl(0x20010db8), low = htonl(place << 8);

		memcpy(bytes_out, &high, 4);
		memcpy(bytes_out + 4, &low, 4);
	}
}

static void put_route(unsigned int vrf, unsigned int n, uint32_t tunnel)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(messages + bytes);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	unsigned int hop = n % HOPS_A_VRF;
	uint32_t gateway = htonl(0xc6120000u | ((vrf * HOPS_A_VRF + hop) % REMOTES + 1));
	uint32_t label = htonl((16 + vrf * HOPS_A_VRF + hop) << 12 | 0x100);
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
	struct nlattr *nest;
	uint8_t prefix[16];

	prefix_of(n, prefix);
	nlh->nlmsg_type = RTM_NEWROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	*rtm = (struct rtmsg){.rtm_family = (unsigned char)options.family,
			      .rtm_dst_len = options.family == AF_INET ? 24 : 56,
			      .rtm_protocol = RTPROT_BGP,
			      .rtm_type = RTN_UNICAST};
	mnl_attr_put(nlh, RTA_DST, options.family == AF_INET ? 4 : 16, prefix);
	mnl_attr_put_u32(nlh, RTA_TABLE, FIRST_TABLE + vrf);
	mnl_attr_put_u32(nlh, RTA_OIF, tunnel);
	if (options.family == AF_INET) {
		mnl_attr_put(nlh, RTA_GATEWAY, 4, &gateway);
	} else {
		memcpy(mapped + 12, &gateway, 4);
		mnl_attr_put(nlh, RTA_GATEWAY, 16, mapped);
	}
	nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
	mnl_attr_put(nlh, MPLS_IPTUNNEL_DST, 4, &label);
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
	bytes += NLMSG_ALIGN(nlh->nlmsg_len);
}

static void make_messages(uint32_t tunnel)
{
	uint32_t *order = malloc(options.routes * sizeof(*order));

	messages = malloc((size_t)options.routes * 128);
	if (!order || !messages)
		abort();
	for (unsigned int i = 0; i < options.routes; i++)
		order[i] = i;
	for (unsigned int i = options.routes; options.random && i > 1; i--) {
		unsigned int other = (unsigned int)(next_random() % i);
		uint32_t swap = order[i - 1];

		order[i - 1] = order[other];
		order[other] = swap;
	}
	for (unsigned int i = 0; i < options.routes; i++) {
		unsigned int each = (options.routes + options.vrfs - 1) / options.vrfs;

		put_route(order[i] / each, order[i] % each, tunnel);
	}
	free(order);
}

/* The last message of each packet wants an answer, so that no error stays unseen. */
static size_t packet_at(size_t at)
{
	struct nlmsghdr *last = NULL;
	size_t end = at;

	while (end < bytes) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(messages + end);

		if (end + nlh->nlmsg_len > at + PACKET_BYTES)
			break;
		last = nlh;
		end += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	last->nlmsg_flags |= NLM_F_ACK;
	return end - at;
}

/* ---- the client -------------------------------------------------------------------------- */

static int answers_read(int fd, unsigned int *waiting, int flags)
{
	uint8_t answer[4096];
	ssize_t size;

	while (*waiting && (size = recv(fd, answer, sizeof(answer), flags)) > 0) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)answer;
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_type != NLMSG_ERROR || error->error) {
			fprintf(stderr, "refused: %s\n", strerror(-error->error));
			return 1;
		}
		--*waiting;
	}
	return 0;
}

static int client_run(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	unsigned int waiting = 0;
	size_t at = 0, size;
	double start;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		perror("connect");
		return 1;
	}
	start = seconds(CLOCK_MONOTONIC);
	for (; at < bytes; at += size) {
		size = packet_at(at);
		if (send(fd, messages + at, size, 0) != (ssize_t)size) {
			perror("send");
			return 1;
		}
		waiting++;
		if (answers_read(fd, &waiting, MSG_DONTWAIT))
			return 1;
	}
	if (answers_read(fd, &waiting, 0) || waiting)
		return 1;
	printf("%.0f routes/s through the socket\n",
	       options.routes / (seconds(CLOCK_MONOTONIC) - start));
	fflush(stdout);
	return 0;
}

/* ---- the daemon -------------------------------------------------------------------------- */

static int run_socket(void)
{
	char error[200];
	int status;
	pid_t child;

	snprintf(path, sizeof(path), "/tmp/bench-routes-%d.sock", getpid());
	if (pw_socket_open(&socket_options, error, sizeof(error)))
		return 1;
	child = fork();
	if (child == 0)
		_exit(client_run());
	while (waitpid(child, &status, WNOHANG) == 0)
		pw_loop_step(1);
	pw_socket_close();
	return status ? 1 : 0;
}

static int run_direct(void)
{
	double start = seconds(CLOCK_MONOTONIC);
	size_t at = 0;

	while (at < bytes) {
		size_t end = at + packet_at(at);

		while (at < end) {
			const struct nlmsghdr *nlh = (const struct nlmsghdr *)(messages + at);

			if (pw_request_internal(nlh, said, sizeof(said))) {
				fprintf(stderr, "%s\n", said);
				return 1;
			}
			at += NLMSG_ALIGN(nlh->nlmsg_len);
		}
		settle();
	}
	printf("%.0f routes/s without the socket\n",
	       options.routes / (seconds(CLOCK_MONOTONIC) - start));
	return 0;
}

static void options_read(int argc, char **argv)
{
	if (argc > 1)
		options.routes = (unsigned int)atoi(argv[1]);
	if (argc > 2)
		options.vrfs = (unsigned int)atoi(argv[2]);
	if (argc > 3)
		options.random = strcmp(argv[3], "random") == 0;
	if (argc > 4)
		options.family = atoi(argv[4]) == 6 ? AF_INET6 : AF_INET;
	if (argc > 5)
		options.direct = strcmp(argv[5], "direct") == 0;
}

/* Resident memory of the process, in bytes. */
static size_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long total, pages = 0;

	if (file && fscanf(file, "%lu %lu", &total, &pages) != 2)
		pages = 0;
	if (file)
		fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
	struct pw_link *tunnel;
	size_t before, lpm;
	double busy, kernel;
	int status;

	options_read(argc, argv);
	if (fixture_start(NULL))
		return 1;
	add_address("p0", "198.18.255.1", 16);
	tunnel = add_tunnel("gre1", "10.0.0.1", NULL);
	for (unsigned int i = 0; i < options.vrfs; i++) {
		char name[16];

		snprintf(name, sizeof(name), "v%u", i);
		add_vrf(name, FIRST_TABLE + i);
	}
	make_messages(tunnel->index);
	before = resident();
	busy = seconds(CLOCK_PROCESS_CPUTIME_ID);
	kernel = kernel_seconds();
	lpm = pw_vrf_memory_used();
	status = options.direct ? run_direct() : run_socket();
	lpm = pw_vrf_memory_used() - lpm;
	busy = seconds(CLOCK_PROCESS_CPUTIME_ID) - busy;
	kernel = kernel_seconds() - kernel;
	printf("%.0f ns of the control thread a route, %.0f of them in the kernel\n",
	       busy * 1e9 / options.routes, kernel * 1e9 / options.routes);
	printf("%u routes: %.1f bytes a route in the control thread, %.1f in the workers' tables\n",
	       options.routes, (double)(resident() - before - lpm) / options.routes,
	       (double)lpm / options.routes);
	fflush(stdout);
	_exit(status); /* emptying the tables takes longer than filling them */
}
