"""Stories of several servers, each on a host of its own, that are one cluster."""

import json
import os
import random
import signal
import threading
import time

from tests.conformance import wire
from tests.e2e.harness import Process, Story, eventually, header
from tests.e2e.hosts import Disk, Switch
from tests.e2e.pool_story import QUICK

# Elections and heartbeats at their quickest; a death is told within some seconds, who joins votes
# soon, and what a leader does once all are stable is done when a case begins.
FAST = (
    *QUICK,
    "-hcl",
    """performance { raft_multiplier = 1 }
    autopilot { server_stabilization_time = "200ms" }""",
)
# A leader that nothing befalls stays the leader on a machine that does eight other things too, and
# who was cut off is not taken out: it would be half a minute until it is added again.
STEADY = (
    *QUICK,
    "-hcl",
    """performance { raft_multiplier = 5 rpc_hold_timeout = "2s" }
    autopilot { cleanup_dead_servers = false }""",
)
# An election takes a second; on a machine that does eight other things it may take many.
PATIENCE_S = 60
# Between two questions: servers have other things to do than to answer them.
PAUSE_S = 0.02
SEED = int(os.environ.get("E2E_SEED", random.randrange(1 << 32)))


class Server:
    """A host with a server agent, which may have been killed."""

    def __init__(self, story, name, number, flags):
        self.name = name
        self.host = story.switch.host(name, number)
        self.flags = flags
        self.disk = None  # a small one where its data is
        self.agent = None
        self._logs = []  # of those that were killed
        self._story = story
        self._lives = 0

    def start(self, *flags):
        return self.start_client("-server", *flags)

    def start_client(self, *flags):
        """Starts an agent that is no server."""
        command = ["agent", "-node", self.name, "-client", "0.0.0.0"]
        command += ["-data-dir", self.data_dir(), *self.flags, *flags]
        disk = self.disk.prefix if self.disk else ()
        self.agent = Process(*command, prefix=(*self.host.prefix, *disk))
        self._story.addCleanup(self.agent.close)
        return self

    def data_dir(self):
        return self._story.path(f"{self.name}-{self._lives}")

    def use_small_disk(self, size):
        self.disk = Disk(self.data_dir(), size)
        self._story.addCleanup(self.disk.close)

    def kill(self):
        """Ends it at once, if it runs."""
        if self.agent is not None:
            self.agent.kill()
            self._logs.append(self.agent.stdout())
            self.agent.close()
            self.agent = None

    def forget(self):
        """Begins with an empty directory when it is started again."""
        self._lives += 1
        self._logs = []

    def pause(self):
        self.agent.signal(signal.SIGSTOP)

    def go_on(self):
        self.agent.signal(signal.SIGCONT)

    def log(self):
        """What its agents have written since it was last told to forget."""
        return "".join([*self._logs, self.agent.stdout() if self.agent else ""])

    def get(self, target, timeout_s=30):
        return self.host.get(target, timeout_s)

    def put(self, target, body, timeout_s=30):
        return self.host.put(target, body, timeout_s)

    def asked(self, target, timeout_s=30):
        """The JSON of an answer; None where there is none."""
        try:
            response = self.get(target, timeout_s)
        except (OSError, wire.ClosedEarly):
            return None
        return json.loads(response.body) if response.status == 200 else None

    def leader(self, timeout_s=30):
        """Whom it takes for the leader, "" for nobody; None when it does not answer."""
        return self.asked("/v1/status/leader", timeout_s)

    def raft_address(self):
        return f"{self.host.address}:8300"

    def cut_off_from(self, *others):
        """Nothing that this host sends arrives there any more."""
        self.host.cut_off_from(*[other.host for other in others])

    def heal(self):
        self.host.heal()


