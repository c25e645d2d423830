# SPDX-License-Identifier: BSD-3-Clause
# After configure.sh, for fuzz_esp: the SAs of peers that hold keys, and a policy for some.
key=0x$(printf '5a%.0s' $(seq 20))
ip -batch - <<BATCH
route add 10.255.0.4/32 via 192.0.2.2
link add gre4 type gre local 10.255.0.1 remote 10.255.0.4 tos inherit
link set gre4 up
xfrm state add src 10.255.0.2 dst 10.255.0.1 proto esp spi 0x1001 reqid 1 mode transport aead rfc4106(gcm(aes)) $key 128 replay-window 64
xfrm state add src 10.255.0.3 dst 10.255.0.1 proto esp spi 0x1002 reqid 2 mode transport aead rfc4106(gcm(aes)) $key 128
xfrm state add src 2001:db8:ff::2 dst 2001:db8:ff::1 proto esp spi 0x1003 reqid 3 mode transport aead rfc4106(gcm(aes)) $key 128 replay-window 64
xfrm state add src 10.255.0.4 dst 10.255.0.1 proto esp spi 0x1004 reqid 4 mode transport aead rfc4106(gcm(aes)) $key 128 replay-window 64 encap espinudp 4500 4500 0.0.0.0
xfrm policy add src 10.255.0.3/32 dst 10.255.0.1/32 proto 137 dir in tmpl src 10.255.0.3 dst 10.255.0.1 proto esp reqid 2 mode transport
xfrm policy add src 10.255.0.4/32 dst 10.255.0.1/32 proto gre dir in tmpl src 10.255.0.4 dst 10.255.0.1 proto esp reqid 4 mode transport
link add ipsec42 type xfrm if_id 42
link set ipsec42 master red
link set ipsec42 up
link add ipsec43 type xfrm if_id 43
link set ipsec43 master red
link set ipsec43 up
link add vti7 type vti local 10.255.0.1 remote 10.255.0.4 key 7
link set vti7 master red
link set vti7 up
xfrm state add src 10.255.0.2 dst 10.255.0.1 proto esp spi 0x1005 reqid 5 mode tunnel aead rfc4106(gcm(aes)) $key 128 replay-window 64 if_id 42 flag af-unspec
xfrm state add src 2001:db8:ff::2 dst 2001:db8:ff::1 proto esp spi 0x1006 reqid 6 mode tunnel aead rfc4106(gcm(aes)) $key 128 replay-window 64 if_id 43 flag af-unspec flag noecn
xfrm state add src 10.255.0.4 dst 10.255.0.1 proto esp spi 0x1007 reqid 7 mode tunnel mark 7 mask 0xffffffff aead rfc4106(gcm(aes)) $key 128 replay-window 64 encap espinudp 4500 4500 0.0.0.0 flag af-unspec flag decap-dscp
xfrm state add src 10.255.0.3 dst 10.255.0.1 proto esp spi 0x1008 reqid 8 mode tunnel aead rfc4106(gcm(aes)) $key 128 flag af-unspec
xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir in if_id 42 tmpl src 10.255.0.2 dst 10.255.0.1 proto esp reqid 5 mode tunnel
xfrm policy add src ::/0 dst ::/0 dir in if_id 42 tmpl src 10.255.0.2 dst 10.255.0.1 proto esp reqid 5 mode tunnel
xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir in if_id 43 tmpl src 2001:db8:ff::2 dst 2001:db8:ff::1 proto esp reqid 6 mode tunnel
xfrm policy add src 2001:db8::/32 dst 2001:db8::/32 dir in if_id 43 tmpl src 2001:db8:ff::2 dst 2001:db8:ff::1 proto esp reqid 6 mode tunnel
xfrm policy add src 10.0.0.0/8 dst 10.0.0.0/8 proto udp dport 5678 dir in mark 7 mask 0xffffffff tmpl src 10.255.0.4 dst 10.255.0.1 proto esp reqid 7 mode tunnel
xfrm policy add src 2001:db8::/32 dst 2001:db8::/32 proto ipv6-icmp type 128 dir in mark 7 mask 0xffffffff tmpl src 10.255.0.4 dst 10.255.0.1 proto esp reqid 7 mode tunnel
xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x2001 reqid 1 mode transport aead rfc4106(gcm(aes)) $key 128 replay-oseq 1000
xfrm policy add src 10.255.0.1/32 dst 10.255.0.2/32 proto gre dir out tmpl src 10.255.0.1 dst 10.255.0.2 proto esp reqid 1 mode transport
xfrm state add src 2001:db8:ff::1 dst 2001:db8:ff::2 proto esp spi 0x2006 reqid 6 mode tunnel aead rfc4106(gcm(aes)) $key 128 replay-oseq 1000 if_id 43 flag af-unspec
xfrm policy add src 10.1.0.0/16 dst 10.66.0.0/16 dir out if_id 43 tmpl src 2001:db8:ff::1 dst 2001:db8:ff::2 proto esp reqid 6 mode tunnel
xfrm state add src 10.255.0.1 dst 10.255.0.4 proto esp spi 0x2004 reqid 4 mode transport aead rfc4106(gcm(aes)) $key 128 replay-oseq 1000 encap espinudp 4500 4500 0.0.0.0
xfrm policy add src 10.255.0.1/32 dst 10.255.0.4/32 proto gre dir out tmpl src 10.255.0.1 dst 10.255.0.4 proto esp reqid 4 mode transport
xfrm policy add src 10.0.0.0/8 dst 10.0.0.0/8 dev red dir in tmpl src 10.255.0.3 dst 10.255.0.1 proto esp reqid 8 mode tunnel
BATCH
