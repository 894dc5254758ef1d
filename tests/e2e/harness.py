"""One machine with our program on it: agents, gateways, commands and clients, for stories in tests.

A test's process has a loopback of its own, so everything here uses the default ports unless told
otherwise. Nothing sleeps for a fixed time: `eventually` asks again until the answer is there.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.conformance import dig as dns, wire

BINARY = os.path.abspath(sys.argv[1])
HOST = "127.0.0.1"
RPC_PORT, HTTP_PORT, DNS_PORT = 8400, 8500, 8600
# No answer within this is a failure; a healthy one is there in milliseconds.
PATIENCE_S = 20
POLL_S = 0.005
# Flags of an agent that a gateway serves HTTP and DNS for.
NO_FACES = ("-hcl", "ports { http = -1 dns = -1 }")


def eventually(ask, what, patience_s=PATIENCE_S):
    """Asks until the answer is true, and returns it. Errors of sockets count as false."""
    deadline = time.monotonic() + patience_s
    last = None
    while time.monotonic() < deadline:
        try:
            last = ask()
            if last:
                return last
        except (OSError, wire.ClosedEarly) as error:
            last = error
        time.sleep(POLL_S)
    raise AssertionError(f"not within {patience_s} s: {what}; last: {last!r}")


def http(method, target, body=None, port=HTTP_PORT, **kwargs):
    """One request on a connection of its own; the Response has status, headers and body."""
    if isinstance(body, str):
        body = body.encode()
    return wire.request((HOST, port), method, target, body, **kwargs)


def get(target, port=HTTP_PORT):
    return http("GET", target, port=port)


def put(target, body=b"", port=HTTP_PORT):
    return http("PUT", target, body, port=port)


def header(response, name):
    """The value of a header, None when it is not there."""
    for key, value in response.headers:
        if key.lower() == name.lower():
            return value
    return None


def index_of(response):
    return int(header(response, "X-Consul-Index"))


def dig(*args, port=DNS_PORT):
    """What dig prints for the arguments."""
    return dns.run(HOST, port, args)


def cli(*args, stdin=None, environment=None):
    """Runs a command to its end; the result has returncode, stdout and stderr."""
    return subprocess.run(
        [BINARY, *args],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={"PATH": os.environ["PATH"], **(environment or {})},
    )


class Process:
    """A process of our program that stays, with what it writes kept in two files."""

    def __init__(self, *args, prefix=(), stdin=subprocess.DEVNULL):
        self._stack = contextlib.ExitStack()
        self._outputs = [
            self._stack.enter_context(tempfile.NamedTemporaryFile(prefix="output-"))
            for _ in range(2)
        ]
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, BINARY, *args],
            stdin=stdin,
            stdout=self._outputs[0],
            stderr=self._outputs[1],
            env={"PATH": os.environ["PATH"]},
        )

    def stdout(self):
        return self._read(0)

    def stderr(self):
        return self._read(1)

    def _read(self, which):
        with open(self._outputs[which].name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, patience_s=PATIENCE_S):
        """Waits for the end; returns the exit code, negative for a signal's number."""
        return self.process.wait(patience_s)

    def runs(self):
        return self.process.poll() is None

    def eventually_prints(self, text):
        eventually(lambda: text in self.stdout(), f"{text!r} in:\n{self.stdout()}")

    def kill(self):
        if self.runs():
            self.process.kill()
            self.process.wait()

    def close(self):
        self.kill()
        self._stack.close()

    def status(self, field):
        """A number of /proc/PID/status: `VmRSS` in kB, `Threads`."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.MULTILINE)[1])

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Agent(Process):
    """A server as on the page: `consul agent -server -bootstrap -data-dir DIR`, and more flags.

    With an empty `mode` it is a client.
    """

    def __init__(self, data_dir, *flags, port=HTTP_PORT, prefix=(), mode=("-server", "-bootstrap")):
        self._port = port
        command = ["agent", *mode, "-data-dir", data_dir, *flags]
        super().__init__(*command, prefix=prefix)

    def wait_until_ready(self):
        """Waits until it leads, its node is healthy and all of it is in the catalog."""

        def is_registered():
            self.check_runs()
            itself = get("/v1/agent/self", self._port)
            if itself.status != 200:
                return False
            name = json.loads(itself.body)["Config"]["NodeName"]
            health = get(f"/v1/health/node/{name}", self._port)
            if health.status != 200 or b'"passing"' not in health.body:
                return False
            # The last thing that an agent writes of itself.
            return b'"lan"' in get(f"/v1/catalog/node/{name}", self._port).body

        eventually(is_registered, f"an agent that leads; output:\n{self.stdout()}")
        # HTTP answers before the banner is written.
        return self.wait_until_running()

    def wait_until_running(self):
        """Waits until all is started, whatever faces it has; returns itself."""

        def has_banner():
            self.check_runs()
            return "==> Log data will now stream" in self.stdout()

        eventually(has_banner, "the banner")
        return self

    def check_runs(self):
        if not self.runs():
            raise AssertionError(f"the agent ended: {self.stdout()}{self.stderr()}")

    def leave(self):
        """Ctrl-C; returns the exit code."""
        self.signal(signal.SIGINT)
        return self.wait()


class Story(unittest.TestCase):
    """A case with a folder of its own; what it starts ends with it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.data_dir = self.path("data")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def started(self, *flags, data_dir=None, **kwargs):
        """An Agent that was just started."""
        agent = Agent(data_dir or self.data_dir, *flags, **kwargs)
        self.addCleanup(agent.close)
        return agent

    def agent(self, *flags, **kwargs):
        """An Agent that is ready."""
        return self.started(*flags, **kwargs).wait_until_ready()

    def process(self, *args, **kwargs):
        process = Process(*args, **kwargs)
        self.addCleanup(process.close)
        return process

    def start_fails(self, *flags, data_dir=None, **kwargs):
        """Starts an agent that cannot start; returns what it wrote to stderr."""
        agent = self.started(*flags, data_dir=data_dir, **kwargs)
        code = agent.wait()
        self.assertEqual(code, 1, agent.stdout() + agent.stderr())
        return agent.stderr()


class SharedAgent(Story):
    """Cases that ask one agent, started once for all of them.

    With the argument --gateway it has no HTTP and no DNS, and a gateway serves them.
    """

    FLAGS = ()
    GATEWAY = "--gateway" in sys.argv[2:]

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="e2e-")
        cls.addClassCleanup(folder.cleanup)
        flags = NO_FACES if cls.GATEWAY else cls.FLAGS
        cls.agent_process = Agent(os.path.join(folder.name, "data"), *flags)
        cls.addClassCleanup(cls.agent_process.close)
        # What serves HTTP and DNS.
        cls.server = Process("gateway") if cls.GATEWAY else cls.agent_process
        cls.addClassCleanup(cls.server.close)
        cls.agent_process.wait_until_ready()
