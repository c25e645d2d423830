/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/nexthop.h"
#include "dataplane/table/neighbour.h"

struct pw_slots pw_nexthops;
struct pw_slots pw_groups;
struct pw_slots pw_neighbours;

int pw_nexthop_table_init(void)
{
	int ret = pw_slots_init(&pw_nexthops, "nexthops", PW_NEXTHOPS, sizeof(struct pw_nexthop),
				NULL);

	if (!ret)
		ret = pw_slots_init(&pw_groups, "groups", PW_GROUPS, sizeof(struct pw_group), NULL);
	return ret;
}

void pw_nexthop_table_fini(void)
{
	pw_slots_fini(&pw_nexthops);
	pw_slots_fini(&pw_groups);
}

int pw_neighbour_table_init(void)
{
	return pw_slots_init(&pw_neighbours, "neighbours", PW_NEIGHBOURS,
			     sizeof(struct pw_neighbour), NULL);
}

void pw_neighbour_table_fini(void)
{
	pw_slots_fini(&pw_neighbours);
}
