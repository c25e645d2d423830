#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The API socket of a running pewterd: bad input, many clients, slow clients, credentials.

Usage: test_socket.py [BUILD_FOLDER]     (default: $PEWTER_BUILD, else ./build)
Prints "ok NAME", "FAIL NAME" or "skip NAME reason" for each check; exit 1 if one failed.
"""
import errno
import os
import pwd
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PW_BUILD", "build"))
FOLDER = tempfile.mkdtemp(prefix="pewter-socket-")
SOCKET = FOLDER + "/run/pewter.sock"

NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
REQUEST, ACK, DUMP, CAPPED = 1, 4, 0x300, 0x100
NEWLINK, GETLINK, NEWROUTE, GETROUTE = 16, 18, 24, 26
HELLO, SUBSCRIBE = 0x400, 0x401
IFLA_IFALIAS = 20
ERROR_FIXED = 16 + 20

failed = 0
random.seed(20)


def report(name, good, why=""):
    global failed
    print("ok" if good else "FAIL", name, "" if good else why, flush=True)
    failed += not good


# ---- messages -------------------------------------------------------------------------------

def attribute(kind, payload):
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + bytes(-size % 4)


def message(kind, flags, seq, payload=b""):
    return struct.pack("=IHHII", 16 + len(payload), kind, flags | REQUEST, seq, 0) + payload


def messages(packet):
    while len(packet) >= 16:
        size, kind, flags, seq, _ = struct.unpack_from("=IHHII", packet)
        yield kind, flags, seq, packet[16:size]
        packet = packet[(size + 3) & ~3:]


def parse_error(packet):
    """(error, text) of an NLMSG_ERROR, or None."""
    if len(packet) < 20 or struct.unpack_from("=H", packet, 4)[0] != NLMSG_ERROR:
        return None
    size, _, flags, *_ = struct.unpack_from("=IHHII", packet)
    echoed = 0 if flags & CAPPED else struct.unpack_from("=I", packet, 20)[0] - 16
    text, rest = "", packet[ERROR_FIXED + ((echoed + 3) & ~3):size]
    while len(rest) >= 4:
        size, kind = struct.unpack_from("=HH", rest)
        if size < 4:
            return None
        if kind == 1:
            text = rest[4:size].rstrip(b"\0").decode()
        rest = rest[(size + 3) & ~3:]
    return struct.unpack_from("=i", packet, 16)[0], text


class Client:
    def __init__(self, path=None, timeout=5.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path or SOCKET)
        self.seq = 0

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv(1 << 20)

    def error(self):
        return parse_error(self.receive())

    def request(self, kind, payload=b"", flags=ACK):
        self.seq += 1
        self.send(message(kind, flags, self.seq, payload))
        return self.error()

    def dump(self, kind=GETLINK):
        """The messages of a dump, without the DONE."""
        self.seq += 1
        self.send(message(kind, DUMP, self.seq, bytes(16)))
        found = []
        while True:
            for kind, _, seq, payload in messages(self.receive()):
                if seq != self.seq:
                    continue
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    raise OSError("dump refused")
                found.append((kind, payload))

    def alias(self, index, text):
        return self.request(NEWLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0) +
                            attribute(IFLA_IFALIAS, text.encode()))

    def close(self):
        self.socket.close()


# ---- the daemon -----------------------------------------------------------------------------

class Daemon:
    def __init__(self, *options, path=None, ready=True):
        self.path = path or SOCKET
        self.log = open(FOLDER + "/log", "w+")
        self.process = subprocess.Popen(
            [BUILD + "/pewterd", "--no-huge", "-p", "null:", "-s", self.path, *options],
            stderr=self.log, stdout=self.log, stdin=subprocess.DEVNULL)
        end = time.time() + 30
        while ready and "ready" not in self.text():
            if self.process.poll() is not None or time.time() > end:
                raise SystemExit("pewterd does not start:\n" + self.text())
            time.sleep(0.05)

    def text(self):
        with open(FOLDER + "/log") as log:
            return log.read()

    def alive(self):
        return self.process.poll() is None

    def memory(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def stop(self, number=signal.SIGTERM):
        if self.alive():
            self.process.send_signal(number)
        return self.process.wait(20)


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def pewter_run(*command):
    return run(BUILD + "/control/cli/pewter-run", "-s", SOCKET, *command)


def first_port():
    """The index of the port's link: the first that is not lo."""
    client = Client()
    links = [struct.unpack_from("=BxHi", payload)[2] for _, payload in client.dump()]
    client.close()
    return next(index for index in links if index != 1)


