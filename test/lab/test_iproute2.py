# SPDX-License-Identifier: BSD-3-Clause
"""What an operator types and sees: Debian's unmodified `ip` and pyroute2 against a daemon with
ports that go nowhere. Each row is a command and what its output must say."""
import json
import os
import re
import signal
import subprocess
import sys
import time

from lab import BUILD, TOP, Lab, Results, example, expect, run, wait_for

# (command, pattern that its output must match); '' means no output at all. In order.
GOOD = [
    ('link show', r'1: lo: .*LOOPBACK'),
    ('link show core', r'core: .*mtu 1500'),
    ('link set core up', ''),
    ('link show core', r'core: <[^>]*\bUP\b'),
    ('link set core mtu 1400', ''),
    ('link show core', r'mtu 1400'),
    ('link set core mtu 1500', ''),
    ('link set core alias to-p1', ''),
    ('link show core', r'alias to-p1'),
    ('link set other down', ''),
    ('link set other name spare', ''),
    ('link show spare', r'spare: '),
    ('link set spare name other', ''),
    ('link add red type vrf table 10', ''),
    ('link add blue type vrf table 20', ''),
    ('link set red up', ''),
    ('link set blue up', ''),
    ('-d link show red', r'vrf table 10'),
    ('link show type vrf', r'red: (.|\n)*blue: '),
    ('link set ce master red up', ''),
    ('link show master red', r'ce: .*master red'),
    ('link add link ce name ce.7 type vlan id 7', ''),
    ('link set ce.7 master blue up', ''),
    ('-d link show ce.7', r'ce\.7@ce: (.|\n)*vlan protocol 802.1Q id 7'),
    ('link add gre1 type gre local 10.255.0.1 ttl 255', ''),
    ('link set gre1 up', ''),
    ('-d link show gre1', r'gre remote any local 10\.255\.0\.1 (.|\n)*ttl 255'),
    ('link add gre2 type gre local 10.255.0.1 remote 10.255.0.9 ttl 64 key 7 nopmtudisc', ''),
    ('-d link show gre2', r'gre remote 10\.255\.0\.9 local 10\.255\.0\.1 ttl 64 .*nopmtudisc'),
    ('-d link show gre2', r'ikey 0\.0\.0\.7 okey 0\.0\.0\.7'),
    ('link change gre2 type gre local 10.255.0.1 remote 10.255.0.9 ttl 32 key 8', ''),
    ('-d link show gre2', r'ttl 32 (.|\n)*0\.0\.0\.8'),
    ('link set gre2 up', ''),
    ('address add 192.0.2.1/30 dev core', ''),
    ('address add 10.255.0.1/32 dev lo', ''),
    ('address add 10.1.0.1/24 dev ce', ''),
    ('address add 2001:db8:1::1/64 dev ce', ''),
    ('address show dev ce', r'inet 10\.1\.0\.1/24(.|\n)*inet6 2001:db8:1::1/64 scope global'),
    ('-4 -br address', r'core .*192\.0\.2\.1/30'),
    ('route show', r'192\.0\.2\.0/30 dev core proto kernel scope link src 192\.0\.2\.1'),
    ('route show table 10', r'10\.1\.0\.0/24 dev ce proto kernel scope link src 10\.1\.0\.1'),
    ('route show vrf red', r'10\.1\.0\.0/24 dev ce'),
    ('-6 route show table 10', r'2001:db8:1::/64 dev ce'),
    ('route add 10.255.0.2/32 via 192.0.2.2', ''),
    ('route add 10.255.0.3/32 via 192.0.2.2 dev core proto bgp metric 20', ''),
    ('route show 10.255.0.3', r'10\.255\.0\.3 via 192\.0\.2\.2 dev core proto bgp metric 20'),
    ('route add 10.2.0.0/24 table 10 encap mpls 202 via 10.255.0.2 dev gre1', ''),
    ('route show table 10', r'10\.2\.0\.0/24 +encap mpls +202 via 10\.255\.0\.2 dev gre1'),
    ('route add 10.3.0.0/24 table 10 encap mpls 300/301 via 10.255.0.2 dev gre1', ''),
    ('route show table 10', r'encap mpls +300/301 '),
    ('route add 2001:db8:3::/64 table 10 encap mpls 203 via ::ffff:10.255.0.2 dev gre1', ''),
    ('-6 route show table 10', r'2001:db8:3::/64 +encap mpls +203 via '),
    ('route replace 10.2.0.0/24 table 10 encap mpls 204 via 10.255.0.3 dev gre1', ''),
    ('route show table 10 10.2.0.0/24', r'^10\.2\.0\.0/24 +encap mpls +204 via 10\.255\.0\.3 dev gre1 *$'),
    ('route change 10.2.0.0/24 table 10 encap mpls 205 via 10.255.0.2 dev gre1', ''),
    ('route show table 10 10.2.0.0/24', r'encap mpls +205 '),
    ('route add blackhole 10.66.0.0/16 table 10', ''),
    ('route add unreachable 10.67.0.0/16 table 10', ''),
    ('route add prohibit 10.68.0.0/16 table 10', ''),
    ('route show table 10', r'blackhole 10\.66\.0\.0/16(.|\n)*unreachable 10\.67\.0\.0/16(.|\n)*prohibit 10\.68\.0\.0/16'),
    ('route add 10.4.0.0/24 table 10 nexthop encap mpls 401 via 10.255.0.2 dev gre1 weight 2 '
     'nexthop encap mpls 402 via 10.255.0.3 dev gre1 weight 1', ''),
    ('route show table 10 10.4.0.0/24',
     r'nexthop +encap mpls +401 +via 10\.255\.0\.2 +dev gre1 weight 2(.|\n)*nexthop +encap mpls +402 '),
    ('route get 10.255.0.2', r'10\.255\.0\.2 via 192\.0\.2\.2 dev core'),
    ('route get vrf red 10.1.0.77', r'10\.1\.0\.77 .*dev ce'),
    ('-f mpls route add 101 dev red', ''),
    ('-f mpls route add 102 dev blue', ''),
    ('-f mpls route add 103 as 203 via inet 192.0.2.2 dev core', ''),
    ('-f mpls route add 104 via inet 192.0.2.2 dev core', ''),
    ('-f mpls route show', r'101 dev red(.|\n)*103 as to 203 via inet 192\.0\.2\.2 dev core'),
    ('-f mpls route del 104', ''),
    ('nexthop add id 5 via 192.0.2.2 dev core', ''),
    ('nexthop add id 6 encap mpls 606 via 10.255.0.2 dev gre1', ''),
    ('nexthop add id 7 encap mpls 607 via 10.255.0.3 dev gre1', ''),
    ('nexthop add id 8 group 6/7,3', ''),
    ('nexthop show', r'id 5 via 192\.0\.2\.2 dev core(.|\n)*id 8 group 6/7,3'),
    ('route add 10.5.0.0/24 table 10 nhid 8', ''),
    ('route show table 10 10.5.0.0/24', r'nhid 8'),
    ('nexthop replace id 7 encap mpls 617 via 10.255.0.3 dev gre1', ''),
    ('nexthop show id 7', r'encap mpls +617 '),
    ('neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev core nud permanent', ''),
    ('neigh show dev core', r'192\.0\.2\.2 lladdr 02:00:00:00:00:02 PERMANENT'),
    ('neigh add 172.16.0.2 lladdr 10.255.0.2 dev gre1 nud permanent', ''),
    ('neigh show dev gre1', r'172\.16\.0\.2 lladdr 10\.255\.0\.2 PERMANENT'),
    ('route add 10.7.0.0/24 table 10 encap mpls 700 via 172.16.0.2 dev gre1 onlink', ''),
    ('route append 10.255.0.3/32 via 192.0.2.2 dev core metric 30', ''),
    ('route show 10.255.0.3', r'metric 20(.|\n)*metric 30'),
    ('route del 10.255.0.3/32 metric 30', ''),
    ('route del 10.5.0.0/24 table 10', ''),
    ('nexthop del id 8', ''),
    ('nexthop flush', None),
    ('nexthop show', ''),
    ('route flush table 10 proto static', None),
    ('neigh flush dev core', None),
    ('link del ce.7', ''),
    ('link del gre2', ''),
    ('address del 2001:db8:1::1/64 dev ce', ''),
    ('address flush dev ce', None),
    ('address show dev ce', r'^((?!inet).|\n)*$'),
]

