#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The XFRM mirror in a kernel that does ESP: Debian's, in a guest, with Debian's charon.

All of it runs in the guest. The PE's charon speaks to its kernel as everywhere; pewterd, started
with --xfrm-mirror, has the core and the customer's port. The peer is Linux: kernel and charon.

  ce1 -- [pewterd, charon: namespace pe] -- core -- [kernel, charon: namespace peer] -- ce2

test_mirror_guest.py [--make] [--build FOLDER] [--record PCAP]: --make builds the guest's image in
build/mirror-guest (two minutes); pewterd is put into it at every run.
"""
import argparse
import base64
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'lab'))
from lab import TOP, Results, expect, run, tunnel_batch, wait_for  # noqa: E402

wait_for = functools.partial(wait_for, interval=0.3)  # each look costs the guest time

LAB = os.path.join(os.path.dirname(TOP), 'shared', 'lab', 'linux-pe')
GUEST = os.environ.get('PW_MIRROR_GUEST') or os.path.join(TOP, 'build', 'mirror-guest')
NAME = 'pwmirror'
PE, PEER = '10.255.0.1', '10.255.0.2'
PMDS = '/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0'
DRIVERS = ('bus_vdev', 'bus_pci', 'mempool_ring', 'net_af_packet', 'net_af_xdp', 'net_null',
           'net_ring', 'net_tap', 'net_memif', 'net_vhost', 'common_iavf')

NETWORK = f'''
set -e
for n in pe peer ce1 ce2; do ip netns add $n; ip -n $n link set lo up; done
ip link add core netns pe type veth peer name core netns peer
ip link add ce netns pe type veth peer name eth0 netns ce1
ip link add ce netns peer type veth peer name eth0 netns ce2
for n in pe peer; do for i in core ce; do
    ip netns exec $n ethtool -K $i tx off > /dev/null; ip -n $n link set $i mtu 1600 up; done; done
for n in 1 2; do
    ip netns exec ce$n ethtool -K eth0 tx off > /dev/null
    ip -n ce$n link set eth0 up
    ip -n ce$n addr add 10.$n.0.2/24 dev eth0
    ip -n ce$n route add default via 10.$n.0.1
done
ip netns exec pe sysctl -qw net.ipv4.ip_forward=0
ip -n pe addr add 192.0.2.1/30 dev core
ip -n pe addr add {PE}/32 dev lo
ip -n pe route add {PEER}/32 via 192.0.2.2 src {PE}
ip -n peer addr add 192.0.2.2/30 dev core
ip -n peer addr add {PEER}/32 dev lo
ip -n peer route add {PE}/32 via 192.0.2.1 src {PEER}
ip netns exec peer sysctl -qw net.mpls.platform_labels=1000 net.ipv4.ip_forward=1
ip -n peer link add cust type vrf table 10
ip -n peer link set cust up
ip -n peer link set ce master cust
ip -n peer addr add 10.2.0.1/24 dev ce
ip -n peer link add gre1 type gre local {PEER} remote {PE} ttl 64
ip -n peer link set gre1 mtu 1400 up
ip netns exec peer sysctl -qw net.mpls.conf.gre1.input=1
ip -n peer -f mpls route add 200 dev cust
ip -n peer route add 10.1.0.0/24 table 10 encap mpls 100 dev gre1
'''

LABELS = 'route add 100 dev cust\n'

SWANCTL = '''
connections {{
    other {{
        local_addrs = {here}
        remote_addrs = {there}
        version = 2
        mobike = no
        proposals = aes128-sha256-ecp256
        dpd_delay = 300
        local {{ auth = psk
            id = {here} }}
        remote {{ auth = psk
            id = {there} }}
        children {{
            gre {{
                mode = transport
                local_ts = dynamic[gre]
                remote_ts = dynamic[gre]
                esp_proposals = {suite}
                start_action = {start}
                close_action = none
                replay_window = 128
                {more}
            }}
        }}
    }}
}}
secrets {{ ike {{ secret = "a key for a test" }} }}
'''

CHARON = '''
charon {{
    load = random nonce openssl kdf hmac gcm kernel-netlink socket-default vici
    install_routes = no
    install_virtual_ip = no
    plugins {{ kernel-netlink {{ xfrm_acq_expires = 5 }} }}
    filelog {{ log {{ path = /tmp/{node}.charon
        default = 1
        flush_line = yes
        knl = 2 }} }}
}}
'''


# ---- the guest ---------------------------------------------------------------------------------

ENVIRONMENT = dict(os.environ, NS='-', MEM='1536', ROOTFS=os.path.join(GUEST, 'pe-full.ext4'),
                   PE_RUN=os.path.join(GUEST, 'run'), PATH=os.environ['PATH'] + ':/usr/sbin:/sbin')


def make():
    """The guest's kernel and files, out of the lab's scripts; with what steering is attached by,
    and what records netlink."""
    shutil.copytree(LAB, GUEST, dirs_exist_ok=True)
    run('chmod', '-R', 'u+w', GUEST)
    run('sed', '-i', 's/^sch_ingress$/sch_ingress\\ncls_bpf\\nnlmon/', 'mk-initramfs.sh', cwd=GUEST)
    for script in ('mk-initramfs.sh', 'mk-rootfs.sh'):
        subprocess.run([os.path.join(GUEST, script)], cwd=GUEST, check=True)


def libraries(path):
    return re.findall(r'=> (/\S+)', run('ldd', path).stdout)


def copy_links(root, path):
    """A library, and the links that lead to it: EAL would load a copy a second time."""
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    os.makedirs(os.path.dirname(root + path), exist_ok=True)
    if not os.path.lexists(root + path):
        shutil.copy(path, root + path, follow_symlinks=False)
    if os.path.islink(path):
        copy_links(root, os.path.join(os.path.dirname(path), os.readlink(path)))


def install(build):
    """pewterd, what it needs of this machine's DPDK, and a new image."""
    root = os.path.join(GUEST, 'rootfs')
    programs = [os.path.join(build, name) for name in ('pewterd', 'control/cli/pewterctl')]
    drivers = [path for name in DRIVERS for path in glob.glob(f'{PMDS}/librte_{name}.so*')]
    for path in programs:
        shutil.copy(path, root + '/usr/local/sbin')
    os.makedirs(root + '/usr/local/lib/x86_64-linux-gnu/pewter', exist_ok=True)
    shutil.copy(os.path.join(build, 'control/cli/libpewter-run.so'),
                root + '/usr/local/lib/x86_64-linux-gnu/pewter')
    for path in sorted({each for path in programs + drivers for each in libraries(path)}
                       | set(drivers)):
        copy_links(root, path)
    image = ENVIRONMENT['ROOTFS']
    run('rm', '-f', image)
    run('truncate', '-s', '900M', image)
    run('mkfs.ext4', '-q', '-O', '^has_journal', '-m', '0', '-d', root, image, env=ENVIRONMENT)


