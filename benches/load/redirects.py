"""Bars about redirects from memory, beside nginx, bare hyper and chhoto-url: B1 and B2 (keep-alive), B4
(pipelined), B5 (a connection for each request), B13 (unknown codes), B15."""

import os

import links
from load import HERE, alternate, median, ratio
from report import Line, at_least, at_most

BROWSER = os.path.join(HERE, "browser.headers")

# Requests in flight in B4.
DEPTH = 16

# After this number of 404s Waypost's memory is constant: the cache of unknown codes is full, and so are the
# caches of the threads that read the table.
FILLING = 500_000

# Differences of memory below this are no growth: allocators keep a part of the memory that is freed.
GROWTH_BYTES = 2 * 1024 * 1024


def _rate(sample):
    return sample.rate


def cpu(sample):
    return sample.cpu


def _by_cpu(samples, others):
    """Returns the ratio of rates that a machine without other programs would have: the ratio of the CPU time
    that server and wrk use for a request. Other programs disturb it much less than the rate."""
    both = lambda sample: (sample.server_cores + sample.client_cores) / sample.rate
    return f"; by CPU {ratio(others, samples, both).median:.2f}"


def _rate_over(bar, what, samples, others, least=None):
    """Returns a line about the ratio of two rates."""
    rates, by_cpu = ratio(samples, others, _rate), _by_cpu(samples, others)
    if least is None:
        return Line(bar, what, f"{rates}{by_cpu}")
    return at_least(bar, what, rates, least, by_cpu)


def _told(samples, name):
    """Returns the note beside a ratio. It prevents that a limit of wrk is read as a limit of the server."""
    share = median(samples, lambda sample: sample.client_cores)
    limited = sum(sample.is_client_limited for sample in samples)
    note = f", wrk's threads are the limit in {limited} of {len(samples)}" if limited else ""
    rate, each = median(samples, _rate) / 1000, median(samples, cpu) * 1e6
    return f"{name} {rate:.3g}k/s at {each:.1f} us, wrk {share:.2f} cores{note}"


def rates(bar, what, **samples):
    """Returns a line of figures without a bar."""
    told = "; ".join(_told(of, name.replace("_", " ")) for name, of in samples.items())
    return Line(bar, what, told)


def keep_alive(run):
    """B1, and B2 with two workers."""
    waypost = run.servers.waypost_with_links(workers=2)
    nginx = run.servers.nginx(workers=2)
    hyper = run.servers.bare_hyper(workers=2)
    for headers, what in ({}, "1,000 links"), ({"headers": BROWSER}, "1,000 links, a browser's 14 headers"):
        samples = alternate(
            run.few_rounds if headers else run.rounds,
            lambda: run.wrk.run(waypost, 2, codes="cycle", **headers),
            lambda: run.wrk.run(nginx, 2, codes="cycle", **headers),
            lambda: run.wrk.run(hyper, 2, codes="cycle", **headers),
        )
        ours, of_nginx, of_hyper = samples
        leasts = (None, None) if headers else (1.12, 0.97)
        yield _rate_over("B1", f"{what}: rate over nginx's", ours, of_nginx, leasts[0])
        yield _rate_over("B1", f"{what}: rate over bare hyper's", ours, of_hyper, leasts[1])
        if not headers:
            yield at_most("B2", "two workers: CPU per redirect over nginx's", ratio(ours, of_nginx, cpu), 0.98)
            yield Line("B2", "two workers: CPU per redirect over bare hyper's", str(ratio(ours, of_hyper, cpu)))
        yield rates("", what, Waypost=ours, nginx=of_nginx, bare_hyper=of_hyper)
    hot = alternate(
        run.few_rounds,
        lambda: run.wrk.run(waypost, 2, codes="one"),
        lambda: run.wrk.run(nginx, 2, codes="one"),
    )
    yield _rate_over("B1", "one hot link: rate over nginx's", *hot)
    for server in (waypost, nginx, hyper):
        server.check().stop()


def one_worker(run):
    """B2 with one worker."""
    waypost = run.servers.waypost_with_links(workers=1)
    nginx = run.servers.nginx(workers=1)
    samples = alternate(
        run.rounds,
        lambda: run.wrk.run(waypost, 1, codes="cycle"),
        lambda: run.wrk.run(nginx, 1, codes="cycle"),
    )
    yield at_most("B2", "one worker: CPU per redirect over nginx's", ratio(*samples, cpu), 0.98)
    yield rates("", "one worker", Waypost=samples[0], nginx=samples[1])
    for server in (waypost, nginx):
        server.check().stop()


