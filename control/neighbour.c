/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbours: static ones, those the kernel resolved on the faces, NBMA maps of tunnels. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <rte_byteorder.h>

#include "control/feed/kernel.h"
#include "control/links.h"
#include "control/neighbours.h"
#include "dataplane/table/neighbour.h"
#include "lib/log.h"

static struct neighbours hash[PW_NEIGHBOUR_BUCKETS];
static struct pw_link_neighbours lists[PW_INTERFACES];
static struct pw_link_neighbour *ids[PW_NEIGHBOURS];

static struct neighbours *bucket_of(uint32_t link, const struct pw_address *address)
{
	return &hash[pw_address_hash(address, link) % PW_NEIGHBOUR_BUCKETS];
}

struct neighbours *pw_neighbour_bucket(uint32_t number)
{
	return &hash[number];
}

struct pw_link_neighbours *pw_neighbour_list(uint32_t link)
{
	return &lists[link];
}

struct pw_link_neighbour *pw_neighbour_by_id(uint32_t id)
{
	return id < PW_NEIGHBOURS ? ids[id] : NULL;
}

bool pw_neighbour_ethernet(const struct pw_link *link)
{
	return link->kind == PW_LINK_PORT || link->kind == PW_LINK_VLAN;
}

struct pw_link_neighbour *pw_neighbour_find(const struct pw_link *link,
					    const struct pw_address *address)
{
	struct pw_link_neighbour *neighbour;

	LIST_FOREACH (neighbour, bucket_of(link->index, address), bucket)
		if (neighbour->link == link && pw_address_same(&neighbour->address, address))
			return neighbour;
	return NULL;
}

/* ---- the dataplane's view ---- */

static int publish(const struct pw_link_neighbour *neighbour)
{
	const struct pw_link *link = neighbour->link;
	struct pw_neighbour object = {
		.state = neighbour->state,
		.family = neighbour->address.family,
		.id = neighbour->id,
	};

	memcpy(object.address, neighbour->address.bytes, sizeof(object.address));
	if (!link) {
		object.state = PW_NEIGHBOUR_NONE;
		return pw_slot_set(&pw_neighbours, neighbour->id, &object);
	}
	object.port = link->port;
	object.mtu = (uint16_t)RTE_MIN(link->mtu, (uint32_t)PW_MTU_MAX);
	object.interface = link->index;
	object.rewrite_len = ETH_HLEN;
	memcpy(object.rewrite, neighbour->mac, ETH_ALEN);
	memcpy(object.rewrite + ETH_ALEN, link->mac, ETH_ALEN);
	if (link->kind == PW_LINK_VLAN) {
		uint16_t tag[2] = {RTE_BE16(ETH_P_8021Q), rte_cpu_to_be_16(link->vlan)};

		memcpy(object.rewrite + 12, tag, sizeof(tag));
		object.rewrite_len += sizeof(tag);
	}
	return pw_slot_set(&pw_neighbours, neighbour->id, &object);
}

/* A host route makes the packet's way one lookup. It also carries the "failed" state, so that
 * packets for a dead host are answered by the workers rather than punted. */
static bool wants_route(const struct pw_link_neighbour *neighbour)
{
	return neighbour->link && neighbour->id && neighbour->link->admin_up &&
	       !pw_address_link_local(&neighbour->address) &&
	       (neighbour->state == PW_NEIGHBOUR_REACHABLE ||
		neighbour->state == PW_NEIGHBOUR_FAILED) &&
	       (neighbour->gleaned || pw_address_on_link(neighbour->link, &neighbour->address));
}

static void route_set(struct pw_link_neighbour *neighbour, bool want)
{
	static bool complained;
	int ret;

	if (want == neighbour->routed)
		return;
	ret = pw_route_internal(PW_ROUTE_NEIGHBOUR, neighbour->link, &neighbour->address,
				8 * pw_address_size(neighbour->address.family), neighbour->id,
				want);
	if (want && ret < 0) {
		/* Packets to it go the slow way, through the control thread. */
		if (!complained)
			pw_warning("%s: no host route for a neighbour: %s", neighbour->link->name,
				   strerror(-ret));
		complained = true;
		return;
	}
	neighbour->routed = want;
}

void pw_neighbour_unroute(struct pw_link_neighbour *neighbour)
{
	route_set(neighbour, false);
}

/* Publishes a new state or header and all that follows from it. */
void pw_neighbour_settle(struct pw_link_neighbour *neighbour, uint8_t state, uint16_t nud)
{
	uint8_t old = neighbour->state;
	int ret;

	neighbour->state = state;
	neighbour->nud = nud;
	neighbour->updated = pw_neighbour_now();
	ret = publish(neighbour);
	if (ret < 0)
		pw_error("%s: a neighbour cannot be published: %s", neighbour->link->name,
			 strerror(-ret));
	route_set(neighbour, wants_route(neighbour));
	if (neighbour->references && old != state)
		pw_nexthop_neighbour_changed(neighbour->id);
	if (state == PW_NEIGHBOUR_REACHABLE || state == PW_NEIGHBOUR_FAILED)
		pw_hold_settled(neighbour);
	pw_neighbour_notify(neighbour, RTM_NEWNEIGH);
}

