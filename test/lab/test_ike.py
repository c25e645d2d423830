# SPDX-License-Identifier: BSD-3-Clause
"""Debian's unmodified strongSwan gives two PEs their keys: charon's XFRM messages go to pewterd,
IKE goes through the kernel's UDP sockets on the port that pewterd has. Real kernels are customers
and core. Arguments: drivers (af_xdp, af_packet; the first has all tests), or words of the names of
tests to run."""
import os
import re
import subprocess
import sys
import time

import ike
from ike import Charon, View, connection, xfrm_states
from ike_stream import Stream
from lab import EXAMPLES, expect, l3vpn, wait_for

ADDRESS = {1: '10.255.0.1', 2: '10.255.0.2'}
CORE = {1: '192.0.2.2', 2: '192.0.2.6'}
# In force when an IKE daemon takes its own policies away: nothing leaves, nothing is taken.
BLOCK = 'xfrm policy add src 10.255.0.0/24 dst 10.255.0.0/24 proto gre dir {} priority 4000000000 action block'


class Ike:
    """The PEs of the lab with a charon each."""

    def __init__(self, lab):
        self.lab = lab
        self.charon = {}
        for n in (1, 2):
            pe = lab.nodes[f'pe{n}']
            pe.ip('route', 'add', f'{ADDRESS[3 - n]}/32', 'via', CORE[n], 'src', ADDRESS[n])
            for way in ('in', 'out'):
                self.pewter(n).ip(*BLOCK.format(way).split())
            self.charon[n] = Charon(self.pewter(n)).start()

    def pewter(self, n):
        return getattr(self.lab, f'pe{n}')

    def load(self, **more):
        for n in (1, 2):
            self.charon[n].load(connection(ADDRESS[n], ADDRESS[3 - n], **more))

    def down(self):
        """No IKE_SA, no SA on either side, whatever the test before left."""
        for n in (1, 2):
            self.charon[n].load('')
            self.charon[n].swanctl('--terminate', '--ike', 'pe', '--force', '--timeout', '5',
                                   check=False)
        for n in (1, 2):
            wait_for(lambda: 'ESTABLISHED' not in self.charon[n].sas(), 10, 'IKE_SAs gone')
            self.pewter(n).ip('xfrm', 'state', 'flush')

    def up(self, **more):
        self.load(**more)
        self.charon[1].initiate()
        for n in (1, 2):
            wait_for(lambda: len(self.charon[n].installed()) == 1, 5, 'a CHILD_SA')


def core_view(lab):
    return View(lab.nodes['p'], 'pe1')


def esp_only(view):
    return f'{view.sealed()} packets of ESP, {view.count("udp")} of IKE, 0 others'


# ---- the tests -------------------------------------------------------------------------------

def nothing_without_keys(i):
    """Policies block, no daemon has a connection: nothing leaves PE1."""
    with core_view(i.lab) as view:
        done = i.lab.nodes['red1'].ping('10.2.0.2', check=False)
        expect('100% packet loss' in done.stdout, done.stdout)
    expect(view.count('ip') + view.count('mpls') == 0, 'something left PE1')


def customers(i):
    """Pings of both customers, both families, and TCP; the core sees ESP and IKE only."""
    nodes = i.lab.nodes
    with core_view(i.lab) as view:
        for colour in ('red', 'blue'):
            nodes[f'{colour}1'].ping('10.2.0.2')
            nodes[f'{colour}2'].ping('2001:db8:1::2')
        nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1400')
        server = nodes['red2'].start('iperf3', '-s', '-1')
        wait_for(lambda: ':5201' in nodes['red2'].run('ss', '-ltn').stdout, 5, 'iperf3')
        done = nodes['red1'].run('iperf3', '-c', '10.2.0.2', '-t', '1', '-f', 'm')
        server.wait(10)
        rate = float(re.search(r'([\d.]+) Mbits/sec\s+receiver', done.stdout).group(1))
    expect(rate > 10, f'{rate} Mbit/s')
    return f'{esp_only(view)}, TCP {rate:.0f} Mbit/s'


