"""Goal: a gateway of its own serves HTTP and DNS for an agent, by its settings, and outlives it.
Method: an agent without HTTP and DNS, a gateway beside it on other ports; the agent is ended,
killed and started again under it, with the same settings and with others. gateway_kv_test runs the
whole of kv_test through one, gateway_faces_test and gateway_replay_test whole tables.
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

    def agent_without_faces(self, *flags):
        return self.started(*NO_FACES, *flags).wait_until_running()

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
        self.gate.eventually_prints("settings of the agent")
        self.assertEqual(
            self.gate.stdout(),
            "==> Starting Consul gateway...\n"
            "==> Consul gateway running!\n"
            "         Agent RPC: '127.0.0.1:8400'\n"
            "         HTTP addr: '127.0.0.1:9500'\n"
            "          DNS addr: '127.0.0.1:9600'\n"
            "\n"
            "==> Log data will now stream in as it occurs:\n"
            "\n"
            "[INFO] gateway: settings of the agent at 127.0.0.1:8400: datacenter=dc1 domain=consul "
            "alt_domain= node_ttl=0s allow_stale=true soa.refresh=1h0m0s soa.retry=10m0s "
            "soa.expire=24h0m0s soa.min_ttl=0s http_max_conns_per_client=200 "
            "kv_max_value_size=524288 rpc_hold_timeout=7s default_query_time=5m0s "
            "max_query_time=10m0s\n",
        )

    def test_the_agents_banner_says_off(self):
        self.assertIn("         HTTP addr: off\n          DNS addr: off\n", self.server.stdout())

    def test_the_agent_listens_on_neither(self):
        for port in (8500, 8600):
            with self.assertRaises(ConnectionRefusedError), socket.socket() as client:
                client.connect((HOST, port))

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


class SettingsTest(GatewayStory):
    """What a gateway goes by is its agent's, but for what its command line says."""

    def ttl(self, name=f"{NODE}.node.consul"):
        """Of this node's record, as text in a list; an empty list without one."""
        return dig("+noall", "+answer", name, port=DNS).split()[1:2]

    def test_flags_go_before_the_agents_settings(self):
        self.agent_without_faces(
            "-datacenter", "east", "-domain", "inside", "-alt-domain", "second",
            "-hcl", 'dns_config { node_ttl = "9s" }',
        )
        gateway = self.gateway("-domain", "outside.", "-datacenter", "West")
        self.eventually_serves()
        self.assertEqual(self.ttl(f"{NODE}.node.outside"), ["9"])
        self.assertEqual(self.ttl(f"{NODE}.node.west.outside"), ["9"])
        self.assertEqual(self.ttl(f"{NODE}.node.second"), ["9"])
        self.assertIn("status: REFUSED", dig(f"{NODE}.node.inside", port=DNS))
        self.assertIn("datacenter=west domain=outside alt_domain=second", gateway.stdout())
        # The agent's own datacenter stays the agent's.
        self.assertEqual(get("/v1/catalog/datacenters", HTTP).body, b'["east"]')

    def test_the_limit_of_connections(self):
        self.agent_without_faces("-hcl", "limits { http_max_conns_per_client = 1 }")
        self.gateway()
        self.eventually_serves()

        def is_refused():
            with socket.create_connection((HOST, HTTP)) as client:
                # Taken, once the connection before it is gone.
                client.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
                return client.recv(12) == b"HTTP/1.1 200" and get("/", HTTP)

        refused = eventually(is_refused, "a first connection")
        self.assertEqual(refused.status, 429)
        self.assertIn(b"limits.http_max_conns_per_client is 1", refused.body)

    def test_an_agent_that_is_started_again_with_other_settings(self):
        first = self.agent_without_faces("-hcl", 'dns_config { node_ttl = "1s" }')
        gateway = self.gateway()
        self.eventually_serves()
        self.assertEqual(self.ttl(), ["1"])
        self.assertEqual(put("/v1/kv/a", b"x" * 2000, HTTP).status, 200)
        self.assertEqual(first.leave(), 0)
        self.agent_without_faces(
            "-domain", "other",
            "-hcl", 'dns_config { node_ttl = "2s" } limits { kv_max_value_size = 1000 }',
        )
        eventually(lambda: self.ttl(f"{NODE}.node.other") == ["2"], "the new settings")
        self.assertIn("status: REFUSED", dig(f"{NODE}.node.consul", port=DNS))
        self.assertEqual(put("/v1/kv/a", b"x" * 2000, HTTP).status, 413)
        self.assertEqual(gateway.stdout().count("settings of the agent"), 2)

    def test_an_agent_that_is_started_again_with_the_same(self):
        first = self.agent_without_faces()
        gateway = self.gateway()
        self.assertEqual(first.leave(), 0)
        gateway.eventually_prints("its last settings stay in force")
        self.agent_without_faces()
        gateway.eventually_prints("answers again, with the settings that it had")
        self.assertEqual(gateway.stdout().count("settings of the agent"), 1)


