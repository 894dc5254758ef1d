"""Goal: a server whose disk is full stops nothing that does not need it, says so, loses nothing,
and goes on when there is room.
Method: three servers, the data of one, two or all of which is on a file system of a few megabytes
that is written full and made larger.
"""

import base64
import time

from tests.e2e.cluster_story import ClusterStory, SteadyWriter


class DiskStory(ClusterStory):
    FORMED = False
    SMALL, LARGE = "16m", "128m"
    VALUE_BYTES = 300_000
    WRITES_MAX = 60
    NO_SPACE = "No space left"
    # Of a write that was on its way to a leader in the moment in which it lost the lead.
    IN_DOUBT = "may yet be applied"
    OWN_DISK = "this server's disk is full: "
    NO_MAJORITY = "no majority has written entry "
    # From when on that is known it is said at once.
    AT_ONCE_S = 5
    SMALL_COUNT = 1
    # The log leaves the next snapshot as much as it takes itself and four megabytes; its smallest
    # segment has one.
    LEFT_BYTES_MAX = 12 << 20

    def setUp(self):
        super().setUp()
        self.small = self.servers[0]
        for server in self.servers[: self.SMALL_COUNT]:
            server.use_small_disk(self.SMALL)
        self.large = self.servers[self.SMALL_COUNT :] or self.others(self.small)
        self.start_all()
        self.settle()
        self.accepted = []
        self.in_doubt = []
        self.refused = []
        self.refusals = set()
        self.elections_before = 0

    def value(self, key):
        return key.ljust(self.VALUE_BYTES, ".")

    def write(self, server, key):
        """Writes much; returns the answer."""
        answer = server.put(f"/v1/kv/{key}", self.value(key))
        if answer.body == b"true":
            self.accepted.append(key)
        elif self.IN_DOUBT in answer.body.decode():
            self.in_doubt.append(key)
        else:
            self.refused.append(key)
            self.refusals.add(answer.body.decode())
        return answer

    def elections(self):
        return self.logs().count("raft: Election won. ")

    def few_are_in_doubt(self, as_designed, of_each_election):
        """More than those by design only where a busy machine made leaders lose the lead."""
        elections = self.elections() - self.elections_before
        self.assertLessEqual(len(self.in_doubt), as_designed + elections * of_each_election)

    def fill(self, until):
        """Writes through one that has room until the small disk is full."""
        self.elections_before = self.elections()
        for number in range(self.WRITES_MAX):
            self.write(self.large[0], f"much/{number}")
            if until():
                return
        self.fail(f"the disk has {self.small.disk.bytes_free()} bytes left")

    def lead_by(self, server):
        """Ends other leaders until it leads."""

        def leads():
            leader = self.agree()
            if leader is not server:
                self.restart(leader)
            return leader is server

        self.eventually(leads, f"{server.name} leads")
        self.take_part()

    def follow(self):
        """The small one does not lead."""
        if self.agree() is self.small:
            self.restart(self.small)
            self.take_part()
        self.assertIsNot(self.agree(), self.small)

    def says_that_it_is_full(self):
        """In the log, with the place."""
        return any(
            "raft: disk full: " in line and self.NO_SPACE in line and self.small.data_dir() in line
            for line in self.small.log().splitlines()
        )

    def says_that_it_hands_on(self):
        return "raft: disk full, handing over leadership: " in self.small.log()

    def is_full(self):
        """No more than what the log leaves is left."""
        self.assertLess(self.small.disk.bytes_free(), self.LEFT_BYTES_MAX)

    def refused_by_all_that_is_sent(self, leader):
        """Through a leader that hears the others, which do not write."""
        self.eventually(
            lambda: self.NO_MAJORITY in self.write(leader, f"much/{time.monotonic()}").body.decode()
            and self.refused,
            "the reason",
        )
        began = time.monotonic()
        answer = self.write(leader, "much/refused")
        self.assertLess(time.monotonic() - began, self.AT_ONCE_S)
        self.assertEqual(answer.status, 500)
        self.assertIn(self.NO_MAJORITY, answer.body.decode())
        # The first that waited; where a lead is lost the one under way, and the next lead's first.
        self.few_are_in_doubt(1, 2)
        # Reads need nobody's disk.
        for how in ("raw", "raw&consistent", "raw&stale"):
            read = leader.get(f"/v1/kv/{self.accepted[0]}?{how}")
            self.assertEqual((read.status, read.body.decode()), (200, self.value(self.accepted[0])))

    def goes_on_with(self, server):
        self.eventually(
            lambda: self.write(server, f"much/later/{time.monotonic()}").body == b"true",
            "writes go on",
        )

    def has_all(self):
        """All have what was accepted, as it was written, and nothing that was refused."""
        self.agree()
        self.take_part()
        rows = self.have_the_same("much")
        self.assertEqual(sorted(set(rows) - set(self.in_doubt)), sorted(self.accepted))
        for key, row in rows.items():
            self.assertEqual(base64.b64decode(row["Value"]).decode(), self.value(key))


