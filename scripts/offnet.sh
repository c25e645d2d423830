# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# scripts/quickstart --offnet: off-net sites behind one public address, with the files of
# docs/examples/offnet. Needs lib.sh, topology.sh, ike.sh and the functions of quickstart.

OFFNET_NODES="red1 blue1 ce1 ce2 inet pe1 p pe2 red2 blue2"
OFFNET_FILES=$PEWTER_TOP/docs/examples/offnet

offnet_drawing() {
	cat <<'DRAWING'

   off-net                                                                        on-net

   red1  10.10.0.2 -- CE1 --+                                             +-- red2  10.2.0.2
                            |            198.51.100.1                     |
                       +----+-----+        +-----+      +---+      +-----+
                       | Internet +--------+ PE1 +------+ P +------+ PE2 |
                       +----+-----+        +-----+      +---+      +-----+
                            |                                             |
   blue1 10.10.0.2 -- CE2 --+                                             +-- blue2 10.2.0.2

             ESP, tunnel mode: a site's SAs           ESP, transport mode: labels in GRE
   PE1, PE2, CE1, CE2   pewterd, and Debian's charon beside it
   CE1                  route-based: an IPsec interface; CE2 policy-based: no interface
   PE1                  one public address, in a VRF that has only the Internet: the front door
DRAWING
}

offnet_wires() {
	local name
	wire pe1 core p pe1 1600 && wire pe2 core p pe2 1600 && wire pe1 net inet pe1 &&
		wire ce1 net inet ce1 && wire ce2 net inet ce2 && wire ce1 lan red1 eth0 &&
		wire ce2 lan blue1 eth0 && wire pe2 ce-red red2 eth0 && wire pe2 ce-blue blue2 eth0 || return 1
	customer red1 10 && customer blue1 10 && customer red2 2 && customer blue2 2
	name=$(ns inet)
	ip -n "$name" address add 198.51.100.2/30 dev pe1
	ip -n "$name" address add 203.0.113.2/30 dev ce1
	ip -n "$name" address add 203.0.113.6/30 dev ce2
	in_node inet sysctl -qw net.ipv4.ip_forward=1
}

offnet_daemon() { # NODE CPU PORTS OPTION...
	local node=$1 cpu=$2 port kind ports=() files=()
	for port in $3; do
		ports+=(-p "$port=$lab_driver:$port")
	done
	shift 3
	case $node in pe?) files+=(-f "$PEWTER_TOP/docs/examples/ike.xfrm") ;; esac
	for kind in batch mpls; do
		[ ! -e "$OFFNET_FILES/$node.$kind" ] || files+=(-f "$OFFNET_FILES/$node.$kind")
	done
	lab_pewterd "$node" $((cpu % $(nproc))) "${ports[@]}" "${files[@]}" "$@"
}

# offnet_up [OPTION-OF-PEWTERD...]
offnet_up() {
	[ -x "$BIN/pewterd" ] || die "no $BIN/pewterd"
	mkdir -p "$lab_state"
	echo "$lab_driver" > "$lab_state/driver"
	# shellcheck disable=SC2086
	lab_namespaces $OFFNET_NODES && offnet_wires && lab_core &&
		offnet_daemon pe1 0 "core net" "$@" && offnet_daemon pe2 1 "core ce-red ce-blue" "$@" &&
		offnet_daemon ce1 0 "net lan" "$@" && offnet_daemon ce2 1 "net lan" "$@" || return 1
	# IKE is the kernel's, and needs its ways too.
	ip -n "$(ns pe1)" route add 10.255.0.2/32 via 192.0.2.2 src 10.255.0.1
	ip -n "$(ns pe2)" route add 10.255.0.1/32 via 192.0.2.6 src 10.255.0.2
	ip -n "$(ns pe1)" route add default via 198.51.100.2 dev net onlink
	ip -n "$(ns ce1)" route add default via 203.0.113.2
	ip -n "$(ns ce2)" route add default via 203.0.113.6
}

offnet_charons() {
	local node
	for node in pe1 pe2 ce1 ce2; do
		ike_charon $node "$OFFNET_FILES/$node.swanctl.conf" || return 1
	done
}

