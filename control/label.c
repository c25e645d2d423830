/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/endpoint.h"
#include "dataplane/table/label.h"

static struct pw_label_route **routes; /* by label; untouched pages cost nothing */
static unsigned int route_count;
static uint32_t unused_from = PW_LABEL_RESERVED;
static uint8_t only_from_sa[PW_LABELS / 8]; /* bits, by label */
static uint64_t sets_generation;            /* of endpoints, when sets were last published */
static unsigned int set_count;

int pw_labels_init(void)
{
	routes = calloc(PW_LABELS, sizeof(*routes));
	return routes ? 0 : -ENOMEM;
}

static void route_free(struct pw_label_route *route)
{
	route->path->routes--;
	pw_path_drop(route->path);
	if (route->set) {
		pw_label_set_free(route->set);
		set_count--;
	}
	free(route->remotes);
	free(route);
}

void pw_labels_fini(void)
{
	for (uint32_t label = 0; routes && label < PW_LABELS; label++) {
		if (!routes[label])
			continue;
		pw_label_set(label, (struct pw_label){0});
		route_free(routes[label]);
	}
	free(routes);
	routes = NULL;
	route_count = set_count = 0;
	unused_from = PW_LABEL_RESERVED;
	memset(only_from_sa, 0, sizeof(only_from_sa));
}

struct pw_label_route *pw_label_find(uint32_t label)
{
	return label < PW_LABELS ? routes[label] : NULL;
}

struct pw_label_route *pw_label_next(uint32_t label)
{
	if (!route_count)
		return NULL;
	while (label < PW_LABELS && !routes[label])
		label++;
	return label < PW_LABELS ? routes[label] : NULL;
}

uint32_t pw_label_unused(void)
{
	for (uint32_t i = 0; i < PW_LABELS - PW_LABEL_RESERVED; i++) {
		if (unused_from >= PW_LABELS)
			unused_from = PW_LABEL_RESERVED;
		if (!routes[unused_from])
			return unused_from++;
		unused_from++;
	}
	return 0;
}

unsigned int pw_label_count(void)
{
	return route_count;
}

/* A next-hop object may be replaced by one with labels, or without: so look at its legs now. */
static bool path_has_labels(const struct pw_path *path)
{
	const struct pw_leg *leg;
	uint32_t weight;

	for (unsigned int i = 0; (leg = pw_path_leg(path, i, &weight)); i++)
		if (leg->hop.label_count)
			return true;
	return false;
}

static void label_publish(const struct pw_label_route *route)
{
	struct pw_label entry = {.allowed = route->set, .nexthop = route->path->id};

	if (route->type == RTN_BLACKHOLE)
		entry.action = PW_LABEL_DISCARD;
	else
		entry.action = path_has_labels(route->path) ? PW_LABEL_SWAP : PW_LABEL_POP;
	if (route->propagate == PW_LABEL_PROPAGATE_ON)
		entry.flags = PW_LABEL_TTL_UNIFORM;
	else if (route->propagate == PW_LABEL_PROPAGATE_OFF)
		entry.flags = PW_LABEL_TTL_PIPE;
	if (pw_label_protected(route->label))
		entry.flags |= PW_LABEL_PROTECTED;
	pw_label_set(route->label, entry);
}

int pw_label_put(const struct pw_label_route *model)
{
	struct pw_label_route *route = routes[model->label];

	if (!route) {
		route = calloc(1, sizeof(*route));
		if (!route)
			return -ENOMEM;
		routes[model->label] = route;
		route_count++;
	} else {
		route->path->routes--;
		pw_path_drop(route->path);
	}
	route->label = model->label;
	route->type = model->type;
	route->protocol = model->protocol;
	route->propagate = model->propagate;
	route->source = model->source;
	route->session = model->session;
	route->path = model->path;
	pw_path_hold(route->path);
	route->path->routes++;
	label_publish(route);
	return 0;
}

void pw_label_delete(struct pw_label_route *route)
{
	pw_label_set(route->label, (struct pw_label){0});
	routes[route->label] = NULL;
	route_count--;
	route_free(route);
}

void pw_labels_settle(void)
{
	struct pw_label_route *route;
	uint32_t label = 0;

	while ((route = pw_label_next(label))) {
		const struct pw_leg *leg;
		bool left = false;
		uint32_t weight;

		label = route->label + 1;
		if (!pw_path_affected(route->path))
			continue;
		if (route->path->kind != PW_PATH_OBJECT ||
		    !((const struct pw_object *)route->path)->gone)
			for (unsigned int i = 0; (leg = pw_path_leg(route->path, i, &weight)); i++)
				left |= !leg->gone;
		if (left) {
			label_publish(route);
			continue;
		}
		pw_label_notify(route, RTM_DELROUTE, 0);
		pw_label_delete(route);
	}
}

/* ---- who may use a label ----------------------------------------------------------------- */

static bool remote_listed(const struct pw_label_route *route, const struct pw_remote *remote)
{
	for (uint32_t i = 0; i < route->remote_count; i++)
		if (memcmp(&route->remotes[i], &remote->remote, sizeof(remote->remote)) == 0)
			return true;
	return false;
}

static int set_publish(struct pw_label_route *route)
{
	uint32_t *ids = malloc(PW_ENDPOINTS * sizeof(*ids));
	uint32_t count = 0;
	int ret;

	if (!ids)
		return -ENOMEM;
	for (uint32_t id = 1; id < PW_ENDPOINTS; id++) {
		const struct pw_remote *remote = pw_remote_get(id);

		if (remote && !remote->orphan && remote_listed(route, remote))
			ids[count++] = id;
	}
	ret = pw_label_set_publish(route->set, ids, count);
	free(ids);
	if (ret < 0)
		return ret;
	set_count += !route->set;
	route->set = (uint16_t)ret;
	return 0;
}

int pw_label_allow(uint32_t label, const struct pw_address *remotes, uint32_t count)
{
	struct pw_label_route *route = pw_label_find(label);
	struct pw_label_route old;
	struct pw_address *copy = NULL;
	int ret;

	if (!route)
		return -ENOENT;
	old = *route;
	if (count) {
		copy = calloc(count, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		for (uint32_t i = 0; i < count; i++)
			copy[i] = pw_address_unmapped(&remotes[i]);
	}
	route->remotes = copy;
	route->remote_count = count;
	if (count) {
		ret = set_publish(route);
		if (ret) {
			route->remotes = old.remotes;
			route->remote_count = old.remote_count;
			free(copy);
			return ret;
		}
		label_publish(route);
	} else {
		route->set = 0;
		label_publish(route);
		if (old.set) {
			pw_label_set_free(old.set);
			set_count--;
		}
	}
	free(old.remotes);
	return 0;
}

bool pw_label_protected(uint32_t label)
{
	return only_from_sa[label / 8] & 1u << label % 8;
}

void pw_label_protect(uint32_t label, bool on)
{
	if (on)
		only_from_sa[label / 8] |= (uint8_t)(1u << label % 8);
	else
		only_from_sa[label / 8] &= (uint8_t) ~(1u << label % 8);
	if (routes[label])
		label_publish(routes[label]);
}

void pw_labels_resolve(void)
{
	struct pw_label_route *route;
	uint32_t label = 0;

	if (sets_generation == pw_endpoint_generation())
		return;
	sets_generation = pw_endpoint_generation();
	while (set_count && (route = pw_label_next(label))) {
		label = route->label + 1;
		/* Without memory the old set stays, without what is new; try again. */
		if (route->set && set_publish(route))
			sets_generation = 0;
	}
}
