#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The tree itself: C as clang-format writes it, licences named, documents complete.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bad=0

# result NAME COMPLAINTS: one line for the test, and the complaints.
result() {
	if [ -z "$2" ]; then
		echo "ok $1"
	else
		echo "FAIL $1"
		printf '%s\n' "$2" | sed 's/^/    /'
		bad=1
	fi
}

files() { # PATTERN...
	git -c safe.directory='*' ls-files -co --exclude-standard -- "$@" 2> /dev/null | sort -u |
		while read -r file; do [ ! -f "$file" ] || echo "$file"; done
}

mapfile -t sources < <(files '*.c' '*.h')
if [ ${#sources[@]} -lt 50 ]; then
	echo "FAIL files: ${#sources[@]} C files found: is this a git checkout?"
	exit 1
fi

if command -v clang-format > /dev/null; then
	# It takes longer to start than a file: one by one only those with which something is wrong.
	result "clang-format" "$(printf '%s\0' "${sources[@]}" |
		xargs -0 -n 16 -P "$(nproc)" bash -c 'format="clang-format --dry-run -Werror"
			$format "$@" 2> /dev/null || for file; do
				$format "$file" 2> /dev/null || echo "$file"
			done' -)"
else
	echo "skip clang-format: not installed"
fi

result "SPDX line in every source" "$(files '*.c' '*.h' '*.py' '*.sh' 'scripts/*' '.ci/*' |
	grep -v -e '\.md$' -e '\.service$' | while read -r file; do
	{ read -r first; read -r second; read -r third; } < "$file"
	[[ $first$second$third == *'SPDX-License-Identifier: BSD-3-Clause'* ]] || echo "$file"
done)"

result "every drop is in docs/operations.md" "$(grep -oP '^\s*X\([A-Z0-9_]+, "\K[a-z0-9-]+' dataplane/drops.h |
	while read -r name; do
		grep -q "^| \`$name\` |" docs/operations.md || echo "$name"
	done)"

result "every option is in docs/operations.md" "$(grep -oP '^\t\{"\K[a-z-]+(?=", (required|no)_argument)' control/options.c |
	while read -r name; do
		grep -q -- "--$name" docs/operations.md || echo "--$name"
	done)"

result "links between documents" "$(files '*.md' | while read -r file; do
	grep -oP '\]\(\K[^)#:]+(?=\))' "$file" | while read -r link; do
		[ -e "$(dirname "$file")/$link" ] || echo "$file: $link"
	done
done)"
exit $bad
