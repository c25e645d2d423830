/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of links: their routes, their copies on the kernel's side, ICMP's sources. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <rte_jhash.h>

#include "control/links.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"

static struct pw_link_addresses lists[PW_INTERFACES];
static uint32_t limited; /* addresses with a lifetime */

/* What a VRF's ICMP errors are sent from, as last told to the workers. */
static struct {
	uint32_t source4;
	uint8_t source6[16];
} sources[PW_VRFS];

bool pw_address_same(const struct pw_address *a, const struct pw_address *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

uint32_t pw_address_hash(const struct pw_address *address, uint32_t seed)
{
	uint32_t words[4]; /* aligned, which an address's bytes are not */

	memcpy(words, address->bytes, sizeof(words));
	return rte_jhash_32b(words, 4, seed);
}

bool pw_address_link_local(const struct pw_address *address)
{
	return address->family == AF_INET6 && address->bytes[0] == 0xfe &&
	       (address->bytes[1] & 0xc0) == 0x80;
}

/** Multicast, and IPv4's broadcast address. */
bool pw_address_multicast(const struct pw_address *address)
{
	static const uint8_t broadcast[4] = {0xff, 0xff, 0xff, 0xff};

	if (address->family == AF_INET6)
		return address->bytes[0] == 0xff;
	return (address->bytes[0] & 0xf0) == 0xe0 || !memcmp(address->bytes, broadcast, 4);
}

const char *pw_address_format(const struct pw_address *address, char text[PW_ADDRESS_TEXT])
{
	if (!inet_ntop(address->family, address->bytes, text, PW_ADDRESS_TEXT))
		snprintf(text, PW_ADDRESS_TEXT, "none");
	return text;
}

static bool prefix_match(const struct pw_address *a, const struct pw_address *b,
			 unsigned int length)
{
	unsigned int bytes = length / 8, bits = length % 8;

	if (a->family != b->family || memcmp(a->bytes, b->bytes, bytes))
		return false;
	return !bits || !((a->bytes[bytes] ^ b->bytes[bytes]) >> (8 - bits));
}

static void prefix_of(const struct pw_address *address, unsigned int length,
		      struct pw_address *prefix)
{
	*prefix = *address;
	for (unsigned int i = 0; i < sizeof(prefix->bytes); i++) {
		unsigned int keep = length > 8 * i ? length - 8 * i : 0;

		if (keep < 8)
			prefix->bytes[i] &= (uint8_t)(0xff00 >> keep);
	}
}

uint32_t pw_address_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)now.tv_sec;
}

int pw_address_init(void)
{
	for (uint32_t index = 0; index < PW_INTERFACES; index++)
		TAILQ_INIT(&lists[index]);
	memset(sources, 0, sizeof(sources));
	limited = 0;
	return 0;
}

struct pw_link_addresses *pw_address_list(uint32_t link)
{
	return &lists[link];
}

/* ---- routes and steering ---- */

static bool has_connected(const struct pw_link_address *address)
{
	return !(address->flags & IFA_F_NOPREFIXROUTE) &&
	       !(address->length == 8 * pw_address_size(address->local.family) &&
		 pw_address_same(&address->local, &address->peer));
}

static int routes_add(struct pw_link_address *address)
{
	unsigned int bits = 8 * pw_address_size(address->local.family);
	struct pw_address prefix;
	int ret;

	/* Link-local packets are the kernel's: there is one fe80::/10 on every link. */
	if (pw_address_link_local(&address->local) || !address->link->admin_up)
		return 0;
	if (!address->local_routed) {
		ret = pw_route_internal(PW_ROUTE_LOCAL, address->link, &address->local, bits, 0,
					true);
		if (ret < 0)
			return ret;
		address->local_routed = true;
		pw_address_local_changed(pw_link_vrf(address->link), &address->local, true);
	}
	if (has_connected(address) && !address->connected_routed) {
		prefix_of(&address->peer, address->length, &prefix);
		ret = pw_route_internal(PW_ROUTE_CONNECTED, address->link, &prefix, address->length,
					0, true);
		if (ret < 0)
			return ret;
		address->connected_routed = true;
	}
	return 0;
}