offnet_first() { # NODE: its first packets ask for keys and are dropped, those after are not
	local i
	for ((i = 0; i < 20; i++)); do
		! in_node "$1" ping -n -c 1 -W 1 10.2.0.2 || return 0
	done
	return 1
}

offnet_routes() { # TABLE: the reverse route is there
	on_pe pe1 ip route show table "$1"
	on_pe pe1 ip route show table "$1" | grep -q '^10.10.0.0/24 dev ipsec-'
}

# The Internet and the core see ESP and IKE; the customers' words are on their own links only.
offnet_wire() {
	local words=pewter-cleartext pattern file others
	pattern=$(printf %s $words | od -An -tx1 | tr -d ' \n')
	capture inet pe1 "$work/net.pcap" && capture p pe1 "$work/core.pcap" &&
		capture red2 eth0 "$work/red2.pcap" || return 1
	in_node red1 ping -n -q -c 50 -i 0.01 -W 3 -s 400 -p "$pattern" 10.2.0.2 &&
		in_node blue2 ping -n -q -c 50 -i 0.01 -W 3 -s 400 -p "$pattern" 10.10.0.2 &&
		in_node red1 ping -n -q -c 50 -i 0.01 -W 3 -s 400 -p "$pattern" 2001:db8:2::2 || return 1
	capture_end
	for file in net core; do
		esp_seen=$(packets_in "$work/$file.pcap" 'ip proto 50')
		others=$(packets_in "$work/$file.pcap" \
			'(ip and not ip proto 50 and not udp port 500 and not udp port 4500) or mpls or (ip6 and not icmp6)')
		echo "$file: $esp_seen packets of ESP, $others of anything else but IKE"
		[ "$esp_seen" -ge 300 ] && [ "$others" -eq 0 ] || return 1
		! grep -aqF $words "$work/$file.pcap" || { echo "the words are on $file"; return 1; }
	done
	grep -aqF $words "$work/red2.pcap" || { echo "not even red2's link has the words"; return 1; }
}

offnet_mtu() { # 1500 less IPv4 20, ESP and IV 16, ICV 16, trailer 2
	in_node red2 ping -n -c 2 -i 0.2 -W 1 -M 'do' -s 1472 10.10.0.2 > "$work/mtu" 2>&1
	cat "$work/mtu"
	grep -q 'mtu = 1446' "$work/mtu" && in_node red2 ping -n -c 2 -i 0.2 -W 2 -M 'do' -s $((1446 - 28)) 10.10.0.2
}

offnet_rekey() { # from either side in turn
	if [ $((rekeys % 2)) = 0 ]; then ike_ctl pe1 --rekey --child red1; else ike_ctl ce1 --rekey --child vpn; fi || return 1
	sleep 0.3
}

# CE1's site goes away: charon's delete takes SAs, policies and the route, and nothing else.
offnet_gone() {
	ike_ctl ce1 --terminate --ike pe1 --timeout 5
	ip -n "$(ns ce1)" link set net down
	! offnet_routes 10 && offnet_routes 20 && pings_not red2 10.10.0.2 && pings blue2 10.10.0.2
}

offnet_clear() { # the Internet sends to customers' addresses in clear
	local before after
	before=$(($(echoes red2) + $(echoes blue2) + $(echoes red1) + $(echoes blue1)))
	ip -n "$(ns inet)" route add 10.0.0.0/8 via 198.51.100.1
	in_node inet ping -n -c 3 -i 0.2 -W 1 10.2.0.2
	in_node inet ping -n -c 3 -i 0.2 -W 1 10.10.0.2
	ip -n "$(ns inet)" route del 10.0.0.0/8
	after=$(($(echoes red2) + $(echoes blue2) + $(echoes red1) + $(echoes blue1)))
	echo "heard: $((after - before))"
	[ $after -eq $before ]
}

