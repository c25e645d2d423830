/* SPDX-License-Identifier: BSD-3-Clause */
/* Local addresses of VRFs: which of them the steering program of which port must know. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control/links.h"
#include "dataplane/table/vrf.h"
#include "drivers/port.h"
#include "lib/log.h"

#define BUCKETS 4096

struct local {
	LIST_ENTRY(local) bucket;
	LIST_ENTRY(local) of_vrf;
	struct pw_address address;
	uint16_t vrf;
	uint32_t count; /* addresses of links, ends of tunnels */
};
LIST_HEAD(locals, local);

static struct locals table[BUCKETS];
static struct locals by_vrf[PW_VRFS];

static struct locals *bucket_of(uint16_t vrf, const struct pw_address *address)
{
	return &table[pw_address_hash(address, vrf) % BUCKETS];
}

/* In the default VRF the kernel answers pings; it knows nothing of the others. */
static void steer(uint16_t port, const struct local *local, bool add)
{
	int ret = pw_steer_local(port, local->address.family, local->address.bytes, add,
				 local->vrf != PW_VRF_DEFAULT);
	static bool complained[PW_PORTS];
	char text[PW_ADDRESS_TEXT];

	/* A full map would be said once for each address. */
	if (ret < 0 && !complained[port])
		pw_warning("%s: local address %s cannot be %s the steering program: %s",
			   pw_link_by_port(port)->name, pw_address_format(&local->address, text),
			   add ? "told to" : "taken from", strerror(-ret));
	complained[port] = ret < 0;
}

static void steer_ports(const struct local *local, bool add)
{
	for (uint16_t port = 0; port < PW_PORTS; port++) {
		const struct pw_link *link = pw_link_by_port(port);

		if (link && pw_link_vrf(link) == local->vrf)
			steer(port, local, add);
	}
}

void pw_address_local_changed(uint16_t vrf, const struct pw_address *address, bool add)
{
	struct locals *bucket = bucket_of(vrf, address);
	struct local *local;

	LIST_FOREACH (local, bucket, bucket)
		if (local->vrf == vrf && pw_address_same(&local->address, address))
			break;
	if (add && !local) {
		local = calloc(1, sizeof(*local));
		if (!local) {
			pw_error("out of memory: a local address is not steered");
			return;
		}
		local->address = *address;
		local->vrf = vrf;
		LIST_INSERT_HEAD(bucket, local, bucket);
		LIST_INSERT_HEAD(&by_vrf[vrf], local, of_vrf);
		steer_ports(local, true);
	}
	if (!local)
		return;
	if (add) {
		local->count++;
	} else if (!--local->count) {
		steer_ports(local, false);
		LIST_REMOVE(local, bucket);
		LIST_REMOVE(local, of_vrf);
		free(local);
	}
}

void pw_steering_port(struct pw_link *link, uint16_t vrf, bool add)
{
	const struct local *local;

	if (link->kind != PW_LINK_PORT)
		return;
	LIST_FOREACH (local, &by_vrf[vrf], of_vrf)
		steer(link->port, local, add);
}

void pw_steering_fini(void)
{
	for (uint32_t vrf = 0; vrf < PW_VRFS; vrf++) {
		struct local *local;

		while ((local = LIST_FIRST(&by_vrf[vrf]))) {
			LIST_REMOVE(local, bucket);
			LIST_REMOVE(local, of_vrf);
			free(local);
		}
	}
}
