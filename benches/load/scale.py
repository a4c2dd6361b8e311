"""Bars about size: B7 (many links, few of them hot), B10 (import), B11 (memory), B12 (start) and B14 (the
binary). The full form has millions of links; the quick form prints its smaller number."""

import os
import re
import socket
import time

import links
from load import alternate, median, ratio, spread
from processes import Failed, free_port
from report import Line, at_least, at_most
from servers import KEY, Server

MILLION = 1_000_000

# Links of the quick form, in place of one and of ten million.
QUICK = 150_000

# Bytes of disk for each imported link: log and table, with a margin.
DISK_PER_LINK = 1_200

# Hottest links that are visited before B7 is measured: more than fit into the default cache.
HOTTEST = 300_000

# Number of starts, whose median is the result.
STARTS = 5

MB = 1024 * 1024


class Stores:
    """Data folders of several sizes, imported once and used by several bars."""

    def __init__(self, run):
        self.run = run
        self.made = {}

    def get(self, count):
        """Returns the folder, the seconds of its import until log and table have everything, and the peak of
        memory."""
        if count not in self.made:
            self.made[count] = self._import(count)
        return self.made[count]

    def _import(self, count):
        work, build = self.run.work, self.run.build
        free = work.free()
        if free < count * DISK_PER_LINK:
            need = f"{count:,} links need {count * DISK_PER_LINK / 1e9:.0f} GB of disk"
            raise Failed(f"{need}, {free / 1e9:.0f} are free")
        lines, data = work.path("links.jsonl"), work.path("data")
        links.write_lines(lines, count)
        environment = {"WAYPOST_DATA_DIR": data, "WAYPOST_ADMIN_KEY": KEY}
        told, usage = work.run([build.waypost, "import", lines], environment)
        os.remove(lines)
        # The times that the import prints: without opening and closing the store.
        took = re.search(r"in the log after ([0-9.]+) s, in the table after ([0-9.]+) s", told)
        if not took:
            raise Failed(f"an import does not say how long it took: {told}")
        return data, tuple(map(float, took.groups())), usage.ru_maxrss * 1024


def counts(run):
    """Returns the numbers of links in place of one and of ten million."""
    return (MILLION, 10 * MILLION) if run.is_full else (QUICK, QUICK)


