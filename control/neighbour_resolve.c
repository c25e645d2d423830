/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding neighbours out: asking the kernel, its answers, waiting, giving up, keeping fresh. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "control/feed/kernel.h"
#include "control/links.h"
#include "control/loop.h"
#include "control/neighbours.h"
#include "dataplane/table/neighbour.h"
#include "lib/log.h"

#define TICK_MS        500
#define INCOMPLETE_MS  3500 /* the kernel asks three times, a second apart */
#define FAILED_MS      1000 /* how long packets are refused at once */
#define RETRY_MS       4000 /* between attempts for a neighbour that next hops need */
#define COMPLAIN_MS    60000
#define REFRESH_ROUNDS 64   /* ticks in which every neighbour is confirmed once: 32 s */
#define PENDING_MAX    1024 /* asked for by packets at the same time, so that a scan ... */
#define PENDING_LINK   256  /* ... of one customer's prefix is bounded, and leaves room */

#define NUD_USABLE     (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

static TAILQ_HEAD(, pw_link_neighbour) pending = TAILQ_HEAD_INITIALIZER(pending);
static uint32_t pending_count;
static uint32_t pending_link[PW_INTERFACES];
static uint32_t refresh_round;
static struct pw_timer *timer;

uint64_t pw_neighbour_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void wait_until(struct pw_link_neighbour *neighbour, enum pw_neighbour_wait wait,
		       uint64_t deadline)
{
	bool pends = neighbour->wait != PW_WAIT_NONE;

	neighbour->wait = wait;
	neighbour->deadline = deadline;
	if (pends)
		return;
	TAILQ_INSERT_TAIL(&pending, neighbour, pending);
	pending_count++;
	pending_link[neighbour->link->index]++;
}

void pw_neighbour_wait_stop(struct pw_link_neighbour *neighbour)
{
	if (neighbour->wait == PW_WAIT_NONE)
		return;
	neighbour->wait = PW_WAIT_NONE;
	TAILQ_REMOVE(&pending, neighbour, pending);
	pending_count--;
	pending_link[neighbour->link->index]--;
}

static void ask(const struct pw_link_neighbour *neighbour)
{
	static uint64_t complained;
	const struct pw_link *link = neighbour->link;
	uint64_t now = pw_neighbour_now();

	if (!link->face_ifindex ||
	    pw_kernel_neighbour_ask(link->face_ifindex, &neighbour->address) != -ENOBUFS ||
	    (complained && now - complained < COMPLAIN_MS))
		return;
	complained = now;
	pw_warning("%s: the kernel's table of neighbours is full: raise net.ipv%d.neigh.default."
		   "gc_thresh3",
		   link->name, neighbour->address.family == AF_INET ? 4 : 6);
}

bool pw_neighbour_resolve(struct pw_link_neighbour *neighbour)
{
	if (neighbour->wait == PW_WAIT_ANSWER)
		return true;
	if (!neighbour->references && neighbour->wait == PW_WAIT_NONE &&
	    (pending_count >= PENDING_MAX || pending_link[neighbour->link->index] >= PENDING_LINK))
		return false;
	wait_until(neighbour, PW_WAIT_ANSWER, pw_neighbour_now() + INCOMPLETE_MS);
	neighbour->nud = NUD_INCOMPLETE;
	ask(neighbour);
	return true;
}

/* Whether next hops need it is known once its own host route, one of them, is gone. */
void pw_neighbour_unresolve(struct pw_link_neighbour *neighbour)
{
	pw_neighbour_settle(neighbour, PW_NEIGHBOUR_INCOMPLETE, NUD_NONE);
	wait_until(neighbour, PW_WAIT_USERS, pw_neighbour_now());
	pw_neighbour_release(neighbour);
}

static void fail(struct pw_link_neighbour *neighbour, uint64_t now)
{
	pw_neighbour_settle(neighbour, PW_NEIGHBOUR_FAILED, NUD_FAILED);
	wait_until(neighbour, PW_WAIT_FAILED, now + FAILED_MS);
}

static void mirror_usable(struct pw_link_neighbour *neighbour, const uint8_t *mac, uint16_t nud)
{
	bool same = neighbour->state == PW_NEIGHBOUR_REACHABLE &&
		    !memcmp(neighbour->mac, mac, sizeof(neighbour->mac));

	pw_neighbour_wait_stop(neighbour);
	if (same) {
		/* The kernel's view ages; the way of packets does not change. */
		if (neighbour->nud != nud) {
			neighbour->nud = nud;
			neighbour->updated = pw_neighbour_now();
			pw_neighbour_notify(neighbour, RTM_NEWNEIGH);
		}
		return;
	}
	memcpy(neighbour->mac, mac, sizeof(neighbour->mac));
	pw_neighbour_settle(neighbour, PW_NEIGHBOUR_REACHABLE, nud);
}

static void mirror_deleted(struct pw_link_neighbour *neighbour)
{
	/* Asked for at this moment: the answer is still to come. */
	if (neighbour->wait != PW_WAIT_ANSWER)
		pw_neighbour_unresolve(neighbour);
}

