/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/interface.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "lib/retire.h"

struct pw_slots pw_interfaces;
struct pw_port_table *pw_ports[PW_PORTS];

int pw_interface_table_init(void)
{
	return pw_slots_init(&pw_interfaces, "interfaces", PW_INTERFACES,
			     sizeof(struct pw_interface), NULL);
}

void pw_interface_table_fini(void)
{
	for (uint16_t i = 0; i < PW_PORTS; i++) {
		rte_free(pw_ports[i]);
		pw_ports[i] = NULL;
	}
	pw_slots_fini(&pw_interfaces);
}

static void port_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	rte_free(context);
}

/* Publishes a changed copy, so that no worker sees half of a change. */
static struct pw_port_table *port_copy(uint16_t port)
{
	struct pw_port_table *copy = rte_malloc("port", sizeof(*copy), RTE_CACHE_LINE_SIZE);

	if (copy && pw_ports[port])
		memcpy(copy, pw_ports[port], sizeof(*copy));
	else if (copy)
		memset(copy, 0, sizeof(*copy));
	return copy;
}

static void port_replace(uint16_t port, struct pw_port_table *table)
{
	struct pw_port_table *old = pw_ports[port];

	__atomic_store_n(&pw_ports[port], table, __ATOMIC_RELEASE);
	pw_slots_changed();
	if (old)
		pw_retire(port_reclaim, old, 0);
}

int pw_port_publish(uint16_t port, uint16_t ethdev, uint16_t tx_queues)
{
	struct pw_port_table *table;

	if (port >= PW_PORTS)
		return -ENOSPC;
	table = port_copy(port);
	if (!table)
		return -ENOMEM;
	table->ethdev = ethdev;
	table->tx_queues = tx_queues;
	port_replace(port, table);
	return 0;
}

int pw_port_bind(uint16_t port, uint16_t vlan, uint32_t interface)
{
	struct pw_port_table *table;
	uint32_t *entry;

	if (port >= PW_PORTS || vlan >= PW_VLANS || !pw_ports[port])
		return -EINVAL;
	table = pw_ports[port];
	entry = vlan ? &table->vlan[vlan] : &table->untagged;
	if (interface && *entry && *entry != interface)
		return -EEXIST;
	__atomic_store_n(entry, interface, __ATOMIC_RELEASE);
	pw_slots_changed();
	return 0;
}

void pw_port_withdraw(uint16_t port)
{
	port_replace(port, NULL);
	pw_retire_drain();
}