# (command, pattern of the refusal). Each must also leave everything as it was.
REFUSED = [
    ('link add red type vrf table 30', r'File exists|exists'),
    ('link add x type vrf table 10', r'table 10 is VRF red'),
    ('link add x type vrf table 254', r'default VRF'),
    ('link add x type vlan id 5', r'needs the port'),
    ('link add link core name x type vlan id 4095', r'4094|invalid|out of'),
    ('link add link red name x type vlan id 5', r'no port|ports'),
    ('link add x type bridge', r'bridge.*(not supported|\bare\b)|vrf, gre'),
    ('link add x type gre ttl 64', r'needs a local address'),
    ('link add x type gre local 10.255.0.1 ttl 255', r'same local, remote and key'),
    ('link add x type gre local 224.0.0.1', r'unicast'),
    ('link add x type gre local 10.255.0.1 ikey 1 okey 2', r'one key'),
    ('link add x type gre local 10.255.0.1 encap fou', r'fou'),
    ('link add x type gre external', r'external|needs a local'),
    ('link add x type gre local 10.255.0.1 remote 10.255.0.1', r'same address'),
    ('link set core master ce', r'no VRF'),
    ('link set red master blue', r'VRF cannot be in another'),
    ('link set lo master red', r'lo cannot'),
    ('link set core mtu 60', r'less than the device minimum'),
    ('link set core mtu 65000', r'greater than the device maximum'),
    ('link set core promisc on', r'promisc'),
    ('link set core address 02:00:00:00:00:01', r'MAC address'),
    ('link del core', r'is a port'),
    ('link del lo', r'lo cannot be deleted'),
    ('link del nothere', r'[Cc]annot find device|no such|No such'),
    ('address add 192.0.2.1/30 dev core', r'File exists|exists|already'),
    ('address add 224.0.0.1/32 dev core', r'unicast|multicast|[Ii]nvalid'),
    ('address del 192.0.2.77/30 dev core', r'[Cc]annot assign|not|no '),
    ('route add 10.9.0.0/24 via 203.0.113.9', r'[Nn]exthop|gateway|unreachable|reach'),
    ('route add 10.255.0.2/32 via 192.0.2.2', r'File exists|exists'),
    ('route replace 10.9.0.0/24 via 192.0.2.2 dev ce', r'gateway|reach|connected'),
    ('route change 10.99.0.0/24 via 192.0.2.2', r'No such|no such|no route'),
    ('route del 10.99.0.0/24', r'No such process|no such|no route'),
    ('route add 10.9.0.0/24 encap mpls 202 via 10.255.0.2', r'.'),
    ('route add 10.9.0.0/24 table 10 encap mpls 3 via 10.255.0.2 dev gre1', r'3|[Ii]mplicit'),
    ('route add 10.9.0.0/24 table 10 encap mpls 1/2/3/4/5 via 10.255.0.2 dev gre1', r'.'),
    ('route add 10.9.0.0/24 encap seg6 mode encap segs 2001:db8::1 dev core', r'.'),
    ('route add 2001:db8:9::/64 table 10 encap mpls 202 via inet 10.255.0.2 dev gre1', r'RTA_VIA'),
    ('route add 10.9.0.0/24 via 192.0.2.2 dev core tos 4', r'[Tt][Oo][Ss]|not supported'),
    ('route add 10.9.0.0/24 nhid 999', r'[Nn]exthop|next hop|999'),
    ('-f mpls route add 3 dev red', r'.'),
    ('-f mpls route add 1048576 dev red', r'.'),
    ('-f mpls route add 101 dev red', r'File exists|exists'),
    ('-f mpls route add 105 as 3 via inet 192.0.2.2 dev core', r'.'),
    ('-f mpls route del 999', r'No such|no route|no such'),
    ('nexthop add id 9 group 998/999', r'998|[Nn]exthop|next hop'),
    ('nexthop del id 999', r'No such|no such|no next'),
    ('neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev lo', r'.'),
    ('neigh add 172.16.0.9 lladdr 02:00:00:00:00:02 dev gre1', r'.'),
    ('neigh del 192.0.2.99 dev core', r'No such|no such|not'),
    ('rule add from 10.0.0.0/8 table 10', r'not supported'),
]

