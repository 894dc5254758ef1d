"""Goal: agents on several machines find each other, and know who is gone and how.
Method: a host each in a network namespace of its own, joined by a switch; agents with the timing of
the reference's LAN profile, some of it quickened where a story would take minutes.
"""

import concurrent.futures
import json
import os
import signal
import time

from tests.e2e.harness import PATIENCE_S, eventually
from tests.e2e.pool_story import QUICK, MembershipStory


class FiveAgentsTest(MembershipStory):
    """The last section of the page: members leave, fail and come back."""

    def test_they_join_leave_fail_and_come_back(self):
        c1, c2, c3, c4 = [self.client(number) for number in range(1, 5)]
        everybody = {"server": "alive", "c1": "alive", "c2": "alive", "c3": "alive", "c4": "alive"}
        for host in self.switch.hosts:
            host.eventually_sees(everybody)
        self.eventually_has(c1="passing", c2="passing", c3="passing", c4="passing")
        self.logged(self.server, f"[INFO] serf: EventMemberJoin: c1 {c1.address}\n")
        self.logged(self.server, "[INFO] consul: member 'c1' joined, marking health alive\n")

        # One leaves: it is told from a failure, and its entries are gone.
        self.agents["c1"].signal(signal.SIGINT)
        self.assertEqual(self.agents["c1"].wait(), 0, self.agents["c1"].stdout())
        self.sees(c1="left", c2="alive", c3="alive", c4="alive")
        self.eventually_has(c2="passing", c3="passing", c4="passing")
        self.logged(self.server, f"[INFO] serf: EventMemberLeave: c1 {c1.address}\n")
        self.logged(self.server, "[INFO] consul: member 'c1' left, deregistering\n")

        # One is killed: it is critical, and kept.
        self.agents["c2"].kill()
        self.sees(c1="left", c2="failed", c3="alive", c4="alive")
        self.eventually_has(c2="critical", c3="passing", c4="passing")
        self.logged(self.server, "[INFO] memberlist: Suspect c2 has failed, no acks received\n")
        self.logged(self.server, f"[INFO] serf: EventMemberFailed: c2 {c2.address}\n")
        self.logged(self.server, "[INFO] consul: member 'c2' failed, marking health critical\n")

        # One is cut off, and comes back with the same address.
        c3.unplug()
        self.sees(c1="left", c2="failed", c3="failed", c4="alive")
        c3.plug_in()
        self.sees(c1="left", c2="failed", c3="alive", c4="alive")
        self.eventually_has(c2="critical", c3="passing", c4="passing")

        # Another comes back on another machine, so to speak: killed, and started with another
        # address.
        self.agents["c4"].kill()
        self.sees(c1="left", c2="failed", c3="alive", c4="failed")
        c4.set_address(99)
        self.start(c4, "-join", self.server.address)
        self.sees(c1="left", c2="failed", c3="alive", c4="alive")
        self.eventually_has(c2="critical", c3="passing", c4="passing")
        nodes = json.loads(self.server.get("/v1/catalog/nodes").body)
        self.assertEqual([n["Address"] for n in nodes if n["Node"] == "c4"], [c4.address])

        # The failed one is made to leave; the one that left joins again.
        self.assertEqual(self.server.cli("force-leave", "c2").returncode, 0)
        self.sees(c1="left", c2="left", c3="alive", c4="alive")
        self.eventually_has(c3="passing", c4="passing")
        self.start(c1, "-join", self.server.address)
        self.sees(c1="alive", c2="left", c3="alive", c4="alive")
        self.eventually_has(c1="passing", c3="passing", c4="passing")
        for host in (c1, c3, c4):
            host.eventually_sees(
                {"server": "alive", "c1": "alive", "c2": "left", "c3": "alive", "c4": "alive"}
            )


class PausedTest(MembershipStory):
    """A process that stands still and goes on. All times are half of the reference's: with QUICK a
    busy machine would be a reason to accuse somebody.
    """

    FLAGS = (
        "-hcl",
        'gossip_lan { probe_interval = "500ms" probe_timeout = "250ms" gossip_interval = "100ms" }',
    )

    def test_one_that_is_paused_for_15_s_accuses_nobody(self):
        self.client(1)
        self.client(2)
        self.sees(c1="alive", c2="alive")
        self.agents["c2"].signal(signal.SIGSTOP)
        time.sleep(15)
        self.agents["c2"].signal(signal.SIGCONT)
        # Whatever was thought of it meanwhile, it refutes; and it holds its sleep against nobody.
        self.sees(c1="alive", c2="alive")
        self.eventually_has(c1="passing", c2="passing")
        time.sleep(5)
        self.sees(c1="alive", c2="alive")
        for line in self.agents["c2"].stdout().splitlines():
            self.assertNotIn("EventMemberFailed", line)


