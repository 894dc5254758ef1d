"""Goal: what agents tell each other by gossip beside their membership: events, keys, coordinates.
Method: the hosts of membership_test, asked by commands and by HTTP.
"""

import concurrent.futures
import json
import os
import stat

from tests.e2e.harness import eventually
from tests.e2e.pool_story import QUICK, MembershipStory


class EventTest(MembershipStory):
    """consul event, and its list at every agent."""

    def names(self, host):
        return [event["Name"] for event in json.loads(host.get("/v1/event/list").body)]

    def test_an_event_reaches_whom_it_is_for(self):
        c1, c2 = self.client(1), self.client(2)
        self.sees(c1="alive", c2="alive")
        fired = c1.cli("event", "-name", "deploy", "-node", "^c", "now")
        self.assertEqual(fired.returncode, 0, fired.stderr)
        self.assertRegex(fired.stdout, "^Event ID: [0-9a-f-]{36}\n$")
        for host in (c1, c2):
            eventually(lambda host=host: self.names(host) == ["deploy"], f"it at {host.name}")
        event = json.loads(c2.get("/v1/event/list?name=deploy").body)[0]
        self.assertEqual((event["Payload"], event["NodeFilter"]), ("bm93", "^c"))
        self.assertIn(event["ID"], fired.stdout)

        # Who has its index waits for the next one, without a server.
        self.agents["server"].kill()
        index = dict(c2.get("/v1/event/list").headers)["X-Consul-Index"]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(c2.get, f"/v1/event/list?wait=15s&index={index}")
            self.assertEqual(c1.cli("event", "-name", "again").returncode, 0)
            events = json.loads(answer.result().body)
        self.assertEqual([event["Name"] for event in events], ["deploy", "again"])


class KeyringTest(MembershipStory):
    """consul keyring: a change of keys while the pool runs."""

    OLD = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
    NEW = "cg8StVXbQJ0gPvMd9o7yrg=="
    FLAGS = ("-encrypt", OLD, *QUICK)

    def keyring(self, host, *flags):
        result = host.cli("keyring", *flags)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        return result.stdout.split("\n", 1)[1]

    def test_keys_are_changed_at_all_members(self):
        c1 = self.client(1)
        self.sees(c1="alive")
        one = f"\nWAN:\n  {self.OLD} [1/1]\n\ndc1 (LAN):\n  {self.OLD} [2/2]\n"
        self.assertEqual(self.keyring(self.server, "-list"), one)
        # Through a client agent it is the same.
        self.assertEqual(self.keyring(c1, "-list"), one)
        self.keyring(c1, "-install", self.NEW)
        self.assertIn(f"  {self.NEW} [2/2]\n", self.keyring(c1, "-list", "-local-only"))
        self.keyring(self.server, "-use", self.NEW)
        self.keyring(self.server, "-remove", self.OLD)
        two = one.replace(self.OLD, self.NEW)
        self.assertEqual(self.keyring(self.server, "-list"), two)
        self.assertEqual(self.keyring(self.server, "-list-primary"), two)
        for name in ("local.keyring", "remote.keyring"):
            path = os.path.join(self.path("server"), "serf", name)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with open(path, encoding="ascii") as file:
                self.assertEqual(json.load(file), [self.NEW])

        # The keyring that was kept goes before the flag, so a restart with the old one gets in.
        self.agents["c1"].kill()
        self.sees(c1="failed")
        self.start(c1, "-join", self.server.address)
        self.sees(c1="alive")

    def test_a_key_in_use_is_not_removed_and_every_member_says_so(self):
        c1 = self.client(1)
        self.sees(c1="alive")
        # Through a client it is the same, and asked once.
        for host in (self.server, c1):
            result = host.cli("keyring", "-remove", self.OLD)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(
                result.stderr,
                "error: 5 errors occurred:\n"
                "\t* WAN error: 1/1 nodes reported failure\n"
                "\t* server.dc1: Removing the primary key is not allowed\n"
                "\t* dc1 (LAN) error: 2/2 nodes reported failure\n"
                "\t* c1: Removing the primary key is not allowed\n"
                "\t* server: Removing the primary key is not allowed\n\n\n",
            )


class WanTest(MembershipStory):
    """consul join -wan: servers of two datacenters."""

    def wan_members(self, host):
        lines = host.cli("members", "-wan").stdout.splitlines()
        return {line.split()[0]: line.split()[2] for line in lines}

    def test_servers_of_two_datacenters_know_each_other(self):
        other = self.switch.host("s2", 2)
        self.start(other, "-server", "-bootstrap", "-datacenter", "dc2")
        joined = other.cli("join", "-wan", self.server.address)
        self.assertEqual(joined.returncode, 0, joined.stderr)
        both = {"server.dc1": "alive", "s2.dc2": "alive"}
        for host in (self.server, other):
            eventually(lambda host=host: self.wan_members(host) == both, f"both at {host.name}")
        self.logged(self.server, f"[INFO] serf: EventMemberJoin: s2.dc2 {other.address}\n")
        self.assertIn(
            "Successfully contacted all live nodes", other.cli("reachability", "-wan").stdout
        )
        # Their LAN pools have nothing to do with each other, and calls do not go there yet.
        self.sees()
        elsewhere = self.server.get("/v1/kv/x?dc=dc2")
        self.assertEqual((elsewhere.status, elsewhere.body), (500, b"No path to datacenter"))
        self.agents["s2"].signal(2)
        self.assertEqual(self.agents["s2"].wait(), 0)
        both["s2.dc2"] = "left"
        eventually(lambda: self.wan_members(self.server) == both, "s2 left")


class ReachabilityTest(MembershipStory):
    """consul reachability"""

    def test_who_does_not_answer_is_named(self):
        c1 = self.client(1)
        self.client(2)
        self.sees(c1="alive", c2="alive")
        well = self.server.cli("reachability", "-verbose")
        self.assertEqual(well.returncode, 0, well.stdout + well.stderr)
        for name in ("server", "c1", "c2"):
            self.assertIn(f"\tAck from '{name}', time: ", well.stdout)
        self.assertIn("\nSuccessfully contacted all live nodes\n", well.stdout)
        c1.unplug()
        ill = self.server.cli("reachability")
        self.assertEqual(ill.returncode, 1)
        self.assertIn("Missing acks from:\n\tc1\n", ill.stdout)
        self.assertNotIn("\tc2\n", ill.stdout)


class PlaceTest(MembershipStory):
    """consul rtt, by what agents tell of themselves."""

    def test_every_agent_tells_its_coordinate(self):
        c1 = self.client(1)
        # Within twice the fifteen seconds between two looks at it.
        eventually(
            lambda: c1.cli("rtt", "server").returncode == 0
            and self.server.cli("rtt", "c1").returncode == 0,
            "coordinates of both",
            60,
        )
        estimate = c1.cli("rtt", "server")
        self.assertRegex(
            estimate.stdout,
            r"^Estimated server <-> c1 rtt: \d+\.\d{3} ms \(using LAN coordinates\)\n$",
        )
        wan = self.server.cli("rtt", "-wan", "server.dc1")
        self.assertRegex(wan.stdout, r"^Estimated server\.dc1 <-> server\.dc1 rtt: 0\.0")
        # It goes with its node.
        self.agents["c1"].signal(2)
        self.assertEqual(self.agents["c1"].wait(), 0)
        eventually(lambda: self.server.cli("rtt", "c1", "server").returncode == 1, "none of c1")
