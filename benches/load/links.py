"""The links of the run: code and destination of the nth link, files of many links, and the check of every
server before it is measured: does it redirect to the destination?"""

import http.client
import json

# The destination of every link, with its number: 60 bytes, a common length.
DESTINATION = "https://example.com/a/landing/page/of/sixty/bytes?n={:07d}a"

# A number of links that every server keeps in memory.
FEW = 1_000

# Converts a rank to a number in a Zipf load, so that neighbours in rank are not neighbours in the table. It has
# no common factor with powers of 10. requests.lua has the same number.
ZIPF_STEP = 7_368_787

# The default domain of a fresh Waypost.
HOST = "localhost"


def code(number):
    """Returns the short code: seven digits, the length of generated codes."""
    return f"{number:07d}"


def destination(number):
    """Returns the destination of the nth link."""
    return DESTINATION.format(number)


def write_map(path, count):
    """Writes the file that nginx includes."""
    with open(path, "w") as file:
        file.writelines(f'/{code(n)} "{destination(n)}";\n' for n in range(count))


def write_lines(path, count):
    """Writes the file that Waypost imports."""
    with open(path, "w") as file:
        file.writelines(f'{{"url":"{destination(n)}","customSlug":"{code(n)}"}}\n' for n in range(count))


def write_urls(path, origin):
    """Writes the file from which h2load reads the URLs of all links."""
    with open(path, "w") as file:
        file.writelines(f"{origin}/{code(n)}\n" for n in range(FEW))


def bodies(count):
    """Returns the bodies that create the links by bulk requests."""
    for start in range(0, count, 1_000):
        numbers = range(start, min(start + 1_000, count))
        links = [{"url": destination(n), "customSlug": code(n)} for n in numbers]
        yield json.dumps({"links": links})


def ask(port, path, method="GET", body=None, headers=None, tls=None):
    """Sends one request, over TLS if there is a context for it. Returns status, headers and body."""
    if tls:
        connection = http.client.HTTPSConnection(HOST, port, timeout=60, context=tls)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Host": HOST, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def redirects(port, number, wanted=None, tls=None):
    """Returns what is wrong with the response for the nth link, or nothing if it is right."""
    status, headers, _ = ask(port, "/" + code(number), tls=tls)
    wanted = wanted or destination(number)
    if status == 302 and headers["Location"] == wanted:
        return None
    return f"/{code(number)} was answered {status} {headers['Location']}, not 302 {wanted}"