def sh(text, check=True, timeout=60):
    done = run('/usr/bin/python3', os.path.join(GUEST, 'vmctl.py'), NAME, '-t', timeout,
               input=text, env=ENVIRONMENT, timeout=timeout + 10, check=False)
    expect(not check or done.returncode == 0,
           f'in the guest: {text.strip()[:200]}: {done.stdout.strip()[-800:]}')
    return done.stdout


def boot():
    stop()
    run('./run.sh', NAME, '', '-', cwd=GUEST, env=ENVIRONMENT, timeout=120)


def stop():
    run('./run.sh', '-k', NAME, cwd=GUEST, env=ENVIRONMENT, check=False)


# ---- what runs in it ---------------------------------------------------------------------------

def pewterd_start(options='--xfrm-mirror=interval=1'):
    sh(f'''
ip netns exec pe setsid pewterd --no-huge -s /run/pewter.sock {options} -f /tmp/pe.batch \\
    -f /tmp/pe.mpls -p core=af_packet:core -p ce=af_packet:ce -l info \\
    >> /tmp/pewterd.log 2>&1 < /dev/null &
echo $! > /tmp/pewterd.pid''')
    wait_for(lambda: 'ready:' in sh("tac /tmp/pewterd.log | sed '/^ended$/q'; pidof pewterd"), 60,
             'pewterd')


def pewterd_stop(signal='TERM'):
    sh(f'''pid=$(pidof pewterd); kill -{signal} $pid
n=0; while [ -e /proc/$pid ] && [ $n -lt 200 ]; do sleep 0.1; n=$((n+1)); done
[ ! -e /proc/$pid ]; echo ended >> /tmp/pewterd.log''')


def ctl(*words):
    return json.loads(sh(f'pewterctl -s /run/pewter.sock -j {" ".join(words)}'))


