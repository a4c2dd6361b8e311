"""The links of the run: code and destination of the nth, the files that hold many, and the one
question asked of every server before it is measured: does it redirect there?"""

import http.client
import json

# What every link leads to but for its number: 60 bytes, a common length.
DESTINATION = "https://example.com/a/landing/page/of/sixty/bytes?n={:07d}a"

# Few links, that any server keeps in memory.
FEW = 1_000

# From rank to number in a Zipf load: neighbours in rank are not neighbours in the table. It shares no
# factor with powers of 10; requests.lua has the same.
ZIPF_STEP = 7_368_787

# The default domain of a fresh Waypost.
HOST = "localhost"


def code(number):
    """The short code: seven digits, as long as Waypost makes them."""
    return f"{number:07d}"


def destination(number):
    """Where it leads."""
    return DESTINATION.format(number)


def write_map(path, count):
    """The file that nginx includes."""
    with open(path, "w") as file:
        file.writelines(f'/{code(n)} "{destination(n)}";\n' for n in range(count))


def write_lines(path, count):
    """The file that Waypost imports."""
    with open(path, "w") as file:
        file.writelines(f'{{"url":"{destination(n)}","customSlug":"{code(n)}"}}\n' for n in range(count))


def bodies(count):
    """Bodies that create them, by the API for many."""
    for start in range(0, count, 1_000):
        numbers = range(start, min(start + 1_000, count))
        links = [{"url": destination(n), "customSlug": code(n)} for n in numbers]
        yield json.dumps({"links": links})


def ask(port, path, method="GET", body=None, headers=None):
    """One request: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Host": HOST, **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def redirects(port, number, wanted=None):
    """What is wrong with the answer for the nth link; nothing when it is right."""
    status, headers, _ = ask(port, "/" + code(number))
    wanted = wanted or destination(number)
    if status == 302 and headers["Location"] == wanted:
        return None
    return f"/{code(number)} was answered {status} {headers['Location']}, not 302 {wanted}"
