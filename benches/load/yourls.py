"""A9: the page of statistics of a link, beside that of YOURLS on MariaDB with the same clicks in its table.

YOURLS runs in PHP's own server without its plugins. MariaDB has a buffer pool for the whole table, so that it reads
from memory. YOURLS=path is a checkout of YOURLS; MariaDB and PHP are installed if they are missing."""

import os
import shutil
import subprocess
import sys
import time

import clicks
import links
from load import alternate, median, ratio
from processes import Failed, free_port
from report import Line, at_least
from servers import Server

# Bytes of disk for a row with its indexes.
DISK_PER_ROW = 400

# Rounds, since a page takes some seconds.
ROUNDS = 3

CONFIG = """<?php
define('YOURLS_DB_USER', 'root');
define('YOURLS_DB_PASS', '');
define('YOURLS_DB_NAME', 'yourls');
define('YOURLS_DB_HOST', '127.0.0.1:{port}');
define('YOURLS_DB_PREFIX', 'yourls_');
define('YOURLS_SITE', 'http://127.0.0.1:{http}');
define('YOURLS_LANG', '');
define('YOURLS_UNIQUE_URLS', true);
define('YOURLS_PRIVATE', false);
define('YOURLS_COOKIEKEY', 'of this run');
$yourls_user_passwords = ['load' => 'load'];
define('YOURLS_URL_CONVERT', 36);
define('YOURLS_DEBUG', false);
// It asks a site for news of itself once a day.
define('YOURLS_NO_VERSION_CHECK', true);
$yourls_reserved_URL = [];
"""

