/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/show.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/bgp/connection.h"
#include "control/bgp/dataplane.h"
#include "control/bgp/peer.h"
#include "control/bgp/vrf.h"
#include "control/loop.h"
#include "lib/log.h"

#define QUESTION_MAX 64
#define CLIENTS_MAX  16
#define GROUP        "pewter" /* may ask, as it may ask pewterd */

struct client {
	int fd;
	struct pw_watcher *watcher;
	char *answer;
	size_t size, sent;
};

static int listener = -1;
static struct pw_watcher *listener_watcher;
static char listener_path[108];
static unsigned int client_count;

/* ---- answers ----------------------------------------------------------------------------- */

static const char *state_name(const struct bgp_peer *peer)
{
	static const char *const names[] = {
		[BGP_CONNECT] = "connect",
		[BGP_OPEN_SENT] = "open-sent",
		[BGP_OPEN_CONFIRM] = "open-confirm",
		[BGP_ESTABLISHED] = "established",
	};
	const struct bgp_connection *connection = peer->session    ? peer->session
						  : peer->incoming ? peer->incoming
								   : peer->outgoing;

	return connection ? names[connection->state] : "idle";
}

/* A reason may quote what came over the network. */
static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('"', out);
}

static void show_neighbors(FILE *out, bool json)
{
	const struct bgp_peer *peer;
	char address[BGP_ADDRESS_TEXT];
	bool first = true;

	if (!json)
		fprintf(out, "%-24s %-13s %9s %9s %9s %9s  %s\n", "neighbor", "state", "seconds",
			"imported", "stale", "sent", "last reason");
	TAILQ_FOREACH (peer, &bgp_peers, next) {
		unsigned long long age = (bgp_now() - peer->changed_at) / 1000;

		bgp_address_text(&peer->config.address, address);
		if (!json) {
			fprintf(out, "%-24s %-13s %9llu %9zu %9zu %9d  %s\n", address,
				state_name(peer), age, peer->path_count, peer->stale_count,
				peer->sent_prefixes, peer->reason);
			continue;
		}
		fprintf(out,
			"%s\n{\"neighbor\":\"%s\",\"state\":\"%s\",\"seconds\":%llu,"
			"\"imported\":%zu,\"stale\":%zu,\"sent\":%d,\"updates_received\":%llu,"
			"\"updates_sent\":%llu,\"sessions\":%llu,\"errors\":%llu,"
			"\"end_of_rib\":[%s,%s],\"reason\":",
			first ? "[" : ",", address, state_name(peer), age, peer->path_count,
			peer->stale_count, peer->sent_prefixes,
			(unsigned long long)peer->updates_received,
			(unsigned long long)peer->updates_sent, (unsigned long long)peer->sessions,
			(unsigned long long)peer->errors,
			peer->eor_received[BGP_VPNV4] ? "true" : "false",
			peer->eor_received[BGP_VPNV6] ? "true" : "false");
		put_string(out, peer->reason);
		fputc('}', out);
		first = false;
	}
	if (json)
		fputs(first ? "[]\n" : "\n]\n", out);
}

static void show_vrfs(FILE *out, bool json)
{
	char rd[BGP_RD_TEXT];
	const struct bgp_vrf *vrf;
	bool first = true;

	if (!json)
		fprintf(out, "%-16s %-20s %8s %8s %9s %9s\n", "vrf", "rd", "table", "label",
			"imported", "own");
	TAILQ_FOREACH (vrf, &bgp_vrfs, next) {
		bgp_rd_text(vrf->config.rd, rd);
		fprintf(out,
			json ? "%s\n{\"vrf\":\"%s\",\"rd\":\"%s\",\"table\":%u,\"label\":%u,"
			       "\"imported\":%zu,\"own\":%zu}"
			     : "%s%-16s %-20s %8u %8u %9zu %9zu\n",
			!json   ? ""
			: first ? "["
				: ",",
			vrf->config.name, rd, vrf->table, vrf->label, vrf->installed,
			vrf->local_count);
		first = false;
	}
	if (json)
		fputs(first ? "[]\n" : "\n]\n", out);
}

