# SPDX-License-Identifier: BSD-3-Clause
"""Network-based IPsec: off-net sites of two customers with the same addresses, one of them behind a
NAT, road warriors, on-net sites and a VLAN, behind two PEs; public addresses of one customer each;
strongSwan everywhere. The lab is that of offnet.py. Arguments: a driver, or words of the names of tests to run."""
import re
import sys
import time

import ike
from ike import View, need_plugin, xfrm_states
from ike_stream import Stream
from lab import expect, wait_for
from offnet import DOORS, PUBLIC, Offnet, need_nft, text_of

SITE = {'red1': '10.10.0.2', 'blue1': '10.10.0.2', 'red3': '10.20.0.2', 'red2': '10.2.0.2', 'blue2': '10.2.0.2',
        'red4': '10.30.0.2', 'red5': '10.50.0.2', 'blue5': '10.50.0.2'}
SITE6 = {name: f'2001:db8:{address.split(".")[1]}::2' for name, address in SITE.items()}
OFFNET = {'ce1': 'red1', 'ce2': 'blue1', 'ce3': 'red3'}


def nothing_without_keys(o):
    """Interfaces and routes are there, SAs are not: nothing leaves a CE or the PE, in clear or otherwise."""
    with View(o.nodes['inet'], 'pe1') as net:
        for source, target in (('red2', 'red1'), ('red4', 'red3'), ('blue2', 'blue1')):
            o.nodes[source].ping(SITE[target], check=False)
    expect(net.count('ip and not udp') == 0, 'something left PE1')
    expect(not o.routes(), f'reverse routes without SAs: {o.routes()}')
    expect(o.pewter['pe1'].drop('route-none') > 0, 'not counted as route-none')


def up(o):
    """The first packet of a site asks for keys; the PE installs the routes to it."""
    for ce, host in OFFNET.items():
        begin = time.monotonic()
        wait_for(lambda: o.nodes[host].ping(SITE['red2'], count=1, check=False).returncode == 0, 30,
                 f'a first answer to {host}')
        expect(o.charon[ce].said('creating acquire job'), o.charon[ce].tail())
        last = time.monotonic() - begin
    expect(set(o.routes(10)) == {'10.10.0.0/24', '10.20.0.0/24'}, f'{o.routes(10)}')
    expect(set(o.routes(20)) == {'10.10.0.0/24'}, f'{o.routes(20)}')
    expect(set(o.routes(10, '-6')) == {'2001:db8:10::/64', '2001:db8:20::/64'}, f'{o.routes(10, "-6")}')
    expect(any('encap type espinudp' in state['text'] for state in xfrm_states(o.pewter['ce3'])),
           'no NAT was found')
    return f'the last within {last:.1f} s; red\'s routes {" ".join(o.routes(10))}, blue\'s {" ".join(o.routes(20))}'


TALK = [
    # off-net to off-net by PE1, to on-net across the label core, to the VLAN, and back
    ('red1', 'red3'), ('red3', 'red1'), ('red1', 'red2'), ('red2', 'red1'), ('red2', 'red3'), ('red3', 'red2'),
    ('red1', 'red4'), ('red4', 'red3'), ('red4', 'red2'), ('blue1', 'blue2'), ('blue2', 'blue1'),
]


def all_pairs(o):
    """Who should talk does, in both families; all of it is in ESP, on the Internet and on the core."""
    with View(o.nodes['inet'], 'pe1') as net, View(o.nodes['p'], 'pe1') as core:
        for source, target in TALK:
            o.nodes[source].ping(SITE[target])
            o.nodes[source].ping(SITE6[target])
    return f'{len(TALK)} pairs, {net.sealed()} packets of ESP on the Internet, {core.sealed()} on the core, 0 others'


