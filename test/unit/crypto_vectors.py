#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Turns other people's test vectors into the lines that test_crypto reads.

crypto_vectors.py DIRECTORY    wycheproof/*.json and linux-pe-frames.json in there, when present
crypto_vectors.py --oracle     fresh random packets by python3-cryptography and by scapy

    packet SUITE KEY AUTHKEY ESN-HIGH PACKET TEXT     opens to TEXT, and seals to PACKET again
    forged SUITE KEY AUTHKEY ESN-HIGH PACKET          is refused
    aead SUITE KEY NONCE AAD TEXT CIPHERTEXT ICV      the same where the AAD is not ESP's
    forgedaead SUITE KEY NONCE AAD CIPHERTEXT ICV
    key SUITE KEY AUTHKEY                             is no key for this suite
    note ...                                          for the reader

All in hexadecimal, "-" for nothing or for no ESN.
"""
import collections
import hmac
import json
import os
import pathlib
import random
import sys

HMACS = {"sha1": (20, 12), "sha256": (32, 16), "sha384": (48, 24), "sha512": (64, 32)}


def x(data):
    return data.hex() or "-" if data is not None else "-"


def line(kind, *fields):
    print(kind, *(f if isinstance(f, str) else x(f) for f in fields))


def tag(name, key, data):
    return hmac.new(key, data, name).digest()[: HMACS[name][1]]


def groups(directory, name):
    path = directory / "wycheproof" / name
    if not path.exists():
        print("note", path, "is not there: skipped")
        return
    for group in json.loads(path.read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, {
                k: bytes.fromhex(test[k])
                for k in ("key", "iv", "aad", "msg", "ct", "tag")
                if k in test
            }, test["result"] == "valid"


def say(name, counts):
    print("note", name + ":", ", ".join(f"{v} {k}" for k, v in sorted(counts.items())))


def aead(directory, name, suite):
    counts = collections.Counter()
    for group, t, valid in groups(directory, name):
        key, nonce, aad = t["key"], t["iv"], t["aad"]
        if len(nonce) != 12 or len(t["tag"]) != 16:
            counts["not expressible (nonce or tag length)"] += 1
            continue
        which = suite.format(len(key) * 8)
        if len(aad) in (8, 12):
            # SPI, number; or SPI, high half, number.
            high = aad[4:8].hex() if len(aad) == 12 else "-"
            packet = aad[:4] + aad[-4:] + nonce[4:] + t["ct"] + t["tag"]
            keymat = key + nonce[:4]
            if valid:
                line("packet", which, keymat, "-", high, packet, t["msg"])
            else:
                line("forged", which, keymat, "-", high, packet)
            counts["as ESP packets"] += 1
        elif which.startswith("aes"):
            keymat = key + nonce[:4]
            if valid:
                line("aead", which, keymat, nonce, aad, t["msg"], t["ct"], t["tag"])
            else:
                line("forgedaead", which, keymat, nonce, aad, t["ct"], t["tag"])
            counts["through the packet's own function with their AAD"] += 1
        else:
            counts["not expressible (AAD length)"] += 1
    say(name, counts)


def gmac(directory):
    counts = collections.Counter()
    for group, t, valid in groups(directory, "aes_gmac_test.json"):
        if len(t["iv"]) != 12 or len(t["tag"]) != 16:
            counts["not expressible (nonce or tag length)"] += 1
            continue
        suite = f"aes{len(t['key']) * 8}gmac"
        keymat = t["key"] + t["iv"][:4]
        if valid:
            line("aead", suite, keymat, t["iv"], t["msg"], "-", "-", t["tag"])
        else:
            line("forgedaead", suite, keymat, t["iv"], t["msg"], "-", t["tag"])
        counts["through the packet's own function with their AAD"] += 1
    say("aes_gmac_test.json", counts)


def cbc(directory):
    """The HMAC around the vector's ciphertext is Python's."""
    counts = collections.Counter()
    auth = bytes(range(32))
    for group, t, valid in groups(directory, "aes_cbc_pkcs5_test.json"):
        if not valid:
            counts["not expressible (PKCS padding is not ESP's)"] += 1
            continue
        pad = 16 - len(t["msg"]) % 16
        packet = bytes.fromhex("00001001 00000001") + t["iv"] + t["ct"]
        packet += tag("sha256", auth, packet)
        line("packet", f"aes{len(t['key']) * 8}-sha256", t["key"], auth, "-", packet,
             t["msg"] + bytes([pad]) * pad)
        counts["as ESP packets"] += 1
    say("aes_cbc_pkcs5_test.json", counts)


def hmacs(directory, name):
    counts = collections.Counter()
    key_bytes, icv_bytes = HMACS[name]
    for group, t, valid in groups(directory, f"hmac_{name}_test.json"):
        if len(t["key"]) != key_bytes:
            line("key", "null-" + name, "-", t["key"])
            counts["keys of another length, to be refused"] += 1
            continue
        if len(t["msg"]) < 8 or len(t["tag"]) < icv_bytes:
            counts["not expressible (no room for SPI and number, or a shorter tag)"] += 1
            continue
        icv = t["tag"][:icv_bytes]
        packet = t["msg"] + icv
        if valid:
            line("packet", "null-" + name, "-", t["key"], "-", packet, t["msg"][8:])
        elif tag(name, t["key"], t["msg"]) == icv:
            counts["not expressible (wrong only behind the truncation)"] += 1
            continue
        else:
            line("forged", "null-" + name, "-", t["key"], "-", packet)
        counts["as ESP packets"] += 1
    say(f"hmac_{name}_test.json", counts)


def linux(directory):
    path = directory / "linux-pe-frames.json"
    if not path.exists():
        print("note", path, "is not there: skipped")
        return
    count = 0
    for case in json.loads(path.read_text()):
        if "key" not in case:
            continue
        for frame in case["frames"]:
            packet = bytes.fromhex(frame["ethernet"])[14 + 20:]
            gre = bytes.fromhex(frame["gre"])
            pad = -(len(gre) + 2) % 4
            text = gre + bytes(range(1, pad + 1)) + bytes([pad, 47])
            high = f"{frame['seq64'] >> 32:08x}" if case["esn"] else "-"
            keymat = bytes.fromhex(case["key"] + case["salt"])
            suite = f"aes{len(case['key']) * 4}gcm16"
            line("packet", suite, keymat, "-", high, packet, text)
            wrong = f"{(frame['seq64'] >> 32) + 1:08x}"
            line("forged", suite, keymat, "-", wrong, packet)
            count += 1
    print("note linux-pe-frames.json:", count, "packets")


def oracle_packet(suite, key, auth, high, text):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    spi, number = os.urandom(4), os.urandom(4)
    middle = bytes.fromhex(high) if high != "-" else b""
    if suite.startswith("chacha") or "gcm" in suite:
        iv, aad = os.urandom(8), spi + middle + number
        make = ChaCha20Poly1305 if suite.startswith("chacha") else AESGCM
        return spi + number + iv + make(key[:-4]).encrypt(key[-4:] + iv, text, aad)
    if "gmac" in suite:
        iv = os.urandom(8)
        aad = spi + middle + number + iv + text
        return spi + number + iv + text + AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", aad)
    hash_name = suite.split("-")[1]
    packet = spi + number
    if suite.startswith("null"):
        packet += text
    elif "ctr" in suite:
        iv = os.urandom(8)
        counter = key[-4:] + iv + bytes((0, 0, 0, 1))
        do = Cipher(algorithms.AES(key[:-4]), modes.CTR(counter)).encryptor()
        packet += iv + do.update(text)
    else:
        iv = os.urandom(16)
        packet += iv + Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(text)
    return packet + tag(hash_name, auth, packet + middle)


def suites():
    for bits in (128, 192, 256):
        yield f"aes{bits}gcm16", bits // 8 + 4, 0
        yield f"aes{bits}gmac", bits // 8 + 4, 0
        for name, (auth, _) in HMACS.items():
            yield f"aes{bits}-{name}", bits // 8, auth
            yield f"aes{bits}ctr-{name}", bits // 8 + 4, auth
    yield "chacha20poly1305", 36, 0
    for name, (auth, _) in HMACS.items():
        yield "null-" + name, 0, auth


def oracle():
    try:
        import cryptography  # noqa: F401
    except ImportError:
        print("note python3-cryptography is not there: skipped")
        return
    count = 0
    for suite, key_bytes, auth_bytes in suites():
        for high in ("-", os.urandom(4).hex()):
            for blocks in (1, 2, 3, 4, 5, 8, 17, 93, *random.sample(range(1, 94), 4)):
                text = os.urandom(blocks * 16)
                key, auth = os.urandom(key_bytes), os.urandom(auth_bytes)
                line("packet", suite, key, auth, high,
                     oracle_packet(suite, key, auth, high, text), text)
                count += 1
    print("note python3-cryptography:", count, "packets")


SCAPY = {"sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192",
         "sha512": "SHA2-512-256"}


def scapy_suite(suite):
    if suite.startswith("chacha"):
        return "CHACHA20-POLY1305", "NULL"
    if "gcm" in suite:
        return "AES-GCM", "NULL"
    if "gmac" in suite:
        return None, None
    cipher = "NULL" if suite.startswith("null") else "AES-CTR" if "ctr" in suite else "AES-CBC"
    return cipher, SCAPY[suite.split("-")[1]]


def scapy_packets():
    try:
        from scapy.layers.inet import IP, UDP
        from scapy.layers.ipsec import ESP, SecurityAssociation
    except ImportError:
        print("note scapy is not there: skipped")
        return
    count = 0
    for suite, key_bytes, auth_bytes in suites():
        cipher, auth_name = scapy_suite(suite)
        if cipher is None:
            continue
        # scapy 2.5 leaves the high half out of ESP's HMACs, against RFC 4303 2.2.1.
        for esn in (None, 0, 7) if auth_name == "NULL" else (None,):
            key, auth = os.urandom(key_bytes), os.urandom(auth_bytes)
            sa = SecurityAssociation(ESP, spi=0x1001, seq_num=9, crypt_algo=cipher,
                                     crypt_key=key, auth_algo=auth_name, auth_key=auth,
                                     esn_en=esn is not None, esn=esn or 0)
            inner = IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / os.urandom(random.randint(1, 900))
            packet = bytes(sa.encrypt(inner))[20:]
            data = bytes(inner)[20:]
            align = 16 if cipher == "AES-CBC" else 4
            pad = -(len(data) + 2) % align
            text = data + bytes(range(1, pad + 1)) + bytes([pad, 17])
            line("packet", suite, key, auth, "-" if esn is None else f"{esn:08x}", packet, text)
            count += 1
    print("note scapy:", count, "packets")


def main():
    if sys.argv[1] == "--oracle":
        oracle()
        scapy_packets()
        return
    directory = pathlib.Path(sys.argv[1])
    aead(directory, "aes_gcm_test.json", "aes{}gcm16")
    aead(directory, "chacha20_poly1305_test.json", "chacha20poly1305")
    gmac(directory)
    cbc(directory)
    for name in HMACS:
        hmacs(directory, name)
    linux(directory)


main()