PEWTER_RUN = os.path.join(BUILD, 'control', 'cli', 'pewter-run')
SHOWN = ('-d link', 'address', '-4 route show table all', '-6 route show table all',
         '-f mpls route', 'nexthop', 'neigh')


class Operator:
    def __init__(self, lab):
        self.lab = lab
        node = lab.node('pe')
        ports = ['core=null:', 'ce=null:', 'other=null:']
        self.daemon = lab.daemon(node, ports)

    def ip(self, command, **options):
        return self.daemon.ip(*command.split(), **options)

    def good(self, command, pattern):
        done = self.ip(command)
        if pattern == '':
            expect(done.stdout.strip() == '', f'said: {done.stdout}')
        elif pattern is not None:
            expect(re.search(pattern, done.stdout, re.M), f'wanted /{pattern}/, got:\n{done.stdout}')

    def picture(self):
        text = [self.ip(command).stdout for command in SHOWN]
        return re.sub(r'(valid_lft|preferred_lft) \S+|used \S+', '', '\n'.join(text))

    def refused(self, command, pattern):
        before = self.picture()
        done = self.ip(command, check=False)
        expect(done.returncode != 0, f'was not refused; said: {done.stdout}')
        expect(re.search(pattern, done.stdout), f'wanted /{pattern}/, got: {done.stdout}')
        after = self.picture()
        expect(before == after, f'something changed:\n{before}\n---\n{after}')

    def json(self):
        links = json.loads(self.ip('-j -d link').stdout)
        names = {link['ifname'] for link in links}
        expect({'lo', 'core', 'ce', 'red', 'gre1'} <= names, names)
        gre1 = next(link for link in links if link['ifname'] == 'gre1')
        expect(gre1['linkinfo']['info_kind'] == 'gre', gre1)
        self.ip('route add 10.30.0.0/24 table 10 encap mpls 330 via 10.255.0.2 dev gre1')
        route = json.loads(self.ip('-j route show table 10 10.30.0.0/24').stdout)[0]
        expect(route['dev'] == 'gre1' and route['gateway'] == '10.255.0.2', route)
        expect(route['encap'] == 'mpls' and str(route['dst']) in ('330', '10.30.0.0/24'), route)
        self.ip('route del 10.30.0.0/24 table 10')

    def batch(self):
        """A bad line is named and, with -force, the rest is done."""
        path = os.path.join(self.lab.folder, 'some.batch')
        with open(path, 'w') as file:
            file.write('route add 10.40.0.0/24 table 10 encap mpls 340 via 10.255.0.2 dev gre1\n'
                       'route add 10.41.0.0/24 via 203.0.113.1\n'
                       'route add 10.42.0.0/24 table 10 encap mpls 342 via 10.255.0.2 dev gre1\n')
        done = self.ip(f'-batch {path}', check=False)
        expect(done.returncode == 1 and f'{path}:2' in done.stdout, done.stdout)
        expect('10.42.0.0' not in self.ip('route show table 10').stdout, 'went on')
        self.ip('route flush table 10 proto static', check=False)
        self.ip('route flush table 10 proto boot', check=False)
        done = self.ip(f'-force -batch {path}', check=False)
        text = self.ip('route show table 10').stdout
        expect('10.40.0.0' in text and '10.42.0.0' in text, text)
        self.ip('route del 10.40.0.0/24 table 10')
        self.ip('route del 10.42.0.0/24 table 10')

    def big_batch(self):
        """50,000 routes in and out again, all shown."""
        path = os.path.join(self.lab.folder, 'big.batch')
        count = 50000
        for word in ('add', 'del'):
            with open(path, 'w') as file:
                for n in range(count):
                    file.write(f'route {word} 100.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32 '
                               f'table 10 encap mpls {1000 + n} via 10.255.0.2 dev gre1\n')
            self.ip(f'-batch {path}', timeout=120)
            shown = self.ip('route show table 10 root 100.64.0.0/10').stdout.count('encap mpls')
            expect(shown == (count if word == 'add' else 0), f'{shown} routes after {word}')

    def monitor(self):
        path = os.path.join(self.lab.folder, 'monitor')
        with open(path, 'w') as file:
            child = self.lab.nodes['pe'].start(
                PEWTER_RUN, '-s', self.daemon.socket, 'ip', 'monitor',
                'link', 'address', 'route', 'neigh', stdout=file, stderr=file)
        time.sleep(0.5)
        self.ip('link add green type vrf table 30')
        self.ip('address add 198.51.100.1/24 dev other')
        self.ip('route add 10.50.0.0/24 table 10 encap mpls 350 via 10.255.0.2 dev gre1')
        self.ip('route del 10.50.0.0/24 table 10')
        self.ip('address del 198.51.100.1/24 dev other')
        self.ip('link del green')

        def text():
            with open(path) as file:
                return file.read()

        for word in (r'green', r'198\.51\.100\.1/24', r'^10\.50\.0\.0/24 .*350',
                     r'Deleted 10\.50\.0\.0/24', r'Deleted .*198\.51\.100\.1/24', r'Deleted .*green'):
            wait_for(lambda: re.search(word, text(), re.M), 3, f'ip monitor saying /{word}/:\n{text()}')
        child.send_signal(signal.SIGTERM)
        child.wait(5)

    def pyroute2(self):
        program = '''
from pyroute2 import IPRoute, NetlinkError
with IPRoute() as ip:
    gre = ip.link_lookup(ifname='gre1')[0]
    encap = {'type': 'mpls', 'labels': [{'label': 777, 'bos': 1, 'ttl': 0}]}
    ip.route('add', dst='10.70.0.0/24', table=10, gateway='10.255.0.2', oif=gre, encap=encap)
    routes = [r for r in ip.get_routes(table=10) if r.get_attr('RTA_DST') == '10.70.0.0']
    assert len(routes) == 1, routes
    assert routes[0].get_attr('RTA_ENCAP') is not None, routes
    try:
        ip.route('add', dst='10.70.0.0/24', table=10, gateway='10.255.0.2', oif=gre, encap=encap)
    except NetlinkError as error:
        assert error.code == 17, error
    else:
        raise AssertionError('the same route twice')
    ip.route('del', dst='10.70.0.0/24', table=10)
    ip.link('add', ifname='vpy', kind='vrf', vrf_table=77)
    index = ip.link_lookup(ifname='vpy')[0]
    ip.addr('add', index=index, address='10.77.0.1', prefixlen=32)
    assert any(a.get_attr('IFA_ADDRESS') == '10.77.0.1' for a in ip.get_addr(index=index))
    ip.link('del', index=index)
    assert not ip.link_lookup(ifname='vpy')
print('done')
'''
        done = run(PEWTER_RUN, '-s', self.daemon.socket,
                   '/usr/bin/python3', '-c', program)
        expect('done' in done.stdout, done.stdout)

    def c_client(self):
        binary = os.path.join(self.lab.folder, 'client')
        run('gcc', '-Wall', '-Wextra', '-Werror', '-o', binary,
            os.path.join(TOP, 'docs', 'examples', 'client.c'), '-lmnl')
        run(binary, self.daemon.socket, '10', '10.80.0.0/24', '380', '10.255.0.2', 'gre1')
        text = self.ip('route show table 10').stdout
        expect(re.search(r'10\.80\.0\.0/24 +encap mpls +380 via 10\.255\.0\.2 dev gre1', text), text)
        done = run(binary, self.daemon.socket, '10', '10.81.0.0/24', '3', '10.255.0.2', 'gre1',
                   check=False)
        expect(done.returncode == 1 and 'refused: ' in done.stdout, done.stdout)
        self.ip('route del 10.80.0.0/24 table 10')

    def absent(self):
        done = run(PEWTER_RUN, '-s', '/nonexistent/socket', 'ip', 'link',
                   check=False, timeout=10)
        expect(done.returncode != 0 and '/nonexistent/socket' in done.stdout, done.stdout)

    def documented(self):
        """The start-up files of docs/examples are accepted by a daemon, and so by `ip`."""
        for number in (1, 2):
            node = self.lab.node(f'doc{number}')
            ports = ['core=null:', 'ce-red=null:', 'ce-blue=null:']
            daemon = self.lab.daemon(node, ports, batch=example(number))
            text = daemon.ip('-f', 'mpls', 'route').stdout
            expect('dev red' in text and 'dev blue' in text, text)
            expect(daemon.stop() == 0, daemon.tail())


def main():
    results = Results()
    with Lab() as lab:
        try:
            operator = Operator(lab)
        except Exception as error:
            print(f'FAIL the daemon did not come up: {error}')
            return 1
        first_flush = next(n for n, row in enumerate(GOOD) if 'flush' in row[0])
        for command, pattern in GOOD[:first_flush - 4]:
            results.check(f'ip {command}', operator.good, command, pattern)
        for command, pattern in REFUSED:
            results.check(f'refused: ip {command}', operator.refused, command, pattern)
        for name in ('json', 'batch', 'big_batch', 'monitor', 'pyroute2', 'c_client', 'absent',
                     'documented'):
            results.check(name.replace('_', ' '), getattr(operator, name))
        for command, pattern in GOOD[first_flush - 4:]:
            results.check(f'ip {command}', operator.good, command, pattern)
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
