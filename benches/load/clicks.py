"""Bars about the details of clicks, by the numbers of their checks: A2 (what they cost a redirect), A4 (their size),
A5 (the time of questions, and redirects beside them). A month of clicks on a million links comes from
click_data/main.rs."""

import json
import os
import threading
import time
import urllib.parse

import links
from load import alternate, median, ratio, spread
from processes import Failed
from redirects import BROWSER
from report import Line, at_least, at_most
from servers import KEY

LINKS = 1_000_000

# Clicks of the quick form and of the full form.
CLICKS = 10_000_000
CLICKS_FULL = 100_000_000

# Bytes of disk for a link and for a click: log, table, and parts with those of their merge.
DISK_PER_LINK = 1_200
DISK_PER_CLICK = 12

# What a page about a link or a workspace shows, a question for each.
PANELS = ("time", "country", "browser", "os", "device", "referrer", "language")

# Tries of each question, of which the median counts.
TRIES = 5

# People who look at once, and pages that each looks at.
PEOPLE, PAGES = 10, 3

# Two filters of which each passes some clicks: a country and a language of click_data.
FILTERS = {"country": "AH", "language": "ah"}


def price(run):
    """A2, by time. Its instructions are those of B3 with and without `clicks.details`."""
    detailed = run.servers.waypost_with_links(workers=2)
    plain = run.servers.waypost_with_links(workers=2, settings={"WAYPOST_CLICKS__DETAILS": "false"})
    for headers, what in ({}, "plain"), ({"headers": BROWSER}, "a browser's 14 headers"):
        samples = alternate(
            run.rounds,
            lambda: run.wrk.run(detailed, 2, codes="cycle", **headers),
            lambda: run.wrk.run(plain, 2, codes="cycle", **headers),
        )
        what = f"redirects with details, {what}"
        rates, late = ratio(*samples, lambda sample: sample.rate), ratio(*samples, lambda sample: sample.p99)
        yield at_least("A2", f"{what}: rate over that without", rates, 0.98, _by_cpu(samples))
        yield at_most("A2", f"{what}: p99 over that without", late, 1.05)
    for server in (detailed, plain):
        server.check().stop()


def _by_cpu(samples):
    """Returns the ratio of rates by the CPU time of the server, which other programs disturb less than the rate."""
    return f"; CPU {ratio(*samples, lambda sample: sample.cpu).median:.2f}"


class Month:
    """A data folder with a month of clicks, and what is known about it."""

    def __init__(self, run, clicks):
        need = LINKS * DISK_PER_LINK + clicks * DISK_PER_CLICK
        if run.work.free() < need:
            raise Failed(f"{clicks:,} clicks need {need / 1e9:.0f} GB of disk, {run.work.free() / 1e9:.0f} are free")
        self.data, lines = run.work.path("data"), run.work.path("clicks.jsonl")
        with open(lines, "wb") as file:
            process = run.work.start([run.build.click_data, "links", str(LINKS), str(clicks)], stdout=file)
            process.wait()
        if process.code != 0:
            raise Failed(f"click_data ended with {process.code}: {process.printed()}")
        run.work.run([run.build.waypost, "import", lines], {"WAYPOST_DATA_DIR": self.data, "WAYPOST_ADMIN_KEY": KEY})
        os.remove(lines)
        told, _ = run.work.run([run.build.click_data, "parts", self.data, str(LINKS), str(clicks)])
        self.clicks, self.name = clicks, f"{clicks // 1_000_000} M clicks"
        self.facts = json.loads(told)
        self.bytes_each = self.facts["bytes"] / clicks

    def question(self, **parameters):
        """Returns the path of a question about the month."""
        span = {"from": self.facts["from"], "to": self.facts["to"], "limit": 10}
        return "/api/v1/analytics?" + urllib.parse.urlencode({**span, **parameters})


def month(run, clicks):
    """Returns the month with this number of clicks. Each is generated once."""
    if clicks not in run.months:
        run.months[clicks] = Month(run, clicks)
    return run.months[clicks]


def size_and_speed(run):
    """A4 and A5."""
    of_run = month(run, CLICKS_FULL if run.is_full else CLICKS)
    # Each question reads its clicks: a question that is asked again would be answered from memory.
    server = run.servers.waypost(of_run.data, workers=2, settings={"WAYPOST_CLICKS__ANSWER_MEMORY": "0"})
    _check(server, of_run)
    yield from _size(of_run)
    yield from _questions(server, of_run)
    yield from _lists(server, of_run)
    yield from _redirects_beside(run, server, of_run)
    alone = spread([timed(server, page(of_run)) for _ in range(TRIES)]).median
    server.stop()
    server = run.servers.waypost(of_run.data, workers=2)
    yield from _together(server, of_run, alone)
    server.stop()


def _size(month):
    what, each = f"{month.name}, {LINKS:,} links: bytes a click", f"{month.bytes_each:.2f} B"
    if month.clicks >= CLICKS_FULL:
        yield Line("A4", what, each, "<= 4.5 B", month.bytes_each <= 4.5)
    else:
        # The list of links alone is a byte and more of each click.
        yield Line("A4", what, each)
    merge, peak = month.facts["merge_seconds"], month.facts["peak_memory"] / 2**20
    told = f"{merge:.1f} s of one core; at most {peak:.0f} MB"
    yield Line("A4", f"{month.name}: the merge of the month", told, "<= 60 s", merge <= 60)


