/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <rte_ether.h>

#include "drivers/port_internal.h"

/**
 * memif:SOCKET[,role=client][,id=N][,mac=ADDRESS]: shared memory with another program on this
 * machine (VPP, another Pewter).
 */
struct memif {
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool client;
	unsigned int id;
	struct rte_ether_addr mac; /* zero: made from the port's name */
};

static int memif_option(const char *option, struct memif *memif)
{
	char rest;

	if (strcmp(option, "role=server") == 0)
		memif->client = false;
	else if (strcmp(option, "role=client") == 0)
		memif->client = true;
	else if (strncmp(option, "mac=", 4) == 0)
		return rte_ether_unformat_addr(option + 4, &memif->mac) == 0 &&
				       rte_is_valid_assigned_ether_addr(&memif->mac)
			       ? 0
			       : -EINVAL;
	else if (sscanf(option, "id=%u%c", &memif->id, &rest) != 1)
		return -EINVAL;
	return 0;
}

static int memif_parse(const struct pw_port_spec *spec, struct memif *memif, char *error,
		       size_t size)
{
	char text[sizeof(spec->argument)];
	char *next = text;
	char *option;

	memset(memif, 0, sizeof(*memif));
	snprintf(text, sizeof(text), "%s", spec->argument);
	option = strsep(&next, ",");
	if (option[0] != '/')
		return pw_port_refuse(-EINVAL, error, size,
				      "memif: \"%s\" is not the absolute path of a socket", option);
	if (strlen(option) >= sizeof(memif->socket))
		return pw_port_refuse(-EINVAL, error, size, "memif: the socket's path is too long");
	snprintf(memif->socket, sizeof(memif->socket), "%s", option);
	while ((option = strsep(&next, ",")))
		if (memif_option(option, memif) < 0)
			return pw_port_refuse(-EINVAL, error, size,
					      "memif: \"%s\" is not role=server, role=client, "
					      "id=NUMBER or mac=ADDRESS",
					      option);
	return 0;
}

static int memif_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	struct memif memif;

	return memif_parse(spec, &memif, error, size);
}

static int memif_create(struct pw_port_device *device, char *error, size_t size)
{
	const uint8_t *mac = device->port.mac;
	char arguments[256];
	struct memif memif;
	int result;

	result = memif_parse(&device->port.spec, &memif, error, size);
	if (result)
		return result;
	result = pw_socket_check(memif.socket, memif.client, error, size);
	if (result)
		return result;
	pw_port_stable_mac(device->port.spec.name, device->port.mac);
	if (!rte_is_zero_ether_addr(&memif.mac))
		memcpy(device->port.mac, &memif.mac, sizeof(device->port.mac));
	snprintf(arguments, sizeof(arguments),
		 "role=%s,id=%u,socket=%s,socket-abstract=no,mac=%02x:%02x:%02x:%02x:%02x:%02x",
		 memif.client ? "client" : "server", memif.id, memif.socket, mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	result = pw_ethdev_create(device, "net_memif", arguments);
	if (result)
		return pw_port_refuse(result, error, size,
				      "memif: the socket %s or its id is taken: %s", memif.socket,
				      strerror(-result));
	return 0;
}

const struct pw_port_ops pw_port_memif_ops = {
	.name = "memif",
	.check = memif_check,
	.create = memif_create,
};