SUITES = [
    # (esp_proposals, what `ip xfrm state` must say of each SA)
    ('aes128gcm16-esn-ecp256', r'aead rfc4106\(gcm\(aes\)\) 0x\w{40} .*128'),
    ('aes256gcm16-noesn', r'aead rfc4106\(gcm\(aes\)\) 0x\w{72} .*128'),
    ('chacha20poly1305-esn-curve25519', r'aead rfc7539esp\(chacha20,poly1305\) 0x\w{72} .*128'),
    ('aes128-sha256-esn-ecp256', r'auth-trunc hmac\(sha256\) 0x\w{64} .*128(.|\n)*enc cbc\(aes\) 0x\w{32} '),
    ('aes256-sha512-noesn-modp2048', r'auth-trunc hmac\(sha512\) 0x\w{128} .*256(.|\n)*enc cbc\(aes\) 0x\w{64} '),
]


def suite(i, proposal, pattern):
    i.down()
    i.up(esp=proposal)
    for n in (1, 2):
        states = [state for state in xfrm_states(i.pewter(n))]
        expect(len(states) == 2, f'PE{n} has {len(states)} SAs')
        for state in states:
            expect(re.search(pattern, state['text']), state['text'])
            expect(('esn' in state['text']) == ('-esn' in proposal), state['text'])
    return customers(i)


def certificates(i):
    """A CA, a key and a certificate for each PE, made with strongSwan's own pki."""
    i.down()
    folder = os.path.join(i.lab.folder, 'pki')
    os.makedirs(folder, exist_ok=True)

    def pki(out, *arguments):
        done = subprocess.run(['pki', *arguments], capture_output=True, check=True, cwd=folder)
        with open(os.path.join(folder, out), 'wb') as file:
            file.write(done.stdout)

    for name in ('ca', 'pe1', 'pe2'):
        pki(name + '.key', '--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem')
    pki('ca.pem', '--self', '--ca', '--in', 'ca.key', '--type', 'ecdsa', '--dn', 'C=CH, O=Pewter, CN=CA',
        '--outform', 'pem')
    for n in (1, 2):
        pki(f'pe{n}.pub', '--pub', '--in', f'pe{n}.key', '--type', 'ecdsa', '--outform', 'pem')
        pki(f'pe{n}.pem', '--issue', '--cacert', 'ca.pem', '--cakey', 'ca.key', '--in', f'pe{n}.pub',
            '--dn', f'C=CH, O=Pewter, CN=pe{n}.example', '--san', f'pe{n}.example', '--outform', 'pem')
    for n in (1, 2):
        for kind, name in (('x509', f'pe{n}.pem'), ('x509ca', 'ca.pem'), ('private', f'pe{n}.key')):
            target = os.path.join(i.charon[n].folder, kind)
            os.makedirs(target, exist_ok=True)
            with open(os.path.join(folder, name)) as source, open(os.path.join(target, name), 'w') as copy:
                copy.write(source.read())
        i.charon[n].load(connection(ADDRESS[n], ADDRESS[3 - n], auth='pubkey', certs=f'certs = pe{n}.pem',
                                    local_id=f'pe{n}.example', remote_id=f'pe{3 - n}.example'))
    i.charon[1].initiate()
    expect(i.charon[1].said(r"authentication of 'pe2.example' with ECDSA\S* successful"), i.charon[1].tail())
    return customers(i)


def rekey_child(i):
    i.down()
    i.up(esp='aes128gcm16-esn-ecp256')
    i.lab.nodes['red1'].ping('10.2.0.2')
    with Stream(i.lab) as stream:
        for n in (1, 2, 1):
            before = i.charon[n].installed()[0]['number']
            i.charon[n].swanctl('--rekey', '--child', 'gre')
            wait_for(lambda: any(c['number'] > before for c in i.charon[n].installed()), 5, 'the rekey')
            time.sleep(1)
    return '3 rekeys, ' + stream.nothing_lost()


def rekey_ike(i):
    i.down()
    i.up()
    i.lab.nodes['red1'].ping('10.2.0.2')
    with Stream(i.lab) as stream:
        for n in (1, 2):
            i.charon[n].swanctl('--rekey', '--ike', 'pe')
            time.sleep(1.5)
    expect(len(i.charon[1].said('IKE_SA pe.* rekeyed between')) >= 2, i.charon[1].tail())
    return stream.nothing_lost()


