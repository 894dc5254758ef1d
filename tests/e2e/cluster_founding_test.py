"""Goal: servers that expect each other found one cluster and never two, and it is the same one
wherever its servers come back.
Method: servers on hosts of their own that cannot all hear each other, are killed while they found,
or have another address than before.
"""

import os
import re
import shutil
import time

from tests.e2e.cluster_story import ClusterStory, Server
from tests.e2e.pool_story import QUICK

FOUNDED = re.compile(r"founding cluster ([0-9a-f-]{36})")


class FoundingStory(ClusterStory):
    FORMED = False

    def clusters(self):
        """Ids of all clusters that were ever founded here."""
        return set(FOUNDED.findall(self.logs()))

    def waits_for_more(self, server, known):
        line = f"waiting for {self.EXPECT} servers to found a cluster: {known} known"
        self.eventually(lambda: line in server.log(), f"{server.name}: {line}")

    def knows(self, server, *others):
        """Waits until its pool is itself and these."""
        names = sorted(each.name for each in (server, *others))

        def alive():
            members = server.asked("/v1/agent/members") or []
            return sorted(each["Name"] for each in members if each["Status"] == 1) == names

        self.eventually(alive, f"{server.name} knows {names}")


class SplitPoolTest(FoundingStory):
    """Four servers that expect three."""

    COUNT = 4

    def test_two_halves_found_nothing_and_found_one_cluster_when_they_meet(self):
        a, b, c, d = self.servers
        self.partition([a, b], [c, d])
        self.start_all()
        for one, other in ((a, b), (c, d)):
            self.knows(one, other)
            self.knows(other, one)
            self.waits_for_more(one, 2)
        self.assertEqual(self.clusters(), set())
        self.assertEqual([server.leader() for server in self.servers], [""] * 4)
        self.heal()
        self.become_one()

    def test_a_majority_founds_and_the_fourth_does_not_found_another(self):
        a, b, c, d = self.servers
        self.partition([a, b, c], [d])
        self.start_all()
        self.agree([a, b, c])
        self.waits_for_more(d, 1)
        self.heal()
        self.become_one()

    def test_proposers_that_never_hear_of_each_other_found_one_cluster(self):
        """A and D would both found with B and C, and A and D cannot reach each other."""
        a, b, c, d = self.servers
        for server, digit in ((a, "1"), (d, "2"), (b, "3"), (c, "4")):
            server.flags += ("-node-id", f"{digit * 8}-0000-4000-8000-000000000000")
        self.partition([a], [d])
        self.start_all()
        for server in (b, c):
            self.knows(server, *self.others(server))
        # Whether they found while it is so is of no matter.
        self.heal()
        self.become_one()

    def become_one(self):
        """Three found it, and the leader adds the fourth."""
        self.agree()
        expected = sorted(server.raft_address() for server in self.servers)
        for server in self.servers:
            self.eventually(
                lambda s=server: sorted(s.asked("/v1/status/peers") or []) == expected,
                f"{server.name} has the peers {expected}",
            )
        self.take_part()
        self.assertEqual(len(self.clusters()), 1, self.logs())


class KilledFounderTest(FoundingStory):
    """kill -9 while a cluster is founded."""

    ROUNDS = 5
    MOMENTS = ("found a cluster: 1 known", "found a cluster: 2 known", "attempting bootstrap",
               "all servers have pledged", "New leader elected")

    def test_whoever_is_killed_in_the_midst_of_it_founds_with_the_others(self):
        for number in range(self.ROUNDS):
            # Where all find each other at once, some are never logged.
            self.found_with_a_kill(self.MOMENTS[number % len(self.MOMENTS) :])
            for server in self.servers:
                server.kill()
                server.forget()

    def found_with_a_kill(self, moments):
        """One, two or all are killed when any of them has come so far, or a little later."""
        self.start_all()
        self.eventually(lambda: any(each in self.logs() for each in moments), moments[0])
        time.sleep(self.chance.choice([0, 0, 0.002, 0.01, 0.05]))
        victims = self.chance.sample(self.servers, self.chance.choice([1, 1, 2, 3]))
        for server in victims:
            server.kill()
        before = self.clusters()
        print(f"killed {[server.name for server in victims]} at {moments[0]!r}, founded {before}")
        for server in victims:
            self.restart(server)
        self.agree()
        self.take_part()


