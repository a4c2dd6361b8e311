"""E12: the memory of idle connections, beside nginx and Caddy."""

import os
import resource
import socket
import time

import links
from processes import Failed
from report import Line

# Connections that are held.
COUNT = {False: 2_000, True: 10_000}

# Connections that come and go before memory is measured: they pay for what a server has once.
WARM = 100

# Descriptors of each server beside its connections.
SPARE = 500

# A hello that never ends: the header of a record of 16,128 bytes, that of a hello, and 8,000 bytes in all, just
# below what Waypost reads of a handshake.
HALF_HELLO = (bytes([22, 3, 1, 63, 0, 1, 0, 62, 252, 3, 3]) + bytes(7_989))[:8_000]

# Frames of HTTP/2: the client's preface with its settings, a request for the first link, and the acknowledgement
# of the server's settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
ACKNOWLEDGED = b"\0\0\0\4\1\0\0\0\0"
HEADERS = 1


def memory(run):
    """E12."""
    most = COUNT[run.is_full]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < most + SPARE:
        raise Failed(f"{most:,} connections need a limit of {most + SPARE:,} open files: ulimit -Hn")
    # The servers inherit it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pair = run.servers.certificate()
    limits = {
        "WAYPOST_HTTP__HEADER_TIMEOUT": "1h",
        "WAYPOST_HTTP__MAX_CONNECTIONS": str(most + SPARE),
        "WAYPOST_HTTP__MAX_CONNECTIONS_PER_ADDRESS": str(most + SPARE),
    }
    starts = {
        "Waypost": lambda: run.servers.waypost_with_links(workers=2, settings=limits, pair=pair),
        "nginx": lambda: run.servers.nginx(workers=2, pair=pair),
        "Caddy": lambda: run.servers.caddy(pair=pair),
    }
    for what, open_one, protocol, bar in (
        ("TLS with HTTP/1.1, after a redirect", _http1, "http/1.1", 24),
        ("TLS with HTTP/2, after a redirect", _http2, "h2", 36),
        ("8,000 bytes of a hello", _half_hello, "h2", 22),
    ):
        context = pair.trusting(protocol)
        opened = lambda server, context=context, open_one=open_one: open_one(server, context)
        each = {name: _each(start(), opened, most) for name, start in starts.items()}
        ours, others = each["Waypost"], f"; nginx {each['nginx']:.1f}, Caddy {each['Caddy']:.1f}"
        what = f"KB of memory for each of {most:,} idle connections: {what}"
        yield Line("E12", what, f"{ours:.1f}{others}", f"<= {bar}", ours <= bar)


def _each(server, open_one, count):
    """Returns the KB of each connection of a fresh server."""
    for _ in range(WARM):
        os.close(open_one(server))
    # The servers see the ends.
    time.sleep(0.5)
    before = server.process.memory()
    held = [open_one(server) for _ in range(count)]
    time.sleep(0.5)
    grown = server.process.memory() - before
    for descriptor in held:
        with socket.socket(fileno=descriptor) as connection:
            connection.setblocking(False)
            if not _is_open(connection):
                raise Failed(f"{server.name} closed an idle connection: {server.process.printed()[-2000:]}")
    server.check().stop()
    return grown / 1024 / count


def _is_open(connection):
    """Returns whether the server has not closed the connection. Tickets may be unread."""
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    return False


def _connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def _secured(server, context, protocol):
    secured = context.wrap_socket(_connect(server), server_hostname=links.HOST)
    if secured.selected_alpn_protocol() != protocol:
        raise Failed(f"{server.name} does not speak {protocol}")
    return secured


def _http1(server, context):
    secured = _secured(server, context, "http/1.1")
    secured.sendall(f"GET /{links.code(0)} HTTP/1.1\r\nHost: {links.HOST}\r\n\r\n".encode())
    answer = secured.recv(16384)
    if not answer.startswith(b"HTTP/1.1 302"):
        raise Failed(f"{server.name} answered {answer[:100]!r}")
    # The server's half is what is measured.
    return secured.detach()


def _http2(server, context):
    secured = _secured(server, context, "h2")
    secured.sendall(PREFACE + _request(f"{links.HOST}:{server.port}", "/" + links.code(0)))
    answered = b""
    while not _has_head(answered):
        more = secured.recv(16384)
        if not more:
            raise Failed(f"{server.name} closed a connection with HTTP/2 after {answered[:100]!r}")
        answered += more
    secured.sendall(ACKNOWLEDGED)
    return secured.detach()


def _half_hello(server, _):
    connection = _connect(server)
    connection.sendall(HALF_HELLO)
    return connection.detach()


def _request(authority, path):
    """Returns the frame of a request: :method GET and :scheme https by their index, the rest as literals."""
    literal = lambda index, text: bytes([index, len(text)]) + text.encode()
    head = b"\x82\x87" + literal(1, authority) + literal(4, path)
    return len(head).to_bytes(3, "big") + bytes([HEADERS, 5]) + (1).to_bytes(4, "big") + head


def _has_head(frames):
    """Returns whether the head of a response is among the frames."""
    while len(frames) >= 9:
        if frames[3] == HEADERS:
            return True
        frames = frames[9 + int.from_bytes(frames[:3], "big") :]
    return False
