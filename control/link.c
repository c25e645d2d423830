/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry of links and what workers know of each. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/face.h"
#include "control/feed/kernel.h"
#include "control/links.h"
#include "dataplane/table/vrf.h"
#include "drivers/port.h"
#include "lib/log.h"

#define BUCKETS 4096

struct entry {
	struct pw_link link; /* first: pw_link and entry are the same address */
	uint16_t vrf;
	struct entry *next_name;
	struct entry *next_face;
};

static struct entry *links[PW_INTERFACES];
static struct entry *names[BUCKETS];
static struct entry *faces[BUCKETS];
static uint32_t vrf_links[PW_VRFS];   /* dataplane VRF -> VRF link's index */
static uint32_t port_links[PW_PORTS]; /* port -> index of its untagged link */

static struct entry **name_bucket(const char *name)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619U;
	return &names[hash % BUCKETS];
}

static struct entry **face_bucket(uint32_t ifindex)
{
	return &faces[ifindex % BUCKETS];
}

static void name_insert(struct entry *entry)
{
	struct entry **bucket = name_bucket(entry->link.name);

	entry->next_name = *bucket;
	*bucket = entry;
}

static void name_remove(struct entry *entry)
{
	struct entry **at = name_bucket(entry->link.name);

	while (*at != entry)
		at = &(*at)->next_name;
	*at = entry->next_name;
}

static void face_remove(struct entry *entry)
{
	struct entry **at = face_bucket(entry->link.face_ifindex);

	while (*at != entry)
		at = &(*at)->next_face;
	*at = entry->next_face;
}

struct pw_link *pw_link_by_index(uint32_t index)
{
	return index < PW_INTERFACES && links[index] ? &links[index]->link : NULL;
}

struct pw_link *pw_link_by_name(const char *name)
{
	struct entry *entry = *name_bucket(name);

	while (entry && strcmp(entry->link.name, name))
		entry = entry->next_name;
	return entry ? &entry->link : NULL;
}

struct pw_link *pw_link_by_face(uint32_t kernel_ifindex)
{
	struct entry *entry;

	if (!kernel_ifindex)
		return NULL;
	entry = *face_bucket(kernel_ifindex);
	while (entry && entry->link.face_ifindex != kernel_ifindex)
		entry = entry->next_face;
	return entry ? &entry->link : NULL;
}

struct pw_link *pw_link_by_table(uint32_t table)
{
	int vrf = pw_vrf_find(table);

	return vrf > 0 ? pw_link_by_index(vrf_links[vrf]) : NULL;
}

struct pw_link *pw_link_by_port(uint16_t port)
{
	return port < PW_PORTS ? pw_link_by_index(port_links[port]) : NULL;
}

struct pw_link *pw_link_next(uint32_t after)
{
	for (uint32_t index = after + 1; index < PW_INTERFACES; index++)
		if (links[index])
			return &links[index]->link;
	return NULL;
}

uint16_t pw_link_vrf(const struct pw_link *link)
{
	return ((const struct entry *)link)->vrf;
}

uint32_t pw_link_table(const struct pw_link *link)
{
	const struct pw_link *owner;

	if (link->kind == PW_LINK_VRF)
		return link->table;
	owner = link->master ? pw_link_by_index(link->master) : NULL;
	return owner ? owner->table : PW_TABLE_MAIN;
}

bool pw_link_operational(const struct pw_link *link)
{
	const struct pw_link *parent;

	if (!link->admin_up || !link->carrier)
		return false;
	if (link->kind != PW_LINK_VLAN)
		return true;
	parent = pw_link_by_index(link->parent);
	return parent && parent->admin_up && parent->carrier;
}

bool pw_link_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || *name == '%' || isspace((unsigned char)*name))
			return false;
	return true;
}

void pw_link_rename(struct pw_link *link, const char *name)
{
	struct entry *entry = (struct entry *)link;

	name_remove(entry);
	strncpy(link->name, name, sizeof(link->name) - 1);
	link->name[sizeof(link->name) - 1] = '\0';
	name_insert(entry);
}

void pw_link_set_face(struct pw_link *link, uint32_t ifindex, const char *name)
{
	struct entry *entry = (struct entry *)link;

	if (link->face_ifindex)
		face_remove(entry);
	link->face_ifindex = ifindex;
	snprintf(link->face_name, sizeof(link->face_name), "%s", name);
	if (ifindex) {
		entry->next_face = *face_bucket(ifindex);
		*face_bucket(ifindex) = entry;
	}
}

void pw_link_refresh_vrf(struct pw_link *link)
{
	int vrf = pw_vrf_find(pw_link_table(link));

	((struct entry *)link)->vrf = vrf < 0 ? PW_VRF_DEFAULT : (uint16_t)vrf;
}

static uint8_t interface_kind(enum pw_link_kind kind)
{
	static const uint8_t kinds[] = {
		[PW_LINK_LOOPBACK] = PW_INTERFACE_LOOPBACK, [PW_LINK_PORT] = PW_INTERFACE_PORT,
		[PW_LINK_VLAN] = PW_INTERFACE_VLAN,         [PW_LINK_VRF] = PW_INTERFACE_VRF,
		[PW_LINK_TUNNEL] = PW_INTERFACE_TUNNEL,     [PW_LINK_IPSEC] = PW_INTERFACE_TUNNEL,
	};

	return kinds[kind];
}

