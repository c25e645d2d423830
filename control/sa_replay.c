/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequence numbers of SAs: as workers count them, and as XFRMA_REPLAY_VAL and
 * XFRMA_REPLAY_ESN_VAL say them. In the latter the window is a ring: the number s has the bit
 * (s - 1) modulo the window.
 */
#include "control/sa.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool seen_get(const struct pw_sa_replay *replay, uint32_t back)
{
	return replay->seen[back / 32] >> (back % 32) & 1;
}

static void seen_set(struct pw_sa_replay *replay, uint32_t back)
{
	replay->seen[back / 32] |= UINT32_C(1) << (back % 32);
}

/** Where the ring has the bit of the number that is @p back less than the highest. */
static uint32_t ring_bit(uint64_t received, uint32_t window, uint32_t back)
{
	return ((uint32_t)(received - 1) % window + window - back) % window;
}

/* ---- the workers' state -------------------------------------------------------------------- */

/** The numbers of the window that were seen, then the highest. */
static void window_fill(struct pw_seqwindow *window, const struct pw_sa_replay *replay,
			uint32_t size)
{
	if (!replay->received || !size)
		return;
	for (uint32_t back = size < replay->received ? size : (uint32_t)replay->received; back--;)
		if (back == 0 || seen_get(replay, back))
			pw_seqwindow_accept(window, replay->received - back);
}

struct pw_sa_state *pw_sa_replay_new(const struct pw_sa_detail *model,
				     const struct pw_sa_replay *replay)
{
	uint64_t before = replay->received > model->window ? replay->received - model->window : 0;
	struct pw_sa_state *state = pw_sa_state_new(model->window, replay->sent, before);

	if (state)
		window_fill(&state->window, replay, model->window);
	return state;
}

void pw_sa_replay_read(const struct pw_sa_detail *sa, struct pw_sa_replay *replay)
{
	const struct pw_seqwindow *window = &sa->state->window;
	uint64_t limit = sa->flags & XFRM_STATE_ESN ? UINT64_MAX - (UINT64_C(1) << 32) : UINT32_MAX;

	memset(replay, 0, sizeof(*replay));
	/* Workers that found no number left have added to it all the same. */
	replay->sent = __atomic_load_n(&sa->state->sequence, __ATOMIC_RELAXED);
	replay->sent = replay->sent < limit ? replay->sent : limit;
	replay->received = __atomic_load_n(&window->top, __ATOMIC_RELAXED);
	for (uint32_t back = 0; back < sa->window && back < replay->received; back++)
		if (!pw_seqwindow_check(window, replay->received - back))
			seen_set(replay, back);
}

