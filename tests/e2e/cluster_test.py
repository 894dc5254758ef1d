"""Goal: three servers are one: who asks any of them gets the same answers, and whatever a write was
told is true, also where its leader is gone meanwhile.
Method: a host each in a network namespace of its own, whose links are cut.
"""

import concurrent.futures
import json
import signal
import threading

from tests.conformance import wire
from tests.e2e.cluster_story import STEADY, ClusterStory, number_in
from tests.e2e.harness import header


class FormedTest(ClusterStory):
    """-bootstrap-expect 3"""

    FLAGS = STEADY

    def test_they_are_one_cluster(self):
        leader = self.agree()
        expected = sorted(server.raft_address() for server in self.servers)
        for server in self.servers:
            self.assertEqual(server.leader(), leader.raft_address())
            self.assertEqual(sorted(server.asked("/v1/status/peers")), expected)
        founded = {line for line in self.logs().splitlines() if "founding cluster" in line}
        self.assertEqual(len(founded), 1, founded)

        # A write through each is read through each at once, whichever way that does not say stale.
        for writer in self.servers:
            for word in ("", "&consistent"):
                value = f"{writer.name}{word}"
                self.store(writer, "shared", value)
                for reader in self.servers:
                    read = reader.get(f"/v1/kv/shared?raw{word}")
                    self.assertEqual((read.status, read.body), (200, value.encode()), reader.name)
        # Indexes are of the cluster, not of a server.
        rows = [server.asked("/v1/kv/shared")[0] for server in self.servers]
        self.assertEqual(rows[0], rows[1])
        self.assertEqual(rows[0], rows[2])
        # cas through one knows what was written through another.
        (first, second, third), index = self.servers, rows[0]["ModifyIndex"]
        self.assertEqual(first.put(f"/v1/kv/shared?cas={index}", "x").body, b"true")
        self.assertEqual(second.put(f"/v1/kv/shared?cas={index}", "y").body, b"false")
        self.assertEqual(third.get("/v1/kv/shared?raw").body, b"x")

    def test_a_hangup_does_not_cut_off_a_leave(self):
        leader = self.agree()
        leader.agent.signal(signal.SIGINT)
        leader.agent.eventually_prints("server starting leave")
        leader.agent.signal(signal.SIGHUP)
        self.assertEqual(leader.agent.wait(), 0, leader.log())
        self.assertNotIn("The agent did not leave", leader.agent.stderr())
        self.agree(self.others(leader))

    def test_a_blocked_read_at_one_server_sees_a_write_through_another(self):
        first, second, third = self.servers
        self.store(first, "watched", "0")
        for number, (reader, writer) in enumerate(
            [(second, first), (third, second), (first, third)]
        ):
            index = number_in(reader.get("/v1/kv/watched"), "X-Consul-Index")
            answers = []
            blocked = threading.Thread(
                target=lambda r=reader, i=index: answers.append(
                    r.get(f"/v1/kv/watched?raw&wait=25s&index={i}")
                )
            )
            blocked.start()
            self.store(writer, "watched", f"new {number}")
            blocked.join()
            self.assertEqual(answers[0].body, f"new {number}".encode())
            self.assertGreater(number_in(answers[0], "X-Consul-Index"), index)

    def test_what_a_server_says_of_its_leader(self):
        leader = self.agree()
        for server in self.servers:
            self.store(server, "k", "v")
            read = server.get("/v1/kv/k?stale")
            self.assertEqual((read.status, header(read, "X-Consul-Knownleader")), (200, "true"))
            contact = number_in(read, "X-Consul-Lastcontact")
            if server is leader:
                self.assertEqual(contact, 0)
            self.assertLess(contact, 60_000)

        follower = self.others(leader)[0]
        self.partition([follower], self.others(follower))
        self.eventually(
            lambda: header(follower.get("/v1/kv/k?stale"), "X-Consul-Knownleader") == "false",
            "a server that knows no leader",
        )
        cut_off = follower.get("/v1/kv/k?stale&raw")
        self.assertEqual((cut_off.status, cut_off.body), (200, b"v"))
        self.eventually(
            lambda: number_in(follower.get("/v1/kv/k?stale"), "X-Consul-Lastcontact") > 1000,
            "an old last contact",
        )
        # What is too old is as good as nothing: it waits for a leader, and there is none.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            refused = [
                pool.submit(follower.get, f"/v1/kv/k?{word}")
                for word in ("stale&max_stale=500ms", "consistent", "raw")
            ]
            refused.append(pool.submit(follower.put, "/v1/kv/refused", "x"))
        for answer in (each.result() for each in refused):
            self.assertEqual((answer.status, answer.body), (500, b"No cluster leader"))
        self.heal()
        self.agree()
        self.eventually(
            lambda: follower.get("/v1/kv/k?stale&max_stale=30s&raw").body == b"v", "a fresh state"
        )
        self.take_part()
        # Refused is refused: it does not come later.
        self.assertEqual(follower.get("/v1/kv/refused?consistent").status, 404)


class OutcomeTest(ClusterStory):
    """A write in flight when the leader loses the lead."""

    WRITES = 8

    def note_answer(self, server, key, answers):
        try:
            response = server.put(f"/v1/kv/{key}", key)
            answers[key] = (response.status, response.body.decode())
        except (OSError, wire.ClosedEarly) as error:
            answers[key] = (0, str(error))

    def writes_under_way(self, servers):
        """Writes that nobody can commit for the moment; returns their threads and answers."""
        answers, threads = {}, []
        for number in range(self.WRITES):
            server = servers[number % len(servers)]
            key = f"flight/{server.name}/{number}"
            threads.append(threading.Thread(target=self.note_answer, args=(server, key, answers)))
            threads[-1].start()
        return threads, answers

    def check(self, answers):
        """Whatever was said of a write is true of it."""
        self.agree()
        self.take_part()
        found = json.loads(self.servers[0].get("/v1/kv/flight/?keys&consistent").body or b"[]")
        print(sorted(answers.items()), "found", found)
        self.assertEqual(len(answers), self.WRITES)
        for key, (status, text) in answers.items():
            if (status, text) == (200, "true"):
                self.assertIn(key, found)
            elif text == "No cluster leader":
                self.assertNotIn(key, found, f"failed, and found: {answers}")
            elif status != 0:
                self.assertEqual(status, 500)
                self.assertIn("may yet be applied, or not", text)

    def test_the_leader_is_cut_off_with_writes_under_way(self):
        leader = self.agree()
        others = self.others(leader)
        self.partition([leader], others)
        threads, answers = self.writes_under_way([leader])
        # Answered when it steps down, before anything is healed; nobody can have accepted one.
        for thread in threads:
            thread.join()
        self.assertNotIn((200, "true"), answers.values())
        self.heal()
        self.check(answers)

    def test_the_leader_is_killed_with_writes_of_all_under_way(self):
        leader = self.agree()
        others = self.others(leader)
        # The others hear the leader, and it does not hear them: it commits nothing.
        for other in others:
            other.cut_off_from(leader)
        threads, answers = self.writes_under_way([leader, *others])
        leader.kill()
        self.heal()
        for thread in threads:
            thread.join()
        self.restart(leader)
        self.check(answers)

    def test_the_leader_stands_still_with_writes_under_way(self):
        leader = self.agree()
        others = self.others(leader)
        leader.pause()
        threads, answers = self.writes_under_way([leader, *others])
        self.agree(others)
        leader.go_on()
        for thread in threads:
            thread.join()
        self.check(answers)