static void show_hops(FILE *out, const struct bgp_hops *hops, bool json)
{
	char via[BGP_ADDRESS_TEXT];

	for (unsigned int i = 0; hops && i < hops->count; i++)
		fprintf(out, json ? "%s{\"via\":\"%s\",\"label\":%u}" : "%s %s label %u",
			i ? "," : "", bgp_address_text(&hops->hops[i].via, via),
			hops->hops[i].label);
}

static void show_route(FILE *out, const struct bgp_route *route, bool json, bool first)
{
	const struct bgp_path *best = bgp_route_best(route);
	char prefix[BGP_PREFIX_TEXT], rd[BGP_RD_TEXT];
	const struct bgp_hops *hops = route->installed;

	bgp_prefix_text(&route->prefix, prefix);
	if (json)
		fprintf(out,
			"%s\n{\"vrf\":\"%s\",\"prefix\":\"%s\",\"held\":%s,\"stale\":%s,"
			"\"rd\":\"%s\",\"hops\":[",
			first ? "[" : ",", route->vrf->config.name, prefix,
			route->held ? "true" : "false", best && best->stale ? "true" : "false",
			best ? bgp_rd_text(best->rd, rd) : "");
	else
		fprintf(out, "%-16s %-24s", route->vrf->config.name, prefix);
	show_hops(out, hops, json);
	if (json || route->backup)
		fputs(json ? "],\"backup\":[" : " backup", out);
	show_hops(out, route->backup, json);
	if (json)
		fputs("]}", out);
	else
		fprintf(out, "%s%s%s\n", hops ? "" : " not in Pewter", route->held ? " held" : "",
			best && best->stale ? " stale" : "");
}

static void show_routes(FILE *out, bool json)
{
	const struct bgp_route *route;
	const struct bgp_vrf *vrf;
	bool first = true;

	TAILQ_FOREACH (vrf, &bgp_vrfs, next)
		TAILQ_FOREACH (route, &vrf->routes, next) {
			show_route(out, route, json, first);
			first = false;
		}
	if (json)
		fputs(first ? "[]\n" : "\n]\n", out);
}

static void show_summary(FILE *out, bool json)
{
	struct bgp_dataplane_counts counts;
	const char *state = bgp_dataplane_ready()       ? "ready"
			    : bgp_dataplane_connected() ? "reading"
							: "not connected";

	bgp_dataplane_count(&counts);
	if (!json) {
		fprintf(out, "pewterd: %s, %llu routes added, %llu deleted, %llu refused\n\n",
			state, (unsigned long long)counts.added, (unsigned long long)counts.deleted,
			(unsigned long long)counts.refused);
		show_neighbors(out, false);
		fputc('\n', out);
		show_vrfs(out, false);
		return;
	}
	fprintf(out,
		"{\"pewterd\":\"%s\",\"added\":%llu,\"deleted\":%llu,\"refused\":%llu,"
		"\"neighbors\":",
		state, (unsigned long long)counts.added, (unsigned long long)counts.deleted,
		(unsigned long long)counts.refused);
	show_neighbors(out, true);
	fputs(",\"vrfs\":", out);
	show_vrfs(out, true);
	fputs("}\n", out);
}

static void answer(struct client *client, const char *question)
{
	FILE *out = open_memstream(&client->answer, &client->size);
	bool json = strstr(question, " json") != NULL;

	if (!out)
		return;
	if (strncmp(question, "neighbors", 9) == 0)
		show_neighbors(out, json);
	else if (strncmp(question, "vrfs", 4) == 0)
		show_vrfs(out, json);
	else if (strncmp(question, "routes", 6) == 0)
		show_routes(out, json);
	else
		show_summary(out, json);
	fclose(out);
}

/* ---- clients ----------------------------------------------------------------------------- */

static void client_free(struct client *client)
{
	pw_watcher_stop(client->watcher);
	close(client->fd);
	free(client->answer);
	free(client);
	client_count--;
}