/* ---- life ---- */

struct pw_link_neighbour *pw_neighbour_obtain(struct pw_link *link,
					      const struct pw_address *address)
{
	struct pw_link_neighbour *neighbour = pw_neighbour_find(link, address);
	int ret;

	if (neighbour)
		return neighbour;
	neighbour = calloc(1, sizeof(*neighbour));
	if (!neighbour) {
		errno = ENOMEM;
		return NULL;
	}
	neighbour->link = link;
	neighbour->address = *address;
	neighbour->state = PW_NEIGHBOUR_INCOMPLETE;
	neighbour->nud = NUD_NONE;
	neighbour->updated = pw_neighbour_now();
	TAILQ_INIT(&neighbour->held);
	if (pw_neighbour_ethernet(link)) {
		ret = pw_slot_alloc(&pw_neighbours, &neighbour->id);
		if (!ret && (ret = publish(neighbour)) < 0)
			pw_slot_free(&pw_neighbours, neighbour->id);
		if (ret < 0) {
			free(neighbour);
			errno = -ret;
			return NULL;
		}
		ids[neighbour->id] = neighbour;
	}
	LIST_INSERT_HEAD(bucket_of(link->index, address), neighbour, bucket);
	TAILQ_INSERT_TAIL(&lists[link->index], neighbour, next);
	return neighbour;
}

/* Takes it out of everything but the hands of those who hold its id. */
static void detach(struct pw_link_neighbour *neighbour)
{
	struct pw_link *link = neighbour->link;

	pw_neighbour_wait_stop(neighbour);
	pw_hold_drop(neighbour, PW_DROP_NEIGHBOUR_FAILED);
	route_set(neighbour, false);
	if (neighbour->pushed && link->face_ifindex)
		pw_kernel_neighbour_delete(link->face_ifindex, &neighbour->address);
	LIST_REMOVE(neighbour, bucket);
	TAILQ_REMOVE(&lists[link->index], neighbour, next);
	neighbour->nud = NUD_FAILED;
	pw_neighbour_notify(neighbour, RTM_DELNEIGH);
	neighbour->link = NULL;
	if (neighbour->endpoint) {
		pw_endpoint_nbma_changed(link, &neighbour->address);
		pw_endpoint_drop(neighbour->endpoint);
	}
}

static void destroy(struct pw_link_neighbour *neighbour)
{
	if (neighbour->id) {
		ids[neighbour->id] = NULL;
		pw_slot_free(&pw_neighbours, neighbour->id);
	}
	free(neighbour);
}

void pw_neighbour_release(struct pw_link_neighbour *neighbour)
{
	if (neighbour->references)
		return;
	if (neighbour->link) {
		if (neighbour->configured || neighbour->endpoint ||
		    neighbour->wait == PW_WAIT_ANSWER || neighbour->wait == PW_WAIT_FAILED ||
		    neighbour->state == PW_NEIGHBOUR_REACHABLE)
			return;
		detach(neighbour);
	}
	destroy(neighbour);
}

/* Unconditionally; an id that next hops hold reads as "nothing" from now on. */
static void discard(struct pw_link_neighbour *neighbour)
{
	detach(neighbour);
	if (!neighbour->references) {
		destroy(neighbour);
		return;
	}
	neighbour->state = PW_NEIGHBOUR_NONE;
	if (publish(neighbour) < 0)
		pw_error("a neighbour that is gone cannot be withdrawn: no room");
	pw_nexthop_neighbour_changed(neighbour->id);
}

int pw_neighbour_take(struct pw_link *link, const struct pw_address *address, uint32_t *id)
{
	struct pw_link_neighbour *neighbour;

	if (!pw_neighbour_ethernet(link) || pw_address_multicast(address))
		return -EINVAL;
	neighbour = pw_neighbour_obtain(link, address);
	if (!neighbour)
		return -errno;
	neighbour->references++;
	*id = neighbour->id;
	if (neighbour->state == PW_NEIGHBOUR_INCOMPLETE && link->face_ifindex)
		pw_neighbour_resolve(neighbour);
	return 0;
}

void pw_neighbour_drop(uint32_t id)
{
	struct pw_link_neighbour *neighbour = pw_neighbour_by_id(id);

	/* At the end links go before routes: then there is nothing to give back to. */
	if (!neighbour || !neighbour->references)
		return;
	neighbour->references--;
	pw_neighbour_release(neighbour);
}

/* ---- configured ---- */