class ConflictTest(FoundingStory):
    """Servers that do not expect the same."""

    COUNT = 2

    def start_with(self, other, line):
        """Starts all; each of those that found says why it does not."""
        self.servers.append(other)
        self.start_all()
        for server in self.others(other):
            self.eventually(lambda s=server: line in s.log(), f"{server.name}: {line}")
        self.assertEqual(self.clusters(), set())

    def test_another_number(self):
        other = self.server(3, expect=5)
        conflict = "has a conflicting expect value. All nodes should expect the same number.\n"
        self.start_with(other, f"[ERR] consul: Member s3 {conflict}")
        self.eventually(lambda: conflict in other.log(), "the same at the third")
        self.assertEqual([server.leader() for server in self.servers], [""] * 3)
        # The mistake is mended: it founds with them.
        other.kill()
        other.flags = self.servers[0].flags
        other.start(*self.joins())
        self.agree()
        self.take_part()
        self.assertEqual(len(self.clusters()), 1)

    def test_bootstrap_mode(self):
        other = self.server(3, expect=None)
        other.flags += ("-bootstrap",)
        self.servers.append(other)
        self.start_all()
        # They found nothing, and its leader adds them to the cluster that it is alone: one that is
        # added before it looks has nothing to say of it.
        self.agree()
        self.take_part()
        self.assertEqual(self.clusters(), set())


class ForeignDataTest(FoundingStory):
    """Servers of two clusters that meet, with their data, before they have a leader again."""

    KEYS = 20

    def setUp(self):
        super().setUp()
        self.start_all()
        self.settle()
        self.fill(self.servers, "ours")

    def fill(self, servers, what):
        for number in range(self.KEYS):
            self.store(servers[0], f"{what}/{number}", what)

    def has_its_own_alone(self, servers, what, other):
        self.agree(servers)
        self.take_part(servers)
        for server in servers:
            self.assertEqual(len(server.asked(f"/v1/kv/{what}/?keys")), self.KEYS, server.name)
            self.assertEqual(server.get(f"/v1/kv/{other}/?keys").status, 404, server.name)

    def kill_all(self, servers):
        for server in servers:
            server.kill()

    def test_one_that_comes_back_alone_takes_nothing_of_another_cluster(self):
        self.kill_all(self.servers)
        other = self.server(4, expect=None)
        other.flags += ("-bootstrap",)
        other.start()
        self.fill([other], "theirs")
        self.assertTrue(os.path.exists(os.path.join(other.data_dir(), "raft", "pledge")))
        lost = self.servers[0]
        lost.start(*self.joins([other]))
        self.eventually(lambda: "another cluster: " in lost.log(), "a refusal")
        self.assertIsNone(lost.asked("/v1/kv/theirs/?keys&stale"))
        self.assertEqual(len(other.asked("/v1/agent/members")), 1)
        lost.kill()
        self.start_all()
        self.has_its_own_alone(self.servers, "ours", "theirs")
        self.has_its_own_alone([other], "theirs", "ours")

    def test_two_clusters_that_come_back_together_stay_two(self):
        ours = self.servers
        theirs = [self.server(number) for number in (4, 5, 6)]
        for server in theirs:
            server.start(*self.joins(theirs))
        self.agree(theirs)
        self.fill(theirs, "theirs")
        self.servers = ours + theirs
        self.kill_all(self.servers)
        self.start_all()
        self.has_its_own_alone(ours, "ours", "theirs")
        self.has_its_own_alone(theirs, "theirs", "ours")


