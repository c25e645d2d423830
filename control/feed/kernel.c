/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of the faces: carrier, addresses, neighbours, routes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <net/if.h> /* before its twin in linux/ */
#include <linux/if.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "control/feed/kernel.h"
#include "control/links.h"
#include "control/loop.h"
#include "drivers/port.h"
#include "lib/log.h"

#define EVENT_BUFFER  65536
#define EVENT_BURST   64 /* buffers a round, so that a storm does not starve the API */
#define SOCKET_BUFFER (4 << 20)

static struct mnl_socket *events;
static struct pw_watcher *watcher;

static bool face_native(const struct pw_link *link)
{
	const struct pw_port *device = link->kind == PW_LINK_PORT ? pw_port_find(link->port) : NULL;

	return device && device->face == PW_FACE_NATIVE;
}

/* ---- one message ---- */

struct link_attributes {
	uint32_t mtu;
	const uint8_t *mac;
};

static int link_attribute(const struct nlattr *attribute, void *context)
{
	struct link_attributes *out = context;

	if (mnl_attr_get_type(attribute) == IFLA_MTU && mnl_attr_get_payload_len(attribute) == 4)
		out->mtu = mnl_attr_get_u32(attribute);
	if (mnl_attr_get_type(attribute) == IFLA_ADDRESS &&
	    mnl_attr_get_payload_len(attribute) == 6)
		out->mac = mnl_attr_get_payload(attribute);
	return MNL_CB_OK;
}

static void face_gone(struct pw_link *link)
{
	pw_error("%s: its kernel interface %s is gone: the link stays down until Pewter is "
		 "restarted",
		 link->name, link->face_name);
	pw_link_set_face(link, 0, link->face_name);
	pw_address_face_gone(link);
	if (face_native(link))
		pw_link_set_carrier(link, false);
	pw_neighbour_link_down(link);
}

static void on_link(const struct nlmsghdr *nlh, bool deleted)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(nlh);
	struct link_attributes in = {0};
	struct pw_link *link = pw_link_by_face((uint32_t)header->ifi_index);

	/* Bridges announce their ports as links of another family. */
	if (!link || header->ifi_family != AF_UNSPEC || link->kind == PW_LINK_LOOPBACK)
		return;
	/* The kernel drops IPv4 routes of a link that goes down without a word. */
	pw_kernel_routes_changed();
	if (deleted) {
		face_gone(link);
		return;
	}
	if (!face_native(link))
		return;
	mnl_attr_parse(nlh, sizeof(*header), link_attribute, &in);
	pw_link_mirror(link, in.mtu, in.mac);
	if (!link->carrier && (header->ifi_flags & IFF_LOWER_UP)) {
		pw_link_set_carrier(link, true);
		pw_address_push_all(link);
	} else {
		pw_link_set_carrier(link, (header->ifi_flags & IFF_UP) &&
						  (header->ifi_flags & IFF_LOWER_UP));
	}
}

struct address_attributes {
	const struct nlattr *local, *address;
};

static int address_attribute(const struct nlattr *attribute, void *context)
{
	struct address_attributes *out = context;

	if (mnl_attr_get_type(attribute) == IFA_LOCAL)
		out->local = attribute;
	if (mnl_attr_get_type(attribute) == IFA_ADDRESS)
		out->address = attribute;
	return MNL_CB_OK;
}

static bool to_address(const struct nlattr *attribute, int family, struct pw_address *address)
{
	memset(address, 0, sizeof(*address));
	if (!attribute || (family != AF_INET && family != AF_INET6) ||
	    mnl_attr_get_payload_len(attribute) != pw_address_size(family))
		return false;
	address->family = (uint8_t)family;
	memcpy(address->bytes, mnl_attr_get_payload(attribute), pw_address_size(family));
	return true;
}

static bool is_loopback(const struct pw_address *address)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (address->family == AF_INET)
		return address->bytes[0] == 127;
	return !memcmp(address->bytes, loopback6, sizeof(loopback6));
}

static void on_address(const struct nlmsghdr *nlh, bool add)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(nlh);
	struct pw_link *link = pw_link_by_face(header->ifa_index);
	struct address_attributes in = {0};
	struct pw_address address;

	if (!link)
		return;
	mnl_attr_parse(nlh, sizeof(*header), address_attribute, &in);
	if (!to_address(in.local ? in.local : in.address, header->ifa_family, &address) ||
	    is_loopback(&address))
		return;
	/* While the kernel looks for duplicates the address is not there yet; it says so again. */
	pw_address_mirror(link, &address, header->ifa_prefixlen, add);
	/* The same with those whose source, or gateway, went with the address. */
	if (!add)
		pw_kernel_routes_changed();
}

