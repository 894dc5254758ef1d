"""Goal: a restore is one for all servers: whichever is asked, all have the archive's state at one
index, or none has; who waits hears of it; and it stays.
Method: three servers whose state is saved, changed and restored through one that does not lead,
while others write and wait; one of which is down, or the leader is killed, in the middle.
"""

import os
import threading

from tests.e2e.cluster_story import ClusterStory, SteadyWriter, number_in
from tests.e2e.history_story import OFTEN


class RestoreStory(ClusterStory):
    """A state that was saved and has changed since."""

    KEYS = 20

    def setUp(self):
        super().setUp()
        self.file = self.path("backup.snap")
        self.leader = self.agree()
        self.follower = self.others(self.leader)[0]
        for number in range(self.KEYS):
            self.store(self.servers[number % 3], f"state/{number}", f"old {number}")

    def save(self):
        saved = self.follower.host.cli("snapshot", "save", self.file)
        self.assertEqual((saved.returncode, saved.stderr), (0, ""))
        self.saved = self.have_the_same("state")

    def change(self):
        """Some are written anew, one is gone, one is new; returns the rows."""
        for number in range(0, self.KEYS, 2):
            self.store(self.leader, f"state/{number}", f"new {number}")
        self.assertEqual(self.leader.host.cli("kv", "delete", "state/1").returncode, 0)
        self.store(self.leader, "state/later", "x")
        changed = self.have_the_same("state")
        self.assertNotEqual(changed, self.saved)
        return changed

    def restore(self, server):
        return server.host.cli("snapshot", "restore", self.file)

    def restore_well(self, server):
        restored = self.restore(server)
        self.assertEqual(
            (restored.returncode, restored.stdout, restored.stderr),
            (0, "Restored snapshot\n", ""),
            self.logs(),
        )

    def have_the_archives_state(self):
        """Waits until all have it, each in its own state; returns the index of it at all."""

        def same():
            answers = [each.get("/v1/kv/state?recurse&stale") for each in self.servers]
            rows = [each.asked("/v1/kv/state?recurse&stale") for each in self.servers]
            if any(table is None or by_key(table) != self.saved for table in rows):
                return None
            indexes = {number_in(answer, "X-Consul-Index") for answer in answers}
            return indexes.pop() if len(indexes) == 1 else None

        return self.eventually(same, "the archive's state at one index")


def by_key(rows):
    return {row["Key"]: row for row in rows}


class RestoreTest(RestoreStory):
    """Through a follower."""

    def blocked(self, answers):
        """Starts a query at each server that waits for a change; returns their threads."""
        threads = []
        for server in self.servers:
            target = "/v1/kv/state/0?stale"
            index = number_in(server.get(target), "X-Consul-Index")
            threads.append(
                threading.Thread(
                    target=lambda s=server, i=index: answers.append(
                        (s.name, i, s.get(f"/v1/kv/state/0?index={i}&wait=60s&raw", 70))
                    )
                )
            )
            threads[-1].start()
        return threads

    def test_all_have_it_while_others_write_and_wait(self):
        self.save()
        self.change()
        answers = []
        waiting = self.blocked(answers)
        with SteadyWriter([self.servers[2], self.servers[0]], "during") as writer:
            self.eventually(lambda: len(writer.accepted) > 20, "writes")
            before = len(writer.accepted)
            self.restore_well(self.follower)
            after = len(writer.accepted) + 1  # one may be under way
            self.eventually(lambda: len(writer.accepted) > after + 20, "writes go on")
        for thread in waiting:
            thread.join()
        index = self.have_the_archives_state()
        self.assertEqual(len(answers), len(self.servers))
        for name, asked, answer in answers:
            self.assertEqual((answer.status, answer.body), (200, b"old 0"), name)
            self.assertGreater(number_in(answer, "X-Consul-Index"), asked, name)
            self.assertEqual(number_in(answer, "X-Consul-Index"), index, name)

        # Of what was written beside it all is gone up to one moment, and all is there from then on.
        accepted = [key for _, key in writer.accepted]
        there = self.have_the_same("during")
        first = next(n for n, key in enumerate(accepted) if key in there)
        self.assertEqual([key for key in accepted[:first] if key in there], [])
        self.assertEqual([key for key in accepted[first:] if key not in there], [])
        self.assertTrue(before <= first <= after, (before, first, after))

        # It stays.
        for server in self.servers:
            server.kill()
        self.start_all()
        self.agree()
        self.take_part()
        self.assertGreaterEqual(self.have_the_archives_state(), index)
        self.assertEqual(self.have_the_same("during"), there)

    def test_one_that_was_down_comes_to_it(self):
        self.save()
        self.change()
        down = self.others(self.leader, self.follower)[0]
        down.kill()
        self.restore_well(self.follower)
        down.start(*self.joins())
        self.have_the_archives_state()
        self.agree()
        self.take_part()


