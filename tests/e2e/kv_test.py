"""Goal: the key-value store does over HTTP and by the command line what its users know of it.
Method: one agent; each case has keys of its own. Blocking queries are timed from both sides: woken
at once by what they wait for, by nothing else.
"""

import base64
import json
import socket
import threading
import time

from tests.conformance import wire
from tests.e2e.harness import (
    HOST,
    HTTP_PORT,
    PATIENCE_S,
    SharedAgent,
    cli,
    eventually,
    get,
    header,
    http,
    index_of,
    put,
)

# A healthy wake-up takes one or two milliseconds; this is for a machine that does much else.
WAKE_S = 1.0
# How long nothing must come for "it does not wake". Longer waits show no more.
QUIET_S = 0.15


def delete(target):
    return http("DELETE", target)


def rows(response):
    return json.loads(response.body)


def decoded(row):
    return base64.b64decode(row["Value"] or "").decode()


class Waiting:
    """A GET that is under way on a connection of its own."""

    def __init__(self, target):
        self._connection = socket.create_connection((HOST, HTTP_PORT), timeout=PATIENCE_S)
        self._connection.sendall(f"GET {target} HTTP/1.1\r\nHost: e2e\r\n\r\n".encode())
        self._answered = threading.Event()
        self._response = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._connection, self._connection.makefile("rb") as stream:
            try:
                self._response = wire.read_response(stream, "GET")
            except (OSError, wire.ClosedEarly):
                return  # Whoever waits for the answer will say that there is none.
        self._answered.set()

    def is_quiet(self):
        return not self._answered.wait(QUIET_S)

    def response(self, within_s=WAKE_S):
        if not self._answered.wait(within_s):
            raise AssertionError(f"no answer within {within_s} s")
        return self._response