def write(path, text):
    sh(f"cat > {path} << 'EOF'\n{text}\nEOF")


def charon_start(node, here, there, suite='aes128gcm16-esn', start='trap', more=''):
    """Each charon has a /run of its own."""
    write(f'/tmp/{node}.conf', CHARON.format(node=node))
    write(f'/tmp/{node}.swanctl', SWANCTL.format(here=here, there=there, suite=suite, start=start,
                                                 more=more))
    sh(f'''
STRONGSWAN_CONF=/tmp/{node}.conf ip netns exec {node} setsid unshare -m dash -c \\
    'mount -t tmpfs run /run; echo $$ > /tmp/{node}.pid; exec /usr/lib/ipsec/charon' \\
    > /dev/null 2>&1 < /dev/null &
n=0; while [ ! -S /proc/$(cat /tmp/{node}.pid)/root/run/charon.vici ] && [ $n -lt 300 ]; do
    sleep 0.1; n=$((n+1)); done''')
    swanctl(node, '--load-all --file /tmp/' + node + '.swanctl')


def swanctl(node, words, check=True):
    return sh(f'STRONGSWAN_CONF=/tmp/{node}.conf nsenter -t $(cat /tmp/{node}.pid) -m -n '
              f'swanctl {words}', check)


def charon_stop(node, signal='TERM'):
    sh(f'''pid=$(cat /tmp/{node}.pid); kill -{signal} $pid
n=0; while [ -e /proc/$pid ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done''')


def kernel_sas(node='pe'):
    """{SPI: text} of `ip -s xfrm state`"""
    text = sh(f'ip -n {node} -s xfrm state')
    found = {}
    for one in re.split(r'^(?=src )', text, flags=re.M):
        spi = re.search(r'spi 0x([0-9a-f]+)', one)
        if spi:
            found[int(spi.group(1), 16)] = one
    return found


def kernel_count(text):
    """Bytes, packets"""
    return tuple(map(int, re.search(r'lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)',
                                    text).groups()))


def mirrored():
    """{SPI: what pewterctl shows}, without larvae"""
    return {int(str(sa['spi']), 0): sa for sa in ctl('show', 'sas') if sa.get('cipher')}


def ping(count=5, source='ce1', to='10.2.0.2'):
    """How many came back."""
    text = sh(f'ip netns exec {source} ping -n -q -c {count} -i 0.1 -W 1 {to}', check=False)
    return int(re.search(r'(\d+) received', text).group(1))


def log():
    return sh('cat /tmp/pewterd.log')


def record_start():
    """What the kernel and pewterd say to each other, as test/vectors/xfrm was recorded."""
    sh('modprobe nlmon; ip -n pe link add nlmon0 type nlmon; ip -n pe link set nlmon0 up; '
       'ip netns exec pe setsid tcpdump -Z root -i nlmon0 -s 0 -U -w /tmp/netlink.pcap '
       '> /dev/null 2>&1 < /dev/null &')


def record_end(path):
    with open(path, 'wb') as file:
        file.write(base64.b64decode(sh('kill $(pidof tcpdump); sleep 1; base64 /tmp/netlink.pcap')))


def setup(lab):
    install(lab.build)
    boot()
    sh(NETWORK)
    if lab.record:
        record_start()
    write('/tmp/pe.batch', tunnel_batch(PE, PEER))
    write('/tmp/pe.mpls', LABELS)
    pewterd_start()
    charon_start('peer', PEER, PE, start='none')


# ---- cases -------------------------------------------------------------------------------------

def same_as_kernel():
    """The SAs with keys are those that Pewter has."""
    return sorted(spi for spi, text in kernel_sas().items() if 'auth' in text or 'aead' in text
                  ) == sorted(mirrored())


def acquire(lab):
    """A packet of Pewter's has the kernel ask its daemon; SAs come the usual way."""
    charon_start('pe', PE, PEER)
    expect(len(ctl('show', 'policies')) == 2, ctl('show', 'policies'))
    expect(not kernel_sas(), 'there are SAs already')
    ping(1)
    wait_for(lambda: len(mirrored()) == 2, 60, 'two SAs')
    expect(same_as_kernel(), f'{kernel_sas()} {mirrored()}')
    expect('XFRM_MSG_ACQUIRE' in sh('cat /tmp/pe.charon'), 'charon was not asked')
    expect(ping(10) == 10, 'pings')
    expect(ping(10, 'ce2', '10.1.0.2') == 10, 'pings the other way')


