# SPDX-License-Identifier: BSD-3-Clause
"""A narrow link between two PEs, behind a Linux router on either side: what the routers say of ESP
sets the SA's path MTU, and customers are told what fits.

    red1 -- pe1 -- r1 ==1400== r2 -- pe2 -- red2
"""
import ctypes
import json
import os
import re
import socket
import sys
import threading

from scapy.layers.inet import ICMP, IP
from scapy.packet import Raw

from lab import Lab, Results, by_driver, customer, expect, wait_for

NARROW = 1400
SECONDS = 600
GCM = (8, 16, 4)  # bytes of IV, ICV, alignment
CBC = (16, 16, 16)
SIZE = 2_000_000  # bytes of a TCP stream
LIBC = ctypes.CDLL(None, use_errno=True)


class Way:
    """Between the customers' addresses 10.1.<net>.2 and 10.2.<net>.2 by one pair of SAs."""

    def __init__(self, name, net, suite=GCM, v6=False, natt=False, around=0):
        self.name, self.net, self.suite, self.v6, self.natt = name, net, suite, v6, natt
        self.around = around  # GRE and label

    def largest(self, mtu):
        """The customer's packet (RFC 4303 2)."""
        iv, icv, align = self.suite
        room = mtu - (40 if self.v6 else 20) - (8 if self.natt else 0) - 8 - iv - icv
        return room // align * align - 2 - self.around

    def address(self, number):
        return f'10.{number}.{self.net}.2'

    def pe(self, number):
        return f'2001:db8:ff::{number}' if self.v6 else f'10.255.0.{number}'

    def spi(self, sender):
        return 0x1000 + 16 * self.net + sender

    def batch(self, number):
        """Lines for the PE: SAs, policies, and what leads to them."""
        algorithm = ("aead 'rfc4106(gcm(aes))' 0x{0:040x} 128" if self.suite is GCM else
                     "enc 'cbc(aes)' 0x{0:032x} auth-trunc 'hmac(sha256)' 0x{0:064x} 128")
        other, transport = 3 - number, self.around > 0
        more = '' if transport else f' if_id {self.net}'
        flag = '' if transport else ' flag af-unspec'
        lines = []
        for sender in (1, 2):
            ends = f'src {self.pe(sender)} dst {self.pe(3 - sender)} proto esp'
            mode = f'reqid {self.net} mode {"transport" if transport else "tunnel"}'
            way = 'out' if sender == number else 'in'
            what = (f'src {self.pe(sender)}/32 dst {self.pe(3 - sender)}/32 proto gre' if transport else
                    f'src 10.{sender}.{self.net}.0/24 dst 10.{3 - sender}.{self.net}.0/24')
            lines += [
                f'xfrm state add {ends} spi {self.spi(sender):#x} {mode} replay-window 64 '
                + algorithm.format(self.spi(sender))
                + (' encap espinudp 4500 4500 0.0.0.0' if self.natt else '') + flag + more,
                f'xfrm policy add {what} dir {way} tmpl {ends} {mode}{more}']
        if transport:
            lines += [f'link add gre1 type gre local {self.pe(number)} remote {self.pe(other)} ttl 64',
                      'link set gre1 up',
                      f'route add 10.{other}.{self.net}.0/24 table 10 encap mpls {100 + other} dev gre1']
        else:
            lines += [f'link add ipsec{self.net} type xfrm if_id {self.net}',
                      f'link set ipsec{self.net} master red',
                      f'link set ipsec{self.net} up',
                      f'route add 10.{other}.{self.net}.0/24 table 10 dev ipsec{self.net}']
        return lines


WAYS = [
    Way('a label in GRE, transport mode', 0, around=8),
    Way('tunnel mode', 42),
    Way('tunnel mode, AES-CBC', 43, suite=CBC),
    Way('tunnel mode over IPv6', 44, v6=True),
    Way('tunnel mode in UDP', 45, natt=True),
    Way('tunnel mode in UDP over IPv6', 46, v6=True, natt=True),
]