struct neighbour_attributes {
	const struct nlattr *address;
	const uint8_t *mac;
};

static int neighbour_attribute(const struct nlattr *attribute, void *context)
{
	struct neighbour_attributes *out = context;

	if (mnl_attr_get_type(attribute) == NDA_DST)
		out->address = attribute;
	if (mnl_attr_get_type(attribute) == NDA_LLADDR && mnl_attr_get_payload_len(attribute) == 6)
		out->mac = mnl_attr_get_payload(attribute);
	return MNL_CB_OK;
}

static void on_neighbour(const struct nlmsghdr *nlh, bool deleted)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(nlh);
	struct pw_link *link = pw_link_by_face((uint32_t)header->ndm_ifindex);
	struct neighbour_attributes in = {0};
	struct pw_address address;

	if (!link)
		return;
	mnl_attr_parse(nlh, sizeof(*header), neighbour_attribute, &in);
	if (to_address(in.address, header->ndm_family, &address))
		pw_neighbour_mirror(link, &address, in.mac, deleted ? 0 : header->ndm_state);
}

static size_t header_size(uint16_t type)
{
	switch (type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return sizeof(struct ifinfomsg);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return sizeof(struct ifaddrmsg);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return sizeof(struct rtmsg);
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return sizeof(struct nhmsg);
	default:
		return sizeof(struct ndmsg);
	}
}

static int on_message(const struct nlmsghdr *nlh, void *context)
{
	if (mnl_nlmsg_get_payload_len(nlh) < header_size(nlh->nlmsg_type))
		return 0;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(nlh, nlh->nlmsg_type == RTM_DELLINK);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		on_address(nlh, nlh->nlmsg_type == RTM_NEWADDR);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		on_neighbour(nlh, nlh->nlmsg_type == RTM_DELNEIGH);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		pw_kernel_route(nlh);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		pw_kernel_nexthop(nlh);
		break;
	default:
		break;
	}
	return 0;
}

/* ---- synchronising ---- */

static int dump(uint16_t type, uint32_t ifindex, const char *what)
{
	int ret = pw_kernel_dump(type, ifindex, on_message, NULL);

	if (ret < 0)
		pw_warning("the kernel's %s cannot be read: %s", what, strerror(-ret));
	return ret;
}

/* After events were lost: what the dumps do not name any more is gone. */
static void resync(void)
{
	pw_warning("events of the kernel were lost: reading its state again");
	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (link->kind != PW_LINK_LOOPBACK && link->face_ifindex &&
		    pw_kernel_dump(RTM_GETLINK, link->face_ifindex, on_message, NULL) == -ENODEV)
			face_gone(link);
	pw_address_sweep_begin();
	if (!dump(RTM_GETADDR, 0, "addresses"))
		pw_address_sweep_end();
	pw_neighbour_sweep_begin();
	if (!dump(RTM_GETNEIGH, 0, "neighbours"))
		pw_neighbour_sweep_end();
	pw_kernel_routes_read();
}

static void on_events(uint32_t ready, void *context)
{
	static char buffer[EVENT_BUFFER];
	static bool lost;

	for (int burst = 0; burst < EVENT_BURST; burst++) {
		ssize_t bytes = mnl_socket_recvfrom(events, buffer, sizeof(buffer));
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		int left = (int)bytes;

		if (bytes < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		/* What is still queued is older than what a dump says: it comes first. */
		if (bytes <= 0 && lost) {
			lost = false;
			resync();
		}
		if (bytes <= 0)
			break;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			on_message(nlh, NULL);
	}
	pw_neighbour_flush();
}

/* ---- faces ---- */

static void setting(const char *family, const char *name, const char *key, const char *value)
{
	char path[128], text[16] = "";
	FILE *file;

	if (!value) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/default/%s", family, key);
		file = fopen(path, "re");
		if (!file || !fgets(text, sizeof(text), file))
			text[0] = '\0';
		if (file)
			fclose(file);
		value = text;
	}
	if (!value[0])
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	file = fopen(path, "we");
	if (!file || fputs(value, file) < 0)
		pw_debug("%s cannot be set: %s", path, strerror(errno));
	if (file && fclose(file))
		pw_debug("%s cannot be set: %s", path, strerror(errno));
}

/*
 * The kernel has no VRF for the face: to answer ARP for an address, and from an address, that
 * another VRF's face has as well, it must take packets whose source is "its own" address
 * (accept_local), not look for a way back (rp_filter), and answer for this face's addresses only
 * (arp_ignore). Customers' router advertisements must not reach its main table.
 */