def _questions(server, month):
    workspace = page(month)
    for what, asked, most in (
        ("page of the median link", page(month, linkId=month.facts["median"]), 20),
        ("page of the hottest link", page(month, linkId=month.facts["hottest"]), 150),
        ("page of the workspace", workspace, 250),
        # Days that begin within an hour of UTC: their ends are read from cells, which have no bar.
        ("the same by days of India", page(month, **days_of_india(month)), None),
        ("top links of the workspace", [month.question(groupBy="link")], None),
        ("workspace by time, two filters", [month.question(groupBy="time", **FILTERS)], 1_500),
    ):
        took = spread([timed(server, asked) for _ in range(TRIES)])
        what = f"{month.name}: {what}, ms"
        yield at_most("A5", what, took, most) if most else Line("A5", what, str(took))


def _lists(server, month):
    """Returns lines about lists of links by their clicks. The first list of a workspace reads all of its links."""
    path = "/api/v1/links?limit=20&sort="
    for sort, most in ("clicks", 50), ("lastClick", None):
        first = timed(server, [path + sort])
        again = spread([timed(server, [path + sort]) for _ in range(TRIES)])
        what = f"{LINKS:,} links, {month.name}: list by {sort}, ms"
        yield at_most("A5", what, again, most, f"; the first one {first:.0f}") if most else Line("A5", what, str(again))


def days_of_india(month):
    """Returns all of the month but its first day."""
    return {"from": month.facts["from"][:8] + "02", "to": month.facts["to"][:10], "timezone": "Asia/Kolkata"}


def page(month, **about):
    """Returns the questions of a page."""
    return [month.question(groupBy=panel, **about) for panel in PANELS]


def ask(server, path):
    """Returns the answer to a question."""
    status, _, body = server.ask(path, "GET", None, {"Authorization": f"Bearer {KEY}"})
    if status != 200:
        raise Failed(f"{path} was answered {status}: {body[:500].decode()}")
    return json.loads(body)


def timed(server, questions):
    """Returns the milliseconds of all questions of a page, one after another."""
    began = time.monotonic()
    for path in questions:
        ask(server, path)
    return (time.monotonic() - began) * 1_000


def _check(server, month):
    """Fails unless each panel has all clicks: a fast wrong answer is no measurement."""
    for path in page(month):
        answer = ask(server, path)
        if answer["total"]["clicks"] != month.clicks:
            raise Failed(f"{path} has {answer['total']['clicks']:,} of {month.clicks:,} clicks")
    of_link = ask(server, month.question(linkId=month.facts["hottest"]))
    if of_link["total"]["clicks"] < month.clicks // 20:
        raise Failed(f"the hottest link has {of_link['total']['clicks']:,} clicks")


def _together(server, month, alone):
    """Returns lines about people who look at once, and about one who looks again, over one who looks alone for the
    first time. Nobody has looked before."""
    questions = page(month)
    took, failed = [], []

    def person():
        try:
            took.extend(timed(server, questions) for _ in range(PAGES))
        except Failed as failure:
            failed.append(failure)

    threads = [threading.Thread(target=person) for _ in range(PEOPLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    p95 = sorted(took)[len(took) * 95 // 100]
    what = f"{month.name}: page of the workspace, {PEOPLE} people at once: p95 over one alone"
    yield Line("A5", what, f"{p95 / alone:.2f}, {p95:.0f} ms over {alone:.0f} ms", "<= 3", p95 <= 3 * alone)
    again = spread([timed(server, questions) for _ in range(TRIES)])
    yield Line("A5", f"{month.name}: page of the workspace, once more, ms", str(again))


def _redirects_beside(run, server, month):
    """Measures redirects while questions that read all cells follow each other without a pause. The CPU time of the
    questions is subtracted as in B8."""
    path = month.question(groupBy="time", **FILTERS)
    cores = os.cpu_count() or 1
    used = []

    def beside():
        over = threading.Event()

        def repeat():
            while not over.is_set():
                ask(server, path)

        client = threading.Thread(target=repeat)
        client.start()
        try:
            sample = run.wrk.run(server, 2, codes="cycle")
        finally:
            over.set()
            client.join()
        return sample

    run.wrk.run(server, 2, codes="cycle")
    busy, quiet = alternate(run.rounds, beside, lambda: run.wrk.run(server, 2, codes="cycle"))
    for with_questions, without in zip(busy, quiet):
        # What the server used beyond its redirects.
        used.append(with_questions.server_cores - without.cpu * with_questions.rate)
    rates = ratio(busy, quiet, lambda sample: sample.rate)
    taken = spread(used).median
    left = (cores - taken) / cores
    out = spread([value / left for value in (rates.median, rates.low, rates.high)])
    what = f"{month.name}: redirects beside a question about all cells"
    note = f"; {rates.median:.2f} with the questions' {taken:.2f} cores"
    yield at_least("A5", f"{what}: rate over that without", out, 0.9, note)
    late = ratio(busy, quiet, lambda sample: sample.p99)
    told = f", {median(busy, lambda s: s.p99):.1f} ms over {median(quiet, lambda s: s.p99):.1f} ms"
    yield at_most("A5", f"{what}: p99 over that without", late, 2, told)
