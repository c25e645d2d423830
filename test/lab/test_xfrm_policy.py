# SPDX-License-Identifier: BSD-3-Clause
"""`ip xfrm policy` on the kernel's policy database and, through pewter-run, on Pewter's: the same
commands, the same words back. What Pewter refuses beyond the kernel it refuses in words."""
import json
import os
import re
import signal
import sys
import time

from lab import BUILD, Lab, Results, expect, run, wait_for

TMPL = 'tmpl proto esp mode transport'
A_B = 'src 10.255.0.1/32 dst 10.255.0.2/32'
B_A = 'src 10.255.0.2/32 dst 10.255.0.1/32'

# In order. Both must say the same and end with the same status.
SAME = [
    'list',
    f'add {A_B} proto gre dir out {TMPL} reqid 1',
    f'add {A_B} proto gre dir out {TMPL} reqid 1',
    f'add {A_B} proto gre dir out priority 9',
    f'add {B_A} proto gre dir in {TMPL} reqid 1',
    f'add {B_A} proto gre dir fwd {TMPL} reqid 1',
    'list',
    'list dir in',
    '-s list',
    '-d list',
    'count',
    '-s count',
    f'get {A_B} proto gre dir out',
    f'-s get {A_B} proto gre dir out',
    f'get {A_B} dir out',
    f'get {A_B} proto 137 dir out',
    f'update {A_B} proto gre dir out priority 100 {TMPL} reqid 2 level use',
    f'get {A_B} proto gre dir out',
    f'update {A_B} proto 137 dir out priority 7 action block flag localok',
    f'add src 10.0.0.0/8 dst 0.0.0.0/0 dir out priority 4000000000 {TMPL} reqid 3',
    f'add src 2001:db8::1/128 dst 2001:db8::2/128 proto gre dir out {TMPL} reqid 4',
    f'add src 2001:db8::/32 dst ::/0 dir in {TMPL} reqid 4',
    f'add {A_B} proto gre dir out mark 5 mask 0xff {TMPL} reqid 5',
    f'add {A_B} proto gre dir out if_id 0x6 {TMPL} reqid 6',
    f'add {A_B} proto gre dir out ptype main if_id 7 {TMPL} src 10.255.0.1 dst 10.255.0.2 reqid 7',
    f'add {A_B} proto udp sport 500 dport 500 dir out priority 1',
    f'add {B_A} proto udp sport 500 dport 500 dir in priority 1 flag icmp',
    f'add src 10.255.0.1/32 dst 10.255.0.3/32 dir out {TMPL} spi 0x1234 reqid 8',
    f'add src 10.255.0.1/32 dst 10.255.0.4/32 dir out index 80001 {TMPL} reqid 9',
    f'add src 10.255.0.1/32 dst 10.255.0.5/32 dir out index 80002 {TMPL} reqid 9',
    f'add src 10.255.0.1/32 dst 10.255.0.6/32 dir out limit time-soft 3600 limit time-hard 7200 {TMPL}',
    'list',
    '-s list',
    'count',
    f'get {A_B} proto gre dir out mark 5 mask 0xff',
    f'get {A_B} proto gre dir out mark 6 mask 0xff',
    f'get {A_B} proto gre dir out if_id 6',
    f'get {A_B} proto gre dir out if_id 8',
    'get dir out index 80001',
    'get dir in index 80001',
    'get dir out index 79993',
    'delete dir out index 80001',
    'delete dir out index 80001',
    f'delete {A_B} proto gre dir out if_id 6',
    f'delete {A_B} proto gre dir out if_id 6',
    f'delete {A_B} proto gre dir in',
    'list',
    'list src 10.255.0.1/32',
    'getdefault',
    'setdefault in block out block',
    'getdefault',
    'setdefault in accept out accept',
    'getdefault',
    'setdefault fwd block',
    'getdefault',
    'setdefault fwd accept',
    'deleteall dir in',
    'list',
    'deleteall',
    'list',
    'count',
    f'add {A_B} proto gre dir out {TMPL} reqid 1',
    f'add {A_B} proto gre dir in {TMPL} reqid 1',
    'flush ptype main',
    'list',
    'flush',
    'set hthresh4 32 32',
]