def batch(number):
    other = 3 - number
    return '\n'.join([
        'link set core up',
        f'address add 192.0.2.{4 * number - 3}/30 dev core',
        f'address add 2001:db8:c{number}::1/64 dev core',
        f'address add 10.255.0.{number}/32 dev lo',
        f'address add 2001:db8:ff::{number}/128 dev lo',
        f'route add 10.255.0.{other}/32 via 192.0.2.{4 * number - 2}',
        f'route add 2001:db8:ff::{other}/128 via 2001:db8:c{number}::2',
        'link add red type vrf table 10',
        'link set red up',
        'link set ce master red up',
        f'address add 10.{number}.0.1/24 dev ce',
        f'address add 2001:db8:{number}::1/64 dev ce',
        *(f'route add {way.address(number)}/32 table 10 via 10.{number}.0.2' for way in WAYS[1:]),
        *(line for way in WAYS for line in way.batch(number)), ''])


def build(lab, driver):
    for name in ('red1', 'pe1', 'r1', 'r2', 'pe2', 'red2'):
        lab.node(name)
    nodes = lab.nodes
    lab.wire(nodes['r1'], 'narrow', nodes['r2'], 'narrow', NARROW)
    for number in (1, 2):
        pe, r, red = (nodes[f'{name}{number}'] for name in ('pe', 'r', 'red'))
        lab.wire(pe, 'core', r, 'pe')
        lab.wire(pe, 'ce', red, 'eth0')
        customer(red, number)
        for way in WAYS[1:]:
            red.ip('address', 'add', f'{way.address(number)}/32', 'dev', 'eth0')
        r.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1',
              # as many errors as there is reason for
              'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0')
        r.ip('address', 'add', f'192.0.2.{4 * number - 2}/30', 'dev', 'pe')
        r.ip('address', 'add', f'2001:db8:c{number}::2/64', 'dev', 'pe', 'nodad')
        r.ip('address', 'add', f'198.18.0.{number}/24', 'dev', 'narrow')
        r.ip('address', 'add', f'2001:db8:18::{number}/64', 'dev', 'narrow', 'nodad')
    for number in (1, 2):
        r, other = nodes[f'r{number}'], 3 - number
        for prefix, near, far in ((f'10.255.0.{{}}/32', f'192.0.2.{4 * number - 3}', f'198.18.0.{other}'),
                                  (f'2001:db8:ff::{{}}/128', f'2001:db8:c{number}::1',
                                   f'2001:db8:18::{other}')):
            r.ip('route', 'add', prefix.format(number), 'via', near)
            r.ip('route', 'add', prefix.format(other), 'via', far)
        r.ip('route', 'add', f'192.0.2.{4 * other - 4}/30', 'via', f'198.18.0.{other}')
        pe = lab.daemon(nodes[f'pe{number}'], [f'{name}={driver}:{name}' for name in ('core', 'ce')],
                        cpu=number - 1, batch=[lab.write(f'pe{number}.batch', batch(number)),
                                               lab.write(f'pe{number}.mpls', f'route add {100 + number} dev red\n')])
        setattr(lab, f'pe{number}', pe)


# ---- what is looked at ---------------------------------------------------------------------------

def path_mtu(pe, way, sender):
    """(MTU, seconds) of the SA, or None."""
    for sa in json.loads(pe.ctl('-j', 'show', 'sas').stdout):
        if int(str(sa['spi']), 0) == way.spi(sender):
            return (sa['path_mtu'], sa['path_mtu_seconds']) if 'path_mtu' in sa else None
    raise AssertionError(f'{way.name}: no SA')


def told(node, way, number):
    """The MTU that a customer's kernel has of the way, None when it is that of its link."""
    route = node.ip('route', 'get', way.address(3 - number), 'from', way.address(number)).stdout
    found = re.search(r'mtu (?:lock )?(\d+)', route)
    return int(found.group(1)) if found else None