offnet_trace() {
	timeout 5 "$BIN/control/cli/pewterctl" -s "$lab_state/pe1.sock" trace -c 1 --port core esp > "$work/trace" 2>&1 &
	local pid=$!
	sleep 0.5
	in_node red2 ping -n -c 1 -W 2 10.10.0.2 > /dev/null
	wait $pid
	cat "$work/trace"
}

offnet_demonstration() {
	local pe what

	step "Starting the lab"
	options=()
	if [ $huge = 0 ] || ! hugepages_reserve 1024; then
		options+=(--no-huge)
		[ $huge = 1 ] || say "without hugepages, as asked"
	fi
	offnet_up "${options[@]}" || die "the lab did not come up"
	echo $$ > "$lab_state/owner"
	offnet_drawing
	sed -n 's/^pewterd: warning: port /   note: /p' "$lab_state"/*.log | grep 'used instead'

	step "PE1 was configured by these ip commands (docs/examples/offnet/pe1.batch)"
	sed -n '/front door/,$p' "$OFFNET_FILES/pe1.batch" | sed 's/^/   /'
	say
	for what in red blue; do
		say "$ pewterctl link ipsec-$what reverse-route on"
		ctl pe1 link ipsec-$what reverse-route on
	done

	step "Keys: charon on PEs and CEs, on Pewter's XFRM (docs/examples/offnet/*.swanctl.conf)"
	sed -n '/^	red1 {/,/^	}/s/^/   /p' "$OFFNET_FILES/pe1.swanctl.conf"
	check "nothing reaches a site without keys" pings_not red2 10.10.0.2
	check "all four charons have started: pewter-run -P xfrm charon-systemd" offnet_charons
	check "red1's first packet brings its keys" offnet_first red1
	check "blue1's first packet brings its keys" offnet_first blue1
	check "PE1 has a route to red's site now, through ipsec-red" offnet_routes 10
	check "and one to blue's, the same prefix, through ipsec-blue" offnet_routes 20
	show "pewter-run ip route show table 10" on_pe pe1 ip route show table 10
	show "swanctl --list-sas" ike_ctl pe1 --list-sas

	step "The sites talk: ESP, VRF, label, GRE, ESP"
	check "red1  -> red2   10.2.0.2" pings red1 10.2.0.2
	check "red1  -> red2   2001:db8:2::2" pings red1 2001:db8:2::2
	check "blue1 -> blue2  10.2.0.2" pings blue1 10.2.0.2
	check "red2  -> red1   10.10.0.2" pings red2 10.10.0.2
	check "blue2 -> blue1  2001:db8:10::2" pings blue2 2001:db8:10::2
	check "red2 is told what fits all of it, 1446 bytes, and that passes" offnet_mtu

	show "pewterctl show sas" ctl pe1 show sas
	show "pewterctl show policies" ctl pe1 show policies

	step "And do not hear of each other"
	check "red2's pings to 10.10.0.2 reach red1, none reaches blue1" answered_by red1 blue1 red2 10.10.0.2
	check "blue2's pings to 10.10.0.2 reach blue1, none reaches red1" answered_by blue1 red1 blue2 10.10.0.2
	check "red1's pings to 10.2.0.2 reach red2, none reaches blue2" answered_by red2 blue2 red1 10.2.0.2
	check "what the Internet sends to PE1 in clear reaches nobody" offnet_clear

	step "What the Internet and the core see of the customers"
	check "ESP and IKE; what red says is on red2's link and on neither of these" offnet_wire
	show "Internet: tcpdump -i pe1" tcpdump -nn -t -c 4 -r "$work/net.pcap" 'ip proto 50'
	show "pewterctl trace esp: red2's request inside PE1, from ESP to ESP" offnet_trace

	step "New keys under load"
	check "5,000 pings at 1,000/s through it all, keys changed all the while: none lost" rekey_under_load
	say "      the keys were changed ${rekeys:-0} times"

	step "What the PEs counted"
	for pe in pe1 pe2; do
		for what in tunnels labels drops; do
			show "$pe: pewterctl show $what" ctl "$pe" show $what
		done
	done

	step "A site goes"
	[ $keep = 1 ] || check "CE1 is gone: so are PE1's SAs and its route; blue's stay" offnet_gone
}