static void client_event(uint32_t events, void *context)
{
	struct client *client = context;
	char question[QUESTION_MAX];
	ssize_t size;

	if (!client->answer) {
		size = recv(client->fd, question, sizeof(question) - 1, 0);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size > 0) {
			question[size] = '\0';
			answer(client, question);
		}
		if (!client->answer) {
			client_free(client);
			return;
		}
	}
	size = send(client->fd, client->answer + client->sent, client->size - client->sent,
		    MSG_NOSIGNAL);
	if (size > 0)
		client->sent += (size_t)size;
	if (client->sent == client->size || (size < 0 && errno != EAGAIN && errno != EINTR))
		client_free(client);
	else
		pw_watcher_events(client->watcher, EPOLLOUT);
}

static void accept_client(uint32_t events, void *context)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client =
		fd >= 0 && client_count < CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;

	if (client) {
		client->fd = fd;
		client->watcher = pw_loop_watch(fd, EPOLLIN, client_event, client);
	}
	if (client && client->watcher) {
		client_count++;
		return;
	}
	free(client);
	if (fd >= 0)
		close(fd);
}

/* ---- the socket -------------------------------------------------------------------------- */

static int socket_at(const char *path, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	return fd < 0 ? -errno : fd;
}

/* pewterd makes it, too, but may start later. */
static void make_folder(const char *path)
{
	char copy[sizeof(listener_path)];

	snprintf(copy, sizeof(copy), "%s", path);
	mkdir(dirname(copy), 0755);
}

int bgp_show_listen(const char *path)
{
	struct sockaddr_un address;
	int fd = socket_at(path, &address), ret = 0;
	const struct group *group;
	mode_t mask;

	if (fd < 0)
		return fd;
	/* One that nobody listens on was left behind by a crash. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		ret = -EADDRINUSE;
	else if (errno == ECONNREFUSED)
		unlink(path);
	close(fd);
	fd = ret ? ret : socket_at(path, &address);
	if (fd < 0) {
		pw_error("%s: %s: another pewter-bgp runs", path, strerror(-fd));
		return fd;
	}
	make_folder(path);
	mask = umask(0117);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 8))
		ret = -errno;
	umask(mask);
	group = getgrnam(GROUP);
	if (!ret && group && chown(path, (uid_t)-1, group->gr_gid))
		pw_warning("%s: group %s: %s", path, GROUP, strerror(errno));
	if (!ret)
		listener_watcher = pw_loop_watch(fd, EPOLLIN, accept_client, NULL);
	if (ret || !listener_watcher) {
		ret = ret ? ret : -ENOMEM;
		pw_error("%s: %s", path, strerror(-ret));
		close(fd);
		return ret;
	}
	listener = fd;
	snprintf(listener_path, sizeof(listener_path), "%s", path);
	return 0;
}

void bgp_show_stop(void)
{
	if (listener < 0)
		return;
	pw_watcher_stop(listener_watcher);
	close(listener);
	unlink(listener_path);
	listener = -1;
}

int bgp_show_ask(const char *path, int count, char **words, bool json)
{
	static const char *const known[] = {"neighbors", "vrfs", "routes"};
	const char *what = count ? words[0] : "summary";
	char buffer[16384], question[QUESTION_MAX];
	struct sockaddr_un address;
	bool right = !count;
	ssize_t size;
	int fd;

	for (unsigned int i = 0; count == 1 && i < sizeof(known) / sizeof(*known); i++)
		right |= strcmp(what, known[i]) == 0;
	if (!right) {
		fprintf(stderr, "pewter-bgp: \"show\" takes neighbors, vrfs or routes\n");
		return 2;
	}
	fd = socket_at(path, &address);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "pewter-bgp: %s: %s (is pewter-bgp running?)\n", path,
			strerror(errno));
		return 1;
	}
	size = snprintf(question, sizeof(question), "%s%s\n", what, json ? " json" : "");
	if (send(fd, question, (size_t)size, MSG_NOSIGNAL) == size)
		while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0)
			fwrite(buffer, 1, (size_t)size, stdout);
	close(fd);
	return size < 0 ? 1 : 0;
}
