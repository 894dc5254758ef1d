"""Goal: whatever is wrong at the start is named, on stderr, and the exit code is 1.
Method: each case gives a real process one thing that is wrong.
"""

import os
import signal
import socket
import subprocess
import time

from tests.e2e import harness
from tests.e2e.harness import HOST, PATIENCE_S, SharedAgent, Story, cli, dig, get, header, http, put

OTHER_PORTS = ("-http-port", "9500", "-dns-port", "9600", "-rpc-addr", "127.0.0.1:9400")


class DataDirTest(Story):
    """The data directory."""

    def test_two_agents_on_one(self):
        first = self.agent()
        stderr = self.start_fails(*OTHER_PORTS)
        self.assertIn(f"==> Error starting agent: lock {self.data_dir}", stderr)
        self.assertIn(f"held by another agent (process {first.process.pid})", stderr)
        self.assertEqual(get("/v1/status/leader").status, 200)

    def test_the_lock_goes_with_a_killed_agent(self):
        self.agent().kill()
        self.agent()

    def test_none_is_given(self):
        result = cli("agent", "-server", "-bootstrap")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "==> data_dir cannot be empty\n")

    def test_it_is_a_file(self):
        path = self.write("file", "")
        stderr = self.start_fails(data_dir=path)
        self.assertEqual(stderr, f'==> data_dir "{path}" is not a directory (flag -data-dir)\n')

    def test_it_cannot_be_made(self):
        # Nobody may make a folder there, whoever runs the test.
        stderr = self.start_fails(data_dir="/sys/consul-data")
        self.assertRegex(stderr, r"^==> Error starting agent: data_dir /sys/consul-data: \w+")

    def test_it_cannot_be_written(self):
        stderr = self.start_fails(data_dir="/sys/kernel")
        self.assertRegex(stderr, r"^==> Error starting agent: .*/sys/kernel")

    def test_a_damaged_node_id(self):
        os.mkdir(self.data_dir)
        self.write("data/node-id", "not an id\n")
        stderr = self.start_fails()
        self.assertIn(f"{self.data_dir}/node-id does not hold a UUID", stderr)


    def test_the_data_of_another_node_id(self):
        """It could never be elected: nobody would have told it why."""
        self.assertEqual(self.agent().leave(), 0)
        with open(self.path("data/node-id"), encoding="ascii") as file:
            first = file.read().strip()
        os.remove(self.path("data/node-id"))
        stderr = self.start_fails()
        self.assertIn(f"log {self.data_dir}/raft: is that of node id {first}", stderr)
        self.write("data/node-id", first)
        self.agent()

    def test_the_directories_above_it_are_made(self):
        self.agent(data_dir=self.path("a/b/c"))


