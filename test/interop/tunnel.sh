# SPDX-License-Identifier: BSD-3-Clause
# IPsec interfaces between the two PEs of l3vpn.sh: the very same commands for a Linux kernel and a
# Pewter. Needs: me, you, core; kind (xfrm or vti), id (of the interface's SAs and policies).
case $kind in
xfrm)
	ip link add ipsec0 type xfrm dev $core if_id 42
	;;
vti)
	ip link add ipsec0 type vti local 10.255.0.$me remote 10.255.0.$you key 42
	;;
esac
ip link set ipsec0 master cust
ip link set ipsec0 mtu $mtu up
ip route add 10.$you.0.0/24 table 10 dev ipsec0
ip route add 2001:db8:$you::/64 table 10 dev ipsec0
for any in 0.0.0.0/0 ::/0; do
	ip xfrm policy add src $any dst $any dir out $id \
		tmpl src 10.255.0.$me dst 10.255.0.$you proto esp reqid 42 mode tunnel
	for dir in in fwd; do
		ip xfrm policy add src $any dst $any dir $dir $id \
			tmpl src 10.255.0.$you dst 10.255.0.$me proto esp reqid 42 mode tunnel
	done
done