class ForcedOutTest(MembershipStory):
    """One is given up while it is cut off, and was alive all the time."""

    PATIENCE_S = 60

    def node(self):
        """The node of c1 in the catalog; None: it has none."""
        answer = json.loads(self.server.get("/v1/catalog/node/c1?stale").body)
        return answer and answer["Node"]

    def addresses(self):
        return (self.node() or {}).get("TaggedAddresses", {})

    def test_who_was_forced_to_leave_and_lives_is_in_the_catalog_as_before(self):
        host = self.client(1)
        self.sees(c1="alive")
        eventually(lambda: self.addresses().get("lan") == host.address, "all of c1's node")
        before = self.node()
        host.unplug()
        self.sees(c1="failed")
        self.assertEqual(self.server.cli("force-leave", "c1").returncode, 0)
        self.sees(c1="left")
        eventually(lambda: self.node() is None, "no node of c1")

        host.plug_in()
        self.server.eventually_sees({"server": "alive", "c1": "alive"}, self.PATIENCE_S)
        eventually(
            lambda: self.addresses().get("lan") == host.address,
            f"all of c1's node; its log:\n{self.agents['c1'].stdout()}",
            self.PATIENCE_S,
        )
        self.eventually_has(c1="passing")
        for key in ("ID", "Address", "TaggedAddresses", "Meta"):
            self.assertEqual(self.node()[key], before[key])


class KeyTest(MembershipStory):
    """-encrypt"""

    KEY = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
    OTHER = "cg8StVXbQJ0gPvMd9o7yrg=="
    FLAGS = ("-encrypt", KEY, *QUICK)
    NO_KEY_FITS = "No installed keys could decrypt the message"
    REMOTE_IS_ENCRYPTED = "Remote state is encrypted and encryption is not configured"
    REMOTE_IS_NOT_ENCRYPTED = "Encryption is configured but remote state is not encrypted"

    def test_with_the_wrong_key_or_none_nobody_gets_in(self):
        self.assertIn("         Encrypted: true\n", self.agents["server"].stdout())
        self.client(1)
        self.sees(c1="alive")
        for number, flags, why, servers_word in (
            (2, ("-encrypt", self.OTHER), self.NO_KEY_FITS, self.NO_KEY_FITS),
            (3, (), self.REMOTE_IS_ENCRYPTED, self.REMOTE_IS_NOT_ENCRYPTED),
        ):
            host = self.switch.host(f"c{number}", number + 10)
            agent = host.start(
                "agent", "-node", host.name, "-data-dir", self.path(host.name), *flags,
                "-retry-join", self.server.address, "-retry-interval", "1s", "-retry-max", "2",
            )
            self.addCleanup(agent.close)
            self.assertEqual(agent.wait(), 1, agent.stdout())
            failed = f"Failed to join {self.server.address}: {why}\n"
            # The first attempt and two retries.
            self.assertEqual(agent.stdout().count(f"(LAN) couldn't join: {failed}"), 3)
            self.assertIn(
                f"[WARN] memberlist: Push/Pull with {self.server.address}:8301 failed: {why}\n",
                agent.stdout(),
            )
            self.assertIn("max join LAN retry exhausted, exiting", agent.stdout())
            self.logged(self.server, f"[ERR] memberlist: {servers_word} from={host.address}:")
        self.sees(c1="alive")

    def test_with_a_key_nobody_gets_into_a_pool_that_has_none(self):
        host = self.switch.host("c1", 11)
        agent = host.start("agent", "-node", "c1", "-data-dir", self.path("c1"), "-server")
        self.addCleanup(agent.close)
        eventually(lambda: "==> Log data will now" in agent.stdout(), "a banner")
        joined = self.server.cli("join", host.address)
        self.assertEqual(joined.returncode, 1)
        self.assertIn(
            f"Failed to join {host.address}: {self.REMOTE_IS_NOT_ENCRYPTED}\n", joined.stderr
        )
        self.logged(self.server, f"{host.address}:8301 failed: {self.REMOTE_IS_NOT_ENCRYPTED}\n")
        eventually(
            lambda: f"[ERR] memberlist: {self.REMOTE_IS_ENCRYPTED} from=" in agent.stdout(),
            "the reason in the log",
        )
        self.sees()