class CopiedDataTest(ClusterStory):
    """A server's data directory on another host, while the server runs."""

    def setUp(self):
        super().setUp()
        self.original = self.others(self.agree())[0]
        self.copy = self.server(4, expect=None)

    def copy_data(self, *names):
        """Copies the original's data under each of these names of the copy; returns the folders."""
        self.original.kill()
        folders = []
        for self.copy.name in names:
            self.copy.forget()
            folders.append(self.copy.data_dir())
            shutil.copytree(self.original.data_dir(), folders[-1])
            # Whom it knew: it is to get in touch as a case says.
            shutil.rmtree(os.path.join(folders[-1], "serf"))
        self.restart(self.original)
        self.settle()
        return folders

    def start_copy(self, *flags):
        """Starts a copy of the original's name that joins nobody of its own accord."""
        (folder,) = self.copy_data(self.original.name)
        self.copy.start("-data-dir", folder, *flags)
        self.eventually(lambda: self.copy.asked("/v1/agent/members"), "the copy runs")

    def ends(self):
        self.assertEqual(self.copy.agent.wait(), 1, self.copy.log())
        self.assertRegex(
            self.copy.log(),
            rf"\[ERR\] agent: Member '{self.copy.name}' at .* has conflicting node ID .* with "
            f"member '{self.original.name}' at .* must not be copied",
        )

    def known(self, server):
        """Addresses of the members that a server knows."""
        return sorted(member["Addr"] for member in server.asked("/v1/agent/members"))

    def has_no_place(self, *others):
        addresses = sorted(each.host.address for each in (*self.servers, *others))
        for server in self.servers:
            self.assertEqual(self.known(server), addresses)

    def test_a_copy_is_let_in_under_no_name_and_ends(self):
        names = ("s4", self.original.name)
        folders = self.copy_data(*names)
        for self.copy.name, folder in zip(names, folders):
            self.copy.start("-data-dir", folder, *self.joins())
            self.ends()
            self.has_no_place()
            self.copy.kill()
        self.take_part()

    def test_a_copy_that_a_member_joins_ends(self):
        self.start_copy()
        response = self.agree().put(f"/v1/agent/join/{self.copy.host.address}", "")
        self.assertIn(b"must not be copied", response.body)
        self.ends()
        self.has_no_place()
        self.take_part()

    def test_a_server_that_joins_its_copy_goes_on(self):
        self.start_copy()
        response = self.original.put(f"/v1/agent/join/{self.copy.host.address}", "")
        self.assertIn(b"must not be copied", response.body)
        self.assertEqual(self.known(self.copy), [self.copy.host.address])
        self.has_no_place()
        self.take_part()

    def test_a_client_that_met_a_copy_first_brings_it_nowhere(self):
        """What is acknowledged with one server down is at the other, not at its copy."""
        self.start_copy()
        leader = self.agree()
        client = Server(self, "client", 5, QUICK)
        client.start_client("-retry-join", self.copy.host.address)
        self.eventually(lambda: len(client.asked("/v1/agent/members") or []) == 2, "two members")
        client.put(f"/v1/agent/join/{leader.host.address}", "")
        self.ends()
        self.eventually(lambda: len(self.known(leader)) == 4, "the client in the pool")
        (third,) = self.others(leader, self.original)
        third.kill()
        for number in range(20):
            self.store(leader, f"kept/{number}", "x")
        leader.kill()
        third.start(*self.joins())
        self.agree([third, self.original])
        keys = self.original.asked("/v1/kv/kept/?keys&consistent")
        self.assertEqual(len(keys or []), 20, keys)
        leader.start(*self.joins())
        self.agree()
        self.take_part()
        self.has_no_place(client)


class AddressTest(ClusterStory):
    """Servers are known by their ids: where they are is of no matter."""

    def setUp(self):
        super().setUp()
        for number, server in enumerate(self.servers):
            self.store(server, f"kept/{number}", server.name)

    def renumber(self, numbers):
        """Gives each server of `numbers` another address; none of them runs."""
        for server, number in numbers.items():
            server.host.set_address(number)
        self.switch.forget_neighbours()

    def check(self):
        self.agree()
        self.take_part()
        expected = sorted(server.raft_address() for server in self.servers)
        for server in self.servers:
            self.eventually(
                lambda s=server: sorted(s.asked("/v1/status/peers") or []) == expected,
                f"peers {expected}, but {server.asked('/v1/status/peers')}",
            )
        self.assertEqual(len(self.have_the_same("kept")), len(self.servers))

    def test_one_comes_back_with_another_address(self):
        for server in (self.agree(), self.others(self.agree())[0]):
            server.kill()
            self.renumber({server: 100 + self.servers.index(server)})
            server.start(*self.joins())
            self.check()

    def test_all_come_back_with_other_addresses(self):
        for server in self.servers:
            server.kill()
        self.renumber({server: 101 + n for n, server in enumerate(self.servers)})
        self.start_all()
        self.check()

    def test_all_come_back_with_the_addresses_of_each_other(self):
        for server in self.servers:
            server.kill()
        self.renumber({server: (n + 1) % 3 + 1 for n, server in enumerate(self.servers)})
        self.start_all()
        self.check()
