"""Goal: a client agent starts, says that it knows no server in the reference's words, and leaves.
Method: one real process on the default ports, and nobody to join.
"""

import json
import os
import signal
import socket

from tests.e2e.harness import HOST, Story, cli, dig, eventually, get, header, put

NODE = socket.gethostname()
NOBODY = "No known Consul servers"
RESIDENT_KB_MAX = 28 * 1024

BANNER = """==> Starting Consul agent...
==> Starting Consul agent RPC...
==> Consul agent running!
         Node name: '{node}'
        Datacenter: 'dc1'
    Advertise addr: '{address}'
          RPC addr: '127.0.0.1:8400'
         HTTP addr: '127.0.0.1:8500'
          DNS addr: '127.0.0.1:8600'
         Encrypted: false
            Server: false (bootstrap: false)

==> Log data will now stream in as it occurs:

[INFO] serf: EventMemberJoin: {node} {address}
[ERR] agent: failed to sync remote state: No known Consul servers
"""

LEAVE = """==> Gracefully shutting down agent...
[INFO] consul: client starting leave
[INFO] serf: EventMemberLeave: {node} {address}
[INFO] agent: requesting shutdown
[INFO] agent: shutdown complete
"""


class ClientStory(Story):
    """A client agent that is running."""

    FLAGS = ()

    def setUp(self):
        super().setUp()
        self.agent = self.started(*self.FLAGS, mode=()).wait_until_running()

    def page(self, text):
        address = json.loads(get("/v1/agent/self").body)["Member"]["Addr"]
        return text.format(node=NODE, address=address)


class AloneTest(ClientStory):
    """What it answers without a server."""

    def test_the_banner_and_the_log(self):
        expected = self.page(BANNER)
        self.agent.eventually_prints(NOBODY)
        self.assertEqual(self.agent.stdout(), expected)
        self.assertEqual(sorted(os.listdir(self.data_dir)), ["lock", "node-id", "serf"])

    def test_http_says_so_at_once(self):
        for response in (
            get("/v1/kv/x"),
            get("/v1/kv/x?stale"),
            get("/v1/kv/x?dc=elsewhere"),
            get("/v1/kv/x?index=5&wait=1s"),
            put("/v1/kv/x", "1"),
            get("/v1/status/leader"),
            get("/v1/status/peers"),
            get("/v1/catalog/datacenters"),
        ):
            self.assertEqual((response.status, response.body.decode()), (500, NOBODY))
            self.assertIsNone(header(response, "X-Consul-Index"))

    def test_reads_of_the_catalog_carry_their_headers_all_the_same(self):
        for target in ("/v1/catalog/nodes", f"/v1/catalog/node/{NODE}", "/v1/health/node/x"):
            response = get(target)
            self.assertEqual((response.status, response.body.decode()), (500, NOBODY))
            self.assertEqual(header(response, "X-Consul-Index"), "1")
            self.assertEqual(header(response, "X-Consul-KnownLeader"), "false")
            self.assertEqual(header(response, "X-Consul-LastContact"), "0")

    def test_a_request_that_is_wrong_is_told_so_first(self):
        self.assertEqual(put("/v1/kv/x?cas=z", "1").status, 400)

    def test_commands_fail_with_it(self):
        for command in (("kv", "get", "x"), ("kv", "put", "x", "1"), ("kv", "delete", "x")):
            result = cli(*command)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stdout, "")
            self.assertIn(NOBODY, result.stderr)

    def test_dns_fails_for_what_only_a_server_knows(self):
        self.assertIn("status: SERVFAIL", dig(f"{NODE}.node.consul"))
        soa = dig("consul", "SOA")
        self.assertIn("status: NOERROR", soa)
        self.assertIn("ANSWER: 1", soa)

    def test_members_are_itself(self):
        members = cli("members")
        tags = "role=node,dc=dc1,vsn=1,vsn_min=1,vsn_max=1"
        self.assertEqual(
            members.stdout, self.page(f"{{node}}  {{address}}:8301  alive  {tags}\n")
        )
        self.assertEqual(cli("members", "-wan").stdout, "")

    def test_info_has_the_groups_of_a_client(self):
        info = cli("info")
        self.assertEqual(info.returncode, 0)
        groups = [line for line in info.stdout.splitlines() if not line.startswith("\t")]
        self.assertEqual(groups, ["agent:", "build:", "consul:", "runtime:", "serf_lan:"])
        self.assertIn(
            "consul:\n\tacl = disabled\n\tknown_servers = 0\n\tserver = false\nruntime:",
            info.stdout,
        )

    def test_self_says_that_it_is_no_server(self):
        self.assertIs(json.loads(get("/v1/agent/self").body)["Config"]["Server"], False)

    def test_it_is_small(self):
        get("/v1/kv/x")
        self.assertLess(self.agent.status("VmRSS"), RESIDENT_KB_MAX)

    def test_a_server_port_and_a_wan_pool_are_a_servers(self):
        for port in (8300, 8302):
            with self.assertRaises(ConnectionRefusedError), socket.socket() as client:
                client.connect(("127.0.0.1", port))


