"""The servers of the run. Starts each on the loopback, gives it its links, checks its redirects, stops it."""

import json
import os
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
    """A running server. `location` is set if all links have the same destination."""

    def __init__(self, name, process, port, location=None):
        self.name = name
        self.process = process
        self.port = port
        self.location = location

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
            wrong = links.redirects(self.port, number, self.location)
            if wrong:
                raise Failed(f"{self.name}: {wrong}")
        return self

    def stop(self):
        """Stops the server cleanly."""
        self.process.stop()


class Servers:
    """Starts servers in the folder of the run."""

    def __init__(self, work, build, programs):
        self.work = work
        self.build = build
        self.programs = programs

    def waypost(self, data=None, workers=None, settings=None, under=()):
        """Starts Waypost at its defaults, on this data or on an empty folder. `under` precedes its command."""
        port = free_port()
        environment = {
            "WAYPOST_LISTEN": f"127.0.0.1:{port}",
            "WAYPOST_DATA_DIR": data or self.work.path("data"),
            "WAYPOST_ADMIN_KEY": KEY,
            **_workers(workers),
            # Without them the program executes itself again, and a tool around it would lose it.
            **(ALLOCATOR if under else {}),
            **(settings or {}),
        }
        process = self.work.start([*under, self.build.waypost], environment)
        server = Server("Waypost", process, port)
        return server.wait(lambda: links.ask(port, "/readyz")[0] == 200)

    def waypost_with_links(self, data=None, workers=None, settings=None):
        """Starts Waypost and creates few links by its API."""
        server = self.waypost(data, workers, settings)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        for body in links.bodies(links.FEW):
            status, _, answer = links.ask(server.port, "/api/v1/links/bulk", "POST", body, headers)
            if status not in (200, 201) or json.loads(answer).get("failed"):
                raise Failed(f"creating links: {status} {answer[:500].decode()}")
        return server.check()

    def nginx(self, workers=2, under=()):
        """Starts nginx with the same links. Under a tool it has no master, so that it is one process."""
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
        """Starts hyper with the same response to every request."""
        port = free_port()
        location = links.destination(0)
        command = [*under, self.build.bare_hyper, f"127.0.0.1:{port}", location, *options]
        return self._started("bare hyper", self.work.start(command, _workers(workers)), port, location)

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
    def _started(name, process, port, location=None):
        server = Server(name, process, port, location)
        server.wait(lambda: links.ask(port, "/" + links.code(0))[0] == 302)
        return server.check()


def _workers(count):
    """Returns tokio's variable for the number of workers. The default is one for each core."""
    return {"TOKIO_WORKER_THREADS": str(count)} if count else {}
