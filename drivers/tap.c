/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drivers/port_internal.h"

static int attach(const char *name, short flags)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

int pw_tap_attach(const char *name, short flags)
{
	return attach(name, (short)(IFF_TAP | flags));
}

int pw_tap_refuse(const char *name, int result, char *error, size_t size)
{
	const char *why = strerror(-result);

	if (result == -EPERM)
		why = "not permitted (it needs CAP_NET_ADMIN)";
	else if (result == -EBUSY)
		why = "another program has it";
	else if (result == -EINVAL)
		why = "an interface of that name exists and is no TAP that can be used";
	else if (result == -EEXIST)
		why = "the kernel has an interface of that name already";
	else if (result == -ENOENT)
		why = "there is no /dev/net/tun (modprobe tun)";
	else if (result == -EMFILE)
		why = "too many open files (raise the limit, ulimit -n or LimitNOFILE=)";
	return pw_port_refuse(result, error, size, "TAP %s: %s", name, why);
}

int pw_tap_create(struct pw_tap *tap, const char *name, const uint8_t mac[6], uint16_t mtu,
		  char *error, size_t size)
{
	int result;

	snprintf(tap->name, sizeof(tap->name), "%s", name);
	tap->fd = pw_tap_attach(name, (short)IFF_TUN_EXCL);
	if (tap->fd < 0)
		return pw_tap_refuse(name, tap->fd == -EBUSY ? -EEXIST : tap->fd, error, size);
	tap->ifindex = if_nametoindex(name);
	result = tap->ifindex ? pw_netdev_set_mac(name, mac) : -ENODEV;
	if (!result)
		result = pw_netdev_set_mtu(name, mtu);
	if (result) {
		pw_tap_close(tap);
		return pw_port_refuse(result, error, size, "TAP %s: %s", name, strerror(-result));
	}
	return 0;
}

int pw_tun_create(struct pw_tap *tap, const char *name, uint16_t mtu, char *error, size_t size)
{
	int result;

	snprintf(tap->name, sizeof(tap->name), "%s", name);
	tap->fd = attach(name, (short)(IFF_TUN | IFF_TUN_EXCL));
	if (tap->fd < 0)
		return pw_tap_refuse(name, tap->fd == -EBUSY ? -EEXIST : tap->fd, error, size);
	tap->ifindex = if_nametoindex(name);
	result = tap->ifindex ? pw_netdev_set_mtu(name, mtu) : -ENODEV;
	if (!result)
		return 0;
	pw_tap_close(tap);
	return pw_port_refuse(result, error, size, "TUN %s: %s", name, strerror(-result));
}

void pw_tap_close(struct pw_tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

int pw_tap_set_mac(const struct pw_tap *tap, const uint8_t mac[6])
{
	return pw_netdev_set_mac(tap->name, mac);
}

void pw_tap_set_carrier(const struct pw_tap *tap, bool carrier)
{
	int value = carrier;

	/* Kernels before 5.0 have no such call; their TAPs are always running. */
	ioctl(tap->fd, TUNSETCARRIER, &value);
}