def many_links(run):
    """B7."""
    _, many = counts(run)
    data, _, _ = run.stores.get(many)
    few = run.servers.waypost_with_links(workers=2)
    full = run.servers.waypost(data, workers=2)
    full.check((0, many // 3, many - 1))
    # Loads the links that hours of these visits leave in memory: the hottest links, the hottest of all last.
    # All other links are misses, which is a part of the bar. The misses after a start are not.
    _look(full.port, [rank * links.ZIPF_STEP % many for rank in range(min(HOTTEST, many - 1), 0, -1)])
    run.wrk.run(full, 2, codes="zipf", links=many)
    samples = alternate(
        run.rounds,
        lambda: run.wrk.run(full, 2, codes="zipf", links=many),
        lambda: run.wrk.run(few, 2, codes="zipf", links=links.FEW),
    )
    what = f"{many:,} links, Zipf s = 1.1, default cache, warm"
    yield at_least("B7", f"{what}: rate over that of 1,000", ratio(*samples, lambda sample: sample.rate), 0.85)
    told = f", {median(samples[0], lambda s: s.p99):.1f} ms over {median(samples[1], lambda s: s.p99):.1f} ms"
    yield at_most("B7", f"{what}: p99 over that of 1,000", ratio(*samples, lambda sample: sample.p99), 3, told)
    for server in (few, full):
        server.stop()


def import_and_start(run):
    """B10 and B12."""
    some, many = counts(run)
    data, told, met = _imported(run, some)
    yield Line("B10", f"import of {some:,} links, into the log", told, ">= 100k/s", met)
    empty = [_time_to_ready(run) for _ in range(STARTS)]
    yield at_most("B12", "start on nothing until ready, ms", spread(empty), 30)
    filled = [_time_to_redirect(run, data, some) for _ in range(STARTS)]
    most = 1_000 * some / MILLION if not run.is_full else 1_000
    yield at_most("B12", f"start until the first redirect, {some:,} links, ms", spread(filled), most)
    if many != some:
        data, told, _ = _imported(run, many)
        yield Line("B10", f"import of {many:,} links, into the log", told)
        filled = [_time_to_redirect(run, data, many) for _ in range(STARTS)]
        yield at_most("B12", f"start until the first redirect, {many:,} links, ms", spread(filled), 10_000)


def _imported(run, count):
    """Returns a folder with this number of links, the figures of its import, and whether the log was fast
    enough. The rate of the table is the rate at which sled accepts keys, two for each link."""
    data, (logged, whole), memory = run.stores.get(count)
    told = f"{count / logged / 1000:.0f}k links/s; {count / whole / 1000:.0f}k/s to the end of the table"
    return data, f"{told}; at most {memory / MB:.0f} MB", count / logged >= 100_000


def _started(run, data):
    port = free_port()
    environment = {"WAYPOST_LISTEN": f"127.0.0.1:{port}", "WAYPOST_DATA_DIR": data, "WAYPOST_ADMIN_KEY": KEY}
    began = time.monotonic()
    return Server("Waypost", run.work.start([run.build.waypost], environment), port), began


def _time_to_ready(run):
    """Returns the milliseconds until a new store is ready."""
    server, began = _started(run, run.work.path("data"))
    server.wait(lambda: links.ask(server.port, "/readyz")[0] == 200)
    took = time.monotonic() - began
    server.stop()
    return took * 1_000


def _time_to_redirect(run, data, count):
    """Returns the milliseconds until a link redirects."""
    server, began = _started(run, data)
    server.wait(lambda: links.ask(server.port, "/" + links.code(count // 2))[0] == 302)
    took = time.monotonic() - began
    server.check((0, count - 1)).stop()
    return took * 1_000


def memory(run):
    """B11. The memory of one cached link is the growth between a cache with every other link and a cache with
    all links, so that pages of the table and the list of bots do not count. The allocator grows in steps as large
    as some links, so the result is a median."""
    fresh = run.servers.waypost()
    idle = fresh.process.memory()
    yield Line("B11", "memory when idle", f"{idle / MB:.1f} MB", "<= 12 MB", idle <= 12 * MB)
    fresh.stop()
    some, _ = counts(run)
    data, _, _ = run.stores.get(some)
    grown = [_memory_of_cached(run, data, some) for _ in range(run.few_rounds)]
    each = spread([(whole - half) / (some - some // 2) for half, whole in grown])
    most = max(whole for _, whole in grown)
    what = f"memory per cached link (60-byte URL), {some:,} cached"
    yield Line("B11", what, f"{each} B; {most / MB:.0f} MB in all", "<= 160 B", each.median <= 160)


def _memory_of_cached(run, data, count):
    """Returns the memory with every other link in the cache, and with all."""
    server = run.servers.waypost(data, settings={"WAYPOST_CACHE__MAX_MEMORY": str(1 << 30)})
    memory = []
    for odd in (0, 1):
        _look(server.port, range(odd, count, 2))
        memory.append(server.process.memory())
    server.stop()
    return memory


def _look(port, numbers, together=100):
    """Requests each of these links once with HEAD, on one connection. HEAD is no click: nothing is written."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for start in range(0, len(numbers), together):
            group = numbers[start : start + together]
            requests = (f"HEAD /{links.code(n)} HTTP/1.1\r\nHost: {links.HOST}\r\n\r\n" for n in group)
            connection.sendall("".join(requests).encode())
            answers = b""
            while answers.count(b"HTTP/1.1 302") < len(group) or not answers.endswith(b"\r\n\r\n"):
                more = connection.recv(65536)
                if not more:
                    raise Failed(f"Waypost closed after {answers[-300:]!r}")
                answers += more


def binary(run):
    """B14."""
    size = os.path.getsize(run.build.waypost)
    yield Line("B14", "release binary, stripped", f"{size / 2**20:.1f} MiB", "<= 16 MiB", size <= 16 * 2**20)
