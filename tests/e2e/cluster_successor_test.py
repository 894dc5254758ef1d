"""Goal: an agent that lost its disk, and comes back as another node under its name and at its
address, has its place again at once: nobody waits for the one before to be taken for dead, or for
its name to be free.
Method: three servers and a client; one is killed, its data goes, it is started again within the
second. What took half a minute before is to be there long before that.
"""

import os

from tests.e2e.cluster_story import ClusterStory
from tests.e2e.harness import Process

# The name of a dead member is held for 30 s against another address.
AT_ONCE_S = 15


class SuccessorTest(ClusterStory):
    """kill -9, rm -rf, and the same command again."""

    def setUp(self):
        super().setUp()
        self.store(self.servers[0], "kept", "value")

    def node_id(self, directory):
        with open(os.path.join(directory, "node-id"), encoding="ascii") as file:
            return file.read().strip()

    def voters(self, server):
        """Ids and names of the voters, as this server has them."""
        answer = server.asked("/v1/operator/raft/configuration") or {"Servers": []}
        return sorted((each["Node"], each["ID"]) for each in answer["Servers"] if each["Voter"])

    def in_catalog(self, asked, name):
        """The id of that node and the statuses of its serfHealth."""
        node = asked.asked(f"/v1/catalog/node/{name}?stale") or {"Node": {"ID": ""}}
        checks = asked.asked(f"/v1/health/node/{name}?stale") or []
        return node["Node"]["ID"], [c["Status"] for c in checks if c["CheckID"] == "serfHealth"]

    def eventually_in_catalog(self, asked, name, node_id):
        self.eventually(
            lambda: self.in_catalog(asked, name) == (node_id, ["passing"]),
            f"{name} as {node_id} in the catalog",
            AT_ONCE_S,
        )

    def loses_its_disk(self, server):
        former = self.node_id(server.data_dir())
        server.kill()
        server.forget()
        server.start(*self.joins())
        others = self.others(server)
        self.eventually(
            lambda: server.asked("/v1/kv/kept"),
            f"an answer of {server.name}",
            AT_ONCE_S,
        )
        new = self.node_id(server.data_dir())
        self.assertNotEqual(new, former)
        expected = sorted((each.name, self.node_id(each.data_dir())) for each in self.servers)
        for other in others:
            self.eventually(
                lambda o=other: self.voters(o) == expected,
                f"{expected} as voters at {other.name}, not {self.voters(other)}",
                AT_ONCE_S,
            )
        self.eventually_in_catalog(others[0], server.name, new)
        self.assertNotIn("Failed to join", server.log())
        self.take_part()

    def test_a_follower(self):
        leader = self.agree()
        follower = self.others(leader)[0]
        self.loses_its_disk(follower)
        self.assertIs(self.agree(), leader)
        # The next time is as good as the first.
        self.loses_its_disk(follower)

    def test_the_leader(self):
        self.loses_its_disk(self.agree())
        # It votes indeed.
        leader = self.agree()
        self.others(leader)[0].kill()
        self.agree([each for each in self.servers if each.agent is not None])

    def test_a_client(self):
        host = self.switch.host("c1", 9)
        ids = []
        for life in range(2):
            directory = self.path(f"c1-{life}")
            command = ["agent", "-node", "c1", "-client", "0.0.0.0", "-data-dir", directory]
            agent = Process(*command, *self.FLAGS, *self.joins(), prefix=host.prefix)
            self.addCleanup(agent.close)
            self.eventually(
                lambda: os.path.exists(os.path.join(directory, "node-id")), "a node id"
            )
            ids.append(self.node_id(directory))
            for server in self.servers:
                self.eventually_in_catalog(server, "c1", ids[-1])
            self.assertEqual(host.get("/v1/kv/kept?raw").body, b"value")
            self.assertNotIn("Failed to join", agent.stdout())
            agent.kill()
        self.assertNotEqual(ids[0], ids[1])
