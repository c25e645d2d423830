/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which SAs are inbound: those whose destination is an address of this PE. They are found by the
 * workers in the VRF of their interface's underlay device, where one is named, else in the VRF that
 * has the address, the default VRF before others, the lowest before higher ones.
 */
#include "control/sa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bundle.h"
#include "control/links.h"
#include "lib/log.h"

#define BUCKETS 1024

struct place {
	LIST_ENTRY(place) bucket;
	struct pw_address address;
	uint16_t vrf;
};
static LIST_HEAD(places, place) places[BUCKETS];

static struct places *bucket_of(const struct pw_address *address)
{
	return &places[pw_address_hash(address, 0) % BUCKETS];
}

bool pw_sa_address_local(const struct pw_address *address, uint16_t *vrf)
{
	const struct place *place;
	bool found = false;

	*vrf = 0;
	LIST_FOREACH (place, bucket_of(address), bucket)
		if (pw_address_same(&place->address, address) && (!found || place->vrf < *vrf)) {
			*vrf = place->vrf;
			found = true;
		}
	return found;
}

bool pw_sa_inward(const struct pw_sa_entry *entry, uint16_t *vrf)
{
	const struct pw_address *address = &entry->destination;
	const struct place *place;

	if (!pw_sa_front_door(entry, vrf))
		return pw_sa_address_local(address, vrf);
	LIST_FOREACH (place, bucket_of(address), bucket)
		if (place->vrf == *vrf && pw_address_same(&place->address, address))
			return true;
	return false;
}

void pw_sa_steer(struct pw_sa_detail *sa)
{
	if (sa->inward && sa->entry.spi)
		pw_address_esp_changed(sa->vrf, &sa->entry.destination, true);
}

void pw_sa_unsteer(struct pw_sa_detail *sa)
{
	if (sa->inward && sa->entry.spi)
		pw_address_esp_changed(sa->vrf, &sa->entry.destination, false);
}

static void say_lost(const struct pw_sa_detail *sa, int ret)
{
	char text[PW_ADDRESS_TEXT];

	pw_error("SA %#x to %s cannot be received with: %s", ntohl(sa->entry.spi),
		 pw_address_format(&sa->entry.destination, text),
		 ret == -EEXIST ? "another has its SPI" : strerror(-ret));
}

/** What is inside goes elsewhere: at once, or nowhere. */
static void follow_inside(struct pw_sa_detail *sa)
{
	struct pw_sa_inside inside;
	int ret;

	pw_sa_inside_find(sa, &inside);
	if (inside.interface == sa->inside.interface && inside.spd == sa->inside.spd &&
	    inside.vrf == sa->inside.vrf && inside.closed == sa->inside.closed)
		return;
	sa->inside = inside;
	if (sa->entry.larval)
		return;
	ret = pw_sa_publish(sa);
	if (!ret)
		return;
	if (sa->bound)
		pw_sa_unbind(sa->entry.id);
	sa->bound = false;
	say_lost(sa, ret);
}

/** The workers find the SA where its destination is now. */
void pw_sa_follow(struct pw_sa_detail *sa)
{
	uint16_t vrf;
	bool inward = pw_sa_inward(&sa->entry, &vrf);
	bool turned = inward != sa->inward;
	struct pw_inline *inlined = NULL;
	int ret;

	if (!turned && vrf == sa->vrf) {
		follow_inside(sa);
		return;
	}
	pw_sa_unsteer(sa);
	if (sa->bound)
		pw_sa_unbind(sa->entry.id);
	sa->bound = false;
	sa->inward = inward;
	sa->vrf = vrf;
	pw_sa_inside_find(sa, &sa->inside);
	pw_sa_steer(sa);
	if (sa->entry.larval)
		return;
	if (turned)
		inlined = pw_sa_inline_turn(sa);
	ret = pw_sa_publish(sa);
	if (turned)
		pw_sa_inline_turned(sa, inlined);
	if (ret)
		say_lost(sa, ret);
	pw_protection_sa_changed(&sa->entry);
}

void pw_sa_address_changed(uint16_t vrf, const struct pw_address *address, bool add)
{
	struct pw_sa_entry *entry;
	struct place *place;

	LIST_FOREACH (place, bucket_of(address), bucket)
		if (place->vrf == vrf && pw_address_same(&place->address, address))
			break;
	if (add == (place != NULL))
		return;
	if (add) {
		place = malloc(sizeof(*place));
		if (!place) {
			pw_error("out of memory: SAs to a local address are not found");
			return;
		}
		place->address = *address;
		place->vrf = vrf;
		LIST_INSERT_HEAD(bucket_of(address), place, bucket);
	} else {
		LIST_REMOVE(place, bucket);
		free(place);
	}
	TAILQ_FOREACH (entry, &pw_sa_list, all)
		if (pw_address_same(&entry->destination, address))
			pw_sa_follow(entry->detail);
	pw_bundles_address_changed(address);
}

void pw_sa_inward_fini(void)
{
	struct place *place;

	for (unsigned int i = 0; i < BUCKETS; i++)
		while ((place = LIST_FIRST(&places[i]))) {
			LIST_REMOVE(place, bucket);
			free(place);
		}
}
