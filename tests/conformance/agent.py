"""Starts one Consul server on loopback, ours or the reference, with a data folder that goes away.

Both take the same command line and file:
  consul agent -server -bootstrap -data-dir DIR -config-file FILE
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

from tests.conformance import wire

# Recorded answers show these as <port.http> and so on.
PORTS = {
    "server": 20300,
    "serf_lan": 20301,
    "serf_wan": 20302,
    "rpc": 20400,
    "http": 20500,
    "dns": 20600,
}
NODE_NAME = "node1"
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10


class Agent:
    """One server process."""

    def __init__(self, binary, reference=False, ports=None, config=None):
        """`config` is merged into the configuration file; `reference` leaves our own keys out."""
        self._binary = binary
        self._reference = reference
        self.ports = dict(PORTS if ports is None else ports)
        self.address = ("127.0.0.1", self.ports["http"])
        self.process = None
        self.started_at = None
        self._stack = contextlib.ExitStack()
        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="consul-"))
        self._log_path = os.path.join(self._folder, "log")
        listed = self._listed_ports()
        settings = {
            "node_name": NODE_NAME,
            "bind_addr": "127.0.0.1",
            "log_level": "err",
            "ports": listed,
        }
        if reference:
            settings["disable_update_check"] = True
        settings.update(config or {})
        self._config_path = os.path.join(self._folder, "config.json")
        with open(self._config_path, "w", encoding="utf-8") as file:
            json.dump(settings, file)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            self._stack.close()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()
        self._stack.close()

    def _listed_ports(self):
        return {k: v for k, v in self.ports.items() if not (self._reference and k == "rpc")}

    def start(self):
        """Starts the process; does not wait for it to answer."""
        self._check_ports_free()
        data = os.path.join(self._folder, "data")
        command = [self._binary, "agent", "-server", "-bootstrap", "-data-dir", data]
        command += ["-config-file", self._config_path]
        self.started_at = time.monotonic()
        self.process = self._spawn(command)

    def _spawn(self, command):
        with open(self._log_path, "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        """Ends the process at once: nothing of it is needed any more."""
        _kill(self.process)

    def log(self):
        with open(self._log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def get(self, target):
        return wire.request(self.address, "GET", target)

    def put(self, target, body):
        response = wire.request(self.address, "PUT", target, body)
        if response.status != 200:
            raise RuntimeError(f"PUT {target}: {response}")

    def wait_until_answers(self, target, wanted=lambda response: response.status == 200):
        """Waits until a GET of `target` gives what is wanted; returns seconds since the start."""
        deadline = self.started_at + START_TIMEOUT_S
        last = "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self._binary} ended: {self.log()}")
            try:
                last = self.get(target)
                if wanted(last):
                    return time.monotonic() - self.started_at
            except (OSError, wire.ClosedEarly):
                pass
            time.sleep(0.005)
        raise RuntimeError(f"{target}: still {last} after {START_TIMEOUT_S} s: {self.log()}")

    def wait_until_registered(self):
        """Waits until the server leads and has entered itself into the catalog."""
        self.wait_until_answers("/v1/status/leader", lambda r: r.body not in (b'""', b"null"))
        self.wait_until_answers(
            f"/v1/health/node/{NODE_NAME}", lambda r: b'"Status":"passing"' in r.body
        )

    def wait_until_settled(self):
        """Waits until the server has itself in the catalog with all that it will have.

        From then on only requests change what the requests of a table see.
        """
        self.wait_until_registered()
        # The reference writes its node twice, the second time with these.
        last = b"consul-network-segment" if self._reference else b'"lan"'
        self.wait_until_answers(
            f"/v1/catalog/node/{NODE_NAME}",
            lambda r: b'"consul"' in r.body and last in r.body,
        )

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def _check_ports_free(self):
        for name, port in self.ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise RuntimeError(f"{name} port {port} is taken: {error}") from error


class AgentWithGateway(Agent):
    """An agent of ours without HTTP and DNS, and a gateway process that serves both for it."""

    def __init__(self, binary, ports=None, config=None):
        self._gateway = None
        super().__init__(binary, ports=ports, config=config)

    def _listed_ports(self):
        return {**super()._listed_ports(), "http": -1, "dns": -1}

    def start(self):
        super().start()
        command = [self._binary, "gateway"]
        for flag, name in (("-rpc-addr", "rpc"), ("-http-addr", "http"), ("-dns-addr", "dns")):
            command += [flag, f"127.0.0.1:{self.ports[name]}"]
        self._gateway = self._spawn(command)

    def stop(self):
        _kill(self._gateway)
        super().stop()


def _kill(process):
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)