def reauthenticate(i):
    """The new IKE_SA and its CHILD_SA first. Not without any loss, with any dataplane: the
    responder sends with the new SA at once, the initiator has it when the answer is there."""
    i.down()
    i.up()
    i.lab.nodes['red1'].ping('10.2.0.2')
    before = [i.pewter(n).drop('esp-spi') for n in (1, 2)]
    with Stream(i.lab) as stream:
        i.charon[1].swanctl('--rekey', '--ike', 'pe', '--reauth')
        time.sleep(2)
    expect(i.charon[1].said('reauthenticating IKE_SA'), i.charon[1].tail())
    wait_for(lambda: len(i.charon[1].installed()) == 1, 10, 'one CHILD_SA')
    drops = sum(i.pewter(n).drop('esp-spi') - before[n - 1] for n in (1, 2))
    expect(stream.lost <= drops, f'{stream.lost} lost, {drops} for an SPI that is not there: {stream.where}')
    expect(stream.lost < 500, f'{stream.lost} of {stream.sent} lost: {stream.where}')
    return f'{stream.lost} of {stream.sent} packets lost, all as esp-spi'


def rekey_every_second(i, seconds=60):
    i.down()
    i.up(esp='aes128gcm16-esn-ecp256')
    i.lab.nodes['red1'].ping('10.2.0.2')
    before = {(n, name): i.pewter(n).drop(name) for n in (1, 2)
              for name in ('sa-none', 'policy-sa', 'esp-spi', 'esp-replay', 'esp-icv')}
    with Stream(i.lab) as stream:
        end, rekeys = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            begin = time.monotonic()
            i.charon[1 + rekeys % 2].swanctl('--rekey', '--child', 'gre')
            rekeys += 1
            time.sleep(max(0, 1 - (time.monotonic() - begin)))
            # On a busy machine it may not be done: two at once would be another test.
            for n in (1, 2):
                wait_for(lambda: len(i.charon[n].installed()) == 1, 10, 'the end of the rekey')
    drops = {f'PE{n} {name}': i.pewter(n).drop(name) - before[n, name] for n, name in before}
    expect(stream.lost == 0,
           f'{stream.lost} of {stream.sent} packets lost: {stream.where}; drops {drops}')
    done = len(i.charon[1].said(r'CHILD_SA gre\{\d+\} established'))
    expect(rekeys >= seconds * 0.7, f'only {rekeys} rekeys in {seconds} s')
    return f'{rekeys} rekeys in {seconds} s ({done} CHILD_SAs so far), {stream.nothing_lost()}'


def counts(i):
    """What --list-sas says is what was sent, and when it was last used."""
    i.down()
    i.up()
    i.lab.nodes['red1'].run('ping', '-n', '-q', '-c', '40', '-i', '0.01', '-W', '5', '-s', '100', '10.2.0.2')
    packets = {}
    for n in (1, 2):
        child = wait_for(lambda: i.charon[n].installed(), 5, 'a CHILD_SA')[0]
        for way in ('in', 'out'):
            packets[n, way] = child[way]
    # GRE 4, label 4, IP 20, ICMP 8, data 100
    for key, said in packets.items():
        expect(said['packets'] == 40 and said['bytes'] == 40 * 136, f'{key}: {said}')
    time.sleep(3)
    for n in (1, 2):
        child = i.charon[n].installed()[0]
        for way in ('in', 'out'):
            expect(child[way]['ago'] is not None and 2 <= child[way]['ago'] <= 6, f'{n} {way}: {child[way]}')
    return f'40 packets, {40 * 136} bytes each way on both PEs, used {child["in"]["ago"]} s ago'


def trap(i):
    """The first packet asks for keys; none leaves in clear."""
    i.down()
    i.load(start='trap')
    for n in (1, 2):
        expect(not xfrm_states(i.pewter(n)), 'there are SAs already')
    with core_view(i.lab) as view:
        begin = time.monotonic()
        i.lab.nodes['red1'].start('ping', '-n', '-i', '0.02', '-c', '100', '10.2.0.2')
        wait_for(lambda: i.charon[1].installed(), 10, 'an SA by the first packet')
        took = time.monotonic() - begin
        i.lab.nodes['red1'].ping('10.2.0.2')
    expect(i.charon[1].said('creating acquire job'), i.charon[1].tail())
    return f'up within {took:.1f} s; {esp_only(view)}'


