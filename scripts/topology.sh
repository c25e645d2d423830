# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The lab of scripts/lab and scripts/quickstart, in network namespaces. Needs scripts/lib.sh.
#
# Every namespace of a lab is called pw-ID-NODE; what else a lab is lies in /run/pewter-lab/ID:
# NODE.pid, NODE.sock and NODE.log of the daemons, owner (the process that takes it down),
# hugepages (what scripts/lab reserved for it), keys (how often the PEs were given keys).

LABS=/run/pewter-lab
BIN=${PW_BUILD:-$PEWTER_TOP/build/release}
NODES="red1 blue1 pe1 p pe2 red2 blue2"

topology_drawing() {
	cat <<'DRAWING'

       site 1                                                         site 2

   red1  10.1.0.2 ----+                                     +---- red2  10.2.0.2
    2001:db8:1::2     |                                     |     2001:db8:2::2
                   +--+--+  192.0.2.0/30 +---+ 192.0.2.4/30 +--+--+
                   | PE1 +---------------+ P +--------------+ PE2 |
                   +--+--+               +---+              +--+--+
    2001:db8:1::2     |  10.255.0.1              10.255.0.2 |     2001:db8:2::2
   blue1 10.1.0.2 ----+                                     +---- blue2 10.2.0.2
                                                                  10.99.0.1, here only
   PE1, PE2   pewterd: a VRF a customer, MPLS labels in one multipoint GRE tunnel
   P          plain Linux, knows IPv4 and nothing of customers, labels or tunnels
DRAWING
	[ "$lab_clear" = 1 ] || echo "   PE to PE   ESP around it all: AES-128-GCM, 64-bit sequence numbers"
}

# lab_select ID [DRIVER [CLEAR]]: names the lab that the other functions work on. CLEAR 1: its
# tunnels go without ESP.
lab_select() {
	lab=$1
	lab_driver=${2:-af_xdp}
	lab_clear=${3:-0}
	lab_state=$LABS/$lab
}

ns() { echo "pw-$lab-$1"; }

# in_node NODE COMMAND...: runs it in the node's namespace.
in_node() {
	local node=$1
	shift
	ip netns exec "$(ns "$node")" "$@"
}

# on_pe NODE COMMAND...: runs a netlink program (ip, say) against the PE's daemon.
on_pe() {
	local node=$1
	shift
	"$BIN/control/cli/pewter-run" -s "$lab_state/$node.sock" "$@"
}

ctl() {
	local node=$1
	shift
	"$BIN/control/cli/pewterctl" -s "$lab_state/$node.sock" "$@"
}

# lab_namespaces NODE...
lab_namespaces() {
	local node
	for node in "$@"; do
		ip netns add "$(ns "$node")" || return 1
		in_node "$node" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
		ip -n "$(ns "$node")" link set lo up
	done
}

# wire NODE INTERFACE NODE INTERFACE [MTU]: a veth pair. Checksums are filled in by the sender:
# what a PE takes from the wire must be whole.
wire() {
	ip link add "$2" netns "$(ns "$1")" type veth peer name "$4" netns "$(ns "$3")" || return 1
	in_node "$1" ethtool -K "$2" tx off txvlan off > /dev/null
	in_node "$3" ethtool -K "$4" tx off txvlan off > /dev/null
	ip -n "$(ns "$1")" link set "$2" mtu "${5:-1500}" up
	ip -n "$(ns "$3")" link set "$4" mtu "${5:-1500}" up
}

# customer NODE SITE: addresses and default routes of a customer's router.
customer() {
	local n
	n=$(ns "$1")
	ip -n "$n" address add "10.$2.0.2/24" dev eth0
	ip -n "$n" address add "2001:db8:$2::2/64" dev eth0 nodad
	ip -n "$n" route add default via "10.$2.0.1"
	ip -n "$n" route add default via "2001:db8:$2::1"
}

# The core's links have room for ESP, GRE and label around customers' 1500 bytes.
lab_wires() {
	wire pe1 core p pe1 1600 && wire pe2 core p pe2 1600 &&
		wire pe1 ce-red red1 eth0 && wire pe1 ce-blue blue1 eth0 &&
		wire pe2 ce-red red2 eth0 && wire pe2 ce-blue blue2 eth0 || return 1
	customer red1 1 && customer blue1 1 && customer red2 2 && customer blue2 2
	ip -n "$(ns blue2)" address add 10.99.0.1/32 dev lo
}

lab_core() {
	local n
	n=$(ns p)
	ip -n "$n" address add 192.0.2.2/30 dev pe1
	ip -n "$n" address add 192.0.2.6/30 dev pe2
	ip -n "$n" route add 10.255.0.1/32 via 192.0.2.1
	ip -n "$n" route add 10.255.0.2/32 via 192.0.2.5
	in_node p sysctl -qw net.ipv4.ip_forward=1
}