# ---- checks ---------------------------------------------------------------------------------

def check_half_messages(daemon):
    client = Client()
    whole = message(GETLINK, 0, 7, bytes(16) + attribute(3, b"lo\0"))
    wrong = []
    for size in range(1, len(whole)):
        client.send(whole[:size])
        error = client.error()
        if not error or error[0] != -errno.EINVAL or not error[1]:
            wrong.append((size, error))
    report("half-messages", not wrong, str(wrong[:3]))
    for length in (0, 1, 15, len(whole) + 1, 0x7fffffff, 0xffffffff):
        client.send(struct.pack("=I", length) + whole[4:])
        error = client.error()
        if not error or error[0] != -errno.EINVAL or not error[1]:
            wrong.append((length, error))
    report("wrong-lengths", not wrong, str(wrong[:3]))
    client.send(whole + whole[:20])
    kinds = [next(messages(client.receive()))[0] for _ in range(2)]
    report("whole-then-half", kinds == [NEWLINK, NLMSG_ERROR], str(kinds))
    client.close()


def check_unknown(daemon):
    client = Client()
    wrong = []
    for kind in (3, 15, 1000, 0x7ff, 0x800, 0xffff):
        error = client.request(kind, bytes(16))
        if not error or error[0] != -errno.EOPNOTSUPP or str(kind) not in error[1]:
            wrong.append((kind, error))
    report("unknown-types", not wrong, str(wrong))
    client.send(message(HELLO, 0, 1, struct.pack("=IIII", 1, 6, 0, 0)))
    client.receive()
    error = client.request(16, bytes(224))
    report("xfrm-in-words", error and error[0] == -errno.EAFNOSUPPORT and "SA" in error[1],
           str(error))
    client.close()


def check_garbage(daemon):
    client = Client()
    answered = 0
    for _ in range(3000):
        kind = random.choice((16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 28, 29, 30, 104, 105, 106,
                              0x400, 0x401, 0x420, 0x430, 0x438, random.randrange(65536)))
        body = random.randbytes(random.randrange(120))
        if random.random() < 0.5:
            body = bytes([random.choice((0, 2, 7, 10, 28))]) + bytes(15) + body
        flags = random.choice((ACK, ACK, 0x400 | ACK, 0x600 | ACK, 0x900 | ACK))
        client.send(message(kind, flags, 1, body))
        packet = client.receive()
        while not any(kind in (NLMSG_ERROR, NLMSG_DONE) for kind, *_ in messages(packet)):
            packet = client.receive()
        answered += 1
    report("garbage", answered == 3000 and daemon.alive(), daemon.text()[-500:])
    client.close()


def check_huge(daemon):
    client = Client()
    client.socket.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)  # SO_SNDBUFFORCE
    try:
        client.send(message(GETLINK, ACK, 9, bytes((1 << 20) + 100)))
    except OSError as error:
        print("skip huge-packet", error)
        return
    error = client.error()
    report("huge-packet", error and error[0] == -errno.EINVAL and "longer" in error[1], str(error))
    client.send(message(HELLO, 0, 1, struct.pack("=IIII", 1, 0, 0, 0)) * 30000)
    answers = sum(1 for _ in range(30000) if client.receive())
    report("30000-requests-in-a-packet", answers == 30000, str(answers))
    client.close()


