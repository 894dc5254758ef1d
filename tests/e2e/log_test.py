"""Goal: a damaged log is refused and left alone, a torn end is cut, a full disk refuses writes.
Method: the files of a server that has ended are changed, and the same command is given again; for
the full disk the data directory is a small file system of its own.
"""

import glob
import os
import random
import re
import shutil
import subprocess

from tests.e2e.harness import Agent, Story, get, put

VALUE = "a value that is long enough to be found in the file, number {}"
KEYS = 20
GROUP = b"!Grp"
GROUP_HEADER_BYTES = 24


class LogStory(Story):
    """A server that has written some keys and ended."""

    def setUp(self):
        super().setUp()
        agent = self.agent()
        for number in range(KEYS):
            self.assertEqual(put(f"/v1/kv/key/{number}", VALUE.format(number)).body, b"true")
        self.assertEqual(agent.leave(), 0)
        (self.file,) = glob.glob(os.path.join(self.data_dir, "raft", "*.log"))

    def read(self):
        with open(self.file, "rb") as file:
            return file.read()

    def replace(self, data):
        with open(self.file, "wb") as file:
            file.write(data)

    def flip(self, offset, bit=0):
        data = bytearray(self.read())
        data[offset] ^= 1 << bit
        self.replace(data)

    def mark(self, data):
        """Where the log's end is: the last group's header, which has no records."""
        return data.rindex(GROUP)

    def assert_all_keys(self):
        for number in range(KEYS):
            self.assertEqual(get(f"/v1/kv/key/{number}?raw").body.decode(), VALUE.format(number))


