# SPDX-License-Identifier: BSD-3-Clause
"""Two customers with the same addresses over an IP-only core, with real kernels as customers,
core and the PEs' own faces. Once for each way of taking a kernel interface as a port."""
import os
import re
import sys
import time

from lab import Lab, Results, expect, l3vpn, wait_for


def pings(lab):
    for colour in ('red', 'blue'):
        for source, target in ((1, 2), (2, 1)):
            node = lab.nodes[f'{colour}{source}']
            node.ping(f'10.{target}.0.2')
            node.ping(f'2001:db8:{target}::2')


def delivered(lab, source, right, wrong, address, counter):
    """Every echo request reaches this site and none the other customer's."""
    before = [lab.nodes[name].snmp()[counter] for name in (right, wrong)]
    lab.nodes[source].ping(address, count=5)
    after = [lab.nodes[name].snmp()[counter] for name in (right, wrong)]
    expect(after[0] - before[0] == 5, f'{right} saw {after[0] - before[0]} of 5 requests')
    expect(after[1] == before[1], f'{wrong} saw {after[1] - before[1]} requests of {source}')


def isolation(lab):
    for source, right, wrong in (('red1', 'red2', 'blue2'), ('blue1', 'blue2', 'red2'),
                                 ('red2', 'red1', 'blue1'), ('blue2', 'blue1', 'red1')):
        site = right[-1]
        delivered(lab, source, right, wrong, f'10.{site}.0.2', 'IcmpInEchos')
        delivered(lab, source, right, wrong, f'2001:db8:{site}::2', 'Icmp6InEchos')


def blue_only(lab):
    lab.nodes['blue1'].ping('10.99.0.1')
    before = lab.pe1.drop('icmp-sent') + lab.pe1.drop('route-none')
    done = lab.nodes['red1'].ping('10.99.0.1', check=False)
    expect(done.returncode != 0, 'red1 reached 10.99.0.1, which is blue')
    expect('From 10.1.0.1' in done.stdout and 'Net Unreachable' in done.stdout, done.stdout)
    after = lab.pe1.drop('icmp-sent') + lab.pe1.drop('route-none')
    expect(after > before, 'PE1 counted no drop for it')


def traceroute(lab, family, target, hops):
    done = lab.nodes['red1'].run('traceroute', f'-{family}', '-n', '-q', '1', '-w', '2', target)
    seen = [line.split()[1] for line in done.stdout.splitlines()[1:]]
    expect(seen == hops, f'hops {seen}, expected {hops}')


def pe_addresses(lab):
    red1 = lab.nodes['red1']
    for address in ('10.1.0.1', '10.2.0.1', '2001:db8:1::1', '2001:db8:2::1'):
        red1.ping(address)


def forget_path(node):
    """Path MTUs that the kernel has learnt."""
    node.ip('route', 'flush', 'cache')
    node.ip('-6', 'route', 'flush', 'cache')


class TunnelMtu:
    """Both PEs' tunnels with this MTU while the block runs."""

    def __init__(self, lab, mtu):
        self.lab, self.mtu = lab, mtu

    def __enter__(self):
        self.before = [re.search(r'mtu (\d+)', pe.ip('link', 'show', 'dev', 'gre1').stdout).group(1)
                       for pe in (self.lab.pe1, self.lab.pe2)]
        for pe in (self.lab.pe1, self.lab.pe2):
            pe.ip('link', 'set', 'gre1', 'mtu', self.mtu)

    def __exit__(self, *_):
        for pe, mtu in zip((self.lab.pe1, self.lab.pe2), self.before):
            pe.ip('link', 'set', 'gre1', 'mtu', mtu)
        forget_path(self.lab.nodes['red1'])


def full_size(lab):
    """The core has room for labels and GRE: customers have all of their 1500 bytes."""
    lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1472')
    lab.nodes['red1'].ping('2001:db8:2::2', '-M', 'do', '-s', '1452')


def too_big_ipv4(lab):
    with TunnelMtu(lab, 1400):
        done = lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1472', check=False)
        expect(re.search(r'From 10\.1\.0\.1.*mtu = 1396', done.stdout), done.stdout)
        done = lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', str(1396 - 28), count=2)
        expect(' 0% packet loss' in done.stdout, done.stdout)


