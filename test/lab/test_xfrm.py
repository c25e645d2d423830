# SPDX-License-Identifier: BSD-3-Clause
"""Security associations as an operator types and sees them: Debian's unmodified `ip xfrm state`
against a daemon with ports that go nowhere, and against this machine's kernel where it can."""
import os
import re
import signal
import sys
import time

from lab import BUILD, Lab, Results, expect, run, wait_for

GCM = "aead rfc4106(gcm(aes)) 0x" + '00112233445566778899aabbccddeeff01020304' + ' 128'
GCM_KEY = '0x00112233445566778899aabbccddeeff01020304'
SHA256_KEY = '0x' + 'a5' * 32
CBC = f"enc cbc(aes) 0x{'3c' * 16} auth-trunc hmac(sha256) {SHA256_KEY} 128"
ONE = 'src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000'
TWO = 'src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x1001'

# (command behind `ip xfrm state`, pattern that its output must match); '' means no output at all.
GOOD = [
    ('list', ''),
    ('count', r'SAD count 0'),
    (f'add {ONE} reqid 5 mode transport {GCM} replay-window 32 sel src 192.0.2.1 dst 192.0.2.2 '
     'proto gre limit time-soft 3000 limit time-hard 3600 limit byte-soft 1000000', ''),
    (f'get {ONE}', r'^src 192\.0\.2\.1 dst 192\.0\.2\.2\n'
     r'\tproto esp spi 0x00001000 reqid 5 mode transport\n'
     r'\treplay-window 32 \n'
     rf'\taead rfc4106\(gcm\(aes\)\) {GCM_KEY} 128\n'
     r'\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000\n'
     r'\tsel src 192\.0\.2\.1/32 dst 192\.0\.2\.2/32 proto gre *\n'),
    ('-s list', r'limit: soft 1000000\(bytes\), hard \(INF\)\(bytes\)'
     r'(.|\n)*expire add: soft 3000\(sec\), hard 3600\(sec\)'
     r'(.|\n)*lifetime current:\n\t  0\(bytes\), 0\(packets\)\n\t  add 20\d\d-.* use -'
     r'(.|\n)*replay-window 0 replay 0 failed 0'),
    (f'add {TWO} mode transport {CBC} flag esn replay-window 1024 if_id 0x7 tfcpad 400 mark 5 '
     'mask 0xff extra-flag dont-encap-dscp output-mark 0x9 encap espinudp 4500 4501 0.0.0.0', ''),
    ('list proto esp', r'spi 0x00001001 (.|\n)*spi 0x00001000 '),  # the newest first
    (f'get {TWO} mark 5', rf'auth-trunc hmac\(sha256\) {SHA256_KEY} 128\n'),
    (f'get {TWO} mark 5', rf"enc cbc\(aes\) 0x{'3c' * 16}\n"),
    (f'get {TWO} mark 5', r'replay-window 0 (seq \S+ )?flag (af-unspec\|)?esn|flag .*esn'),
    (f'get {TWO} mark 5', r'encap type espinudp sport 4500 dport 4501 addr'),
    (f'get {TWO} mark 5', r'mark 0x5/0xff'),
    (f'get {TWO} mark 5', r'if_id 0x7'),
    (f'get {TWO} mark 5', r'tfcpad:? 400|tfcpad 0x190'),
    (f'get {TWO} mark 5', r'anti-replay esn context:\n\s*seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0\n'
     r'\s*replay_window 1024, bitmap-length 32\n'),
    ('list nokeys', r'<<Keys hidden>>'),
    ('list src 192.0.2.1', r'^src 192\.0\.2\.1 dst 192\.0\.2\.2\n((?!2001:db8).|\n)*$'),
    ('count', r'SAD count 2'),
    (f'update {ONE} reqid 5 mode transport {GCM} limit time-hard 7200', ''),
    ('-s list reqid 5', r'expire add: soft 0\(sec\), hard 7200\(sec\)'),
    ('allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 5 min 0x2000 max 0x2000',
     r'proto esp spi 0x00002000 reqid 5 mode transport'),
    (f'update src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x2000 reqid 5 mode transport {GCM}', ''),
    ('get src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x2000', GCM_KEY),
    ('count', r'SAD count 3'),
    (f'delete {ONE}', ''),
    ('deleteall reqid 5', ''),
    ('count', r'SAD count 1'),
    ('flush proto ah', ''),
    ('count', r'SAD count 1'),
    ('flush', ''),
    ('list', ''),
]

