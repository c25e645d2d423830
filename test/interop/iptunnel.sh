# SPDX-License-Identifier: BSD-3-Clause
# A customer's packets as they are, without labels, between the two PEs of l3vpn.sh: a tunnel whose
# device is in the customer's VRF, and whose underlay is not. gre: its type and options.
ip link add ipt0 $gre local 10.255.0.$me remote 10.255.0.$you ttl 64
ip link set ipt0 master cust up
ip route add 10.$you.0.0/24 table 10 dev ipt0
ip route add 2001:db8:$you::/64 table 10 dev ipt0
