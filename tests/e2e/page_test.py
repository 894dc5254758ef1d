"""Goal: the getting-started page happens: same commands, same output but for the values.
Method: real processes on the default ports of a loopback of our own; the page's text is here as
patterns, in the page's order.
"""

import json
import os
import re
import signal
import socket
import time

from tests.e2e.harness import Story, cli, dig, eventually, get, put

NODE = socket.gethostname()

BANNER = r"""==> WARNING: Bootstrap mode enabled! Do not enable unless necessary
==> Starting Consul agent...
==> Starting Consul agent RPC...
==> Consul agent running!
         Node name: '{node}'
        Datacenter: 'dc1'
    Advertise addr: '{address}'
          RPC addr: '127.0.0.1:8400'
         HTTP addr: '127.0.0.1:8500'
          DNS addr: '127.0.0.1:8600'
         Encrypted: false
            Server: true (bootstrap: true)

==> Log data will now stream in as it occurs:

"""

LOG = """[INFO] serf: EventMemberJoin: {node} {address}
[INFO] serf: EventMemberJoin: {node} {address}
[INFO] raft: Node at {address}:8300 [Follower] entering Follower state
[INFO] consul: adding server for datacenter: dc1, addr: {address}:8300
[ERR] agent: failed to sync remote state: rpc error: No cluster leader
[WARN] raft: Heartbeat timeout reached, starting election
[INFO] raft: Node at {address}:8300 [Candidate] entering Candidate state
[INFO] raft: Election won. Tally: 1
[INFO] raft: Node at {address}:8300 [Leader] entering Leader state
[INFO] consul: cluster leadership acquired
[INFO] consul: New leader elected: {node}
"""

HEALTHY = "[INFO] consul: member '{node}' joined, marking health alive\n"

LEAVE = """==> Caught signal: interrupt
==> Gracefully shutting down agent...
[INFO] consul: server starting leave
[INFO] serf: EventMemberLeave: {node} {address}
[INFO] serf: EventMemberLeave: {node} {address}
[INFO] agent: requesting shutdown
[INFO] agent: shutdown complete
"""


def address():
    """The address that the agent says it has."""
    return json.loads(get("/v1/agent/self").body)["Member"]["Addr"]


def page(text):
    return text.format(node=NODE, address=address())


class StartTest(Story):
    """The first command of the page."""

    def test_banner_and_log_are_the_pages(self):
        agent = self.agent()
        expected = page(BANNER + LOG + HEALTHY)
        eventually(lambda: len(agent.stdout()) >= len(expected), "the whole log")
        self.assertEqual(agent.stdout(), expected)
        self.assertEqual(agent.stderr(), "")

    def test_the_log_is_the_same_each_time(self):
        for number in range(5):
            agent = self.agent(data_dir=self.path(f"data{number}"))
            expected = page(BANNER + LOG + HEALTHY)
            eventually(lambda: len(agent.stdout()) >= len(expected), "the whole log")
            self.assertEqual(agent.stdout(), expected)
            self.assertEqual(agent.leave(), 0)

    def test_http_answers_within_a_second(self):
        agent = self.started()
        eventually(lambda: get("/v1/status/leader").status == 200, "an answer")
        self.assertLess(time.monotonic() - agent.started_at, 1.0)

    def test_the_node_is_healthy_within_two_seconds(self):
        agent = self.agent()
        self.assertLess(time.monotonic() - agent.started_at, 2.0)

    def test_the_node_name_can_be_given(self):
        agent = self.agent("-node", "Armons-MacBook-Air")
        self.assertIn("         Node name: 'Armons-MacBook-Air'\n", agent.stdout())
        self.assertRegex(cli("members").stdout, r"^Armons-MacBook-Air  \S+:8301  alive  role=")

    def test_the_bind_address_is_the_advertised_one(self):
        agent = self.agent("-bind", "127.0.0.7")
        self.assertIn("    Advertise addr: '127.0.0.7'\n", agent.stdout())
        self.assertIn("  127.0.0.7:8301  alive  ", cli("members").stdout)


class MembersTest(Story):
    """What the page asks of the running agent."""

    def setUp(self):
        super().setUp()
        self.agent()

    def test_members_prints_the_line_of_the_page(self):
        members = cli("members")
        self.assertEqual(
            members.stdout,
            f"{NODE}  {address()}:8301  alive  "
            "role=consul,dc=dc1,vsn=1,vsn_min=1,vsn_max=1,port=8300,bootstrap=1\n",
        )
        self.assertEqual((members.returncode, members.stderr), (0, ""))

    def test_the_catalog_has_the_node(self):
        response = get("/v1/catalog/nodes")
        self.assertEqual(response.status, 200)
        nodes = json.loads(response.body)
        self.assertEqual(len(nodes), 1)
        self.assertEqual((nodes[0]["Node"], nodes[0]["Address"]), (NODE, address()))

    def test_dig_finds_the_node(self):
        output = dig("+noedns", f"{NODE}.node.consul")
        self.assertRegex(
            output,
            r"->>HEADER<<- opcode: QUERY, status: NOERROR, id: \d+\n"
            r";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0\n"
            r";; WARNING: recursion requested but not available\n",
        )
        name = re.escape(f"{NODE}.node.consul.")
        self.assertRegex(output, rf";; QUESTION SECTION:\n;{name}\s+IN\s+A\n")
        found = re.escape(address())
        self.assertRegex(output, rf";; ANSWER SECTION:\n{name}\s+0\s+IN\s+A\s+{found}\n")

    def test_dig_over_tcp_finds_the_node(self):
        output = dig("+tcp", "+short", f"{NODE}.node.consul")
        self.assertEqual(output, address() + "\n")

    def test_the_datacenter_may_be_named(self):
        self.assertEqual(dig("+short", f"{NODE}.node.dc1.consul"), address() + "\n")

    def test_a_node_that_is_not_there_is_nxdomain(self):
        output = dig("nobody.node.consul")
        self.assertIn("status: NXDOMAIN", output)
        self.assertIn("AUTHORITY: 1", output)


