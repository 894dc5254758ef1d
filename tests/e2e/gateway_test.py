"""Goal: a gateway of its own serves HTTP and DNS for an agent, and outlives it.
Method: an agent without HTTP and DNS, a gateway beside it on other ports; the agent is ended,
killed and started again under it. gateway_kv_test runs the whole of kv_test through one.
"""

import json
import signal
import socket
import threading
import time

from tests.e2e.harness import HOST, NO_FACES, Story, cli, dig, eventually, get, index_of, put

HTTP, DNS = 9500, 9600
NODE = socket.gethostname()


class GatewayStory(Story):
    """Starts gateways and agents for them."""

    def gateway(self, *flags):
        gateway = self.process(
            "gateway", "-rpc-addr", f"{HOST}:8400", "-http-addr", f"{HOST}:{HTTP}",
            "-dns-addr", f"{HOST}:{DNS}", *flags,
        )
        gateway.eventually_prints("==> Consul gateway running!")
        eventually(lambda: get("/v1/status/leader", HTTP), "an answer")
        return gateway

    def agent_without_faces(self):
        return self.started(*NO_FACES).wait_until_running()

    def eventually_serves(self):
        def healthy():
            health = get(f"/v1/health/node/{NODE}", HTTP)
            return health.status == 200 and b'"passing"' in health.body

        eventually(healthy, "the node's health, through the gateway")


class ServesTest(GatewayStory):
    """What goes through."""

    def setUp(self):
        super().setUp()
        self.server = self.agent_without_faces()
        self.gate = self.gateway()
        self.eventually_serves()

    def test_its_banner(self):
        self.assertEqual(
            self.gate.stdout(),
            "==> Starting Consul gateway...\n"
            "==> Consul gateway running!\n"
            "         Agent RPC: '127.0.0.1:8400'\n"
            "         HTTP addr: '127.0.0.1:9500'\n"
            "          DNS addr: '127.0.0.1:9600'\n",
        )

    def test_the_agents_banner_says_off(self):
        self.assertIn("         HTTP addr: off\n          DNS addr: off\n", self.server.stdout())

    def test_the_agent_listens_on_neither(self):
        for port in (8500, 8600):
            with self.assertRaises(ConnectionRefusedError), socket.socket() as client:
                client.connect((HOST, port))

    def test_the_catalog(self):
        (node,) = json.loads(get("/v1/catalog/nodes", HTTP).body)
        self.assertEqual(node["Node"], NODE)

    def test_dns_over_udp_and_tcp(self):
        output = dig(f"{NODE}.node.consul", port=DNS)
        self.assertIn(";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0", output)
        self.assertEqual(dig("+tcp", "+short", f"{NODE}.node.consul", port=DNS), "127.0.0.1\n")
        self.assertIn("status: NXDOMAIN", dig("nobody.node.consul", port=DNS))

    def test_writes_and_reads(self):
        self.assertEqual(put("/v1/kv/through", "it", HTTP).body, b"true")
        self.assertEqual(get("/v1/kv/through?raw", HTTP).body, b"it")
        self.assertEqual(cli("kv", "get", "through").stdout, "it\n")

    def test_the_largest_value(self):
        self.assertEqual(put("/v1/kv/large", b"x" * 512 * 1024, HTTP).body, b"true")
        self.assertEqual(len(get("/v1/kv/large?raw", HTTP).body), 512 * 1024)
        self.assertEqual(put("/v1/kv/larger", b"x" * (512 * 1024 + 1), HTTP).status, 413)

    def test_a_reply_larger_than_a_grpc_message_by_default(self):
        for number in range(12):
            put(f"/v1/kv/much/{number}", b"x" * 512 * 1024, HTTP)
        self.assertEqual(len(json.loads(get("/v1/kv/much/?recurse", HTTP).body)), 12)

    def test_a_blocking_query_is_woken(self):
        put("/v1/kv/wake", "1", HTTP)
        index = index_of(get("/v1/kv/wake", HTTP))
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(get(f"/v1/kv/wake?raw&index={index}&wait=20s", HTTP))
        )
        thread.start()
        cli("kv", "put", "wake", "2")
        thread.join()
        self.assertEqual(answers[0].body, b"2")

    def test_errors_are_the_agents(self):
        response = get("/v1/catalog/nodes?dc=mars", HTTP)
        self.assertEqual((response.status, response.body), (500, b"No path to datacenter"))

    def test_a_second_gateway_beside_it(self):
        other = self.process(
            "gateway", "-http-addr", f"{HOST}:9501", "-dns-addr", "off",
        )
        other.eventually_prints("          DNS addr: off\n")
        put("/v1/kv/two", "gateways", HTTP)
        self.assertEqual(get("/v1/kv/two?raw", 9501).body, b"gateways")

    def test_it_ends_with_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            gateway = self.process("gateway", "-http-addr", f"{HOST}:9501", "-dns-addr", "off")
            gateway.eventually_prints("running!")
            gateway.signal(number)
            self.assertEqual(gateway.wait(2), 0)
        self.assertTrue(self.server.runs())


