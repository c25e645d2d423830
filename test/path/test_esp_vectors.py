# SPDX-License-Identifier: BSD-3-Clause
"""Published vectors as packets to the PE. A payload that is no tunnel's is dropped, and by which
name says how far it came: esp-icv for a bad one, otherwise what the plain text calls for."""

import json
import os
import sys

from ipsec import FLUSH, GRE4, HMACS, TUNNELS, Sa, Suite, from_core
from pewter import ROOT, Pewter, main, port_mac
from topology import (CORE, ICMP, IP, P2, PE1, PE2, PORTS, RED, RED_CE, STARTED, Ether, Lazy,
                      from_red, hop)

SHARED = os.path.join(ROOT, "..", "shared", "vectors")
pe = Lazy(TUNNELS, GRE4.policies())


def shared(*path):
    try:
        with open(os.path.join(SHARED, *path), encoding="utf-8") as file:
            return json.load(file)
    except OSError:
        return None


def fate(text):
    """The name under which an authentic plain text is dropped."""
    pad, next_header = text[-2], text[-1]
    if pad + 2 > len(text) or text[-2 - pad : -2] != bytes(range(1, pad + 1)):
        return "esp-padding"
    return {4: "tunnel-unknown", 41: "tunnel-unknown", 47: "gre-truncated", 59: "esp-dummy",
            137: "mpls-truncated"}.get(next_header, "esp-next-header")


class Case:
    """An SA, the ESP packet that it is to open, and the drop that is due."""

    def __init__(self, sa, esp, name, what):
        self.sa, self.esp, self.name, self.what = sa, esp, name, what


def sa_of(suite, esp, key, auth_key=None, esn_high=None):
    spi, low = (int.from_bytes(esp[n : n + 4], "big") for n in (0, 4))
    more = ""
    if esn_high is not None:  # so that the number's upper half is that of the vector
        number = (esn_high << 32 | low) - 1
        more = "replay-seq %#x replay-seq-hi %#x" % (number & 0xFFFFFFFF, number >> 32)
    return Sa(suite, PE2, PE1, spi, reqid=7, key=key, auth_key=auth_key, more=more,
              esn=esn_high is not None, window=1 if esn_high is not None else 0)


def run(cases):
    assert len(cases) > 0
    for case in cases:
        pe().ip("\n".join([FLUSH, case.sa.words()]))
        sent, drops = pe().exchange(CORE, from_core(case.sa.around(case.esp)))
        assert not sent and drops == {case.name: 1}, "%s: %s instead of %s" % (
            case.what, drops, case.name)


def aead_cases(name, suites):
    """Those whose associated data may be SPI and number, and whose text may be ESP's."""
    vectors = shared("wycheproof", name + ".json")
    for group in vectors["testGroups"] if vectors else ():
        if (group["ivSize"], group["tagSize"]) != (96, 128):
            continue
        for test in group["tests"]:
            key, iv, aad, msg, ct, tag = (bytes.fromhex(test[n]) for n in
                                          ("key", "iv", "aad", "msg", "ct", "tag"))
            if len(aad) not in (8, 12) or len(ct) < 2 or int.from_bytes(aad[:4], "big") < 256:
                continue
            head, high = aad, None
            if len(aad) == 12:
                head, high = aad[:4] + aad[8:], int.from_bytes(aad[4:8], "big")
                if high == 0xFFFFFFFF or (high, head[4:]) == (0, bytes(4)):
                    continue
            esp = head + iv[4:] + ct + tag
            sa = sa_of(suites[group["keySize"]], esp, key + iv[:4], esn_high=high)
            what = "%s %d" % (name, test["tcId"])
            if test["result"] == "valid":
                yield Case(sa, esp, fate(msg), what)
            damaged = esp[:-1] + bytes([esp[-1] ^ 1])
            yield Case(sa, damaged, "esp-icv", what + ", damaged")


