/* SPDX-License-Identifier: BSD-3-Clause */
/* What can be done to links. The callers have checked that it makes sense. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/face.h"
#include "control/feed/kernel.h"
#include "control/links.h"
#include "control/route.h"
#include "control/spd.h"
#include "control/xfrm.h"
#include "dataplane/table/vrf.h"
#include "drivers/port.h"
#include "lib/log.h"
#include "lib/retire.h"

int pw_link_changed(struct pw_link *link)
{
	int ret = pw_link_publish(link);

	if (ret < 0)
		return ret;
	pw_nexthop_link_changed(link);
	if (link->kind == PW_LINK_TUNNEL)
		pw_endpoint_tunnel_changed(link);
	pw_sa_link_changed(link);
	pw_spd_link_changed(link);
	pw_neighbour_link_changed(link);
	pw_link_notify(link, RTM_NEWLINK, 0);
	return 0;
}

/* Children's state is made of the parent's. */
static void port_children(struct pw_link *parent, void (*fn)(struct pw_link *child, void *context),
			  void *context)
{
	struct pw_link *link;

	if (parent->kind != PW_LINK_PORT)
		return;
	for (link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (link->kind == PW_LINK_VLAN && link->parent == parent->index)
			fn(link, context);
}

static void child_follow_state(struct pw_link *child, void *context)
{
	pw_face_follow(child);
	pw_link_changed(child);
}

static void child_follow_mtu(struct pw_link *child, void *context)
{
	const struct pw_link *parent = context;

	if (child->mtu > parent->mtu)
		pw_link_set_mtu(child, parent->mtu);
}

static void child_follow_mac(struct pw_link *child, void *context)
{
	const struct pw_link *parent = context;

	memcpy(child->mac, parent->mac, sizeof(child->mac));
	pw_face_follow(child);
	pw_link_changed(child);
}

void pw_link_set_carrier(struct pw_link *link, bool carrier)
{
	if (link->carrier == carrier)
		return;
	link->carrier = carrier;
	pw_info("%s: carrier %s", link->name, carrier ? "found" : "lost");
	pw_face_follow(link);
	pw_link_changed(link);
	port_children(link, child_follow_state, NULL);
}

void pw_link_mirror(struct pw_link *link, uint32_t mtu, const uint8_t *mac)
{
	const struct pw_port *device = pw_port_find(link->port);

	if (mac && memcmp(link->mac, mac, sizeof(link->mac))) {
		memcpy(link->mac, mac, sizeof(link->mac));
		pw_link_changed(link);
		port_children(link, child_follow_mac, link);
	}
	if (!device || !mtu || mtu == link->mtu)
		return;
	if (mtu < PW_MTU_IPV4_MIN || mtu > device->mtu_max) {
		pw_warning("%s: the kernel's MTU %u is out of the range 68 to %u: %u stays",
			   link->name, mtu, device->mtu_max, link->mtu);
		return;
	}
	pw_link_set_mtu(link, mtu);
}

int pw_link_set_mtu(struct pw_link *link, uint32_t mtu)
{
	uint32_t old = link->mtu;
	int ret;

	if (mtu == old)
		return 0;
	if (link->kind == PW_LINK_PORT) {
		ret = pw_port_set_mtu(link->port, (uint16_t)mtu);
		if (ret < 0)
			return ret;
	}
	link->mtu = mtu;
	ret = pw_link_changed(link);
	if (ret < 0) {
		link->mtu = old;
		if (link->kind == PW_LINK_PORT)
			pw_port_set_mtu(link->port, (uint16_t)old);
		return ret;
	}
	if (link->face && link->face_ifindex)
		pw_kernel_link_mtu(link->face_ifindex, mtu);
	port_children(link, child_follow_mtu, link);
	return 0;
}

int pw_link_set_up(struct pw_link *link, bool up)
{
	int ret = 0;

	if (link->admin_up == up)
		return 0;
	if (link->kind == PW_LINK_PORT) {
		ret = pw_port_set_up(link->port, up);
		if (ret < 0)
			return ret;
	}
	link->admin_up = up;
	if (up) {
		ret = pw_address_routes_add(link);
	} else {
		pw_neighbour_routes_delete(link);
		pw_address_routes_delete(link);
	}
	if (ret < 0) {
		link->admin_up = false;
		if (link->kind == PW_LINK_PORT)
			pw_port_set_up(link->port, false);
		return ret;
	}
	/* A native face stays up when its link goes down: the kernel's SSH is on it. */
	if (link->face_ifindex && (up || link->face))
		pw_kernel_link_up(link->face_ifindex, up);
	if (up)
		pw_address_push_all(link);
	else
		pw_neighbour_link_down(link);
	pw_link_changed(link);
	port_children(link, child_follow_state, NULL);
	return 0;
}

int pw_link_set_master(struct pw_link *link, uint32_t master)
{
	uint32_t old = link->master;
	uint16_t old_vrf = pw_link_vrf(link);
	int ret;

	if (old == master)
		return 0;
	pw_neighbour_routes_delete(link);
	pw_address_routes_delete(link);
	pw_steering_port(link, old_vrf, false);
	link->master = master;
	pw_link_refresh_vrf(link);
	ret = pw_address_routes_add(link);
	if (ret < 0) {
		link->master = old;
		pw_link_refresh_vrf(link);
		pw_steering_port(link, old_vrf, true);
		/* There was room for them a moment ago. */
		pw_address_routes_add(link);
		pw_neighbour_link_changed(link);
		return ret;
	}
	pw_steering_port(link, pw_link_vrf(link), true);
	pw_address_vrf_sources(old_vrf);
	pw_address_vrf_sources(pw_link_vrf(link));
	if (link->face_ifindex && link->kind != PW_LINK_LOOPBACK)
		pw_kernel_face_vrf(link, master != 0);
	pw_address_repush(link);
	pw_link_changed(link);
	/* Tunnels that run over this link have another front-door VRF now. */
	for (struct pw_link *tunnel = pw_link_next(0); tunnel; tunnel = pw_link_next(tunnel->index))
		if ((tunnel->kind == PW_LINK_TUNNEL &&
		     tunnel->tunnel.underlay_link == link->index) ||
		    (tunnel->kind == PW_LINK_IPSEC && tunnel->ipsec.underlay_link == link->index))
			pw_link_changed(tunnel);
	return 0;
}

unsigned int pw_tunnel_overhead(const struct pw_tunnel *tunnel)
{
	unsigned int bytes = tunnel->local.family == AF_INET6 ? 40 : 20;

	if (tunnel->mpls_in_ip || tunnel->ip_in_ip)
		return bytes;
	/* RFC 2784 and 2890: each option is one 32-bit word behind the first. */
	return bytes + 4 + 4 * (tunnel->key_set + tunnel->checksum + tunnel->sequence);
}

uint32_t pw_tunnel_default_mtu(const struct pw_tunnel *tunnel)
{
	const struct pw_link *underlay = pw_link_by_index(tunnel->underlay_link);
	uint32_t mtu =
		underlay && (underlay->kind == PW_LINK_PORT || underlay->kind == PW_LINK_VLAN)
			? underlay->mtu
			: 1500;
	uint32_t overhead = pw_tunnel_overhead(tunnel);

	return mtu > overhead + PW_MTU_IPV4_MIN ? mtu - overhead : PW_MTU_IPV4_MIN;
}

int pw_link_set_tunnel(struct pw_link *link, const struct pw_tunnel *tunnel)
{
	struct pw_tunnel old = link->tunnel;
	uint32_t old_mtu = link->mtu, mtu = old_mtu;
	int ret;

	/* An MTU that nobody chose follows the overhead. */
	if (link->mtu == pw_tunnel_default_mtu(&old))
		mtu = pw_tunnel_default_mtu(tunnel);
	link->tunnel = *tunnel;
	link->mtu = mtu;
	ret = pw_link_changed(link);
	if (ret < 0) {
		link->tunnel = old;
		link->mtu = old_mtu;
	}
	return ret;
}

static int vlan_attach(struct pw_link *link, char *error, size_t size)
{
	struct pw_link *parent = pw_link_by_index(link->parent);
	const struct pw_port *device = pw_port_find(link->port);
	int ret;

	ret = pw_steer_vlan(link->port, link->vlan, true);
	if (ret < 0) {
		snprintf(error, size, "%s cannot take frames of VLAN %u: %s", parent->name,
			 link->vlan, strerror(-ret));
		return ret;
	}
	if (device && device->face != PW_FACE_NONE) {
		ret = pw_face_open(link, error, size);
		if (ret < 0) {
			pw_steer_vlan(link->port, link->vlan, false);
			return ret;
		}
	}
	ret = pw_link_publish(link);
	if (!ret)
		ret = pw_port_bind(link->port, link->vlan, link->index);
	if (ret < 0) {
		snprintf(error, size, "VLAN %u cannot be bound to %s: %s", link->vlan, parent->name,
			 strerror(-ret));
		pw_steer_vlan(link->port, link->vlan, false);
		return ret;
	}
	if (link->face)
		pw_kernel_face_added(link);
	return 0;
}

int pw_link_set_tunnel_face(struct pw_link *link, bool on, char *error, size_t size)
{
	int ret;

	if (on == (link->face != NULL))
		return 0;
	if (on) {
		ret = pw_face_open(link, error, size);
		if (ret < 0)
			return ret;
		pw_kernel_face_added(link);
	} else {
		pw_address_face_gone(link);
		pw_face_close(link);
	}
	ret = pw_link_publish(link);
	if (ret < 0) {
		snprintf(error, size, "%s: %s", link->name, strerror(-ret));
		pw_face_close(link);
	}
	return ret;
}

static void vlan_detach(struct pw_link *link)
{
	pw_port_bind(link->port, link->vlan, 0);
	pw_steer_vlan(link->port, link->vlan, false);
	pw_face_close(link);
}

struct pw_link *pw_link_create(const struct pw_link *model, char *error, size_t size)
{
	struct pw_link *link;
	int ret = 0;

	if (model->kind == PW_LINK_VRF) {
		ret = pw_vrf_take(model->table);
		if (ret < 0) {
			snprintf(error, size, "no room for another routing table: %s",
				 strerror(-ret));
			errno = -ret;
			return NULL;
		}
		ret = 0;
	}
	link = pw_link_register(model);
	if (!link) {
		snprintf(error, size,
			 errno == ENOSPC ? "the table of links is full" : "out of memory");
		return NULL;
	}
	if (link->kind == PW_LINK_VLAN)
		ret = vlan_attach(link, error, size);
	if (link->kind == PW_LINK_TUNNEL) {
		ret = pw_endpoint_tunnel_added(link);
		if (ret < 0)
			snprintf(error, size, "the tunnel cannot be set up: %s", strerror(-ret));
	}
	if (link->kind == PW_LINK_IPSEC) {
		ret = pw_ipsec_added(link);
		if (ret < 0)
			snprintf(error, size, "no room for the policies of another interface");
	}
	if (ret < 0) {
		pw_link_unregister(link);
		errno = -ret;
		return NULL;
	}
	pw_link_notify(link, RTM_NEWLINK, ~0U);
	return link;
}

static void vrf_release_slaves(struct pw_link *vrf)
{
	struct pw_link *link;

	for (link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (link->master == vrf->index)
			pw_link_set_master(link, 0);
}

/* The table stays as long as it has routes, as in the kernel. */
static void vrf_reclaim(void *context, uint64_t table)
{
	int vrf = pw_vrf_find((uint32_t)table);

	if (vrf > 0 && !pw_table_find((uint32_t)table) && !pw_link_by_table((uint32_t)table))
		pw_vrf_free((uint16_t)vrf);
}

void pw_link_delete(struct pw_link *link)
{
	uint32_t table = link->kind == PW_LINK_VRF ? link->table : 0;

	if (link->kind == PW_LINK_VRF)
		vrf_release_slaves(link);
	link->admin_up = false;
	link->carrier = false;
	pw_link_publish(link); /* nothing more comes in */
	if (link->kind == PW_LINK_VLAN)
		pw_port_bind(link->port, link->vlan, 0);
	pw_neighbour_routes_delete(link);
	pw_address_link_deleted(link);
	pw_nexthop_link_deleted(link);
	pw_neighbour_link_deleted(link);
	if (link->kind == PW_LINK_TUNNEL)
		pw_endpoint_tunnel_deleted(link);
	if (link->kind == PW_LINK_IPSEC)
		pw_ipsec_deleted(link);
	pw_spd_link_deleted(link);
	pw_sa_link_changed(link);
	if (link->kind == PW_LINK_VLAN)
		vlan_detach(link);
	if (link->kind == PW_LINK_TUNNEL)
		pw_face_close(link);
	pw_link_notify(link, RTM_DELLINK, ~0U);
	pw_link_unregister(link);
	if (table)
		pw_retire(vrf_reclaim, NULL, table);
}