# (command, pattern of the refusal). Each must also leave everything as it was.
REFUSED = [
    (f'add {ONE} mode transport {GCM}', r'an SA with SPI 0x00001000 to 192\.0\.2\.2 exists'),
    (f'get {ONE}9', r'there is no SA with SPI 0x00010009'),
    (f'delete {ONE}9', r'there is no SA'),
    (f'update {ONE}9 mode transport {GCM}', r'there is no SA'),
    (f'add {ONE}1 mode transport aead rfc4106(gcm(aes)) 0x0011 128', r'takes no key of 16 bits'),
    (f'add {ONE}1 mode transport aead rfc4106(gcm(aes)) {GCM_KEY} 64', r'ICV of 128 bits, not of 64'),
    (f'add {ONE}1 mode transport enc cbc(des3_ede) 0x{"12" * 24} auth-trunc hmac(sha256) {SHA256_KEY} 128',
     r'cbc\(des3_ede\) is refused'),
    (f'add {ONE}1 mode transport enc cbc(aes) 0x{"12" * 16} auth-trunc hmac(md5) 0x{"12" * 16} 96',
     r'MD5 is broken'),
    (f'add {ONE}1 mode transport enc cbc(aes) 0x{"12" * 16}', r'needs an integrity algorithm'),
    (f'add {ONE}1 mode beet {GCM}', r'BEET mode is not supported'),
    (f'add {ONE}1 mode transport {GCM} flag esn', r'.'),
    (f'add {ONE}1 mode transport {GCM} flag wildrecv', r'wildrecv'),
    (f'add {ONE}1 mode transport {GCM} extra-flag oseq-may-wrap', r'oseq-may-wrap is refused'),
    (f'add {ONE}1 mode transport {GCM} replay-window 4097', r'.'),
    (f'add {ONE}1 mode transport {GCM} sel src 2001:db8::1 dst 2001:db8::2', r"selector"),
    (f'add {ONE}1 mode transport {GCM} encap espinudp-nonike 4500 4500 0.0.0.0', r'encapsulation type 1'),
    (f'add {ONE}1 mode transport {GCM} offload dev lo dir in', r'lo cannot take an SA: it has no inline'),
    (f'add {ONE}1 mode transport {GCM} coa 192.0.2.9', r'.'),
    ('add src 192.0.2.1 dst 192.0.2.2 proto esp spi 7 mode transport ' + GCM, r'SPI 7 is reserved'),
    ('add src 192.0.2.1 dst 192.0.2.2 proto ah spi 0x3000 mode transport auth hmac(sha256) ' + SHA256_KEY,
     r'AH is not supported'),
    ('allocspi src 192.0.2.2 dst 192.0.2.1 proto esp min 0x20 max 0x30', r'SPI 32 is reserved'),
    ('allocspi src 192.0.2.1 dst 192.0.2.2 proto esp min 0x1000 max 0x1000', r'no SPI .* is free'),
]

PEWTER_RUN = os.path.join(BUILD, 'control', 'cli', 'pewter-run')


def short(command):
    return re.sub(r'(0x)?[0-9a-f]{20,}', 'KEY', command)


def words(command):
    """Algorithms' names have brackets, so the shell stays out of it."""
    return command.split()