class NoAgentTest(GatewayStory):
    """The agent is not there, or was not for a while."""

    def test_http_names_the_address(self):
        gateway = self.gateway()
        before = time.monotonic()
        response = get("/v1/catalog/nodes", HTTP)
        self.assertEqual(response.status, 500)
        self.assertIn("no agent answers at 127.0.0.1:8400", response.body.decode())
        self.assertLess(time.monotonic() - before, 1.0)
        # Said once, however often it is asked.
        gateway.eventually_prints("until it does, HTTP answers 500 and DNS SERVFAIL")
        self.assertEqual(gateway.stdout().count("[WARN]"), 1)

    def test_dns_is_servfail_whatever_is_asked(self):
        """Any name may be of the domain that the agent will tell."""
        self.gateway()
        for question in (f"{NODE}.node.consul", "www.example.com", "consul SOA", ". NS"):
            self.assertIn("status: SERVFAIL", dig(*question.split(), port=DNS))

    def test_what_an_agent_might_take_is_not_refused_for_good(self):
        self.gateway()
        self.assertEqual(put("/v1/kv/large", b"x" * 900 * 1024, HTTP).status, 500)
        self.assertEqual(put("/v1/kv/larger", b"x" * 1000 * 1024, HTTP).status, 413)

    def test_before_an_agent_of_another_domain(self):
        gateway = self.gateway()
        self.assertIn("status: SERVFAIL", dig(f"{NODE}.node.example", port=DNS))
        self.agent_without_faces("-domain", "example")
        self.eventually_serves()
        self.assertEqual(dig("+short", f"{NODE}.node.example", port=DNS), "127.0.0.1\n")
        self.assertIn("status: REFUSED", dig(f"{NODE}.node.consul", port=DNS))
        self.assertIn("domain=example", gateway.stdout())

    def test_what_listens_there_says_nothing(self):
        """Neither the start nor the end waits for it, and nothing that is asked does."""
        with socket.create_server((HOST, 8400)):
            gateway = self.gateway()
            before = time.monotonic()
            self.assertEqual(get("/v1/catalog/nodes", HTTP).status, 500)
            self.assertIn("status: SERVFAIL", dig(f"{NODE}.node.consul", port=DNS))
            self.assertLess(time.monotonic() - before, 1.0)
            # It has told nothing yet, or the attempt to connect is over: what comes first.
            gateway.eventually_prints("; until it does, HTTP answers")
            gateway.signal(signal.SIGTERM)
            self.assertEqual(gateway.wait(2), 0)

    def test_it_ends_while_it_waits(self):
        gateway = self.gateway()
        gateway.signal(signal.SIGINT)
        self.assertEqual(gateway.wait(2), 0)

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
        first = self.agent_without_faces("-bind", "127.0.0.5")
        self.gateway()
        self.eventually_serves()
        for _ in range(5):
            self.assertEqual(dig("+short", f"{NODE}.node.consul", port=DNS), "127.0.0.5\n")
        self.assertEqual(first.leave(), 0)
        self.agent_without_faces("-bind", "127.0.0.6")
        eventually(
            lambda: dig("+short", f"{NODE}.node.consul", port=DNS) == "127.0.0.6\n",
            "the new address",
        )
