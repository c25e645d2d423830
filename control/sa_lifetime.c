/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long SAs live: limits of time by a heap of deadlines and one timer for the earliest, limits
 * of bytes, packets and use by a look at the counters ten times a second, of those that have any.
 */
#include "control/sa.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "control/feed/xfrm.h"
#include "control/loop.h"
#include "dataplane/worker.h"
#include "lib/log.h"

#define NEVER            UINT64_MAX
#define POLL_MS          100
#define SECONDS_MAX      (UINT64_C(1) << 40) /* more is for ever */
#define MAPPING_PAUSE_MS 1000                /* between two news of one SA's remote address */

TAILQ_HEAD(limited_list, pw_sa_detail);
static struct limited_list limited_list = TAILQ_HEAD_INITIALIZER(limited_list);
static struct pw_timer *poll_timer, *heap_timer;
static uint64_t heap_timer_due = NEVER;

uint64_t pw_sa_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t seconds_now(void)
{
	return (uint64_t)time(NULL);
}

/* ---- the heap ------------------------------------------------------------------------------ */

static struct pw_sa_detail **heap;
static uint32_t heap_count, heap_room;

static void heap_place(uint32_t at, struct pw_sa_detail *sa)
{
	heap[at] = sa;
	sa->heap_at = at + 1;
}

static void heap_up(uint32_t at, struct pw_sa_detail *sa)
{
	while (at && heap[(at - 1) / 2]->deadline > sa->deadline) {
		heap_place(at, heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_place(at, sa);
}

static void heap_down(uint32_t at, struct pw_sa_detail *sa)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < heap_count && heap[child + 1]->deadline < heap[child]->deadline)
			child++;
		if (child >= heap_count || heap[child]->deadline >= sa->deadline)
			break;
		heap_place(at, heap[child]);
		at = child;
	}
	heap_place(at, sa);
}

static void heap_take(struct pw_sa_detail *sa)
{
	uint32_t at = sa->heap_at - 1;
	struct pw_sa_detail *last;

	if (!sa->heap_at)
		return;
	sa->heap_at = 0;
	last = heap[--heap_count];
	if (last == sa)
		return;
	if (at && heap[(at - 1) / 2]->deadline > last->deadline)
		heap_up(at, last);
	else
		heap_down(at, last);
}

static int heap_put(struct pw_sa_detail *sa)
{
	if (heap_count == heap_room) {
		uint32_t room = heap_room ? 2 * heap_room : 256;
		struct pw_sa_detail **larger =
			reallocarray(heap, room, sizeof(struct pw_sa_detail *));

		if (!larger)
			return -ENOMEM;
		heap = larger;
		heap_room = room;
	}
	heap_up(heap_count++, sa);
	return 0;
}

/* ---- deadlines ----------------------------------------------------------------------------- */

static void heap_timer_event(void *context)
{
	pw_timer_stop(heap_timer);
	heap_timer = NULL;
	heap_timer_due = NEVER;
	pw_sa_tick(pw_sa_now());
}

/** The timer runs for the earliest deadline, or one that was: then it is set anew. */
static void heap_timer_set(void)
{
	uint64_t due = heap_count ? heap[0]->deadline : NEVER, now = pw_sa_now(), wait;

	if (due >= heap_timer_due)
		return;
	if (heap_timer)
		pw_timer_stop(heap_timer);
	wait = due > now ? due - now : 0;
	heap_timer = pw_loop_timer(wait < INT32_MAX ? (uint32_t)wait : INT32_MAX, heap_timer_event,
				   NULL);
	heap_timer_due = heap_timer ? due : NEVER;
	if (!heap_timer)
		pw_error("out of memory: SAs do not expire in time");
}

