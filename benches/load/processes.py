"""Owns every process and every file of the run. At the end, also of an interrupted run, it stops all children
and removes the folder. It measures what the children use of the machine."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# Time for a server to stop cleanly before it is killed.
STOP_SECONDS = 20

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """The run cannot continue, or a response was wrong. The text is the reason."""


def _die_with_parent():
    # The children also end if the run itself is killed.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Work:
    """A folder beside the build, on the disk that is measured, and the children that work in it."""

    def __init__(self, beside):
        os.makedirs(beside, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="load-", dir=beside)
        self.children = []
        self.count = 0
        self.is_closed = False

    def path(self, name):
        """Returns a new path in the folder."""
        self.count += 1
        return os.path.join(self.folder, f"{self.count}-{name}")

    def free(self):
        """Returns the free bytes of the disk."""
        return shutil.disk_usage(self.folder).free

    def start(self, command, environment=None, stdout=None):
        """Starts a child. Its output goes to a file of its own, or to `stdout`."""
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
        """Runs a child to its end. Returns its output and its resources. Fails if the child fails."""
        process = self.start(command, environment, subprocess.PIPE)
        output = process.child.stdout.read().decode()
        usage = process.wait()
        if process.code != 0:
            raise Failed(f"{command[0]} ended with {process.code}: {output}{process.printed()}")
        return output, usage

    def close(self):
        """Stops all children and removes the folder. Ignores signals."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.is_closed = True
        for process in list(self.children):
            process.signal(signal.SIGTERM)
        for process in list(self.children):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A child, with its own children (nginx has workers)."""

    def __init__(self, work, child, log):
        self.work = work
        self.child = child
        self.pid = child.pid
        self.log = log
        self.code = None

    def wait(self):
        """Waits for the end of the child. Returns its resources."""
        _, status, usage = os.wait4(self.pid, 0)
        self._ended(status)
        return usage

    def _ended(self, status):
        self.code = os.waitstatus_to_exitcode(status)
        self.child.returncode = self.code
        if self.child.stdout:
            self.child.stdout.close()
        # Workers that outlive their master.
        self.signal(signal.SIGKILL)
        if self in self.work.children:
            self.work.children.remove(self)

    def has_ended(self):
        """Returns whether the child has ended."""
        if self.code is None:
            pid, status, _ = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._ended(status)
        return self.code is not None

    def signal(self, number):
        """Sends a signal to the child and its own children, which are one session."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        """Stops the child cleanly, or kills it after a timeout."""
        if self.has_ended():
            return
        self.signal(signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while not self.has_ended():
            if time.monotonic() > end:
                self.signal(signal.SIGKILL)
            time.sleep(0.005)

    def printed(self):
        """Returns the output so far."""
        with open(self.log, errors="replace") as log:
            return log.read()

    def _pids(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [self.pid, *map(int, children.read().split())]

    def cpu(self):
        """Returns the seconds of CPU so far, from the clock of the process. The clock has nanoseconds and
        includes threads that have ended; /proc/PID/stat has ticks of 10 ms."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids())

    def memory(self):
        """Returns the bytes of resident memory."""
        return 1024 * sum(self._status(pid, "VmRSS") for pid in self._pids())

    @staticmethod
    def _status(pid, name):
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return 0


def free_port():
    """Returns a free port of the loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def busy():
    """Returns the busy seconds of all CPUs of the machine so far."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
