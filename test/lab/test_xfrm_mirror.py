#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The XFRM mirror on this machine's kernel, as far as a kernel without ESP goes: policies, the
default, larvae, ACQUIRE, lost events. With SAs: test/interop/test_mirror_guest.py (a live kernel),
test/unit/test_xfrm_mirror.c (messages recorded there)."""
import json
import os
import re
import signal
import sys
import time

from lab import BUILD, Lab, Results, expect, run, tunnel_batch, wait_for

A, B = '10.255.0.1', '10.255.0.2'
TMPL = 'tmpl proto esp mode transport'
OUT = f'src {A}/32 dst {B}/32 proto gre dir out'
IN = f'src {B}/32 dst {A}/32 proto gre dir in'
MANY = 12000

# By this kernel only: `ip xfrm state allocspi` in words that it takes without the algorithms.
LARVA = f'xfrm state allocspi src {B} dst {A} proto esp reqid 1 mode transport min 0x1000 max 0x1fff'


class Mirror:
    def __init__(self, lab, options):
        self.lab = lab
        self.pe, self.ce = lab.node('pe'), lab.node('ce')
        core = lab.node('core')
        lab.wire(self.pe, 'core', core, 'core')
        lab.wire(self.pe, 'ce', self.ce, 'eth0')
        self.ce.ip('address', 'add', '10.1.0.2/24', 'dev', 'eth0')
        self.ce.ip('route', 'add', 'default', 'via', '10.1.0.1')
        self.pe.ip('address', 'add', '192.0.2.1/30', 'dev', 'core')
        self.pe.ip('address', 'add', f'{A}/32', 'dev', 'lo')
        self.pe.ip('route', 'add', f'{B}/32', 'via', '192.0.2.2', 'src', A)
        # One is there before pewterd is.
        self.xfrm(f'policy add {IN} {TMPL} reqid 1')
        batch = lab.write('pe.batch', tunnel_batch(A, B))
        self.daemon = lab.daemon(self.pe, ['core=af_packet:core', 'ce=af_packet:ce'],
                                 batch=[batch], options=options)

    def xfrm(self, words, check=True):
        return self.pe.ip('xfrm', *words.split(), check=check).stdout

    def policies(self):
        return json.loads(self.daemon.ctl('-j', 'show', 'policies').stdout)

    def have(self, *wanted):
        """Waits until Pewter's policies are these: (direction, action, priority)."""
        def found():
            return sorted((p['dir'], p['action'], p['priority']) for p in self.policies())
        wait_for(lambda: found() == sorted(wanted), 5, f'{wanted}, not {found()}')

    def followed(self):
        self.have(('in', 'protect', 0))
        self.xfrm(f'policy add {OUT} {TMPL} reqid 1')
        self.have(('in', 'protect', 0), ('out', 'protect', 0))
        self.xfrm(f'policy update {OUT} priority 7 {TMPL} reqid 2')
        self.have(('in', 'protect', 0), ('out', 'protect', 7))
        expect([p['reqid'] for p in self.policies() if p['dir'] == 'out'] == [2], self.policies())
        self.xfrm(f'policy delete {OUT}')
        self.have(('in', 'protect', 0))
        self.xfrm(f'policy add {OUT} limit time-hard 1 {TMPL}')
        self.have(('in', 'protect', 0), ('out', 'protect', 0))
        wait_for(lambda: 'dir out' not in self.xfrm('policy'), 10, 'the kernel to end it')
        self.have(('in', 'protect', 0))
        self.xfrm('policy flush')
        self.have()

    def others(self):
        """What is not about tunnels, or is of an interface or a mark, stays the kernel's."""
        for words in (f'src {A}/32 dst {B}/32 proto udp dport 1701 dir out {TMPL}',
                      f'{OUT} if_id 7 {TMPL}', f'{OUT} mark 5 mask 0xff {TMPL}',
                      f'src {B}/32 dst {A}/32 dir fwd {TMPL}'):
            self.xfrm(f'policy add {words}')
        self.xfrm(f'policy add {IN} {TMPL}')
        self.have(('in', 'protect', 0))
        self.xfrm('policy flush')
        self.have()

    def widened(self):
        """What cannot be met blocks; the block is there as long as one of them is."""
        for key in (5, 6):
            self.xfrm(f'policy add src {A}/32 dst {B}/32 proto gre key {key} dir out {TMPL}')
        self.have(('out', 'block', 0))
        self.xfrm(f'policy delete src {A}/32 dst {B}/32 proto gre key 5 dir out')
        time.sleep(0.5)
        self.have(('out', 'block', 0))
        self.xfrm(f'policy delete src {A}/32 dst {B}/32 proto gre key 6 dir out')
        self.have()
        for words in (f'{OUT} tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel',
                      f'src {A}/32 dst {B}/32 proto gre dev lo dir out {TMPL}', f'{OUT} tmpl proto ah mode transport'):
            self.xfrm('policy add ' + words)
            self.have(('out', 'block', 0))
            self.xfrm('policy flush')
            self.have()

    def own(self):
        """What was configured in Pewter stays, whatever the kernel has or loses."""
        self.daemon.ip(*f'xfrm policy add {OUT} priority 9 action block'.split())
        self.xfrm(f'policy add {OUT} priority 3 {TMPL}')
        self.xfrm(f'policy add {IN} {TMPL}')
        self.have(('out', 'block', 9), ('in', 'protect', 0))
        self.xfrm('policy flush')
        self.have(('out', 'block', 9))
        self.daemon.ip('xfrm', 'policy', 'flush')
        self.have()

    def default(self):
        def ours():
            return self.daemon.ip('xfrm', 'policy', 'getdefault').stdout
        self.xfrm('policy setdefault out block')
        wait_for(lambda: re.search(r'out:\s+block', ours()), 5, 'the default')
        expect(re.search(r'in:\s+accept', ours()), ours())
        self.xfrm('policy setdefault out accept fwd block')
        wait_for(lambda: re.search(r'fwd:\s+block', ours()), 5, 'the default')
        expect(re.search(r'out:\s+accept', ours()), ours())
        self.xfrm('policy setdefault fwd accept')
        wait_for(lambda: re.search(r'fwd:\s+accept', ours()), 5, 'the default')

    def larvae(self):
        """They are in the kernel's dumps, without keys: not Pewter's, and not worth a word."""
        before = self.daemon.tail(1000)
        self.xfrm(LARVA[len('xfrm '):])
        expect('0x00001' in self.xfrm('state'), self.xfrm('state'))
        self.xfrm('policy flush')
        self.xfrm('state flush')  # to have everything read again
        self.xfrm(LARVA[len('xfrm '):])
        time.sleep(1.5)
        expect(json.loads(self.daemon.ctl('-j', 'show', 'sas').stdout) == [], 'an SA')
        expect(self.daemon.tail(1000) == before, self.daemon.tail())
        self.xfrm('state flush')

    def acquire(self):
        """A packet of Pewter's without an SA: the kernel asks, by its own policy, once."""
        self.xfrm(f'policy add {OUT} {TMPL} reqid 9')
        self.have(('out', 'protect', 0))
        path = os.path.join(self.lab.folder, 'monitor')
        with open(path, 'w') as file:
            monitor = self.pe.start('ip', 'xfrm', 'monitor', 'acquire', stdout=file, stderr=file)

        def heard():
            with open(path) as file:
                return file.read()

        time.sleep(1)
        self.ce.ping('10.2.0.2', count=5, check=False)
        wait_for(lambda: 'acquire proto esp' in heard(), 5, 'ACQUIRE')
        self.ce.ping('10.2.0.2', count=5, check=False)
        monitor.send_signal(signal.SIGTERM)
        monitor.wait(5)
        expect(heard().count('acquire proto esp') == 1, heard())
        expect(f'sel src {A}/32 dst {B}/32 proto gre' in heard() and 'reqid 9' in heard(), heard())
        expect(self.daemon.drop('sa-none') == 10, self.daemon.drop('sa-none'))
        larva = json.loads(self.daemon.ctl('-j', 'show', 'sas').stdout)
        expect(len(larva) == 1 and larva[0]['dst'] == B, larva)
        # The kernel has a state of its own for it, and nothing was sent.
        expect(f'src {A} dst {B}' in self.xfrm('state'), self.xfrm('state'))
        self.xfrm('policy flush')
        self.xfrm('state flush')
        self.have()

    def lost(self):
        """More events than the socket holds: all is read again, and what went meanwhile goes."""
        batch = os.path.join(self.lab.folder, 'many.batch')

        def policies(word, first, last):
            with open(batch, 'w') as file:
                for n in range(first, last):
                    file.write(f'xfrm policy {word} src {A}/32 dst 10.{n >> 16 & 255}.{n >> 8 & 255}'
                               f'.{n & 255}/32 proto gre dir out '
                               f'{TMPL + " reqid 1" if word == "add" else ""}\n')
            self.pe.ip('-batch', batch, timeout=120)

        def count():
            return json.loads(self.daemon.ctl('-j', 'show', 'summary').stdout)['policies']

        policies('add', 0, 100)
        wait_for(lambda: count() == 100, 10, '100 policies')
        self.daemon.process.send_signal(signal.SIGSTOP)
        try:
            policies('add', 100, MANY)
            policies('delete', 0, 50)
        finally:
            self.daemon.process.send_signal(signal.SIGCONT)
        start = time.monotonic()
        wait_for(lambda: count() == MANY - 50, 30, f'{MANY - 50} policies')
        took = time.monotonic() - start
        expect('were lost' in self.daemon.tail(1000), self.daemon.tail())
        expect(' 10.0.0.49/32' not in self.daemon.ip('xfrm', 'policy').stdout, 'one is left')
        self.xfrm('policy flush')
        wait_for(lambda: count() == 0, 30, 'the flush')
        return f'{MANY} policies, read again in {took:.1f} s'


