# SPDX-License-Identifier: BSD-3-Clause
# What the PE under fuzz_path is configured with: something of everything the packet's way knows.
ip -batch - <<'BATCH'
link set lo up
link set core up
link set core2 up
link set red0 up
link set blue0 up
addr add 192.0.2.1/24 dev core
addr add 2001:db8:c::1/64 dev core
addr add 10.255.0.1/32 dev lo
addr add 2001:db8:ff::1/128 dev lo
neigh add 192.0.2.2 lladdr 02:00:00:00:c0:02 dev core nud permanent
neigh add 2001:db8:c::2 lladdr 02:00:00:00:c0:02 dev core nud permanent
route add 10.255.0.2/32 via 192.0.2.2
route add 10.255.0.3/32 via 192.0.2.2
route add 2001:db8:ff::2/128 via 2001:db8:c::2
link add red type vrf table 10
link add blue type vrf table 20
link set red up
link set blue up
link set red0 master red
link set blue0 master blue
addr add 10.1.0.1/24 dev red0
addr add 10.1.0.1/24 dev blue0
addr add 2001:db8:1::1/64 dev red0
neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 dev red0 nud permanent
neigh add 10.1.0.2 lladdr 02:00:00:00:02:02 dev blue0 nud permanent
neigh add 2001:db8:1::2 lladdr 02:00:00:00:01:02 dev red0 nud permanent
link add mgre0 type gre local 10.255.0.1 ttl 64
link set mgre0 up
addr add 172.16.0.1/24 dev mgre0
neigh add 172.16.0.2 lladdr 10.255.0.2 dev mgre0 nud permanent
link add gre7 type gre local 10.255.0.1 remote 10.255.0.2 key 7 csum tos inherit
link set gre7 up
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 64
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
neigh add 172.18.0.2 lladdr 20:01:0d:b8:00:ff:00:00:00:00:00:00:00:00:00:02 dev mgre6 nud permanent
link add mip type ipip mode mplsip local 10.255.0.1 remote 10.255.0.3 ttl 64
link set mip up
link add six type sit mode any local 10.255.0.1 remote 10.255.0.3 ttl 64
link set six master red up
link add over6 type ip6tnl mode any local 2001:db8:ff::1 remote 2001:db8:ff::2 hoplimit inherit
link set over6 master blue up
link add link core2 name v100 type vlan id 100
link set v100 master red
link set v100 up
route add table 10 10.2.0.0/16 encap mpls 100 via 172.16.0.2 dev mgre0
route add table 10 10.3.0.0/16 encap mpls 100/200/300 dev gre7
route add table 10 10.4.0.0/16 encap mpls 126 via 172.18.0.2 dev mgre6
route add table 10 10.5.0.0/16 nexthop encap mpls 1000 via 172.16.0.2 dev mgre0 nexthop encap mpls 1001 dev gre7
route add table 10 2001:db8:2::/48 encap mpls 100 dev gre7
route add table 10 2001:db8:6::/48 dev six
route add table 10 10.6.0.0/16 dev six
route add table 20 10.6.0.0/16 dev over6
route add table 10 prohibit 10.68.0.0/16
route add table 10 blackhole 10.66.0.0/16
route add table 20 10.2.0.0/16 encap mpls 101 via 172.16.0.2 dev mgre0
BATCH
ip -f mpls -batch - <<'BATCH'
route add 200 dev red
route add 201 dev blue
route add 210 dev red ttl-propagate enabled
route add 220 via inet 10.1.0.2 dev red0
route add 230 as 3000 via inet 192.0.2.2 dev core
route add 231 as 3000/3001 via inet 172.16.0.2 dev mgre0
BATCH
