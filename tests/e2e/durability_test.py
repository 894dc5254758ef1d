"""Goal: what was acknowledged is there after kill -9, whenever it comes; nothing else is.
Method: writers on connections of their own write, overwrite, delete, and count with cas, while the
server is killed at moments of a seeded generator, some of them during its start. After each start
every key must have the value that was acknowledged last, or that of the one write that was under
way; indexes only grow.
"""

import base64
import http.client
import json
import os
import random
import signal
import threading
import time

from tests.e2e.harness import HOST, HTTP_PORT, Story, eventually, get, index_of, put

ROUNDS = 20
WRITERS = 6
KEYS_PER_WRITER = 12
SEED = int(os.environ.get("E2E_SEED", random.randrange(1 << 32)))
# Snapshots whenever the log has become as large as the state.
OFTEN = """
raft_snapshot_threshold = 20
raft_snapshot_interval = "1ms"
raft_trailing_logs = 5
"""
# What a key has that is not there.
ABSENT = None


class Client:
    """One connection, opened again after each kill."""

    def __init__(self):
        self._connection = http.client.HTTPConnection(HOST, HTTP_PORT, timeout=20)

    def ask(self, method, target, body=None):
        """(status, headers, body), or None when the server went away before it answered."""
        try:
            self._connection.request(method, target, body)
            response = self._connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None


class Writer:
    """Writes its own keys one after the other, and knows what each may hold."""

    def __init__(self, number, chance):
        self.number = number
        self.chance = chance
        self.acknowledged = {self.key(n): ABSENT for n in range(KEYS_PER_WRITER)}
        self.under_way = {}  # at most one: key to the value that nobody has acknowledged
        self.unknown = []
        self.writes = 0

    def key(self, number):
        return f"writer/{self.number}/{number}"

    def value(self):
        self.writes += 1
        size = self.chance.choice([0, 10, 100, 1000, 20_000])
        return f"{self.writes}:".encode() + self.chance.randbytes(size)

    def run(self, stop):
        client = Client()
        while not stop.is_set():
            if not self.write_one(client):
                return

    def write_one(self, client):
        """Returns whether it was answered."""
        key = self.key(self.chance.randrange(KEYS_PER_WRITER))
        deletes = self.chance.random() < 0.15
        value = ABSENT if deletes else self.value()
        self.under_way = {key: value}
        answer = client.ask("DELETE" if deletes else "PUT", f"/v1/kv/{key}", value)
        if answer is None:
            return False
        status, _, body = answer
        if status == 500 and b"No cluster leader" in body:
            self.under_way = {}  # Refused, so not written.
            return True
        if status == 500:
            self.unknown.append(body)  # Ended before it knew whether it was written.
            return False
        if status != 200 or body != b"true":
            raise AssertionError(f"{key}: {status} {body}")
        self.acknowledged[key] = value
        self.under_way = {}
        return True

    def problems(self, found):
        """What is wrong with the values found; takes them for what is there from now on."""
        for key, expected in self.acknowledged.items():
            value = found.get(key, ABSENT)
            if value != expected and not (key in self.under_way and value == self.under_way[key]):
                yield f"{key}: {short(value)} instead of {short(expected)}"
            self.acknowledged[key] = value
        self.under_way = {}


class Counter:
    """Counts one key up by cas, in competition with others."""

    KEY = "counter"

    def __init__(self):
        self.acknowledged = []

    def run(self, stop):
        client = Client()
        while not stop.is_set():
            read = client.ask("GET", f"/v1/kv/{self.KEY}")
            if read is None:
                return
            if read[0] == 500:
                continue
            value, index = 0, 0
            if read[0] == 200:
                (row,) = json.loads(read[2])
                value, index = int(base64.b64decode(row["Value"])), row["ModifyIndex"]
            written = client.ask("PUT", f"/v1/kv/{self.KEY}?cas={index}", str(value + 1).encode())
            if written is None:
                return
            if written[2] == b"true":
                self.acknowledged.append(value + 1)


class IndexReader:
    """Reads the index over and over: it never goes back."""

    def __init__(self):
        self.highest = 0
        self.problems = []

    def run(self, stop):
        client = Client()
        while not stop.is_set():
            answer = client.ask("GET", "/v1/kv/writer/?keys")
            if answer is None:
                return
            if answer[0] in (200, 404):
                self.take(int(answer[1]["X-Consul-Index"]))

    def take(self, index):
        if index < self.highest:
            self.problems.append(f"index {index} after {self.highest}")
        self.highest = max(self.highest, index)


def short(value):
    return "nothing" if value is None else f"{value[:20]!r} of {len(value)} bytes"


