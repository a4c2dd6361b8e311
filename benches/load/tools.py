"""The programs that the run needs: found, else installed with apt-get where that is possible, else
named; and built: Waypost itself and what it is measured against. Their versions, and the machine."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys

from processes import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Program: Debian's package of it.
PACKAGES = {"wrk": "wrk", "nginx": "nginx", "valgrind": "valgrind"}
BUILD_PACKAGES = {"cc": "gcc libc6-dev"}

# Asked by Debian's packages before they start their service, which is not what nginx is here for.
POLICY = "/usr/sbin/policy-rc.d"


def find(program):
    """Its path, or None. Servers are in /usr/sbin, which not everybody's PATH has."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def provide(programs):
    """Finds or installs these programs: their paths by name."""
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
    """The release build: Waypost, bare hyper, the pace of the log; and the folder they are in."""

    def __init__(self):
        cargo = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
        told = json.loads(_output(cargo))
        self.target = told["target_directory"]
        release = os.path.join(self.target, "release")
        self.waypost = os.path.join(release, "waypost")
        self.bare_hyper = os.path.join(release, "examples", "bare_hyper")
        self.log_pace = os.path.join(release, "examples", "log_pace")
        print("building", file=sys.stderr)
        # Two builds: with the examples' dependencies the binary would not be the one that
        # `cargo build --release` makes.
        for what in (["--bin", "waypost"], ["--example", "bare_hyper", "--example", "log_pace"]):
            command = ["cargo", "build", "--locked", "--release", "--quiet", *what]
            if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
                raise Failed("the build failed")


def _output(command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace")


def versions(programs, build):
    """One line for each program that takes part."""
    with open(os.path.join(ROOT, "Cargo.lock")) as lock:
        crates = dict(re.findall(r'name = "(.+)"\nversion = "(.+)"', lock.read()))
    commit = _output(["git", "describe", "--always", "--dirty"]).strip()
    lines = [
        f"{_output([build.waypost, '--version']).strip()} ({commit})",
        _output(["rustc", "--version"]).strip(),
        f"hyper {crates['hyper']}, tokio {crates['tokio']}, sled {crates['sled']}",
    ]
    asks = {"nginx": "-v", "wrk": "-v", "valgrind": "--version"}
    for program, path in programs.items():
        lines.append(_output([path, asks[program]]).splitlines()[0].split(" [")[0])
    return lines


def machine():
    """What it all ran on."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    with open("/proc/meminfo") as meminfo:
        memory = int(meminfo.readline().split()[1]) / 1024 / 1024
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    processor = model.group(1) if model else platform.machine()
    return f"{os.cpu_count()} x {processor}, {memory:.0f} GB, {system}; load {load:.1f} when it began"
