"""Goal: what README.md shows is what happens.
Method: its commands are run in order, and their output compared with the page's, but for names,
addresses, ids and times. The agent runs on until the page's ^C; its data is in a folder of its own.

usage: readme_test.py [CONSUL]: a binary that stands for tools/consul, which needs a checkout
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from tests.readme import transcript

# The machine on which the page's transcript was made.
PAGE_NODE = "atlas"
# A machine without another address takes that of the loopback, which stands on the page as well.
LOOPBACK = ("127.0.0.1", "<address>")
PAGE_NAMES = ((PAGE_NODE, "<node>"), ("10.1.10.38", "<address>"), LOOPBACK)
DATA_DIR = "/tmp/consul"
COMMAND = "tools/consul"
# Commands of the page that are no part of the tour, and what runs them.
RUN_ELSEWHERE = {"tools/test": "it runs this test"}
COMMAND_TIMEOUT_S = 20
AGENT_TIMEOUT_S = 20


class Terminal:
    """Runs the steps of a page."""

    def __init__(self, consul, folder):
        self._consul = consul
        self._folder = folder
        self._log = os.path.join(folder, "agent.log")
        self._agent = None
        self._shown = 0

    def close(self):
        if self._agent and self._agent.poll() is None:
            self._agent.kill()
            self._agent.wait()

    def play(self, step):
        """Runs one step; returns what is wrong, or None."""
        if step.command == transcript.INTERRUPT:
            self._agent.send_signal(signal.SIGINT)
            status = self._agent.wait(AGENT_TIMEOUT_S)
            wrong = self._compare(step, self._agent_lines()[self._shown :])
            return wrong or (f"the agent exits with {status}" if status else None)
        command = step.command.replace(DATA_DIR, os.path.join(self._folder, "data"))
        command = command.replace(PAGE_NODE, socket.gethostname())
        command = command.replace(COMMAND, self._consul)
        if " agent " in command:
            return self._start_agent(step, command)
        done = subprocess.run(
            ["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )
        wrong = self._compare(step, transcript.lines(done.stdout))
        return wrong or (f"exits with {done.returncode}" if done.returncode else None)

    def _start_agent(self, step, command):
        with open(self._log, "wb") as log:
            self._agent = subprocess.Popen(
                ["/bin/bash", "-c", "exec " + command], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + AGENT_TIMEOUT_S
        wrong = "nothing printed"
        while wrong and time.monotonic() < deadline and self._agent.poll() is None:
            time.sleep(0.05)
            self._shown = len(step.output)
            wrong = self._compare(step, self._agent_lines()[: self._shown])
        return wrong

    def _agent_lines(self):
        with open(self._log, encoding="utf-8") as log:
            return transcript.lines(log.read())

    def _compare(self, step, lines):
        return transcript.difference(step.output, lines, PAGE_NAMES, self._names())

    def _names(self):
        """How this machine is called, as the agent's own banner has it."""
        names = [(socket.gethostname(), "<node>"), LOOPBACK]
        if self._agent:
            match = re.search(r"Advertise addr: '([^']+)'", "\n".join(self._agent_lines()))
            if match:
                names.append((match[1], "<address>"))
        return names + [(os.path.join(self._folder, "data"), DATA_DIR)]


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        with open("README.md", encoding="utf-8") as file:
            self.page = file.read()

    def test_every_command_is_run(self):
        tour = {step.command for step in transcript.steps(self.page)}
        commands = transcript.shell_commands(self.page)
        self.assertTrue(commands)
        for line, command in commands:
            with self.subTest(line=line, command=command):
                self.assertIn(command, tour | set(RUN_ELSEWHERE))

    def test_the_tour(self):
        steps = transcript.steps(self.page)
        self.assertGreater(len(steps), 5)
        consul = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else COMMAND
        with tempfile.TemporaryDirectory() as folder:
            terminal = Terminal(consul, folder)
            self.addCleanup(terminal.close)
            for step in steps:
                with self.subTest(line=step.line, command=step.command):
                    self.assertIsNone(terminal.play(step))
