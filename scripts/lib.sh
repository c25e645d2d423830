# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the scripts share: output, packages, hugepages, builds. Sourced, never run.

PEWTER_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
	bold='' dim='' red='' green='' plain=''
fi

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
warn() { printf '   note: %s\n' "$*"; }
die() {
	printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root (network namespaces, packages, hugepages): sudo $0"
}

# Runs a command that is silent when it works and shows its log's end when it does not.
quietly() { # LOG COMMAND...
	local log=$1
	shift
	"$@" > "$log" 2>&1 < /dev/null && return 0
	tail -n 40 "$log" >&2
	return 1
}

# ---- packages -----------------------------------------------------------------------------

PACKAGES_BUILD="gcc libc6-dev meson ninja-build pkg-config libdpdk-dev librte-net-af-xdp23
	libipsec-mb-dev libmnl-dev libbpf-dev libxdp-dev libpcap-dev libsystemd-dev libbsd-dev libcmocka-dev
	clang llvm"
PACKAGES_DEMO="iproute2 netbase iputils-ping ethtool traceroute tcpdump iperf3 procps"
PACKAGES_CHECK="git clang-format dpdk-dev libclang-rt-14-dev python3 python3-scapy
	python3-cryptography python3-pyroute2"
# BGP speakers of the lab tests; their services are neither started nor enabled.
PACKAGES_BGP="frr gobgpd bird2"
# strongSwan, for the lab tests and scripts/quickstart --ike; a NAT for the tests.
PACKAGES_IKE="charon-systemd strongswan-swanctl strongswan-pki libstrongswan-standard-plugins
	libstrongswan-extra-plugins libcharon-extra-plugins libcharon-extauth-plugins"
PACKAGES_NAT="nftables conntrack"

# Installs what is missing of the packages named; says nothing when nothing is.
packages() { # PACKAGE...
	local missing=() package log
	command -v dpkg-query > /dev/null || {
		warn "no dpkg here: install what these Debian 12 packages hold yourself: $*"
		return 0
	}
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	step "Installing ${#missing[@]} packages"
	say "${missing[*]}"
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	quietly "$log" apt-get update -q || die "apt-get update failed (above)"
	quietly "$log" apt-get install -q -y --no-install-recommends "${missing[@]}" ||
		die "apt-get install failed (above)"
	rm -f "$log"
}

# Installs daemons that the labs start themselves: none of them is to run on this machine.
packages_without_services() { # PACKAGE...
	local policy=/usr/sbin/policy-rc.d package made='' new=()
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed ||
			new+=("$package")
	done
	[ ${#new[@]} -gt 0 ] || return 0
	if command -v dpkg-query > /dev/null && [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' > $policy
		chmod 755 $policy
		made=yes
	fi
	# In a shell of its own: packages() may end it, and the policy must go in any case.
	(packages "${new[@]}")
	local status=$?
	[ -z "$made" ] || rm -f $policy
	[ $status = 0 ] || exit $status
	[ ! -d /run/systemd/system ] || for package in "${new[@]}"; do
		case $package in
		charon-systemd) package=strongswan ;; # as its service is called
		esac
		systemctl -q disable "${package%2}" 2> /dev/null
	done
	return 0
}

# ---- hugepages ----------------------------------------------------------------------------

HUGEPAGES=/proc/sys/vm/nr_hugepages
hugepages_taken=0

# Adds to the number of hugepages; several scripts may do so at once. Prints what it got.
hugepages_add() { # PAGES
	(
		flock 9
		before=$(cat $HUGEPAGES)
		{ echo $((before + $1 > 0 ? before + $1 : 0)) > $HUGEPAGES; } 2> /dev/null
		echo $(($(cat $HUGEPAGES) - before))
	) 9< $HUGEPAGES
}

# Takes so many 2 MiB pages for this run, or says why there are none.
hugepages_reserve() { # PAGES
	local size
	size=$(awk '/^Hugepagesize/ { print $2 }' /proc/meminfo)
	[ "$size" = 2048 ] || {
		warn "hugepages are not of 2 MiB here: running without"
		return 1
	}
	hugepages_taken=$(hugepages_add "$1")
	[ "$hugepages_taken" -ge "$1" ] || {
		hugepages_return
		warn "no room for $1 hugepages: running without"
		return 1
	}
	say "reserved $hugepages_taken hugepages of 2 MiB, given back at the end"
}

# Gives back what this run took, and no more.
hugepages_return() {
	[ "$hugepages_taken" -gt 0 ] || return 0
	hugepages_add $((-hugepages_taken)) > /dev/null
	hugepages_taken=0
}

# ---- builds -------------------------------------------------------------------------------

# Sets up the folder build/NAME once, and builds TARGETS (default: everything) in it.
build() { # NAME "MESON OPTIONS" [TARGET...]
	local folder=$PEWTER_TOP/build/$1 options=$2 log status=0
	shift 2
	mkdir -p "$PEWTER_TOP/build"
	log=$(mktemp)
	if [ ! -f "$folder/build.ninja" ]; then
		rm -rf "$folder"
		# shellcheck disable=SC2086
		quietly "$log" meson setup $options "$folder" "$PEWTER_TOP" ||
			die "meson setup failed (above)"
	fi
	if [ -t 1 ]; then
		ninja -C "$folder" "$@" || status=$?
	else
		quietly "$log" ninja -C "$folder" "$@" || status=$?
	fi
	rm -f "$log"
	[ $status = 0 ] || die "the build in ${folder#"$PEWTER_TOP"/} failed (above)"
}

build_release() { build release "--buildtype=release"; }