void pw_kernel_face_vrf(struct pw_link *link, bool vrf)
{
	if (!events || !link->face_ifindex)
		return;
	pw_kernel_routes_changed();
	setting("ipv4", link->face_name, "accept_local", vrf ? "1" : NULL);
	setting("ipv4", link->face_name, "rp_filter", vrf ? "0" : NULL);
	setting("ipv4", link->face_name, "arp_ignore", vrf ? "1" : NULL);
	setting("ipv6", link->face_name, "accept_ra", vrf ? "0" : NULL);
}

static int first_look(const struct nlmsghdr *nlh, void *context)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(nlh);
	struct pw_link *link = context;
	int ret;

	if (nlh->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(nlh) < sizeof(*header))
		return 0;
	on_message(nlh, NULL);
	/* A NIC that the kernel uses already is not taken down by Pewter's coming. */
	if (face_native(link) && (header->ifi_flags & IFF_UP)) {
		ret = pw_link_set_up(link, true);
		if (ret < 0)
			pw_warning("%s cannot be set up: %s", link->name, strerror(-ret));
	}
	return 0;
}

void pw_kernel_face_added(struct pw_link *link)
{
	int ret;

	if (!events || !link->face_ifindex)
		return;
	if (link->kind == PW_LINK_PORT) {
		ret = pw_kernel_dump(RTM_GETLINK, link->face_ifindex, first_look, link);
		if (ret < 0)
			pw_warning("%s: the kernel interface %s cannot be read: %s", link->name,
				   link->face_name, strerror(-ret));
	}
	if (link->master)
		pw_kernel_face_vrf(link, true);
	if (link->admin_up && link->kind != PW_LINK_LOOPBACK)
		pw_kernel_link_up(link->face_ifindex, true);
	pw_address_push_all(link);
	pw_kernel_routes_changed();
	/* A TAP made a moment ago has nothing yet; what it gets comes as events. */
	if (link->kind == PW_LINK_VLAN)
		return;
	dump(RTM_GETADDR, link->face_ifindex, "addresses");
	if (link->kind == PW_LINK_PORT)
		dump(RTM_GETNEIGH, link->face_ifindex, "neighbours");
}

/* ---- start and end ---- */

static int subscribe(int fd)
{
	static const unsigned int groups[] = {RTNLGRP_LINK,        RTNLGRP_IPV4_IFADDR,
					      RTNLGRP_IPV6_IFADDR, RTNLGRP_NEIGH,
					      RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE};
	static const unsigned int nexthops = RTNLGRP_NEXTHOP; /* not before Linux 5.3 */
	int size = SOCKET_BUFFER;

	for (size_t i = 0; i < MNL_ARRAY_SIZE(groups); i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0)
			return -errno;
	setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &nexthops, sizeof(nexthops));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return 0;
}

int pw_kernel_feed_init(void)
{
	int ret = pw_kernel_command_init();

	if (ret < 0)
		return ret;
	events = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (!events || mnl_socket_bind(events, 0, MNL_SOCKET_AUTOPID) < 0)
		ret = -errno;
	if (!ret)
		ret = subscribe(mnl_socket_get_fd(events));
	if (!ret) {
		watcher = pw_loop_watch(mnl_socket_get_fd(events), EPOLLIN, on_events, NULL);
		ret = watcher ? 0 : -errno;
	}
	if (ret < 0) {
		pw_kernel_feed_fini();
		return ret;
	}
	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index))
		pw_kernel_face_added(link);
	pw_kernel_routes_start();
	return 0;
}

bool pw_kernel_feed_running(void)
{
	return events != NULL;
}

/* Leaves the face as it was found. */
static void face_restore(struct pw_link *link)
{
	struct pw_link_address *address;
	struct pw_link_neighbour *neighbour;

	TAILQ_FOREACH (address, pw_address_list(link->index), next)
		pw_address_unpush(address);
	TAILQ_FOREACH (neighbour, pw_neighbour_list(link->index), next) {
		if (neighbour->pushed && link->face_ifindex)
			pw_kernel_neighbour_delete(link->face_ifindex, &neighbour->address);
		neighbour->pushed = false;
	}
	if (link->master && link->kind == PW_LINK_PORT)
		pw_kernel_face_vrf(link, false);
}

void pw_kernel_feed_fini(void)
{
	struct pw_link *link = events ? pw_link_next(0) : NULL;

	for (; link; link = pw_link_next(link->index))
		face_restore(link);
	pw_kernel_routes_stop();
	if (watcher)
		pw_watcher_stop(watcher);
	watcher = NULL;
	if (events)
		mnl_socket_close(events);
	events = NULL;
	pw_kernel_command_fini();
}
