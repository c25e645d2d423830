/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SAs in NICs (drivers/crypto_inline.h): the sessions of an SA on the ports that do inline crypto,
 * and XFRMA_OFFLOAD_DEV, by which a request insists on one of them.
 */
#include "control/sa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "drivers/crypto_inline.h"
#include "lib/log.h"
#include "lib/retire.h"

/*
 * A grace period after an outward SA is gone no worker gives a port any more packets of it, but
 * those given before may still be in another worker's ring or the NIC's queue. A NIC that has
 * forgotten the key would send them under no key: it forgets this much later.
 */
#define HOLD_MS 1000

struct held {
	STAILQ_ENTRY(held) next;
	struct pw_inline *inlined;
	uint64_t until;
};

static STAILQ_HEAD(, held) holding = STAILQ_HEAD_INITIALIZER(holding);
static struct pw_timer *timer;
static uint32_t going_in; /* inward, in their grace period: the NIC opens with them still */
static bool ending;

/* ---- going --------------------------------------------------------------------------------- */

static void release(bool all)
{
	uint64_t now = pw_sa_now();
	struct held *held;

	while ((held = STAILQ_FIRST(&holding)) && (all || held->until <= now)) {
		STAILQ_REMOVE_HEAD(&holding, next);
		pw_inline_free(held->inlined);
		free(held);
	}
	if (held || !timer)
		return;
	pw_timer_stop(timer);
	timer = NULL;
}

static void hold_timer(void *context)
{
	(void)context;
	release(false);
}

static void inward_reclaim(void *context, uint64_t argument)
{
	(void)argument;
	pw_inline_free(context);
	going_in--;
}

static void outward_reclaim(void *context, uint64_t argument)
{
	struct held *held = ending ? NULL : malloc(sizeof(*held));

	(void)argument;
	if (held && !timer)
		timer = pw_loop_timer(HOLD_MS, hold_timer, NULL);
	if (!held || !timer) {
		free(held);
		pw_inline_free(context);
		return;
	}
	*held = (struct held){.inlined = context, .until = pw_sa_now() + HOLD_MS};
	STAILQ_INSERT_TAIL(&holding, held, next);
}

void pw_sa_inline_retire(struct pw_inline *inlined)
{
	if (!inlined)
		return;
	going_in += inlined->ingress;
	pw_retire(inlined->ingress ? inward_reclaim : outward_reclaim, inlined, 0);
}

void pw_sa_inline_init(void)
{
	ending = false;
}

void pw_sa_inline_fini(void)
{
	ending = true;
	release(true);
}

/* ---- coming -------------------------------------------------------------------------------- */

static int refuse(int code, char *why, const char *sentence)
{
	snprintf(why, PW_CRYPTO_WHY_BYTES, "%s", sentence);
	return code;
}

/** Can the port that was asked for do it, and if not why? */
static int offload_check(const struct pw_sa_detail *sa, const struct pw_inline_sa *wanted,
			 char *why)
{
	struct pw_inline_session trial;
	int ret;

	if (wanted->ingress != !!(sa->offload.flags & XFRM_OFFLOAD_INBOUND))
		return refuse(-EINVAL, why,
			      wanted->ingress
				      ? "an SA to an address of this PE is offloaded inbound"
				      : "an SA is offloaded inbound if its destination is an "
					"address of this PE");
	ret = pw_inline_session_new(sa->offload_ethdev, wanted, &trial, why);
	pw_inline_session_free(&trial);
	return ret;
}

/** Over IPv6, UDP's checksum is of what was sealed, which then only the NIC sees. */
static bool checksum_behind(const struct pw_inline_sa *wanted)
{
	return wanted->udp && wanted->family == AF_INET6 && !wanted->ingress;
}

int pw_sa_inline_make(struct pw_sa_detail *sa, char *why)
{
	const struct pw_crypto_suite *suite = sa->suite;
	struct pw_inline_sa wanted = {
		.suite = suite,
		.cipher_key = sa->secret,
		.auth_key = suite->auth_key_bytes ? sa->secret + suite->key_bytes : NULL,
		.spi = ntohl(sa->entry.spi),
		.ingress = sa->inward,
		.tunnel = sa->entry.mode == XFRM_MODE_TUNNEL,
		.esn = sa->flags & XFRM_STATE_ESN,
		.udp = sa->encap.encap_type != 0,
		.family = sa->entry.destination.family,
	};
	int ret;

	sa->inlined = NULL;
	memcpy(wanted.source, sa->entry.source.bytes, sizeof(wanted.source));
	memcpy(wanted.destination, sa->entry.destination.bytes, sizeof(wanted.destination));
	if (checksum_behind(&wanted))
		return sa->offload.ifindex ? refuse(-ENOTSUP, why,
						    "a NIC does not make UDP's checksum over what "
						    "it encrypts, which IPv6 needs")
					   : 0;
	/* One with the same SPI may be going: what the NIC opened with its key is not this SA's. */
	if (wanted.ingress && going_in)
		pw_retire_drain();
	if (sa->offload.ifindex) {
		ret = offload_check(sa, &wanted, why);
		if (ret)
			return ret;
	}
	ret = pw_inline_new(&wanted, &sa->inlined);
	if (ret)
		return refuse(ret, why, "out of memory");
	if (sa->offload.ifindex && !pw_inline_has(sa->inlined, sa->offload_ethdev)) {
		pw_sa_inline_retire(sa->inlined);
		sa->inlined = NULL;
		return refuse(-ENOSPC, why, "the port takes no more inline sessions");
	}
	return 0;
}

bool pw_sa_inline_offloaded(const struct pw_sa_detail *sa)
{
	return sa->offload.ifindex && pw_inline_has(sa->inlined, sa->offload_ethdev);
}

struct pw_inline *pw_sa_inline_turn(struct pw_sa_detail *sa)
{
	struct pw_inline *old = sa->inlined;
	struct xfrm_user_offload offload = sa->offload;
	char why[PW_CRYPTO_WHY_BYTES];

	/* Nobody is there to be refused: the engine does what no port does. */
	sa->offload.ifindex = 0;
	if (pw_sa_inline_make(sa, why))
		pw_warning("SA %#x: %s; left to the crypto engine", ntohl(sa->entry.spi), why);
	sa->offload = offload;
	sa->offload.flags = sa->inward ? XFRM_OFFLOAD_INBOUND : 0;
	return old;
}

void pw_sa_inline_turned(struct pw_sa_detail *sa, struct pw_inline *old)
{
	struct pw_inline *unused = old;

	/* The table may have been full: then the workers have what they had. */
	if (old && pw_sa_get(sa->entry.id)->inlined == old) {
		unused = sa->inlined;
		sa->inlined = old;
	}
	pw_sa_inline_retire(unused);
}