# Taken by the kernel, and not here.
REFUSED = [
    (f'add {A_B} proto icmp dir out {TMPL}', r'protocol 1: in transport mode only tunnels are protected'),
    (f'add {A_B} proto gre key 7 dir out {TMPL}', r'a selector with a GRE key'),
    (f'add {A_B} dir out tmpl proto ah mode transport', r'AH is not supported'),
    (f'add {A_B} dir out {TMPL} {TMPL} reqid 2', r'one template at most, not 2'),
    (f'add {A_B} dev lo dir out {TMPL}', r'a device \(dev, index 1\)'),
    (f'add {A_B} dir out limit byte-hard 100000 {TMPL}', r'no limit of bytes or packets'),
    (f'add {A_B} dir out limit time-use-hard 10 {TMPL}', r'since its first use'),
    (f'add {A_B} dir out tmpl src 10.255.0.9 dst 10.255.0.2 proto esp mode transport',
     r"template's source address is none"),
    ('set hthresh4 16 16', r'no other threshold'),
]


def comparable(text):
    """Indices are the kernel's own, from a counter of the machine; clocks go on."""
    text = re.sub(r'index (\d+)', lambda m: m[0] if int(m[1]) > 79000 else f'index {int(m[1]) % 8}', text)
    text = re.sub(r'(add|use) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d', r'\1 TIME', text)
    text = re.sub(r'buckets (count|Max) *\d+', r'buckets \1 N', text)
    # The kernel has no words for these.
    text = re.sub(r'^Error: .*\n', '', text, flags=re.M)
    return re.sub(r' +$', '', text, flags=re.M)


