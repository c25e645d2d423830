/* SPDX-License-Identifier: BSD-3-Clause */
#include "xfrm_kernel.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct played_kernel kernel;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;

/* ---- recorded messages ----------------------------------------------------------------------- */

struct recorded recorded[SHOWN];
unsigned int recorded_count;

struct nlmsghdr *recording(const char *name)
{
	for (unsigned int i = 0; i < recorded_count; i++)
		if (strcmp(recorded[i].name, name) == 0)
			return (struct nlmsghdr *)recorded[i].words;
	fail_msg("no message \"%s\" was recorded", name);
	return NULL;
}

void recordings_read(void)
{
	static char line[2 * LARGE + 64];
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/test/vectors/xfrm/charon.txt", getenv("PW_ROOT"));
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s cannot be read", path);
	recorded_count = 0;
	while (fgets(line, sizeof(line), file)) {
		struct recorded *one = &recorded[recorded_count];
		uint8_t *to = (uint8_t *)one->words;
		int at = 0, used;
		unsigned int byte;

		if (line[0] == '#' || sscanf(line, "%31s %n", one->name, &at) != 1)
			continue;
		assert_true(recorded_count++ < SHOWN);
		while (sscanf(line + at, "%2x%n", &byte, &used) == 1) {
			*to++ = (uint8_t)byte;
			at += used;
		}
		assert_int_equal(to - (uint8_t *)one->words,
				 ((struct nlmsghdr *)one->words)->nlmsg_len);
	}
	fclose(file);
}

/* ---- answers --------------------------------------------------------------------------------- */

struct nlmsghdr *shown_message(struct shown *shown)
{
	return (struct nlmsghdr *)shown->words;
}

struct xfrm_usersa_info *shown_info(struct shown *shown)
{
	return mnl_nlmsg_get_payload(shown_message(shown));
}

void *attribute_of(struct nlmsghdr *nlh, size_t header, uint16_t type)
{
	const struct nlattr *attribute = sa_attribute(nlh, header, type);

	return attribute ? mnl_attr_get_payload(attribute) : NULL;
}

static uint64_t sent_in(struct nlmsghdr *nlh, size_t header, unsigned int *words)
{
	struct xfrm_replay_state_esn *wide = attribute_of(nlh, header, XFRMA_REPLAY_ESN_VAL);
	struct xfrm_replay_state *narrow = attribute_of(nlh, header, XFRMA_REPLAY_VAL);

	*words = wide ? wide->bmp_len : 0;
	if (wide)
		return (uint64_t)wide->oseq_hi << 32 | wide->oseq;
	return narrow ? narrow->oseq : UINT64_MAX;
}

static struct shown *sa_named(uint32_t spi)
{
	for (unsigned int i = 0; i < SHOWN; i++)
		if (kernel.sas[i].there && shown_info(&kernel.sas[i])->id.spi == spi)
			return &kernel.sas[i];
	return NULL;
}

static void answer(const void *data, size_t size)
{
	if (send(kernel.commands, data, size, MSG_NOSIGNAL) < 0)
		abort();
}

static void answer_copy(const struct nlmsghdr *from, uint32_t seq, uint16_t flags)
{
	uint32_t words[LARGE / 4];
	struct nlmsghdr *nlh = (struct nlmsghdr *)words;

	memcpy(words, from, from->nlmsg_len);
	nlh->nlmsg_seq = seq;
	nlh->nlmsg_flags = flags;
	answer(nlh, nlh->nlmsg_len);
}

static void answer_error(const struct nlmsghdr *request, int error)
{
	uint32_t words[LARGE / 4] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(words);
	struct nlmsgerr *what = mnl_nlmsg_put_extra_header(nlh, sizeof(*what));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_seq = request->nlmsg_seq;
	what->error = error;
	what->msg = *request;
	if (error)
		memcpy(mnl_nlmsg_put_extra_header(nlh, mnl_nlmsg_get_payload_len(request)),
		       request + 1, mnl_nlmsg_get_payload_len(request));
	if (error || request->nlmsg_flags & NLM_F_ACK)
		answer(nlh, nlh->nlmsg_len);
}

static void answer_dump(const struct nlmsghdr *request, struct shown *all)
{
	uint32_t words[8] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(words);

	kernel.dumps++;
	for (unsigned int i = 0; i < SHOWN; i++)
		if (all[i].there)
			answer_copy(shown_message(&all[i]), request->nlmsg_seq, NLM_F_MULTI);
	*(int *)mnl_nlmsg_put_extra_header(nlh, sizeof(int)) = 0;
	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_MULTI;
	nlh->nlmsg_seq = request->nlmsg_seq;
	answer(nlh, nlh->nlmsg_len);
}