def check_clients(daemon, count=1000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 100:
        print("skip clients the limit of open files is %d" % hard)
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    before = daemon.memory()
    clients = [Client() for _ in range(count)]
    for client in clients:
        client.send(message(GETLINK, DUMP, 1, bytes(16)))
    answered = 0
    for client in clients:
        while not any(kind == NLMSG_DONE for kind, *_ in messages(client.receive())):
            pass
        answered += 1
    grown = daemon.memory() - before
    report("1000-clients", answered == count and daemon.alive(), str(answered))
    report("1000-clients-memory", grown < 64 << 10, "%d KiB" % grown)
    for client in clients:
        client.close()
    client = Client()
    report("after-1000-clients", len(client.dump()) >= 2)
    client.close()


def check_never_reads(daemon):
    before = daemon.memory()
    sleepers = [Client() for _ in range(20)]
    for sleeper in sleepers:
        sleeper.send(message(SUBSCRIBE, 0, 1, struct.pack("=I", 1)))
        sleeper.socket.setblocking(False)
        try:
            while True:
                sleeper.send(message(GETLINK, DUMP, 1, bytes(16)) * 100)
        except BlockingIOError:
            pass
    port = first_port()
    worker = Client()
    slowest, wrong = 0.0, 0
    for i in range(3000):
        start = time.perf_counter()
        error = worker.alias(port, "alias %d" % i)
        slowest = max(slowest, time.perf_counter() - start)
        wrong += error is None or error[0] != 0
    grown = daemon.memory() - before
    report("beside-clients-that-never-read", not wrong and slowest < 0.5,
           "%d wrong, slowest %.3f s" % (wrong, slowest))
    report("clients-that-never-read-memory", grown < 64 << 10, "%d KiB" % grown)
    for sleeper in sleepers:
        sleeper.close()
    report("clients-that-never-read-go", len(worker.dump()) >= 2)
    worker.close()


def check_overrun(daemon):
    port = first_port()
    sleeper, worker = Client(), Client()
    sleeper.request(SUBSCRIBE, struct.pack("=I", 1))
    text = "x" * 200
    for i in range(20000):
        worker.alias(port, text + str(i))
    events, last = 0, None
    sleeper.socket.settimeout(2)
    try:
        while last != NLMSG_OVERRUN:
            last = next(messages(sleeper.receive()))[0]
            events += 1
    except TimeoutError:
        pass
    report("overrun-is-told", last == NLMSG_OVERRUN and events < 20000, "%d events" % events)
    worker.alias(port, "after")
    report("events-after-overrun", next(messages(sleeper.receive()))[0] == NEWLINK)
    sleeper.close()
    worker.close()


def as_user(uid, gid, groups, path):
    """What a client of that user is told: "ok", "errno N", or the text of the refusal."""
    program = """
import os, socket, struct, sys
os.setgroups(%r); os.setgid(%d); os.setuid(%d)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
try:
    s.connect(%r)
    try:
        s.send(struct.pack("=IHHIIIIII", 32, 0x400, 1, 1, 0, 1, 0, 0, 0))
    except OSError:
        pass
    while True:
        try:
            answer = s.recv(4096)
            break
        except ConnectionResetError:
            pass
except OSError as error:
    print("errno", error.errno)
    sys.exit()
if struct.unpack_from("=H", answer, 4)[0] == 2:
    print(struct.unpack_from("=i", answer, 16)[0], answer[40:].split(b"\\0")[0].decode())
else:
    print("ok")
""" % (groups, gid, uid, path)
    return run("/usr/bin/python3", "-c", program).stdout.strip()


def check_credentials(daemon):
    if os.geteuid() != 0:
        print("skip credentials needs root")
        return
    nobody = pwd.getpwnam("nobody")
    os.chmod(FOLDER, 0o755)
    report("mode-0660", os.stat(SOCKET).st_mode & 0o777 == 0o660, oct(os.stat(SOCKET).st_mode))
    said = as_user(nobody.pw_uid, nobody.pw_gid, [], SOCKET)
    report("nobody-by-mode", said == "errno %d" % errno.EACCES, said)
    os.chmod(SOCKET, 0o666)
    said = as_user(nobody.pw_uid, nobody.pw_gid, [], SOCKET)
    report("nobody-by-credentials", said.startswith("-%d " % errno.EPERM) and "user" in said, said)
    path = FOLDER + "/allowed/pewter.sock"
    allowed = Daemon("--allow-uid", "nobody", "--allow-gid", "54321", path=path)
    said = as_user(nobody.pw_uid, nobody.pw_gid, [], path)
    report("allow-uid", said == "ok", said)
    said = as_user(12345, 54321, [], path)
    report("allow-gid", said == "ok", said)
    said = as_user(12345, 12345, [54320, 54321], path)
    report("allow-gid-supplementary", said == "ok", said)
    said = as_user(12345, 12345, [54320], path)
    report("not-allowed", said.startswith("-%d " % errno.EPERM), said)
    allowed.stop()


def check_second_daemon(daemon):
    second = Daemon(ready=False)
    status = second.process.wait(30)
    report("already-in-use", status == 1 and "already in use" in second.text(), second.text())
    client = Client()
    report("first-still-serves", len(client.dump()) >= 2)
    client.close()


def check_programs(daemon):
    links = pewter_run("ip", "-br", "link")
    report("ip-link", links.returncode == 0 and "lo" in links.stdout and not links.stderr,
           links.stderr)
    wrong = pewter_run("ip", "link", "show", "nowhere")
    report("ip-link-unknown", wrong.returncode != 0 and "nowhere" in wrong.stderr, wrong.stderr)
    index = pewter_run("/usr/bin/python3", "-c", "import socket; print(socket.if_nametoindex('lo'),"
                       " socket.if_indextoname(1))")
    report("if-nametoindex", index.stdout.split() == ["1", "lo"], index.stdout + index.stderr)
    program = ("from pyroute2 import IPRoute\nip = IPRoute()\n"
               "print(*[link.get_attr('IFLA_IFNAME') for link in ip.get_links()])\n")
    if run("/usr/bin/python3", "-c", "import pyroute2").returncode:
        print("skip pyroute2 is not installed")
    else:
        names = pewter_run("/usr/bin/python3", "-c", program)
        report("pyroute2", "lo" in names.stdout.split(), names.stderr[-300:])
    none = run(BUILD + "/control/cli/pewter-run", "-s", FOLDER + "/none", "ip", "link")
    report("pewter-run-without-daemon", none.returncode == 1 and "is pewterd running" in
           none.stderr, none.stderr)


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid) as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def check_restart(daemon):
    """A killed daemon: its socket is replaced, and programs that listened hear the next one."""
    environment = dict(os.environ, PEWTER_SOCKET=SOCKET,
                       LD_PRELOAD=BUILD + "/control/cli/libpewter-run.so")
    monitor = subprocess.Popen(["ip", "monitor", "link"], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.5)
    daemon.stop(signal.SIGKILL)
    report("stale-socket-stays", os.path.exists(SOCKET))
    time.sleep(1)
    ticks = cpu_ticks(monitor.pid)
    report("no-spinning-without-daemon", monitor.poll() is None and ticks < 30, "%d" % ticks)
    daemon = Daemon()
    report("stale-socket-is-replaced", daemon.alive())
    time.sleep(1)
    client = Client()
    client.alias(first_port(), "hello-again")
    client.close()
    time.sleep(0.5)
    monitor.terminate()
    heard = monitor.communicate(timeout=10)[0]
    report("reconnects", "hello-again" in heard or "null" in heard or "port" in heard, heard)
    return daemon


