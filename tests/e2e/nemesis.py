"""What befalls the servers of a cluster, by a seed: cuts, kills, pauses, also two at once."""

import signal
import time


class Nemesis:
    """Does one fault after the other; after each all is healed, and all servers run."""

    SECONDS = (0.2, 1.0, 2.5)  # how long a fault stays
    LEAVE_WAIT_S = 60  # a server gives up sooner
    CALM_SECONDS = (0, 0.1, 1.0)  # between the healing of one and the next

    def __init__(self, story, chance):
        self._story = story
        self._chance = chance
        self._paused = []
        self._killed = []
        self.done = []  # names, in order
        self.faults = [
            self.cut_leader_off,
            self.make_leader_mute,
            self.make_leader_deaf,
            self.cut_follower_off,
            self.cut_one_way,
            self.isolate_all,
            self.kill_leader,
            self.kill_follower,
            self.kill_two,
            self.kill_all,
            self.pause_leader,
            self.pause_follower,
            self.leave_leader,
            self.leave_follower,
        ]

    def round(self):
        """One fault, or two at a time; heals them. Returns what it was."""
        count = self._chance.choice([1, 1, 2])
        return self.do(self._chance.sample(self.faults, count))

    def do(self, faults):
        name = " + ".join(fault.__name__ for fault in faults)
        self.done.append(name)
        for fault in faults:
            fault()
            time.sleep(self._chance.choice([0, 0.05, 0.4]))
        time.sleep(self._chance.choice(self.SECONDS))
        self.heal()
        time.sleep(self._chance.choice(self.CALM_SECONDS))
        return name

    def heal(self):
        """In any order: what was stopped goes on before the network does, or behind it."""
        repairs = [self._story.heal, self._start_killed, self._let_paused_go_on]
        self._chance.shuffle(repairs)
        for repair in repairs:
            repair()

    def _start_killed(self):
        while self._killed:
            self._story.restart(self._killed.pop())

    def _let_paused_go_on(self):
        while self._paused:
            self._paused.pop().go_on()

    def _running(self):
        stopped = self._paused + self._killed
        return [server for server in self._story.servers if server not in stopped]

    def _leader(self):
        """The leader as any that runs names it; any of them where nobody names one."""
        running = self._running()
        by_address = {server.raft_address(): server for server in running}
        for server in running:
            if (leader := server.leader(timeout_s=1)) in by_address:
                return by_address[leader]
        return self._chance.choice(running) if running else None

    def _follower(self):
        leader = self._leader()
        followers = [server for server in self._running() if server is not leader]
        return self._chance.choice(followers) if followers else None

    def _others(self, *servers):
        return self._story.others(*servers)

    # ---- The network.

    def cut_leader_off(self):
        self._isolate(self._leader())

    def cut_follower_off(self):
        self._isolate(self._follower())

    def _isolate(self, server):
        if server is not None:
            self._story.partition([server], self._others(server))

    def isolate_all(self):
        self._story.partition(*[[server] for server in self._story.servers])

    def make_leader_mute(self):
        if (leader := self._leader()) is not None:
            leader.cut_off_from(*self._others(leader))

    def make_leader_deaf(self):
        if (leader := self._leader()) is not None:
            for other in self._others(leader):
                other.cut_off_from(leader)

    def cut_one_way(self):
        one, other = self._chance.sample(self._story.servers, 2)
        one.cut_off_from(other)

    def cut_in_two(self):
        """The smaller half has the leader or not, as it comes."""
        servers = self._story.servers
        half = self._chance.sample(servers, len(servers) // 2)
        self._story.partition(half, self._others(*half))

    # ---- The processes.

    def kill_leader(self):
        self._kill(self._leader())

    def kill_follower(self):
        self._kill(self._follower())

    def kill_two(self):
        self.kill_leader()
        self.kill_follower()

    def kill_all(self):
        for server in self._running():
            self._kill(server)

    def _kill(self, server):
        if server is not None:
            server.kill()
            self._killed.append(server)

    def leave_leader(self):
        self._leave(self._leader())

    def leave_follower(self):
        self._leave(self._follower())

    def _leave(self, server):
        """It is no voter any more; the leader adds it when it is started again."""
        if server is not None:
            server.agent.signal(signal.SIGINT)
            server.agent.wait(self.LEAVE_WAIT_S)
            server.kill()
            self._killed.append(server)

    def pause_leader(self):
        self._pause(self._leader())

    def pause_follower(self):
        self._pause(self._follower())

    def pause_two(self):
        self.pause_leader()
        self.pause_follower()

    def _pause(self, server):
        if server is not None:
            server.pause()
            self._paused.append(server)
