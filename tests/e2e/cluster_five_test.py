"""Goal: five servers are one as three are, and any two of them may be gone.
Method: the clients and the nemesis of cluster_history_test, and the steady writer of
cluster_failure_test, with two servers more.
"""

from tests.e2e.cluster_story import ClusterStory
from tests.e2e.history_story import HistoryStory


class FiveHistoryTest(HistoryStory):
    """Faults by a seed."""

    COUNT = EXPECT = 5
    CLIENTS = 8

    def setUp(self):
        super().setUp()
        nemesis = self.nemesis
        nemesis.faults = [
            nemesis.cut_in_two,
            nemesis.cut_one_way,
            nemesis.cut_leader_off,
            nemesis.make_leader_mute,
            nemesis.make_leader_deaf,
            nemesis.isolate_all,
            nemesis.kill_leader,
            nemesis.kill_two,
            nemesis.pause_leader,
            nemesis.pause_two,
            nemesis.leave_leader,
        ]

    def test_histories_are_those_of_registers(self):
        with self.clients("five") as clients:
            self.befall(clients)
        self.check(clients)


class TwoOfFiveTest(ClusterStory):
    """The leader and another one."""

    COUNT = EXPECT = 5

    def two(self):
        leader = self.agree()
        return [leader, self.chance.choice(self.others(leader))]

    def test_two_are_killed(self):
        two = self.two()

        def kill():
            for server in two:
                server.kill()

        def start():
            for server in two:
                self.restart(server)

        self.goes_on(self.others(*two), kill, start, "two-killed")

    def test_two_are_cut_off(self):
        two = self.two()
        others = self.others(*two)
        self.goes_on(others, lambda: self.partition(two, others), self.heal, "two-cut-off")
