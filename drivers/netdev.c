/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "drivers/port_internal.h"
#include "lib/log.h"

/* One ioctl on an interface. 0 or -errno. */
static int netdev_ioctl(unsigned long what, const char *name, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result;

	if (fd < 0)
		return -errno;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	result = ioctl(fd, what, request) < 0 ? -errno : 0;
	close(fd);
	return result;
}

static int netdev_ethtool(const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};

	return netdev_ioctl(SIOCETHTOOL, name, &request);
}

int pw_netdev_mac(const char *name, uint8_t mac[6])
{
	struct ifreq request = {0};
	int result = netdev_ioctl(SIOCGIFHWADDR, name, &request);

	if (result)
		return result;
	if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EINVAL;
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

int pw_netdev_set_mac(const char *name, const uint8_t mac[6])
{
	struct ifreq request = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	return netdev_ioctl(SIOCSIFHWADDR, name, &request);
}

int pw_netdev_set_mtu(const char *name, uint16_t mtu)
{
	struct ifreq request = {.ifr_mtu = mtu};

	return netdev_ioctl(SIOCSIFMTU, name, &request);
}

int pw_netdev_set_up(const char *name, bool up)
{
	struct ifreq request = {0};
	int result = netdev_ioctl(SIOCGIFFLAGS, name, &request);

	if (result || !!(request.ifr_flags & IFF_UP) == up)
		return result;
	request.ifr_flags ^= IFF_UP;
	return netdev_ioctl(SIOCSIFFLAGS, name, &request);
}

bool pw_netdev_running(const char *name)
{
	struct ifreq request = {0};

	return netdev_ioctl(SIOCGIFFLAGS, name, &request) == 0 &&
	       (request.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

void pw_netdev_driver(const char *name, char driver[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	driver[0] = '\0';
	if (netdev_ethtool(name, &info) == 0)
		snprintf(driver, 32, "%.31s", info.driver);
}

uint16_t pw_netdev_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	if (netdev_ethtool(name, &channels) || channels.max_combined == 0 ||
	    channels.combined_count == 0)
		return 1;
	return RTE_MIN(channels.combined_count, (uint32_t)UINT16_MAX);
}

/* The old ethtool commands, which every kernel has. */
static int netdev_feature(const char *name, uint32_t get, uint32_t set, uint32_t bit, bool on)
{
	struct ethtool_value value = {.cmd = get};
	int result = netdev_ethtool(name, &value);

	if (result || !!(value.data & bit) == on)
		return result ? result : 1;
	value.cmd = set;
	value.data ^= bit;
	return netdev_ethtool(name, &value);
}

static const struct {
	unsigned int feature;
	uint32_t get, set, bit;
} features[] = {
	{PW_NETDEV_GRO, ETHTOOL_GGRO, ETHTOOL_SGRO, 1},
	{PW_NETDEV_LRO, ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_LRO},
	{PW_NETDEV_RXVLAN, ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_RXVLAN},
};

unsigned int pw_netdev_offloads_off(struct pw_netdev *netdev, unsigned int wanted)
{
	unsigned int stays = 0;

	for (size_t i = 0; i < RTE_DIM(features); i++) {
		int result;

		if (!(wanted & features[i].feature))
			continue;
		result = netdev_feature(netdev->name, features[i].get, features[i].set,
					features[i].bit, false);
		if (result == 0)
			netdev->switched_off |= features[i].feature;
		else if (result < 0 && result != -EOPNOTSUPP)
			stays |= features[i].feature;
	}
	return stays;
}

/*
 * An abstract socket's name belongs to the network namespace, as the interface does, and goes
 * with the process, however that ends.
 */
static int netdev_lock(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int length;

	if (fd < 0)
		return -errno;
	length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "pewter/port/%s",
			  name);
	if (bind(fd, (struct sockaddr *)&address,
		 offsetof(struct sockaddr_un, sun_path) + 1 + length) < 0) {
		int code = errno;

		close(fd);
		return code == EADDRINUSE ? -EBUSY : -code;
	}
	return fd;
}

bool pw_netdev_is_veth(const char *name)
{
	char driver[32];

	pw_netdev_driver(name, driver);
	return strcmp(driver, "veth") == 0;
}

/*
 * A veth leaves to hardware that is not there what its sender was promised: checksums, cutting
 * TCP into segments, VLAN tags. Its other end is not ours to change.
 */
static void veth_advise(const char *name)
{
	if (pw_netdev_is_veth(name))
		pw_info("%s is a veth: its other end needs \"ethtool -K PEER tx off txvlan off\"",
			name);
}

int pw_netdev_open(struct pw_netdev *netdev, const char *name, char *error, size_t size)
{
	struct ifreq request = {0};
	int result;

	if (netdev->lock > 0)
		return 0; /* the second try, as AF_PACKET */
	snprintf(netdev->name, sizeof(netdev->name), "%s", name);
	netdev->index = if_nametoindex(name);
	if (!netdev->index)
		return pw_port_refuse(-ENODEV, error, size, "there is no interface %s", name);
	result = pw_netdev_mac(name, netdev->mac);
	if (result == -EINVAL)
		return pw_port_refuse(-EINVAL, error, size, "%s is not an Ethernet interface",
				      name);
	if (!result)
		result = netdev_ioctl(SIOCGIFMTU, name, &request);
	netdev->mtu = RTE_MIN(request.ifr_mtu, UINT16_MAX);
	if (!result)
		netdev->lock = netdev_lock(name);
	if (!result && netdev->lock == -EBUSY)
		return pw_port_refuse(-EBUSY, error, size,
				      "%s is in use by another port or another pewterd", name);
	if (!result && netdev->lock < 0)
		result = netdev->lock;
	if (!result)
		result = pw_netdev_set_up(name, true);
	if (result)
		return pw_port_refuse(result, error, size, "%s: %s%s", name, strerror(-result),
				      result == -EPERM ? " (it needs CAP_NET_ADMIN)" : "");
	veth_advise(name);
	return 0;
}

void pw_netdev_close(struct pw_netdev *netdev)
{
	for (size_t i = 0; i < RTE_DIM(features); i++)
		if (netdev->switched_off & features[i].feature)
			netdev_feature(netdev->name, features[i].get, features[i].set,
				       features[i].bit, true);
	netdev->switched_off = 0;
	if (netdev->lock > 0)
		close(netdev->lock);
	netdev->lock = 0;
}

/* FNV-1a: small, and the same everywhere. */
static uint64_t hash_add(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

void pw_port_stable_mac(const char *name, uint8_t mac[6])
{
	uint64_t hash = 0xcbf29ce484222325;
	char machine[64] = "";
	struct stat namespace;
	FILE *file;

	/* Several machines, or daemons in namespaces of one, on the same segment differ. */
	file = fopen("/etc/machine-id", "re");
	if (file) {
		if (fgets(machine, sizeof(machine), file))
			hash = hash_add(hash, machine, strlen(machine));
		fclose(file);
	}
	if (stat("/proc/self/ns/net", &namespace) == 0)
		hash = hash_add(hash, &namespace.st_ino, sizeof(namespace.st_ino));
	hash = hash_add(hash, name, strlen(name));
	mac[0] = 0x02; /* locally administered */
	for (int i = 1; i < 6; i++)
		mac[i] = hash >> (8 * i);
}
