/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "drivers/port_internal.h"

/** vhost:SOCKET[,client=1]: the back end of a virtual machine's virtio interface. */
struct vhost {
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool client;
};

static int vhost_parse(const struct pw_port_spec *spec, struct vhost *vhost, char *error,
		       size_t size)
{
	char text[sizeof(spec->argument)];
	char *next = text;
	char *option;

	memset(vhost, 0, sizeof(*vhost));
	snprintf(text, sizeof(text), "%s", spec->argument);
	option = strsep(&next, ",");
	if (option[0] != '/')
		return pw_port_refuse(-EINVAL, error, size,
				      "vhost: \"%s\" is not the absolute path of a socket", option);
	if (strlen(option) >= sizeof(vhost->socket))
		return pw_port_refuse(-EINVAL, error, size, "vhost: the socket's path is too long");
	snprintf(vhost->socket, sizeof(vhost->socket), "%s", option);
	while ((option = strsep(&next, ","))) {
		if (strcmp(option, "client=1") != 0 && strcmp(option, "client=0") != 0)
			return pw_port_refuse(-EINVAL, error, size,
					      "vhost: \"%s\" is not client=0 or client=1", option);
		vhost->client = option[7] == '1';
	}
	return 0;
}

static int vhost_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	struct vhost vhost;

	return vhost_parse(spec, &vhost, error, size);
}

static int vhost_create(struct pw_port_device *device, char *error, size_t size)
{
	char arguments[256];
	struct vhost vhost;
	int result;

	result = vhost_parse(&device->port.spec, &vhost, error, size);
	if (result)
		return result;
	/* As client it waits until the other side is there. */
	result = vhost.client ? 0 : pw_socket_check(vhost.socket, false, error, size);
	if (result)
		return result;
	pw_port_stable_mac(device->port.spec.name, device->port.mac);
	snprintf(arguments, sizeof(arguments), "iface=%s,queues=%u,client=%d", vhost.socket,
		 pw_ethdev_workers(), vhost.client);
	result = pw_ethdev_create(device, "net_vhost", arguments);
	if (result)
		return pw_port_refuse(result, error, size,
				      "vhost: the socket %s cannot be used: %s", vhost.socket,
				      strerror(-result));
	return 0;
}

const struct pw_port_ops pw_port_vhost_ops = {
	.name = "vhost",
	.check = vhost_check,
	.create = vhost_create,
};
