"""Bars within the process. B3 counts instructions with callgrind: instructions repeat exactly, times do not.
B6 uses criterion and an allocator that counts."""

import glob
import re
import socket
import subprocess

import links
from load import CONNECTIONS
from processes import Failed
from redirects import BROWSER
from report import Line
from tools import ROOT

# Requests that are counted. Requests that are not counted come first: they pay for all work that is done once,
# such as the load of each of the thousand links. Each connection has fewer requests than the number after which
# Waypost and nginx close a connection.
REQUESTS = {False: 4_800, True: 48_000}
WARM = 1_920

# The flush of clicks, once a second, is not part of a request. In this small number of requests its share would
# be much too large, or zero. B2 includes it.
QUIET = {"WAYPOST_CLICKS__FLUSH_INTERVAL": "1h"}


def counts(run):
    """B3. One worker."""
    servers = run.servers
    # The links are created before, at full speed.
    data = run.work.path("data")
    servers.waypost_with_links(data).stop()
    measured = {
        "Waypost": lambda under: servers.waypost(data, 1, QUIET, under),
        "nginx": lambda under: servers.nginx(workers=1, under=under),
        "bare hyper": lambda under: servers.bare_hyper(workers=1, under=under),
        "bare hyper without deadline": lambda under: servers.bare_hyper(1, ["--no-timer"], under),
    }
    kinds = {"plain": "Host: localhost\r\n", "browser": _lines(BROWSER)}
    found = {}
    for name, start in measured.items():
        for kind, count in _per_request(run, start, kinds):
            found[kind, name] = count
    for kind, most in ("plain", 600), ("browser", 900):
        ours, hyper = found[kind, "Waypost"], found[kind, "bare hyper"]
        what = f"instructions per redirect over bare hyper's, {kind} headers"
        yield Line("B3", what, f"{ours - hyper:+,.0f}", f"<= +{most}", ours - hyper <= most)
    for kind in kinds:
        share = found[kind, "Waypost"] / found[kind, "nginx"]
        what = f"instructions per redirect over nginx's, {kind} headers"
        yield Line("B3", what, f"{share:.2f}", "<= 0.75", share <= 0.75)
    for kind in kinds:
        told = "; ".join(f"{name} {found[kind, name]:,.0f}" for name in measured)
        yield Line("", f"instructions per redirect, {kind} headers", told)


def in_process(run):
    """B6. Only in the long form, since it builds all benches first."""
    if not run.is_full:
        where = "with --full; or cargo bench --bench redirect -- connection, and --bench allocations"
        yield Line("B6", "in-process time per redirect over bare hyper's; allocations", where, "<= +60 ns; 0")
        return
    told = _bench("redirect", "connection/", "--noplot")
    found = re.findall(r"connection/([\w ]+), (\w+)\s.*?thrpt:\s+\[\S+ \S+ (\S+) ([MK])elem/s", told, re.DOTALL)
    each = {(who, kind): {"M": 1e3, "K": 1e6}[unit] / float(rate) for who, kind, rate, unit in found}
    for kind in "plain", "browser":
        ours, hyper = each["Waypost", kind], each["bare hyper", kind]
        most = 60 if kind == "plain" else None
        what = f"in-process time per redirect over bare hyper's, {kind} headers, ns"
        met = None if most is None else ours - hyper <= most
        yield Line("B6", what, f"{ours - hyper:+.0f}: {ours:.0f} over {hyper:.0f}", f"<= +{most}" if most else "", met)
    # The bench fails if there is one allocation more.
    told = " ".join(_bench("allocations").split())
    yield Line("B6", "allocations of ours per redirect, beyond bare hyper's", told, "0", True)


def _bench(name, *arguments):
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", name, "--", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _lines(path):
    with open(path) as file:
        return "".join(f"{line.rstrip()}\r\n" for line in file)


def _per_request(run, start, kinds):
    """Returns, for each kind of request, the instructions of the thread that serves it: the busiest thread. The
    work of the other threads differs from run to run by more than the result. B2 includes it."""
    files = run.work.path("callgrind")
    callgrind = ["--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={files}"]
    server = start([run.servers.programs["valgrind"], *callgrind])
    for dump, (kind, headers) in enumerate(kinds.items(), 1):
        connections = _connect(server.port)
        _send(connections, headers, WARM)
        _control(server, "--zero")
        _send(connections, headers, REQUESTS[run.is_full])
        _control(server, "--dump")
        for connection in connections:
            connection.close()
        threads = [_instructions(file) for file in glob.glob(f"{files}.{dump}-*")]
        if not threads:
            raise Failed(f"callgrind wrote nothing: {server.process.printed()}")
        yield kind, max(threads) / REQUESTS[run.is_full]
    server.stop()


def _control(server, what):
    """Makes callgrind count from here, or write its counts."""
    command = ["callgrind_control", what, str(server.process.pid)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout}")


def _instructions(file):
    with open(file) as lines:
        found = re.search(r"^(?:totals|summary): (\d+)", lines.read(), re.MULTILINE)
    return int(found.group(1)) if found else 0


def _connect(port):
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connections


def _send(connections, headers, count):
    """Requests links in turn, one at a time on each of many connections, as visitors do. So a server finds
    several requests at each poll."""
    for number in range(0, count, CONNECTIONS):
        for at, connection in enumerate(connections):
            request = f"GET /{links.code((number + at) % links.FEW)} HTTP/1.1\r\n{headers}\r\n"
            connection.sendall(request.encode())
        for connection in connections:
            answer = connection.recv(4096)
            # nginx sends a body after the head, in the same write.
            if not answer.startswith(b"HTTP/1.1 302"):
                raise Failed(f"answered {answer[:100]!r}")
