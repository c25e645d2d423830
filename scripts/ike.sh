# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Debian's charon on both PEs of a lab, for scripts/quickstart --ike. Needs scripts/topology.sh.
#
# Its files are in $lab_state/ike: NODE.conf, NODE.vici (swanctl's socket), NODE.log. Its process is
# in $lab_state/NODE-charon.pid, which lab_down() ends.

# swanctl of a PE: ike_ctl NODE COMMAND [ARGUMENT...]
ike_ctl() {
	local node=$1 command=$2
	shift 2
	SWANCTL_DIR=$lab_state/ike swanctl "$command" --uri "unix://$lab_state/ike/$node.vici" "$@"
}

ike_conf() { # NODE
	cat <<CONF
charon-systemd {
	load = random nonce openssl pem pkcs1 x509 pubkey kdf hmac sha1 sha2 aes gcm drbg kernel-netlink socket-default vici
	install_routes = no
	make_before_break = yes
	plugins {
		vici {
			socket = unix://$lab_state/ike/$1.vici
		}
	}
	filelog {
		main {
			path = $lab_state/ike/$1.log
			default = 1
			flush_line = yes
		}
	}
	syslog {
		daemon {
			default = -1
		}
		auth {
			default = -1
		}
	}
}
CONF
}

# ike_charon NODE [FILE]: starts it and gives it the file, docs/examples/NODE.swanctl.conf.
ike_charon() {
	local node=$1 file=${2:-$PEWTER_TOP/docs/examples/$1.swanctl.conf} i
	mkdir -p "$lab_state/ike"
	ike_conf "$node" > "$lab_state/ike/$node.conf"
	STRONGSWAN_CONF=$lab_state/ike/$node.conf ip netns exec "$(ns "$node")" \
		"$BIN/control/cli/pewter-run" -s "$lab_state/$node.sock" -P xfrm /usr/sbin/charon-systemd \
		> "$lab_state/ike/$node.out" 2>&1 < /dev/null &
	echo $! > "$lab_state/$node-charon.pid"
	disown $!
	for ((i = 0; i < 100; i++)); do
		[ ! -S "$lab_state/ike/$node.vici" ] || break
		sleep 0.1
	done
	ike_ctl "$node" --load-all --noprompt --file "$file" \
		> "$lab_state/ike/$node.load" 2>&1 || {
		tail -n 20 "$lab_state/ike/$node.load" "$lab_state/ike/$node.out"
		return 1
	}
}

# IKE is the kernel's: it too needs a way to the other PE.
ike_up() {
	local pe
	ip -n "$(ns pe1)" route replace 10.255.0.2/32 via 192.0.2.2 src 10.255.0.1
	ip -n "$(ns pe2)" route replace 10.255.0.1/32 via 192.0.2.6 src 10.255.0.2
	for pe in pe1 pe2; do
		on_pe $pe ip -batch "$PEWTER_TOP/docs/examples/ike.xfrm" && ike_charon $pe || return 1
	done
}

ike_rekey() {
	ike_ctl pe1 --rekey --child gre
}