# lab_pewterd NODE CPU OPTION...: starts pewterd and waits until its start-up files are applied.
lab_pewterd() {
	local node=$1 cpu=$2 i
	shift 2
	ip netns exec "$(ns "$node")" "$BIN/pewterd" -s "$lab_state/$node.sock" -w "$cpu" "$@" \
		> "$lab_state/$node.log" 2>&1 < /dev/null &
	echo $! > "$lab_state/$node.pid"
	disown $!
	for ((i = 0; i < 300; i++)); do
		grep -qs 'ready: ' "$lab_state/$node.log" && return 0
		kill -0 "$(cat "$lab_state/$node.pid")" 2> /dev/null || break
		sleep 0.1
	done
	echo "pewterd on $node did not start:" >&2
	tail -n 20 "$lab_state/$node.log" >&2
	return 1
}

# lab_daemon NODE CPU [OPTION...]: a PE.
lab_daemon() {
	local node=$1 cpu=$2 port ports=() files=()
	shift 2
	[ "$lab_clear" = 1 ] || files+=(-f "$PEWTER_TOP/docs/examples/$node.xfrm")
	for port in core ce-red ce-blue; do
		ports+=(-p "$port=$lab_driver:$port")
	done
	lab_pewterd "$node" "$cpu" "${ports[@]}" "${files[@]}" -f "$PEWTER_TOP/docs/examples/$node.batch" \
		-f "$PEWTER_TOP/docs/examples/$node.mpls" "$@"
}

# lab_up [OPTION-OF-PEWTERD...]
lab_up() {
	local cpus
	cpus=$(nproc)
	[ -x "$BIN/pewterd" ] || die "no $BIN/pewterd: run scripts/quickstart once, it builds"
	[ ! -e "$lab_state" ] || die "lab $lab is up already: scripts/lab down $lab"
	mkdir -p "$lab_state"
	echo "$lab_driver" > "$lab_state/driver"
	# shellcheck disable=SC2086
	lab_namespaces $NODES && lab_wires && lab_core &&
		lab_daemon pe1 0 "$@" && lab_daemon pe2 $((cpus > 1 ? 1 : 0)) "$@"
}

# ---- keys, as an IKE daemon would give them ------------------------------------------------------

# sa_command FROM TO SPI: a line of `ip -batch` that adds an SA with a new key (AES-128 and 4 bytes
# of salt). Printed by the shell itself, so the key is on no command line.
sa_command() {
	printf "xfrm state add src %s dst %s proto esp spi 0x%x reqid 1 mode transport" "$1" "$2" "$3"
	printf " replay-window 128 flag esn aead 'rfc4106(gcm(aes))' 0x%s 128\n" \
		"$(od -An -v -tx1 -N20 /dev/urandom | tr -d ' \n')"
}

# lab_keys: gives the PEs a new pair of SAs, and takes the old pair away. Whoever receives with one
# has it before the other sends with it, so no packet is lost.
lab_keys() {
	local a=10.255.0.1 b=10.255.0.2 count spi there back pe
	count=$(cat "$lab_state/keys" 2> /dev/null || echo 0)
	spi=$((0x1001 + 2 * count))
	there=$(sa_command $a $b $spi)
	back=$(sa_command $b $a $((spi + 1)))
	on_pe pe2 ip -batch - <<< "$there" && on_pe pe1 ip -batch - <<< "$back" &&
		on_pe pe1 ip -batch - <<< "$there" && on_pe pe2 ip -batch - <<< "$back" || return 1
	echo $((count + 1)) > "$lab_state/keys"
	[ "$count" -gt 0 ] || return 0
	sleep 0.1 # what is on its way with the old ones
	for pe in pe1 pe2; do
		printf 'xfrm state delete src %s dst %s proto esp spi 0x%x\n' \
			$a $b $((spi - 2)) $b $a $((spi - 1)) | on_pe $pe ip -batch - || return 1
	done
}

# Takes the lab down, however far it came up. Daemons are told first and ended if deaf.
lab_down() {
	local file pid i node
	for file in "$lab_state"/*.pid; do
		[ -e "$file" ] || continue
		pid=$(cat "$file")
		grep -qsE 'pewterd|charon' "/proc/$pid/comm" && kill "$pid" 2> /dev/null
		for ((i = 0; i < 50; i++)); do
			kill -0 "$pid" 2> /dev/null || break
			sleep 0.1
		done
		grep -qsE 'pewterd|charon' "/proc/$pid/comm" && kill -9 "$pid" 2> /dev/null
	done
	for node in $(ip netns list | awk -v begin="pw-$lab-" 'index($1, begin) == 1 { print $1 }'); do
		ip netns del "$node"
	done
	if [ -s "$lab_state/hugepages" ]; then
		hugepages_taken=$(cat "$lab_state/hugepages")
		hugepages_return
	fi
	rm -rf "$lab_state"
	rmdir "$LABS" 2> /dev/null
	return 0
}
