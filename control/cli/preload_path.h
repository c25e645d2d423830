/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_PRELOAD_PATH_H
#define PW_PRELOAD_PATH_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Finds libpewter-run.so: beside the program or in control/cli below it (a build folder), else
 * where it was installed. False when it is nowhere.
 */
bool pw_preload_path(char *path, size_t size);

/**
 * The value of LD_PRELOAD with the library before what is there already. False when it does
 * not fit.
 */
bool pw_preload_value(const char *library, char *value, size_t size);

#endif