int pw_link_publish(const struct pw_link *link)
{
	struct pw_interface interface = {
		.kind = interface_kind(link->kind),
		.vrf = pw_link_vrf(link),
		.port = link->port,
		.vlan = link->kind == PW_LINK_VLAN ? link->vlan : 0,
		.mtu = (uint16_t)RTE_MIN(link->mtu, (uint32_t)PW_MTU_MAX),
		.face = pw_face_number(link),
		.id = link->index,
	};

	if (pw_link_operational(link))
		interface.flags |= PW_INTERFACE_UP;
	if (link->mpls_input)
		interface.flags |= PW_INTERFACE_MPLS;
	if (link->face)
		interface.flags |= PW_INTERFACE_FACE;
	else if (link->face_ifindex)
		interface.flags |= PW_INTERFACE_NATIVE;
	memcpy(interface.mac, link->mac, sizeof(interface.mac));
	pw_address_icmp_source(link, &interface.icmp_source4, interface.icmp_source6);
	return pw_slot_set(&pw_interfaces, link->index, &interface);
}

struct pw_link *pw_link_register(const struct pw_link *model)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	struct pw_link *link;
	uint32_t index;
	int ret;

	if (!entry) {
		errno = ENOMEM;
		return NULL;
	}
	ret = pw_slot_alloc(&pw_interfaces, &index);
	if (ret < 0) {
		free(entry);
		errno = -ret;
		return NULL;
	}
	link = &entry->link;
	*link = *model;
	link->index = index;
	link->face_ifindex = 0;
	links[index] = entry;
	name_insert(entry);
	if (model->face_ifindex)
		pw_link_set_face(link, model->face_ifindex, model->face_name);
	pw_link_refresh_vrf(link);
	if (link->kind == PW_LINK_VRF)
		vrf_links[pw_link_vrf(link)] = index;
	if (link->kind == PW_LINK_PORT)
		port_links[link->port] = index;
	ret = pw_link_publish(link);
	if (ret < 0) {
		pw_link_unregister(link);
		errno = -ret;
		return NULL;
	}
	return link;
}

void pw_link_unregister(struct pw_link *link)
{
	struct entry *entry = (struct entry *)link;

	if (link->kind == PW_LINK_VRF)
		vrf_links[pw_link_vrf(link)] = 0;
	if (link->kind == PW_LINK_PORT)
		port_links[link->port] = 0;
	pw_face_close(link);
	if (link->face_ifindex)
		face_remove(entry);
	name_remove(entry);
	links[link->index] = NULL;
	pw_slot_free(&pw_interfaces, link->index);
	free(entry);
}

int pw_link_init(void)
{
	struct pw_link lo = {
		.kind = PW_LINK_LOOPBACK,
		.name = "lo",
		.admin_up = true,
		.carrier = true,
		.mtu = PW_MTU_LOOPBACK,
		.port = PW_PORT_NONE,
		/* The kernel's own "lo" is the face: loopback addresses are in both. */
		.face_ifindex = if_nametoindex("lo"),
		.face_name = "lo",
	};
	struct pw_link *link;
	int ret;

	ret = pw_address_init();
	if (ret < 0)
		return ret;
	ret = pw_neighbour_init();
	if (ret < 0)
		return ret;
	link = pw_link_register(&lo);
	if (!link)
		return -errno;
	if (link->index != PW_LINK_LOOPBACK_INDEX) {
		pw_link_unregister(link);
		return -EBUSY;
	}
	pw_netlink_link_init();
	pw_netlink_address_init();
	pw_netlink_neighbour_init();
	return 0;
}

void pw_link_fini(void)
{
	pw_neighbour_fini();
	pw_address_fini();
	pw_steering_fini();
	for (uint32_t index = PW_INTERFACES - 1; index > 0; index--)
		if (links[index])
			pw_link_unregister(&links[index]->link);
	pw_ipsec_fini();
}

static int port_face(struct pw_link *link)
{
	char error[128];
	int ret = pw_face_open(link, error, sizeof(error));

	if (ret < 0) {
		pw_error("%s", error);
		return ret;
	}
	return pw_link_publish(link);
}

/* A port's link starts down, as a NIC does in the kernel, unless the kernel has it up. */
struct pw_link *pw_link_add_port(uint16_t port)
{
	const struct pw_port *device = pw_port_find(port);
	struct pw_link model = {.kind = PW_LINK_PORT, .port = port};
	struct pw_link *link;
	int ret;

	if (!device) {
		errno = ENODEV;
		return NULL;
	}
	if (!pw_link_name_valid(device->spec.name)) {
		errno = EINVAL;
		return NULL;
	}
	if (pw_link_by_name(device->spec.name)) {
		errno = EEXIST;
		return NULL;
	}
	memcpy(model.name, device->spec.name, sizeof(model.name));
	memcpy(model.mac, device->mac, sizeof(model.mac));
	model.mtu = device->mtu;
	model.carrier = device->carrier;
	model.face_ifindex = device->face_ifindex;
	memcpy(model.face_name, device->face_name, sizeof(model.face_name));
	link = pw_link_register(&model);
	if (!link)
		return NULL;
	ret = device->face == PW_FACE_TAP ? port_face(link) : 0;
	if (!ret)
		ret = pw_port_bind(port, 0, link->index);
	if (ret < 0) {
		pw_link_unregister(link);
		errno = -ret;
		return NULL;
	}
	pw_steering_port(link, pw_link_vrf(link), true);
	pw_kernel_face_added(link);
	pw_link_notify(link, RTM_NEWLINK, ~0U);
	return link;
}

void pw_link_poll(void)
{
	for (uint16_t port = 0; port < PW_PORTS; port++) {
		struct pw_link *link = pw_link_by_port(port);
		const struct pw_port *device;

		if (!link)
			continue;
		device = pw_port_find(port);
		/* A native face's carrier comes from the kernel, at once. */
		if (!device || (device->face == PW_FACE_NATIVE && pw_kernel_feed_running()))
			continue;
		pw_port_poll_link(port);
		pw_link_set_carrier(link, device->carrier);
	}
	pw_address_tick();
}