class ClusterStory(Story):
    """Servers `s1` to `sN` on the addresses 1 to N; each joins all of them."""

    COUNT = 3
    EXPECT = 3
    FLAGS = FAST
    # Whether the cluster is there when a case begins.
    FORMED = True

    def setUp(self):
        super().setUp()
        print(f"E2E_SEED={SEED}", flush=True)
        self.chance = random.Random(SEED)
        self.switch = Switch()
        self.addCleanup(self.switch.close)
        self.servers = [
            self.server(number, self.EXPECT) for number in range(1, self.COUNT + 1)
        ]
        if self.FORMED:
            self.start_all()
            self.settle()

    def server(self, number, expect=EXPECT):
        flags = ("-bootstrap-expect", str(expect)) if expect else ()
        return Server(self, f"s{number}", number, (*flags, *self.FLAGS))

    def joins(self, servers=None):
        """Flags that join these servers where they are now."""
        flags = ["-retry-interval", "1s"]
        for server in servers or self.servers:
            flags += ["-retry-join", server.host.address]
        return flags

    def start_all(self):
        joins = self.joins()
        for server in self.servers:
            server.start(*joins)

    def restart(self, server):
        server.kill()
        server.start(*self.joins())

    def others(self, *servers):
        return [server for server in self.servers if server not in servers]

    def logs(self):
        return "\n".join(f"---- {each.name}:\n{each.log()}" for each in self.servers)

    def eventually(self, ask, what, patience_s=PATIENCE_S):
        def ask_or_pause():
            answer = ask()
            if not answer:
                time.sleep(PAUSE_S)
            return answer

        try:
            return eventually(ask_or_pause, what, patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def agree(self, servers=None):
        """Waits until these servers name the same one of them as the leader; returns it."""
        servers = servers or self.servers
        by_address = {server.raft_address(): server for server in servers}

        def same():
            leaders = {server.leader() for server in servers}
            return by_address.get(leaders.pop()) if len(leaders) == 1 else None

        return self.eventually(same, "a leader that all name")

    def settle(self):
        """Waits until the leader has done all that a new one does; returns it."""
        leader = self.agree()
        names = sorted(server.name for server in self.servers)

        def has_all():
            tables = [server.asked("/v1/catalog/nodes?stale") for server in self.servers]
            return all(t and sorted(row["Node"] for row in t) == names for t in tables)

        self.eventually(has_all, "all servers in the catalog")
        self.take_part()
        return leader

    def store(self, server, key, value):
        """Writes until it is accepted: whoever loses the leader for a moment says so."""
        self.eventually(
            lambda: server.put(f"/v1/kv/{key}", value).body == b"true",
            f"a write through {server.name}",
        )

    def take_part(self, servers=None):
        """Waits until each of these servers carries out a write and reads what the others wrote."""
        servers = servers or self.servers
        values = {}
        for server in servers:
            value = f"{server.name} {self.chance.random()}"
            self.store(server, f"part/{server.name}", value)
            values[server.name] = value.encode()
        for server in servers:
            for name, value in values.items():
                self.eventually(
                    lambda s=server, n=name, v=value: s.get(f"/v1/kv/part/{n}?raw").body == v,
                    f"what {name} wrote, at {server.name}",
                )

    def partition(self, *groups):
        """Nobody of one group hears anybody of another."""
        for group in groups:
            others = [server for other in groups if other is not group for server in other]
            for server in group:
                server.cut_off_from(*others)

    def heal(self):
        for server in self.servers:
            server.heal()

    def have_the_same(self, prefix):
        """Waits until the state of each server has the same rows there; returns them by key."""

        def same():
            tables = [server.asked(f"/v1/kv/{prefix}?recurse&stale") for server in self.servers]
            return None not in tables and all(t == tables[0] for t in tables) and tables[0]

        return {row["Key"]: row for row in self.eventually(same, "the same keys at all servers")}

    def goes_on(self, survivors, end, back, what):
        """Ends one in the midst of writes through the survivors; returns after `back`."""
        with SteadyWriter(survivors, what) as writer:
            self.eventually(lambda: len(writer.accepted) > 5, "writes")
            moment = time.monotonic()
            end()
            self.eventually(lambda: writer.accepted_since(moment + 1) > 5, "writes go on")
            print(f"{what}: {writer.longest_gap(moment):.3f} s without an accepted write")
            back()
            self.agree()
            self.take_part()
        rows = self.have_the_same(what)
        self.assertEqual([key for _, key in writer.accepted if key not in rows], [])


class SteadyWriter:
    """Writes one key after the other until stopped, through the servers in turn where one fails.

    A host with a client agent will do as a server.
    """

    PAUSE_S = 0.005
    TIMEOUT_S = 4

    def __init__(self, servers, prefix):
        self._servers = servers
        self._prefix = prefix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.accepted = []  # (when the answer came, the key)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        number, at = 0, 0
        while not self._stop.is_set():
            key = f"{self._prefix}/{number}"
            number += 1
            server = self._servers[at % len(self._servers)]
            try:
                done = server.put(f"/v1/kv/{key}", key, self.TIMEOUT_S).body == b"true"
            except (OSError, wire.ClosedEarly):
                done = False
            if done:
                self.accepted.append((time.monotonic(), key))
            else:
                at += 1
            self._stop.wait(self.PAUSE_S)

    def accepted_since(self, moment):
        return sum(when > moment for when, _ in self.accepted)

    def longest_gap(self, since):
        """Seconds without an accepted write, around and behind a moment."""
        times = [when for when, _ in self.accepted if when > since - 0.2]
        return max((after - before for before, after in zip(times, times[1:])), default=0)


def number_in(response, name):
    return int(header(response, name))