def ping_whole(node, way, number, size, **options):
    """Pings with packets of this size that may not be cut."""
    return node.ping(way.address(3 - number), '-M', 'do', '-s', str(size - 28), '-I', way.address(number), **options)


def event(pe, name):
    for entry in json.loads(pe.ctl('-j', 'show', 'events').stdout):
        if entry['name'] == name:
            return entry['packets']
    return 0


# ---- tests -----------------------------------------------------------------------------------------

def ping_learns(lab, way):
    """The first packets are lost on the narrow link, and then the customer knows what fits."""
    red1 = lab.nodes['red1']
    ping_whole(red1, way, 1, 200)
    expect(path_mtu(lab.pe1, way, 1) is None, 'a path MTU before there was reason')
    red1.ip('route', 'flush', 'cache')
    wide, most = way.largest(1500), way.largest(NARROW)
    # as large as the first link takes: nobody on this side knows better yet
    ping_whole(red1, way, 1, wide, check=False, count=1)
    got = wait_for(lambda: path_mtu(lab.pe1, way, 1), 5, 'the path MTU of the SA')
    expect(got[0] == NARROW and SECONDS - 10 <= got[1] <= SECONDS, f'{got}')
    ping_whole(red1, way, 1, wide, check=False, count=1)
    wait_for(lambda: told(red1, way, 1) == most, 5, f'{most} bytes, not {told(red1, way, 1)}')
    # The answers are as large, and PE2 has yet to learn.
    ping_whole(red1, way, 1, most, check=False, count=1)
    ping_whole(red1, way, 1, most)
    done = ping_whole(red1, way, 1, most + 1, check=False, count=1)
    expect(f'mtu={most}' in done.stdout.replace(' = ', '='), done.stdout)
    expect(event(lab.pe1, 'path-mtu') > 0, 'no event')
    return f'{wide} bytes before, {most} after'


def tcp_finds(lab, way):
    """A stream each way, from nothing known: PE2's SA is yet as wide as its link."""
    for number in (1, 2):
        lab.nodes[f'red{number}'].ip('route', 'flush', 'cache')
    for sender in (2, 1):
        stream(lab, way, sender)
        got = path_mtu(getattr(lab, f'pe{sender}'), way, sender)
        expect(got and got[0] == NARROW, f'PE{sender}: {got}')


def in_node(node, function):
    """Runs a function within a node's namespace, on a thread of its own."""
    result = {}

    def body():
        try:
            with open(f'/run/netns/{node.ns}') as there:
                if LIBC.setns(there.fileno(), 0):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            result['value'] = function()
        except Exception as error:  # told where it is waited for
            result['error'] = error

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, result


def stream(lab, way, sender):
    ready = threading.Event()

    def receive():
        with socket.create_server((way.address(3 - sender), 5001)) as server:
            server.settimeout(20)
            ready.set()
            with server.accept()[0] as connection:
                connection.settimeout(20)
                total = 0
                while data := connection.recv(65536):
                    total += len(data)
                return total

    def send():
        with socket.create_connection((way.address(3 - sender), 5001), timeout=20,
                                      source_address=(way.address(sender), 0)) as connection:
            connection.sendall(bytes(SIZE))

    thread, result = in_node(lab.nodes[f'red{3 - sender}'], receive)
    expect(ready.wait(5), f'no listener: {result}')
    other, sent = in_node(lab.nodes[f'red{sender}'], send)
    for one in (other, thread):
        one.join(30)
    expect('error' not in sent, f'sending: {sent.get("error")}')
    expect(result.get('value') == SIZE, f'{result} of {SIZE} bytes')


