# SPDX-License-Identifier: BSD-3-Clause
"""A PE to throw packets at: the path harness, configured by the real `ip` through pewter-run."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def default_build():
    return os.environ.get("PW_BUILD") or os.path.join(ROOT, "build", "release")


def program(name, build=None):
    """A program of the build folder, wherever meson put it."""
    build = build or default_build()
    for folder in ("", "control/cli", "control"):
        path = os.path.join(build, folder, name)
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError("%s has no %s" % (build, name))


def port_mac(port):
    return "02:50:00:00:00:%02x" % port


class Refused(Exception):
    """`ip` failed; the text is what it said."""


class Pewter:
    """One harness process. Ports are numbered in the order of their names."""

    def __init__(self, *ports, exact=False):
        build = default_build()
        self.ports = list(ports)
        runner = program("pewter-run", build)
        self.directory = tempfile.mkdtemp(prefix="pw-path-")
        self.socket = os.path.join(self.directory, "sock")
        self.runner = [runner, "-s", self.socket]
        environment = dict(os.environ)
        if exact:
            environment["PW_TEST_EXACT"] = "1"
        self.process = subprocess.Popen(
            [os.path.join(build, "test", "path", "path-harness"), self.socket, *ports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.events = {}
        line = self.process.stdout.readline()
        if line != "ready\n":
            shutil.rmtree(self.directory, ignore_errors=True)
            raise RuntimeError("the harness did not start: %r" % line)

    def close(self):
        """Ends the harness; what a sanitizer found is an error."""
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
        code = self.process.wait(timeout=60)
        shutil.rmtree(self.directory, ignore_errors=True)
        if code != 0:
            raise RuntimeError("the harness ended with %d" % code)

    def ip(self, batch, family=None):
        """Runs lines of `ip -batch`; lines that begin with "mpls " go to `ip -f mpls`."""
        group, kind = [], None
        for line in [l.strip() for l in batch.strip().splitlines()] + [None]:
            if line is not None and (not line or line.startswith("#")):
                continue
            now = "mpls" if line and line.startswith("mpls ") else family
            if group and (line is None or now != kind):
                self._batch(group, kind)
                group = []
            kind = now
            if line is not None:
                group.append(line[5:] if line.startswith("mpls ") else line)

    def _batch(self, lines, family):
        command = self.runner + ["ip"] + (["-f", family] if family else []) + ["-batch", "-"]
        done = subprocess.run(
            command, input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=60
        )
        if done.returncode != 0:
            said = (done.stderr + done.stdout).strip()
            number = re.search(r"Command failed -:(\d+)", said)
            where = lines[int(number.group(1)) - 1] if number else "; ".join(lines)
            raise Refused("%s -- ip %s" % (" ".join(said.split()), where))

    def show(self, *words):
        """Output of one `ip` command."""
        done = subprocess.run(
            self.runner + ["ip", *words], text=True, capture_output=True, timeout=60
        )
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        return done.stdout

    def ctl(self, *words):
        """One command of pewterctl; its output."""
        done = subprocess.run([program("pewterctl"), "-s", self.socket, *words], text=True,
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        return done.stdout

    def _ask(self, command):
        self.process.stdin.write(command)
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the harness died (status %s)" % self.process.wait())
            if line == "done\n":
                return lines
            if line.startswith("error"):
                raise RuntimeError(line.strip())
            lines.append(line.split())

    @staticmethod
    def _frames(lines):
        return [(int(port), bytes.fromhex(frame)) for _, port, frame in lines]

    def number(self, port):
        return port if isinstance(port, int) else self.ports.index(port)

    def send(self, port, *frames, rate=None):
        """
        Frames arrive on a port; returns [(port, bytes)] of what was sent for them. rate: how many
        ICMP errors may be sent now.
        """
        text = "" if rate is None else "rate %d\n" % rate
        text += "".join("send %d %s\n" % (self.number(port), bytes(f).hex()) for f in frames)
        return self._frames(self._ask(text + "run\n"))

    def send_many(self, pairs):
        """The same for [(port, frame)], which arrive before anything is processed."""
        text = "".join("send %d %s\n" % (self.number(p), bytes(f).hex()) for p, f in pairs)
        return self._frames(self._ask(text + "run\n"))

    def run(self):
        return self._frames(self._ask("run\n"))

    def wait(self, milliseconds):
        return self._frames(self._ask("wait %d\n" % milliseconds))

    def rate(self, packets):
        self.process.stdin.write("rate %d\n" % packets)

    def ip_id(self, value):
        self.process.stdin.write("ip-id %d\n" % value)

    def later(self, seconds):
        """What is due of SAs until then happens now."""
        return self._frames(self._ask("later %d\nrun\n" % seconds))

    def counters(self):
        """
        {"drops": {name: n}, "events": the same, "buffers": n,
         "interfaces": {id: (rx packets, rx bytes, tx packets, tx bytes)}}
        """
        result = {"drops": {}, "events": {}, "interfaces": {}, "buffers": 0}
        for words in self._ask("counters\n"):
            if words[0] == "drop":
                result["drops"][words[1]] = int(words[2])
            elif words[0] == "event":
                result["events"][words[1]] = int(words[2])
            elif words[0] == "interface":
                result["interfaces"][int(words[1])] = tuple(int(w) for w in words[2:])
            elif words[0] == "buffers":
                result["buffers"] = int(words[1])
        return result

    def drops(self):
        return self.counters()["drops"]

    def exchange(self, port, *frames, rate=1000):
        """
        send(), with the drop counters' changes: (frames sent, {name: difference}). The events'
        changes are in self.events.
        """
        before = self.counters()
        sent = self.send(port, *frames, rate=rate)
        after = self.counters()
        self.events = difference(before["events"], after["events"])
        return sent, difference(before["drops"], after["drops"])

    def expect(self, port, frame, wanted, drops=None):
        """One frame in; exactly these [(port, frame)] out and these drops, or AssertionError."""
        frames = frame if isinstance(frame, list) else [frame]
        sent, dropped = self.exchange(port, *frames)
        check_frames(self, sent, wanted)
        assert dropped == (drops or {}), "drops %s, expected %s" % (dropped, drops or {})
        return sent

    def refuses(self, port, frame, name):
        """The frame is dropped for this reason, and nothing is sent."""
        self.expect(port, frame, [], {name: 1})


def difference(before, after):
    return {n: after[n] - before.get(n, 0) for n in after if after[n] != before.get(n, 0)}


def describe(frame):
    from scapy.layers.l2 import Ether

    return "%s  %s" % (frame.hex(), Ether(frame).summary())


def check_frames(pe, sent, wanted):
    resolved = []
    for n, (port, frame) in enumerate(wanted):
        if hasattr(frame, "like") and n < len(sent) and len(sent[n][1]) == len(bytes(frame)):
            frame = frame.like(sent[n][1])
        resolved.append((pe.number(port), bytes(frame)))
    wanted = resolved
    if sent == wanted:
        return
    lines = ["frames differ"]
    for title, frames in (("expected", wanted), ("sent", sent)):
        lines += ["  %s: nothing" % title] if not frames else []
        lines += ["  %s: %d %s" % (title, port, describe(frame)) for port, frame in frames]
    raise AssertionError("\n".join(lines))


def main(module, only=None):
    """Runs the functions of a module whose names begin with test_, in the order of the file."""
    failed = 0
    only = only or sys.argv[1:]
    prefix = os.path.basename(module.__file__)[len("test_"):-len(".py")]
    tests = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    for name, function in tests:
        name = name[len("test_"):].replace("_", "-")
        if only and name not in only:
            continue
        try:
            reason = function()
            # a test that returns words could not be run, and they say why
            print("skip %s/%s %s" % (prefix, name, reason) if reason else
                  "ok %s/%s" % (prefix, name), flush=True)
        except Exception as error:
            failed += 1
            print("FAIL %s/%s %s" % (prefix, name, error), flush=True)
            if not isinstance(error, (AssertionError, Refused, RuntimeError)):
                traceback.print_exc()
    for pe in vars(module).get("STARTED", []):
        try:
            pe.close()
        except Exception as error:
            failed += 1
            print("FAIL %s/exit %s" % (prefix, error), flush=True)
    sys.exit(1 if failed else 0)
