"""Bars about size: B7 (many links, few of them hot), B10 (import), B11 (memory), B12 (start) and B14
(the binary). The full form has the budget's millions; the quick one says how few it has."""

import os
import re
import shutil
import socket
import time

import links
from load import alternate, median, ratio, spread
from processes import Failed, free_port
from report import Line, at_least, at_most
from servers import KEY, Server

MILLION = 1_000_000

# Links of the quick form, in place of a million and of ten.
QUICK = 150_000

# Bytes of disk for each link imported, log and table, with room to spare.
DISK_PER_LINK = 1_200

# Hottest links visited before B7 is measured: more than the default cache holds.
HOTTEST = 300_000

# Starts of which the median counts.
STARTS = 5

MB = 1024 * 1024


class Stores:
    """Data folders with so many links, imported once and used by several bars."""

    def __init__(self, run):
        self.run = run
        self.made = {}

    def get(self, count):
        """The folder, the seconds of its import to the end of the log and of the table, and the most
        memory it held."""
        if count not in self.made:
            self.made[count] = self._import(count)
        return self.made[count]

    def _import(self, count):
        work, build = self.run.work, self.run.build
        free = shutil.disk_usage(work.folder).free
        if free < count * DISK_PER_LINK:
            need = f"{count:,} links need {count * DISK_PER_LINK / 1e9:.0f} GB of disk"
            raise Failed(f"{need}, {free / 1e9:.0f} are free")
        lines, data = work.path("links.jsonl"), work.path("data")
        links.write_lines(lines, count)
        environment = {"WAYPOST_DATA_DIR": data, "WAYPOST_ADMIN_KEY": KEY}
        told, usage = work.run([build.waypost, "import", lines], environment)
        os.remove(lines)
        # Its own account: what opens and closes the store is not among it.
        took = re.search(r"in the log after ([0-9.]+) s, in the table after ([0-9.]+) s", told)
        if not took:
            raise Failed(f"an import does not say how long it took: {told}")
        return data, tuple(map(float, took.groups())), usage.ru_maxrss * 1024


def counts(run):
    """How many links stand for a million and for ten."""
    return (MILLION, 10 * MILLION) if run.is_full else (QUICK, QUICK)


def many_links(run):
    """B7."""
    _, many = counts(run)
    data, _, _ = run.stores.get(many)
    few = run.servers.waypost_with_links(workers=2)
    full = run.servers.waypost(data, workers=2)
    full.check((0, many // 3, many - 1))
    # What hours of such visits leave in memory: the hottest links, the very hottest last. Behind them
    # the rest misses for ever, which is part of the bar; that a start has to read all of it is not.
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
    """A folder with so many links, what is told of its import, and whether the log was fast enough.
    The table follows at the rate that sled takes keys, two for each link."""
    data, (logged, whole), memory = run.stores.get(count)
    told = f"{count / logged / 1000:.0f}k links/s; {count / whole / 1000:.0f}k/s to the end of the table"
    return data, f"{told}; at most {memory / MB:.0f} MB", count / logged >= 100_000


def _started(run, data):
    port = free_port()
    environment = {"WAYPOST_LISTEN": f"127.0.0.1:{port}", "WAYPOST_DATA_DIR": data, "WAYPOST_ADMIN_KEY": KEY}
    began = time.monotonic()
    return Server("Waypost", run.work.start([run.build.waypost], environment), port), began


def _time_to_ready(run):
    """Milliseconds until a store is made and ready."""
    server, began = _started(run, run.work.path("data"))
    server.wait(lambda: links.ask(server.port, "/readyz")[0] == 200)
    took = time.monotonic() - began
    server.stop()
    return took * 1_000


def _time_to_redirect(run, data, count):
    """Milliseconds until a link leads somewhere."""
    server, began = _started(run, data)
    server.wait(lambda: links.ask(server.port, "/" + links.code(count // 2))[0] == 302)
    took = time.monotonic() - began
    server.check((0, count - 1)).stop()
    return took * 1_000


def memory(run):
    """B11. What one cached link takes is the growth from every other link to all of them: what else is
    loaded with the first ones (pages of the table, the list of bots) is not theirs. The allocator's own
    leaps are as large as that of few links, so it is a median."""
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
    """With every other link in the cache, and with all."""
    server = run.servers.waypost(data, settings={"WAYPOST_CACHE__MAX_MEMORY": str(1 << 30)})
    memory = []
    for odd in (0, 1):
        _look(server.port, range(odd, count, 2))
        memory.append(server.process.memory())
    server.stop()
    return memory


def _look(port, numbers, together=100):
    """Looks at every one of these links once, by one connection. HEAD is no click, so none are written."""
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
    yield Line("B14", "release binary, stripped", f"{size / 1e6:.1f} MB", "<= 12 MB", size <= 12e6)