int pw_neighbour_configure(struct pw_link_neighbour *neighbour, const uint8_t *mac, uint16_t nud)
{
	const struct pw_link *link = neighbour->link;
	bool fixed = nud & (NUD_PERMANENT | NUD_NOARP);

	pw_neighbour_wait_stop(neighbour);
	memcpy(neighbour->mac, mac, sizeof(neighbour->mac));
	/* Where no kernel can overrule it, whatever was said holds. */
	neighbour->configured = fixed || !link->face_ifindex;
	if (link->face_ifindex) {
		int ret =
			pw_kernel_neighbour_set(link->face_ifindex, &neighbour->address, mac, nud);

		neighbour->pushed = !ret && fixed;
		if (ret < 0 && ret != -ENOTCONN)
			pw_debug("%s: the kernel does not take a neighbour: %s", link->name,
				 strerror(-ret));
		if (ret < 0)
			neighbour->configured = true;
	}
	pw_neighbour_settle(neighbour, PW_NEIGHBOUR_REACHABLE, nud);
	return 0;
}

int pw_neighbour_configure_nbma(struct pw_link_neighbour *neighbour,
				const struct pw_address *remote, uint16_t nud)
{
	uint32_t old = neighbour->endpoint, id;
	int ret = pw_endpoint_take(neighbour->link, remote, &id);

	if (ret < 0)
		return ret;
	neighbour->endpoint = id;
	neighbour->remote = *remote;
	neighbour->nud = nud;
	neighbour->configured = true;
	neighbour->state = PW_NEIGHBOUR_REACHABLE;
	neighbour->updated = pw_neighbour_now();
	pw_endpoint_nbma_changed(neighbour->link, &neighbour->address);
	if (old)
		pw_endpoint_drop(old);
	pw_neighbour_notify(neighbour, RTM_NEWNEIGH);
	return 0;
}

bool pw_neighbour_nbma(const struct pw_link *tunnel, const struct pw_address *address,
		       struct pw_address *remote)
{
	const struct pw_link_neighbour *neighbour = pw_neighbour_find(tunnel, address);

	if (!neighbour || !neighbour->endpoint)
		return false;
	*remote = neighbour->remote;
	return true;
}

void pw_neighbour_delete(struct pw_link_neighbour *neighbour)
{
	struct pw_link *link = neighbour->link;

	neighbour->configured = false;
	if (link->face_ifindex && pw_neighbour_ethernet(link))
		pw_kernel_neighbour_delete(link->face_ifindex, &neighbour->address);
	neighbour->pushed = false;
	if (!neighbour->references) {
		discard(neighbour);
		return;
	}
	pw_neighbour_unresolve(neighbour);
}

/* ---- the link's changes ---- */

void pw_neighbour_link_changed(struct pw_link *link)
{
	struct pw_link_neighbour *neighbour;

	if (!pw_neighbour_ethernet(link))
		return;
	TAILQ_FOREACH (neighbour, &lists[link->index], next) {
		if (publish(neighbour) < 0)
			pw_error("%s: a neighbour cannot follow its link: no room", link->name);
		route_set(neighbour, wants_route(neighbour));
		if (neighbour->references && neighbour->state == PW_NEIGHBOUR_INCOMPLETE &&
		    link->face_ifindex && pw_link_operational(link))
			pw_neighbour_resolve(neighbour);
	}
}

void pw_neighbour_routes_delete(struct pw_link *link)
{
	struct pw_link_neighbour *neighbour;

	TAILQ_FOREACH (neighbour, &lists[link->index], next)
		route_set(neighbour, false);
}

/* As in the kernel, what was learnt does not outlive the link's being up. */
void pw_neighbour_link_down(struct pw_link *link)
{
	struct pw_link_neighbour *neighbour = TAILQ_FIRST(&lists[link->index]);

	while (neighbour) {
		struct pw_link_neighbour *next = TAILQ_NEXT(neighbour, next);

		if (!neighbour->configured && !neighbour->references)
			discard(neighbour);
		else if (!neighbour->configured)
			pw_neighbour_unresolve(neighbour);
		neighbour = next;
	}
}

void pw_neighbour_link_deleted(struct pw_link *link)
{
	struct pw_link_neighbour *neighbour;

	while ((neighbour = TAILQ_FIRST(&lists[link->index])))
		discard(neighbour);
}

/* ---- start and end ---- */

int pw_neighbour_init(void)
{
	for (uint32_t index = 0; index < PW_INTERFACES; index++)
		TAILQ_INIT(&lists[index]);
	pw_hold_init();
	return pw_neighbour_timer_init();
}

void pw_neighbour_fini(void)
{
	pw_neighbour_timer_fini();
	pw_hold_fini();
	for (uint32_t index = 0; index < PW_INTERFACES; index++) {
		struct pw_link_neighbour *neighbour;

		while ((neighbour = TAILQ_FIRST(&lists[index]))) {
			TAILQ_REMOVE(&lists[index], neighbour, next);
			LIST_REMOVE(neighbour, bucket);
			destroy(neighbour);
		}
	}
}
