"""Goal: a saved state comes back whole, on the agent that runs, over HTTP and by command; who waits
hears of it; and what is no sound archive changes nothing. Method: one server, its state saved,
changed, restored, damaged, and killed in the middle of a restore.
"""

import base64
import json
import os
import subprocess
import threading
import time
from http.client import HTTPConnection

from tests.conformance import wire
from tests.e2e.harness import (
    BINARY,
    HOST,
    HTTP_PORT,
    PATIENCE_S,
    Story,
    cli,
    eventually,
    get,
    header,
    http,
    index_of,
    put,
)

CHUNK = 512 << 10


def put_quietly(archive):
    """The server may be killed before it answers."""
    try:
        put("/v1/snapshot", archive)
    except (OSError, wire.ClosedEarly):
        pass


def value(key):
    answer = get(f"/v1/kv/{key}")
    return base64.b64decode(json.loads(answer.body)[0]["Value"]) if answer.status == 200 else None


class SnapshotTest(Story):
    def setUp(self):
        super().setUp()
        self.server = self.agent()
        self.file = self.path("backup.snap")

    def save(self):
        saved = cli("snapshot", "save", self.file)
        self.assertEqual((saved.returncode, saved.stderr), (0, ""))
        self.assertRegex(saved.stdout, r"^Saved and verified snapshot to index \d+\n$")
        return saved

    def restart(self):
        """After kill -9."""
        self.server.kill()
        self.server = self.agent()

    def restore(self):
        restored = cli("snapshot", "restore", self.file)
        self.assertEqual((restored.returncode, restored.stdout, restored.stderr),
                         (0, "Restored snapshot\n", ""))

    def test_a_saved_state_comes_back_by_command(self):
        put("/v1/kv/kept", "1")
        put("/v1/kv/changed", "old")
        put("/v1/kv/deleted", "1")
        modified = json.loads(get("/v1/kv/changed").body)[0]["ModifyIndex"]
        self.save()
        self.assertEqual(sorted(os.listdir(self.folder)), ["backup.snap", "data"])
        put("/v1/kv/changed", "new")
        http("DELETE", "/v1/kv/deleted")
        put("/v1/kv/later", "1")
        before = index_of(get("/v1/kv/changed"))
        self.restore()
        self.assertEqual([value(key) for key in ("kept", "changed", "deleted", "later")],
                         [b"1", b"old", b"1", None])
        self.assertGreater(index_of(get("/v1/kv/changed")), before, "no index falls")
        self.assertEqual(json.loads(get("/v1/kv/changed").body)[0]["ModifyIndex"], modified)
        put("/v1/kv/changed", "newest")
        self.restart()
        self.assertEqual([value(key) for key in ("kept", "changed", "deleted", "later")],
                         [b"1", b"newest", b"1", None])

    def test_over_http_and_with_a_large_state(self):
        values = {f"large/{n}": os.urandom(400_000) for n in range(12)}
        for key, bytes_ in values.items():
            put(f"/v1/kv/{key}", bytes_)
        saved = get("/v1/snapshot")
        self.assertEqual(saved.status, 200)
        self.assertEqual(header(saved, "Content-Type"), "application/x-gzip")
        self.assertEqual(header(saved, "X-Consul-Knownleader"), "true")
        self.assertGreater(int(header(saved, "X-Consul-Index")), 12)
        with open(self.file, "wb") as file:
            file.write(saved.body)
        shown = cli("snapshot", "inspect", self.file)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertRegex(shown.stdout, r"\nIndex +" + header(saved, "X-Consul-Index") + r"\n")
        self.assertRegex(shown.stdout, r"\nKVS +12 +")
        http("DELETE", "/v1/kv/?recurse")
        restored = put("/v1/snapshot", saved.body)
        self.assertEqual((restored.status, restored.body), (200, b""))
        for key, bytes_ in values.items():
            self.assertEqual(value(key), bytes_)

    def test_a_client_that_reads_slowly_gets_all_of_it(self):
        for n in range(20):
            put(f"/v1/kv/large/{n}", os.urandom(500_000))
        connection = HTTPConnection(HOST, HTTP_PORT, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/snapshot")
        response = connection.getresponse()
        # Longer than it takes to make all of it: the server waits.
        time.sleep(2)
        body = response.read()
        self.assertGreater(len(body), 20 * 500_000)
        self.assertEqual(put("/v1/snapshot", body).status, 200)

    def test_a_client_that_goes_away_leaves_the_server_well(self):
        for n in range(20):
            put(f"/v1/kv/large/{n}", os.urandom(500_000))
        for _ in range(8):
            connection = HTTPConnection(HOST, HTTP_PORT, timeout=PATIENCE_S)
            connection.request("GET", "/v1/snapshot")
            connection.getresponse().read(1000)
            connection.close()
        eventually(lambda: get("/v1/snapshot").status == 200, "room for one more save")
        self.assertEqual(self.server.leave(), 0)

    def test_a_blocked_query_is_answered(self):
        put("/v1/kv/a", "1")
        self.save()
        put("/v1/kv/a", "2")
        index = index_of(get("/v1/kv/a"))
        answers = []
        waits = threading.Thread(
            target=lambda: answers.append(get(f"/v1/kv/a?index={index}&wait=60s")))
        waits.start()
        self.restore()
        waits.join(20)
        self.assertEqual(len(answers), 1, "it still waits")
        self.assertEqual(json.loads(answers[0].body)[0]["Value"], base64.b64encode(b"1").decode())
        self.assertGreater(index_of(answers[0]), index)

    def test_what_is_no_sound_archive_changes_nothing(self):
        put("/v1/kv/a", "1")
        archive = get("/v1/snapshot").body
        put("/v1/kv/a", "2")
        damaged = bytearray(archive)
        damaged[len(archive) // 2] ^= 4
        for body, text in (
            (b"", "failed to decompress snapshot: EOF"),
            (b"garbage", "failed to decompress snapshot: unexpected EOF"),
            (b"garbage and more", "failed to decompress snapshot: gzip: invalid header"),
            (archive[:200],
             "failed to read snapshot file: failed reading snapshot: unexpected EOF"),
            (bytes(damaged), "failed to read snapshot file: "),
        ):
            answer = put("/v1/snapshot", body)
            self.assertEqual(answer.status, 500)
            self.assertTrue(answer.body.decode().startswith(text), answer.body)
        with open(self.file, "wb") as file:
            file.write(damaged)
        for command, text in (
            ("restore", "failed to read snapshot file: "),
            ("inspect", "Error verifying snapshot: "),
        ):
            refused = cli("snapshot", command, self.file)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assertIn(text, refused.stderr)
        self.assertEqual(value("a"), b"2")

    def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(self):
        missing = cli("snapshot", "save", self.path("none/x"))
        self.assertEqual((missing.returncode, missing.stdout), (1, ""))
        self.assertIn("Error writing unverified snapshot file: ", missing.stderr)
        put("/v1/kv/large", os.urandom(400_000))
        # A disk with room for a part of it.
        place = self.path("small")
        os.mkdir(place)
        limited = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -f 200; trap "" XFSZ; exec "$0" snapshot save "$1"', BINARY,
             os.path.join(place, "x")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=20,
            env={"PATH": os.environ["PATH"]})
        self.assertEqual((limited.returncode, limited.stdout), (1, ""))
        self.assertIn("Error writing unverified snapshot file: ", limited.stderr)
        self.assertEqual(os.listdir(place), [])

    def test_kill_9_in_the_middle_of_a_restore(self):
        put("/v1/kv/a", "1")
        for n in range(30):
            put(f"/v1/kv/large/{n}", os.urandom(500_000))
        archive = get("/v1/snapshot").body
        self.assertGreater(len(archive), 20 * CHUNK)
        put("/v1/kv/a", "2")
        for chunks in (1, 5, 12, 20, 28):
            index = self.log_index()
            sent = threading.Thread(target=put_quietly, args=(archive,))
            sent.start()
            eventually(lambda: self.log_index() >= index + chunks or not sent.is_alive(),
                       "chunks in the log")
            self.restart()
            sent.join(PATIENCE_S)
            self.assertIn(value("a"), (b"1", b"2"), "one state or the other")
            self.assertIsNotNone(value("large/29"))
            put("/v1/kv/a", "2")
        self.assertEqual(put("/v1/snapshot", archive).status, 200)
        self.assertEqual(value("a"), b"1")

    def log_index(self):
        return int(json.loads(get("/v1/agent/self").body)["Stats"]["raft"]["last_log_index"])

    def test_peers_json_is_read_once_and_removed(self):
        put("/v1/kv/a", "1")
        node_id = json.loads(get("/v1/agent/self").body)["Config"]["NodeID"]
        self.server.kill()
        raft = os.path.join(self.data_dir, "raft")
        peers = os.path.join(raft, "peers.json")
        with open(peers, "w", encoding="ascii") as file:
            json.dump(["10.0.0.1:8300"], file)
        self.assertIn("it is a list of addresses", self.start_fails())
        with open(peers, "w", encoding="ascii") as file:
            json.dump([{"id": node_id, "address": "127.0.0.1:8300", "non_voter": False}], file)
        self.server = self.agent()
        self.assertFalse(os.path.exists(peers))
        self.assertTrue(os.path.exists(os.path.join(raft, "peers.info")))
        self.assertIn("deleted peers.json file after successful recovery", self.server.stdout())
        self.assertEqual(value("a"), b"1")
        self.restart()
        self.assertEqual(value("a"), b"1")
