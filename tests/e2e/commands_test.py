"""Goal: the commands for people do what their help says against a real agent.
Method: each command as a process of its own; what it prints is compared with what HTTP says.
"""

import base64
import fcntl
import json
import re
import signal
import socket
import subprocess
import sys
import termios

from tests.e2e.harness import SharedAgent, Story, cli, eventually, get, put

NODE = socket.gethostname()


class MembersTest(SharedAgent):
    """consul members"""

    def members(self, *args):
        result = cli("members", *args)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_json_is_what_http_says(self):
        (member,) = json.loads(self.members("-format", "json"))
        (expected,) = json.loads(get("/v1/agent/members").body)
        self.assertEqual(member, expected)

    def test_table(self):
        head, row = self.members("-format=table").splitlines()
        self.assertEqual(head.split()[:3], ["Node", "Address", "Status"])
        self.assertEqual(row.split()[:3], [NODE, "127.0.0.1:8301", "alive"])
        self.assertEqual(head.index("Address"), row.index("127.0.0.1"))

    def test_status_selects(self):
        self.assertIn(NODE, self.members("-status=al.*"))
        self.assertIn(NODE, self.members("-status=^(alive|left)$"))
        none = cli("members", "-status=failed")
        self.assertEqual((none.returncode, none.stdout), (2, ""))

    def test_a_bad_status_is_named(self):
        result = cli("members", "-status=(")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("Failed to compile status regexp", result.stderr)

    def test_detailed_shows_every_tag(self):
        output = self.members("-detailed")
        (member,) = json.loads(get("/v1/agent/members").body)
        for key, value in member["Tags"].items():
            self.assertIn(f"{key}={value}", output)

    def test_wan(self):
        self.assertRegex(self.members("-wan"), rf"(?m)^{NODE}\.dc1\s+127\.0\.0\.1:8302\s+alive")

    def test_a_bad_format_is_named(self):
        result = cli("members", "-format=xml")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("xml", result.stderr)

    def test_flags_as_go_takes_them(self):
        expected = self.members("-format=json")
        for flags in (["--format=json"], ["-format", "json"], ["--format", "json"]):
            self.assertEqual(self.members(*flags), expected)

    def test_the_rpc_address(self):
        self.assertIn(NODE, self.members("-rpc-addr=127.0.0.1:8400"))
        result = cli("members", environment={"CONSUL_RPC_ADDR": "127.0.0.1:8400"})
        self.assertIn(NODE, result.stdout)


class InfoTest(SharedAgent):
    """consul info"""

    KEYS = {
        "agent": ["check_monitors", "check_ttls", "checks", "services"],
        "build": ["prerelease", "revision", "version"],
        "consul": ["bootstrap", "known_datacenters", "leader", "leader_addr", "server"],
        "raft": ["applied_index", "commit_index", "last_log_index", "num_peers", "state", "term"],
        "runtime": ["arch", "cpu_count", "os", "version"],
        "serf_lan": ["encrypted", "failed", "left", "member_time", "members"],
        "serf_wan": ["encrypted", "failed", "left", "member_time", "members"],
    }

    def info(self):
        """The sections and their keys."""
        result = cli("info")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        sections = {}
        for line in result.stdout.splitlines():
            if line.startswith("\t"):
                key, value = re.fullmatch(r"\t(\S+) = (.*)", line).groups()
                section[key] = value
            else:
                section = sections.setdefault(line.removesuffix(":"), {})
        return sections

    def test_it_has_the_keys_of_the_reference(self):
        info = self.info()
        for name, keys in self.KEYS.items():
            for key in keys:
                with self.subTest(f"{name}.{key}"):
                    self.assertIn(key, info[name])

    def test_it_is_sorted(self):
        info = self.info()
        self.assertEqual(list(info), sorted(info))
        for section in info.values():
            self.assertEqual(list(section), sorted(section))

    def test_it_tells_the_truth(self):
        info = self.info()
        self.assertEqual(info["consul"]["leader"], "true")
        self.assertEqual(info["raft"]["state"], "Leader")
        self.assertEqual(info["serf_lan"]["members"], "1")
        before = int(info["raft"]["applied_index"])
        put("/v1/kv/one", "more")
        self.assertEqual(int(self.info()["raft"]["applied_index"]), before + 1)

    def test_an_agent_at_rest_writes_nothing(self):
        before = self.info()["raft"]["last_log_index"]
        for _ in range(20):
            get("/v1/catalog/nodes")
            get("/v1/kv/?recurse&consistent")
        self.assertEqual(self.info()["raft"]["last_log_index"], before)


