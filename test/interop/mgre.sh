# SPDX-License-Identifier: BSD-3-Clause
# Multipoint GRE: no remote; where a gateway is reached is said by a neighbour entry (NBMA).
ip link add mgre0 type gre local 10.255.0.$me ttl 64
ip link set mgre0 up
ip addr add 172.16.0.$me/24 dev mgre0
ip addr add 2001:db8:eeee::$me/64 dev mgre0 nodad
ip neigh add 172.16.0.$you lladdr 10.255.0.$you dev mgre0 nud permanent
ip neigh add 2001:db8:eeee::$you lladdr 10.255.0.$you dev mgre0 nud permanent
ip route add 10.$you.0.0/16 table 10 encap mpls ${you}00 via inet 172.16.0.$you dev mgre0
ip route add 2001:db8:$you::/48 table 10 encap mpls ${you}00 via 2001:db8:eeee::$you dev mgre0