class EndTest(ClientStory):
    """The ways to end a client."""

    def left(self, caught):
        self.assertEqual(self.agent.wait(), 0)
        self.assertTrue(self.agent.stdout().endswith(caught + self.leave), self.agent.stdout())
        self.assertEqual(self.agent.stderr(), "")

    def setUp(self):
        super().setUp()
        self.leave = self.page(LEAVE)

    def test_interrupt_leaves(self):
        self.agent.signal(signal.SIGINT)
        self.left("==> Caught signal: interrupt\n")

    def test_terminate_leaves(self):
        self.agent.signal(signal.SIGTERM)
        self.left("==> Caught signal: terminated\n")

    def test_the_command_leaves(self):
        self.assertEqual(cli("leave").returncode, 0)
        self.left("")


class EndWithoutLeaveTest(ClientStory):
    """A client that is told not to leave."""

    FLAGS = ("-hcl", "leave_on_terminate = false skip_leave_on_interrupt = true")

    def test_interrupt_ends_it(self):
        self.agent.signal(signal.SIGINT)
        self.assertEqual(self.agent.wait(), 1)
        self.assertNotIn("starting leave", self.agent.stdout())

    def test_terminate_ends_it(self):
        self.agent.signal(signal.SIGTERM)
        self.assertEqual(self.agent.wait(), 1)
        self.assertNotIn("starting leave", self.agent.stdout())


class EndWhileItJoinsTest(Story):
    """A client that is a member already, and serves, while it waits for another one to answer."""

    FLAGS = (
        *("-node", "c1", "-bind", HOST, "-http-port", "9500", "-dns-port", "9600"),
        *("-rpc-addr", f"{HOST}:9400", "-hcl", "ports { serf_lan = 9301 }"),
        *("-join", f"{HOST}:8301", "-join", f"{HOST}:9999"),
    )

    def setUp(self):
        super().setUp()
        silent = socket.create_server((HOST, 9999))
        self.addCleanup(silent.close)
        self.agent("-node", "server", "-bind", HOST)
        self.client = self.joining()

    def joining(self):
        client = self.started(*self.FLAGS, data_dir=self.path("client"), mode=())
        self.eventually_is("alive")
        self.assertEqual(get("/v1/agent/self", 9500).status, 200)
        return client

    def eventually_is(self, status):
        """What the server sees of it."""

        def sees():
            lines = cli("members").stdout.splitlines()
            return [line.split()[2] for line in lines if line.startswith("c1 ")] == [status]

        eventually(sees, f"c1 is {status}")

    def left(self):
        self.assertEqual(self.client.wait(), 0, self.client.stdout() + self.client.stderr())
        self.assertIn("==> Gracefully shutting down agent...\n", self.client.stdout())
        self.assertNotIn("==> Consul agent running!", self.client.stdout())
        self.assertEqual(self.client.stderr(), "")
        self.eventually_is("left")

    def test_interrupt_leaves(self):
        self.client.signal(signal.SIGINT)
        self.left()
        self.assertIn("==> Caught signal: interrupt\n", self.client.stdout())

    def test_terminate_leaves(self):
        self.client.signal(signal.SIGTERM)
        self.left()
        self.assertIn("==> Caught signal: terminated\n", self.client.stdout())

    def test_the_command_leaves(self):
        self.assertEqual(cli("leave", "-rpc-addr", f"{HOST}:9400").returncode, 0)
        self.left()


class RefusedTest(Story):
    """What only a server may be asked."""

    def test_bootstrap_is_a_servers(self):
        self.assertEqual(
            self.start_fails("-bootstrap", mode=()),
            "==> 'bootstrap = true' requires 'server = true' (flag -bootstrap)\n",
        )
        self.assertIn(
            "'bootstrap_expect > 0' requires 'server = true'",
            self.start_fails("-bootstrap-expect", "3", mode=()),
        )
