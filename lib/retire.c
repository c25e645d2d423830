/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/retire.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_malloc.h>

#define CAPACITY_KEEP 65536 /* what a million deletes needed is not kept for ever */

struct retired {
	pw_retire_fn fn;
	void *context;
	uint64_t argument;
};

struct batch {
	struct retired *items;
	size_t count;
	size_t capacity;
};

static struct rte_rcu_qsbr *qsbr;
static struct batch gathering; /* retired since the last grace period began */
static struct batch waiting;   /* behind the token */
static uint64_t token;

int pw_retire_init(unsigned int threads)
{
	size_t size = rte_rcu_qsbr_get_memsize(threads);

	if (qsbr)
		return -EBUSY;
	qsbr = rte_zmalloc("pw_retire", size, RTE_CACHE_LINE_SIZE);
	if (!qsbr || rte_rcu_qsbr_init(qsbr, threads)) {
		rte_free(qsbr);
		qsbr = NULL;
		return -ENOMEM;
	}
	return 0;
}

static void batch_run(struct batch *batch)
{
	/* A callback may retire more; that lands in the gathering batch, so run a copy. */
	struct batch run = *batch;

	*batch = (struct batch){0};
	for (size_t i = 0; i < run.count; i++)
		run.items[i].fn(run.items[i].context, run.items[i].argument);
	if (!batch->items && run.capacity <= CAPACITY_KEEP) {
		run.count = 0;
		*batch = run;
	} else {
		free(run.items);
	}
}

void pw_retire_fini(void)
{
	while (waiting.count || gathering.count) {
		batch_run(&waiting);
		batch_run(&gathering);
	}
	free(waiting.items);
	free(gathering.items);
	waiting = gathering = (struct batch){0};
	rte_free(qsbr);
	qsbr = NULL;
}

struct rte_rcu_qsbr *pw_retire_qsbr(void)
{
	return qsbr;
}

void pw_retire(pw_retire_fn fn, void *context, uint64_t argument)
{
	struct batch *b = &gathering;

	if (b->count == b->capacity) {
		size_t capacity = b->capacity ? 2 * b->capacity : 64;
		void *items = realloc(b->items, capacity * sizeof(*b->items));

		if (!items) {
			rte_rcu_qsbr_synchronize(qsbr, RTE_QSBR_THRID_INVALID);
			fn(context, argument);
			return;
		}
		b->items = items;
		b->capacity = capacity;
	}
	b->items[b->count++] = (struct retired){fn, context, argument};
}

bool pw_retire_poll(void)
{
	if (waiting.count && rte_rcu_qsbr_check(qsbr, token, false) == 1)
		batch_run(&waiting);
	if (!waiting.count && gathering.count) {
		struct batch spare = waiting;

		waiting = gathering;
		gathering = spare;
		token = rte_rcu_qsbr_start(qsbr);
	}
	return waiting.count || gathering.count;
}

void pw_retire_drain(void)
{
	while (pw_retire_poll())
		if (waiting.count)
			rte_rcu_qsbr_check(qsbr, token, true);
}