class FullFollowerTest(DiskStory):
    """The others are a majority."""

    MORE = 30

    def fill_it(self):
        self.follow()
        self.fill(self.says_that_it_is_full)
        # It may have found room for some more: now there is surely none.
        for number in range(self.MORE):
            self.write(self.large[number % 2], f"much/more/{number}")
        self.assertEqual(self.refused, [])
        self.is_full()

    def test_writes_go_on_and_it_catches_up_when_there_is_room(self):
        self.fill_it()
        # It tells what it has, which is old, and takes no harm.
        (first,) = self.small.asked(f"/v1/kv/{self.accepted[0]}?stale")
        self.assertEqual(first["Key"], self.accepted[0])
        self.assertEqual(self.small.get(f"/v1/kv/{self.accepted[-1]}?stale").status, 404)
        self.assertTrue(self.small.agent.runs())
        # What it cannot serve it refuses with the reason.
        for answer in [
            self.small.put("/v1/kv/through-it", "x"),
            self.small.get(f"/v1/kv/{self.accepted[-1]}"),
            self.small.get(f"/v1/kv/{self.accepted[-1]}?consistent"),
        ]:
            self.assertEqual(answer.status, 500)
            self.assertIn(self.OWN_DISK, answer.body.decode())
            self.assertIn(self.NO_SPACE, answer.body.decode())
        self.small.disk.resize(self.LARGE)
        self.has_all()

    def test_a_start_without_room_is_one(self):
        self.fill_it()
        self.restart(self.small)
        self.eventually(
            lambda: self.small.get(f"/v1/kv/{self.accepted[0]}?stale").status == 200, "what it has"
        )
        self.write(self.large[1], "much/later")
        self.small.disk.resize(self.LARGE)
        self.has_all()

    def test_with_the_leader_gone_too_it_votes_and_nothing_is_lost(self):
        self.fill_it()
        leader = self.agree()
        (left,) = [server for server in self.large if server is not leader]
        # What is committed it hears with the next heartbeat.
        self.eventually(
            lambda: left.get(f"/v1/kv/{self.accepted[-1]}?raw&stale").status == 200, "it has all"
        )
        leader.kill()
        # The full one's vote has room, what it lacks has none: nothing can be committed. The first
        # write may have been on its way.
        self.write(left, "much/in-the-moment")
        self.assertEqual(self.agree([left, self.small]), left)
        self.assertEqual(self.write(left, "much/refused").body, b"No cluster leader")
        self.assertIn(self.OWN_DISK, self.write(self.small, "much/refused").body.decode())
        read = left.get(f"/v1/kv/{self.accepted[-1]}?raw&stale")
        self.assertEqual((read.status, read.body.decode()), (200, self.value(self.accepted[-1])))
        self.small.disk.resize(self.LARGE)
        self.take_part([left, self.small])
        self.restart(leader)
        self.has_all()

    def test_with_the_other_follower_gone_too_writes_are_refused_until_there_is_room(self):
        self.fill_it()
        leader = self.agree()
        (gone,) = [server for server in self.large if server is not leader]
        gone.kill()
        self.refused_by_all_that_is_sent(leader)
        # Whether the one that is gone is named as well depends on autopilot: it is taken out.
        refused = self.write(leader, "much/refused").body.decode()
        self.assertRegex(refused, r"^no majority has written entry \d+ for 20 s: server .* has not")
        self.small.disk.resize(self.LARGE)
        self.goes_on_with(leader)
        self.restart(gone)
        self.has_all()


class FullLeaderTest(DiskStory):
    """Others have room."""

    def test_it_hands_on_and_no_write_is_refused(self):
        self.lead_by(self.small)
        self.fill(self.says_that_it_hands_on)
        self.is_full()
        self.eventually(lambda: self.agree() is not self.small, "another leads")
        for number in range(10):
            self.write(self.large[number % 2], f"much/after/{number}")
        self.assertEqual(self.refusals, set())
        # What was under way when a lead ended, the small one's first of all.
        self.few_are_in_doubt(0, 1)
        self.assertIsNot(self.agree(), self.small)
        for server in self.large:
            for key in self.accepted:
                read = server.get(f"/v1/kv/{key}?raw&consistent")
                self.assertEqual((read.status, read.body.decode()), (200, self.value(key)))
        self.small.disk.resize(self.LARGE)
        self.has_all()


class TwoFullTest(DiskStory):
    """A majority answers and does not write."""

    SMALL_COUNT = 2

    def test_writes_are_refused_with_the_reason_and_go_on_when_one_has_room(self):
        (large,) = self.large
        self.lead_by(large)
        self.fill(lambda: self.in_doubt)
        self.assertEqual(self.refused, [])
        self.refused_by_all_that_is_sent(large)
        for server in self.servers[: self.SMALL_COUNT]:
            self.assertIn(self.OWN_DISK, server.put("/v1/kv/through-it", "x").body.decode())
        self.small.disk.resize(self.LARGE)
        self.goes_on_with(large)
        self.servers[1].disk.resize(self.LARGE)
        self.has_all()


class AllFullTest(DiskStory):
    """Nothing comes into the log, whoever leads."""

    SMALL_COUNT = 3

    def test_writes_are_refused_with_the_reason_and_go_on_when_there_is_room(self):
        self.fill(lambda: self.refused)
        self.assertGreater(len(self.accepted), 5)
        told = []

        def refused_for_the_disk():
            answer = self.write(self.small, f"much/more/{len(self.refused)}")
            told.append((answer.status, answer.body.decode()))
            return "disk" in told[-1][1] or self.NO_SPACE in told[-1][1]

        self.eventually(refused_for_the_disk, "the reason", 60)
        self.assertEqual({status for status, _ in told}, {500})
        for server in self.servers:
            for key in self.accepted:
                read = server.get(f"/v1/kv/{key}?raw&stale")
                self.assertEqual((read.status, read.body.decode()), (200, self.value(key)))
        for server in self.servers:
            server.disk.resize(self.LARGE)
        with SteadyWriter(self.large, "after") as writer:
            self.eventually(lambda: len(writer.accepted) > 20, "writes go on")
        self.has_all()
