# SPDX-License-Identifier: BSD-3-Clause
"""
Random policies of an IPsec interface and of its VRF, with SAs for some of them: each packet is
sealed by the right SA, or refused for the right reason, or was allowed to leave in clear. The model
tries the policies one after the other, as RFC 4301 4.4.1 has it.
"""

import os
import random
import sys

from ipsec import FLUSH, GCM, Sa
from pewter import main
from test_tunnel_mode_out import LINKS
from topology import (CORE, IP, MGRE, PE1, RED, STARTED, TCP, UDP, VPN, Lazy, Raw, from_red, hop)

pe = Lazy(MGRE, VPN, LINKS)

ROUNDS = int(os.environ.get("PW_ROUNDS", "60"))
SITES = ["203.0.113.%d" % n for n in (9, 10, 11)]
SOURCES = ["0.0.0.0/0", "10.1.0.0/24", "10.1.0.0/30", "10.1.0.2/31", "10.1.0.2/32", "10.1.0.3/32"]
FARS = ["0.0.0.0/0", "10.9.0.0/16", "10.9.0.0/24", "10.9.0.2/32", "10.2.0.0/15", "10.2.0.2/32",
        "10.9.0.2/31", "10.3.0.0/16"]
PROTOCOLS = [None, ("udp", None, None), ("udp", None, 53), ("udp", 1000, None), ("tcp", None, 80),
             ("tcp", 1000, 80)]
NUMBER = {"udp": 17, "tcp": 6}


def number(address):
    return int.from_bytes(bytes(int(p) for p in address.split(".")), "big")


def within(address, prefix):
    base, length = prefix.split("/")
    shift = 32 - int(length)
    return number(address) >> shift == number(base) >> shift


class Policy:
    def __init__(self, rng, order):
        self.order = order
        self.vrf = rng.random() < 0.5
        self.direction = rng.choice(("out", "out", "out", "in", "fwd")) if self.vrf else "out"
        self.source, self.far = rng.choice(SOURCES), rng.choice(FARS)
        self.protocol = rng.choice(PROTOCOLS)
        self.priority = rng.choice((10, 20, 30))
        self.action = rng.choice(("protect", "protect", "use", "bypass", "block"))
        self.site, self.reqid = rng.choice(SITES), rng.choice((1, 2))

    def identity(self):
        return self.vrf, self.direction, self.source, self.far, self.protocol

    def words(self):
        text = "xfrm policy add src %s dst %s" % (self.source, self.far)
        if self.vrf:
            text += " dev red"
        if self.protocol:
            name, sport, dport = self.protocol
            text += " proto %s" % name
            text += " sport %d" % sport if sport else ""
            text += " dport %d" % dport if dport else ""
        text += " dir %s priority %d" % (self.direction, self.priority)
        if self.action == "block":
            text += " action block"
        elif self.action != "bypass":
            ends = (PE1, self.site) if self.direction == "out" else (self.site, PE1)
            text += " tmpl src %s dst %s proto esp reqid %d mode tunnel level %s" % (
                *ends, self.reqid, "use" if self.action == "use" else "required")
        return text + ("" if self.vrf else " if_id 42")

    def selects(self, packet):
        if not within(packet.src, self.source) or not within(packet.dst, self.far):
            return False
        if not self.protocol:
            return True
        name, sport, dport = self.protocol
        layer = packet.payload
        return (packet.proto == NUMBER[name] and sport in (None, layer.sport)
                and dport in (None, layer.dport))