class Operator:
    def __init__(self, lab):
        self.lab = lab
        self.node = lab.node('pe')
        self.kernel = lab.node('kernel')
        self.daemon = lab.daemon(self.node, ['core=null:'])

    def xfrm(self, command, **options):
        words = command.split()
        flags = [words.pop(0)] if words[0].startswith('-') else []
        return self.daemon.ip(*flags, 'xfrm', 'policy', *words, **options)

    def same(self, command):
        words = command.split()
        flags = [words.pop(0)] if words[0].startswith('-') else []
        wanted = self.kernel.run('ip', *flags, 'xfrm', 'policy', *words, check=False)
        done = self.xfrm(command, check=False)
        expect(done.returncode == wanted.returncode,
               f'status {done.returncode} instead of {wanted.returncode}\n{done.stdout}{wanted.stdout}')
        if wanted.returncode == 0:
            expect(comparable(done.stdout) == comparable(wanted.stdout),
                   f'{done.stdout}\n--- instead of\n{wanted.stdout}')

    def refused(self, command, pattern):
        before = self.xfrm('list').stdout + self.xfrm('getdefault').stdout
        done = self.xfrm(command, check=False)
        expect(done.returncode != 0, f'was not refused: {done.stdout}')
        expect(re.search(pattern, done.stdout), f'wanted /{pattern}/, got: {done.stdout}')
        after = self.xfrm('list').stdout + self.xfrm('getdefault').stdout
        expect(before == after, f'something changed:\n{before}\n---\n{after}')

    def monitor(self):
        """Events of the same changes, in the same words."""
        paths = [os.path.join(self.lab.folder, name) for name in ('pewter', 'kernel')]
        runner = os.path.join(BUILD, 'control', 'cli', 'pewter-run')
        children = []
        for path, command in zip(paths, ([runner, '-s', self.daemon.socket], [])):
            with open(path, 'w') as file:
                children.append(self.kernel.start(*command, 'ip', 'xfrm', 'monitor', 'policy',
                                                  stdout=file, stderr=file))
        time.sleep(1)
        for command in (f'add {A_B} proto gre dir out index 80009 {TMPL} reqid 1',
                        f'update {A_B} proto gre dir out priority 5 {TMPL} reqid 2',
                        f'delete {A_B} proto gre dir out',
                        f'add {B_A} proto 137 dir in mark 1 if_id 2 index 80016 {TMPL}',
                        'delete dir in index 80016 mark 1 if_id 2',
                        f'add {A_B} dir out index 80033 {TMPL}',
                        'setdefault out accept',
                        'flush'):
            self.same(command)

        def texts():
            found = []
            for path in paths:
                with open(path) as file:
                    found.append(comparable(file.read()))
            return found

        wait_for(lambda: all('Flushed' in text for text in texts()), 5, f'events:\n{texts()}')
        for child in children:
            child.send_signal(signal.SIGTERM)
            child.wait(5)
        ours, kernels = texts()
        expect(ours == kernels, f'{ours}\n--- instead of\n{kernels}')
        expect(len(re.findall(r'^(?:\w+ )?src', ours, re.M)) == 6, ours)

    def many(self):
        """10,000 policies by one batch, listed, counted and deleted."""
        path = os.path.join(self.lab.folder, 'policies.batch')
        with open(path, 'w') as file:
            for n in range(10000):
                file.write(f'xfrm policy add src 10.255.0.1/32 dst 10.{n // 62500}.{n // 250 % 250}.'
                           f'{n % 250}/32 proto gre dir out {TMPL} reqid {n + 1}\n')
        self.daemon.ip('-batch', path, timeout=120)
        text = self.xfrm('list').stdout
        expect(text.count('\ttmpl ') == 10000, f"{text.count('tmpl')} listed")
        expect(len(set(re.findall(r'reqid (\d+)', text))) == 10000, 'some are listed twice')
        expect(re.search(r'OUT +10000', self.xfrm('count').stdout), self.xfrm('count').stdout)
        self.xfrm('deleteall', timeout=120)
        expect(self.xfrm('list').stdout == '', 'some are left')

    def endpoint(self):
        tunnels = json.loads(self.daemon.ctl('-j', 'show', 'tunnels').stdout)
        return tunnels[0]['endpoints'][0]

    def tunnels(self):
        """What `pewterctl show tunnels` says of a tunnel as policies and SAs come and go."""
        ip, xfrm = self.daemon.ip, self.xfrm
        ip(*'link add gre1 type gre local 10.255.0.1 remote 10.255.0.2 ttl 255'.split())
        ip(*'link set gre1 up'.split())
        expect(self.endpoint()['protection'] == 'clear', self.endpoint())
        expect(self.endpoint()['inward'] == 'any', self.endpoint())
        xfrm(f'add {A_B} proto gre dir out {TMPL} reqid 1')
        xfrm(f'add {B_A} proto gre dir in {TMPL} reqid 1')
        expect(self.endpoint()['protection'] == 'required', self.endpoint())
        expect(self.endpoint()['inward'] == 'esp', self.endpoint())
        text = self.daemon.ctl('show', 'tunnels').stdout
        expect('protection required, no SA inward esp' in text, text)
        ip(*'xfrm state add src 10.255.0.1 dst 10.255.0.2 proto esp spi 0x1001 reqid 1 mode transport '
            'aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128'.split())
        expect(self.endpoint()['protection'] == 'esp', self.endpoint())
        expect(self.endpoint()['spi'] == 0x1001, self.endpoint())
        expect('protection esp 0x00001001' in self.daemon.ctl('show', 'tunnels').stdout, 'text')
        xfrm(f'update {A_B} proto gre dir out action block')
        expect(self.endpoint()['protection'] == 'blocked', self.endpoint())
        xfrm('flush')
        expect(self.endpoint()['protection'] == 'clear', self.endpoint())
        ip('link', 'del', 'gre1')

    def label(self):
        """`label protect`: shown, and kept while the label has no route."""
        ip, ctl = self.daemon.ip, self.daemon.ctl
        ip(*'link add red type vrf table 10'.split())
        ip(*'link set red up'.split())
        ip(*'-f mpls route add 101 dev red'.split())
        ctl('label', '101', 'protect', 'on')
        expect(' protect' in ctl('show', 'labels').stdout, ctl('show', 'labels').stdout)
        ip(*'-f mpls route del 101'.split())
        ip(*'-f mpls route add 101 dev red'.split())
        expect(json.loads(ctl('-j', 'show', 'labels').stdout)[0]['protect'] is True, 'forgotten')
        ctl('label', '101', 'protect', 'off')
        expect('protect' not in ctl('show', 'labels').stdout, ctl('show', 'labels').stdout)
        for words, pattern in ((('101', 'protect', 'maybe'), 'on or off'),
                               (('3', 'protect', 'on'), '16 to 1048575')):
            done = ctl('label', *words, check=False)
            expect(done.returncode != 0 and pattern in done.stdout, done.stdout)


def main():
    results = Results()
    with Lab() as lab:
        try:
            operator = Operator(lab)
        except Exception as error:
            print(f'FAIL the daemon did not come up: {error}')
            return 1
        for command in SAME:
            results.check(f'as the kernel: {command}', operator.same, command)
        for command, pattern in REFUSED:
            results.check(f'refused: {command}', operator.refused, command, pattern)
        for name in ('monitor', 'many', 'tunnels', 'label'):
            results.check(name, getattr(operator, name))
        results.check('ends in order', lambda: expect(operator.daemon.stop() == 0, 'status'))
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