ASKER = """
import select, socket
asker = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
asker.send(bytes.fromhex("%s"))
try:
    while True:
        select.select([asker], [], [])
        asker.recv(4096, socket.MSG_PEEK)
        answer = asker.recv(4096)
        print(answer.hex(), flush=True)
        if answer[4] == 2 and any(answer[16:20]):
            break
except OSError as error:
    print(error.errno)
"""


def ends_after(*answers):
    """What a program reads whose daemon ends when it has been sent these answers to its request."""
    path = FOLDER + "/ends"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    environment = dict(os.environ, PEWTER_SOCKET=path,
                       LD_PRELOAD=BUILD + "/control/cli/libpewter-run.so")
    program = subprocess.Popen([sys.executable, "-c", ASKER % message(GETLINK, 0, 7).hex()],
                               env=environment, text=True, stdout=subprocess.PIPE)
    connection = listener.accept()[0]
    connection.recv(4096)
    connection.send(message(HELLO, 0, 0, bytes(8)))
    connection.recv(4096)
    listener.close()
    os.unlink(path)
    for answer in answers:
        connection.send(answer)
    connection.close()
    try:
        return program.communicate(timeout=5)[0].split()
    except subprocess.TimeoutExpired:
        program.kill()
        return ["nothing", *program.communicate()[0].split()]


def check_last_request():
    """A request that the daemon does not live to answer is answered, once; others are not."""
    def answer(kind, flags, text=b"", seq=7):
        return struct.pack("=IHHII", 16 + len(text), kind, flags, seq, 0) + text

    refusal = struct.pack("=IHHIIiIHHII", 36, NLMSG_ERROR, 0, 7, 0, -errno.ECONNRESET, 0, 0, 0, 7,
                          0).hex()
    lost, part = str(errno.ECONNRESET), answer(NEWLINK, 2)
    for name, answers, wanted in (
            ("without-answer", [], [refusal]),
            ("with-an-event", [answer(NEWLINK, 0, seq=0)], [refusal]),
            ("with-half-a-dump", [part], [refusal]),
            ("with-a-dump", [part, part + answer(NLMSG_DONE, 2, bytes(4))], [lost]),
            ("with-an-answer", [answer(NLMSG_ERROR, 0, bytes(20))], [lost])):
        said = ends_after(*answers)[len(answers):]
        report("daemon-ends-" + name, said == wanted, " ".join(said))