class LeaveTest(Story):
    """consul leave"""

    def test_it_ends_the_agent(self):
        agent = self.agent()
        result = cli("leave")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, "Graceful leave complete\n", "")
        )
        self.assertEqual(agent.wait(2), 0)
        self.assertIn("[INFO] consul: server starting leave\n", agent.stdout())

    def test_after_it_the_same_data_is_served(self):
        agent = self.agent()
        put("/v1/kv/kept", "x")
        cli("leave")
        agent.wait(2)
        self.agent()
        self.assertEqual(get("/v1/kv/kept?raw").body, b"x")

    def test_two_at_once(self):
        agent = self.agent()
        first = self.process("leave")
        second = self.process("leave")
        codes = [first.wait(), second.wait()]
        self.assertIn(0, codes)
        self.assertEqual(agent.wait(2), 0)


class MonitorTest(Story):
    """consul monitor"""

    def test_it_streams_lines_until_the_agent_ends(self):
        agent = self.agent()
        monitor = self.process("monitor")
        # It is connected once it shows what the agent says.
        def shows():
            agent.signal(signal.SIGHUP)
            return "Caught signal: hangup" in monitor.stdout()

        eventually(shows, "a line")
        self.assertEqual(agent.leave(), 0)
        monitor.wait()
        self.assertIn("[INFO] consul: server starting leave\n", monitor.stdout())

    def test_the_level(self):
        agent = self.agent()
        warnings = self.process("monitor", "-log-level=warn")

        def shows():
            agent.signal(signal.SIGHUP)
            return "Caught signal: hangup" in warnings.stdout()

        eventually(shows, "a line")
        self.assertEqual(agent.leave(), 0)
        warnings.wait()
        self.assertNotIn("[INFO]", warnings.stdout())
        self.assertIn("[WARN]", warnings.stdout())

    def test_it_ends_with_a_signal(self):
        agent = self.agent()
        monitor = self.process("monitor")

        def shows():
            agent.signal(signal.SIGHUP)
            return monitor.stdout()

        eventually(shows, "a line")
        monitor.signal(signal.SIGINT)
        self.assertIn(monitor.wait(2), (0, -signal.SIGINT))
        self.assertTrue(agent.runs())
        self.assertEqual(get("/v1/status/leader").status, 200)

    def test_a_bad_level_is_named(self):
        result = cli("monitor", "-log-level=loud")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("loud", result.stderr)


class InterruptTest(Story):
    """The first Ctrl-C ends a command that has nothing to end in order."""

    def test_a_value_is_read(self):
        put_value = self.process("kv", "put", "x", "-", stdin=subprocess.PIPE)
        stdin = put_value.process.stdin
        self.addCleanup(stdin.close)
        stdin.write(b"half")
        stdin.flush()

        def is_read():
            left = fcntl.ioctl(stdin, termios.FIONREAD, b"\0" * 4)
            return int.from_bytes(left, sys.byteorder) == 0

        eventually(is_read, "a command that reads")
        put_value.signal(signal.SIGINT)
        self.assertEqual(put_value.wait(2), -signal.SIGINT)

    def test_there_is_no_leader(self):
        self.started(mode=("-server", "-bootstrap-expect", "3")).wait_until_running()
        for args in (("kv", "get", "x"), ("kv", "put", "x", "1")):
            with self.subTest(args):
                command = self.process(*args)
                # Those of gRPC: it asks.
                eventually(lambda process=command: process.status("Threads") > 1, "threads")
                command.signal(signal.SIGINT)
                self.assertEqual(command.wait(2), -signal.SIGINT)


class LocalTest(Story):
    """What needs no agent."""

    def test_version(self):
        for args in (["version"], ["--version"], ["-v"]):
            result = cli(*args)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertRegex(result.stdout, r"^Consul v\d+\.\d+\.\d+")

    def test_keygen(self):
        keys = {cli("keygen").stdout for _ in range(5)}
        self.assertEqual(len(keys), 5)
        for key in keys:
            self.assertEqual(len(base64.b64decode(key, validate=False)), 32)

    def test_help_of_each(self):
        help_text = cli("--help")
        commands = re.findall(r"(?m)^    (\w+)  ", help_text.stdout + help_text.stderr)
        self.assertIn("agent", commands)
        self.assertIn("monitor", commands)
        for command in commands:
            with self.subTest(command):
                result = cli(command, "-h")
                self.assertEqual(result.returncode, 0)
                self.assertIn(f"Usage: consul {command}", result.stdout + result.stderr)