class KillTest(Story):
    """kill -9 in a loop."""

    def setUp(self):
        super().setUp()
        print(f"E2E_SEED={SEED}")
        self.chance = random.Random(SEED)
        self.writers = [
            Writer(number, random.Random(self.chance.random())) for number in range(WRITERS)
        ]
        self.counters = [Counter(), Counter()]
        self.reader = IndexReader()
        self.rows = {}  # of the last round, by key
        self.kills = 0

    def work(self, seconds, end):
        """Lets all of them work, and calls `end` in the midst of it."""
        stop = threading.Event()
        failures = []

        def guarded(run):
            try:
                run(stop)
            except BaseException as error:
                failures.append(error)

        workers = self.writers + self.counters + [self.reader]
        threads = [threading.Thread(target=guarded, args=(worker.run,)) for worker in workers]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        end()
        self.kills += 1
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def check(self):
        response = get("/v1/kv/?recurse&consistent")
        self.reader.take(index_of(get("/v1/kv/writer/?keys")))
        self.assertEqual(self.reader.problems, [])
        rows = {row["Key"]: row for row in json.loads(response.body or b"[]")}
        values = {key: base64.b64decode(row["Value"] or "") for key, row in rows.items()}
        problems = [p for writer in self.writers for p in writer.problems(values)]
        self.assertEqual(problems, [])
        self.check_rows(rows, index_of(response))
        self.check_counter(int(values.get(Counter.KEY, b"0")))

    def check_rows(self, rows, index):
        """What was not written again is the same row; what was has a higher index."""
        for key, row in rows.items():
            self.assertLessEqual(row["ModifyIndex"], index)
            self.assertLessEqual(row["CreateIndex"], row["ModifyIndex"])
            before = self.rows.get(key)
            if before is None:
                continue
            self.assertGreaterEqual(row["ModifyIndex"], before["ModifyIndex"])
            if row["ModifyIndex"] == before["ModifyIndex"]:
                self.assertEqual(row, before)
        self.rows = rows

    def check_counter(self, value):
        """Each value was acknowledged to one counter at most, and none is lost."""
        acknowledged = [n for counter in self.counters for n in counter.acknowledged]
        self.assertEqual(len(acknowledged), len(set(acknowledged)), "acknowledged twice")
        self.assertGreaterEqual(value, max(acknowledged, default=0))
        # Those that nobody acknowledged were under way at a kill: at most one for each counter.
        self.assertLessEqual(value - len(acknowledged), self.kills * len(self.counters))

    def test_every_acknowledged_write_survives(self):
        for _ in range(ROUNDS):
            if self.chance.random() < 0.3:
                agent = self.started()
                time.sleep(self.chance.uniform(0, 0.06))
                agent.kill()
                agent.close()
            agent = self.agent()
            self.check()
            self.work(self.chance.uniform(0.01, 0.35), agent.kill)
            agent.close()
        agent = self.agent()
        self.check()
        self.assertEqual([writer.unknown for writer in self.writers], [[]] * WRITERS)
        writes = sum(writer.writes for writer in self.writers)
        self.assertGreater(writes, 10 * ROUNDS)
        print(f"{ROUNDS} kills, {writes} writes, counted to {len(self.counters[0].acknowledged)}")
        self.assertEqual(agent.leave(), 0)

    def test_kills_during_the_start_alone(self):
        """A log that is only ever opened stays as it is."""
        agent = self.agent()
        self.work(0.1, agent.kill)
        for _ in range(10):
            agent = self.started()
            time.sleep(self.chance.uniform(0, 0.08))
            agent.kill()
            agent.close()
        self.agent()
        self.check()

    def test_kills_during_the_leave(self):
        for _ in range(6):
            agent = self.agent()
            self.check()

            def leave_and_kill(agent=agent):
                agent.signal(signal.SIGINT)
                time.sleep(self.chance.uniform(0, 0.02))
                agent.kill()

            self.work(0.05, leave_and_kill)
            agent.close()
        self.agent()
        self.check()

    def test_leaves_in_the_midst_of_writes(self):
        for _ in range(3):
            agent = self.agent()
            self.check()
            self.work(0.1, lambda agent=agent: self.assertEqual(agent.leave(), 0))
            agent.close()
            for writer in self.writers:
                self.assertEqual(writer.unknown, [], "a write that was answered by neither")
        self.agent()
        self.check()


class KillWithSnapshotsTest(KillTest):
    """The same, while snapshots are taken and the log is shortened all the time."""

    def started(self, *flags, **kwargs):
        return super().started("-hcl", OFTEN, *flags, **kwargs)

    def files(self, suffix):
        names = os.listdir(os.path.join(self.data_dir, "raft"))
        return sorted(name for name in names if name.endswith(suffix))

    def test_every_acknowledged_write_survives(self):
        super().test_every_acknowledged_write_survives()
        self.assertNotEqual(self.files(".snapshot"), [])

    def test_the_data_dir_does_not_grow_with_every_write(self):
        writes = 130
        agent = self.agent()
        for number in range(writes):
            written = put("/v1/kv/large", f"{number}:".encode() + bytes(500_000))
            self.assertEqual(written.body, b"true")

        def is_short():
            segments = self.files(".log")
            # The active one, the next, made ahead, and one for what the last entries lie across.
            return len(segments) <= 3 and int(segments[0].split(".")[0]) > 3

        eventually(is_short, "a short log")
        self.assertEqual(agent.leave(), 0)
        (snapshot,) = self.files(".snapshot")
        self.assertLess(os.path.getsize(os.path.join(self.data_dir, "raft", snapshot)), 600_000)
        self.assertEqual(self.files(".new"), [])
        self.agent()
        value = get("/v1/kv/large?raw").body
        self.assertEqual(value, f"{writes - 1}:".encode() + bytes(500_000))
