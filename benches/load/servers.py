"""The servers of the run: how each is started on the loopback, given its links, asked whether it
redirects rightly, and stopped."""

import json
import os
import time

import links
from processes import Failed, free_port

HERE = os.path.dirname(os.path.abspath(__file__))

# Longer than any start: under valgrind, or with ten million links.
START_SECONDS = 120

# Waypost's admin key, of this run's data only. It reaches the whole instance, so that the limit of
# requests a minute is the operator's: ten million.
KEY = "wp_load_0123456789abcdefghijklmnopqrstuvwxyz"

# What the program sets for glibc's allocator when it starts: src/config/memory.rs.
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}


class Server:
    """A running server; `location` is set where every link leads to the same place."""

    def __init__(self, name, process, port, location=None):
        self.name = name
        self.process = process
        self.port = port
        self.location = location

    def wait(self, is_ready):
        """Until it answers as wanted."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                if is_ready():
                    return self
            except OSError:
                pass
            if self.process.has_ended() or time.monotonic() > end:
                raise Failed(f"{self.name} did not start: {self.process.said()}")
            time.sleep(0.002)

    def check(self, numbers=(0, links.FEW // 2, links.FEW - 1)):
        """Asserts that these links lead where they should."""
        for number in numbers:
            wrong = links.redirects(self.port, number, self.location)
            if wrong:
                raise Failed(f"{self.name}: {wrong}")
        return self

    def stop(self):
        """Stops it in order."""
        self.process.stop()


class Servers:
    """Starts servers in the run's folder."""

    def __init__(self, work, build, programs):
        self.work = work
        self.build = build
        self.programs = programs

    def waypost(self, data=None, workers=None, settings=None, under=()):
        """Waypost at its defaults, on this data or fresh; `under` goes before its command."""
        port = free_port()
        environment = {
            "WAYPOST_LISTEN": f"127.0.0.1:{port}",
            "WAYPOST_DATA_DIR": data or self.work.path("data"),
            "WAYPOST_ADMIN_KEY": KEY,
            **_workers(workers),
            # Without them the program executes itself again, which is the end of what runs it.
            **(ALLOCATOR if under else {}),
            **(settings or {}),
        }
        process = self.work.start([*under, self.build.waypost], environment)
        server = Server("Waypost", process, port)
        return server.wait(lambda: links.ask(port, "/readyz")[0] == 200)

    def waypost_with_links(self, data=None, workers=None, settings=None):
        """Waypost with few links, made by its API."""
        server = self.waypost(data, workers, settings)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        for body in links.bodies(links.FEW):
            status, _, answer = links.ask(server.port, "/api/v1/links/bulk", "POST", body, headers)
            if status not in (200, 201) or json.loads(answer).get("failed"):
                raise Failed(f"creating links: {status} {answer[:500].decode()}")
        return server.check()

    def nginx(self, workers=2, under=()):
        """nginx with the same links. Without a master when something runs it, to be one process."""
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
            "reuse": " reuseport" if workers > 1 else "",
        }
        with open(os.path.join(HERE, "nginx.conf")) as template, open(folder + ".conf", "w") as file:
            file.write(template.read().format(**values))
        command = [*under, self.programs["nginx"], "-p", folder, "-c", folder + ".conf"]
        return self._started("nginx", self.work.start(command), port)

    def bare_hyper(self, workers=None, options=(), under=()):
        """hyper with the same answer for everything."""
        port = free_port()
        location = links.destination(0)
        command = [*under, self.build.bare_hyper, f"127.0.0.1:{port}", location, *options]
        return self._started("bare hyper", self.work.start(command, _workers(workers)), port, location)

    def chhoto(self, binary):
        """chhoto-url at its fastest settings, with the same links."""
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
    def _started(name, process, port, location=None):
        server = Server(name, process, port, location)
        server.wait(lambda: links.ask(port, "/" + links.code(0))[0] == 302)
        return server.check()


def _workers(count):
    """tokio's own variable; without it there is a worker for each core."""
    return {"TOKIO_WORKER_THREADS": str(count)} if count else {}
