"""Goal: the HTTP port is address enough for the command line, at an agent and at a gateway.
Method: commands with -http-addr and CONSUL_HTTP_ADDR beside the same ones over RPC; what they say
when RPC cannot be had there. gateway_http_addr_test runs the shared cases through a gateway.
"""

import signal
import socket
import threading

from tests.e2e.harness import (
    HOST, HTTP_PORT, NO_FACES, RPC_PORT, SharedAgent, Story, cli, eventually, get, put,
)

ADDRESS = f"{HOST}:{HTTP_PORT}"
HTTP = {"CONSUL_HTTP_ADDR": f"http://{ADDRESS}"}
NODE = socket.gethostname()


class CommandsTest(SharedAgent):
    """Commands that ask and are answered."""

    def run_well(self, *args, **kwargs):
        result = cli(*args, **kwargs)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_members(self):
        expected = self.run_well("members")
        self.assertIn(NODE, expected)
        for address in (ADDRESS, f"http://{ADDRESS}", f":{HTTP_PORT}", f"localhost:{HTTP_PORT}"):
            with self.subTest(address):
                self.assertEqual(self.run_well("members", "-http-addr", address), expected)

    def test_info(self):
        self.assertIn("serf_lan:", self.run_well("info", environment=HTTP))

    def test_keys(self):
        self.run_well("kv", "put", "over/http", "it", environment=HTTP)
        self.assertEqual(self.run_well("kv", "get", "over/http", environment=HTTP), "it\n")
        self.assertEqual(get("/v1/kv/over/http?raw").body, b"it")
        self.run_well("kv", "delete", "-http-addr", ADDRESS, "over/http")
        self.assertEqual(get("/v1/kv/over/http").status, 404)

    def test_large_replies_and_requests(self):
        value = "0123456789abcdef" * (32 * 1024)
        self.run_well("kv", "put", "large/00", "-", stdin=value, environment=HTTP)
        for number in range(1, 12):
            put(f"/v1/kv/large/{number:02}", value)
        output = self.run_well("kv", "get", "-recurse", "large/", environment=HTTP)
        self.assertEqual(output, "".join(f"large/{number:02}:{value}\n" for number in range(12)))

    def test_an_error_is_the_agents(self):
        result = cli("kv", "get", "-datacenter", "mars", "a", environment=HTTP)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No path to datacenter", result.stderr)

    def test_the_flag_goes_before_the_environment(self):
        bad = {"CONSUL_HTTP_ADDR": f"{HOST}:1", "CONSUL_RPC_ADDR": f"{HOST}:2"}
        self.assertIn(NODE, self.run_well("members", "-http-addr", ADDRESS, environment=bad))

    def test_http_1_is_served_beside_it(self):
        monitor = self.process("monitor", "-http-addr", ADDRESS, "-log-level", "trace")
        for _ in range(100):
            self.assertEqual(put("/v1/kv/beside", "x").status, 200)
            self.assertEqual(get("/v1/kv/beside?raw").body, b"x")
        self.assertTrue(monitor.runs())

    def test_a_monitor_shows_the_log(self):
        monitor = self.process("monitor", "-http-addr", ADDRESS)

        def shows():
            self.agent_process.signal(signal.SIGHUP)
            return "Caught signal: hangup" in monitor.stdout()

        eventually(shows, "a line")
        monitor.signal(signal.SIGINT)
        self.assertEqual(monitor.wait(), 0)

    def test_nothing_stays_of_those_that_have_ended(self):
        cli("members", environment=HTTP)
        before = self.server.open_files()
        for _ in range(10):
            cli("members", environment=HTTP)
        eventually(lambda: self.server.open_files() <= before, f"{before} open files")