class DamageTest(LogStory):
    """Bytes that were durable have changed."""

    def assert_refused(self):
        """The start is refused, naming the file and a place in it; returns what it says."""
        damaged = self.read()
        stderr = self.start_fails()
        self.assertRegex(stderr, r"^==> Error starting agent: ")
        self.assertIn(self.file, stderr)
        self.assertTrue(self.read() == damaged, "the log was touched")
        return stderr

    def test_a_flipped_bit_in_a_value_is_named(self):
        offset = self.read().index(VALUE.format(KEYS // 2).encode()) + 7
        self.flip(offset)
        stderr = self.assert_refused()
        # The place is that of the group with the record, which is just before.
        place = int(re.search(r"offset (\d+)", stderr)[1])
        self.assertTrue(offset - 200 <= place <= offset, stderr)

    def test_the_same_bit_flipped_back_is_fine(self):
        offset = self.read().index(VALUE.format(3).encode())
        self.flip(offset)
        self.assert_refused()
        self.flip(offset)
        self.agent()
        self.assert_all_keys()

    def test_flipped_bits_anywhere(self):
        seed = int(os.environ.get("E2E_SEED", random.randrange(1 << 32)))
        print(f"E2E_SEED={seed}")
        chance = random.Random(seed)
        sound = self.read()
        for _ in range(20):
            offset = chance.randrange(self.mark(sound))
            with self.subTest(offset=offset):
                self.flip(offset, chance.randrange(8))
                self.assert_refused()
                self.replace(sound)
        self.agent()
        self.assert_all_keys()

    def test_a_page_of_zeros(self):
        data = bytearray(self.read())
        data[4096 : 4096 + 512] = bytes(512)
        self.replace(data)
        self.assert_refused()

    def test_a_file_cut_short(self):
        self.replace(self.read()[:100000])
        self.assert_refused()

    def test_an_empty_file(self):
        self.replace(b"")
        self.assert_refused()

    def test_a_file_of_another_kind(self):
        self.replace(b"something else " * 100000)
        self.assert_refused()

    def test_a_missing_first_file(self):
        os.rename(self.file, self.file.replace("0001.log", "0002.log"))
        stderr = self.start_fails()
        self.assertIn("0000000000000002.log", stderr)

    def test_an_agent_that_starts_after_the_repair_has_everything(self):
        shutil.copy(self.file, self.path("kept"))
        self.flip(5000)
        self.assert_refused()
        shutil.copy(self.path("kept"), self.file)
        self.agent()
        self.assert_all_keys()


class TornTailTest(LogStory):
    """What was never acknowledged stands behind the end."""

    def overwrite_end(self, garbage, skip=0):
        data = bytearray(self.read())
        end = self.mark(data) + skip
        data[end : end + len(garbage)] = garbage
        self.replace(data)

    def assert_starts(self):
        agent = self.agent()
        self.assert_all_keys()
        self.assertEqual(put("/v1/kv/after", "the cut").body, b"true")
        self.assertEqual(agent.leave(), 0)
        self.agent()
        self.assert_all_keys()
        self.assertEqual(get("/v1/kv/after?raw").body, b"the cut")
        return agent

    def test_garbage(self):
        self.overwrite_end(random.Random(1).randbytes(3000))
        agent = self.assert_starts()
        self.assertRegex(agent.stdout(), r"\[WARN\] .*" + os.path.basename(self.file))

    def test_garbage_behind_the_mark(self):
        self.overwrite_end(random.Random(2).randbytes(3000), GROUP_HEADER_BYTES)
        self.assert_starts()

    def test_half_a_group_of_another_log(self):
        data = self.read()
        first = data.index(GROUP, 4096)
        self.overwrite_end(data[first : first + 100])
        self.assert_starts()

    def test_a_mark_that_is_gone(self):
        self.overwrite_end(bytes(GROUP_HEADER_BYTES))
        self.assert_starts()

    def test_a_segment_that_was_being_made(self):
        with open(self.file.replace("0001.log", "0002.log.new"), "wb") as file:
            file.write(b"half")
        self.assert_starts()
        self.assertFalse(glob.glob(os.path.join(self.data_dir, "raft", "*.new")))


class FullDiskTest(Story):
    """The data directory is on a file system of a few megabytes."""

    MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]

    def setUp(self):
        super().setUp()
        os.mkdir(self.data_dir)
        allowed = subprocess.run(
            [*self.MOUNT, 'mount -t tmpfs -o size=1m none "$0"', self.data_dir],
            stderr=subprocess.PIPE,
            check=False,
        )
        if allowed.returncode != 0:
            self.skipTest(f"no file system can be mounted here: {allowed.stderr}")

    def agent_with_disk(self, size):
        mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
        agent = Agent(self.data_dir, prefix=[*self.MOUNT, mount, self.data_dir])
        self.addCleanup(agent.close)
        return agent

    def fill(self):
        """Writes until a write is refused; returns the keys that were acknowledged, the refusal."""
        keys = []
        for number in range(100):
            answer = put(f"/v1/kv/large/{number}", bytes([65 + number % 26]) * 200_000)
            if answer.status != 200:
                return keys, answer
            keys.append(number)
        self.fail("nothing was refused")
        return keys, None

    def test_writes_are_refused_and_reads_go_on(self):
        agent = self.agent_with_disk("20m").wait_until_ready()
        keys, refusal = self.fill()
        self.assertGreater(len(keys), 10)
        self.assertEqual(refusal.status, 500)
        self.assertIn("No space left", refusal.body.decode())
        self.assertIn("left to the next snapshot", refusal.body.decode())
        for number in keys:
            self.assertEqual(
                get(f"/v1/kv/large/{number}?raw").body, bytes([65 + number % 26]) * 200_000
            )
        self.assertEqual(get(f"/v1/kv/large/{len(keys)}").status, 404)
        self.assertTrue(agent.runs())
        self.assertEqual(agent.leave(), 0)

    def test_a_small_state_is_written_for_ever(self):
        """The log leaves the snapshot its room, and one is taken when room gets short."""
        agent = self.agent_with_disk("24m").wait_until_ready()
        for number in range(300):
            answer = put("/v1/kv/same", bytes([65 + number % 26]) * 200_000)
            self.assertEqual(answer.status, 200, f"write {number}: {answer.body}")
        self.assertIn("raft: snapshot complete", agent.stdout())
        self.assertEqual(agent.leave(), 0)

    def test_a_start_without_room_says_so(self):
        agent = self.agent_with_disk("100k")
        self.assertEqual(agent.wait(), 1)
        self.assertIn("No space left on device", agent.stderr())
        self.assertIn(self.data_dir, agent.stderr())
