# SPDX-License-Identifier: BSD-3-Clause
# Configures one of two PEs, a Linux kernel or a Pewter: the very same commands. Plain sh.
# Needs: me, you (1 or 2), core, ce (names of its interfaces).

ip addr add 192.168.100.$me/24 dev $core
ip addr add 10.255.0.$me/32 dev lo
ip route add 10.255.0.$you/32 via 192.168.100.$you

# A customer, whose other site is behind the other PE
ip link add cust type vrf table 10
ip link set cust up
ip link set $ce master cust
ip link set $ce up
ip addr add 10.$me.0.1/24 dev $ce
ip addr add 2001:db8:$me::1/64 dev $ce nodad

# What the other PE sends with this label is the customer's
ip -f mpls route add ${me}00 dev cust ttl-propagate disabled
