"""Goal: whatever befalls one server of three, the others go on, and it comes back into a cluster
that has lost nothing.
Method: a host each in a network namespace of its own; links are cut and processes are killed while
a client writes through the others. The longest time without an accepted write is printed, and not
asserted: it depends on what else the machine does.
"""

from tests.e2e.cluster_story import ClusterStory


class FailureTest(ClusterStory):
    """kill -9, cuts and pauses."""

    def test_the_leader_is_killed(self):
        leader = self.agree()
        self.goes_on(
            self.others(leader), leader.kill, lambda: self.restart(leader), "leader-killed"
        )

    def test_the_leader_is_cut_off(self):
        leader = self.agree()
        others = self.others(leader)
        self.goes_on(
            others, lambda: self.partition([leader], others), self.heal, "leader-cut-off"
        )

    def test_nobody_hears_the_leader(self):
        leader = self.agree()
        others = self.others(leader)
        self.goes_on(others, lambda: leader.cut_off_from(*others), self.heal, "leader-mute")

    def test_the_leader_hears_nobody(self):
        leader = self.agree()
        others = self.others(leader)

        def make_deaf():
            for other in others:
                other.cut_off_from(leader)

        self.goes_on(others, make_deaf, self.heal, "leader-deaf")

    def test_the_leader_stands_still(self):
        leader = self.agree()
        self.goes_on(self.others(leader), leader.pause, leader.go_on, "leader-paused")

    def test_a_follower_is_killed(self):
        leader = self.agree()
        follower = self.others(leader)[0]
        self.goes_on(
            self.others(follower), follower.kill, lambda: self.restart(follower), "follower-killed"
        )
        self.assertIs(self.agree(), leader)

    def test_the_unplugged_leader_comes_back(self):
        leader = self.agree()
        self.goes_on(
            self.others(leader), leader.host.unplug, leader.host.plug_in, "leader-unplugged"
        )