class JoinTest(MembershipStory):
    """consul join, and agents that nobody has joined."""

    def test_a_client_without_a_server_says_so_and_works_once_it_has_joined(self):
        host = self.switch.host("c1", 11)
        self.start(host)
        response = host.get("/v1/kv/x")
        self.assertEqual((response.status, response.body), (500, b"No known Consul servers"))
        joined = host.cli("join", self.server.address)
        self.assertEqual(
            (joined.returncode, joined.stdout, joined.stderr),
            (0, "Successfully joined cluster by contacting 1 nodes.\n", ""),
        )
        self.sees(c1="alive")
        put = host.cli("kv", "put", "k", "v")
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertEqual(self.server.cli("kv", "get", "k").stdout, "v\n")
        self.assertEqual(host.get("/v1/kv/k?raw").body, b"v")

    def test_nobody_answers(self):
        result = self.server.cli("join", "10.77.0.77:1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("Failed to join 10.77.0.77: ", result.stderr)
        self.assertTrue(result.stderr.endswith("Failed to join any nodes.\n"), result.stderr)

    def test_another_datacenter_is_refused_and_both_logs_say_why(self):
        host = self.switch.host("c1", 11)
        self.start(host, "-datacenter", "dc2")
        joined = host.cli("join", self.server.address)
        self.assertEqual(joined.returncode, 1)
        why = "The other is a member of lan:dc1, this agent of lan:dc2"
        self.assertIn(f"Failed to join {self.server.address}: {why}\n", joined.stderr)
        self.logged(host, f"Push/Pull with {self.server.address}:8301 failed: {why}\n")
        self.logged(
            self.server, "[ERR] memberlist: The stream is of the LAN pool of another datacenter"
        )
        self.sees()

    def test_one_whose_name_is_taken_reads_its_own_name(self):
        self.client(1)
        self.sees(c1="alive")
        other = self.switch.host("other", 12)
        self.start(other, "-node", "c1")
        joined = other.cli("join", self.server.address)
        self.assertEqual(joined.returncode, 1)
        self.assertIn(f"Failed to join {self.server.address}: name 'c1' of node", joined.stderr)
        self.logged(other, "[ERR] memberlist: Member 'c1' is not let in: ")
        self.logged(self.server, "[ERR] memberlist: Member 'c1' is not let in: ")
        self.sees(c1="alive")

    def test_one_with_the_name_and_address_of_another_does_not_get_in_and_is_told(self):
        address = self.client(1).address
        self.sees(c1="alive")
        other = self.switch.host("other", 12)
        agent = self.start(other, "-node", "c1", "-advertise", address)
        joined = other.cli("join", self.server.address)
        self.assertEqual(joined.returncode, 1)
        failed = f"Failed to join {self.server.address}: name 'c1' of node id "
        self.assertIn(failed, joined.stderr)
        self.assertRegex(joined.stderr, f" belongs to node id .* at {address}:8301; node id ")
        self.logged(other, "[ERR] memberlist: Member 'c1' is not let in: ")
        self.logged(self.server, "[ERR] memberlist: Member 'c1' is not let in: ")
        self.assertEqual(other.members(), {"c1": "alive"})

        # Nor when a member joins it. Then it ends.
        self.server.cli("join", other.address)
        self.assertEqual(agent.wait(), 1, agent.stdout())
        self.assertIn("[ERR] agent: Node name conflict: c1 belongs to node id ", agent.stdout())
        self.sees(c1="alive")
        self.eventually_has(c1="passing")

    def test_a_restarted_client_finds_the_pool_by_itself(self):
        host = self.client(1)
        self.sees(c1="alive")
        snapshot = os.path.join(self.path("c1"), "serf", "local.snapshot")
        eventually(lambda: b"server" in self.content(snapshot), "a snapshot with the server in it")
        self.agents["c1"].kill()
        self.sees(c1="failed")
        self.start(host)
        self.sees(c1="alive")
        self.logged(host, "[INFO] serf: Re-joined to previously known node: ")

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()


class LeavingClientTest(MembershipStory):
    """The question at the end of the page: who has left does not come back into the catalog."""

    CLIENTS = 4
    ROUNDS = 25  # of each

    def test_clients_that_leave_never_come_back_into_the_catalog(self):
        hosts = [self.switch.host(f"c{n}", 10 + n) for n in range(1, self.CLIENTS + 1)]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for done in [pool.submit(self.come_and_leave, host) for host in hosts]:
                done.result()

    def come_and_leave(self, host):
        for number in range(self.ROUNDS):
            what = f"{host.name}, round {number}"
            agent = self.start(host, "-join", self.server.address)
            eventually(lambda: host.name in self.catalog(), f"{what}: in the catalog")
            agent.signal(signal.SIGINT)
            self.assertEqual(agent.wait(), 0, agent.stdout())
            eventually(lambda: host.name not in self.catalog(), f"{what}: gone", PATIENCE_S)
            for _ in range(5):
                self.assertNotIn(host.name, self.catalog(), what)