class HttpTest(SharedAgent):
    """Reads and writes over HTTP."""

    def test_the_longest_key(self):
        """As the commands and gRPC take it, each of its bytes percent-encoded."""
        key = "é" * (32 * 1024)
        target = "/v1/kv/" + "%C3%A9" * (32 * 1024)
        self.assertEqual(put(target, "value").body, b"true")
        self.assertEqual(cli("kv", "get", key).stdout, "value\n")
        self.assertEqual(get(f"{target}?raw").body, b"value")
        self.assertEqual(get(f"{target}x").status, 413)
        self.assertEqual(delete(target).body, b"true")
        self.assertEqual(get(target).status, 404)

    def test_a_row_has_all_its_fields(self):
        put("/v1/kv/fields/a?flags=42", "value")
        response = get("/v1/kv/fields/a")
        (row,) = rows(response)
        self.assertEqual(
            list(row), ["LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"]
        )
        self.assertEqual(
            (row["Key"], row["Flags"], decoded(row), row["LockIndex"]),
            ("fields/a", 42, "value", 0),
        )
        self.assertEqual(row["CreateIndex"], row["ModifyIndex"])
        self.assertEqual(index_of(response), row["ModifyIndex"])

    def test_an_overwrite_keeps_its_creation(self):
        put("/v1/kv/over", "1")
        (before,) = rows(get("/v1/kv/over"))
        put("/v1/kv/over", "2")
        (after,) = rows(get("/v1/kv/over"))
        self.assertEqual(after["CreateIndex"], before["CreateIndex"])
        self.assertGreater(after["ModifyIndex"], before["ModifyIndex"])

    def test_the_largest_flags(self):
        put(f"/v1/kv/flags?flags={2**64 - 1}", "")
        self.assertEqual(rows(get("/v1/kv/flags"))[0]["Flags"], 2**64 - 1)

    def test_an_empty_value_is_null(self):
        put("/v1/kv/empty", "")
        self.assertIn(b'"Value":null', get("/v1/kv/empty").body)
        raw = get("/v1/kv/empty?raw")
        self.assertEqual((raw.status, raw.body), (200, b""))

    def test_a_missing_key_is_404_with_headers(self):
        response = get("/v1/kv/missing")
        self.assertEqual((response.status, response.body), (404, b""))
        self.assertGreaterEqual(index_of(response), 1)
        self.assertEqual(header(response, "X-Consul-Knownleader"), "true")

    def test_raw_gives_the_bytes(self):
        value = bytes(range(256))
        put("/v1/kv/raw", value)
        response = get("/v1/kv/raw?raw")
        self.assertEqual(response.body, value)
        self.assertEqual(header(response, "Content-Type"), "text/plain")

    def test_recurse_gives_the_prefix_in_order(self):
        for key in ("tree/b", "tree/a", "tree/a/x", "treetop", "trem"):
            put(f"/v1/kv/{key}", key)
        found = [row["Key"] for row in rows(get("/v1/kv/tree/?recurse"))]
        self.assertEqual(found, ["tree/a", "tree/a/x", "tree/b"])
        found = [row["Key"] for row in rows(get("/v1/kv/tree?recurse"))]
        self.assertEqual(found, ["tree/a", "tree/a/x", "tree/b", "treetop"])

    def test_recurse_over_nothing_is_404(self):
        self.assertEqual(get("/v1/kv/no/such/?recurse").status, 404)

    def test_keys_and_separators(self):
        for key in ("web/1/a", "web/1/b", "web/2", "web/3/c/d"):
            put(f"/v1/kv/{key}", "")
        every = ["web/1/a", "web/1/b", "web/2", "web/3/c/d"]
        self.assertEqual(rows(get("/v1/kv/web/?keys")), every)
        cut = rows(get("/v1/kv/web/?keys&separator=/"))
        self.assertEqual(cut, ["web/1/", "web/2", "web/3/"])
        self.assertEqual(rows(get("/v1/kv/web/?keys&separator=3/c")), every[:3] + ["web/3/c"])

    def test_cas(self):
        self.assertEqual(put("/v1/kv/cas?cas=0", "first").body, b"true")
        self.assertEqual(put("/v1/kv/cas?cas=0", "again").body, b"false")
        index = rows(get("/v1/kv/cas"))[0]["ModifyIndex"]
        self.assertEqual(put(f"/v1/kv/cas?cas={index + 1}", "wrong").body, b"false")
        self.assertEqual(put(f"/v1/kv/cas?cas={index}", "second").body, b"true")
        self.assertEqual(put(f"/v1/kv/cas?cas={index}", "late").body, b"false")
        self.assertEqual(get("/v1/kv/cas?raw").body, b"second")

    def test_cas_by_many_is_won_by_one(self):
        put("/v1/kv/race", "start")
        index = rows(get("/v1/kv/race"))[0]["ModifyIndex"]
        answers = []

        def compete(number):
            answers.append(put(f"/v1/kv/race?cas={index}", str(number)).body)

        threads = [threading.Thread(target=compete, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), [b"false"] * 15 + [b"true"])

    def test_delete(self):
        put("/v1/kv/gone", "")
        self.assertEqual(delete("/v1/kv/gone").body, b"true")
        self.assertEqual(get("/v1/kv/gone").status, 404)
        self.assertEqual(delete("/v1/kv/gone").body, b"true")

    def test_delete_with_cas(self):
        put("/v1/kv/del", "1")
        index = rows(get("/v1/kv/del"))[0]["ModifyIndex"]
        self.assertEqual(delete(f"/v1/kv/del?cas={index - 1}").body, b"false")
        self.assertEqual(delete(f"/v1/kv/del?cas={index}").body, b"true")
        self.assertEqual(get("/v1/kv/del").status, 404)

    def test_delete_a_tree(self):
        for key in ("cut/a", "cut/b/c", "cutter"):
            put(f"/v1/kv/{key}", "")
        self.assertEqual(delete("/v1/kv/cut/?recurse").body, b"true")
        self.assertEqual(get("/v1/kv/cut/?recurse").status, 404)
        self.assertEqual(get("/v1/kv/cutter").status, 200)

    def test_consistency_is_told(self):
        for query, name in (("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")):
            response = get(f"/v1/catalog/nodes{query}")
            self.assertEqual(response.status, 200)
            self.assertEqual(header(response, "X-Consul-Effective-Consistency"), name)

    def test_a_write_is_seen_by_every_read_after_it(self):
        for number in range(50):
            put("/v1/kv/seen", str(number))
            for query in ("?raw", "?raw&consistent", "?raw&stale"):
                self.assertEqual(get(f"/v1/kv/seen{query}").body, str(number).encode())

    def test_pretty(self):
        put("/v1/kv/pretty", "x")
        body = get("/v1/kv/pretty?pretty").body.decode()
        self.assertTrue(body.startswith('[\n    {\n        "LockIndex": 0,\n'), body)
        self.assertEqual(json.loads(body), rows(get("/v1/kv/pretty")))

    def test_keys_of_any_bytes(self):
        put("/v1/kv/bytes/%FF%FEx", "odd")
        self.assertEqual(get("/v1/kv/bytes/%FF%FEx?raw").body, b"odd")
        self.assertEqual(get("/v1/kv/bytes/%FE%FEx").status, 404)
        # As Go writes them: what is no UTF-8 is shown as U+FFFD.
        self.assertEqual(rows(get("/v1/kv/bytes/?keys")), ["bytes/\ufffd\ufffdx"])

    def test_keys_of_many_scripts(self):
        for key, path in (("uni/ключ", "%D0%BA%D0%BB%D1%8E%D1%87"), ("uni/🔑", "%F0%9F%94%91")):
            put(f"/v1/kv/uni/{path}", key)
            self.assertEqual(rows(get(f"/v1/kv/uni/{path}"))[0]["Key"], key)

    def test_a_key_with_slashes_and_spaces(self):
        put("/v1/kv/a%20b%2Fc/", "x")
        self.assertEqual(rows(get("/v1/kv/a%20b/c/"))[0]["Key"], "a b/c/")

    def test_a_path_with_empty_parts_is_sent_elsewhere(self):
        response = put("/v1/kv/a//b", "x")
        self.assertEqual((response.status, header(response, "Location")), (301, "/v1/kv/a/b"))

    def test_head_has_no_body(self):
        put("/v1/kv/head", "x")
        response = http("HEAD", "/v1/kv/head")
        self.assertEqual(response.body, b"")

    def test_many_requests_on_one_connection(self):
        request = "".join(
            f"PUT /v1/kv/pipe/{n} HTTP/1.1\r\nHost: e2e\r\nContent-Length: 1\r\n\r\n{n % 10}"
            for n in range(200)
        )
        with socket.create_connection((HOST, HTTP_PORT), timeout=PATIENCE_S) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as stream:
                for _ in range(200):
                    self.assertEqual(wire.read_response(stream, "PUT").body, b"true")
        self.assertEqual(len(rows(get("/v1/kv/pipe/?keys"))), 200)