class ShortLogTest(RestoreTest):
    """The same, where who was down is sent the leader's snapshot, and every restart begins with
    one."""

    FLAGS = (*RestoreStory.FLAGS, "-hcl", OFTEN)


class DamagedTest(RestoreStory):
    """A file that was one."""

    def test_a_damaged_archive_changes_nothing_anywhere(self):
        self.save()
        changed = self.change()
        with open(self.file, "rb") as file:
            sound = file.read()
        flipped = bytearray(sound)
        flipped[self.chance.randrange(20, len(sound) - 20)] ^= 1 << self.chance.randrange(8)
        indexes = self.log_indexes()
        for damaged in (bytes(flipped), sound[: len(sound) // 2], sound[:-1], b""):
            with open(self.file, "wb") as file:
                file.write(damaged)
            refused = self.restore(self.follower)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assertIn("Error restoring snapshot: ", refused.stderr)
            self.assertEqual(refused.stderr.count("\n"), 1, refused.stderr)
            answer = self.follower.put("/v1/snapshot", damaged)
            self.assertEqual(answer.status, 500)
        self.assertEqual(self.have_the_same("state"), changed)
        self.assertEqual(self.log_indexes(), indexes, "something came into the log")

    def log_indexes(self):
        return [
            server.asked("/v1/agent/self")["Stats"]["raft"]["last_log_index"]
            for server in self.servers
        ]


class LargeTest(RestoreStory):
    """A restore of many pieces."""

    VALUES = 24
    VALUE_BYTES = 400_000
    CHUNK_BYTES = 512 << 10
    # At least; the commit comes behind them.
    PIECES = VALUES * VALUE_BYTES // CHUNK_BYTES

    def setUp(self):
        super().setUp()
        for number in range(self.VALUES):
            value = os.urandom(self.VALUE_BYTES // 2).hex()
            self.store(self.leader, f"state/large/{number}", value)
        self.save()
        self.changed = self.change()

    def test_the_leader_is_killed_in_the_middle(self):
        # A restore that was over before it could be stopped proves nothing.
        for _ in range(20):
            outcomes = []
            index = self.log_index(self.leader)
            restore = threading.Thread(target=lambda: outcomes.append(self.restore(self.follower)))
            restore.start()
            pieces = self.chance.choice([1, 4, 9])
            self.eventually(
                lambda: self.log_index(self.leader) >= index + pieces or not restore.is_alive(),
                "pieces",
            )
            self.leader.pause()
            if 0 < self.log_index(self.follower) < index + self.PIECES:
                break
            self.leader.go_on()
            restore.join()
            self.leader = self.agree()
            self.changed = self.change()
        else:
            self.fail("each restore was over too soon")
        self.leader.kill()
        restore.join()
        (outcome,) = outcomes
        print(pieces, outcome, flush=True)
        self.restart(self.leader)
        self.leader = self.agree()
        self.take_part()
        rows = self.have_the_same("state")
        if outcome.returncode == 0:
            self.assertEqual(rows, self.saved)
        else:
            self.assertIn(rows, (self.saved, self.changed), "one state or the other")
            self.assertEqual(outcome.stdout, "")
            self.assertIn("Error restoring snapshot: ", outcome.stderr)
        self.restore_well(self.follower)
        self.have_the_archives_state()

    def log_index(self, server):
        answer = server.asked("/v1/agent/self")
        return int(answer["Stats"]["raft"]["last_log_index"]) if answer else 0