def counters(lab):
    """Byte for byte what the peer's kernel counted, in charon's eyes too."""
    time.sleep(2.5)
    theirs = {spi: kernel_count(text) for spi, text in kernel_sas('peer').items()}
    ours = {spi: kernel_count(text) for spi, text in kernel_sas().items()}
    shown = {spi: (sa['bytes'], sa['packets']) for spi, sa in mirrored().items()}
    expect(theirs == ours, f'the peer counted {theirs}, told was {ours}, {shown} are true')
    expect(all(count[1] >= 20 for count in ours.values()), ours)
    expect('use -' not in ''.join(kernel_sas().values()), 'no use time')
    listed = swanctl('pe', '--list-sas')
    for size, packets in ours.values():
        expect(re.search(rf'{size} bytes,\s+{packets} packets', listed), listed)
    return ' and '.join(f'{size} bytes in {packets} packets' for size, packets in ours.values())


def stream_start(count=600):
    sh(f'ip netns exec ce1 setsid ping -n -q -i 0.02 -c {count} -W 5 10.2.0.2 > /tmp/stream 2>&1 '
       '< /dev/null &')


def stream_end():
    """Sent, lost: ping waits for what is on its way."""
    text = wait_for(lambda: 'transmitted' in sh('cat /tmp/stream') and sh('cat /tmp/stream'), 60,
                    'the end of the stream')
    sent, back = map(int, re.search(r'(\d+) packets transmitted, (\d+) received', text).groups())
    return sent, sent - back


def rekey(lab):
    before = set(mirrored())
    stream_start()
    swanctl('pe', '--rekey --child gre')
    wait_for(lambda: not before & set(mirrored()), 60, 'the old SAs to go')
    sent, lost = stream_end()
    expect(len(mirrored()) == 2 and same_as_kernel(), f'{kernel_sas()} {mirrored()}')
    expect(lost == 0, f'{lost} of {sent} lost')
    return f'0 of {sent} lost'


def started_anew(lab, signal):
    """Pewter goes on with the kernel's SAs, and uses no number twice."""
    before = {spi: sa['sequence'] for spi, sa in mirrored().items()}
    refused = sh("ip netns exec peer cat /proc/net/xfrm_stat | grep -i seq")
    pewterd_stop(signal)
    pewterd_start()
    expect(ping(10) == 10, 'pings')
    after = {spi: sa['sequence'] for spi, sa in mirrored().items()}
    expect(set(before) == set(after), f'{before} {after}')
    out = [spi for spi, text in kernel_sas().items() if f'src {PE}' in text][0]
    expect(after[out] > before[out] + (1 << 20), f'{before} {after}')
    expect(sh("ip netns exec peer cat /proc/net/xfrm_stat | grep -i seq") == refused, 'replays')
    return f'number {before[out]}, then {after[out]}'


def shared(lab):
    """The kernel sends with an SA of Pewter's: the two are kept apart, and Pewter goes on."""
    sh(f'ip -n pe link add gre9 type gre local {PE} remote {PEER}; ip -n pe link set gre9 up; '
       'ip -n pe addr add 172.16.0.1/30 dev gre9; '
       'ip netns exec pe ping -c 3 -i 0.2 -W 1 172.16.0.2; ip -n pe link del gre9', check=False)
    # Whatever the kernel used is above what Pewter had; the peer's window is there now.
    wait_for(lambda: ping(2) == 2, 10, 'pings')
    expect('the kernel itself sends with SA' in log(), log()[-600:])
    expect(ping(10) == 10, 'pings')


def soft_limit(lab):
    """charon rekeys for bytes that only Pewter counted."""
    charon_stop('pe')
    wait_for(lambda: not mirrored() and not ctl('show', 'policies'), 10, 'charon to take it all')
    charon_start('pe', PE, PEER, more='rekey_bytes = 20000\n life_bytes = 400000\n '
                                      'rand_bytes = 0')
    ping(1)
    wait_for(lambda: len(mirrored()) == 2, 60, 'two SAs')
    before = set(mirrored())
    stream_start()
    wait_for(lambda: not before & set(mirrored()), 60, 'new SAs')
    sent, lost = stream_end()
    expect('XFRM_MSG_EXPIRE' in sh('cat /tmp/pe.charon'), 'charon did not hear')
    expect(lost == 0, f'{lost} of {sent} lost')
    return f'0 of {sent} lost'