def own_aead_cases(name, suites):
    """Any key, IV, text and tag of the set, when its associated data is not ESP's, is forged."""
    vectors = shared("wycheproof", name + ".json")
    for group in vectors["testGroups"] if vectors else ():
        if (group["ivSize"], group["tagSize"]) != (96, 128):
            continue
        for test in group["tests"]:
            key, iv, ct, tag = (bytes.fromhex(test[n]) for n in ("key", "iv", "ct", "tag"))
            if len(ct) < 2 or test["result"] != "invalid":
                continue
            esp = bytes.fromhex("0000432100000001") + iv[4:] + ct + tag
            yield Case(sa_of(suites[group["keySize"]], esp, key + iv[:4]), esp, "esp-icv",
                       "%s %d" % (name, test["tcId"]))


def aead(name, suites):
    if not shared("wycheproof", name + ".json"):
        return "no ../shared/vectors"
    run(list(aead_cases(name, suites)))
    run(list(own_aead_cases(name, suites)))
    return None


def test_wycheproof_gcm():
    return aead("aes_gcm_test", {bits: Suite("gcm", bits) for bits in (128, 192, 256)})


def test_wycheproof_chacha():
    return aead("chacha20_poly1305_test", {256: Suite("chacha", 256)})


def hmac_cases(auth):
    """The message is the packet: SPI, number and a text that is not encrypted."""
    _, _, key_bytes, icv, _ = HMACS[auth]
    vectors = shared("wycheproof", "hmac_%s_test.json" % auth)
    for group in vectors["testGroups"] if vectors else ():
        if group["keySize"] != key_bytes * 8 or group["tagSize"] < icv * 8:
            continue
        for test in group["tests"]:
            msg, key, tag = (bytes.fromhex(test[n]) for n in ("msg", "key", "tag"))
            if len(msg) < 10 or int.from_bytes(msg[:4], "big") < 256:
                continue
            esp = msg + tag[:icv]
            sa = sa_of(Suite("null", 0, auth), esp, b"", key)
            what = "hmac_%s %d" % (auth, test["tcId"])
            if test["result"] == "valid":
                yield Case(sa, esp, fate(msg[8:]), what)
            elif tag[:icv] != sa.mac(msg, 0):  # else it is wrong only behind the cut
                yield Case(sa, esp, "esp-icv", what)


def test_wycheproof_hmac():
    if not shared("wycheproof", "hmac_sha256_test.json"):
        return "no ../shared/vectors"
    for auth in HMACS:
        run(list(hmac_cases(auth)))
    return None


def test_wycheproof_cbc():
    """Their texts behind the other end's HMAC: what they decrypt to is seen by its last bytes."""
    vectors = shared("wycheproof", "aes_cbc_pkcs5_test.json")
    if not vectors:
        return "no ../shared/vectors"
    cases = []
    for group in vectors["testGroups"]:
        suite = Suite("cbc", group["keySize"], "sha256")
        for test in group["tests"]:
            key, iv, ct, msg = (bytes.fromhex(test[n]) for n in ("key", "iv", "ct", "msg"))
            if test["result"] != "valid":
                continue
            pad = 16 - len(msg) % 16  # PKCS #5
            sa = sa_of(suite, bytes.fromhex("0000432100000001"), key, bytes(range(32)))
            body = sa.header(1) + iv + ct
            cases.append(Case(sa, body + sa.mac(body, 1), fate(msg + bytes([pad]) * pad),
                              "aes_cbc %d" % test["tcId"]))
    run(cases)
    return None


