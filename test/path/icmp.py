# SPDX-License-Identifier: BSD-3-Clause
"""What an ICMP error must look like: RFC 792, RFC 1812 4.3.2, RFC 4443, RFC 4884, RFC 4950."""

import struct


def ones_complement(data):
    data = bytes(data)
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def extension_labels(data):
    """Label stack entries of the RFC 4950 object in an RFC 4884 extension structure."""
    assert data[0] >> 4 == 2, "extension version %d" % (data[0] >> 4)
    assert ones_complement(data) == 0xFFFF, "extension checksum"
    length, number, kind = struct.unpack("!HBB", data[4:8])
    assert (number, kind) == (1, 1), "object class %d type %d" % (number, kind)
    assert length == len(data) - 4 and length % 4 == 0, "object length %d" % length
    return [struct.unpack("!I", data[i : i + 4])[0] for i in range(8, len(data), 4)]


def same_but_ttl4(quote, original):
    quote, original = bytearray(quote), bytearray(original)
    for data in (quote, original):
        data[8:9] = b"\0"
        data[10:12] = b"\0\0"
    return quote == original[: len(quote)]


def check4(packet, original, kind, code, source, rest=0, labels=None):
    """
    `packet` (bytes from the IPv4 header) answers `original` (the same) with an error.
    labels: entries as 32-bit numbers when an RFC 4950 object is due.
    """
    packet, original = bytes(packet), bytes(original)
    assert packet[0] == 0x45 and ones_complement(packet[:20]) == 0xFFFF, "outer header"
    total, ttl, protocol = struct.unpack("!H", packet[2:4])[0], packet[8], packet[9]
    assert total == len(packet) and ttl >= 64 and protocol == 1, packet[:20].hex()
    assert packet[12:16] == bytes(int(x) for x in source.split(".")), "from " + packet[12:16].hex()
    assert packet[16:20] == original[12:16], "to " + packet[16:20].hex()
    assert len(packet) <= 576, "RFC 1812 4.3.2.3: %d bytes" % len(packet)
    message = packet[20:]
    assert message[0] == kind and message[1] == code, "type %d code %d" % tuple(message[:2])
    assert ones_complement(message) == 0xFFFF, "ICMP checksum"
    words = message[5]
    assert struct.unpack("!H", message[6:8])[0] == rest, "rest " + message[4:8].hex()
    if labels is None:
        assert words == 0 and message[4] == 0, "rest " + message[4:8].hex()
        quote = message[8:]
    else:
        assert words * 4 >= 128, "RFC 4884 5.5: at least 128 bytes are quoted, not %d" % (words * 4)
        quote, extension = message[8 : 8 + words * 4], message[8 + words * 4 :]
        assert extension_labels(extension) == labels, extension.hex()
        if len(quote) > len(original):
            assert not any(quote[len(original) :]), "padding is not zero"
            quote = quote[: len(original)]
    assert len(quote) >= min(len(original), 28), "only %d bytes quoted" % len(quote)
    assert same_but_ttl4(quote, original), "quoted " + quote.hex()


def check6(packet, original, kind, code, source, rest=0, labels=None):
    import socket

    packet, original = bytes(packet), bytes(original)
    assert packet[0] >> 4 == 6, packet[:1].hex()
    length, following, limit = struct.unpack("!HBB", packet[4:8])
    assert length == len(packet) - 40 and following == 58 and limit >= 64, packet[:8].hex()
    assert packet[8:24] == socket.inet_pton(socket.AF_INET6, source), "from " + packet[8:24].hex()
    assert packet[24:40] == original[8:24], "to " + packet[24:40].hex()
    assert len(packet) <= 1280, "RFC 4443 2.4 (c): %d bytes" % len(packet)
    message = packet[40:]
    assert message[0] == kind and message[1] == code, "type %d code %d" % tuple(message[:2])
    pseudo = packet[8:40] + struct.pack("!II", len(message), 58)
    assert ones_complement(pseudo + message) == 0xFFFF, "ICMPv6 checksum"
    if labels is None:
        assert struct.unpack("!I", message[4:8])[0] == rest, "rest " + message[4:8].hex()
        quote = message[8:]
    else:
        size = message[4] * 8
        assert size >= 128, "RFC 4884 5.5: at least 128 bytes are quoted, not %d" % size
        quote, extension = message[8 : 8 + size], message[8 + size :]
        assert extension_labels(extension) == labels, extension.hex()
        if len(quote) > len(original):
            assert not any(quote[len(original) :]), "padding is not zero"
            quote = quote[: len(original)]
    assert len(quote) >= min(len(original), 48), "only %d bytes quoted" % len(quote)
    a, b = bytearray(quote), bytearray(original[: len(quote)])
    a[7] = b[7] = 0
    assert a == b, "quoted " + quote.hex()