def right_one(o):
    """Of two sites with the same address the one of the sender's customer hears it, the other does not."""
    for source, target, other in (('red2', 'red1', 'blue1'), ('blue2', 'blue1', 'red1'), ('red1', 'red2', 'blue2'),
                                  ('blue1', 'blue2', 'red2'), ('red3', 'red1', 'blue1')):
        before = o.echoes(target), o.echoes(other)
        o.nodes[source].ping(SITE[target])
        o.nodes[source].ping(SITE6[target])
        wait_for(lambda: o.echoes(target) >= before[0] + 6, 5, f'{target} to hear {source}')
        expect(o.echoes(other) == before[1], f'{other} heard {source}')


def not_there(o):
    """Blue has no route to what only red has: dropped at PE1, counted, answered."""
    before = {name: o.echoes(name) for name in ('red3', 'red4')}
    drops = o.pewter['pe1'].drop('route-none')
    for name in before:
        done = o.nodes['blue1'].ping(SITE[name], check=False)
        expect('100% packet loss' in done.stdout, done.stdout)
        done = o.nodes['blue1'].ping(SITE6[name], check=False)
        expect('100% packet loss' in done.stdout, done.stdout)
        expect(o.echoes(name) == before[name], f'blue1 reached {name}')
    dropped = o.pewter['pe1'].drop('route-none') - drops
    expect(dropped == 12, f'{dropped} of 12 counted as route-none')


def dishonest(o):
    """CE1's operator lets it send from everywhere: PE1 takes from a site what is the site's, and counts the rest."""
    ce, pe = o.pewter['ce1'], o.pewter['pe1']
    reqid = re.search(r'reqid (\d+)', next(state['text'] for state in xfrm_states(ce) if state['dst'] == PUBLIC))[1]
    ce.ip('xfrm', 'policy', 'add', 'src', '10.66.0.0/24', 'dst', '10.0.0.0/8', 'dir', 'out', 'priority', '1',
          'if_id', '0x1', 'tmpl', 'src', '203.0.113.1', 'dst', PUBLIC, 'proto', 'esp', 'reqid', reqid, 'mode', 'tunnel')
    red1 = o.nodes['red1']
    red1.ip('address', 'add', '10.66.0.2/32', 'dev', 'lo')
    try:
        before = {name: o.echoes(name) for name in ('red2', 'red3', 'red4')}
        drops = pe.drop('policy-selector')
        for name in before:
            red1.ping(SITE[name], '-I', '10.66.0.2', check=False)
        wait_for(lambda: pe.drop('policy-selector') - drops >= 9, 5, 'policy-selector')
        for name, count in before.items():
            expect(o.echoes(name) == count, f'{name} heard 10.66.0.2')
    finally:
        red1.ip('address', 'del', '10.66.0.2/32', 'dev', 'lo')
        ce.ip('xfrm', 'policy', 'delete', 'src', '10.66.0.0/24', 'dst', '10.0.0.0/8', 'dir', 'out', 'if_id', '0x1')
    return f'{pe.drop("policy-selector") - drops} of 9 counted as policy-selector'


def from_the_internet(o):
    """Somebody on the Internet sends customers' addresses to PE1 in clear: nobody hears it."""
    inet = o.nodes['inet']
    before = {name: o.echoes(name) for name in SITE}
    inet.ip('route', 'add', '10.0.0.0/8', 'via', PUBLIC)
    try:
        for address in sorted(set(SITE.values())):
            inet.ping(address, '-I', '198.51.100.2', check=False)
    finally:
        inet.ip('route', 'del', '10.0.0.0/8')
    for name, count in before.items():
        expect(o.echoes(name) == count, f'{name} heard the Internet')


