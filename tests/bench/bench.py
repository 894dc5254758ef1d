#!/usr/bin/python3
"""Runs ours and the reference side by side; tools/bench is the way to call it.

Each round starts a fresh server of the one, measures, ends it, and does the same with the other;
the order changes from round to round, so that what the machine does meanwhile hits both alike.
"""

import argparse
import collections
import json
import os
import resource
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.bench import cluster, pool, report, tools  # noqa: E402
from tests.conformance import agent  # noqa: E402

# The servers see one client; its connections are the load.
CONFIG = {"limits": {"http_max_conns_per_client": 12000}}
KEY = "bench/key"
SETTLE_S = 3
BLOCKED_ROUNDS = 5
MEGABYTE = 1e6
# Loads by the server they share: the busy ones, and those whose memory is looked at after.
BUSY = ("get_default", "get_consistent", "catalog_nodes", "dns_node", "grpc_get", "put_1", "put_64")
BLOCKED = ("blocked_1000", "blocked_10000", "memory_after_blocked")
STARTING = ("start", "memory_fresh")
# Of three servers, by name: the server that is asked, and the query or the connections.
THREE_GETS = {
    "three_get": ("leader", ""),
    "three_get_consistent": ("leader", "?consistent"),
    "three_get_follower": ("follower", ""),
    "three_get_stale": ("follower", "?stale"),
}
THREE_PUTS = {
    "three_put_1": ("leader", 1),
    "three_put_64": ("leader", 64),
    "three_put_follower": ("follower", 64),
}
THREE = (*THREE_GETS, *THREE_PUTS, "leader_gap")
# Takes some minutes: only when it is named.
LONG = ("catch_up",)
# Of clients, which are ours alone: there is no ratio to aim at.
POOL = ("client_memory", "client_cpu")