int pw_sa_replay_forward(struct pw_sa_detail *sa, const struct pw_sa_replay *replay, char *why)
{
	uint64_t sent = __atomic_load_n(&sa->state->sequence, __ATOMIC_RELAXED);
	uint64_t received = __atomic_load_n(&sa->state->window.top, __ATOMIC_RELAXED);

	if (replay->sent < sent) {
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "numbers up to %llu were sent: none may be used twice",
			 (unsigned long long)sent);
		return -EINVAL;
	}
	if (replay->received < received) {
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "numbers up to %llu were received: the window does not go back",
			 (unsigned long long)received);
		return -EINVAL;
	}
	/* Workers are counting; they may be further by now, and are not set back. */
	while (sent < replay->sent &&
	       !__atomic_compare_exchange_n(&sa->state->sequence, &sent, replay->sent, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	window_fill(&sa->state->window, replay, sa->window);
	return 0;
}

/* ---- messages ----------------------------------------------------------------------------- */

static int parse_narrow(const struct nlattr *attribute, struct pw_sa_replay *replay)
{
	struct xfrm_replay_state state;

	memcpy(&state, mnl_attr_get_payload(attribute), sizeof(state));
	replay->set = true;
	replay->sent = state.oseq;
	replay->received = state.seq;
	/* What a larger window remembers behind these 32 is not said: taken as seen. */
	memset(replay->seen, 0xff, sizeof(replay->seen));
	replay->seen[0] = state.bitmap;
	return 0;
}

static int check_wide(struct pw_request *request, const struct nlattr *attribute, bool esn,
		      const struct xfrm_replay_state_esn *state)
{
	size_t size = mnl_attr_get_payload_len(attribute);

	if (state->bmp_len > PW_SA_BITMAP_WORDS)
		return pw_refuse(request, attribute, -EINVAL,
				 "a replay bitmap of %u words is longer than %u", state->bmp_len,
				 PW_SA_BITMAP_WORDS);
	if (size != sizeof(*state) && size < sizeof(*state) + state->bmp_len * sizeof(uint32_t))
		return pw_refuse(request, attribute, -EINVAL,
				 "XFRMA_REPLAY_ESN_VAL is too short for a bitmap of %u words",
				 state->bmp_len);
	if (state->replay_window > state->bmp_len * 32)
		return pw_refuse(request, attribute, -EINVAL,
				 "a replay window of %u does not fit in a bitmap of %u words",
				 state->replay_window, state->bmp_len);
	if (esn && !state->replay_window)
		return pw_refuse(request, attribute, -EINVAL,
				 "extended sequence numbers need a replay window of at least 1");
	if (!esn && (state->oseq_hi || state->seq_hi))
		return pw_refuse(request, attribute, -EINVAL,
				 "sequence numbers above 2^32 need the flag esn");
	if (state->oseq_hi == UINT32_MAX)
		return pw_refuse(request, attribute, -EINVAL,
				 "the last 2^32 sequence numbers of an SA are not used");
	return 0;
}

static int parse_wide(struct pw_request *request, const struct nlattr *attribute, bool esn,
		      struct pw_sa_replay *replay, uint32_t *window)
{
	size_t size = mnl_attr_get_payload_len(attribute);
	struct xfrm_replay_state_esn state;
	uint32_t bits[PW_SA_BITMAP_WORDS] = {0};
	int ret;

	memcpy(&state, mnl_attr_get_payload(attribute), sizeof(state));
	ret = check_wide(request, attribute, esn, &state);
	if (ret)
		return ret;
	if (size > sizeof(state))
		memcpy(bits, (const char *)mnl_attr_get_payload(attribute) + sizeof(state),
		       state.bmp_len * sizeof(uint32_t));
	replay->set = true;
	replay->sent = (uint64_t)state.oseq_hi << 32 | state.oseq;
	replay->received = (uint64_t)state.seq_hi << 32 | state.seq;
	*window = state.replay_window;
	for (uint32_t back = 0; back < *window && back < replay->received; back++) {
		uint32_t bit = ring_bit(replay->received, *window, back);

		if (bits[bit / 32] >> (bit % 32) & 1)
			seen_set(replay, back);
	}
	return 0;
}

int pw_sa_replay_parse(struct pw_request *request, const struct nlattr *narrow,
		       const struct nlattr *wide, bool esn, struct pw_sa_replay *replay,
		       uint32_t *window)
{
	memset(replay, 0, sizeof(*replay));
	/* The kernel takes both, and then the wider. */
	if (wide)
		return parse_wide(request, wide, esn, replay, window);
	return narrow ? parse_narrow(narrow, replay) : 0;
}

static void put_wide(struct nlmsghdr *nlh, const struct pw_sa_detail *sa,
		     const struct pw_sa_replay *replay)
{
	struct {
		struct xfrm_replay_state_esn state;
		uint32_t bits[PW_SA_BITMAP_WORDS];
	} wide = {0};

	wide.state.bmp_len = (sa->window + 31) / 32;
	wide.state.replay_window = sa->window;
	wide.state.oseq = (uint32_t)replay->sent;
	wide.state.oseq_hi = (uint32_t)(replay->sent >> 32);
	wide.state.seq = (uint32_t)replay->received;
	wide.state.seq_hi = (uint32_t)(replay->received >> 32);
	for (uint32_t back = 0; back < sa->window && back < replay->received; back++) {
		uint32_t bit = ring_bit(replay->received, sa->window, back);

		if (seen_get(replay, back))
			wide.bits[bit / 32] |= UINT32_C(1) << (bit % 32);
	}
	mnl_attr_put(nlh, XFRMA_REPLAY_ESN_VAL,
		     sizeof(wide.state) + wide.state.bmp_len * sizeof(uint32_t), &wide);
}

void pw_sa_replay_put(struct nlmsghdr *nlh, const struct pw_sa_detail *sa)
{
	struct xfrm_replay_state narrow = {0};
	struct pw_sa_replay replay = {0};

	if (sa->state)
		pw_sa_replay_read(sa, &replay);
	if (sa->wide_replay) {
		put_wide(nlh, sa, &replay);
		return;
	}
	narrow.oseq = (uint32_t)replay.sent;
	narrow.seq = (uint32_t)replay.received;
	narrow.bitmap = replay.seen[0];
	mnl_attr_put(nlh, XFRMA_REPLAY_VAL, sizeof(narrow), &narrow);
}
