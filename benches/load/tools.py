"""The programs that the run needs. Finds them, or installs them with apt-get, or names the missing ones. Builds
Waypost and the programs beside it. Describes their versions and the machine."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys

from processes import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Programs, with their Debian packages.
PACKAGES = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "nginx": "nginx",
    "caddy": "caddy",
    "pebble": "pebble",
    "openssl": "openssl",
    "valgrind": "valgrind",
    "unshare": "util-linux",
    "mariadbd": "mariadb-server",
    "mariadb": "mariadb-client",
    "php": "php-cli php-mysql",
}
BUILD_PACKAGES = {"cc": "gcc libc6-dev"}

# Debian's packages run this before they start their service. The run needs nginx, but not its service.
POLICY = "/usr/sbin/policy-rc.d"


def find(program):
    """Returns the path of a program, or None. Servers are in /usr/sbin, which may be absent from PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def provide(programs):
    """Finds or installs these programs. Returns their paths by name."""
    packages = {**PACKAGES, **BUILD_PACKAGES}
    missing = [program for program in (*programs, *BUILD_PACKAGES) if not find(program)]
    if missing:
        names = " ".join(packages[program] for program in missing)
        if os.geteuid() != 0 or not find("apt-get"):
            raise Failed(f"missing: {', '.join(missing)}. As root: apt-get install {names}")
        _install(names.split())
    if not find("cargo"):
        raise Failed("missing: cargo. See https://rustup.rs")
    return {program: find(program) for program in programs}


def _install(packages):
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    denies = not os.path.exists(POLICY)
    if denies:
        with open(POLICY, "w") as policy:
            policy.write("#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        subprocess.run(command, check=True, **quiet)
    except subprocess.CalledProcessError as error:
        raise Failed(f"cannot install {' '.join(packages)}: {error}") from error
    finally:
        if denies:
            os.remove(POLICY)


class Build:
    """The release build of Waypost, of bare hyper and of the pace of the log and of the clicks, and their folder."""

    def __init__(self):
        cargo = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
        told = json.loads(_output(cargo))
        self.target = told["target_directory"]
        release = os.path.join(self.target, "release")
        self.waypost = os.path.join(release, "waypost")
        self.bare_hyper = os.path.join(release, "examples", "bare_hyper")
        self.log_pace = os.path.join(release, "examples", "log_pace")
        self.click_data = os.path.join(release, "examples", "click_data")
        print("building", file=sys.stderr)
        # Two builds: the dependencies of the examples would change the binary of
        # `cargo build --release`.
        examples = ["--example", "bare_hyper", "--example", "log_pace", "--example", "click_data"]
        for what in (["--bin", "waypost"], examples):
            command = ["cargo", "build", "--locked", "--release", "--quiet", *what]
            if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
                raise Failed("the build failed")


def _output(command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace")


def versions(programs, build):
    """Returns one line for each program."""
    with open(os.path.join(ROOT, "Cargo.lock")) as lock:
        crates = dict(re.findall(r'name = "(.+)"\nversion = "(.+)"', lock.read()))
    commit = _output(["git", "describe", "--always", "--dirty"]).strip()
    lines = [
        f"{_output([build.waypost, '--version']).strip()} ({commit})",
        _output(["rustc", "--version"]).strip(),
        f"hyper {crates['hyper']}, tokio {crates['tokio']}, sled {crates['sled']}",
    ]
    asks = {"nginx": ("-v",), "wrk": ("-v",), "caddy": ("version",), "openssl": ("version",)}
    for program, path in programs.items():
        if program == "pebble":
            # It has no option that prints it.
            lines.append(f"pebble {_output(['dpkg-query', '-W', '-f', '${Version}', 'pebble'])}")
            continue
        said = _output([path, *asks.get(program, ("--version",))]).splitlines()[0].split(" [")[0]
        lines.append(said if program in said.lower() else f"{program} {said}")
    return lines


def machine():
    """Returns a description of the machine."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    with open("/proc/meminfo") as meminfo:
        memory = int(meminfo.readline().split()[1]) / 1024 / 1024
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    processor = model.group(1) if model else platform.machine()
    return f"{os.cpu_count()} x {processor}, {memory:.0f} GB, {system}; load {load:.1f} when it began"
