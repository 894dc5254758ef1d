"""Several hosts on one machine: network namespaces on a bridge, for stories in which agents meet,
are cut off and come back.

The test runs in a network namespace of its own (Bazel's sandbox), which is the switch; each host
is a process that holds another one, joined to the switch by a pair of virtual interfaces. Nothing
of it is left when the test ends. Needs root.

Links are cut in one direction at a time: who is cut off from another sends to a hardware address
that nobody has, so that everything vanishes without a word, as behind a switch that fails.
"""

import os
import signal
import subprocess

from tests.conformance import wire
from tests.e2e.harness import BINARY, HTTP_PORT, PATIENCE_S, Process, eventually

NETWORK = "10.77.0"
BRIDGE = "switch0"
NOWHERE = "02:00:00:00:00:ff"


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Switch:
    """The bridge that all hosts hang on."""

    def __init__(self):
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{NETWORK}.254/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        self.hosts = []

    def host(self, name, number):
        host = Host(name, number)
        self.hosts.append(host)
        return host

    def forget_neighbours(self):
        """Nobody remembers which host had which address."""
        run("ip", "neighbour", "flush", "dev", BRIDGE)
        for host in self.hosts:
            run(*host.prefix, "ip", "neighbour", "flush", "dev", "eth0")

    def close(self):
        for host in self.hosts:
            host.close()
        run("ip", "link", "delete", BRIDGE)


class Host:
    """A machine with an address of its own, on which agents and commands run."""

    count = 0

    def __init__(self, name, number):
        self.name = name
        # A namespace that has ended gives its cable back in its own time: no name comes twice.
        Host.count += 1
        self._cable = f"cable{Host.count}"
        self._unreachable = set()
        # The process is asleep for good; its namespace lives as long as it does.
        self._keeper = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo up && exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._keeper.stdout.readline()
        pid = str(self._keeper.pid)
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "link", "set", self._cable, "master", BRIDGE, "up")
        run(*self.prefix, "ip", "link", "set", "lo", "up")
        run(*self.prefix, "ip", "link", "set", "eth0", "up")
        self.address = None
        self.set_address(number)

    @property
    def prefix(self):
        """What a command line begins with to run on this host."""
        return ("nsenter", "-t", str(self._keeper.pid), "-n")

    def set_address(self, number):
        """Gives the host another address in place of the one it has."""
        run(*self.prefix, "ip", "address", "flush", "dev", "eth0")
        self.address = f"{NETWORK}.{number}"
        run(*self.prefix, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        run(*self.prefix, "ip", "route", "replace", "default", "via", f"{NETWORK}.254")

    def unplug(self):
        run("ip", "link", "set", self._cable, "down")

    def plug_in(self):
        run("ip", "link", "set", self._cable, "up")

    def cut_off_from(self, *others):
        """Nothing that this host sends arrives there any more."""
        self._unreachable.update(other.address for other in others)
        self._neighbours("replace", [other.address for other in others])

    def heal(self):
        """What it sends arrives everywhere again."""
        self._neighbours("delete", sorted(self._unreachable))
        self._unreachable.clear()

    def _neighbours(self, verb, addresses):
        where = f"lladdr {NOWHERE} nud permanent" if verb == "replace" else ""
        lines = [f"neighbour {verb} {address} {where} dev eth0\n" for address in addresses]
        if lines:
            subprocess.run(
                [*self.prefix, "ip", "-batch", "-"],
                input="".join(lines),
                text=True,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    def start(self, *args):
        """A process of our program on this host."""
        return Process(*args, prefix=self.prefix)

    def cli(self, *args):
        """Runs a command on this host to its end."""
        return subprocess.run(
            [*self.prefix, BINARY, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env={"PATH": os.environ["PATH"]},
        )

    def members(self):
        """Status by name, as this host's agent sees it; empty while it does not answer."""
        result = self.cli("members")
        lines = result.stdout.splitlines() if result.returncode == 0 else []
        return {line.split()[0]: line.split()[2] for line in lines}

    def eventually_sees(self, expected, patience_s=PATIENCE_S):
        """Waits until this host's agent lists exactly these members with these statuses."""
        eventually(
            lambda: self.members() == expected,
            f"{self.name} sees {expected}, but saw {self.members()}",
            patience_s,
        )

    def get(self, target, timeout_s=30):
        """A request to the HTTP port of the agent here, which listens on the host's address."""
        return wire.request((self.address, HTTP_PORT), "GET", target, timeout_s=timeout_s)

    def put(self, target, body, timeout_s=30):
        """The same with a body, text or bytes."""
        address = (self.address, HTTP_PORT)
        content = body.encode() if isinstance(body, str) else body
        return wire.request(address, "PUT", target, content, timeout_s=timeout_s)

    def close(self):
        self._keeper.send_signal(signal.SIGKILL)
        self._keeper.wait()
        self._keeper.stdout.close()


class Disk:
    """A small file system in place of a directory, for processes that run by its prefix.

    It outlives them, as a disk does, and is gone when it is closed.
    """

    def __init__(self, directory, size):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        mount = 'mount -t tmpfs -o size="$1" none "$0" && echo up && exec sleep infinity'
        self._keeper = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mount, directory, size],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        if self._keeper.stdout.readline() != b"up\n":
            raise AssertionError(f"no file system of {size} at {directory}")

    @property
    def prefix(self):
        return ("nsenter", "-t", str(self._keeper.pid), "-m")

    def resize(self, size):
        run(*self.prefix, "mount", "-o", f"remount,size={size}", "none", self.directory)

    def bytes_free(self):
        stat = os.statvfs(f"/proc/{self._keeper.pid}/root{self.directory}")
        return stat.f_bavail * stat.f_bsize

    def close(self):
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()