def pipelined(run):
    """B4."""
    waypost = run.servers.waypost_with_links(workers=2)
    nginx = run.servers.nginx(workers=2)
    # hyper's own way to join responses. Waypost's way loses no response (src/http/conn/coalesce.rs).
    hyper = run.servers.bare_hyper(workers=2, options=["--pipeline-flush"])
    samples = alternate(
        run.few_rounds,
        lambda: run.wrk.run(waypost, 2, codes="cycle", depth=DEPTH),
        lambda: run.wrk.run(nginx, 2, codes="cycle", depth=DEPTH),
        lambda: run.wrk.run(hyper, 2, codes="cycle", depth=DEPTH),
    )
    ours, of_nginx, of_hyper = samples
    yield _rate_over("B4", f"pipelined, depth {DEPTH}: rate over nginx's", ours, of_nginx, 12)
    yield _rate_over("B4", f"pipelined, depth {DEPTH}: rate over bare hyper's", ours, of_hyper, 0.85)
    yield rates("", "pipelined", Waypost=ours, nginx=of_nginx, bare_hyper=of_hyper)
    for server in (waypost, nginx, hyper):
        server.check().stop()


def connections(run):
    """B5."""
    waypost = run.servers.waypost_with_links(workers=2)
    nginx = run.servers.nginx(workers=2)
    hyper, caddy = run.servers.bare_hyper(workers=2), run.servers.caddy()
    samples = alternate(
        run.few_rounds,
        lambda: run.wrk.run(waypost, 2, codes="cycle", close=1),
        lambda: run.wrk.run(nginx, 2, codes="cycle", close=1),
        lambda: run.wrk.run(hyper, 2, codes="cycle", close=1),
        lambda: run.wrk.run(caddy, 2, codes="cycle", close=1),
    )
    ours, of_nginx, of_hyper, of_caddy = samples
    yield _rate_over("B5", "a connection for each request: rate over nginx's", ours, of_nginx, 0.97)
    yield at_most("B5", "a connection for each request: CPU over nginx's", ratio(ours, of_nginx, cpu), 1.10)
    yield Line("B5", "a connection for each request: CPU over bare hyper's", str(ratio(ours, of_hyper, cpu)))
    yield Line("B5", "a connection for each request: CPU over Caddy's", str(ratio(ours, of_caddy, cpu)))
    yield rates("", "a connection for each request", Waypost=ours, nginx=of_nginx, bare_hyper=of_hyper, Caddy=of_caddy)
    for server in (waypost, nginx, hyper, caddy):
        server.check().stop()


def unknown_codes(run):
    """B13. Without the limit of unknown codes for each address."""
    settings = {"WAYPOST_LIMITS__MISSES_PER_MINUTE": str(2**32 - 1)}
    waypost = run.servers.waypost_with_links(workers=2, settings=settings)
    # The cache of unknown codes is bounded. Once it is full, memory must not grow.
    asked = 0
    while asked < FILLING:
        asked += run.wrk.run(waypost, 2, codes="absent", refused=True).requests
    grown = 0

    def absent():
        # Not across the hits: their clicks are written.
        nonlocal grown
        before = waypost.process.memory()
        sample = run.wrk.run(waypost, 2, codes="absent", refused=True)
        grown += waypost.process.memory() - before
        return sample

    samples = alternate(run.few_rounds, absent, lambda: run.wrk.run(waypost, 2, codes="random"))
    yield _rate_over("B13", "random 404s: rate over that of random hits", *samples, 0.9)
    count = sum(sample.requests for sample in samples[0])
    grew = f"{grown / 1024:+,.0f} KB in {count:,} 404s"
    yield Line("B13", "random 404s: growth of memory", grew, "none", grown <= GROWTH_BYTES)
    yield rates("", "404s and hits", absent=samples[0], hits=samples[1])
    waypost.check().stop()


def chhoto(run):
    """B15."""
    binary = os.environ.get("CHHOTO")
    if not binary:
        yield Line("B15", "against chhoto-url", "give CHHOTO=path of its binary", ">= 5; >= 2.2")
        return
    waypost = run.servers.waypost_with_links(workers=2)
    other = run.servers.chhoto(os.path.abspath(binary))
    version = links.ask(other.port, "/api/version")[2].decode()
    yield Line("", "against chhoto-url at its fastest settings (SQLite in WAL mode, no ACID)", f"version {version}")
    for codes, what, least in ("cycle", "1,000 codes", 5), ("one", "one hot link", 2.2):
        samples = alternate(
            run.few_rounds,
            lambda: run.wrk.run(waypost, 2, codes=codes),
            lambda: run.wrk.run(other, 2, codes=codes),
        )
        yield _rate_over("B15", f"{what}: rate over chhoto-url's", *samples, least)
        yield rates("", what, Waypost=samples[0], chhoto_url=samples[1])
    for server in (waypost, other):
        server.stop()
