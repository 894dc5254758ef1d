"""Stories of several hosts whose agents are members of one pool."""

import json

from tests.e2e.harness import Story, eventually
from tests.e2e.hosts import Switch

# A death is told within some seconds instead of half a minute.
QUICK = (
    "-hcl",
    'gossip_lan { probe_interval = "200ms" probe_timeout = "100ms" gossip_interval = "50ms" }',
)


class MembershipStory(Story):
    """Hosts `server`, `c1`, `c2`, ...; the server's agent leads a datacenter of its own."""

    FLAGS = QUICK

    def setUp(self):
        super().setUp()
        self.switch = Switch()
        self.addCleanup(self.switch.close)
        self.agents = {}
        self.server = self.switch.host("server", 1)
        self.start(self.server, "-server", "-bootstrap")

    def start(self, host, *flags):
        """Starts the agent of a host; one that ran before has ended."""
        command = ["agent", "-node", host.name, "-client", "0.0.0.0"]
        command += ["-data-dir", self.path(host.name), *self.FLAGS, *flags]
        agent = host.start(*command)
        self.addCleanup(agent.close)
        self.agents[host.name] = agent
        eventually(
            lambda: "==> Log data will now" in agent.stdout() or not agent.runs(), "a banner"
        )
        self.assertTrue(agent.runs(), agent.stdout() + agent.stderr())
        return agent

    def client(self, number, *flags):
        """A host with a client agent that joins the server."""
        host = self.switch.host(f"c{number}", number + 10)
        self.start(host, "-join", self.server.address, *flags)
        return host

    def sees(self, **expected):
        """The server's agent lists itself, alive, and these."""
        self.server.eventually_sees({"server": "alive", **expected}, 40)

    def catalog(self):
        """Status of serfHealth by node, as the server has it."""
        nodes = json.loads(self.server.get("/v1/catalog/nodes?stale").body)
        statuses = {}
        for node in nodes:
            checks = json.loads(self.server.get(f"/v1/health/node/{node['Node']}?stale").body)
            statuses[node["Node"]] = [c["Status"] for c in checks if c["CheckID"] == "serfHealth"]
        return {name: found[0] for name, found in statuses.items() if found}

    def eventually_has(self, **expected):
        expected["server"] = "passing"
        eventually(
            lambda: self.catalog() == expected, f"catalog {expected}, but {self.catalog()}", 40
        )

    def logged(self, host, line):
        eventually(
            lambda: line in self.agents[host.name].stdout(),
            f"{line!r} in:\n{self.agents[host.name].stdout()}",
        )