def rekey_jobs(i):
    """Rekeys that EXPIRE events have asked for, on either side."""
    return sum(len(i.charon[n].said('creating rekey job for CHILD_SA ESP')) for n in (1, 2))


def lifetime_time(i):
    """Soft lifetimes by time: charon rekeys by EXPIRE events of pewterd."""
    i.down()
    i.up(child='life_time = 8s\n rekey_time = 2s\n rand_time = 0s')
    before = rekey_jobs(i)
    with Stream(i.lab) as stream:
        wait_for(lambda: rekey_jobs(i) >= before + 2, 7.5, 'two rekeys by time')
    n = len({c['number'] for c in i.charon[1].children()})
    return f'{n} CHILD_SAs shown, {stream.nothing_lost()}'


def lifetime_bytes(i):
    i.down()
    i.up(child='life_bytes = 400000\n rekey_bytes = 200000\n rand_bytes = 0')
    before = rekey_jobs(i)
    with Stream(i.lab) as stream:
        time.sleep(4)
    jobs = rekey_jobs(i) - before
    expect(jobs >= 2, f'{jobs} rekeys for {stream.sent} packets of 136 bytes each way')
    return f'{jobs} rekeys by bytes, {stream.nothing_lost()}'


def lifetime_hard(i):
    """An SA that nobody rekeys ends when its bytes are used up; charon hears of it and makes
    another. The limit is looked at ten times a second, so a few more packets pass."""
    i.down()
    i.up(child='life_bytes = 50000\n rekey_bytes = 0')
    old = {state['spi'] for state in xfrm_states(i.pewter(1))}

    def jobs():  # whoever looks first
        return sum(len(i.charon[n].said('creating delete job for CHILD_SA ESP')) for n in (1, 2))

    before = jobs()
    i.lab.nodes['red1'].run('ping', '-n', '-q', '-i', '0.002', '-c', '600', '-W', '1', '10.2.0.2', check=False)
    wait_for(lambda: not old & {s['spi'] for s in xfrm_states(i.pewter(1))}, 5, 'the SAs to end')
    expect(jobs() > before, 'no charon heard of it')
    i.lab.nodes['red1'].ping('10.2.0.2')


def dead_peer(i):
    """PE2's core link dies: DPD takes the SAs, traffic is dropped, and comes back by the trap."""
    i.down()
    i.load(start='trap', connection='dpd_delay = 1s', child='dpd_action = trap')
    wait_for(lambda: i.lab.nodes['red1'].ping('10.2.0.2', count=1, check=False).returncode == 0, 20, 'a first answer')
    p = i.lab.nodes['p']
    p.ip('link', 'set', 'pe2', 'down')
    try:
        begin = time.monotonic()
        wait_for(lambda: not i.charon[1].installed(), 40, 'DPD')
        took = time.monotonic() - begin
        wait_for(lambda: not [s for s in xfrm_states(i.pewter(1)) if 'aead' in s['text']], 5, 'the SAs to go')
        drops = i.pewter(1).drop('sa-none')
        with core_view(i.lab) as view:
            i.lab.nodes['red1'].ping('10.2.0.2', check=False)
        expect(i.pewter(1).drop('sa-none') > drops, 'not counted as sa-none')
        expect(view.count('ip proto 47 or mpls') == 0, 'in clear on the core')
    finally:
        p.ip('link', 'set', 'pe2', 'up')
        p.ip('route', 'replace', '10.255.0.2/32', 'via', '192.0.2.5')
    begin = time.monotonic()
    wait_for(lambda: i.lab.nodes['red1'].ping('10.2.0.2', count=1, check=False).returncode == 0, 60, 'traffic again')
    return f'SAs gone after {took:.1f} s, traffic back {time.monotonic() - begin:.1f} s after the link'


