"""Three servers on one machine, each on a loopback address of its own with the default ports."""

import base64
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import subprocess
import tempfile
import threading
import time

from tests.bench import tools

SERVERS = 3
HTTP_PORT = 8500
FORM_TIMEOUT_S = 60
WRITERS = 8
GAP_WATCH_S = 8
# One that waits longer than this for one answer is not writing.
WRITE_TIMEOUT_S = 10
# What a server that comes later has to catch up with, and how it is written.
KEYS = 1_000_000
FILL_CONNECTIONS = 128
FILL_STRETCH_S = 20
FILL_OPERATIONS = 16
LAST_KEY = "/v1/kv/catch-up/last"
CATCH_UP_TIMEOUT_S = 600
CONFIG = {"performance": {"raft_multiplier": 1}, "limits": {"http_max_conns_per_client": 12000}}


def address(number):
    return f"127.0.2.{number + 1}"


def url(number):
    return f"http://{address(number)}:{HTTP_PORT}"


def ask(number, method, path, body=None):
    """Returns status and body."""
    connection = http.client.HTTPConnection(address(number), HTTP_PORT, timeout=WRITE_TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, response.read()


def fill_by_transactions(number):
    """Writes KEYS keys, many a transaction: one write each takes some servers ten minutes. Returns
    how many."""
    value = base64.b64encode(b"x" * 100).decode("ascii")
    transactions = itertools.count()
    count = KEYS // FILL_OPERATIONS

    def write():
        connection = http.client.HTTPConnection(address(number), HTTP_PORT,
                                                timeout=WRITE_TIMEOUT_S)
        with contextlib.closing(connection):
            while (at := next(transactions)) < count:
                keys = (f"catch-up/{at}/{key}" for key in range(FILL_OPERATIONS))
                body = json.dumps([{"KV": {"Verb": "set", "Key": key, "Value": value}}
                                   for key in keys])
                connection.request("PUT", "/v1/txn", body=body)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    raise tools.LoadError(f"a transaction: {response.status}")

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for writer in [pool.submit(write) for _ in range(WRITERS)]:
            writer.result()
    return count * FILL_OPERATIONS


class Cluster:
    """Runs while it is entered."""

    def __init__(self, binary):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="cluster-")
        self.processes = []

    def __enter__(self):
        with open(self._config(), "w", encoding="ascii") as file:
            json.dump(CONFIG, file)
        for number in range(SERVERS):
            self._start(number, ["-bootstrap-expect", str(SERVERS)])
        try:
            self._await_writes()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self.folder.cleanup()

    def _config(self):
        return os.path.join(self.folder.name, "config.json")

    def _start(self, number, flags):
        command = [self.binary, "agent", "-server", *flags]
        command += ["-node", f"s{number}", "-log-level", "err", "-config-file", self._config()]
        command += ["-bind", address(number), "-client", address(number)]
        command += ["-data-dir", os.path.join(self.folder.name, str(number))]
        for other in range(SERVERS):
            command += ["-retry-join", address(other)]
        command += ["-retry-interval", "1s"]
        self.processes.append(subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def _await_writes(self):
        """Waits until each of them takes a write."""
        deadline = time.monotonic() + FORM_TIMEOUT_S
        for number in range(SERVERS):
            while True:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if ask(number, "PUT", f"/v1/kv/formed/{number}", b"x") == (200, b"true"):
                        break
                if time.monotonic() > deadline:
                    raise tools.LoadError(f"no write through {address(number)} within "
                                          f"{FORM_TIMEOUT_S} s")
                time.sleep(0.1)

    def leader(self):
        """The number of the server that leads."""
        for number in range(SERVERS):
            with contextlib.suppress(OSError, http.client.HTTPException):
                told = json.loads(ask(number, "GET", "/v1/status/leader")[1]).rpartition(":")[0]
                for other in range(SERVERS):
                    if told == address(other):
                        return other
        raise tools.LoadError("no server knows a leader")

    def follower(self):
        return (self.leader() + 1) % SERVERS

    def catch_up(self):
        """Writes many keys, then starts one more server with nothing. Returns the seconds from its
        start until it has all of them, for as many as KEYS."""
        written = self._fill()
        ask(self.leader(), "PUT", LAST_KEY, b"x")
        began = time.monotonic()
        self._start(SERVERS, [])
        while time.monotonic() < began + CATCH_UP_TIMEOUT_S:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(SERVERS, "GET", f"{LAST_KEY}?stale")[0] == 200:
                    return (time.monotonic() - began) * KEYS / written
            time.sleep(0.05)
        raise tools.LoadError(f"not there after {CATCH_UP_TIMEOUT_S} s")

    def _fill(self):
        """Writes KEYS keys or a little more, and returns how many."""
        leader = self.leader()
        if ask(leader, "PUT", "/v1/txn", b"[]")[0] == 200:
            return fill_by_transactions(leader)
        written = 0
        while written < KEYS:
            prefix = f"/v1/kv/catch-up/{written}/"
            rate = tools.wrk(f"{url(leader)}/", FILL_CONNECTIONS, FILL_STRETCH_S,
                             put_prefix=prefix, put_anew=True)
            written += int(rate * FILL_STRETCH_S)
        return written

    def kill_leader(self):
        """By kill -9, with writers at the other two. Returns the longest time in which none of
        their writes was accepted, in seconds."""
        leader = self.leader()
        writers = Writers([number for number in range(SERVERS) if number != leader])
        with writers:
            time.sleep(2)
            killed = time.monotonic()
            self.processes[leader].kill()
            time.sleep(GAP_WATCH_S)
        return longest_gap(writers.accepted, killed - 1)


class Writers:
    """Threads that write one key after another, each through one server."""

    def __init__(self, servers):
        self.servers = servers
        self.accepted = []
        self._ended = threading.Event()
        self._threads = []

    def __enter__(self):
        for number in range(WRITERS):
            server = self.servers[number % len(self.servers)]
            thread = threading.Thread(target=self._write, args=(number, server))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number, server):
        connection = None
        count = 0
        while not self._ended.is_set():
            count += 1
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(
                        address(server), HTTP_PORT, timeout=WRITE_TIMEOUT_S)
                connection.request("PUT", f"/v1/kv/gap/{number}/{count}", body=b"x")
                response = connection.getresponse()
                if response.read().strip() == b"true" and response.status == 200:
                    self.accepted.append(time.monotonic())
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.01)


def longest_gap(moments, since):
    """Between two moments that follow each other, the later one after `since`."""
    moments = sorted(moments)
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:]) if later > since]
    if not gaps or moments[-1] - since < 2:
        raise tools.LoadError("no write was accepted after the leader was killed")
    return max(gaps)
