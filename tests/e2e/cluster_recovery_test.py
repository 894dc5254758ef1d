"""Goal: when most servers are lost for good, those that are left go on by `peers.json`, with all
that they have; and a wrong one is refused and changes nothing.
Method: three servers, some of which lose their data; what stands in services/raft/README.md
(Recovery) and in peers.info is done to the others.
"""

import hashlib
import json
import os

from tests.e2e.cluster_story import ClusterStory


class RecoveryStory(ClusterStory):
    KEYS = 30

    def setUp(self):
        super().setUp()
        for number in range(self.KEYS):
            self.store(self.servers[number % 3], f"kept/{number}", f"value {number}")
        self.kept = self.have_the_same("kept")
        self.assertEqual(len(self.kept), self.KEYS)

    def raft_file(self, server, name):
        return os.path.join(server.data_dir(), "raft", name)

    def node_id(self, server):
        with open(os.path.join(server.data_dir(), "node-id"), encoding="ascii") as file:
            return file.read().strip()

    def entry(self, server, **more):
        return {"id": self.node_id(server), "address": server.raft_address(), **more}

    def give_peers(self, server, peers):
        """Writes a peers.json; text stays as it is."""
        text = peers if isinstance(peers, str) else json.dumps(peers)
        with open(self.raft_file(server, "peers.json"), "w", encoding="ascii") as file:
            file.write(text)

    def has_read_them(self, server):
        self.eventually(
            lambda: "deleted peers.json file after successful recovery" in server.log(),
            f"the end of the recovery of {server.name}",
        )
        self.assertFalse(os.path.exists(self.raft_file(server, "peers.json")))

    def leads(self, server):
        self.eventually(lambda: server.leader() == server.raft_address(), f"{server.name} leads")

    def has_all(self, server):
        """Its own state has every row as it was."""

        def same():
            rows = server.asked("/v1/kv/kept?recurse&stale")
            return rows and {row["Key"]: row for row in rows} == self.kept

        self.eventually(same, f"all that was kept, at {server.name}")

    def voters(self, server):
        answer = server.asked("/v1/operator/raft/configuration")
        return sorted(each["ID"] for each in answer["Servers"] if each["Voter"]) if answer else []

    def vote(self, *servers):
        """Waits until these are all that vote."""
        names = [server.name for server in servers]
        self.eventually(
            # A server that has just begun has no id yet.
            lambda: self.voters(servers[0]) == sorted(map(self.node_id, servers)),
            f"the voters {names}",
        )


class LostTest(RecoveryStory):
    """Two of three, with their data."""

    def lose_two(self):
        """Returns who is left: the leader or not, as it comes; it does not run."""
        left = self.chance.choice(self.servers)
        for server in self.servers:
            server.kill()
        for server in self.others(left):
            server.forget()
        return left

    def test_one_goes_on_alone_and_two_that_are_new_make_it_three_again(self):
        left = self.lose_two()
        self.give_peers(left, [self.entry(left, non_voter=False)])
        left.start(*self.joins())
        self.leads(left)
        self.has_read_them(left)
        self.has_all(left)
        self.assertEqual(left.asked("/v1/status/peers"), [left.raft_address()])
        self.store(left, "alone", "x")

        new = self.others(left)
        for server in new:
            server.start(*self.joins())
        self.vote(left, *new)
        for server in self.servers:
            self.has_all(server)
        self.assertEqual(len(self.have_the_same("alone")), 1)
        # They vote indeed: without the one that was left the two are enough.
        left.kill()
        self.agree(new)
        self.take_part(new)
        self.restart(left)
        self.agree()
        self.take_part()
        self.has_all(left)

    def test_a_list_with_a_server_that_never_comes_is_mended_by_another_one(self):
        left = self.lose_two()
        nobody = {"id": "00000000-0000-4000-8000-000000000000", "address": "10.77.0.9:8300"}
        self.give_peers(left, [self.entry(left), nobody])
        before = left.log().count("starting election")
        left.start()
        self.has_read_them(left)
        self.eventually(lambda: left.log().count("starting election") > before, "an election")
        self.assertEqual(left.leader(), "")
        left.kill()
        self.give_peers(left, [self.entry(left)])
        left.start()
        self.leads(left)
        self.has_all(left)
        self.store(left, "mended", "x")
        # It is done once, and stays done.
        left.kill()
        left.start()
        self.leads(left)
        self.assertEqual(left.asked("/v1/status/peers"), [left.raft_address()])
        self.has_all(left)


class TwoLeftTest(RecoveryStory):
    """Two of three are named, and the third gets the same list."""

    def test_the_two_go_on_and_the_third_says_that_it_is_not_meant(self):
        for server in self.servers:
            server.kill()
        *two, third = self.chance.sample(self.servers, 3)
        for server in self.servers:
            self.give_peers(server, [self.entry(each) for each in two])
            server.start(*self.joins())
        self.assertEqual(third.agent.wait(), 1)
        self.assertIn(
            "recovery failed: peers.json does not name this server, node id "
            f"{self.node_id(third)}\n",
            third.agent.stderr(),
        )
        leader = self.agree(two)
        self.vote(*two)
        for server in two:
            self.has_read_them(server)
            self.has_all(server)
        self.take_part(two)
        expected = sorted(server.raft_address() for server in two)
        self.assertEqual(sorted(leader.asked("/v1/status/peers")), expected)

        # It comes as a new one.
        third.kill()
        third.forget()
        third.start(*self.joins())
        self.vote(*two, third)
        self.has_all(third)
        self.take_part()


class WrongTest(RecoveryStory):
    """A peers.json that cannot be meant."""

    NOBODY = '[{"id": "00000000-0000-4000-8000-000000000000", "address": "10.77.0.9:8300"}]'
    PARSE = "recovery failed to parse peers.json: "

    def files(self, server):
        """Hashes of what is in the log's directory, but for the lock, which names a process."""
        found = {}
        for name in set(os.listdir(os.path.join(server.data_dir(), "raft"))) - {"LOCK"}:
            with open(self.raft_file(server, name), "rb") as file:
                found[name] = hashlib.sha256(file.read()).hexdigest()
        return found

    def test_it_is_refused_and_changes_nothing(self):
        server = self.chance.choice(self.servers)
        server.kill()
        itself = self.entry(server)
        before = self.files(server)
        for text, why in (
            ("", self.PARSE + "incomplete JSON"),
            ('[{"id": ', self.PARSE + "incomplete JSON"),
            ("peers", self.PARSE + "syntax error"),
            ("{}", self.PARSE + "it is no list of servers"),
            ("[]", self.PARSE + "it names no server that votes"),
            (json.dumps([server.raft_address()]), self.PARSE + "it is a list of addresses"),
            (json.dumps([{"id": itself["id"]}]), self.PARSE + 'a server has no "address"'),
            (json.dumps([itself, itself]), self.PARSE + f"it names {itself['id']} twice"),
            (
                json.dumps([{**itself, "non_voter": True}]),
                self.PARSE + "it names no server that votes",
            ),
            (self.NOBODY, "recovery failed: peers.json does not name this server, node id "),
        ):
            with self.subTest(text=text):
                self.give_peers(server, text)
                server.start(*self.joins())
                self.assertEqual(server.agent.wait(), 1, server.log())
                self.assertIn(f"==> Error starting agent: {why}", server.agent.stderr())
                self.assertEqual(server.agent.stderr().count("\n"), 1, server.agent.stderr())
                server.kill()
                os.remove(self.raft_file(server, "peers.json"))
                self.assertEqual(self.files(server), before)
        server.start(*self.joins())
        self.agree()
        self.take_part()
        self.has_all(server)