def too_big_ipv6(lab):
    with TunnelMtu(lab, 1400):
        red1 = lab.nodes['red1']
        done = red1.ping('2001:db8:2::2', '-M', 'do', '-s', '1452', check=False)
        expect(re.search(r'From 2001:db8:1::1.*(mtu = |mtu=)1396', done.stdout), done.stdout)
        done = red1.ping('2001:db8:2::2', '-M', 'do', '-s', str(1396 - 48), count=2)
        expect(' 0% packet loss' in done.stdout, done.stdout)


def fragmented(lab):
    """DF clear: cut before the tunnel, whole again at the customer."""
    with TunnelMtu(lab, 1400):
        before = lab.nodes['red2'].snmp()['IpReasmOKs']
        lab.nodes['red1'].ping('10.2.0.2', '-M', 'dont', '-s', '1472')
        lab.nodes['red1'].ping('10.2.0.2', '-M', 'dont', '-s', '4000')
        after = lab.nodes['red2'].snmp()['IpReasmOKs']
        expect(after - before >= 6, f'red2 reassembled {after - before} of 6')


def outer_fragments(lab):
    """Without DF outside, the core may cut: the far PE makes it whole."""
    p = lab.nodes['p']
    tunnels = ((lab.pe1, '10.255.0.1', '192.0.2.1'), (lab.pe2, '10.255.0.2', '192.0.2.5'))

    def core_mtu(words, df):
        for pe, address, via in tunnels:
            p.ip('route', 'replace', f'{address}/32', 'via', via, *words)
            pe.ip('link', 'change', 'gre1', 'type', 'gre', 'local', address, 'ttl', '255', df)

    before = p.snmp()['IpFragCreates']
    core_mtu(('mtu', 'lock', '1300'), 'nopmtudisc')
    try:
        lab.nodes['red1'].ping('10.2.0.2', '-M', 'do', '-s', '1472')
        lab.nodes['blue1'].ping('2001:db8:2::2', '-M', 'do', '-s', '1452')
        cut = p.snmp()['IpFragCreates'] - before
        expect(cut >= 24, f'the core made {cut} fragments of 12 packets')
    finally:
        core_mtu((), 'pmtudisc')


def tcp(lab, colour, address):
    lab.nodes[f'{colour}2'].start('iperf3', '-s', '-1')
    wait_for(lambda: ':5201' in lab.nodes[f'{colour}2'].run('ss', '-ltn').stdout, 5, 'iperf3')
    done = lab.nodes[f'{colour}1'].run('iperf3', '-c', address, '-t', '2', '-f', 'm')
    rate = float(re.search(r'([\d.]+) Mbits/sec\s+receiver', done.stdout).group(1))
    expect(rate > 20, f'{rate} Mbit/s')
    return f'{rate:.0f} Mbit/s'


def neighbour_flush(lab, family, target):
    """A neighbour that the kernel forgot is asked for again, and no packet is lost meanwhile."""
    pe2 = lab.nodes['pe2']
    for _ in range(3):
        pe2.ip('neigh', 'flush', 'all')
        lab.nodes['red1'].ping(target, count=1)


def kernel_tcp(lab):
    """The PE's own TCP, on the port that Pewter has: what SSH and BGP are."""
    server = ('import socket; s = socket.create_server(("192.0.2.1", 2222))\n'
              'c, _ = s.accept(); d = b""\n'
              'while len(d) < 200000: d += c.recv(65536)\n'
              'c.sendall(d[::-1]); c.close()')
    client = ('import socket; s = socket.create_connection(("192.0.2.1", 2222), 10)\n'
              's.settimeout(10); data = bytes(range(250)) * 800; s.sendall(data); d = b""\n'
              'while len(d) < len(data):\n r = s.recv(65536)\n assert r, len(d)\n d += r\n'
              'assert d == data[::-1]; print("echoed")')
    lab.nodes['pe1'].start('/usr/bin/python3', '-c', server)
    wait_for(lambda: ':2222' in lab.nodes['pe1'].run('ss', '-ltn').stdout, 5, 'the server')
    done = lab.nodes['p'].run('/usr/bin/python3', '-c', client)
    expect('echoed' in done.stdout, done.stdout)


def kernel_ping(lab):
    """The PE's core address answers, whoever does it."""
    lab.nodes['p'].ping('192.0.2.1')


def idle(lab):
    """Daemons with nothing to do sleep: together under 10 % of a core. On a busy machine too,
    since they wait for events and hardly wake up."""
    daemons = (lab.pe1, lab.pe2)
    time.sleep(1)
    before = [daemon.cpu_seconds() for daemon in daemons]
    time.sleep(2.5)
    used = [(daemon.cpu_seconds() - b) * 40 for daemon, b in zip(daemons, before)]
    expect(sum(used) < 10, f'{used} percent of a core')
    return ' and '.join(f'{one:.1f} %' for one in used)


