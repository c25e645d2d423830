# SPDX-License-Identifier: BSD-3-Clause
"""A VLAN interface for kernels without 8021q: a TAP whose frames carry a tag on the wire.

Usage: vlan_shim.py INTERFACE VLAN TAP. Makes TAP in this namespace and runs until ended.
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1
SO_RCVBUFFORCE = 33  # which Python's module does not name
TP_STATUS_VLAN_VALID = 0x10


def tag_of(auxiliary):
    """The VLAN id that the kernel took off the frame, None when there was no tag."""
    for level, kind, data in auxiliary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = struct.unpack('IIIHHHH', data[:20])
            return tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None
    return None


def main():
    interface, vlan, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tap = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((interface, 0))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)  # more than 280 small packets
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                    struct.pack('iHH8s', socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b''))
    tag = struct.pack('!HH', 0x8100, vlan)
    while True:
        ready, _, _ = select.select([tap, wire], [], [])
        if tap in ready:
            frame = os.read(tap, 65536)
            wire.send(frame[:12] + tag + frame[12:])
        if wire in ready:
            frame, auxiliary, _, address = wire.recvmsg(65536, 256)
            if address[2] != PACKET_OUTGOING and tag_of(auxiliary) == vlan:
                try:
                    os.write(tap, frame)
                except OSError:
                    pass  # the TAP is down


if __name__ == '__main__':
    main()
