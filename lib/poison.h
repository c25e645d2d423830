/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_POISON_H
#define PW_POISON_H

/** Tells AddressSanitizer which memory of an allocator of our own is in use. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define pw_poison(address, size)   ASAN_POISON_MEMORY_REGION(address, size)
#define pw_unpoison(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define pw_poison(address, size)   ((void)(address), (void)(size))
#define pw_unpoison(address, size) ((void)(address), (void)(size))
#endif

#endif