def first_packet(lab):
    """A sleeping worker adds at most 1 ms: one to what the PE answers itself, four to the way to
    the other site and back."""
    said = []
    for address, most in (('10.1.0.1', 1), ('10.2.0.2', 4)):
        done = lab.nodes['red1'].run('ping', '-n', '-c', '15', '-i', '0.2', address)
        times = sorted(float(t) for t in re.findall(r'time=([\d.]+)', done.stdout))
        expect(len(times) == 15, done.stdout)
        median = times[len(times) // 2]
        expect(median < most, f'median round trip to {address} {median} ms: {times}')
        said.append(f'{address} {median} ms, worst {times[-1]}')
    return '; '.join(said)


def vanished(lab):
    """A customer's interface is deleted under the daemon: the others work on."""
    lab.nodes['pe2'].ip('link', 'del', 'ce-red')
    lab.nodes['blue1'].ping('10.2.0.2')
    expect(lab.pe2.alive(), f'pewterd ended\n{lab.pe2.tail()}')
    lab.pe2.ip('link', 'show')
    lab.nodes['blue1'].ping('10.2.0.2')


def killed(lab):
    """After SIGKILL a new daemon takes over what the old one left."""
    lab.pe1.kill()
    lab.pe1.start()
    lab.nodes['blue1'].ping('10.2.0.2', count=5)


def terminated(lab):
    for daemon in (lab.pe1, lab.pe2):
        status = daemon.stop()
        expect(status == 0, f'status {status}\n{daemon.tail()}')
        expect(not os.path.exists(daemon.socket), 'its socket is still there')
        links = daemon.node.ip('-d', 'link').stdout
        expect('xdp' not in links, f'an XDP program is left\n{links}')
        filters = daemon.node.run('tc', 'filter', 'show', 'dev', 'core', 'ingress', check=False)
        expect('bpf' not in filters.stdout, f'a tc program is left\n{filters.stdout}')


TESTS = [
    ('pings of both customers, IPv4 and IPv6, both ways', pings),
    ('no packet reaches the other customer', isolation),
    ('a blue address is unreachable for red', blue_only),
    ('traceroute IPv4', traceroute, 4, '10.2.0.2', ['10.1.0.1', '10.2.0.1', '10.2.0.2']),
    ('traceroute IPv6', traceroute, 6, '2001:db8:2::2',
     ['2001:db8:1::1', '2001:db8:2::1', '2001:db8:2::2']),
    ('the PEs\' own addresses in the VRF answer', pe_addresses),
    ('packets of 1500 bytes pass', full_size),
    ('too big with DF: frag needed with the MTU', too_big_ipv4),
    ('too big for IPv6: packet too big with the MTU', too_big_ipv6),
    ('too big without DF: fragmented', fragmented),
    ('fragments of the core are reassembled', outer_fragments),
    ('TCP over IPv4', tcp, 'red', '10.2.0.2'),
    ('TCP over IPv6', tcp, 'blue', '2001:db8:2::2'),
    ('no loss when an IPv4 neighbour is forgotten', neighbour_flush, 4, '10.2.0.2'),
    ('no loss when an IPv6 neighbour is forgotten', neighbour_flush, 6, '2001:db8:2::2'),
    ('the kernel\'s own TCP works on the port', kernel_tcp),
    ('the PE answers pings from the core', kernel_ping),
    ('idle daemons sleep', idle),
    ('a first packet waits for nobody', first_packet),
    ('a port that vanishes takes nothing with it', vanished),
    ('a new daemon after SIGKILL', killed),
    ('SIGTERM: exit 0, nothing left behind', terminated),
]


def main():
    results = Results()
    drivers = sys.argv[1:] or ['af_xdp', 'af_packet']
    for driver in drivers:
        with Lab() as lab:
            try:
                l3vpn(lab, driver)
            except Exception as error:
                print(f'FAIL {driver}: the lab did not come up: {error}', flush=True)
                results.failed += 1
                continue
            for name, function, *arguments in TESTS:
                results.check(f'{driver}: {name}', function, lab, *arguments)
            if results.failed:
                for daemon in lab.daemons:
                    print(f'--- {daemon.node.name}\n{daemon.tail()}')
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
