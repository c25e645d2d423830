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
BATCH