class Bench:
    """One run: the binaries, what is asked for, and what was measured."""

    def __init__(self, binaries, names, seconds, say):
        self.binaries = binaries
        self.names = names
        self.seconds = seconds
        self.say = say
        self.results = collections.defaultdict(list)
        self.failures = []

    def run(self, rounds):
        for number in range(rounds):
            sides = list(self.binaries)
            for side in sides if number % 2 == 0 else reversed(sides):
                self._round(side)

    def _round(self, side):
        if self._asked(BUSY) or self._asked(STARTING):
            with self._server(side) as server:
                self._starting(side, server)
                self._busy(side, server)
        if self._asked(BLOCKED):
            with self._server(side) as server:
                self._starting(side, server)
                self._blocked(side, server)
        if self._asked(THREE):
            with cluster.Cluster(self.binaries[side]) as three:
                self._three(side, three)
        if self._asked(LONG):
            with cluster.Cluster(self.binaries[side]) as three:
                self._measure("catch_up", side, three.catch_up)
        if self._asked(POOL) and side == "ours":
            self._pool(side)

    def _three(self, side, three):
        cluster.ask(three.leader(), "PUT", f"/v1/kv/{KEY}", b"x" * 100)
        for name, (which, query) in THREE_GETS.items():
            self._measure(name, side, lambda which=which, query=query: tools.wrk(
                f"{self._url(three, which)}/v1/kv/{KEY}{query}", 32, self.seconds))
        for name, (which, count) in THREE_PUTS.items():
            self._measure(name, side, lambda name=name, which=which, count=count: tools.wrk(
                f"{self._url(three, which)}/", count, self.seconds,
                put_prefix=f"/v1/kv/bench/{name}/"))
        self._measure("leader_gap", side, three.kill_leader)

    @staticmethod
    def _url(three, which):
        return cluster.url(three.leader() if which == "leader" else three.follower())

    def _pool(self, side):
        figures = []

        def of(which, scale):
            if not figures:
                figures.extend(pool.measure(self.binaries[side]))
            return figures[which] * scale

        self._measure("client_memory", side, lambda: of(0, 1 / MEGABYTE))
        self._measure("client_cpu", side, lambda: of(1, 100))

    def _asked(self, group):
        return any(name in self.names for name in group)

    def _server(self, side):
        return agent.Agent(self.binaries[side], reference=side == "reference", config=CONFIG)

    def _measure(self, name, side, load):
        """Runs a load if it is asked for, and keeps its figure or the reason why there is none."""
        if name not in self.names:
            return
        try:
            value = load()
        except (tools.LoadError, OSError) as error:
            self.failures.append(f"{name}, {side}: {error}")
            self.say(f"{name}, {side}: FAILED: {error}")
            return
        self.results[name, side].append(value)
        self.say(f"{name}, {side}: {report.number(value, report.TARGETS[name].unit)}")

    def _starting(self, side, server):
        """Every start is one more measurement of it."""
        took = server.wait_until_answers(f"/v1/kv/{KEY}", lambda r: r.status in (200, 404))
        self._measure("start", side, lambda: took)
        server.wait_until_registered()
        if "memory_fresh" in self.names:
            time.sleep(SETTLE_S)
        self._measure("memory_fresh", side, lambda: server.resident_bytes() / MEGABYTE)

    def _busy(self, side, server):
        url = f"http://127.0.0.1:{server.ports['http']}"
        seconds = self.seconds
        server.put(f"/v1/kv/{KEY}", b"x" * 100)
        gets = {
            "get_default": f"/v1/kv/{KEY}",
            "get_consistent": f"/v1/kv/{KEY}?consistent",
            "catalog_nodes": "/v1/catalog/nodes",
        }
        for name, path in gets.items():
            self._measure(name, side, lambda path=path: tools.wrk(url + path, 32, seconds))
        self._measure("dns_node", side, lambda: self._dns(server))
        if side == "ours":
            self._measure("grpc_get", side, lambda: tools.grpc_get(
                self._generator("grpc_get"), f"127.0.0.1:{server.ports['rpc']}", KEY, 64, 8,
                seconds))
        for name, connections in (("put_1", 1), ("put_64", 64)):
            self._measure(name, side, lambda count=connections: tools.wrk(
                url + "/", count, seconds, put_prefix=f"/v1/kv/bench/put{count}/"))

    def _dns(self, server):
        with tempfile.NamedTemporaryFile("w", suffix=".dns") as file:
            file.write(f"{agent.NODE_NAME}.node.consul A\n")
            file.flush()
            return tools.dnsperf(server.ports["dns"], file.name, 8, self.seconds)

    def _blocked(self, side, server):
        def rounds(count):
            binary = self._generator("blocked_queries")
            return statistics.median(
                tools.blocked_queries(binary, server.ports["http"], count, BLOCKED_ROUNDS))

        self._measure("blocked_1000", side, lambda: rounds(1000))
        if "blocked_10000" in self.names or "memory_after_blocked" in self.names:
            values = []
            self._measure("blocked_10000", side, lambda: values.append(rounds(10000)) or values[0])
            if "blocked_10000" not in self.names:
                rounds(10000)
            time.sleep(SETTLE_S)
            self._measure("memory_after_blocked", side,
                          lambda: server.resident_bytes() / MEGABYTE)

    def _generator(self, name):
        return os.path.join(ROOT, "bazel-bin/tests/bench", name)


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Ours and the reference side by side on this machine.",
        epilog="loads: " + " ".join(report.TARGETS))
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"loads to run (default: all but {' '.join(LONG)})")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--seconds", type=int, default=5, help="that each load takes")
    parser.add_argument("--only", choices=("ours", "reference"), help="one side of the two")
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of a table")
    parser.add_argument("--ours", help="our binary")
    parser.add_argument("--reference", help="the reference's binary")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in report.TARGETS:
            parser.error(f"no load {name!r}; there are: {' '.join(report.TARGETS)}")
    return options


def main(argv):
    options = parse_arguments(argv)
    sides = {"reference": options.reference, "ours": options.ours}
    binaries = {side: path for side, path in sides.items() if options.only in (None, side)}
    raise_file_limit()
    names = options.names or [name for name in report.TARGETS if name not in LONG]
    bench = Bench(binaries, names, options.seconds,
                  lambda line: print(line, file=sys.stderr, flush=True))
    bench.run(options.rounds)
    rows = report.rows(bench.results)
    print(json.dumps(rows, indent=2) if options.json else report.table(rows))
    for failure in bench.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return int(bool(bench.failures) or not rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
