/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/drops.h"

static const char *const names[PW_DROP_COUNT] = {[PW_DROP_NONE] = "none",
#define DROP_NAME(id, name, text) [PW_DROP_##id] = name,
						 PW_DROPS(DROP_NAME)
#undef DROP_NAME
};

static const char *const texts[PW_DROP_COUNT] = {[PW_DROP_NONE] = "",
#define DROP_TEXT(id, name, text) [PW_DROP_##id] = text,
						 PW_DROPS(DROP_TEXT)
#undef DROP_TEXT
};

const char *pw_drop_name(enum pw_drop drop)
{
	return drop < PW_DROP_COUNT ? names[drop] : "unknown";
}

const char *pw_drop_text(enum pw_drop drop)
{
	return drop < PW_DROP_COUNT ? texts[drop] : "";
}

static const char *const event_names[PW_EVENT_COUNT] = {
#define EVENT_NAME(id, name, text) [PW_EVENT_##id] = name,
	PW_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

static const char *const event_texts[PW_EVENT_COUNT] = {
#define EVENT_TEXT(id, name, text) [PW_EVENT_##id] = text,
	PW_EVENTS(EVENT_TEXT)
#undef EVENT_TEXT
};

const char *pw_event_name(enum pw_event event)
{
	return event < PW_EVENT_COUNT ? event_names[event] : "unknown";
}

const char *pw_event_text(enum pw_event event)
{
	return event < PW_EVENT_COUNT ? event_texts[event] : "";
}
