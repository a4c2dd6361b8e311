"""Bars about writes: B8 (redirects while links are created), the readers of B10 (redirects under the largest
load of creations) and B9 (durable creations over HTTP, beside the log and the disk alone)."""

import json
import os
import signal
import subprocess
import sys
import time

from load import HERE, alternate, median, ratio, spread
from processes import Failed
from report import Line, at_least, at_most
from servers import KEY

# Creations a second beside the redirects of B8.
CREATIONS = 1_000

# A pace beyond every server: each request follows the last at once.
UNBOUNDED = 1_000_000_000

# Clients of B9, the same number as the writers in the benchmark of the log.
WRITERS = 64


def redirects_while_creating(run):
    """B8. The clients are on the same machine. The CPU time of the creations, in the server and in its client,
    is measured without redirects and subtracted."""
    waypost = run.servers.waypost_with_links(workers=2)
    creating = _measure_creations(run, waypost)

    def while_creating():
        client = _start_creations(run, waypost)
        sample = run.wrk.run(waypost, 2, codes="cycle")
        made = _stop_creations(client)
        return sample, made["rate"]

    both = alternate(run.rounds, while_creating, lambda: run.wrk.run(waypost, 2, codes="cycle"))
    busy, quiet = [sample for sample, _ in both[0]], both[1]
    cores = os.cpu_count() or 1
    left = (cores - creating) / cores
    rates = ratio(busy, quiet, lambda sample: sample.rate)
    out = spread([value / left for value in (rates.median, rates.low, rates.high)])
    made = median(both[0], lambda pair: pair[1])
    what = f"redirects beside {made:,.0f} durable creations/s: rate over that without"
    yield at_least("B8", what, out, 0.9, f"; {rates.median:.2f} with the creations' {creating:.2f} cores")
    late = ratio(busy, quiet, lambda sample: sample.p99)
    told = f", {median(busy, lambda s: s.p99):.1f} ms over {median(quiet, lambda s: s.p99):.1f} ms"
    yield at_most("B8", "redirects beside creations: p99 over that without", late, 2, told)
    waypost.check().stop()


def redirects_while_importing(run):
    """B10's readers: one redirect at a time, while the server creates as many links as it can. An idle nginx
    beside it shows the stalls of the machine itself."""
    waypost, nginx = run.servers.waypost_with_links(workers=2), run.servers.nginx()
    made = []

    def while_importing():
        client = _start_creations(run, waypost, UNBOUNDED, 1_000)
        sample = run.wrk.run(waypost, 1, connections=1, codes="cycle")
        made.append(_stop_creations(client)["rate"])
        return sample

    quiet = lambda server: lambda: run.wrk.run(server, 1, connections=1, codes="cycle")
    samples = alternate(run.few_rounds, while_importing, quiet(waypost), quiet(nginx))
    late, usual, other = (spread([sample.p999 for sample in of]) for of in samples)
    what = f"redirects beside {spread(made).median / 1000:.0f}k links/s, 1,000 in a request: p99.9, ms"
    yield at_most("B10", what, late, 1, f"; {usual} without, nginx {other}")
    waypost.check().stop()
    nginx.stop()


def _start_creations(run, waypost, rate=CREATIONS, together=1):
    script = os.path.join(HERE, "creations.py")
    arguments = [str(waypost.port), KEY, str(rate), str(together)]
    command = [sys.executable, "-B", script, *arguments]
    client = run.work.start(command, stdout=subprocess.PIPE)
    # The client prints a line once it keeps its pace.
    client.child.stdout.readline()
    return client


def _stop_creations(client):
    client.signal(signal.SIGTERM)
    line = client.child.stdout.readline()
    client.wait()
    if not line:
        raise Failed(f"creations ended: {client.printed()}")
    return json.loads(line)


def _measure_creations(run, waypost):
    """Returns the cores that the creations use without other work."""
    client = _start_creations(run, waypost)
    before = waypost.process.cpu() + client.cpu()
    time.sleep(run.wrk.seconds)
    after = waypost.process.cpu() + client.cpu()
    _stop_creations(client)
    return (after - before) / run.wrk.seconds


def durable_creates(run):
    """B9."""
    waypost = run.servers.waypost(workers=2)
    rate = lambda sample: sample.rate if hasattr(sample, "rate") else sample
    for clients, writers, what, least in (
        (WRITERS, WRITERS, f"durable creations, {WRITERS} connections: rate over the log's own commits", 0.3),
        (1, 0, "durable creations, one connection: rate over append + fdatasync", 0.7),
    ):
        samples = alternate(
            run.few_rounds,
            lambda: run.wrk.run(waypost, 1, connections=clients, create=KEY),
            lambda: _pace(run, writers),
        )
        created, alone = median(samples[0], rate), median(samples[1], rate)
        p99 = median(samples[0], lambda sample: sample.p99)
        told = f", {created:,.0f}/s over {alone:,.0f}/s; p99 {p99:.1f} ms"
        yield at_least("B9", what, ratio(*samples, rate), least, told)
    waypost.stop()


def _pace(run, writers):
    """Returns the commits or appends a second of the disk without Waypost's server."""
    folder = run.work.path("pace")
    os.mkdir(folder)
    seconds = str(run.wrk.seconds)
    output, _ = run.work.run([run.build.log_pace, folder, seconds, str(writers)])
    return float(output)
