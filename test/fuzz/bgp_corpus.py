#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Makes the seeds of corpus/bgp out of what speakers sent: bgp_corpus.py FILE... (the raw bytes of
a session each, OPEN first). The seeds are in the tree.
"""
import sys

from make_corpus import write


def messages(data):
    while len(data) >= 19:
        size = int.from_bytes(data[16:18], 'big')
        yield data[18], data[19:size]
        data = data[size:]


def record(kind, data):
    return bytes([kind]) + len(data).to_bytes(2, 'big') + data


def main():
    for path in sys.argv[1:]:
        with open(path, 'rb') as file:
            rows = [record(kind if kind != 2 else 0, body) for kind, body in messages(file.read())]
        updates = [row for row in rows if row[0] == 0]
        # ADD-PATH differs from session to session: each capability once, all and one by one.
        for capabilities in (1, 7, 17, 23):
            write('bgp', bytes([capabilities]) + b''.join(updates))
        for row in rows:
            write('bgp', bytes([7]) + row)
    write('bgp', bytes([1]) + record(10, b'local-as 65000\nrouter-id 10.0.0.1\ntunnel gre1\n'
                                     b'neighbor 10.0.0.2 port 1790 source 10.0.0.1 password x\n'
                                     b'listen [::1]:1790\nlabels 1000 2000\n'
                                     b'vrf red rd 10.0.0.1:5 import 65000:1 export 4200000000:7 '
                                     b'label 16 max-prefixes 9 redistribute connected static\n'))


if __name__ == '__main__':
    main()