def by_hand(lab):
    """Without a daemon: time is the kernel's, packets are Pewter's to count; flushes."""
    for node in ('pe', 'peer'):
        charon_stop(node)
    sh('ip -n pe xfrm state flush; ip -n pe xfrm policy flush; '
       'ip -n peer xfrm state flush; ip -n peer xfrm policy flush')
    wait_for(lambda: not mirrored() and not ctl('show', 'policies'), 5, 'the flush')
    key = '0x' + '0123456789abcdef' * 2 + '01020304'
    for node in ('pe', 'peer'):
        text = ''
        for source, to, spi, way in ((PE, PEER, 0x1001, 'out'), (PEER, PE, 0x1002, 'in')):
            way = way if node == 'pe' else {'in': 'out', 'out': 'in'}[way]
            text += (f'ip -n {node} xfrm policy add src {source}/32 dst {to}/32 proto gre '
                     f'dir {way} tmpl proto esp mode transport reqid 1\n'
                     f'ip -n {node} xfrm state add src {source} dst {to} proto esp spi {spi} '
                     f"reqid 1 mode transport aead 'rfc4106(gcm(aes))' {key} 128 "
                     'replay-window 32 ')
            text += 'limit packet-hard 20 limit time-hard 600\n' if spi == 0x1001 else \
                'limit time-hard 30\n'
        sh('set -e\n' + text)
    wait_for(lambda: len(mirrored()) == 2, 5, 'two SAs')
    expect(ping(10) == 10, 'pings')
    ping(12)
    wait_for(lambda: 0x1001 not in kernel_sas() and 0x1001 not in mirrored(), 5, 'the hard limit')
    expect(0x1002 in kernel_sas() and 0x1002 in mirrored(), 'the other SA')
    wait_for(lambda: 0x1002 not in kernel_sas(), 40, 'its time')
    wait_for(lambda: 0x1002 not in mirrored(), 3, 'its end here')
    expect(ping(1) == 0, 'something passes without an SA')


def blocked(lab):
    """A policy that Pewter cannot meet stops what the kernel would have sealed by it."""
    sh('ip -n pe xfrm policy flush; ip -n peer xfrm policy flush; ip -n peer xfrm state flush')
    wait_for(lambda: not ctl('show', 'policies'), 5, 'the flush')
    wait_for(lambda: ping(1) == 1, 10, 'pings in clear')
    sh(f'ip -n pe xfrm policy add src {PE}/32 dst {PEER}/32 proto gre key 5 dir out '
       'tmpl proto esp mode transport')
    wait_for(lambda: [p for p in ctl('show', 'policies') if p['action'] == 'block'], 5, 'the block')
    expect(ping(1) == 0, 'it passes')
    sh('ip -n pe xfrm policy flush')
    wait_for(lambda: not ctl('show', 'policies'), 5, 'the flush')
    wait_for(lambda: ping(1) == 1, 10, 'pings in clear')


def ends_well(lab):
    pewterd_stop()
    expect('error' not in log(), log()[-800:])


CASES = [
    ('the kernel asks its daemon for an SA', acquire),
    ('counters are the peer\'s', counters),
    ('rekey under a stream', rekey),
    ('pewterd ends and starts', started_anew, 'TERM'),
    ('pewterd is killed and starts', started_anew, 'KILL'),
    ('the kernel sends as well', shared),
    ('a lifetime in bytes', soft_limit),
    ('limits by hand, flushes', by_hand),
    ('a policy that cannot be met', blocked),
    ('pewterd ends', ends_well),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--make', action='store_true')
    parser.add_argument('--record', metavar='PCAP', help='all netlink of the PE, into this file')
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    lab = parser.parse_args()
    if lab.make:
        make()
        return 0
    if not shutil.which('qemu-system-x86_64'):
        print('skip the XFRM mirror in a guest: no qemu-system-x86_64')
        return 0
    if not os.path.exists(os.path.join(GUEST, 'rootfs')):
        print('skip the XFRM mirror in a guest: no image (--make makes one)')
        return 0
    results = Results()
    try:
        setup(lab)
        for name, case, *arguments in CASES:
            results.check(name, case, lab, *arguments)
        if lab.record:
            record_end(lab.record)
    finally:
        stop()
    return results.status()


if __name__ == '__main__':
    sys.exit(main())