def charon_killed(i):
    """SAs are pewterd's: they go on without charon, and its successor takes the policies over.
    Its first exchange is another matter: a responder sends with a first SA at once, which an
    initiator has only when the answer is there, with any dataplane."""
    i.down()
    more = {'start': 'trap', 'connection': 'unique = never', 'child': 'reqid = 7'}
    i.up(**more)
    with Stream(i.lab) as stream:
        i.charon[1].kill()
        time.sleep(1)
        i.charon[1].start()
        i.charon[1].load(connection(ADDRESS[1], ADDRESS[2], **more))
        time.sleep(1)
    said = stream.nothing_lost()
    with Stream(i.lab) as stream:
        i.charon[1].initiate()
        time.sleep(1)
    expect(stream.lost < 500, f'{stream.lost} of {stream.sent} lost with the new IKE_SA: {stream.where}')
    i.lab.nodes['red1'].ping('10.2.0.2')
    return f'{said}; with the successor\'s first SAs {stream.lost} of {stream.sent}'


def charon_stopped(i):
    """charon takes its policies and SAs with it: then the block is in force, not clear text."""
    i.down()
    i.up()
    i.lab.nodes['red1'].ping('10.2.0.2')
    i.charon[1].stop()
    try:
        expect(not xfrm_states(i.pewter(1)), 'SAs are left')
        nothing_without_keys(i)
    finally:
        i.charon[1].start()


def orphans_expire(i):
    """Without charon SAs end at their hard lifetime, and the tunnel with them."""
    i.down()
    i.up(child='life_time = 5s\n rekey_time = 0s\n rand_time = 0s')
    i.lab.nodes['red1'].ping('10.2.0.2')
    for n in (1, 2):
        i.charon[n].kill()
    try:
        i.lab.nodes['red1'].ping('10.2.0.2')
        wait_for(lambda: not xfrm_states(i.pewter(1)), 15, 'the hard lifetime')
        nothing_without_keys(i)
    finally:
        for n in (1, 2):
            i.charon[n].start()
            i.pewter(n).ip('xfrm', 'policy', 'flush')
            for way in ('in', 'out'):
                i.pewter(n).ip(*BLOCK.format(way).split())


def pewterd_killed(i):
    """charon sleeps meanwhile. When pewterd is back, the preload puts the policies back, and charon
    hears that its SAs have come to an end: it makes others, without a packet that asks."""
    i.down()
    i.up(start='trap')
    i.lab.nodes['red1'].ping('10.2.0.2')
    i.pewter(1).kill()
    before = i.charon[1].cpu_seconds()
    time.sleep(2.5)
    used = (i.charon[1].cpu_seconds() - before) * 40
    expect(used < 10, f'charon used {used} % of a core without pewterd')
    expect(i.charon[1].process.poll() is None, 'charon ended')
    with core_view(i.lab) as view:
        for way in ('in', 'out'):  # as start-up files would
            batch = os.path.join(i.lab.folder, f'block-{way}')
            with open(batch, 'w') as file:
                file.write(BLOCK.format(way) + '\n')
            if batch not in i.pewter(1).batch:
                i.pewter(1).batch.insert(0, batch)
        i.pewter(1).start()
        begin = time.monotonic()
        wait_for(lambda: [s for s in xfrm_states(i.pewter(1)) if 'aead' in s['text']], 30, 'new SAs')
        back = time.monotonic() - begin
        wait_for(lambda: len(i.charon[1].installed()) >= 1, 5, 'the CHILD_SA')
        i.lab.nodes['red1'].ping('10.2.0.2')
    expect(view.count('ip proto 47') + view.count('mpls') == 0, 'in clear on the core')
    before = i.charon[1].cpu_seconds()
    time.sleep(2.5)
    later = (i.charon[1].cpu_seconds() - before) * 40
    expect(later < 10, f'charon used {later} % of a core after')
    i.charon[1].swanctl('--rekey', '--child', 'gre')
    i.lab.nodes['red1'].ping('10.2.0.2')
    policies = i.pewter(1).ip('xfrm', 'policy').stdout
    expect(policies.count('proto esp') == 2, policies)
    return f'charon used {used:.1f} % of a core meanwhile; SAs back {back:.1f} s after pewterd'


