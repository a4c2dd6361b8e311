"""Runs of wrk, of one server and of several in alternation: rates, latencies, CPU time of server and wrk, and
the ratios of pairs."""

import json
import os
import statistics
from dataclasses import dataclass

from processes import Failed, busy

HERE = os.path.dirname(os.path.abspath(__file__))

# Above this share of busy time in its threads, wrk limits the rate, and not the server.
CLIENT_LIMIT = 0.93

# Connections, the default of all bars.
CONNECTIONS = 64


@dataclass
class Sample:
    """The result of one run of wrk."""

    requests: int
    rate: float
    refused: int
    p50: float
    p99: float
    p999: float
    # Seconds of the server's CPU per request.
    cpu: float
    # Cores that the server, wrk and all other programs used.
    server_cores: float
    client_cores: float
    foreign_cores: float
    # wrk had no idle time.
    is_client_limited: bool


class Wrk:
    """Runs wrk."""

    def __init__(self, work, program, seconds):
        self.work = work
        self.program = program
        self.seconds = seconds
        self.foreign = []
        self.limited = {}

    def run(self, server, threads, connections=CONNECTIONS, refused=False, **arguments):
        """Runs wrk once. Every response must be a success, or with `refused` a refusal."""
        script = os.path.join(HERE, "requests.lua")
        command = [self.program, "--threads", str(threads), "--connections", str(connections)]
        command += ["--duration", str(self.seconds), "--timeout", "10", "--script", script]
        command += [server.origin, "--"]
        command += [f"{name}={value}" for name, value in arguments.items()]
        machine, used = busy(), server.process.cpu()
        output, usage = self.work.run(command)
        machine, used = busy() - machine, server.process.cpu() - used
        told = json.loads(output.splitlines()[-1])
        count, seconds = told["requests"], told["seconds"]
        if told["broken"] or told["refused"] != (count if refused else 0) or not count:
            raise Failed(f"{server.name} answered wrongly: {output}{server.process.printed()[-2000:]}")
        client = usage.ru_utime + usage.ru_stime
        sample = Sample(
            requests=count,
            rate=count / seconds,
            refused=told["refused"],
            p50=told["p50"],
            p99=told["p99"],
            p999=told["p999"],
            cpu=used / count,
            server_cores=used / seconds,
            client_cores=client / seconds,
            foreign_cores=max(0.0, machine - used - client) / seconds,
            is_client_limited=client / seconds > CLIENT_LIMIT * threads,
        )
        self.foreign.append(sample.foreign_cores)
        return sample


def alternate(rounds, *measures):
    """Measures A B C A B C ... and returns a list of samples of each, in order. The first measurement changes
    from round to round, so that no measurement always has the same predecessor."""
    samples = [[] for _ in measures]
    for turn in range(rounds):
        for step in range(len(measures)):
            which = (turn + step) % len(measures)
            samples[which].append(measures[which]())
    return samples


@dataclass
class Ratio:
    """The median of paired ratios, and their spread."""

    median: float
    low: float
    high: float

    def __str__(self):
        return f"{_short(self.median)} ({_short(self.low)}-{_short(self.high)})"


def ratio(samples, others, of):
    """Returns the ratio of the value `of` in each pair of samples."""
    return spread([of(a) / of(b) for a, b in zip(samples, others)])


def spread(values):
    """Returns median, lowest and highest value."""
    return Ratio(statistics.median(values), min(values), max(values))


def median(samples, of):
    """Returns the median of the value `of` in each sample."""
    return statistics.median(map(of, samples))


def _short(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
