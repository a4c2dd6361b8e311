"""The servers of the run. Starts each on the loopback, gives it its links, checks its redirects, stops it."""

import json
import os
import ssl
import string
import subprocess
import time

import links
from processes import Failed, free_port

HERE = os.path.dirname(os.path.abspath(__file__))

# Longer than any start, also under valgrind and with ten million links.
START_SECONDS = 120

# The admin key of this run's Waypost. It is a key of the whole instance, whose limit is ten million requests a
# minute.
KEY = "wp_load_0123456789abcdefghijklmnopqrstuvwxyz"

# The variables that the program sets for glibc's allocator at its start: src/cli/allocator.rs.
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}


class Server:
    """A running server. `location` is set if all links have the same destination, and `tls` if it serves HTTPS."""

    def __init__(self, name, process, port, location=None, tls=None):
        self.name = name
        self.process = process
        self.port = port
        self.location = location
        self.tls = tls
        self.origin = f"https://{links.HOST}:{port}" if tls else f"http://127.0.0.1:{port}"

    def ask(self, path, *arguments):
        """Sends one request. Returns status, headers and body."""
        return links.ask(self.port, path, *arguments, tls=self.tls)

    def wait(self, is_ready):
        """Waits until the server redirects as expected."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                if is_ready():
                    return self
            except OSError:
                pass
            if self.process.has_ended() or time.monotonic() > end:
                raise Failed(f"{self.name} did not start: {self.process.printed()}")
            time.sleep(0.002)

    def check(self, numbers=(0, links.FEW // 2, links.FEW - 1)):
        """Fails unless these links redirect to their destinations."""
        for number in numbers:
            wrong = links.redirects(self.port, number, self.location, self.tls)
            if wrong:
                raise Failed(f"{self.name}: {wrong}")
        return self

    def stop(self):
        """Stops the server cleanly."""
        self.process.stop()


class Pair:
    """A certificate with its key, and the context of clients that trust it."""

    def __init__(self, work, openssl, name=f"DNS:{links.HOST}"):
        self.chain, self.key = work.path("chain.pem"), work.path("key.pem")
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=load", "-addext", f"subjectAltName={name}"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        command += ["-keyout", self.key, "-out", self.chain, "-days", "30"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stdout}")
        self.trust = self.trusting()

    def trusting(self, *protocols):
        """Returns the context of clients that trust it and offer these protocols."""
        context = ssl.create_default_context(cafile=self.chain)
        context.set_alpn_protocols(protocols)
        return context


class Servers:
    """Starts servers in the folder of the run."""

    def __init__(self, work, build, programs):
        self.work = work
        self.build = build
        self.programs = programs
        self.pair = None
        self.files_of_urls = {}

    def waypost(self, data=None, workers=None, settings=None, under=(), pair=None):
        """Starts Waypost at its defaults, on this data or on an empty folder. `under` precedes its command. With
        a certificate it serves HTTPS."""
        port = free_port()
        secure = pair and free_port()
        environment = {
            "WAYPOST_LISTEN": f"127.0.0.1:{port}",
            "WAYPOST_DATA_DIR": data or self.work.path("data"),
            "WAYPOST_ADMIN_KEY": KEY,
            **_workers(workers),
            # Without them the program executes itself again, and a tool around it would lose it.
            **(ALLOCATOR if under else {}),
            **(_https(pair, secure) if pair else {}),
            **(settings or {}),
        }
        process = self.work.start([*under, self.build.waypost], environment)
        server = Server("Waypost", process, secure or port, tls=pair and pair.trust)
        return server.wait(lambda: server.ask("/readyz")[0] == 200)

    def waypost_with_links(self, data=None, workers=None, settings=None, pair=None):
        """Starts Waypost and creates few links by its API."""
        server = self.waypost(data, workers, settings, pair=pair)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        for body in links.bodies(links.FEW):
            status, _, answer = server.ask("/api/v1/links/bulk", "POST", body, headers)
            if status not in (200, 201) or json.loads(answer).get("failed"):
                raise Failed(f"creating links: {status} {answer[:500].decode()}")
        return server.check()

    def certificate(self):
        """Returns a certificate for all servers with HTTPS of this run: ECDSA with P-256, as authorities issue."""
        if not self.pair:
            self.pair = Pair(self.work, self.programs["openssl"])
        return self.pair

    def urls(self, server):
        """Returns the file with the URLs of all links of a server."""
        if server.origin not in self.files_of_urls:
            path = self.work.path("urls")
            links.write_urls(path, server.origin)
            self.files_of_urls[server.origin] = path
        return self.files_of_urls[server.origin]

    def nginx(self, workers=2, under=(), pair=None):
        """Starts nginx with the same links. Under a tool it has no master, so that it is one process. With a
        certificate it serves HTTPS."""
        port = free_port()
        folder = self.work.path("nginx")
        os.mkdir(folder)
        table = os.path.join(folder, "links")
        links.write_map(table, links.FEW)
        values = {
            "folder": folder,
            "links": table,
            "port": port,
            "workers": workers,
            "master": "off" if under else "on",
            "options": (" ssl http2" if pair else "") + (" reuseport" if workers > 1 else ""),
            "tls": f"ssl_certificate {pair.chain}; ssl_certificate_key {pair.key};" if pair else "",
        }
        with open(os.path.join(HERE, "nginx.conf")) as template, open(folder + ".conf", "w") as file:
            file.write(template.read().format(**values))
        command = [*under, self.programs["nginx"], "-p", folder, "-c", folder + ".conf"]
        return self._started("nginx", self.work.start(command), port, tls=pair and pair.trust)

    def bare_hyper(self, workers=None, options=(), under=()):
        """Starts hyper with the same response to every request."""
        port = free_port()
        location = links.destination(0)
        command = [*under, self.build.bare_hyper, f"127.0.0.1:{port}", location, *options]
        return self._started("bare hyper", self.work.start(command, _workers(workers)), port, location)

    def caddy(self, pair=None):
        """Starts Caddy, which makes the destination from the code: it has no table in which it finds links fast.
        With a certificate it serves HTTPS."""
        port = free_port()
        folder = self.work.path("caddy")
        os.mkdir(folder)
        values = {
            "origin": f"https://{links.HOST}:{port}" if pair else f"http://:{port}",
            "tls": f"tls {pair.chain} {pair.key}" if pair else "",
            "destination": links.DESTINATION.replace("{:07d}", "{http.request.uri.path.0}"),
        }
        file = os.path.join(folder, "Caddyfile")
        with open(os.path.join(HERE, "Caddyfile")) as template, open(file, "w") as filled:
            filled.write(string.Template(template.read()).substitute(values))
        command = [self.programs["caddy"], "run", "--config", file, "--adapter", "caddyfile"]
        process = self.work.start(command, {"HOME": folder})
        return self._started("Caddy", process, port, tls=pair and pair.trust)

    def chhoto(self, binary):
        """Starts chhoto-url at its fastest settings, with the same links."""
        port = free_port()
        environment = {
            "CHHOTO_LISTEN_ADDRESS": "127.0.0.1",
            "CHHOTO_LISTEN_PORT": str(port),
            "CHHOTO_DB_URL": self.work.path("urls.sqlite"),
            "CHHOTO_API_KEY": KEY,
            "CHHOTO_REDIRECT_METHOD": "TEMPORARY",
            "CHHOTO_SQLITE_USE_WAL_MODE": "True",
            "CHHOTO_SQLITE_ENSURE_ACID": "False",
            "CHHOTO_DISABLE_FRONTEND": "True",
            "RUST_LOG": "error",
        }
        server = Server("chhoto-url", self.work.start([binary], environment), port)
        server.wait(lambda: links.ask(port, "/api/version")[0] == 200)
        made = [{"shortlink": links.code(n), "longlink": links.destination(n)} for n in range(links.FEW)]
        status, _, answer = links.ask(port, "/api/new", "POST", json.dumps(made), {"X-API-Key": KEY})
        if status != 200:
            raise Failed(f"chhoto-url: creating links: {status} {answer[:500].decode()}")
        return server

    @staticmethod
    def _started(name, process, port, location=None, tls=None):
        server = Server(name, process, port, location, tls)
        server.wait(lambda: server.ask("/" + links.code(0))[0] == 302)
        return server.check()


def _https(pair, port):
    """Returns the variables with which Waypost serves HTTPS."""
    return {
        "WAYPOST_HTTPS__LISTEN": f"127.0.0.1:{port}",
        "WAYPOST_HTTPS__CERTIFICATES": f'[{{chain="{pair.chain}",key="{pair.key}"}}]',
    }


def _workers(count):
    """Returns tokio's variable for the number of workers. The default is one for each core."""
    return {"TOKIO_WORKER_THREADS": str(count)} if count else {}
