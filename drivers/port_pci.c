/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_pci.h>

#include "dataplane/table/interface.h"
#include "drivers/port_internal.h"

/** pci:ADDRESS: a NIC that DPDK drives; the kernel sees a TAP in its place. */

/* Kernel drivers that hand the device over ... */
static const char *const handing_over[] = {"vfio-pci", "igb_uio", "uio_pci_generic"};

/* ... and those beside which DPDK works. */
static const char *const beside[] = {"mlx4_core", "mlx5_core", "mana"};

static int address_parse(const struct pw_port_spec *spec, char text[PCI_PRI_STR_SIZE])
{
	struct rte_pci_addr address;

	if (rte_pci_addr_parse(spec->argument, &address) < 0 || address.devid > 31 ||
	    address.function > 7)
		return -EINVAL;
	rte_pci_device_name(&address, text, PCI_PRI_STR_SIZE);
	return 0;
}

static int pci_check(const struct pw_port_spec *spec, char *error, size_t size)
{
	char text[PCI_PRI_STR_SIZE];

	if (address_parse(spec, text) < 0)
		return pw_port_refuse(-EINVAL, error, size,
				      "\"%s\" is no PCI address (as 0000:01:00.0)", spec->argument);
	return 0;
}

static bool listed(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

/* Says what keeps DPDK from the device, before DPDK fails without a word. */
static int pci_usable(const char *address, char *error, size_t size)
{
	char path[PATH_MAX];
	char target[PATH_MAX];
	char group[PATH_MAX];
	const char *driver;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
	if (access(path, F_OK) < 0)
		return pw_port_refuse(-ENODEV, error, size, "there is no PCI device %s", address);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = '\0';
	driver = length < 0 ? "" : basename(target);
	if (listed(driver, beside, RTE_DIM(beside)))
		return 0;
	if (!listed(driver, handing_over, RTE_DIM(handing_over)))
		return pw_port_refuse(-EBUSY, error, size,
				      "%s is bound to %s: bind it to vfio-pci first", address,
				      driver[0] ? driver : "no driver");
	if (strcmp(driver, "vfio-pci") != 0)
		return 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	length = readlink(path, group, sizeof(group) - 1);
	if (length < 0)
		return 0;
	group[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%.64s", basename(group));
	if (access(path, R_OK | W_OK) < 0 && errno == EACCES)
		return pw_port_refuse(-EACCES, error, size, "%s: no permission for %s", address,
				      path);
	return 0;
}

static int pci_create(struct pw_port_device *device, char *error, size_t size)
{
	struct rte_dev_iterator iterator;
	uint16_t ethdev = RTE_MAX_ETHPORTS;
	char address[PCI_PRI_STR_SIZE];
	uint16_t candidate;
	int result;

	if (address_parse(&device->port.spec, address) < 0)
		return pw_port_refuse(-EINVAL, error, size, "\"%s\" is no PCI address",
				      device->port.spec.argument);
	result = pci_usable(address, error, size);
	if (result)
		return result;
	result = rte_dev_probe(address);
	if (result < 0 && result != -EEXIST)
		return pw_port_refuse(result, error, size,
				      "DPDK has no driver for %s, or it failed: %s", address,
				      strerror(-result));
	RTE_ETH_FOREACH_MATCHING_DEV(candidate, address, &iterator)
	{
		if (ethdev == RTE_MAX_ETHPORTS)
			ethdev = candidate;
	}
	if (ethdev == RTE_MAX_ETHPORTS)
		return pw_port_refuse(-ENODEV, error, size, "%s is no Ethernet device", address);
	device->port.ethdev = ethdev;
	device->port.face = PW_FACE_TAP;
	device->created = true;
	device->interrupts = true;
	snprintf(device->bus, sizeof(device->bus), "pci");
	snprintf(device->dpdk_name, sizeof(device->dpdk_name), "%s", address);
	return 0;
}

const struct pw_port_ops pw_port_pci_ops = {
	.name = "pci",
	.check = pci_check,
	.create = pci_create,
};
