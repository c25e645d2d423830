/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses and the kernel faces: what the API configured is put there, what the operator put
 * there is taken over, and what both name is one address. */
#include <errno.h>
#include <string.h>

#include <linux/if_addr.h>

#include "control/feed/kernel.h"
#include "control/links.h"
#include "lib/log.h"

static bool push_due; /* the kernel dropped something of ours */

void pw_address_push(struct pw_link_address *address)
{
	struct pw_link *link = address->link;
	char text[PW_ADDRESS_TEXT];
	bool prefix_route;
	int ret;

	if (!link->face_ifindex || address->origin != PW_ADDRESS_API)
		return;
	/* Prefixes of VRFs overlap, and the kernel has but one table here. */
	prefix_route = !link->master && !(address->flags & IFA_F_NOPREFIXROUTE);
	ret = pw_kernel_address(link->face_ifindex, &address->local, &address->peer,
				address->length, prefix_route, true);
	if (ret == -ENOTCONN)
		return;
	if (ret < 0 && ret != -EEXIST) {
		pw_warning("%s: the kernel does not take address %s on %s: %s", link->name,
			   pw_address_format(&address->local, text), link->face_name,
			   strerror(-ret));
		return;
	}
	address->pushed |= !ret;
	address->origin |= PW_ADDRESS_KERNEL;
}

void pw_address_unpush(struct pw_link_address *address)
{
	struct pw_link *link = address->link;

	if (link->face_ifindex && address->pushed)
		pw_kernel_address(link->face_ifindex, &address->local, &address->peer,
				  address->length, false, false);
	address->pushed = false;
	address->origin &= (uint8_t)~PW_ADDRESS_KERNEL;
}

void pw_address_push_all(struct pw_link *link)
{
	struct pw_link_address *address;

	TAILQ_FOREACH (address, pw_address_list(link->index), next)
		pw_address_push(address);
}

void pw_address_push_due(void)
{
	if (!push_due)
		return;
	push_due = false;
	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index))
		if (link->face_ifindex)
			pw_address_push_all(link);
}

/* The prefix route of what we pushed depends on the VRF, so it is pushed anew. */
void pw_address_repush(struct pw_link *link)
{
	struct pw_link_address *address;

	TAILQ_FOREACH (address, pw_address_list(link->index), next) {
		if (!address->pushed)
			continue;
		pw_address_unpush(address);
		pw_address_push(address);
	}
}

void pw_address_face_gone(struct pw_link *link)
{
	struct pw_link_address *address = TAILQ_FIRST(pw_address_list(link->index));

	while (address) {
		struct pw_link_address *next = TAILQ_NEXT(address, next);

		address->pushed = false;
		address->origin &= (uint8_t)~PW_ADDRESS_KERNEL;
		if (!address->origin)
			pw_address_delete(address);
		address = next;
	}
}

static void mirror_add(struct pw_link *link, const struct pw_address *local, unsigned int length)
{
	struct pw_link_address model = {
		.link = link,
		.local = *local,
		.peer = *local,
		.length = (uint8_t)length,
		.origin = PW_ADDRESS_KERNEL,
		.seen = true,
	};
	char text[PW_ADDRESS_TEXT];
	int ret = pw_address_add(&model);

	if (ret < 0)
		pw_error("%s: the kernel's address %s is not taken over: %s", link->name,
			 pw_address_format(local, text), strerror(-ret));
}

void pw_address_mirror(struct pw_link *link, const struct pw_address *local, unsigned int length,
		       bool add)
{
	struct pw_link_address *address = pw_address_find(link->index, local, (int)length);

	if (add && !address) {
		mirror_add(link, local, length);
	} else if (add) {
		address->origin |= PW_ADDRESS_KERNEL;
		address->seen = true;
	} else if (address && address->origin == PW_ADDRESS_KERNEL) {
		pw_address_delete(address);
	} else if (address) {
		/* The kernel drops IPv6 addresses when an interface goes down, for one. */
		address->origin &= (uint8_t)~PW_ADDRESS_KERNEL;
		push_due = true;
	}
}

void pw_address_sweep_begin(void)
{
	struct pw_link_address *address;

	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index))
		TAILQ_FOREACH (address, pw_address_list(link->index), next)
			address->seen = false;
}

void pw_address_sweep_end(void)
{
	for (struct pw_link *link = pw_link_next(0); link; link = pw_link_next(link->index)) {
		struct pw_link_address *address = TAILQ_FIRST(pw_address_list(link->index));

		while (address) {
			struct pw_link_address *next = TAILQ_NEXT(address, next);

			if ((address->origin & PW_ADDRESS_KERNEL) && !address->seen)
				pw_address_mirror(link, &address->local, address->length, false);
			address = next;
		}
	}
}