static void routes_delete(struct pw_link_address *address)
{
	struct pw_address prefix;

	if (address->connected_routed) {
		prefix_of(&address->peer, address->length, &prefix);
		pw_route_internal(PW_ROUTE_CONNECTED, address->link, &prefix, address->length, 0,
				  false);
		address->connected_routed = false;
	}
	if (address->local_routed) {
		pw_address_local_changed(pw_link_vrf(address->link), &address->local, false);
		pw_route_internal(PW_ROUTE_LOCAL, address->link, &address->local,
				  8 * pw_address_size(address->local.family), 0, false);
		address->local_routed = false;
	}
}

int pw_address_routes_add(struct pw_link *link)
{
	struct pw_link_address *address;
	int ret;

	TAILQ_FOREACH (address, &lists[link->index], next) {
		ret = routes_add(address);
		if (ret < 0) {
			pw_address_routes_delete(link);
			return ret;
		}
	}
	return 0;
}

void pw_address_routes_delete(struct pw_link *link)
{
	struct pw_link_address *address;

	TAILQ_FOREACH (address, &lists[link->index], next)
		routes_delete(address);
}

bool pw_address_on_link(const struct pw_link *link, const struct pw_address *address)
{
	const struct pw_link_address *own;

	TAILQ_FOREACH (own, &lists[link->index], next)
		if (own->connected_routed && prefix_match(&own->peer, address, own->length))
			return true;
	return false;
}

/* ---- where packets of our own come from ---- */

int pw_address_primary(uint32_t link, int family, struct pw_address *address)
{
	const struct pw_link_address *own;

	if (link >= PW_INTERFACES)
		return -ENOENT;
	TAILQ_FOREACH (own, &lists[link], next)
		if (own->local.family == family && !pw_address_link_local(&own->local)) {
			*address = own->local;
			return 0;
		}
	return -ENOENT;
}

