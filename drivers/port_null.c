/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "drivers/port_internal.h"

static int null_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	if (spec->argument[0] != '\0')
		return pw_port_refuse(-EINVAL, error, size, "null: takes no argument (\"%s\")",
				      spec->argument);
	return 0;
}

static int null_create(struct pw_port_device *device, char *error, size_t size)
{
	int result = pw_ethdev_create(device, "net_null", "no-rx=1");

	if (result)
		return pw_port_refuse(result, error, size, "null: %s", strerror(-result));
	pw_port_stable_mac(device->port.spec.name, device->port.mac);
	return 0;
}

static int null_rx_fd(const struct pw_port_device *device, uint16_t queue)
{
	return PW_RX_NEVER;
}

const struct pw_port_ops pw_port_null_ops = {
	.name = "null",
	.check = null_check,
	.create = null_create,
	.rx_fd = null_rx_fd,
};

/* An ethdev that somebody else made (pw_port_open_ethdev()); not in a specification. */
const struct pw_port_ops pw_port_ring_ops = {
	.name = "ring",
};
