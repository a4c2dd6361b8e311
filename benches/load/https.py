"""Bars about HTTPS, beside nginx and Caddy with the same certificate: E8 (a handshake for each request), E9
(keep-alive), E10 (HTTP/2)."""

from load import alternate, ratio, spread
from processes import Failed
from redirects import cpu, rates
from report import Line, at_most

# Connections that h2load opens at once in E8, each for one request.
TOGETHER = 256

# wrk's connections in E9.
CONNECTIONS = 32

# Requests of one connection of h2load: fewer than the number after which Waypost asks a client for a new one,
# since h2load counts what it has not sent by then as failed. The cost of the connection itself, which E8 measures,
# is found by a second run of few requests, and subtracted.
REQUESTS = 960
FEW_REQUESTS = 32


class HttpsServers:
    """The three servers, with two workers each, and one certificate."""

    def __init__(self, run):
        pair = run.servers.certificate()
        self.waypost = run.servers.waypost_with_links(workers=2, pair=pair)
        self.nginx = run.servers.nginx(workers=2, pair=pair)
        self.caddy = run.servers.caddy(pair=pair)

    def alternate(self, rounds, measure):
        """Returns samples of each server."""
        return alternate(rounds, *(lambda server=server: measure(server) for server in self.all()))

    def all(self):
        """Returns the servers in the order of their samples."""
        return self.waypost, self.nginx, self.caddy

    def stop(self):
        """Checks that the servers still redirect, and stops them."""
        for server in self.all():
            server.check().stop()


def handshakes(run):
    """E8. h2load resumes no session, so that each handshake is a whole one; wrk resumes all but its first."""
    servers = HttpsServers(run)
    batch = 24 if run.is_full else 8
    ours, of_nginx, of_caddy = samples = servers.alternate(run.rounds, lambda server: _per_handshake(run, server, batch))
    what = "full TLS handshake, redirect, close: CPU over"
    yield at_most("E8", f"{what} nginx's", ratio(ours, of_nginx, _itself), 0.6)
    yield at_most("E8", f"{what} Caddy's", ratio(ours, of_caddy, _itself), 0.5)
    yield _figures("full handshake", samples)
    resumed = servers.alternate(run.few_rounds, lambda server: run.wrk.run(server, 2, codes="cycle", close=1))
    ours, of_nginx, of_caddy = resumed
    what = "resumed TLS handshake, redirect, close: CPU over"
    yield Line("E8", f"{what} nginx's", str(ratio(ours, of_nginx, cpu)))
    yield Line("E8", f"{what} Caddy's", str(ratio(ours, of_caddy, cpu)))
    yield rates("", "resumed handshake", Waypost=ours, nginx=of_nginx, Caddy=of_caddy)
    servers.stop()


def _per_handshake(run, server, batch):
    """Returns the seconds of CPU of a connection with a full handshake and one request."""
    before = server.process.cpu()
    for _ in range(batch):
        _h2load(run, server, TOGETHER, 1, TOGETHER, "--h1", "-H", "Connection: close")
    return (server.process.cpu() - before) / batch / TOGETHER


def _itself(value):
    return value


def _figures(what, samples):
    """Returns a line of figures without a bar."""
    told = zip(("Waypost", "nginx", "Caddy"), samples)
    each = "; ".join(f"{name} {spread(of).median * 1e6:.1f}" for name, of in told)
    return Line("", f"{what}: us of CPU", each)


def keep_alive(run):
    """E9."""
    servers = HttpsServers(run)
    kept = lambda server: run.wrk.run(server, 2, connections=CONNECTIONS, codes="cycle")
    ours, of_nginx, of_caddy = servers.alternate(run.few_rounds, kept)
    yield at_most("E9", "redirects over TLS, kept connections: CPU over nginx's", ratio(ours, of_nginx, cpu), 0.8)
    yield at_most("E9", "redirects over TLS, kept connections: CPU over Caddy's", ratio(ours, of_caddy, cpu), 0.25)
    yield rates("", "over TLS, kept connections", Waypost=ours, nginx=of_nginx, Caddy=of_caddy)
    servers.stop()


def streams(run):
    """E10."""
    servers = HttpsServers(run)
    for clients, at_once, most, batch in (8, 32, 0.75, 16), (32, 1, 1.0, 4):
        count = batch if run.is_full else batch // 2
        samples = servers.alternate(run.rounds, lambda server: _per_redirect(run, server, clients, at_once, count))
        ours, of_nginx, of_caddy = samples
        what = f"HTTP/2, {clients} connections with {at_once} open at once: CPU per redirect over"
        yield at_most("E10", f"{what} nginx's", ratio(ours, of_nginx, _itself), most)
        yield Line("E10", f"{what} Caddy's", str(ratio(ours, of_caddy, _itself)))
        yield _figures(f"HTTP/2, {clients} x {at_once}, a redirect", samples)
    servers.stop()


def _per_redirect(run, server, clients, at_once, batch):
    """Returns the seconds of CPU of a redirect, without those of its connection."""
    used = 0.0
    for requests, sign in (REQUESTS, 1), (FEW_REQUESTS, -1):
        before = server.process.cpu()
        for _ in range(batch):
            _h2load(run, server, clients, at_once, clients * requests)
        used += sign * (server.process.cpu() - before)
    return used / batch / clients / (REQUESTS - FEW_REQUESTS)


def _h2load(run, server, clients, at_once, count, *options):
    urls = run.servers.urls(server)
    command = [run.servers.programs["h2load"], "-i", urls, "-n", str(count), "-c", str(clients), "-m", str(at_once)]
    command += options
    output, _ = run.work.run(command)
    wanted = f"requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed"
    if wanted not in output or f"0 2xx, {count} 3xx" not in output:
        raise Failed(f"{server.name} answered wrongly: {output}{server.process.printed()[-2000:]}")