def mobike(i):
    """PE2's address changes. MOBIKE moves the IKE_SA. The tunnel has fixed ends: until it is told of
    the new one nothing passes, and nothing in clear; then the SAs that charon moved serve."""
    i.down()
    for n in (1, 2):
        i.charon[n].load(connection(ADDRESS[n] if n == 1 else '%any', '%any' if n == 1 else ADDRESS[1],
                                    local_id=f'pe{n}.example', remote_id=f'pe{3 - n}.example',
                                    start='none'))
    i.charon[2].initiate()
    i.lab.nodes['red1'].ping('10.2.0.2')
    pe2, p = i.pewter(2), i.lab.nodes['p']
    p.ip('route', 'add', '10.255.0.3/32', 'via', '192.0.2.5')
    i.lab.nodes['pe1'].ip('route', 'add', '10.255.0.3/32', 'via', CORE[1], 'src', ADDRESS[1])
    with core_view(i.lab) as view:
        pe2.ip('address', 'add', '10.255.0.3/32', 'dev', 'lo')
        i.lab.nodes['pe2'].ip('route', 'replace', '10.255.0.1/32', 'via', CORE[2], 'src', '10.255.0.3')
        pe2.ip('address', 'del', '10.255.0.2/32', 'dev', 'lo')
        wait_for(lambda: "@ 10.255.0.3[" in i.charon[1].sas(), 30, 'the IKE_SA to move')
        i.lab.nodes['red1'].ping('10.2.0.2', check=False)
        pe2.ip('link', 'change', 'gre1', 'type', 'gre', 'local', '10.255.0.3', 'ttl', '255')
        for table, label in ((10, 202), (20, 203)):
            i.pewter(1).ip('route', 'replace', '10.2.0.0/24', 'table', table, 'encap', 'mpls', label,
                           'via', '10.255.0.3', 'dev', 'gre1')
        begin = time.monotonic()
        wait_for(lambda: i.lab.nodes['red1'].ping('10.2.0.2', count=1, check=False).returncode == 0, 30,
                 'traffic to the new address')
        took = time.monotonic() - begin
    expect(view.count('ip proto 47') + view.count('mpls') == 0, 'in clear on the core')
    return f'traffic {took:.1f} s after the tunnel was moved'


def documented(i):
    """The files that docs/ike.md shows, as they are."""
    i.down()
    for n in (2, 1):  # who is asked first
        with open(os.path.join(EXAMPLES, f'pe{n}.swanctl.conf')) as file:
            i.charon[n].load(file.read())
    wait_for(lambda: i.lab.nodes['red1'].ping('10.2.0.2', count=1, check=False).returncode == 0, 20, 'a first answer')
    state = xfrm_states(i.pewter(1))
    expect(any('replay_window 1024' in one['text'] for one in state), 'the window is not 1024')
    said = customers(i)
    for n in (1, 2):
        i.charon[n].swanctl('--terminate', '--ike', f'pe{3 - n}', '--force', '--timeout', '5', check=False)
    return said


TESTS = [
    ('nothing leaves without keys', nothing_without_keys),
    *[(f'PSK, {proposal}', suite, proposal, pattern) for proposal, pattern in SUITES],
    ('X.509 certificates', certificates),
    ('CHILD_SA rekey under 1,000 packets a second', rekey_child),
    ('IKE_SA rekey under load', rekey_ike),
    ('reauthentication, make before break', reauthenticate),
    ('true counts and use times', counts),
    ('trap: the first packet brings the SA up', trap),
    ('soft lifetime by time', lifetime_time),
    ('soft lifetime by bytes', lifetime_bytes),
    ('hard lifetime by bytes', lifetime_hard),
    ('DPD with a dead peer', dead_peer),
    ('the documented configuration', documented),
    ('charon killed and restarted', charon_killed),
    ('charon stopped: nothing in clear', charon_stopped),
    ('without charon SAs end in time', orphans_expire),
    ('pewterd killed and restarted under charon', pewterd_killed),
    ('a rekey every second for a minute', rekey_every_second),
    ('MOBIKE: PE2 gets another address', mobike),
]
# IKE to and from the kernel, ESP beside it, a port that is taken over.
OF_PORTS = ('nothing leaves without keys', 'PSK, aes128gcm16-esn-ecp256',
            'CHILD_SA rekey under 1,000 packets a second', 'trap: the first packet brings the SA up',
            'pewterd killed and restarted under charon')


def build(lab, driver):
    l3vpn(lab, driver)
    return Ike(lab)


def report(i):
    return ike.text_of({n: i.pewter(n) for n in (1, 2)}, i.charon)


if __name__ == '__main__':
    sys.exit(ike.main(build, TESTS, report, OF_PORTS))