def check_options():
    for name, options, status, text in (
            ("help", ["--help"], 0, "Usage"),
            ("version", ["--version"], 0, "pewterd"),
            ("unknown-option", ["--nonsense"], 2, "nonsense"),
            ("bad-port", ["-p", "nonsense:x"], 2, "nonsense"),
            ("bad-workers", ["-w", "3-1"], 2, "--workers"),
            ("absent-cpu", ["-w", "1000"], 2, "1000"),
            ("bad-level", ["-l", "loud"], 2, "loud"),
            ("bad-user", ["--allow-uid", "no-such-user"], 2, "no-such-user"),
            ("bad-mbufs", ["--mbufs", "few"], 2, "few"),
            ("stray-argument", ["stray"], 2, "stray")):
        done = run(BUILD + "/pewterd", *options)
        lines = len(done.stderr.splitlines())
        report("option-" + name, done.returncode == status and text in done.stdout + done.stderr
               and (status == 0 or lines == 1), done.stderr)


def check_startup():
    with open(FOLDER + "/good", "w") as file:
        file.write("link set dev null0 alias from-startup\n# a remark\n")
    with open(FOLDER + "/bad", "w") as file:
        file.write("link set dev nowhere up\n")
    daemon = Daemon("-p", "null0=null:", "-f", FOLDER + "/good")
    said = pewter_run("ip", "link", "show", "dev", "null0").stdout
    report("startup-file", "from-startup" in said, said + daemon.text())
    start = time.time()
    status = daemon.stop()
    report("sigterm", status == 0 and not os.path.exists(SOCKET) and time.time() - start < 5,
           "status %d: %s" % (status, daemon.text()))
    for name, path, text in (("startup-file-fails", FOLDER + "/bad", "nowhere"),
                             ("startup-file-absent", FOLDER + "/absent", "cannot read")):
        daemon = Daemon("-f", path, ready=False)
        status = daemon.process.wait(30)
        report(name, status == 1 and path in daemon.text() and text in daemon.text(),
               "status %d: %s" % (status, daemon.text()))
    with open(FOLDER + "/late", "w") as file:
        file.write("link set dev null0 alias one\n" * 300 + "link set dev null0 mtu 5\n" +
                   "link set dev null0 alias two\n" * 300)
    daemon = Daemon("-p", "null0=null:", "-f", FOLDER + "/late", ready=False)
    status = daemon.process.wait(30)
    report("startup-file-fails-late", status == 1 and "300 before" in daemon.text(),
           "status %d: %s" % (status, daemon.text()))
    report("socket-is-removed", not os.path.exists(SOCKET))


def check_notify():
    """systemd hears of it after the start-up files."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(FOLDER + "/notify")
    notify.settimeout(20)
    os.environ["NOTIFY_SOCKET"] = FOLDER + "/notify"
    daemon = Daemon("-p", "null0=null:", "-f", FOLDER + "/good")
    del os.environ["NOTIFY_SOCKET"]
    said = notify.recv(4096).decode()
    report("notify-ready", "READY=1" in said and "from-startup" in
           pewter_run("ip", "link", "show", "dev", "null0").stdout, said)
    daemon.stop()
    report("notify-stopping", "STOPPING=1" in notify.recv(4096).decode())


def check_idle():
    daemon = Daemon()
    for _ in range(3):  # the best of three looks: a busy machine makes waking up dearer
        time.sleep(1)
        ticks = cpu_ticks(daemon.process.pid)
        time.sleep(3)
        used = (cpu_ticks(daemon.process.pid) - ticks) / 3
        if used <= 5:
            break
    report("idle-below-5-percent", used <= 5, "%.1f %%" % used)
    daemon.stop()


def main():
    if not os.access(BUILD + "/pewterd", os.X_OK):
        print("skip all no pewterd in", BUILD)
        return
    check_options()
    daemon = Daemon()
    try:
        for check in (check_half_messages, check_unknown, check_garbage, check_huge, check_clients,
                      check_never_reads, check_overrun, check_credentials, check_second_daemon,
                      check_programs):
            check(daemon)
            if not daemon.alive():
                report(check.__name__, False, "pewterd died: " + daemon.text()[-2000:])
                daemon = Daemon()
        daemon = check_restart(daemon)
        check_last_request()
        report("sigint", daemon.stop(signal.SIGINT) == 0, daemon.text())
        check_startup()
        check_notify()
        check_idle()
    finally:
        if daemon.alive():
            daemon.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
sys.exit(1 if failed else 0)