class StopTest(Story):
    """The end of the page: Ctrl-C and the other ways to end an agent."""

    def test_interrupt_leaves_within_two_seconds(self):
        agent = self.agent()
        first, leave = page(BANNER + LOG + HEALTHY), page(LEAVE)
        agent.eventually_prints(page(HEALTHY))
        before = time.monotonic()
        self.assertEqual(agent.leave(), 0)
        self.assertLess(time.monotonic() - before, 2.0)
        self.assertEqual(agent.stdout(), first + leave)
        self.assertEqual(agent.stderr(), "")

    def test_terminate_ends_without_a_leave(self):
        agent = self.agent()
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait(), 1)
        self.assertIn("==> Caught signal: terminated\n", agent.stdout())
        self.assertNotIn("leave", agent.stdout())
        self.assertTrue(agent.stdout().endswith("[INFO] agent: shutdown complete\n"))

    def test_leave_on_terminate(self):
        config = self.write("config.json", '{"leave_on_terminate": true}')
        agent = self.agent("-config-file", config)
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait(), 0)
        self.assertIn("[INFO] consul: server starting leave\n", agent.stdout())

    def test_skip_leave_on_interrupt(self):
        config = self.write("config.hcl", "skip_leave_on_interrupt = true\n")
        agent = self.agent("-config-file", config)
        self.assertEqual(agent.leave(), 1)
        self.assertIn("==> Caught signal: interrupt\n", agent.stdout())
        self.assertNotIn("starting leave", agent.stdout())

    def test_three_interrupts_at_once_end_it(self):
        agent = self.agent()
        for _ in range(3):
            agent.signal(signal.SIGINT)
        self.assertIn(agent.wait(), (0, 1))

    def test_hangup_does_not_end_it(self):
        agent = self.agent()
        agent.signal(signal.SIGHUP)
        agent.eventually_prints("Caught signal: hangup")
        self.assertEqual(get("/v1/status/leader").status, 200)
        self.assertEqual(agent.leave(), 0)

    def test_a_blocked_query_does_not_hold_up_the_end(self):
        agent = self.agent()
        with socket.create_connection(("127.0.0.1", 8500)) as waiting:
            # In one piece, so that the agent has the second one once it answers the first.
            targets = ["/v1/status/leader", "/v1/kv/nobody?index=1&wait=60s"]
            requests = [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in targets]
            waiting.sendall("".join(requests).encode())
            answers = waiting.makefile("rb")
            self.assertEqual(answers.readline(), b"HTTP/1.1 200 OK\r\n")
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.assertEqual(len(answers.read(length)), length)
            before = time.monotonic()
            self.assertEqual(agent.leave(), 0)
            self.assertLess(time.monotonic() - before, 2.0)
            answer = answers.read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 500 "), answer)
        self.assertTrue(answer.endswith(b"the agent is shutting down"), answer)

    def test_nothing_listens_after_the_end(self):
        self.assertEqual(self.agent().leave(), 0)
        for port in (8400, 8500, 8600):
            with self.assertRaises(ConnectionRefusedError), socket.socket() as client:
                client.connect(("127.0.0.1", port))


class RestartTest(Story):
    """The same command again, on the same data directory."""

    def identity(self):
        node = json.loads(get("/v1/catalog/nodes").body)[0]
        return node["ID"], node["CreateIndex"]

    def test_a_second_start_has_the_same_data_and_id(self):
        agent = self.agent()
        identity = self.identity()
        self.assertEqual(put("/v1/kv/kept", "value").body, b"true")
        stored = get("/v1/kv/kept").body
        self.assertEqual(agent.leave(), 0)
        self.agent()
        self.assertEqual(self.identity(), identity)
        self.assertEqual(get("/v1/kv/kept").body, stored)

    def test_the_log_of_a_second_start(self):
        self.assertEqual(self.agent().leave(), 0)
        agent = self.agent()
        expected = page(BANNER + LOG)
        eventually(lambda: len(agent.stdout()) >= len(expected), "the whole log")
        self.assertEqual(agent.stdout(), expected)

    def test_three_starts(self):
        for number in range(3):
            agent = self.agent()
            self.assertEqual(put(f"/v1/kv/start/{number}", str(number)).body, b"true")
            keys = json.loads(get("/v1/kv/start/?keys").body)
            self.assertEqual(keys, [f"start/{n}" for n in range(number + 1)])
            self.assertEqual(agent.leave(), 0)

    def test_the_node_id_file_is_what_the_catalog_says(self):
        self.agent()
        with open(os.path.join(self.data_dir, "node-id"), encoding="ascii") as file:
            self.assertEqual(file.read().strip(), self.identity()[0])

    def test_a_new_address_is_taken_into_the_catalog(self):
        self.assertEqual(self.agent("-bind", "127.0.0.5").leave(), 0)
        self.agent("-bind", "127.0.0.6")

        def address_in_catalog():
            return json.loads(get("/v1/catalog/nodes").body)[0]["Address"] == "127.0.0.6"

        eventually(address_in_catalog, "the new address in the catalog")

    def test_a_new_name_is_taken_into_the_catalog(self):
        self.assertEqual(self.agent("-node", "before").leave(), 0)
        self.agent("-node", "after")
        eventually(
            lambda: [n["Node"] for n in json.loads(get("/v1/catalog/nodes").body)] == ["after"],
            "the new name alone",
        )
