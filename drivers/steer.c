/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/steer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/port_internal.h"

static int steer_address(const struct pw_steer *steer, int family, const void *address, bool add,
			 uint8_t value)
{
	int map = family == AF_INET ? steer->local4 : steer->local6;

	if (family != AF_INET && family != AF_INET6)
		return -EAFNOSUPPORT;
	if (add)
		return bpf_map_update_elem(map, address, &value, BPF_ANY) < 0 ? -errno : 0;
	if (bpf_map_delete_elem(map, address) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* SSH to the machine must survive until the control thread has mirrored the addresses. */
static int steer_own_addresses(const struct pw_steer *steer, const char *interface)
{
	struct ifaddrs *all;
	int result = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *one = all; one && !result; one = one->ifa_next) {
		const void *address;

		if (!one->ifa_addr || strcmp(one->ifa_name, interface) != 0)
			continue;
		if (one->ifa_addr->sa_family == AF_INET)
			address = &((const struct sockaddr_in *)one->ifa_addr)->sin_addr;
		else if (one->ifa_addr->sa_family == AF_INET6)
			address = &((const struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
		else
			continue;
		result = steer_address(steer, one->ifa_addr->sa_family, address, true,
				       PW_STEER_LOCAL);
	}
	freeifaddrs(all);
	return result;
}

int pw_steer_begin(struct pw_steer *steer, const char *interface, const uint8_t mac[6])
{
	struct pw_steer_config config = {.enabled = 1};
	uint32_t zero = 0;
	int result = steer_own_addresses(steer, interface);

	if (result)
		return result;
	memcpy(config.mac, mac, sizeof(config.mac));
	return bpf_map_update_elem(steer->config, &zero, &config, BPF_ANY) < 0 ? -errno : 0;
}

void pw_steer_end(struct pw_steer *steer)
{
	if (steer->object) {
		bpf_object__close(steer->object);
	} else if (steer->loaded) {
		const int fds[] = {steer->config, steer->local4,  steer->local6,
				   steer->vlans,  steer->program, steer->xsks};

		for (size_t i = 0; i < RTE_DIM(fds); i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
	*steer = (struct pw_steer){0};
}

int pw_steer_local(uint16_t port, int family, const uint8_t *address, bool add, uint8_t also)
{
	struct pw_port_device *device = pw_port_device(port);

	if (!device)
		return -ENODEV;
	if (!device->steer.loaded)
		return 0;
	return steer_address(&device->steer, family, address, add, PW_STEER_LOCAL | also);
}

int pw_steer_vlan(uint16_t port, uint16_t vlan, bool add)
{
	struct pw_port_device *device = pw_port_device(port);
	uint32_t key = vlan;
	uint8_t value = add;

	if (!device)
		return -ENODEV;
	if (vlan == 0 || vlan >= PW_STEER_VLAN_IDS)
		return -EINVAL;
	if (!device->steer.loaded)
		return 0;
	return bpf_map_update_elem(device->steer.vlans, &key, &value, BPF_ANY) < 0 ? -errno : 0;
}