class NoAgentTest(GatewayStory):
    """The agent is not there, or was not for a while."""

    def test_http_names_the_address(self):
        self.gateway()
        before = time.monotonic()
        response = get("/v1/catalog/nodes", HTTP)
        self.assertEqual(response.status, 500)
        self.assertIn("no agent answers at 127.0.0.1:8400", response.body.decode())
        self.assertLess(time.monotonic() - before, 1.0)

    def test_dns_is_servfail(self):
        self.gateway()
        output = dig(f"{NODE}.node.consul", port=DNS)
        self.assertIn("status: SERVFAIL", output)

    def test_the_agent_comes_later(self):
        self.gateway()
        self.assertEqual(get("/v1/catalog/nodes", HTTP).status, 500)
        self.agent_without_faces()
        before = time.monotonic()
        self.eventually_serves()
        self.assertLess(time.monotonic() - before, 5.0)

    def test_the_agent_is_started_again(self):
        first = self.agent_without_faces()
        gateway = self.gateway()
        self.eventually_serves()
        put("/v1/kv/kept", "over the restart", HTTP)
        self.assertEqual(dig("+short", f"{NODE}.node.consul", port=DNS), "127.0.0.1\n")
        self.assertEqual(first.leave(), 0)
        self.assertEqual(get("/v1/catalog/nodes", HTTP).status, 500)
        self.agent_without_faces()
        self.eventually_serves()
        self.assertEqual(get("/v1/kv/kept?raw", HTTP).body, b"over the restart")
        self.assertEqual(dig("+short", f"{NODE}.node.consul", port=DNS), "127.0.0.1\n")
        self.assertTrue(gateway.runs())

    def test_the_agent_is_killed_under_a_blocking_query(self):
        agent = self.agent_without_faces()
        self.gateway()
        self.eventually_serves()
        index = index_of(get("/v1/kv/none", HTTP))
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(get(f"/v1/kv/none?index={index}&wait=60s", HTTP))
        )
        thread.start()
        # Long enough for it to be under way; were it not, the answer would be the same.
        eventually(lambda: get("/v1/status/leader", HTTP).status == 200, "an answer")
        agent.kill()
        thread.join(20)
        self.assertEqual(answers[0].status, 500)

    def test_dns_forgets_what_it_knew_of_a_dead_agent(self):
        agent = self.agent_without_faces()
        self.gateway()
        self.eventually_serves()
        for _ in range(3):
            dig("+short", f"{NODE}.node.consul", port=DNS)
        agent.kill()
        eventually(
            lambda: "status: SERVFAIL" in dig(f"{NODE}.node.consul", port=DNS), "SERVFAIL"
        )

    def test_a_new_address_of_the_node_is_seen(self):
        """A kept answer is given no longer than it is true."""
        first = self.started(*NO_FACES, "-bind", "127.0.0.5").wait_until_running()
        self.gateway()
        self.eventually_serves()
        for _ in range(5):
            self.assertEqual(dig("+short", f"{NODE}.node.consul", port=DNS), "127.0.0.5\n")
        self.assertEqual(first.leave(), 0)
        self.started(*NO_FACES, "-bind", "127.0.0.6").wait_until_running()
        eventually(
            lambda: dig("+short", f"{NODE}.node.consul", port=DNS) == "127.0.0.6\n",
            "the new address",
        )