class EarlyEndTest(Story):
    """Told to end before it runs."""

    def test_while_the_configuration_is_read(self):
        fifo = self.path("late.json")
        os.mkfifo(fifo)
        for number in (signal.SIGINT, signal.SIGTERM):
            agent = self.started("-config-file", fifo)
            # Who writes waits for whoever reads: the agent is at its configuration.
            with open(fifo, "w", encoding="utf-8"):
                agent.signal(number)
                self.assertEqual(agent.wait(), -number)

    def test_while_it_reads_what_it_has(self):
        os.mkdir(self.data_dir)
        # Nobody writes to it.
        os.mkfifo(self.path("data/node-id"))
        for number, name in ((signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminated")):
            agent = self.started()
            agent.eventually_prints("==> Starting Consul agent...")
            agent.signal(number)
            self.assertEqual(agent.wait(), 1)
            self.assertIn(f"==> Caught signal: {name}\n", agent.stdout())
            self.assertEqual(agent.stderr(), "==> The agent did not start: told to end at once\n")

    def test_while_it_joins_whoever_does_not_answer(self):
        silent = socket.create_server((HOST, 9999))
        self.addCleanup(silent.close)
        # As when it runs: a server leaves by the first of them alone.
        for number, name, code in (
            (signal.SIGINT, "interrupt", 0),
            (signal.SIGTERM, "terminated", 1),
        ):
            agent = self.started("-join", f"{HOST}:9999")
            agent.eventually_prints("==> Joining cluster...")
            agent.signal(number)
            self.assertEqual(agent.wait(), code)
            self.assertIn(f"==> Caught signal: {name}\n", agent.stdout())
            self.assertIn("[INFO] agent: shutdown complete\n", agent.stdout())
            self.assertNotIn("==> Consul agent running!", agent.stdout())
            self.assertEqual(agent.stderr(), "")

    def test_while_it_joins_for_the_last_time(self):
        silent = socket.create_server((HOST, 9999))
        self.addCleanup(silent.close)
        agent = self.started("-retry-join", f"{HOST}:9999", "-retry-max", "1",
                             "-retry-interval", "1s")
        silent.accept()[0].close()
        last = silent.accept()[0]
        self.addCleanup(last.close)
        agent.signal(signal.SIGINT)
        self.assertEqual(agent.wait(), 0)
        self.assertNotIn("retry exhausted", agent.stdout())
        self.assertEqual(agent.stderr(), "")


class TakenPortTest(Story):
    """Each port in turn is somebody else's."""

    def take(self, port, kind=socket.SOCK_STREAM):
        taken = socket.socket(socket.AF_INET, kind)
        self.addCleanup(taken.close)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        taken.bind((HOST, port))
        if kind == socket.SOCK_STREAM:
            taken.listen()

    def test_http(self):
        self.take(8500)
        stderr = self.start_fails()
        self.assertRegex(stderr, r"(?i)^==> Error starting agent: .*127\.0\.0\.1:8500.*in use\n")

    def test_the_error_is_the_last_line(self):
        self.take(8500)
        read, write = os.pipe()
        command = [harness.BINARY, "agent", "-server", "-bootstrap", "-data-dir", self.data_dir]
        with subprocess.Popen(command, stdout=write, stderr=write) as agent:
            os.close(write)
            with open(read, encoding="utf-8") as output:
                lines = output.read().splitlines()
            self.assertEqual(agent.wait(PATIENCE_S), 1)
        self.assertRegex(lines[-1], r"^==> Error starting agent: .*127\.0\.0\.1:8500")
        self.assertNotIn("Leader", "\n".join(lines))
        self.assertFalse(os.path.exists(self.path("data/raft")))

    def test_dns_over_tcp(self):
        self.take(8600)
        stderr = self.start_fails()
        self.assertRegex(stderr, r"(?i)^==> Error starting agent: .*127\.0\.0\.1:8600.*in use\n")

    def test_dns_over_udp(self):
        self.take(8600, socket.SOCK_DGRAM)
        stderr = self.start_fails()
        self.assertRegex(stderr, r"(?i)^==> Error starting agent: .*127\.0\.0\.1:8600.*in use\n")

    def test_rpc_by_default_is_a_warning(self):
        self.take(8400)
        agent = self.agent()
        self.assertIn("==> WARNING: RPC is off: listen tcp 127.0.0.1:8400: ", agent.stdout())
        self.assertIn("          RPC addr: off\n", agent.stdout())
        self.assertIn("ANSWER: 1", dig(f"{socket.gethostname()}.node.consul"))
        self.assertEqual(agent.leave(), 0)

    def test_rpc_that_was_asked_for_is_an_error(self):
        self.take(8400)
        stderr = self.start_fails("-rpc-addr", "127.0.0.1:8400")
        self.assertRegex(stderr, r"(?i)^==> Error starting agent: .*127\.0\.0\.1:8400.*in use\n")

    def test_rpc_that_was_asked_for_in_a_file_is_an_error(self):
        self.take(9400)
        config = self.write("config.json", '{"ports": {"rpc": 9400}}')
        stderr = self.start_fails("-config-file", config)
        self.assertRegex(stderr, r"(?i)^==> Error starting agent: .*127\.0\.0\.1:9400.*in use\n")

    def test_a_second_agent_on_each_face(self):
        """Listeners that share a port by mistake would let it start."""
        self.agent()
        second = {"-rpc-addr": "127.0.0.1:9400", "-http-port": "9500", "-dns-port": "9600",
                  "-server-port": "9300", "-serf-lan-port": "9301", "-serf-wan-port": "9302"}
        default = {"-rpc-addr": "127.0.0.1:8400", "-http-port": "8500", "-dns-port": "8600",
                   "-server-port": "8300", "-serf-lan-port": "8301", "-serf-wan-port": "8302"}
        for number, flag in enumerate(second):
            with self.subTest(flag):
                flags = [word for pair in {**second, flag: default[flag]}.items() for word in pair]
                stderr = self.start_fails(*flags, data_dir=self.path(f"second{number}"))
                self.assertIn("in use", stderr)
                self.assertIn(f":{default[flag].rpartition(':')[2]}", stderr)

    def test_an_address_of_another_machine(self):
        stderr = self.start_fails("-bind", "10.99.99.99")
        self.assertIn("10.99.99.99:8301: cannot assign requested address", stderr)

    def test_an_agent_that_could_not_start_leaves_the_directory_usable(self):
        self.take(8500)
        self.start_fails()
        agent = self.agent("-http-port", "9500", port=9500)
        self.assertEqual(agent.leave(), 0)


class FlagTest(Story):
    """Flags of the agent."""

    def test_unknown(self):
        stderr = self.start_fails("-nonsense")
        self.assertTrue(stderr.startswith("flag provided but not defined: -nonsense\n"), stderr)

    def test_a_bad_node_name(self):
        for name in ("a b", "a/b", 'a"b', "a\nb"):
            with self.subTest(name):
                self.assertIn("node_name", self.start_fails("-node", name))

    def test_a_node_name_that_dns_cannot_carry_is_a_warning(self):
        agent = self.agent("-node", "under_score")
        self.assertIn("under_score", agent.stdout())
        self.assertRegex(agent.stdout() + agent.stderr(), r"(?i)WARN.*under_score.*DNS")

    def test_a_bad_number(self):
        self.assertIn("-http-port", self.start_fails("-http-port", "many"))

    def test_a_port_out_of_range(self):
        self.assertIn("70000", self.start_fails("-http-port", "70000"))

    def test_a_bad_address(self):
        self.assertIn("300.1.1.1", self.start_fails("-bind", "300.1.1.1"))

    def test_an_address_of_another_machine(self):
        stderr = self.start_fails("-client", "192.0.2.1")
        self.assertIn("192.0.2.1", stderr)

    def test_a_bad_datacenter(self):
        self.assertIn("datacenter", self.start_fails("-datacenter", "d c"))

    def test_extra_arguments(self):
        self.assertIn("extra", self.start_fails("extra"))

    def test_a_bad_log_level(self):
        self.assertIn("loud", self.start_fails("-log-level", "loud"))


class ConfigTest(Story):
    """Files of configuration."""

    def refused(self, name, text):
        """What the agent says of the file, its path shown as FILE."""
        path = self.write(name, text)
        return self.start_fails("-config-file", path).replace(path, "FILE")

    def test_missing(self):
        stderr = self.start_fails("-config-file", self.path("none.json"))
        self.assertIn("none.json: No such file or directory", stderr)

    def test_unknown_key(self):
        self.assertIn("invalid config key nonsense", self.refused("a.json", '{"nonsense": 1}'))

    def test_unknown_key_inside(self):
        self.assertIn("ports.htpp", self.refused("a.hcl", "ports { htpp = 1 }"))

    def test_json_names_the_place(self):
        text = '{\n  "server": true,\n  "node_name" "x"\n}\n'
        self.assertEqual(
            self.refused("a.json", text), "==> failed to parse FILE:3:15: syntax error\n"
        )

    def test_hcl_names_the_place(self):
        text = 'server = true\nnode_name = "x\nlog_level = "err"\n'
        self.assertIn("failed to parse FILE:2:13: ", self.refused("a.hcl", text))

    def test_wrong_type(self):
        stderr = self.refused("a.json", '{"ports": {"http": "x"}}')
        self.assertIn("'ports.http' expected type", stderr)

    def test_empty_files_and_null_values_are_fine(self):
        empty = self.write("empty.json", "")
        nothing = self.write("nothing.json", '{"node_name": null, "datacenter": "", "ports": {}}')
        agent = self.agent("-config-file", empty, "-config-file", nothing)
        self.assertIn("        Datacenter: 'dc1'\n", agent.stdout())

    def test_what_is_known_but_not_built_is_a_warning(self):
        text = '{"enable_syslog": true, "telemetry": {"statsd_address": "x"}}'
        config = self.write("a.json", text)
        stdout = self.agent("-config-file", config).stdout()
        for key in ("enable_syslog", "telemetry.statsd_address"):
            self.assertRegex(stdout, rf'(?m)^==> WARNING: config key "{key}" in \S+ is known')

    def test_what_would_protect_is_an_error(self):
        cases = {
            "acl.enabled": '{"acl": {"enabled": true}}',
            "verify_incoming": '{"verify_incoming": true}',
            "verify_outgoing": '{"verify_outgoing": true}',
            "verify_incoming_rpc": '{"verify_incoming_rpc": true}',
            "verify_server_hostname": '{"verify_server_hostname": true}',
        }
        for key, text in cases.items():
            with self.subTest(key):
                stderr = self.refused("a.json", text)
                self.assertIn(f'"{key}"', stderr)
                self.assertIn("less protected", stderr)

    def test_protection_that_is_off_is_fine(self):
        config = self.write("a.json", '{"acl": {"enabled": false}, "verify_incoming": false}')
        self.agent("-config-file", config)

    def test_later_files_and_flags_win(self):
        first = self.write("1.json", '{"node_name": "one", "datacenter": "east"}')
        second = self.write("2.hcl", 'node_name = "two"\ndatacenter = "west"\n')
        agent = self.agent("-config-file", first, "-config-file", second, "-datacenter", "north")
        self.assertIn("         Node name: 'two'\n", agent.stdout())
        self.assertIn("        Datacenter: 'north'\n", agent.stdout())


class RequestTest(SharedAgent):
    """What HTTP refuses."""

    def assert_refused(self, response, status, text):
        self.assertEqual(response.status, status, response)
        self.assertIn(text, response.body.decode())

    def test_a_body_of_512_kb_is_taken(self):
        self.assertEqual(put("/v1/kv/large", b"x" * 512 * 1024).body, b"true")
        self.assertEqual(len(get("/v1/kv/large?raw").body), 512 * 1024)

    def test_a_body_one_byte_longer_is_413(self):
        response = put("/v1/kv/larger", b"x" * (512 * 1024 + 1))
        self.assert_refused(response, 413, "524289")
        self.assertEqual(get("/v1/kv/larger").status, 404)

    def test_a_body_in_chunks_one_byte_longer_is_413(self):
        body = b"x" * (512 * 1024 + 1)
        self.assertEqual(http("PUT", "/v1/kv/larger", body, chunked=True).status, 413)
        self.assertEqual(get("/v1/kv/larger").status, 404)

    def test_unknown_paths_are_404(self):
        for path in ("/nothing", "/v1", "/v1/kvv/x", "/v2/kv/x", "/v1/catalog/nothing"):
            with self.subTest(path):
                self.assertEqual(get(path).status, 404)

    def test_wrong_verbs_are_405_and_name_the_right_ones(self):
        cases = {
            ("PATCH", "/v1/kv/x"): "OPTIONS,GET,PUT,DELETE",
            ("PUT", "/v1/catalog/nodes"): "OPTIONS,GET",
            ("DELETE", "/v1/status/leader"): "OPTIONS,GET",
            ("POST", "/v1/agent/members"): "OPTIONS,GET",
        }
        for (method, path), allowed in cases.items():
            with self.subTest(f"{method} {path}"):
                response = http(method, path, b"" if method != "DELETE" else None)
                self.assert_refused(response, 405, f"method {method} not allowed")
                self.assertEqual(header(response, "Allow"), allowed)

    def test_malformed_waits_are_400(self):
        self.assert_refused(get("/v1/catalog/nodes?index=x"), 400, "Invalid index")
        self.assert_refused(get("/v1/catalog/nodes?index=1&wait=x"), 400, "Invalid wait time")
        self.assert_refused(get("/v1/kv/a?index=-1"), 400, "Invalid index")

    def test_two_consistencies_are_400(self):
        response = get("/v1/catalog/nodes?stale&consistent")
        self.assert_refused(response, 400, "Cannot specify ?stale with ?consistent")

    def test_malformed_cas_and_flags_are_400(self):
        self.assert_refused(put("/v1/kv/a?cas=x", "v"), 400, "parsing \"x\": invalid syntax")
        self.assert_refused(put("/v1/kv/a?flags=x", "v"), 400, "parsing \"x\": invalid syntax")

    def test_a_missing_key_name_is_400(self):
        self.assert_refused(put("/v1/kv/", "v"), 400, "Missing key name")

    def test_conflicting_options_are_400(self):
        self.assert_refused(http("DELETE", "/v1/kv/a?cas=1&recurse"), 400, "Conflicting")

    def test_another_datacenter_is_named(self):
        response = get("/v1/catalog/nodes?dc=mars")
        self.assert_refused(response, 500, "No path to datacenter")

    def test_bytes_that_are_no_http_are_400(self):
        with socket.create_connection((HOST, 8500), timeout=PATIENCE_S) as connection:
            connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 400 "))

    def test_it_still_works(self):
        self.assertEqual(put("/v1/kv/still", "works").body, b"true")


class NoAgentTest(Story):
    """Commands when there is nobody to answer."""

    COMMANDS = (
        ["members"], ["info"], ["leave"], ["monitor"], ["kv", "get", "a"], ["kv", "put", "a", "b"],
        ["kv", "delete", "a"],
    )

    def test_each_names_the_address(self):
        for command in self.COMMANDS:
            with self.subTest(" ".join(command)):
                before = time.monotonic()
                result = cli(*command)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertIn("127.0.0.1:8400", result.stderr)
                self.assertLess(time.monotonic() - before, 1.5)

    def test_the_address_that_was_given(self):
        result = cli("members", "-rpc-addr", "127.0.0.1:9999")
        self.assertEqual(result.returncode, 1)
        self.assertIn("dial tcp 127.0.0.1:9999: connection refused", result.stderr)

    def test_the_address_of_the_environment(self):
        result = cli("members", environment={"CONSUL_RPC_ADDR": "127.0.0.1:9998"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("127.0.0.1:9998", result.stderr)

    def test_a_name_that_does_not_resolve(self):
        result = cli("members", "-rpc-addr", "nobody.invalid:8400")
        self.assertEqual(result.returncode, 1)
        self.assertIn("nobody.invalid:8400", result.stderr)

    def test_somebody_who_never_answers(self):
        with socket.socket() as silent:
            silent.bind((HOST, 8400))
            silent.listen()
            result = cli("members")
        self.assertEqual(result.returncode, 1)
        self.assertIn("127.0.0.1:8400", result.stderr)


class CommandTest(Story):
    """Commands that are wrong in themselves."""

    def test_unknown_command(self):
        result = cli("nonsense")
        self.assertEqual((result.returncode, result.stdout), (127, ""))
        self.assertIn("Usage: consul [--version] [--help] <command> [<args>]", result.stderr)

    def test_unknown_flag_of_a_command(self):
        result = cli("members", "-nonsense")
        self.assertEqual(result.returncode, 1)
        self.assertIn("flag provided but not defined: -nonsense", result.stderr)

    def test_a_gateway_with_nothing_to_serve(self):
        result = cli("gateway", "-http-addr", "off", "-dns-addr", "off")
        self.assertEqual(result.returncode, 1)
        self.assertIn("Nothing to serve", result.stderr)

    def test_a_gateway_on_a_taken_port(self):
        self.agent()
        result = cli("gateway", "-dns-addr", "off")
        self.assertEqual(result.returncode, 1)
        self.assertIn("127.0.0.1:8500", result.stderr)
