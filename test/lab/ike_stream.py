# SPDX-License-Identifier: BSD-3-Clause
"""A numbered stream of 1,000 packets a second there and back, and what came of each."""
import subprocess
import time

from lab import expect

# Option 33 is SO_RCVBUFFORCE, which Python's module does not name.
ECHO = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)
s.bind(("", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
'''

SEND = '''
import select, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)
s.connect((sys.argv[1], 7))
s.setblocking(False)
sent, back, begin, refused = 0, set(), time.monotonic(), 0
stop = None
while stop is None or (time.monotonic() - stop < 1 and len(back) < sent):
    if stop is None and select.select([sys.stdin], [], [], 0)[0]:
        stop = time.monotonic()
    while stop is None and sent < (time.monotonic() - begin) * 1000:
        try:
            s.send(struct.pack("!Q", sent) + bytes(92))
            sent += 1
        except OSError:  # an ICMP error of before: this one is sent again
            refused += 1
    try:
        while True:
            back.add(struct.unpack("!Q", s.recv(2048)[:8])[0])
    except OSError:
        pass
    time.sleep(0.001)
missing = sorted(set(range(sent)) - back)
runs = []
for n in missing:
    if runs and runs[-1][1] == n - 1:
        runs[-1][1] = n
    else:
        runs.append([n, n])
print(sent, len(missing), *(f"{a}-{b}" for a, b in runs[:8]))
'''


class Stream:
    """From red1 to red2 and back while the block runs."""

    def __init__(self, lab, address='10.2.0.2', source='red1', target='red2'):
        self.source, self.target = lab.nodes[source], lab.nodes[target]
        self.address, self.lab = address, lab
        self.sent = self.lost = self.where = None

    def __enter__(self):
        self.echo = self.target.start('/usr/bin/python3', '-c', ECHO, stdout=subprocess.PIPE)
        expect(self.echo.stdout.readline() == b'ready\n', 'the echo server did not start')
        self.sender = subprocess.Popen(
            ['ip', 'netns', 'exec', self.source.ns, '/usr/bin/python3', '-c', SEND, self.address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lab.children.append(self.sender)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.5)
        said = self.sender.communicate('stop\n', timeout=20)[0].split()
        self.echo.kill()
        self.echo.wait(5)
        self.sent, self.lost, self.where = int(said[0]), int(said[1]), ' '.join(said[2:])

    def nothing_lost(self):
        expect(self.sent > 300, f'only {self.sent} packets were sent')
        expect(self.lost == 0, f'{self.lost} of {self.sent} packets lost: {self.where}')
        return f'0 of {self.sent} packets lost'
