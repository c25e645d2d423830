# SPDX-License-Identifier: BSD-3-Clause
"""ESP that Pewter had no hand in: scapy's, and where scapy has none (GMAC, extended sequence
numbers with HMAC) one from the primitives of the `cryptography` package; and the SAs and policies
of the path tests.
"""

import re
import struct
import subprocess

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.layers.ipsec import ESP, SecurityAssociation

from topology import (GRE, IP, MGRE, MPLS, P2, P3, PE1, PE1_6, PE2, PE2_6, PE3, UDP, VPN, CORE,
                      Ether, IPv6, Raw, port_mac)

HMACS = {  # name: kernel's name, hash, bytes of key and ICV, scapy's name
    "sha1": ("hmac(sha1)", hashes.SHA1, 20, 12, "HMAC-SHA1-96"),
    "sha256": ("hmac(sha256)", hashes.SHA256, 32, 16, "SHA2-256-128"),
    "sha384": ("hmac(sha384)", hashes.SHA384, 48, 24, "SHA2-384-192"),
    "sha512": ("hmac(sha512)", hashes.SHA512, 64, 32, "SHA2-512-256"),
}
CIPHERS = {  # name: kernel's name, bytes of salt and IV, alignment, scapy's name
    "gcm": ("rfc4106(gcm(aes))", 4, 8, 4, "AES-GCM"),
    "gmac": ("rfc4543(gcm(aes))", 4, 8, 4, None),
    "chacha": ("rfc7539esp(chacha20,poly1305)", 4, 8, 4, "CHACHA20-POLY1305"),
    "cbc": ("cbc(aes)", 0, 16, 16, "AES-CBC"),
    "ctr": ("rfc3686(ctr(aes))", 4, 8, 4, "AES-CTR"),
    "null": ("ecb(cipher_null)", 0, 0, 4, "NULL"),
}


class BadIcv(Exception):
    """The integrity check failed."""