static uint64_t after(uint64_t from_ms, uint64_t seconds)
{
	return seconds && seconds < SECONDS_MAX ? from_ms + seconds * 1000 : NEVER;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t hard_deadline(const struct pw_sa_detail *sa)
{
	uint64_t due = after(sa->added_ms, sa->limits.hard_add_expires_seconds);

	if (sa->used_ms)
		due = least(due, after(sa->used_ms, sa->limits.hard_use_expires_seconds));
	return due;
}

static uint64_t soft_deadline(const struct pw_sa_detail *sa)
{
	uint64_t due = after(sa->added_ms, sa->limits.soft_add_expires_seconds);

	if (sa->entry.dying)
		return NEVER;
	if (sa->used_ms)
		due = least(due, after(sa->used_ms, sa->limits.soft_use_expires_seconds));
	return due;
}

static void deadline_set(struct pw_sa_detail *sa)
{
	heap_take(sa);
	sa->deadline = least(hard_deadline(sa), soft_deadline(sa));
	if (sa->mapping_ms)
		sa->deadline = least(sa->deadline, sa->mapping_ms);
	if (sa->path_mtu_ms)
		sa->deadline = least(sa->deadline, sa->path_mtu_ms);
	if (sa->deadline == NEVER)
		return;
	if (heap_put(sa))
		pw_error("out of memory: an SA does not expire");
	heap_timer_set();
}

/** Something of the SA is due. It may be gone after. */
static void deadline_meet(struct pw_sa_detail *sa, uint64_t now)
{
	if (hard_deadline(sa) <= now) {
		pw_sa_expire_hard(sa);
		return;
	}
	if (sa->mapping_ms && sa->mapping_ms <= now) {
		sa->mapping_ms = 0;
		if (sa->state)
			__atomic_store_n(&sa->state->mapping, 0, __ATOMIC_RELEASE);
	}
	if (sa->path_mtu_ms && sa->path_mtu_ms <= now)
		pw_sa_path_mtu_expire(sa);
	if (soft_deadline(sa) <= now)
		pw_sa_expire_soft(sa);
	deadline_set(sa);
}

void pw_sa_tick(uint64_t now_ms)
{
	while (heap_count && heap[0]->deadline <= now_ms)
		deadline_meet(heap[0], now_ms);
	heap_timer_set();
}

void pw_sa_expire_hard(struct pw_sa_detail *sa)
{
	pw_xfrm_mirror_expired(sa, true);
	pw_netlink_sa_notify_expire(sa, true);
	pw_sa_remove(sa);
}

void pw_sa_expire_soft(struct pw_sa_detail *sa)
{
	sa->entry.dying = true;
	pw_xfrm_mirror_expired(sa, false);
	pw_netlink_sa_notify_expire(sa, false);
	if (!sa->entry.larval)
		pw_protection_sa_changed(&sa->entry);
}

/* ---- counters ------------------------------------------------------------------------------ */

static void counters_read(uint32_t id, struct pw_sa_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint16_t i = 0; id && i < pw_worker_count; i++) {
		const struct pw_sa_counters *from = &pw_workers[i]->sa[id];
		uint64_t used = __atomic_load_n(&from->used, __ATOMIC_RELAXED);

		sum->packets += __atomic_load_n(&from->packets, __ATOMIC_RELAXED);
		sum->bytes += __atomic_load_n(&from->bytes, __ATOMIC_RELAXED);
		sum->replays += __atomic_load_n(&from->replays, __ATOMIC_RELAXED);
		sum->icv_failures += __atomic_load_n(&from->icv_failures, __ATOMIC_RELAXED);
		sum->invalid += __atomic_load_n(&from->invalid, __ATOMIC_RELAXED);
		sum->used = used > sum->used ? used : sum->used;
	}
}

/** When a TSC was, in seconds since 1970. */
static uint64_t seconds_of(uint64_t tsc)
{
	uint64_t now = rte_rdtsc();

	return seconds_now() - (now > tsc ? (now - tsc) / rte_get_tsc_hz() : 0);
}