/* The VRF device's own address is its loopback; after it, the link's with the lowest index. */
int pw_address_primary_vrf(uint16_t vrf, int family, struct pw_address *address)
{
	const struct pw_vrf *table = pw_vrf_get(vrf);
	const struct pw_link *link = table ? pw_link_by_table(table->table) : NULL;

	if (link && !pw_address_primary(link->index, family, address))
		return 0;
	for (link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (pw_link_vrf(link) == vrf && !pw_address_primary(link->index, family, address))
			return 0;
	return -ENOENT;
}

void pw_address_icmp_source(const struct pw_link *link, uint32_t *source4, uint8_t source6[16])
{
	const struct pw_link_address *own;
	struct pw_address address;

	if (!pw_address_primary(link->index, AF_INET, &address))
		memcpy(source4, address.bytes, 4);
	if (!pw_address_primary(link->index, AF_INET6, &address)) {
		memcpy(source6, address.bytes, 16);
		return;
	}
	TAILQ_FOREACH (own, &lists[link->index], next)
		if (pw_address_link_local(&own->local)) {
			memcpy(source6, own->local.bytes, 16);
			return;
		}
}

void pw_address_vrf_sources(uint16_t vrf)
{
	struct pw_address address;
	uint8_t source6[16] = {0};
	uint32_t source4 = 0;

	if (!pw_address_primary_vrf(vrf, AF_INET, &address))
		memcpy(&source4, address.bytes, 4);
	if (!pw_address_primary_vrf(vrf, AF_INET6, &address))
		memcpy(source6, address.bytes, 16);
	if (source4 == sources[vrf].source4 && !memcmp(source6, sources[vrf].source6, 16))
		return;
	if (pw_vrf_set_icmp_source(vrf, source4, source6) < 0) {
		pw_error("out of memory: ICMP errors of VRF %u keep their old source", vrf);
		return;
	}
	sources[vrf].source4 = source4;
	memcpy(sources[vrf].source6, source6, 16);
}

/* A scan of all links only where the address may be, or may have been, the VRF's source. */
static void sources_changed(const struct pw_link *link, const struct pw_address *address)
{
	static const uint8_t none[16];
	uint16_t vrf = pw_link_vrf(link);
	const uint8_t *source = address->family == AF_INET ? (const uint8_t *)&sources[vrf].source4
							   : sources[vrf].source6;
	unsigned int size = pw_address_size(address->family);

	pw_link_publish(link);
	if (link->kind == PW_LINK_VRF || !memcmp(source, none, size) ||
	    !memcmp(source, address->bytes, size))
		pw_address_vrf_sources(vrf);
}

/* ---- adding and deleting ---- */

struct pw_link_address *pw_address_find(uint32_t link, const struct pw_address *local, int length)
{
	struct pw_link_address *address;

	TAILQ_FOREACH (address, &lists[link], next)
		if (pw_address_same(&address->local, local) &&
		    (local->family == AF_INET6 || length < 0 || address->length == length))
			return address;
	return NULL;
}

int pw_address_add(const struct pw_link_address *model)
{
	struct pw_link_address *address;
	int ret;

	if (pw_address_find(model->link->index, &model->local, model->length))
		return -EEXIST;
	address = malloc(sizeof(*address));
	if (!address)
		return -ENOMEM;
	*address = *model;
	TAILQ_INSERT_TAIL(&lists[model->link->index], address, next);
	ret = routes_add(address);
	if (ret < 0) {
		routes_delete(address);
		TAILQ_REMOVE(&lists[model->link->index], address, next);
		free(address);
		return ret;
	}
	limited += address->valid_until != 0;
	pw_address_push(address);
	sources_changed(address->link, &address->local);
	pw_neighbour_link_changed(address->link);
	pw_address_notify(address, RTM_NEWADDR);
	return 0;
}

/* The changeable part: flags that have no effect on routes, lifetimes, label. */
void pw_address_set(struct pw_link_address *address, const struct pw_link_address *model)
{
	limited -= address->valid_until != 0;
	address->valid_until = model->valid_until;
	address->preferred_until = model->preferred_until;
	limited += address->valid_until != 0;
	address->protocol = model->protocol;
	address->origin |= model->origin;
	if (model->label[0])
		memcpy(address->label, model->label, sizeof(address->label));
	if ((address->flags ^ model->flags) & IFA_F_NOPREFIXROUTE) {
		routes_delete(address);
		address->flags = model->flags;
		if (routes_add(address) < 0)
			pw_error("%s: an address lost its routes: the table is full",
				 address->link->name);
		pw_neighbour_link_changed(address->link);
	}
	address->flags = model->flags;
	pw_address_push(address);
	pw_address_notify(address, RTM_NEWADDR);
}

void pw_address_delete(struct pw_link_address *address)
{
	struct pw_link *link = address->link;
	struct pw_address local = address->local;

	routes_delete(address);
	pw_address_unpush(address);
	TAILQ_REMOVE(&lists[link->index], address, next);
	limited -= address->valid_until != 0;
	sources_changed(link, &local);
	pw_neighbour_link_changed(link);
	pw_address_notify(address, RTM_DELADDR);
	free(address);
}

void pw_address_link_deleted(struct pw_link *link)
{
	struct pw_link_address *address;

	while ((address = TAILQ_FIRST(&lists[link->index])))
		pw_address_delete(address);
}

void pw_address_fini(void)
{
	for (uint32_t index = 0; index < PW_INTERFACES; index++) {
		struct pw_link_address *address;

		while ((address = TAILQ_FIRST(&lists[index]))) {
			pw_address_unpush(address);
			TAILQ_REMOVE(&lists[index], address, next);
			free(address);
		}
	}
}

void pw_address_tick(void)
{
	uint32_t now = pw_address_seconds();

	pw_address_push_due();
	if (!limited)
		return;
	for (uint32_t index = 0; index < PW_INTERFACES; index++) {
		struct pw_link_address *address = TAILQ_FIRST(&lists[index]);

		while (address) {
			struct pw_link_address *next = TAILQ_NEXT(address, next);

			if (address->valid_until && address->valid_until <= now)
				pw_address_delete(address);
			address = next;
		}
	}
}