def pattern(size, seed):
    """Bytes that look like nothing, the same each time."""
    digest = hashes.Hash(hashes.SHA512())
    digest.update(b"%d" % seed)
    block = digest.finalize()
    return (block * (size // len(block) + 1))[:size]


class Suite:
    """An algorithm or a pair of them."""

    def __init__(self, cipher, bits, auth=None):
        self.cipher, self.bits, self.auth = cipher, bits, auth
        self.kernel, self.salt, self.iv, self.align, self.scapy = CIPHERS[cipher]
        self.icv = HMACS[auth][3] if auth else 16
        self.name = cipher + (str(bits) if bits else "") + ("-" + auth if auth else "")

    def __repr__(self):
        return self.name


AEADS = [Suite("gcm", bits) for bits in (128, 192, 256)] + [Suite("chacha", 256)]
GMACS = [Suite("gmac", bits) for bits in (128, 192, 256)]
PAIRS = [Suite(cipher, bits, auth) for cipher, sizes in
         (("cbc", (128, 192, 256)), ("ctr", (128, 192, 256)), ("null", (0,)))
         for bits in sizes for auth in HMACS]
SUITES = AEADS + GMACS + PAIRS
# One of each way of computing: where all of them would take too long.
KINDS = [Suite("gcm", 128), Suite("chacha", 256), Suite("gmac", 256), Suite("cbc", 128, "sha256"),
         Suite("cbc", 256, "sha1"), Suite("ctr", 128, "sha512"), Suite("null", 0, "sha384")]
GCM = KINDS[0]


class Sa:
    """One direction: its line for `ip xfrm`, and the other end of it."""

    def __init__(self, suite, source, destination, spi, reqid=1, esn=False, natt=None, window=32,
                 seed=1, key=None, auth_key=None, more="", mode="transport"):
        self.suite, self.source, self.destination = suite, source, destination
        self.spi, self.reqid, self.esn, self.natt, self.window = spi, reqid, esn, natt, window
        self.key = pattern(suite.bits // 8 + suite.salt, seed) if key is None else key
        self.auth_key = auth_key or (pattern(HMACS[suite.auth][2], seed + 1000) if suite.auth
                                     else b"")
        self.more, self.mode = more, mode

    # ---- for `ip`

    def algorithm(self):
        suite = self.suite
        if not suite.auth:
            return "aead '%s' 0x%s %d" % (suite.kernel, self.key.hex(), suite.icv * 8)
        return "enc '%s' %s auth-trunc '%s' 0x%s %d" % (
            suite.kernel, "0x" + self.key.hex() if self.key else "''", HMACS[suite.auth][0],
            self.auth_key.hex(), suite.icv * 8)

    def name(self):
        return "src %s dst %s proto esp spi %#x" % (self.source, self.destination, self.spi)

    def words(self, verb="add"):
        text = "xfrm state %s %s reqid %d mode %s %s" % (verb, self.name(), self.reqid, self.mode,
                                                        self.algorithm())
        if self.esn:
            text += " flag esn"
        if self.window or self.esn:
            text += " replay-window %d" % self.window
        if self.natt:
            text += " encap espinudp %d %d 0.0.0.0" % self.natt
        return "%s %s" % (text, self.more)

    # ---- ESP by primitives (RFC 4303, 3602, 3686, 4106, 4543, 7634, 2404, 4868)

    def trailer(self, payload, next_header, hidden=0):
        """TFC padding of so many bytes, 1, 2, 3 ..., the length of that, the next header."""
        pad = -(len(payload) + hidden + 2) % self.suite.align
        return payload + bytes(hidden) + bytes(range(1, pad + 1)) + bytes([pad, next_header])

    def header(self, number):
        return struct.pack("!II", self.spi, number & 0xFFFFFFFF)

    def aad(self, number):
        if self.esn:
            return struct.pack("!III", self.spi, number >> 32, number & 0xFFFFFFFF)
        return self.header(number)

    def aead(self):
        return (ChaCha20Poly1305 if self.suite.cipher == "chacha" else AESGCM)(self.key[:-4])

    def stream(self, iv):
        if self.suite.cipher == "cbc":
            return Cipher(algorithms.AES(self.key), modes.CBC(iv))
        return Cipher(algorithms.AES(self.key[:-4]),
                      modes.CTR(self.key[-4:] + iv + b"\0\0\0\1"))

    def mac(self, data, number):
        mac = hmac.HMAC(self.auth_key, HMACS[self.suite.auth][1]())
        mac.update(data + (struct.pack("!I", number >> 32) if self.esn else b""))
        return mac.finalize()[: self.suite.icv]

    def seal(self, text, number, iv=None):
        """The ESP packet around a text that has its trailer."""
        suite = self.suite
        iv = pattern(suite.iv, number) if iv is None else iv
        head = self.header(number) + iv
        if suite.cipher == "gmac":
            tag = self.aead().encrypt(self.key[-4:] + iv, b"", self.aad(number) + iv + text)
            return head + text + tag
        if not suite.auth:
            return head + self.aead().encrypt(self.key[-4:] + iv, text, self.aad(number))
        if suite.cipher != "null":
            text = self.stream(iv).encryptor().update(text)
        return head + text + self.mac(head + text, number)

    def open(self, esp, high=0):
        """(sequence number, IV, text with its trailer), or BadIcv."""
        suite = self.suite
        spi, low = struct.unpack("!II", esp[:8])
        assert spi == self.spi, "SPI %#x" % spi
        number = high << 32 | low
        iv, body = esp[8 : 8 + suite.iv], esp[8 + suite.iv :]
        text, icv = body[: -suite.icv], body[-suite.icv :]
        try:
            if suite.cipher == "gmac":
                self.aead().decrypt(self.key[-4:] + iv, icv, self.aad(number) + iv + text)
            elif not suite.auth:
                text = self.aead().decrypt(self.key[-4:] + iv, body, self.aad(number))
        except InvalidTag:
            raise BadIcv("AEAD") from None
        if suite.auth:
            if self.mac(esp[: -suite.icv], number) != icv:
                raise BadIcv("HMAC")
            if suite.cipher != "null":
                text = self.stream(iv).decryptor().update(text)
        return number, iv, text

    def payload(self, esp, high=0):
        """(sequence number, IV, payload, next header); the trailer is as it must be."""
        number, iv, text = self.open(esp, high)
        pad, next_header = text[-2], text[-1]
        assert len(text) % self.suite.align == 0, "%d bytes of text" % len(text)
        assert text[-2 - pad : -2] == bytes(range(1, pad + 1)), "padding " + text[-18:].hex()
        return number, iv, text[: -2 - pad], next_header

    # ---- scapy's

    def scapy(self, high=0):
        """None where scapy has no such ESP."""
        suite = self.suite
        if not suite.scapy or (self.esn and suite.auth):
            return None
        return SecurityAssociation(
            ESP, spi=self.spi, crypt_algo=suite.scapy, crypt_key=self.key,
            auth_algo=HMACS[suite.auth][4] if suite.auth else None,
            auth_key=self.auth_key if suite.auth else None,
            nat_t_header=UDP(sport=self.natt[0], dport=self.natt[1]) if self.natt else None,
            esn_en=self.esn, esn=high)

    # ---- whole packets

    def outer(self, protocol, **fields):
        """The IP header before GRE or MPLS."""
        if ":" in self.source:
            fields.setdefault("hlim", 60)
            return IPv6(src=self.source, dst=self.destination, nh=protocol, **fields)
        fields.setdefault("ttl", 60)
        return IP(src=self.source, dst=self.destination, proto=protocol, **fields)

    def around(self, esp, **fields):
        """IP, and UDP where there is one, around ESP's bytes."""
        if not self.natt:
            return self.outer(50, **fields) / Raw(esp)
        udp = UDP(sport=self.natt[0], dport=self.natt[1])
        if ":" not in self.source:
            udp.chksum = 0
        return self.outer(17, **fields) / udp / Raw(esp)

    def packet(self, payload, number, next_header=47, iv=None, hidden=0, **fields):
        """A packet to the PE: ours, not scapy's."""
        text = self.trailer(bytes(payload), next_header, hidden)
        return self.around(self.seal(text, number, iv), **fields)


def from_core(packet, router=P2):
    return Ether(src=router, dst=port_mac(CORE)) / packet


# ---- where packets go ---------------------------------------------------------------------------


class Way:
    """A tunnel to a remote PE, and a customer's addresses behind it."""

    def __init__(self, name, local, remote, protocol, outlabel, subnet, router):
        self.name, self.local, self.remote, self.protocol = name, local, remote, protocol
        self.outlabel, self.router = outlabel, router
        self.v6 = ":" in local
        self.far, self.far6 = "10.%s.0.2" % subnet, "2001:db8:%s::2" % subnet

    def __repr__(self):
        return self.name

    def inside(self, packet, label=None, ttl=255, cos=0):
        """What is in ESP around a customer's packet."""
        label = self.outlabel if label is None else label
        inside = MPLS(label=label, s=1, ttl=ttl, cos=cos) / packet
        return bytes(GRE(proto=0x8847) / inside if self.protocol == 47 else inside)

    def sas(self, suite=GCM, spi=0x1000, **options):
        """(in, out)"""
        reqid = options.pop("reqid", 7)
        seed = options.pop("seed", spi)
        return (Sa(suite, self.remote, self.local, spi + 1, reqid=reqid, seed=seed, **options),
                Sa(suite, self.local, self.remote, spi + 2, reqid=reqid, seed=seed + 1, **options))

    def policies(self, verb="add", reqid=7):
        bits = 128 if self.v6 else 32
        text = "xfrm policy %s src %s/%d dst %s/%d proto %d dir %s"
        tail = "" if verb == "delete" else " tmpl src %s dst %s proto esp reqid %d mode transport"
        lines = []
        for a, b, direction in ((self.local, self.remote, "out"), (self.remote, self.local, "in")):
            line = text % (verb, a, bits, b, bits, self.protocol, direction)
            lines.append(line + (tail % (a, b, reqid) if tail else ""))
        return "\n".join(lines)


GRE4 = Way("gre", PE1, PE2, 47, 100, "2", P2)
MIP4 = Way("mpls-in-ip", PE1, PE3, 137, 125, "25", P3)
GRE6 = Way("gre6", PE1_6, PE2_6, 47, 126, "26", P2)
WAYS = (GRE4, MIP4, GRE6)

TUNNELS = MGRE + VPN + """
link add mip type ipip mode mplsip local 10.255.0.1 remote 10.255.0.3 ttl 64
link set mip up
route add table 10 10.25.0.0/16 encap mpls 125 dev mip
route add table 10 2001:db8:25::/48 encap mpls 125 dev mip
link add mgre6 type ip6gre local 2001:db8:ff::1 hoplimit 64
link set mgre6 up
addr add 172.18.0.1/24 dev mgre6
addr add 2001:db8:182::1/64 dev mgre6
neigh add 172.18.0.2 lladdr {station} dev mgre6 nud permanent
neigh add 2001:db8:182::2 lladdr {station} dev mgre6 nud permanent
route add table 10 10.26.0.0/16 encap mpls 126 via 172.18.0.2 dev mgre6
route add table 10 2001:db8:26::/48 encap mpls 126 via 2001:db8:182::2 dev mgre6
""".format(station="20:01:0d:b8:00:ff:" + "00:" * 9 + "02")

FLUSH = "xfrm state flush"


def statistics(pe, sa):
    """{packets, bytes, replay, failed} of an SA, as `ip -s` prints them."""
    text = pe.show("-s", "xfrm", "state", "get", *sa.name().split())
    current = re.search(r"lifetime current:\s*(\d+)\(bytes\), (\d+)\(packets\)", text)
    counts = re.search(r"replay-window (\d+) replay (\d+) failed (\d+)", text)
    return {"bytes": int(current[1]), "packets": int(current[2]),
            "replay": int(counts[2]), "failed": int(counts[3])}


class Monitor:
    """`ip xfrm monitor` beside the test: what it says from its start to text()."""

    def __init__(self, pe, *what):
        self.pe = pe
        self.process = subprocess.Popen(pe.runner + ["ip", "xfrm", "monitor", *what],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)
        pe.wait(300)  # until it has subscribed

    def text(self):
        self.pe.wait(200)
        self.process.terminate()
        return self.process.communicate(timeout=10)[0]