class EndTest(Story):
    """The agent or the gateway ends under a connection."""

    def monitor(self, agent):
        monitor = self.process("monitor", "-http-addr", ADDRESS)

        def shows():
            agent.signal(signal.SIGHUP)
            return "Caught signal: hangup" in monitor.stdout()

        eventually(shows, "a line")
        return monitor

    def test_a_leave_is_answered(self):
        agent = self.agent()
        result = cli("leave", environment=HTTP)
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, "Graceful leave complete\n", "")
        )
        self.assertEqual(agent.wait(), 0)

    def test_a_monitor_is_told_that_the_agent_ends(self):
        agent = self.agent()
        monitor = self.monitor(agent)
        agent.signal(signal.SIGINT)
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(monitor.wait(), 0)
        self.assertIn("[INFO] consul: server starting leave\n", monitor.stdout())
        self.assertIn("Remote side ended the monitor!", monitor.stderr())

    def test_a_monitor_is_told_that_the_gateway_ends(self):
        agent = self.started(*NO_FACES).wait_until_running()
        gateway = self.process("gateway")
        gateway.eventually_prints("running!")
        monitor = self.monitor(agent)
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(), 0)
        self.assertEqual(monitor.wait(), 0)
        self.assertIn("Remote side ended the monitor!", monitor.stderr())
        self.assertTrue(agent.runs())


class ListenTest(Story):
    """Where RPC listens."""

    def test_on_every_address(self):
        self.agent("-client", "0.0.0.0")
        self.assertIn(NODE, cli("members", "-http-addr", f"127.0.0.9:{HTTP_PORT}").stdout)

    def test_on_every_address_of_ipv6(self):
        self.agent("-client", "0.0.0.0", "-rpc-addr", f"[::]:{RPC_PORT}")
        self.assertIn(NODE, cli("members", environment=HTTP).stdout)

    def test_on_another_port(self):
        self.agent("-rpc-addr", f"{HOST}:9400")
        self.assertIn(NODE, cli("members", environment=HTTP).stdout)

    def test_a_gateway_to_a_name(self):
        self.started(*NO_FACES).wait_until_running()
        gateway = self.process("gateway", "-rpc-addr", f"localhost:{RPC_PORT}")
        gateway.eventually_prints("running!")
        self.assertIn(NODE, cli("members", environment=HTTP).stdout)

    def test_a_gateway_to_a_gateway(self):
        self.started(*NO_FACES).wait_until_running()
        for rpc, port in ((RPC_PORT, 9501), (9501, HTTP_PORT)):
            gateway = self.process("gateway", "-rpc-addr", f"{HOST}:{rpc}",
                                   "-http-addr", f"{HOST}:{port}", "-dns-addr", "off")
            gateway.eventually_prints("running!")
        self.assertIn(NODE, cli("members", environment=HTTP).stdout)
        self.assertEqual(put("/v1/kv/twice", "removed").body, b"true")
        self.assertEqual(get("/v1/kv/twice?raw").body, b"removed")


class NoRpcTest(Story):
    """Commands say who could not be reached, and why."""

    def fails(self, problem, address=ADDRESS):
        result = cli("members", "-http-addr", address)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(
            result.stderr.splitlines()[0],
            f"Error connecting to Consul agent over HTTP: dial tcp {address}: {problem}",
        )

    def test_rpc_is_off(self):
        self.agent("-hcl", "ports { rpc = -1 }")
        self.fails("it passes no RPC on: 505 HTTP Version Not Supported: "
                   "HTTP/2 on this port is for RPC, and RPC is off")

    def test_rpc_is_off_because_its_port_is_taken(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((HOST, RPC_PORT))
            taken.listen()
            agent = self.agent()
            self.assertIn("WARNING: RPC is off", agent.stdout())
            self.fails("it passes no RPC on: 505 HTTP Version Not Supported: "
                       "HTTP/2 on this port is for RPC, and RPC is off")

    def test_a_gateway_without_its_agent(self):
        gateway = self.process("gateway")
        gateway.eventually_prints("running!")
        self.fails("it passes no RPC on: 502 Bad Gateway: RPC at 127.0.0.1:8400 cannot be reached: "
                   "Connection refused")

    def test_nobody(self):
        self.fails("connection refused")

    def test_somebody_else(self):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((HOST, HTTP_PORT))
            server.listen()

            def serve():
                # gRPC's attempt, and the one that asks why it failed.
                for _ in range(2):
                    with server.accept()[0] as client:
                        client.recv(1000)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: other\r\n\r\n<html>")

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            self.fails("it passes no RPC on: 400 Bad Request")
            thread.join()

    def test_a_bad_address_of_the_environment(self):
        result = cli("members", environment={"CONSUL_HTTP_ADDR": f"https://{ADDRESS}"})
        self.assertEqual(
            (result.returncode, result.stderr),
            (1, f'Error retrieving members: invalid value "https://{ADDRESS}" of CONSUL_HTTP_ADDR: '
                "TLS is not supported yet\n"),
        )
