# SPDX-License-Identifier: BSD-3-Clause
# Point-to-point GRE between the two PEs of l3vpn.sh, with options: gre.
ip link add gre1 type gre local 10.255.0.$me remote 10.255.0.$you ttl 64 $gre
ip link set gre1 up
ip addr add 172.16.1.$me/30 dev gre1
ip addr add 2001:db8:ffff::$me/64 dev gre1 nodad
ip route add 10.$you.0.0/16 table 10 encap mpls ${you}00 via inet 172.16.1.$you dev gre1
ip route add 2001:db8:$you::/48 table 10 encap mpls ${you}00 via 2001:db8:ffff::$you dev gre1