class Operator:
    def __init__(self, lab):
        self.lab = lab
        self.node = lab.node('pe')
        self.daemon = lab.daemon(self.node, ['core=null:'])

    def ip(self, command, **options):
        arguments = words(command)
        flags = []
        while arguments and arguments[0].startswith('-'):
            flags.append(arguments.pop(0))
        return self.daemon.ip(*flags, 'xfrm', 'state', *arguments, **options)

    def good(self, command, pattern):
        done = self.ip(command)
        if pattern == '':
            expect(done.stdout.strip() == '', f'said: {done.stdout}')
        else:
            expect(re.search(pattern, done.stdout, re.M), f'wanted /{pattern}/, got:\n{done.stdout}')

    def refused(self, command, pattern):
        before = self.ip('list').stdout
        done = self.ip(command, check=False)
        expect(done.returncode != 0, f'was not refused; said: {done.stdout}')
        expect(re.search(pattern, done.stdout), f'wanted /{pattern}/, got: {done.stdout}')
        after = self.ip('list').stdout
        expect(before == after, f'something changed:\n{before}\n---\n{after}')

    def kernel(self):
        """A larva looks as the kernel's does: the same command, the same text."""
        command = words('allocspi src 192.0.2.2 dst 192.0.2.1 proto esp reqid 9 mode transport '
                        'min 0x4000 max 0x4000')
        texts = []
        for ip in (self.node.ip, self.daemon.ip):
            text = ip('xfrm', 'state', *command).stdout
            text += ip('-s', 'xfrm', 'state', 'list').stdout
            text += ip('-s', 'xfrm', 'state', 'get', *words('dst 192.0.2.1 proto esp spi 0x4000')).stdout
            text += ip('xfrm', 'state', 'count').stdout
            text += ip('xfrm', 'state', *words('delete dst 192.0.2.1 proto esp spi 0x4000')).stdout
            text += ip('xfrm', 'state', 'list').stdout
            texts.append(re.sub(r'add 20\S+ \S+', 'add NOW', text))
        expect(texts[0] == texts[1], f'kernel:\n{texts[0]}\n--- pewter:\n{texts[1]}')

    def monitor(self):
        path = os.path.join(self.lab.folder, 'monitor')
        with open(path, 'w') as file:
            child = self.node.start(PEWTER_RUN, '-s', self.daemon.socket, 'ip', 'xfrm', 'monitor',
                                    stdout=file, stderr=file)
        time.sleep(0.5)
        one = ONE.replace('0x1000', '0x7000')
        two = ONE.replace('0x1000', '0x7001')
        self.ip(f'add {one} mode transport {GCM}')
        self.ip(f'update {one} mode transport {GCM} limit time-hard 999')
        self.ip(f'delete {one}')
        self.ip(f'add {two} mode transport {GCM} limit time-soft 1 limit time-hard 2')

        def text():
            with open(path) as file:
                return file.read()

        for word in (r'^src 192\.0\.2\.1 dst 192\.0\.2\.2\n\tproto esp spi 0x00007000',
                     r'^Updated src 192\.0\.2\.1', r'^Deleted src 192\.0\.2\.1',
                     r'^Expired src 192\.0\.2\.1 dst 192\.0\.2\.2(.|\n)*spi 0x00007001(.|\n)*hard 0',
                     r'^Expired (.|\n)*hard 1'):
            wait_for(lambda: re.search(word, text(), re.M), 5, f'monitor saying /{word}/:\n{text()}')
        expect('00112233' not in text(), f'keys in an event:\n{text()}')
        wait_for(lambda: 'spi' not in self.ip('list').stdout, 3, 'the SA expired')
        child.send_signal(signal.SIGTERM)
        child.wait(5)

    def no_keys_for_others(self):
        """Another user who may connect sees SAs, but no keys."""
        self.ip(f'add {ONE} mode transport {GCM}')
        self.daemon.stop()
        daemon = self.lab.daemon(self.node, ['core=null:'], options=['--allow-uid', '65534'])
        self.daemon = daemon
        self.ip(f'add {ONE} mode transport {GCM}')
        os.chmod(self.lab.folder, 0o755)
        os.chmod(daemon.socket, 0o666)
        done = run('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', PEWTER_RUN,
                   '-s', daemon.socket, 'ip', 'xfrm', 'state', 'list')
        expect('spi 0x00001000' in done.stdout, done.stdout)
        expect('00112233' not in done.stdout and '0x' + '00' * 20 in done.stdout, done.stdout)
        expect(GCM_KEY in self.ip('list').stdout, 'root sees them')

    def many(self):
        """10,000 pairs added, listed, counted and flushed by one `ip -batch`."""
        path = os.path.join(self.lab.folder, 'many.batch')
        count = 10000
        with open(path, 'w') as file:
            for n in range(count):
                there = f'10.{n >> 16}.{n >> 8 & 255}.{n & 255}'
                for source, destination in (('192.0.2.1', there), (there, '192.0.2.1')):
                    file.write(f'xfrm state add src {source} dst {destination} proto esp '
                               f'spi {0x10000 + n} reqid {n} mode transport {GCM} '
                               'limit time-hard 3600\n')
        self.ip('flush')
        start = time.monotonic()
        self.daemon.ip('-batch', path, timeout=120)
        added = time.monotonic() - start
        expect('SAD count 20000' in self.ip('count').stdout, 'count')
        start = time.monotonic()
        listed = self.ip('list', timeout=120).stdout.count('spi 0x')
        expect(listed == 2 * count, f'{listed} listed')
        shown = time.monotonic() - start
        start = time.monotonic()
        self.ip('flush')
        expect('SAD count 0' in self.ip('count').stdout, 'count after flush')
        return (f'20,000 SAs: added in {added:.1f} s, listed in {shown:.1f} s, '
                f'flushed in {time.monotonic() - start:.2f} s')

    def log(self):
        """The log has no key, even at its most talkative."""
        self.daemon.stop()
        self.daemon = self.lab.daemon(self.node, ['core=null:'], options=['--log-level', 'debug'])
        self.ip(f'add {ONE} mode transport {GCM}')
        self.ip(f'add {ONE} mode transport {GCM}', check=False)
        self.ip(f'add {ONE}1 mode transport aead rfc4106(gcm(aes)) 0x00112233 128', check=False)
        with open(self.daemon.log) as file:
            text = file.read()
        expect('refused' in text, f'no debug line:\n{text}')
        expect('00112233' not in text and '001122' not in text, text)


def main():
    results = Results()
    with Lab() as lab:
        try:
            operator = Operator(lab)
        except Exception as error:
            print(f'FAIL the daemon did not come up: {error}')
            return 1
        first_delete = next(n for n, row in enumerate(GOOD) if row[0].startswith('delete'))
        for command, pattern in GOOD[:first_delete]:
            results.check(f'ip xfrm state {short(command)}', operator.good, command, pattern)
        for command, pattern in REFUSED:
            results.check(f'refused: ip xfrm state {short(command)}', operator.refused, command, pattern)
        for command, pattern in GOOD[first_delete:]:
            results.check(f'ip xfrm state {short(command)}', operator.good, command, pattern)
        for name in ('kernel', 'monitor', 'many', 'no_keys_for_others', 'log'):
            results.check(name.replace('_', ' '), getattr(operator, name))
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