def test_rfc_packets():
    """RFC 3602 section 4, cases 5-8 (an HMAC put behind them), and RFC 7634 appendix A."""
    count = 0
    with open(os.path.join(ROOT, "test", "vectors", "esp.txt"), encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    for words in lines:
        if words[0] == "encrypted":
            key, body, text = (bytes.fromhex(w) for w in words[1:4])
            sa = sa_of(Suite("cbc", 128, "sha256"), body, key, bytes(range(32)))
            esp = body + sa.mac(body, 0)
        elif words[:2] == ["packet", "chacha20poly1305"] and words[3:5] == ["-", "-"]:
            key, esp, text = (bytes.fromhex(words[n]) for n in (2, 5, 6))
            sa = sa_of(Suite("chacha", 256), esp, key)
        else:
            continue
        count += 1
        assert text[-1] in (1, 4)
        run([Case(sa, esp, fate(text), " ".join(words)[:60]),
             Case(sa, esp[:-1] + bytes([esp[-1] ^ 1]), "esp-icv", "the same, damaged")])
    assert count == 5, count


# ---- frames of a Linux PE ------------------------------------------------------------------------

LINUX = f"""
link set lo up
link set core up
link set red0 up
addr add 192.0.2.1/24 dev core
addr add {PE2}/32 dev lo
neigh add 192.0.2.2 lladdr {P2} dev core nud permanent
route add {PE1}/32 via 192.0.2.2
link add red type vrf table 10
link set red up
link set red0 master red
addr add 10.2.3.1/24 dev red0
neigh add 10.2.3.4 lladdr {RED_CE} dev red0 nud permanent
link add mgre0 type gre local {PE2} ttl 64
link set mgre0 up
addr add 172.16.0.2/24 dev mgre0
neigh add 172.16.0.1 lladdr {PE1} dev mgre0 nud permanent
route add table 10 10.1.0.0/16 encap mpls 200 via 172.16.0.1 dev mgre0
mpls route add 100 dev red
xfrm policy add src {PE1}/32 dst {PE2}/32 proto gre dir in tmpl proto esp mode transport level use
xfrm policy add src {PE2}/32 dst {PE1}/32 proto gre dir out tmpl proto esp mode transport level use
"""


def answer(packet):
    """A ping's."""
    reply = packet.copy()
    reply.src, reply.dst, reply.ttl = packet.dst, packet.src, 64
    reply[ICMP].type = 0
    del reply.chksum, reply[ICMP].chksum
    return IP(bytes(reply))


def linux_case(other, case):
    esn, sas = case.get("esn", False), []
    first = case["frames"][0].get("seq64", 1) - 1
    if "key" in case:
        suite, spi = Suite("gcm", len(case["key"]) * 4), case["spi"]
        key = bytes.fromhex(case["key"] + case["salt"])
        start = "%s" % (first & 0xFFFFFFFF)
        hi = " replay-%sseq-hi " + str(first >> 32) if esn else "%s"
        sas = [Sa(suite, PE1, PE2, spi, key=key, esn=esn,
                  more="replay-seq " + start + (hi % "" if esn else "")),
               Sa(suite, PE2, PE1, spi, key=key[::-1], esn=esn,
                  more="replay-oseq " + start + (hi % "o" if esn else ""))]
    other.ip("\n".join([FLUSH] + [sa.words() for sa in sas]))
    for n, entry in enumerate(case["frames"]):
        frame = bytes.fromhex(entry["ethernet"])
        frame = bytes(Ether(src=P2, dst=port_mac(CORE), type=0x0800)) + frame[14:]
        inside = IP(bytes.fromhex(entry["gre"])[8:])
        to_customer = bytes(Ether(src=port_mac(RED), dst=RED_CE) / hop(inside))
        other.expect(CORE, frame, [(RED, to_customer)])
        reply = answer(hop(inside))
        sent, drops = other.exchange(RED, from_red(reply))
        assert not drops and len(sent) == 1, (case["case"], drops)
        esp = sent[0][1][34:]
        if sas:
            number = first + 1 + n
            got, _, gre, _ = sas[1].payload(esp, number >> 32)
            assert got == number
            other.refuses(CORE, frame, "esp-replay")
        else:
            gre = esp
        assert gre[:4] == b"\0\0\x88\x47" and gre[4:8] == bytes.fromhex("000c81ff")
        assert gre[8:] == bytes(hop(reply)), gre.hex()


def test_linux_frames():
    """Also across 2^32: to the customer byte by byte, and his answer back."""
    cases = shared("linux-pe-frames.json")
    if not cases:
        return "no ../shared/vectors"
    other = Pewter(*PORTS)
    STARTED.append(other)
    other.ip(LINUX)
    for case in cases:
        linux_case(other, case)
    return None


if __name__ == "__main__":
    main(sys.modules[__name__])
