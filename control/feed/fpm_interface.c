/* SPDX-License-Identifier: BSD-3-Clause */
/* zebra names interfaces by the kernel's numbers: which links of Pewter they are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/feed/fpm_internal.h"

#define BUCKETS        1024
#define INTERFACES_MAX 65536
#define NAME_ROOM      32

struct interface {
	LIST_ENTRY(interface) next;
	uint32_t ifindex;
	uint32_t link; /* 0: none */
	bool up;
	bool wanted; /* messages were turned away, or routes went, for want of it */
};

static LIST_HEAD(, interface) interfaces[BUCKETS];
static size_t interface_count;
static const struct pw_fpm_map *map;
static size_t map_count;
static bool local_kernel;
static int ioctl_fd = -1;

void pw_fpm_interfaces_begin(const struct pw_fpm_map *entries, size_t count, bool local)
{
	pw_fpm_interfaces_end();
	map = entries;
	map_count = count;
	local_kernel = local;
	if (local)
		ioctl_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void pw_fpm_interfaces_end(void)
{
	for (unsigned int i = 0; i < BUCKETS; i++) {
		struct interface *interface;

		while ((interface = LIST_FIRST(&interfaces[i]))) {
			LIST_REMOVE(interface, next);
			free(interface);
		}
	}
	interface_count = 0;
	if (ioctl_fd >= 0)
		close(ioctl_fd);
	ioctl_fd = -1;
}

static bool kernel_name(uint32_t ifindex, char *name)
{
	struct ifreq request = {.ifr_ifindex = (int)ifindex};

	if (ioctl_fd < 0 || ioctl(ioctl_fd, SIOCGIFNAME, &request))
		return false;
	memcpy(name, request.ifr_name, IFNAMSIZ);
	name[IFNAMSIZ - 1] = '\0';
	return true;
}

/* What was configured wins over the kernel's faces, and these over equal names. */
static struct pw_link *link_find(uint32_t ifindex)
{
	char name[IFNAMSIZ];
	struct pw_link *link;

	for (size_t i = 0; i < map_count; i++)
		if (map[i].ifindex && map[i].ifindex == ifindex)
			return pw_link_by_name(map[i].link);
	if (!local_kernel || !kernel_name(ifindex, name))
		return NULL;
	for (size_t i = 0; i < map_count; i++)
		if (!map[i].ifindex && strcmp(map[i].name, name) == 0)
			return pw_link_by_name(map[i].link);
	link = pw_link_by_face(ifindex);
	return link ? link : pw_link_by_name(name);
}

static void interface_look(struct interface *interface)
{
	const struct pw_link *link = link_find(interface->ifindex);

	interface->link = link ? link->index : 0;
	interface->up = link && (link->admin_up || link->kind == PW_LINK_LOOPBACK);
}

static struct interface *interface_take(uint32_t ifindex)
{
	unsigned int bucket = ifindex % BUCKETS;
	struct interface *interface;

	LIST_FOREACH (interface, &interfaces[bucket], next)
		if (interface->ifindex == ifindex)
			return interface;
	interface = interface_count < INTERFACES_MAX ? calloc(1, sizeof(*interface)) : NULL;
	if (!interface)
		return NULL;
	interface->ifindex = ifindex;
	interface_look(interface);
	LIST_INSERT_HEAD(&interfaces[bucket], interface, next);
	interface_count++;
	return interface;
}

struct pw_link *pw_fpm_interface_link(uint32_t ifindex, char *name)
{
	struct interface *interface = interface_take(ifindex);
	struct pw_link *link = NULL;
	char known[IFNAMSIZ];

	if (!interface)
		link = link_find(ifindex);
	else if (interface->link)
		link = pw_link_by_index(interface->link);
	if (interface)
		interface->wanted |= !link || !interface->up;
	if (link)
		return link;
	if (kernel_name(ifindex, known))
		snprintf(name, NAME_ROOM, "%s", known);
	else
		snprintf(name, NAME_ROOM, "number %u", ifindex);
	return NULL;
}

bool pw_fpm_interfaces_changed(void)
{
	bool changed = false;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		struct interface *interface;

		LIST_FOREACH (interface, &interfaces[i], next) {
			uint32_t link = interface->link;
			bool up = interface->up;

			interface_look(interface);
			if (interface->link == link && interface->up == up)
				continue;
			/* The routes of a link that was deleted went with it. */
			if (link && interface->link != link)
				interface->wanted = true;
			if (!interface->wanted || !interface->up)
				continue;
			interface->wanted = false;
			changed = true;
		}
	}
	return changed;
}