def options_refused():
    for words, said in (('interval=0', 'interval=SECONDS'), ('reqid=9-3', 'reqid=9-3'),
                        ('mark=x', 'mark=x'), ('if_id', '"if_id"'), ('colour=red', 'colour=red')):
        done = run(os.path.join(BUILD, 'pewterd'), f'--xfrm-mirror={words}', check=False)
        expect(done.returncode == 2 and said in done.stdout, f'{words}: {done.stdout}')


def filtered():
    """Those of one interface, and none else."""
    with Lab() as lab:
        mirror = Mirror(lab, ['--xfrm-mirror=if_id=7,interval=1'])
        mirror.xfrm(f'policy add {OUT} {TMPL} reqid 1')
        mirror.xfrm(f'policy add {OUT} if_id 7 priority 5 {TMPL} reqid 1')
        mirror.have(('out', 'protect', 5))


def tunnel_mode():
    """A packet of a VRF that a policy in tunnel mode selects makes the kernel ask its daemon, once."""
    with Lab() as lab:
        mirror = Mirror(lab, ['--xfrm-mirror=if_id=7,interval=1'])
        for line in ('link add ipsec7 type xfrm if_id 7', 'link set ipsec7 master cust',
                     'link set ipsec7 up', 'route add 10.9.0.0/16 table 10 dev ipsec7'):
            mirror.daemon.ip(*line.split())
        mirror.xfrm('policy add src 10.1.0.0/24 dst 10.9.0.0/16 dir out if_id 7 '
                    f'tmpl src {A} dst 203.0.113.7 proto esp reqid 9 mode tunnel')
        mirror.have(('out', 'protect', 0))
        path = os.path.join(lab.folder, 'acquire')
        with open(path, 'w') as file:
            monitor = mirror.pe.start('ip', 'xfrm', 'monitor', 'acquire', stdout=file, stderr=file)

        def heard():
            with open(path) as file:
                return file.read()

        time.sleep(1)
        mirror.ce.ping('10.9.0.1', count=5, check=False)
        wait_for(lambda: 'acquire proto esp' in heard(), 5, 'ACQUIRE')
        mirror.ce.ping('10.9.0.1', count=5, check=False)
        monitor.send_signal(signal.SIGTERM)
        monitor.wait(5)
        said = heard()
        expect(said.count('acquire proto esp') == 1, said)
        for words in ('sel src 10.1.0.0/24 dst 10.9.0.0/16', f'tmpl src {A} dst 203.0.113.7',
                      'reqid 9 mode tunnel', 'if_id 0x7'):
            expect(words in said, said)
        expect(mirror.daemon.drop('sa-none') == 10, mirror.daemon.drop('sa-none'))
        larva = json.loads(mirror.daemon.ctl('-j', 'show', 'sas').stdout)
        expect(len(larva) == 1 and larva[0]['dst'] == '203.0.113.7', larva)


def main():
    results = Results()
    with Lab() as lab:
        try:
            mirror = Mirror(lab, ['--xfrm-mirror=interval=1'])
        except Exception as error:
            print(f'FAIL the daemon did not come up: {error}')
            return 1
        for name in ('followed', 'others', 'widened', 'own', 'default', 'larvae', 'acquire',
                     'lost'):
            results.check(name, getattr(mirror, name))
        results.check('ends in order', lambda: expect(mirror.daemon.stop() == 0, 'status'))
    results.check('a filter', filtered)
    results.check('tunnel mode', tunnel_mode)
    results.check('options', options_refused)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
