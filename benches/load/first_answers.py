"""Bars about certificates, beside Caddy, with pebble as the authority: E1 (from the start with an empty folder to the
first trusted answer) and E4 (the same with kept certificates).

Authorities connect to ports 443 and 80, and servers look their names up. So this program runs itself again in a
network and a mount namespace of its own, with an /etc/hosts of its own:

    first_answers.py FOLDER ROUNDS WAYPOST CADDY OPENSSL"""

import fcntl
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

from load import HERE, ratio, spread
from processes import Failed, Work
from report import Line, at_most
from servers import KEY, Pair

NAME = "go.test"

# Ports of pebble: its directory, its management and its name server.
DIRECTORY, MANAGEMENT, NAMES, LOOKUPS = 14_000, 15_000, 8_055, 8_053

# Longest wait for an answer.
PATIENCE = 30

# Pause of a client between two attempts.
PAUSE = 0.002

# Time for a server to do what follows its first certificate, such as the question about its renewal.
SETTLED = 1.0

SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def first_answers(run):
    """E1 and E4."""
    script = os.path.join(HERE, "first_answers.py")
    programs = run.servers.programs
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = [programs["unshare"], "--net", "--mount", *as_root, sys.executable, "-B", script, run.work.path("names")]
    command += [str(run.few_rounds), run.build.waypost, programs["caddy"], programs["openssl"]]
    output, _ = run.work.run(command, {"HOME": run.work.folder})
    rounds = json.loads(output.splitlines()[-1])
    ours, others = rounds["Waypost"], rounds["Caddy"]
    first, kept, asked = (lambda sample, at=at: sample[at] for at in range(3))
    for bar, of, what, most, share in (
        ("E1", first, "start with an empty folder to the first trusted answer", 1.0, None),
        ("E4", kept, "restart with kept certificates to the first trusted answer", 0.05, 0.5),
    ):
        seconds = lambda samples, of=of: spread([of(sample) for sample in samples])
        yield at_most(bar, f"{what}: s", seconds(ours), most, f"; Caddy {seconds(others)}")
        over = ratio(ours, others, of)
        yield at_most(bar, f"{what}: over Caddy's", over, share) if share else Line(bar, f"{what}: over Caddy's", str(over))
    count = sum(map(asked, ours))
    told = f"{count} in {len(ours)} restarts; Caddy {sum(map(asked, others))}"
    yield Line("E4", "requests to the authority after a restart with kept certificates", told, "0", count == 0)


class Authority:
    """pebble and its name server, for which every name leads to the loopback."""

    def __init__(self, work, openssl):
        # Of its own TLS.
        self.pair = Pair(work, openssl, "IP:127.0.0.1")
        config = work.path("pebble.json")
        settings = {
            "listenAddress": f"127.0.0.1:{DIRECTORY}",
            "managementListenAddress": f"127.0.0.1:{MANAGEMENT}",
            "certificate": self.pair.chain,
            "privateKey": self.pair.key,
            "httpPort": 80,
            "tlsPort": 443,
        }
        with open(config, "w") as file:
            json.dump({"pebble": settings}, file)
        off = [word for name in ("http01", "https01", "tlsalpn01") for word in (f"-{name}", "")]
        names = ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{LOOKUPS}"]
        work.start(["pebble-challtestsrv", *names, *off, "-management", f"127.0.0.1:{NAMES}"])
        # Without its random waits and refusals.
        calm = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
        command = ["pebble", "-strict", "-dnsserver", f"127.0.0.1:{LOOKUPS}", "-config", config]
        self.process = work.start(command, calm)
        for port in DIRECTORY, MANAGEMENT, NAMES:
            _wait(lambda port=port: socket.create_connection(("127.0.0.1", port)).close())

    def directory(self):
        """Returns the URL of its directory."""
        return f"https://127.0.0.1:{DIRECTORY}/dir"

    def clients(self):
        """Returns the context of clients that trust what it issues."""
        connection = self.pair.trust.wrap_socket(
            socket.create_connection(("127.0.0.1", MANAGEMENT)), server_hostname="127.0.0.1"
        )
        connection.sendall(b"GET /roots/0 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return ssl.create_default_context(cadata=answer.partition("\r\n\r\n")[2])

    def requests(self):
        """Returns the number of requests so far."""
        return self.process.printed().count(" -> calling handler()")


def _wait(attempt):
    """Repeats an attempt until it raises no error."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except OSError as error:
            if time.monotonic() > end:
                raise Failed(f"no answer within {PATIENCE} s: {error}") from error
            time.sleep(PAUSE)


def _answer(clients):
    """Visits the name once. TLS must be trusted; any status is an answer."""
    with socket.create_connection(("127.0.0.1", 443), timeout=PATIENCE) as connection:
        with clients.wrap_socket(connection, server_hostname=NAME) as secured:
            secured.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            if not secured.recv(16384).startswith(b"HTTP/1.1 "):
                raise OSError("no answer")


def _measure(work, authority, clients, command, environment):
    """Returns the seconds to the first answer of an empty folder and of a kept one, and the requests to the
    authority after the second start."""
    seconds = []
    for _ in range(2):
        before, began = authority.requests(), time.monotonic()
        process = work.start(command, environment)
        try:
            _wait(lambda: _answer(clients))
        except Failed as failure:
            raise Failed(f"{failure}\n{process.printed()[-3000:]}") from failure
        seconds.append(time.monotonic() - began)
        time.sleep(SETTLED)
        process.stop()
    return (*seconds, authority.requests() - before)


def main():
    """Measures all rounds in the namespaces, and prints them as JSON."""
    beside, rounds, waypost, caddy, openssl = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    work = Work(beside)
    try:
        hosts = work.path("hosts")
        with open(hosts, "w") as file:
            file.write(f"127.0.0.1 localhost {NAME}\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        print(json.dumps(_rounds(work, int(rounds), waypost, caddy, openssl)), flush=True)
    except (Failed, subprocess.CalledProcessError) as failure:
        sys.exit(str(failure))
    finally:
        work.close()


def _rounds(work, rounds, waypost, caddy, openssl):
    authority = Authority(work, openssl)
    clients = authority.clients()

    def of_waypost():
        environment = {
            "WAYPOST_DOMAIN": NAME,
            "WAYPOST_DATA_DIR": work.path("data"),
            "WAYPOST_ADMIN_KEY": KEY,
            "WAYPOST_HTTPS__AUTHORITY": authority.directory(),
            "WAYPOST_HTTPS__AUTHORITY_ROOTS": authority.pair.chain,
        }
        return _measure(work, authority, clients, [waypost], environment)

    def of_caddy():
        folder = work.path("caddy")
        os.mkdir(folder)
        file = os.path.join(folder, "Caddyfile")
        with open(file, "w") as filled:
            filled.write(
                f"{{\n\tadmin off\n\tacme_ca {authority.directory()}\n\tacme_ca_root {authority.pair.chain}\n}}\n"
                f"{NAME} {{\n\tredir https://example.com/ 302\n}}\n"
            )
        command = [caddy, "run", "--config", file, "--adapter", "caddyfile"]
        return _measure(work, authority, clients, command, {"HOME": folder})

    found = {"Waypost": [], "Caddy": []}
    for turn in range(rounds):
        # Each is the first one in every second round.
        for name, measure in sorted({"Waypost": of_waypost, "Caddy": of_caddy}.items(), reverse=turn % 2 == 0):
            found[name].append(measure())
    return found


if __name__ == "__main__":
    main()