void pw_sa_usage(struct pw_sa_detail *sa, struct pw_sa_usage *usage)
{
	struct pw_sa_counters sum;

	counters_read(sa->entry.id, &sum);
	memset(usage, 0, sizeof(*usage));
	usage->current = sa->before;
	usage->current.packets += sum.packets - sa->origin.packets;
	usage->current.bytes += sum.bytes - sa->origin.bytes;
	usage->replays = sum.replays - sa->origin.replays;
	usage->icv_failures = sum.icv_failures - sa->origin.icv_failures;
	usage->invalid = sum.invalid - sa->origin.invalid;
	if (sum.used > sa->origin.used)
		usage->last_used = seconds_of(sum.used);
	if (usage->last_used && !sa->before.use_time) {
		/* Its first use is when it is first noticed. */
		sa->before.use_time = usage->current.use_time = usage->last_used;
		sa->used_ms = pw_sa_now();
		deadline_set(sa);
	}
}

static bool reached(uint64_t count, uint64_t limit, bool used)
{
	return used && limit != XFRM_INF && count >= limit;
}

/** XFRM_MSG_NEWAE for those who keep a standby: after so many packets, or after so long. */
static void thresholds_check(struct pw_sa_detail *sa, uint64_t packets, uint64_t now)
{
	uint64_t moved = packets - sa->event_packets;
	uint32_t cause = 0;

	if (sa->event_replay && moved >= sa->event_replay)
		cause = XFRM_AE_CR;
	else if (sa->event_timer && moved && now - sa->event_ms >= sa->event_timer * UINT64_C(100))
		cause = XFRM_AE_CE;
	if (!cause)
		return;
	sa->event_packets = packets;
	sa->event_ms = now;
	pw_netlink_sa_notify_state(sa, cause);
}

static void limits_check(struct pw_sa_detail *sa, uint64_t now)
{
	const struct xfrm_lifetime_cfg *limits = &sa->limits;
	struct pw_sa_usage usage;
	bool used;

	pw_sa_usage(sa, &usage);
	used = usage.current.use_time != 0;
	thresholds_check(sa, usage.current.packets, now);
	if (reached(usage.current.bytes, limits->hard_byte_limit, used) ||
	    reached(usage.current.packets, limits->hard_packet_limit, used))
		pw_sa_expire_hard(sa);
	else if (!sa->entry.dying &&
		 (reached(usage.current.bytes, limits->soft_byte_limit, used) ||
		  reached(usage.current.packets, limits->soft_packet_limit, used)))
		pw_sa_expire_soft(sa);
}

void pw_sa_poll(uint64_t now_ms)
{
	struct pw_sa_detail *sa = TAILQ_FIRST(&limited_list);

	while (sa) {
		struct pw_sa_detail *next = TAILQ_NEXT(sa, limit);

		limits_check(sa, now_ms);
		sa = next;
	}
}

static void poll_event(void *context)
{
	pw_sa_poll(pw_sa_now());
}

static bool is_limited(const struct pw_sa_detail *sa)
{
	const struct xfrm_lifetime_cfg *limits = &sa->limits;

	if (sa->entry.larval)
		return false;
	return limits->soft_byte_limit != XFRM_INF || limits->hard_byte_limit != XFRM_INF ||
	       limits->soft_packet_limit != XFRM_INF || limits->hard_packet_limit != XFRM_INF ||
	       limits->soft_use_expires_seconds || limits->hard_use_expires_seconds ||
	       sa->event_timer || sa->event_replay;
}

static void limited_set(struct pw_sa_detail *sa, bool limited)
{
	if (sa->limited == limited)
		return;
	sa->limited = limited;
	if (limited)
		TAILQ_INSERT_TAIL(&limited_list, sa, limit);
	else
		TAILQ_REMOVE(&limited_list, sa, limit);
	if (!TAILQ_EMPTY(&limited_list) && !poll_timer) {
		poll_timer = pw_loop_timer(POLL_MS, poll_event, NULL);
		if (!poll_timer)
			pw_error("out of memory: limits of SAs are not watched");
	} else if (TAILQ_EMPTY(&limited_list) && poll_timer) {
		pw_timer_stop(poll_timer);
		poll_timer = NULL;
	}
}