class BlockingTest(SharedAgent):
    """Queries that wait."""

    def waiting_on(self, key, query=""):
        """A query that waits for the next change of the key; it was quiet so far."""
        index = index_of(get(f"/v1/kv/{key}{query or '?'}"))
        waiting = Waiting(f"/v1/kv/{key}{query or '?'}&index={index}&wait=60s")
        self.assertTrue(waiting.is_quiet())
        return waiting

    def test_a_write_wakes_it(self):
        put("/v1/kv/wake", "1")
        waiting = self.waiting_on("wake")
        put("/v1/kv/wake", "2")
        self.assertEqual(decoded(rows(waiting.response())[0]), "2")

    def test_it_wakes_in_milliseconds(self):
        put("/v1/kv/fast", "0")
        times = []
        for number in range(1, 21):
            index = index_of(get("/v1/kv/fast"))
            waiting = Waiting(f"/v1/kv/fast?index={index}&wait=60s")
            time.sleep(0.002)
            before = time.monotonic()
            put("/v1/kv/fast", str(number))
            waiting.response()
            times.append(time.monotonic() - before)
        self.assertLess(sorted(times)[len(times) // 2], 0.05)

    def test_a_delete_wakes_it(self):
        put("/v1/kv/del-wake", "1")
        waiting = self.waiting_on("del-wake")
        delete("/v1/kv/del-wake")
        self.assertEqual(waiting.response().status, 404)

    def test_other_keys_do_not_wake_it(self):
        put("/v1/kv/alone", "1")
        waiting = self.waiting_on("alone")
        for key in ("alone2", "alon", "alone/below", "other"):
            put(f"/v1/kv/{key}", "x")
        self.assertTrue(waiting.is_quiet())
        put("/v1/kv/alone", "2")
        waiting.response()

    def test_a_missing_key_wakes_when_it_is_made(self):
        waiting = self.waiting_on("not-yet")
        put("/v1/kv/somewhere-else", "x")
        self.assertTrue(waiting.is_quiet())
        put("/v1/kv/not-yet", "now")
        self.assertEqual(decoded(rows(waiting.response())[0]), "now")

    def test_a_prefix_wakes_for_what_is_below(self):
        put("/v1/kv/below/a", "1")
        waiting = self.waiting_on("below/", "?recurse")
        put("/v1/kv/belowground", "x")
        self.assertTrue(waiting.is_quiet())
        put("/v1/kv/below/deep/er", "x")
        self.assertEqual(len(rows(waiting.response())), 2)

    def test_a_prefix_wakes_for_a_delete(self):
        put("/v1/kv/shrink/a", "1")
        put("/v1/kv/shrink/b", "1")
        waiting = self.waiting_on("shrink/", "?keys")
        delete("/v1/kv/shrink/b")
        self.assertEqual(rows(waiting.response()), ["shrink/a"])

    def test_the_catalog_is_not_woken_by_keys(self):
        index = index_of(get("/v1/catalog/nodes"))
        waiting = Waiting(f"/v1/catalog/nodes?index={index}&wait=300ms")
        put("/v1/kv/whatever", "x")
        self.assertTrue(waiting.is_quiet())
        self.assertEqual(index_of(waiting.response()), index)

    def test_the_wait_ends(self):
        put("/v1/kv/wait", "1")
        index = index_of(get("/v1/kv/wait"))
        before = time.monotonic()
        response = get(f"/v1/kv/wait?index={index}&wait=200ms")
        # A sixteenth is added, so that many do not end at once.
        self.assertGreaterEqual(time.monotonic() - before, 0.2)
        self.assertLess(time.monotonic() - before, 0.2 + WAKE_S)
        self.assertEqual((response.status, index_of(response)), (200, index))

    def test_an_older_index_is_answered_at_once(self):
        put("/v1/kv/old", "1")
        index = index_of(get("/v1/kv/old"))
        before = time.monotonic()
        get(f"/v1/kv/old?index={index - 1}&wait=60s")
        self.assertLess(time.monotonic() - before, WAKE_S)

    def test_it_waits_whatever_the_consistency(self):
        for query in ("?stale", "?consistent"):
            put("/v1/kv/which", "1")
            waiting = self.waiting_on("which", query)
            put("/v1/kv/which", "2")
            self.assertEqual(decoded(rows(waiting.response())[0]), "2")

    def test_all_who_wait_are_woken_by_one_write(self):
        put("/v1/kv/all", "1")
        index = index_of(get("/v1/kv/all"))
        waiting = [Waiting(f"/v1/kv/all?index={index}&wait=60s") for _ in range(50)]
        self.assertTrue(waiting[-1].is_quiet())
        put("/v1/kv/all", "2")
        for one in waiting:
            self.assertEqual(decoded(rows(one.response())[0]), "2")

    def test_no_change_is_missed(self):
        """A reader that goes from index to index sees the last value, and never goes back."""
        put("/v1/kv/chain", "0")
        last = 300
        seen = []

        def follow():
            index = 0
            while not seen or seen[-1] != last:
                response = get(f"/v1/kv/chain?index={index}&wait=20s")
                index = index_of(response)
                seen.append(int(decoded(rows(response)[0])))

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(1, last + 1):
            put("/v1/kv/chain", str(number))
        thread.join(PATIENCE_S)
        self.assertFalse(thread.is_alive(), seen[-5:])
        self.assertEqual(seen, sorted(set(seen)))


class VanishedClientsTest(SharedAgent):
    """Many queries wait, and their clients go away."""

    # A gateway takes 200 connections of one address.
    COUNT = 150 if SharedAgent.GATEWAY else 1000
    KB_EACH_MAX = 64 if SharedAgent.GATEWAY else 16
    FLAGS = ("-hcl", "limits { http_max_conns_per_client = 2000 }")

    def block(self):
        index = index_of(get("/v1/kv/nobody"))
        request = f"GET /v1/kv/nobody?index={index}&wait=600s HTTP/1.1\r\nHost: e2e\r\n\r\n"
        clients = []
        for _ in range(self.COUNT):
            client = socket.create_connection((HOST, HTTP_PORT))
            client.sendall(request.encode())
            clients.append(client)
        # Connections of before may still have been open when `files` was counted.
        connected = self.files + self.COUNT - 5
        eventually(lambda: self.server.open_files() >= connected, "all connected")
        # All have been read once a later request on the last connection's loop is answered.
        for _ in range(10):
            get("/v1/kv/nobody")
        return clients

    def test_they_cost_no_thread_and_nothing_stays(self):
        eventually(lambda: get("/v1/status/leader").status == 200, "an answer")
        self.files = self.server.open_files()
        threads, memory = self.server.status("Threads"), self.server.status("VmRSS")
        for _ in range(3):
            clients = self.block()
            self.assertLess(self.server.status("Threads"), threads + 10)
            used = self.server.status("VmRSS") - memory
            self.assertLess(used, self.KB_EACH_MAX * self.COUNT)
            for client in clients:
                client.close()
            eventually(lambda: self.server.open_files() <= self.files + 2, "all forgotten")
        first = self.server.status("VmRSS")
        for _ in range(3):
            for client in self.block():
                client.close()
            eventually(lambda: self.server.open_files() <= self.files + 2, "all forgotten")
        # What was leaked would be there three thousand times.
        self.assertLess(self.server.status("VmRSS") - first, 3000)
        print(f"{used} kB for {self.COUNT} that wait")


class CommandTest(SharedAgent):
    """The same by the command line."""

    def ok(self, *args, **kwargs):
        result = cli("kv", *args, **kwargs)
        self.assertEqual((result.returncode, result.stderr), (0, ""), args)
        return result.stdout

    def refused(self, *args):
        result = cli("kv", *args)
        self.assertEqual((result.returncode, result.stdout), (1, ""), args)
        return result.stderr

    def test_put_and_get(self):
        self.assertEqual(self.ok("put", "c/a", "value"), "Success! Data written to: c/a\n")
        self.assertEqual(self.ok("get", "c/a"), "value\n")
        self.assertEqual(get("/v1/kv/c/a?raw").body, b"value")

    def test_get_what_http_wrote(self):
        put("/v1/kv/c/http", "from http")
        self.assertEqual(self.ok("get", "c/http"), "from http\n")

    def test_a_missing_key(self):
        self.assertEqual(self.refused("get", "c/none"), "Error! No key exists at: c/none\n")

    def test_put_from_stdin_and_a_file(self):
        self.ok("put", "c/stdin", "-", stdin="typed\nlines")
        self.assertEqual(get("/v1/kv/c/stdin?raw").body, b"typed\nlines")
        with open(f"{self.folder}/file", "w", encoding="utf-8") as file:
            file.write("in a file")
        self.ok("put", "c/file", f"@{self.folder}/file")
        self.assertEqual(get("/v1/kv/c/file?raw").body, b"in a file")

    def test_base64(self):
        self.ok("put", "-base64", "c/64", base64.b64encode(b"\x00\xff").decode())
        self.assertEqual(get("/v1/kv/c/64?raw").body, b"\x00\xff")
        self.assertEqual(self.ok("get", "-base64", "c/64"), "AP8=\n")

    def test_detailed(self):
        put("/v1/kv/c/detail?flags=7", "x")
        text = self.ok("get", "-detailed", "c/detail")
        lines = dict(line.split(None, 1) for line in text.splitlines())
        (row,) = rows(get("/v1/kv/c/detail"))
        self.assertEqual(lines["Flags"], "7")
        self.assertEqual(lines["Key"], "c/detail")
        self.assertEqual(lines["ModifyIndex"], str(row["ModifyIndex"]))

    def test_recurse_and_keys(self):
        for key in ("c/r/a", "c/r/b/c"):
            put(f"/v1/kv/{key}", key[-1])
        self.assertEqual(self.ok("get", "-recurse", "c/r/"), "c/r/a:a\nc/r/b/c:c\n")
        self.assertEqual(self.ok("get", "-keys", "c/r/"), "c/r/a\nc/r/b/\n")
        self.assertEqual(self.ok("get", "-keys", "-separator=", "c/r/"), "c/r/a\nc/r/b/c\n")

    def test_cas(self):
        self.ok("put", "-cas", "-modify-index=0", "c/cas", "1")
        self.assertEqual(
            self.refused("put", "-cas", "-modify-index=0", "c/cas", "2"),
            "Error! Did not write to c/cas: CAS failed\n",
        )
        index = rows(get("/v1/kv/c/cas"))[0]["ModifyIndex"]
        self.ok("put", "-cas", f"-modify-index={index}", "c/cas", "3")
        self.assertEqual(self.ok("get", "c/cas"), "3\n")

    def test_flags(self):
        self.ok("put", "-flags=99", "c/flags", "")
        self.assertEqual(rows(get("/v1/kv/c/flags"))[0]["Flags"], 99)

    def test_delete(self):
        put("/v1/kv/c/del", "")
        self.assertEqual(self.ok("delete", "c/del"), "Success! Deleted key: c/del\n")
        self.assertEqual(get("/v1/kv/c/del").status, 404)

    def test_delete_with_cas(self):
        put("/v1/kv/c/delcas", "")
        index = rows(get("/v1/kv/c/delcas"))[0]["ModifyIndex"]
        self.assertIn("CAS failed", self.refused("delete", "-cas", "-modify-index=1", "c/delcas"))
        self.ok("delete", "-cas", f"-modify-index={index}", "c/delcas")

    def test_delete_a_tree(self):
        for key in ("c/t/a", "c/t/b"):
            put(f"/v1/kv/{key}", "")
        text = self.ok("delete", "-recurse", "c/t/")
        self.assertEqual(text, "Success! Deleted keys with prefix: c/t/\n")
        self.assertEqual(get("/v1/kv/c/t/?recurse").status, 404)

    def test_unicode(self):
        self.ok("put", "c/ключ", "значение 🔑")
        self.assertEqual(self.ok("get", "c/ключ"), "значение 🔑\n")

    def test_stale(self):
        put("/v1/kv/c/stale", "s")
        self.assertEqual(self.ok("get", "-stale", "c/stale"), "s\n")

    def test_a_value_too_large(self):
        with open(f"{self.folder}/large", "wb") as file:
            file.write(b"x" * (512 * 1024 + 1))
        self.assertIn("524288", self.refused("put", "c/large", f"@{self.folder}/large"))