def kernel_keeps_its_own(lab):
    """What the routers say of the PE's own packets is the kernel's."""
    pe1 = lab.nodes['pe1']
    pe1.ip('route', 'replace', '192.0.2.4/30', 'via', '192.0.2.2')
    before = pe1.snmp()['IcmpInDestUnreachs']
    done = pe1.run('ping', '-n', '-c', 2, '-i', '0.2', '-W', 1, '-M', 'do', '-s', 1472, '192.0.2.5', check=False)
    expect(f'mtu={NARROW}' in done.stdout.replace(' = ', '='), done.stdout)
    expect(pe1.snmp()['IcmpInDestUnreachs'] > before, 'the kernel did not hear of it')


def kernel_hears_nothing_of_esp(lab):
    """Errors about ESP did not reach the kernel: it counts none but those of its own packets."""
    pe2 = lab.nodes['pe2']
    seen = pe2.snmp()
    expect(event(lab.pe2, 'path-mtu') >= len(WAYS), f'{event(lab.pe2, "path-mtu")} learnt')
    expect(seen['IcmpInDestUnreachs'] == 0 and seen['Icmp6InPktTooBigs'] == 0,
           f'{seen["IcmpInDestUnreachs"]} and {seen["Icmp6InPktTooBigs"]} errors')


def rekey(lab):
    """The SA that follows is as narrow from its first packet on."""
    way = WAYS[1]
    line = [line for line in way.batch(1) if line.startswith('xfrm state') and f'spi {way.spi(1):#x}' in line][0]
    for pe in (lab.pe2, lab.pe1):
        pe.ip(*line.replace(f'{way.spi(1):#x}', '0x7001').replace("'", '').split())
    shown = [sa for sa in json.loads(lab.pe1.ctl('-j', 'show', 'sas').stdout) if int(str(sa['spi']), 0) == 0x7001]
    expect(shown and shown[0].get('path_mtu') == NARROW, f'{shown}')
    learnt = event(lab.pe1, 'path-mtu')
    ping_whole(lab.nodes['red1'], way, 1, way.largest(NARROW), count=20)
    expect(event(lab.pe1, 'path-mtu') == learnt, 'it had to learn')


def forged(lab):
    """An error that any host can make up: the addresses are right, and nothing else."""
    way = WAYS[1]
    quote = IP(src='10.255.0.1', dst='10.255.0.2', proto=50, flags='DF', len=1400) / Raw(
        b'\0\0\x99\x99' + b'\0\0\0\1' + bytes(40))
    packet = bytes(IP(src='198.18.0.2', dst='10.255.0.1') / ICMP(type=3, code=4, nexthopmtu=600) / quote)
    before = lab.pe1.drop('path-mtu-sa')

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, ('10.255.0.1', 0))

    thread, result = in_node(lab.nodes['r1'], send)
    thread.join(10)
    expect('error' not in result, f'{result}')
    wait_for(lambda: lab.pe1.drop('path-mtu-sa') == before + 1, 5, 'path-mtu-sa')
    expect(path_mtu(lab.pe1, way, 1)[0] == NARROW, 'it was believed')


def stop(lab):
    for pe in (lab.pe1, lab.pe2):
        expect(pe.stop() == 0, f'pewterd ended with {pe.process.returncode}\n{pe.tail()}')


def main():
    results = Results()
    tests = [(f'{what}: {way.name}', function, way) for way in WAYS
             for what, function in (('ping', ping_learns), ('TCP', tcp_finds))]
    tests += [('the kernel hears nothing of ESP', kernel_hears_nothing_of_esp),
              ("what is the kernel's stays so", kernel_keeps_its_own),
              ('a new SA knows it', rekey), ('a forged error', forged), ('both daemons end well', stop)]
    of_ports = [test[0] for test in tests if test[0] not in ('a new SA knows it',)]
    for driver, mine in by_driver(('af_xdp', 'af_packet'), tests, of_ports):
        with Lab() as lab:
            try:
                build(lab, driver)
            except Exception as error:
                print(f'FAIL the lab over {driver}: {error}')
                return 1
            for name, function, *arguments in mine:
                results.check(f'{driver}: {name}', function, lab, *arguments)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