void pw_neighbour_mirror(struct pw_link *link, const struct pw_address *address, const uint8_t *mac,
			 uint16_t nud)
{
	static const uint8_t none[6];
	struct pw_link_neighbour *neighbour;

	if (!pw_neighbour_ethernet(link) || pw_address_multicast(address))
		return;
	neighbour = pw_neighbour_find(link, address);
	if (neighbour)
		neighbour->seen = true;
	if (neighbour && neighbour->configured)
		return;
	if ((nud & NUD_USABLE) && mac) {
		/* Group addresses are those of broadcasts, which are not forwarded. */
		if ((mac[0] & 1) || !memcmp(mac, none, sizeof(none)))
			return;
		if (!neighbour)
			neighbour = pw_neighbour_obtain(link, address);
		if (!neighbour) {
			pw_warning("%s: a neighbour is not taken over: %s", link->name,
				   strerror(errno));
			return;
		}
		neighbour->seen = true;
		mirror_usable(neighbour, mac, nud);
	} else if (neighbour && (nud & NUD_FAILED)) {
		if (neighbour->state != PW_NEIGHBOUR_FAILED)
			fail(neighbour, pw_neighbour_now());
	} else if (neighbour && !nud) {
		mirror_deleted(neighbour);
	}
}

/* A next hop's neighbour stays failed while it is looked for again and again, so that groups do
 * not take it back too early; any other is forgotten. */
static void expire(struct pw_link_neighbour *neighbour, uint64_t now)
{
	bool failed = neighbour->state == PW_NEIGHBOUR_FAILED;

	if (neighbour->wait == PW_WAIT_ANSWER && !failed) {
		fail(neighbour, now);
		return;
	}
	if (neighbour->wait == PW_WAIT_FAILED) {
		pw_neighbour_unroute(neighbour);
		wait_until(neighbour, PW_WAIT_USERS, now + TICK_MS);
		pw_neighbour_release(neighbour);
		return;
	}
	if (neighbour->references && neighbour->link->face_ifindex &&
	    pw_link_operational(neighbour->link)) {
		wait_until(neighbour, PW_WAIT_ANSWER, now + (failed ? RETRY_MS : INCOMPLETE_MS));
		ask(neighbour);
		return;
	}
	pw_neighbour_wait_stop(neighbour);
	if (neighbour->references && failed)
		pw_neighbour_settle(neighbour, PW_NEIGHBOUR_INCOMPLETE, NUD_NONE);
	pw_neighbour_release(neighbour);
}

/* Traffic bypasses the kernel, which would let live neighbours go stale and forget them, and
 * never notice dead ones: it is told that they are used. */
static void refresh(void)
{
	uint32_t share = PW_NEIGHBOUR_BUCKETS / REFRESH_ROUNDS;
	uint32_t first = refresh_round++ % REFRESH_ROUNDS * share;
	const struct pw_link_neighbour *neighbour;

	for (uint32_t number = first; number < first + share; number++)
		LIST_FOREACH (neighbour, pw_neighbour_bucket(number), bucket)
			if (neighbour->state == PW_NEIGHBOUR_REACHABLE && !neighbour->configured &&
			    (neighbour->references || neighbour->routed) &&
			    pw_link_operational(neighbour->link))
				ask(neighbour);
}

void pw_neighbour_tick(uint64_t now_ms)
{
	struct pw_link_neighbour *neighbour = TAILQ_FIRST(&pending);

	while (neighbour) {
		struct pw_link_neighbour *next = TAILQ_NEXT(neighbour, pending);

		if (neighbour->deadline <= now_ms)
			expire(neighbour, now_ms);
		neighbour = next;
	}
	refresh();
	pw_neighbour_flush();
}

void pw_neighbour_sweep_begin(void)
{
	struct pw_link_neighbour *neighbour;

	for (uint32_t number = 0; number < PW_NEIGHBOUR_BUCKETS; number++)
		LIST_FOREACH (neighbour, pw_neighbour_bucket(number), bucket)
			neighbour->seen = false;
}

void pw_neighbour_sweep_end(void)
{
	for (uint32_t number = 0; number < PW_NEIGHBOUR_BUCKETS; number++) {
		struct pw_link_neighbour *neighbour = LIST_FIRST(pw_neighbour_bucket(number));

		while (neighbour) {
			struct pw_link_neighbour *next = LIST_NEXT(neighbour, bucket);

			if (!neighbour->seen && !neighbour->configured &&
			    neighbour->link->face_ifindex &&
			    neighbour->state == PW_NEIGHBOUR_REACHABLE)
				mirror_deleted(neighbour);
			neighbour = next;
		}
	}
}

static void on_timer(void *context)
{
	pw_neighbour_tick(pw_neighbour_now());
}

int pw_neighbour_timer_init(void)
{
	timer = pw_loop_timer(TICK_MS, on_timer, NULL);
	return timer ? 0 : -errno;
}

void pw_neighbour_timer_fini(void)
{
	if (timer)
		pw_timer_stop(timer);
	timer = NULL;
	TAILQ_INIT(&pending);
	pending_count = 0;
	memset(pending_link, 0, sizeof(pending_link));
}