/** As xfrm_new_ae() of the kernel: a bitmap of another size is refused. */
static int state_set(struct nlmsghdr *nlh)
{
	struct xfrm_aevent_id *id = mnl_nlmsg_get_payload(nlh);
	struct shown *sa = sa_named(id->sa_id.spi);
	struct xfrm_lifetime_cur *lifetime = attribute_of(nlh, sizeof(*id), XFRMA_LTIME_VAL);
	unsigned int words, own;
	uint64_t sent = sent_in(nlh, sizeof(*id), &words);

	if (!sa)
		return -ESRCH;
	sent_in(shown_message(sa), sizeof(struct xfrm_usersa_info), &own);
	if (!(nlh->nlmsg_flags & NLM_F_REPLACE) || (sent == UINT64_MAX && !lifetime) ||
	    (sent != UINT64_MAX && words != own))
		return -EINVAL;
	if (sent != UINT64_MAX)
		sa->sent = sent;
	if (lifetime)
		memcpy(&sa->told, lifetime, sizeof(sa->told));
	sa->states++;
	return 0;
}

static int state_get(struct nlmsghdr *nlh)
{
	struct xfrm_aevent_id *id = mnl_nlmsg_get_payload(nlh);
	struct shown *sa = sa_named(id->sa_id.spi);
	struct xfrm_replay_state_esn wide = {0};
	uint32_t words[128] = {0};
	struct nlmsghdr *reply = mnl_nlmsg_put_header(words);

	if (!sa)
		return -ESRCH;
	wide.oseq = (uint32_t)sa->sent;
	wide.oseq_hi = (uint32_t)(sa->sent >> 32);
	memcpy(mnl_nlmsg_put_extra_header(reply, sizeof(*id)), id, sizeof(*id));
	mnl_attr_put(reply, XFRMA_REPLAY_ESN_VAL, sizeof(wide), &wide);
	reply->nlmsg_type = XFRM_MSG_NEWAE;
	reply->nlmsg_seq = nlh->nlmsg_seq;
	answer(reply, reply->nlmsg_len);
	return 0;
}

static int expire(const struct nlmsghdr *nlh)
{
	const struct xfrm_user_expire *in = mnl_nlmsg_get_payload(nlh);
	struct shown *sa = sa_named(in->state.id.spi);

	if (!sa)
		return -ENOENT;
	sa->soft += !in->hard;
	sa->hard += in->hard;
	sa->there = !in->hard;
	return 0;
}

static int get_sa(const struct nlmsghdr *nlh)
{
	const struct xfrm_usersa_id *id = mnl_nlmsg_get_payload(nlh);
	struct shown *sa = sa_named(id->spi);

	if (!sa)
		return -ESRCH;
	answer_copy(shown_message(sa), nlh->nlmsg_seq, 0);
	return 0;
}

static void serve(struct nlmsghdr *nlh)
{
	bool dumps = (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	int error = -EINVAL; /* as an older kernel has of XFRM_MSG_GETDEFAULT */

	if (nlh->nlmsg_type == XFRM_MSG_GETSA && dumps)
		return answer_dump(nlh, kernel.sas);
	if (nlh->nlmsg_type == XFRM_MSG_GETPOLICY && dumps)
		return answer_dump(nlh, kernel.policies);
	if (nlh->nlmsg_type == XFRM_MSG_GETSA)
		error = get_sa(nlh);
	else if (nlh->nlmsg_type == XFRM_MSG_NEWAE)
		error = state_set(nlh);
	else if (nlh->nlmsg_type == XFRM_MSG_GETAE)
		error = state_get(nlh);
	else if (nlh->nlmsg_type == XFRM_MSG_EXPIRE)
		error = expire(nlh);
	answer_error(nlh, error);
}

static void *play(void *context)
{
	static uint32_t words[65536 / 4];
	ssize_t size;

	while ((size = recv(kernel.commands, words, sizeof(words), 0)) > 0) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)words;
		int left = (int)size;

		pthread_mutex_lock(&lock);
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			serve(nlh);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

void events_say(const struct nlmsghdr *nlh)
{
	assert_int_equal(send(kernel.events, nlh, nlh->nlmsg_len, 0), nlh->nlmsg_len);
	settle();
}

struct shown *show(struct shown *all, const char *name)
{
	for (unsigned int i = 0; i < SHOWN; i++) {
		struct shown *shown = &all[i];
		unsigned int words;

		if (shown->there)
			continue;
		memset(shown, 0, sizeof(*shown));
		memcpy(shown->words, recording(name), recording(name)->nlmsg_len);
		if (all == kernel.sas) {
			shown->sent = sent_in(shown_message(shown), sizeof(struct xfrm_usersa_info),
					      &words);
			/* What was recorded has reached its hard lifetime long ago. */
			shown_info(shown)->curlft.add_time = (uint64_t)time(NULL);
			if (shown_info(shown)->curlft.use_time)
				shown_info(shown)->curlft.use_time = (uint64_t)time(NULL);
		}
		shown->there = true;
		return shown;
	}
	fail();
	return NULL;
}

void kernel_start(int events_here, int commands_here)
{
	kernel.commands = commands_here;
	kernel.events = events_here;
	assert_int_equal(pthread_create(&thread, NULL, play, NULL), 0);
}

void kernel_end(void)
{
	pthread_join(thread, NULL);
	close(kernel.commands);
	close(kernel.events);
}