def mtu(o):
    """What fits the narrowest tunnel passes with DF; one byte more, and the customer is told what would."""
    def told(source, target, too_big):
        done = o.nodes[source].ping(SITE[target], '-M', 'do', '-s', too_big - 28, count=2, check=False)
        found = re.search(r'mtu ?= ?(\d+)', done.stdout)
        expect(found, f'{source} to {target}: nobody says what would fit\n{done.stdout}')
        o.nodes[source].ip('route', 'flush', 'cache')
        return int(found[1])

    # 1500 less IPv4 (and UDP), ESP and IV, ICV; then whole words, and 2 of ESP's trailer
    wanted = {'red1': (1500 - 20 - 16 - 16) // 4 * 4 - 2, 'red3': (1500 - 28 - 16 - 16) // 4 * 4 - 2}
    for source, target in (('red1', 'red2'), ('red2', 'red1'), ('red3', 'red2'), ('red2', 'red3'), ('red4', 'red1')):
        most = wanted[source if source in wanted else target]
        said = told(source, target, 1500)
        expect(said == most, f'{source} to {target}: {said} fit, not {most}')
        o.nodes[source].ping(SITE[target], '-M', 'do', '-s', most - 28)
        o.nodes[source].ip('route', 'flush', 'cache')
    for source, target in (('red1', 'red2'), ('red2', 'red3')):  # without DF it is cut and put together
        o.nodes[source].ping(SITE[target], '-M', 'dont', '-s', '1472')
        o.nodes[source].ping(SITE6[target], '-s', '1452', count=2, check=False)  # this one is told
        o.nodes[source].ping(SITE6[target], '-s', '1452')
    # a path that is narrower than its first link: the operator says so
    o.pewter['pe1'].ip('link', 'set', 'ipsec-red', 'mtu', '1300')
    try:
        said = told('red2', 'red1', 1400)
        expect(said == 1300, f'{said} fit, not 1300')
        o.nodes['red2'].ping(SITE['red1'], '-M', 'do', '-s', 1300 - 28)
    finally:
        o.pewter['pe1'].ip('link', 'set', 'ipsec-red', 'mtu', '1500')
        o.nodes['red2'].ip('route', 'flush', 'cache')
    return f'{wanted["red1"]}, behind the NAT {wanted["red3"]}'


def rekey(o, seconds=10):
    """A rekey every second, now on this tunnel and now on that, from either side, under 1,000 packets a second."""
    turn = [('pe1', 'red1'), ('ce3', 'vpn'), ('ce1', 'vpn'), ('pe1', 'red3')]
    o.nodes['red1'].ping(SITE['red3'])
    with Stream(o.lab, SITE['red3'], 'red1', 'red3') as stream:
        end, rekeys = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            begin = time.monotonic()
            name, child = turn[rekeys % len(turn)]
            o.charon[name].swanctl('--rekey', '--child', child)
            rekeys += 1
            time.sleep(max(0, 1 - (time.monotonic() - begin)))
    expect(rekeys >= seconds * 0.7, f'only {rekeys} rekeys in {seconds} s')
    return f'{rekeys} rekeys in {seconds} s, {stream.nothing_lost()}'


def roam(o, table, mine, others):
    """The laptop connects, gets an address, is in one VPN and in no other, and goes."""
    rw, laptop = o.charon['rw'], o.nodes['laptop']
    rw.initiate('vpn')
    address = wait_for(lambda: re.search(r'local +(10\.40\.0\.\d+)/32', rw.sas()), 5, 'an address')[1]
    way = f'{address}/32', 'table', '10', 'dev', 'lan'
    laptop.ip('address', 'add', f'{address}/32', 'dev', 'eth0')
    laptop.ip('route', 'add', '169.254.1.1', 'dev', 'eth0')
    laptop.ip('route', 'add', 'default', 'via', '169.254.1.1', 'src', address)
    o.pewter['rw'].ip('route', 'add', *way)

    def routes():
        return [table for table in (10, 20) if {address, f'{address}/32'} & set(o.routes(table))]

    try:
        expect(routes() == [table], f'routes to {address} in tables {routes()}')
        before = {name: o.echoes(name) for name in SITE}
        with View(o.nodes['inet'], 'rw') as view:
            for name in mine:
                laptop.ping(SITE[name])
                expect(o.echoes(name) == before[name] + 3, f'{name} heard {o.echoes(name) - before[name]} of 3')
                o.nodes[name].ping(address)
        for name in others:
            expect(o.echoes(name) == before[name], f'{name} heard the laptop')
            expect('100% packet loss' in o.nodes[name].ping(address, check=False).stdout, f'{name} reached the laptop')
        sealed = view.sealed()
        rw.swanctl('--terminate', '--ike', 'pe1', '--timeout', '5')
        wait_for(lambda: not routes(), 5, 'the route to go')
        expect('100% packet loss' in laptop.ping(SITE[mine[0]], check=False).stdout, 'the laptop is still in')
    finally:
        laptop.ip('address', 'flush', 'dev', 'eth0')
        o.pewter['rw'].ip('route', 'del', *way)
    return f'{address}, {sealed} packets of ESP, 0 others'


RED, BLUE = ('red1', 'red2', 'red3', 'red4'), ('blue1', 'blue2')


def road_warrior(o):
    """A certificate, an address from red's pool, red's VPN and no other."""
    said = roam(o, 10, RED, BLUE)
    expect(o.charon['pe1'].said(r"authentication of 'C=CH, O=Pewter, OU=red, CN=laptop' with ECDSA\S* successful"),
           o.charon['pe1'].tail())
    return said


def need_eap():
    need_plugin('eap-identity', 'libcharon-extra-plugins')
    need_plugin('eap-mschapv2', 'libcharon-extauth-plugins')


def road_warrior_eap(o):
    """A name and a password, and a PE with a certificate: the VPN of the name that was proved. The identity
    that a client gives IKE is anybody's: bob's says that he is anna."""
    need_eap()
    pe, rw, anna = o.charon['pe1'], o.charon['rw'], text_of('laptop.eap.conf')
    rw.load(anna)
    said = roam(o, 10, RED, BLUE)
    bob = anna.replace('anna', 'bob').replace('@red', '@blue').replace('laptop.example', 'anna@red.example')
    rw.load(bob)
    said = f'anna {said}; bob {roam(o, 20, BLUE, RED)}'
    for name in ('red', 'blue'):
        expect(pe.said(rf'IKE_SA eap-{name}\[\d+\] established'), pe.tail())
    expect(len(pe.said('EAP method EAP_MSCHAPV2 succeeded')) == 2, pe.tail())
    expect(rw.said("authentication of 'pe1.example' with ECDSA\\S* successful"), rw.tail())
    return said


def wrong_password(o):
    """Refused, and nothing is installed on either side: no SA, no policy, no route, no address taken."""
    need_eap()
    pe, rw, text = o.charon['pe1'], o.charon['rw'], text_of('laptop.eap.conf')

    def installed():
        return [(len(xfrm_states(o.pewter[name])), o.pewter[name].ip('xfrm', 'policy').stdout.count('dir '))
                for name in ('pe1', 'rw')] + [o.routes(10), o.routes(20)]

    before = installed()
    for old, new in (('secret = "anna', 'secret = "hanna'), ('anna@red.example', 'carla@red.example')):
        rw.load(text.replace(old, new))
        done = rw.initiate('vpn', check=False)
        expect('EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE' in done.stdout, done.stdout)
        # PE1's half-open IKE_SA goes with charon's half_open_timeout
        for sas in (rw.sas(), pe.sas()):
            expect(not re.search(r'(eap|pe1)\S*: #\d+, ESTABLISHED', sas), sas)
        expect(installed() == before, f'{installed()} are installed, {before} were')
    expect(pe.said("no EAP key found for hosts 'pe1.example' - 'carla@red.example'"), pe.tail())
    pools = pe.swanctl('--list-pools').stdout
    expect(not re.search(r' [1-9]\d* / \d+ / \d+', pools), f'an address is taken\n{pools}')


def doors_up(o):
    for colour in DOORS:
        wait_for(lambda: o.nodes[f'{colour}5'].ping(SITE['red2'], count=1, check=False).returncode == 0, 30,
                 f'a first answer to {colour}5')


def doors(o):
    """Two public addresses, each one customer's, in a front-door VRF of its own: from the same CE address two
    sites with the same addresses, and each is in its own VPN, by its own VLAN."""
    doors_up(o)
    for table in (10, 20):
        for family, prefix in (('-4', '10.50.0.0/24'), ('-6', '2001:db8:50::/64')):
            expect(prefix in o.routes(table, family), f'{o.routes(table, family)}')
    said = []
    for colour, other in (('red', 'blue'), ('blue', 'red')):
        mine, theirs = [f'{colour}{n}' for n in (5, 2, 1)], [f'{other}{n}' for n in (5, 2, 1)]
        before = {name: o.echoes(name) for name in SITE}
        inet = o.nodes['inet']
        with View(inet, f'{colour}-door') as own, View(inet, f'{other}-door') as others, View(inet, 'pe1') as net:
            for source, target in ((mine[0], mine[1]), (mine[1], mine[0]), (mine[0], mine[2]), (mine[2], mine[0])):
                o.nodes[source].ping(SITE[target])
                o.nodes[source].ping(SITE6[target])
        heard = [o.echoes(name) - before[name] for name in mine]
        expect(heard == [12, 6, 6], f'{mine} heard {heard}')
        for name in theirs:
            expect(o.echoes(name) == before[name], f'{name} heard {colour}')
        count, address = own.sealed(), DOORS[colour][1]
        expect(own.count(f'ip proto 50 and host {address} and host 203.0.113.17') == count, 'ESP of somebody else')
        expect(others.count('ip proto 50') == 0, f'{colour} by the door of {other}')
        expect(net.count(f'host {address}') == 0, f'{colour} by the Internet of all')
        said.append(f'{count} packets of ESP by the door of {colour}')
    before = o.echoes('red3')
    expect('100% packet loss' in o.nodes['blue5'].ping(SITE['red3'], check=False).stdout, 'blue5 reached red3')
    expect(o.echoes('red3') == before, 'red3 heard blue5')
    return ', '.join(said)


# Red's site asks at blue's address
WRONG = '''
connections {
	wrong {
		version = 2
		local_addrs = 203.0.113.17
		remote_addrs = %s
		proposals = aes256gcm16-prfsha384-ecp384
		local {
			auth = psk
			id = red5.example
		}
		remote {
			auth = psk
			id = pe1.example
		}
		children {
			wrong {
				if_id_in = 1
				if_id_out = 1
				local_ts = 10.50.0.0/24
				remote_ts = 0.0.0.0/0
			}
		}
	}
}
'''


def wrong_door(o):
    """ESP for red's address that comes in by blue's door is not red's; red's identity is nobody at blue's
    address."""
    inet, red, blue = o.nodes['inet'], DOORS['red'], DOORS['blue']
    doors_up(o)
    before = {name: o.echoes(name) for name in SITE}
    inet.ip('route', 'add', f'{red[1]}/32', 'via', blue[1], 'dev', 'blue-door')
    try:
        with View(inet, 'blue-door') as view:
            done = o.nodes['red5'].ping(SITE['red2'], check=False)
    finally:
        inet.ip('route', 'del', f'{red[1]}/32')
    expect('100% packet loss' in done.stdout, done.stdout)
    expect(view.count(f'ip proto 50 and dst host {red[1]}') >= 3, 'no ESP came to the wrong door')
    for name in ('red2', 'blue2'):
        expect(o.echoes(name) == before[name], f'{name} heard it')
    o.nodes['red5'].ping(SITE['red2'])
    charon, text = o.charon['ce5'], text_of('ce5.swanctl.conf')
    charon.load(text + WRONG % blue[1])
    done = charon.initiate('wrong', check=False)
    charon.load(text)
    expect('AUTHENTICATION_FAILED' in done.stdout, done.stdout)
    expect(o.charon['pe1'].said('no matching peer config found'), o.charon['pe1'].tail())
    o.nodes['red5'].ping(SITE['red2'])


def rekey_doors(o):
    """Both doors' tunnels are rekeyed, from either side, under 1,000 packets a second in each."""
    def spis():
        return {state['spi'] for state in xfrm_states(o.pewter['pe1']) if state['dst'] == '203.0.113.17'}

    doors_up(o)
    before = spis()
    with Stream(o.lab, SITE['red2'], 'red5', 'red2') as red, Stream(o.lab, SITE['blue2'], 'blue5', 'blue2') as blue:
        for name, child in (('pe1', 'red5'), ('ce5', 'blue'), ('ce5', 'red'), ('pe1', 'blue5')):
            o.charon[name].swanctl('--rekey', '--child', child)
            time.sleep(0.5)
    expect(before and not spis() & before, f'outward SAs {before} before, {spis()} after')
    return f'4 rekeys, red {red.nothing_lost()}, blue {blue.nothing_lost()}'


def dead_ce(o):
    """CE1 is cut off: DPD takes its SAs and its routes, and red's other sites go on. Back again, its first
    packet brings both."""
    begin = time.monotonic()
    o.nodes['inet'].ip('link', 'set', 'ce1', 'down')
    try:
        wait_for(lambda: '10.10.0.0/24' not in o.routes(10), 30, 'the route to go')
        took = time.monotonic() - begin
        wait_for(lambda: not [s for s in xfrm_states(o.pewter['pe1']) if '203.0.113.1' in (s['src'], s['dst'])], 5,
                 'the SAs to go')
        expect('10.10.0.0/24' in o.routes(20), 'blue\'s route went too')
        before = o.echoes('blue1')
        done = o.nodes['red2'].ping(SITE['red1'], check=False)
        expect('Unreachable' in done.stdout, f'red2 is not told\n{done.stdout}')
        expect(o.echoes('blue1') == before, 'blue1 heard red2')
        o.nodes['red2'].ping(SITE['red3'])
        o.nodes['blue2'].ping(SITE['blue1'])
    finally:
        o.nodes['inet'].ip('link', 'set', 'ce1', 'up')
    begin = time.monotonic()
    wait_for(lambda: o.nodes['red1'].ping(SITE['red2'], count=1, check=False).returncode == 0, 40, 'traffic again')
    o.nodes['red2'].ping(SITE['red1'])
    return f'gone after {took:.1f} s, back {time.monotonic() - begin:.1f} s after the link'


def pewterd_killed(o):
    """PE1's pewterd is killed and started anew, without keys: charon makes others for all its sites at once."""
    pe = o.pewter['pe1']
    pe.kill()
    time.sleep(1)
    pe.start()
    o.pe1_ready()
    begin = time.monotonic()
    with View(o.nodes['inet'], 'pe1') as net, View(o.nodes['p'], 'pe1') as core:
        for host in (*OFFNET.values(), 'red5', 'blue5'):
            wait_for(lambda: o.nodes[host].ping(SITE['red2'], count=1, check=False).returncode == 0, 40,
                     f'an answer to {host}')
        took = time.monotonic() - begin
        o.nodes['red2'].ping(SITE['red1'])
        o.nodes['blue2'].ping(SITE['blue1'])
    core.sealed()
    # PE1's kernel may have said that it knows no ESP
    expect(net.count('net 10.0.0.0/8 or ip6 net 2001:db8::/32') == 0, 'in clear on the Internet')
    return f'traffic {took:.1f} s after it was ready'


TESTS = [
    ('nothing without keys', nothing_without_keys),
    ('the first packet brings keys and reverse routes', up),
    ('all pairs of a customer talk, all in ESP', all_pairs),
    ('the same address in two VPNs', right_one),
    ('what is not in the VPN is not reached', not_there),
    ('a CE that sends what is not its own', dishonest),
    ('clear packets from the Internet', from_the_internet),
    ('MTU to the byte', mtu),
    ('rekeys under load', rekey),
    ('public addresses on VLANs, one a customer', doors),
    ('the wrong public address', wrong_door),
    ('rekeys at both public addresses', rekey_doors),
    ('a road warrior by certificate', road_warrior),
    ('road warriors by EAP', road_warrior_eap),
    ('a wrong password', wrong_password),
    ('pewterd killed and restarted under charon', pewterd_killed),
    ('a dead CE', dead_ce),
]


def build(lab, driver):
    need_nft()
    return Offnet(lab, driver)


if __name__ == '__main__':
    # without keys there is nothing to look at
    sys.exit(ike.main(build, TESTS, Offnet.report, always=[up]))