# As the rules for Apache of its documentation: files as they are, all other paths to the loader.
ROUTER = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (is_file(__DIR__ . $path)) {
    return false;
}
require __DIR__ . '/yourls-loader.php';
"""


class Database:
    """MariaDB on a folder of the run, without passwords, on the loopback."""

    def __init__(self, run):
        self.run = run
        self.port, self.data, self.socket = free_port(), run.work.path("mariadb"), run.work.path("socket")
        user = "--user=root" if os.geteuid() == 0 else f"--user={os.environ.get('USER', 'mysql')}"
        install = os.path.join(os.path.dirname(run.servers.programs["mariadb"]), "mariadb-install-db")
        run.work.run([install, "--no-defaults", f"--datadir={self.data}", user, "--auth-root-authentication-method=normal"])
        command = [run.servers.programs["mariadbd"], "--no-defaults", f"--datadir={self.data}", user]
        command += [f"--socket={self.socket}", "--bind-address=127.0.0.1", f"--port={self.port}"]
        command += ["--innodb-buffer-pool-size=3G", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        command += [f"--tmpdir={run.work.folder}", "--local-infile=1"]
        self.process = run.work.start(command)
        end = time.monotonic() + 120
        while self.ask("SELECT 1") is None:
            if self.process.has_ended() or time.monotonic() > end:
                raise Failed(f"MariaDB did not start: {self.process.printed()}")
            time.sleep(0.2)

    def command(self, *more):
        """Returns the command of its client."""
        client = self.run.servers.programs["mariadb"]
        return [client, "--no-defaults", "--user=root", f"--socket={self.socket}", "--local-infile=1", "--batch", *more]

    def ask(self, sql, database=()):
        """Returns the output of statements, or None if they failed."""
        done = subprocess.run(self.command("--skip-column-names", *database, "-e", sql), capture_output=True, check=False)
        return done.stdout.decode() if done.returncode == 0 else None

    def load(self, table, columns, process):
        """Loads the lines that a child prints."""
        sql = f"SET unique_checks = 0; LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {table} ({columns})"
        loader = subprocess.run(self.command("yourls", "-e", sql), stdin=process.child.stdout, capture_output=True, check=False)
        process.wait()
        if loader.returncode != 0 or process.code != 0:
            raise Failed(f"the rows of {table}: {loader.stderr.decode()}{process.printed()}")


def pages(run):
    """A9."""
    source = os.environ.get("YOURLS")
    if not source:
        yield Line("A9", "page of a link against YOURLS", "give YOURLS=path of its sources", ">= 10")
        return
    rows = int(os.environ.get("YOURLS_ROWS", clicks.CLICKS))
    month = clicks.month(run, rows)
    if run.work.free() < rows * DISK_PER_ROW:
        raise Failed(f"{rows:,} rows need {rows * DISK_PER_ROW / 1e9:.0f} GB of disk")
    database = Database(run)
    yourls = _start(run, os.path.abspath(source), database)
    began = time.monotonic()
    command = [run.build.click_data, "rows", str(clicks.LINKS), str(rows)]
    columns = "click_time, shorturl, referrer, user_agent, ip_address, country_code"
    database.load("yourls_log", columns, run.work.start(command, stdout=subprocess.PIPE))
    database.ask("ANALYZE TABLE yourls_log", ["yourls"])
    print(f"{rows:,} rows in YOURLS after {time.monotonic() - began:.0f} s", file=sys.stderr)
    size = database.ask(
        "SELECT data_length + index_length FROM information_schema.tables WHERE table_name = 'yourls_log'"
    )
    yield Line("A9", f"YOURLS, {rows:,} rows: bytes a click", f"{int(size) / rows:.0f} B; Waypost {month.bytes_each:.1f} B")
    waypost = run.servers.waypost(month.data, workers=2)
    for which in "hottest", "median":
        code = month.facts[f"{which}_code"]
        count = int(database.ask(f"SELECT COUNT(*) FROM yourls_log WHERE shorturl = '{code}'", ["yourls"]))
        database.ask(
            f"INSERT INTO yourls_url (keyword, url, title, ip, clicks) "
            f"VALUES ('{code}', 'https://example.com/{code}', 'A title', '127.0.0.1', {count})",
            ["yourls"],
        )
        page = clicks.page(month, linkId=month.facts[which])
        answered = clicks.ask(waypost, page[0])["total"]["clicks"]
        if not count and which != "hottest":
            # So few clicks that the link has none.
            continue
        if answered != count:
            raise Failed(f"the {which} link has {answered:,} clicks, and {count:,} rows in YOURLS")
        # Once before, so that both have read what they keep in memory.
        _timed(yourls, code, count), clicks.timed(waypost, page)
        theirs, ours = alternate(
            ROUNDS, lambda: _timed(yourls, code, count), lambda: clicks.timed(waypost, page)
        )
        told = f", {median(theirs, float):,.0f} ms over {median(ours, float):,.1f} ms"
        what = f"page of the {which} link ({count:,} clicks): YOURLS's time over Waypost's"
        if which == "hottest":
            yield at_least("A9", what, ratio(theirs, ours, float), 10, told)
        else:
            yield Line("A9", what, f"{ratio(theirs, ours, float)}{told}")
    for server in (yourls, waypost):
        server.stop()
    database.process.stop()


def _start(run, source, database):
    """Installs YOURLS into the database, and starts it."""
    folder, port = run.work.path("yourls"), free_port()
    shutil.copytree(source, folder)
    for name, text in ("user/config.php", CONFIG.format(port=database.port, http=port)), ("router.php", ROUTER):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    database.ask("CREATE DATABASE yourls")
    php = run.servers.programs["php"]
    # A page with all referrers of a link needs more than the default of 128 MB.
    command = [php, "-d", "memory_limit=1G", "-d", "max_execution_time=600", "-d", "opcache.enable_cli=1"]
    command += ["-S", f"127.0.0.1:{port}", "-t", folder, os.path.join(folder, "router.php")]
    process = run.work.start(command)
    server = Server("YOURLS", process, port)
    server.wait(lambda: links.ask(port, "/readme.html")[0] == 200)
    links.ask(port, "/admin/install.php?install=1")
    if database.ask("SELECT COUNT(*) FROM yourls_log", ["yourls"]) is None:
        raise Failed(f"YOURLS was not installed: {process.printed()}")
    return server


def _timed(server, code, count):
    """Returns the milliseconds of a page of statistics."""
    began = time.monotonic()
    status, _, body = links.ask(server.port, f"/{code}+")
    took = (time.monotonic() - began) * 1_000
    if status != 200 or b"stat_tab_stats" not in body:
        raise Failed(f"YOURLS answered {status}: {body[:500].decode()}{server.process.printed()[-500:]}")
    return took