/* ---- begin, change, end --------------------------------------------------------------------- */

void pw_sa_lifetime_changed(struct pw_sa_detail *sa)
{
	limited_set(sa, is_limited(sa));
	deadline_set(sa);
}

void pw_sa_lifetime_start(struct pw_sa_detail *sa, const struct xfrm_lifetime_cur *before)
{
	uint64_t now = pw_sa_now(), seconds = seconds_now();

	if (sa->entry.larval) {
		memset(&sa->limits, 0, sizeof(sa->limits));
		sa->limits.soft_byte_limit = sa->limits.hard_byte_limit = XFRM_INF;
		sa->limits.soft_packet_limit = sa->limits.hard_packet_limit = XFRM_INF;
		sa->limits.hard_add_expires_seconds = PW_SA_LARVA_MS / 1000;
	}
	counters_read(sa->entry.id, &sa->origin);
	memset(&sa->before, 0, sizeof(sa->before));
	sa->before.add_time = seconds;
	sa->added_ms = now;
	sa->event_ms = now;
	if (before)
		pw_sa_lifetime_set(sa, before);
	pw_sa_lifetime_changed(sa);
}

/** The monotonic time of a second since 1970 that lies in the past; not before the clock's 0. */
static uint64_t monotonic_of(uint64_t seconds)
{
	uint64_t now = pw_sa_now(), wall = seconds_now();
	uint64_t ago = seconds < wall && wall - seconds < now / 1000 ? (wall - seconds) * 1000 : 0;

	return seconds < wall && !ago ? 1 : now - ago;
}

void pw_sa_lifetime_set(struct pw_sa_detail *sa, const struct xfrm_lifetime_cur *current)
{
	counters_read(sa->entry.id, &sa->origin);
	sa->before = *current;
	sa->event_packets = current->packets;
	sa->added_ms = monotonic_of(current->add_time);
	sa->used_ms = current->use_time ? monotonic_of(current->use_time) : 0;
	pw_sa_lifetime_changed(sa);
}

void pw_sa_lifetime_stop(struct pw_sa_detail *sa)
{
	limited_set(sa, false);
	heap_take(sa);
}

void pw_sa_lifetime_fini(void)
{
	if (heap_timer)
		pw_timer_stop(heap_timer);
	heap_timer = NULL;
	heap_timer_due = NEVER;
	free(heap);
	heap = NULL;
	heap_count = heap_room = 0;
}

/* ---- what workers say ------------------------------------------------------------------------ */

void pw_sa_mapping(struct pw_sa_detail *sa)
{
	struct pw_address address = {.family = sa->entry.source.family};
	uint64_t pause = sa->mapping_age * UINT64_C(1000);

	if (__atomic_load_n(&sa->state->mapping, __ATOMIC_ACQUIRE) != 2 || sa->mapping_ms)
		return;
	memcpy(address.bytes, sa->state->mapped_address, pw_address_size(address.family));
	pw_netlink_sa_notify_mapping(sa, &address, sa->state->mapped_port);
	/* The worker may write it again after a while: a remote that flaps is not told for ever. */
	sa->mapping_ms = pw_sa_now() + (pause > MAPPING_PAUSE_MS ? pause : MAPPING_PAUSE_MS);
	deadline_set(sa);
}

void pw_sa_notices(void)
{
	enum pw_sa_notice notice;
	uint32_t id;

	while (pw_sa_notice_take(&notice, &id)) {
		const struct pw_sa_entry *entry;

		if (notice == PW_SA_NOTICE_ACQUIRE) {
			pw_protection_acquire(id);
			continue;
		}
		entry = pw_sa_entry_get(id);
		if (!entry)
			continue;
		if (notice == PW_SA_NOTICE_MAPPING)
			pw_sa_mapping(entry->detail);
		else if (__atomic_load_n(&entry->detail->state->exhausted, __ATOMIC_RELAXED))
			pw_sa_expire_hard(entry->detail);
	}
}
