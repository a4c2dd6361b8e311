"""Every process and every file of the run, so that none outlives it: a folder that is removed,
children that are stopped, also when the run is interrupted, and what they take of the machine."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# How long a server may take to stop in order before it is killed.
STOP_SECONDS = 20

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """The run cannot go on, or a server answered wrongly. The text says why."""


def _die_with_parent():
    # Of a run that is itself killed nothing stays either.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Work:
    """A folder beside the build, on the disk that is measured, and the children started from it."""

    def __init__(self, beside):
        os.makedirs(beside, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="load-", dir=beside)
        self.children = []
        self.count = 0
        self.is_closed = False

    def path(self, name):
        """A path that nobody used yet."""
        self.count += 1
        return os.path.join(self.folder, f"{self.count}-{name}")

    def start(self, command, environment=None, stdout=None):
        """Starts a child whose output goes to a file of its own, or where `stdout` says."""
        if self.is_closed:
            raise Failed("the run is over")
        log = self.path(os.path.basename(command[0]) + ".log")
        with open(log, "wb") as output:
            child = subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout or output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        process = Process(self, child, log)
        self.children.append(process)
        return process

    def run(self, command, environment=None):
        """Runs a child to its end: what it printed, and its resources. Fails when it fails."""
        process = self.start(command, environment, subprocess.PIPE)
        output = process.child.stdout.read().decode()
        usage = process.wait()
        if process.code != 0:
            raise Failed(f"{command[0]} ended with {process.code}: {output}{process.said()}")
        return output, usage

    def close(self):
        """Stops all children and removes the folder. Not to be interrupted."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.is_closed = True
        for process in list(self.children):
            process.signal(signal.SIGTERM)
        for process in list(self.children):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A child, with those it starts itself (nginx has workers)."""

    def __init__(self, work, child, log):
        self.work = work
        self.child = child
        self.pid = child.pid
        self.log = log
        self.code = None

    def wait(self):
        """Waits for its end: its resources."""
        _, status, usage = os.wait4(self.pid, 0)
        self._ended(status)
        return usage

    def _ended(self, status):
        self.code = os.waitstatus_to_exitcode(status)
        self.child.returncode = self.code
        if self.child.stdout:
            self.child.stdout.close()
        # Workers whose master is gone.
        self.signal(signal.SIGKILL)
        if self in self.work.children:
            self.work.children.remove(self)

    def has_ended(self):
        """Whether it has."""
        if self.code is None:
            pid, status, _ = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._ended(status)
        return self.code is not None

    def signal(self, number):
        """To it and its own children, which are one session."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        """Stops it in order; kills it when that takes too long."""
        if self.has_ended():
            return
        self.signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while not self.has_ended():
            if time.monotonic() > end:
                self.signal(signal.SIGKILL)
            time.sleep(0.005)

    def said(self):
        """Its output so far."""
        with open(self.log, errors="replace") as log:
            return log.read()

    def _pids(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [self.pid, *map(int, children.read().split())]

    def cpu(self):
        """Seconds of CPU so far. By the clock of the process: it has nanoseconds, and knows of
        threads that have ended; /proc/PID/stat shows the same in ticks of 10 ms."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids())

    def memory(self):
        """Bytes of resident memory."""
        return 1024 * sum(self._status(pid, "VmRSS") for pid in self._pids())

    @staticmethod
    def _status(pid, name):
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return 0


def free_port():
    """A port of the loopback that was free just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def busy():
    """Seconds of CPU that the whole machine has spent at work so far."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
