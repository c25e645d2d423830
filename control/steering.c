/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local addresses of VRFs: which of them the steering program of which port must know, and for
 * which of them ESP and IP in IP are Pewter's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control/links.h"
#include "control/xfrm.h"
#include "dataplane/table/vrf.h"
#include "drivers/port.h"
#include "drivers/steer.h"
#include "lib/log.h"

#define BUCKETS 4096

struct local {
	LIST_ENTRY(local) bucket;
	LIST_ENTRY(local) of_vrf;
	struct pw_address address;
	uint16_t vrf;
	uint32_t count; /* addresses of links, ends of tunnels; 0: not local (yet) */
	uint32_t esp;   /* inbound security associations */
	uint32_t ip;    /* tunnels of IP in IP that end there */
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
	uint8_t also = (local->vrf != PW_VRF_DEFAULT ? PW_STEER_ECHO : 0) |
		       (local->esp ? PW_STEER_ESP : 0) | (local->ip ? PW_STEER_IP : 0);
	int ret = pw_steer_local(port, local->address.family, local->address.bytes, add, also);
	static bool complained[PW_PORTS];
	char text[PW_ADDRESS_TEXT];

	if (ret == -ENODEV) /* not opened by drivers/port.h: it has none */
		return;
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

static struct local *local_find(uint16_t vrf, const struct pw_address *address)
{
	struct local *local;

	LIST_FOREACH (local, bucket_of(vrf, address), bucket)
		if (local->vrf == vrf && pw_address_same(&local->address, address))
			break;
	return local;
}

static struct local *local_make(uint16_t vrf, const struct pw_address *address)
{
	struct local *local = local_find(vrf, address);

	if (local)
		return local;
	local = calloc(1, sizeof(*local));
	if (!local) {
		pw_error("out of memory: a local address is not steered");
		return NULL;
	}
	local->address = *address;
	local->vrf = vrf;
	LIST_INSERT_HEAD(bucket_of(vrf, address), local, bucket);
	LIST_INSERT_HEAD(&by_vrf[vrf], local, of_vrf);
	return local;
}

static void local_free(struct local *local)
{
	LIST_REMOVE(local, bucket);
	LIST_REMOVE(local, of_vrf);
	free(local);
}

void pw_address_local_changed(uint16_t vrf, const struct pw_address *address, bool add)
{
	struct local *local = add ? local_make(vrf, address) : local_find(vrf, address);
	bool changed;

	if (!local)
		return;
	changed = add ? !local->count++ : local->count && !--local->count;
	if (changed)
		steer_ports(local, add);
	if (!local->count && !local->esp && !local->ip)
		local_free(local);
	/* SAs to it are found there now, or no more: which changes local->esp. */
	if (changed)
		pw_sa_address_changed(vrf, address, add);
}

/* What is more than a local address: one of the counts above. */
static void count(struct local *local, uint32_t *of, bool add)
{
	bool had = *of;

	if (add)
		++*of;
	else if (*of)
		--*of;
	/* What is not local is transit, and Pewter's anyway. */
	if (local->count && had != (*of > 0))
		steer_ports(local, true);
	if (!local->count && !local->esp && !local->ip)
		local_free(local);
}

void pw_address_esp_changed(uint16_t vrf, const struct pw_address *address, bool add)
{
	struct local *local = add ? local_make(vrf, address) : local_find(vrf, address);

	if (local)
		count(local, &local->esp, add);
}

void pw_address_ip_changed(uint16_t vrf, const struct pw_address *address, bool add)
{
	struct local *local = add ? local_make(vrf, address) : local_find(vrf, address);

	if (local)
		count(local, &local->ip, add);
}

void pw_steering_port(struct pw_link *link, uint16_t vrf, bool add)
{
	const struct local *local;

	if (link->kind != PW_LINK_PORT)
		return;
	LIST_FOREACH (local, &by_vrf[vrf], of_vrf)
		if (local->count)
			steer(link->port, local, add);
}

void pw_steering_fini(void)
{
	for (uint32_t vrf = 0; vrf < PW_VRFS; vrf++) {
		struct local *local;

		while ((local = LIST_FIRST(&by_vrf[vrf])))
			local_free(local);
	}
}
