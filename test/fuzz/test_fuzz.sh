#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A short run of every fuzz target, in a build of its own.
exec "$(dirname "$0")/run" "$(dirname "$0")/../../build/fuzz" "${FUZZ_SECONDS:-20}"
