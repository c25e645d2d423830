/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/port_internal.h"

static const struct pw_port_ops *const drivers[] = {
	[PW_PORT_AF_XDP] = &pw_port_af_xdp_ops, [PW_PORT_AF_PACKET] = &pw_port_af_packet_ops,
	[PW_PORT_TAP] = &pw_port_tap_ops,       [PW_PORT_PCI] = &pw_port_pci_ops,
	[PW_PORT_MEMIF] = &pw_port_memif_ops,   [PW_PORT_VHOST] = &pw_port_vhost_ops,
	[PW_PORT_NULL] = &pw_port_null_ops,     [PW_PORT_RING] = &pw_port_ring_ops,
};

const struct pw_port_ops *pw_port_driver_ops(enum pw_port_driver driver)
{
	return drivers[driver];
}

int pw_port_refuse(int code, char *error, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, size, format, arguments);
	va_end(arguments);
	return code;
}

bool pw_interface_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	/* The kernel forbids '/', ':' and blanks; the rest would end a device argument. */
	for (const char *c = name; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("/:,=[]\"", *c))
			return false;
	return true;
}

int pw_native_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	if (!pw_interface_name_valid(spec->argument))
		return pw_port_refuse(-EINVAL, error, size,
				      "\"%s\" is no name of an interface (1 to 15 characters)",
				      spec->argument);
	return 0;
}

int pw_socket_check(const char *path, bool client, char *error, size_t size)
{
	char directory[PATH_MAX];

	if (client) {
		if (access(path, R_OK | W_OK) == 0)
			return 0;
		return pw_port_refuse(-errno, error, size, "nobody to connect to at %s: %s", path,
				      strerror(errno));
	}
	snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path + 1), path);
	if (access(directory, W_OK | X_OK) < 0)
		return pw_port_refuse(-errno, error, size, "the socket %s cannot be made: %s", path,
				      strerror(errno));
	return 0;
}

static int driver_find(const char *name, size_t length)
{
	for (int i = 0; i < PW_PORT_RING; i++)
		if (strlen(drivers[i]->name) == length &&
		    strncmp(drivers[i]->name, name, length) == 0)
			return i;
	return -1;
}

/* Where the operator gave no name: the interface's, else "port" and a number. */
static void name_default(struct pw_port_spec *spec)
{
	static unsigned int next;

	if (spec->driver == PW_PORT_AF_XDP || spec->driver == PW_PORT_AF_PACKET ||
	    spec->driver == PW_PORT_TAP)
		snprintf(spec->name, sizeof(spec->name), "%.15s", spec->argument);
	else
		snprintf(spec->name, sizeof(spec->name), "port%u", next++ % 1000000);
}

/* ",crypto=inline" behind a NIC's address. */
static int crypto_take(struct pw_port_spec *spec, char *error, size_t size)
{
	static const char option[] = ",crypto=";
	char *at = spec->driver == PW_PORT_PCI ? strstr(spec->argument, option) : NULL;
	const char *value;

	if (!at)
		return 0;
	*at = '\0';
	value = at + strlen(option);
	spec->inline_crypto = strcmp(value, "inline") == 0;
	if (!spec->inline_crypto && strcmp(value, "none") != 0)
		return pw_port_refuse(-EINVAL, error, size,
				      "crypto= is inline or none (the default), not \"%s\"", value);
	return 0;
}

int pw_port_parse(const char *text, struct pw_port_spec *spec, char *error, size_t size)
{
	const char *colon = strchr(text, ':');
	const char *equals = strchr(text, '=');
	const char *driver = text;
	int result;

	memset(spec, 0, sizeof(*spec));
	if (!colon)
		return pw_port_refuse(-EINVAL, error, size,
				      "port \"%s\" is not of the form [NAME=]DRIVER:ARGUMENT",
				      text);
	if (equals && equals < colon) {
		snprintf(spec->name, sizeof(spec->name), "%.*s", (int)(equals - text), text);
		if (equals - text >= IFNAMSIZ || !pw_interface_name_valid(spec->name))
			return pw_port_refuse(-EINVAL, error, size,
					      "\"%.*s\" is no name for a port (1 to 15 characters, "
					      "no blanks, no \"/:,=[]\")",
					      (int)(equals - text), text);
		driver = equals + 1;
	}
	result = driver_find(driver, colon - driver);
	if (result < 0)
		return pw_port_refuse(-EINVAL, error, size,
				      "there is no port driver \"%.*s\" (af_xdp, af_packet, tap, "
				      "pci, memif, vhost or null)",
				      (int)(colon - driver), driver);
	spec->driver = result;
	if (strlen(colon + 1) >= sizeof(spec->argument))
		return pw_port_refuse(-EINVAL, error, size, "port \"%.40s...\" is too long", text);
	snprintf(spec->argument, sizeof(spec->argument), "%s", colon + 1);
	result = crypto_take(spec, error, size);
	if (!result)
		result = drivers[spec->driver]->check(spec, error, size);
	if (!result && spec->name[0] == '\0')
		name_default(spec);
	return result;
}
