"""A client that creates links at a steady pace until SIGTERM stops it:

    creations.py PORT KEY RATE [TOGETHER]

Each request creates TOGETHER links, one by default. Prints a line once it has begun, and its result as JSON at
the end."""

import json
import signal
import socket
import sys
import time

# Connections. Each sends one request in each beat. Requests of many links use one connection.
CONNECTIONS = 10


def request(key, together):
    """Returns a request that creates links with generated codes."""
    link = {"url": "https://example.com/a/landing/page/of/sixty/bytes?n=created"}
    path = "links" if together == 1 else "links/bulk"
    body = json.dumps(link if together == 1 else {"links": [link] * together})
    return (
        f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def read_answer(connection):
    """Returns the status of the response, and whether the server closes the connection after it."""
    buffered = b""
    while b"\r\n\r\n" not in buffered:
        buffered += _more(connection)
    head, _, buffered = buffered.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    while len(buffered) < length:
        buffered += _more(connection)
    return head.split(b" ", 2)[1], b"connection: close" in lines


def _more(connection):
    data = connection.recv(65536)
    if not data:
        sys.exit("the server closed the connection")
    return data


def main():
    """Sends requests at the pace. Each waits for its response, so a slow server gets no additional load."""
    port, key, rate = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    together = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    connect = lambda: socket.create_connection(("127.0.0.1", port))
    connections = [connect() for _ in range(CONNECTIONS if together == 1 else 1)]
    data = request(key, together)
    began, made = time.monotonic(), 0
    while not stopped:
        for connection in connections:
            connection.sendall(data)
        for at, connection in enumerate(connections):
            status, is_last = read_answer(connection)
            if is_last:
                connection.close()
                connections[at] = connect()
            if status not in (b"200", b"201"):
                sys.exit(f"a creation was answered {status.decode()}")
        if made == 0:
            print("begun", flush=True)
        made += len(connections) * together
        time.sleep(max(0.0, began + made / rate - time.monotonic()))
    print(json.dumps({"made": made, "rate": made / (time.monotonic() - began)}), flush=True)


if __name__ == "__main__":
    main()