class Model:
    def __init__(self, policies, sas):
        self.policies = sorted(policies, key=lambda p: (p.priority, p.order))
        self.sas = sas

    def first(self, packet, vrf, outward):
        for policy in self.policies:
            if policy.vrf == vrf and (policy.direction == "out") == outward \
                    and policy.selects(packet):
                return policy
        return None

    def outward(self, policy):
        """A fate, or None: as if there were no policy."""
        if policy is None or policy.action == "bypass":
            return None
        if policy.action == "block":
            return "policy-block"
        sa = self.sas.get((policy.vrf, policy.site, policy.reqid))
        if sa is None:
            return "sa-none" if policy.action == "protect" else None
        return sa

    def fate(self, packet):
        policy = self.first(packet, True, False)
        if policy and policy.action == "protect":
            return "policy-clear"
        if policy and policy.action == "block":
            return "policy-block"
        fate = self.outward(self.first(packet, True, True))
        if fate:
            return fate
        if not within(packet.dst, "10.9.0.0/16"):
            return "clear"
        return self.outward(self.first(packet, False, True)) or "policy-none"


def packets(rng, count):
    result = []
    for _ in range(count):
        layer = rng.choice((UDP, TCP))(sport=rng.choice((1000, 1001)), dport=rng.choice((53, 80)))
        result.append(IP(bytes(
            IP(src="10.1.0.%d" % rng.choice((2, 3, 4, 77)), id=0,
               dst=rng.choice(("10.9.0.2", "10.9.0.3", "10.9.7.2", "10.2.0.2", "10.3.0.9")))
            / layer / Raw(b"secret" * rng.randrange(1, 9)))))
    return result


def random_sas(rng):
    sas = {}
    for n, (vrf, site, reqid) in enumerate((v, s, r) for v in (False, True) for s in SITES
                                           for r in (1, 2)):
        if rng.random() < 0.5:
            sas[vrf, site, reqid] = Sa(GCM, PE1, site, 0x7000 + n, reqid=reqid, mode="tunnel",
                                       seed=n, more="" if vrf else "if_id 42")
    return sas


def happened(packet):
    sent, drops = pe().exchange(RED, from_red(packet))
    sent = [frame for port, frame in sent if port == CORE]
    if not sent:
        assert len(drops) == 1, drops
        return list(drops)[0], None
    assert len(sent) == 1 and not drops, (sent, drops)
    if sent[0][23] == 50:
        return "sealed", sent[0]
    return "clear", sent[0]


def check(model, packet):
    fate = model.fate(packet)
    what, frame = happened(packet)
    if not isinstance(fate, Sa):
        assert what == fate, "%s: %s instead of %s" % (packet.summary(), what, fate)
        return fate
    assert what == "sealed", "%s: %s instead of sealed" % (packet.summary(), what)
    assert IP(frame[14:]).dst == fate.destination
    assert b"secret" not in frame
    assert fate.payload(frame[34:])[2] == bytes(hop(packet)), packet.summary()
    return "sealed"


def round_of(rng, fates):
    policies = {}
    for order in range(rng.randrange(1, 24)):
        policy = Policy(rng, order)
        policies.setdefault(policy.identity(), policy)
    sas = random_sas(rng)
    lines = [p.words() for p in policies.values()] + [s.words() for s in sas.values()]
    first = [line for line in lines if "policy add" in line]
    rest = [line for line in lines if "policy add" not in line]
    rng.shuffle(rest)
    pe().ip("\n".join(["xfrm policy flush", FLUSH] + first + rest))
    model = Model(policies.values(), sas)
    for packet in packets(rng, 25):
        fate = check(model, packet)
        fates[fate] = fates.get(fate, 0) + 1
    # an SA goes, and with it what it carried
    if sas:
        key = rng.choice(sorted(sas))
        pe().ip("xfrm state delete " + sas.pop(key).name())
        for packet in packets(rng, 10):
            check(model, packet)


def test_random_policies():
    seed = int(os.environ.get("PW_SEED", "6"))
    fates = {}
    for n in range(ROUNDS):
        try:
            round_of(random.Random(seed * 1000 + n), fates)
        except AssertionError as error:
            raise AssertionError("seed %d round %d: %s" % (seed, n, error)) from error
    assert set(fates) == {"sealed", "clear", "sa-none", "policy-block", "policy-clear",
                          "policy-none"}, fates


if __name__ == "__main__":
    main(sys.modules[__name__])
