"""A pool of many client agents on one machine, at rest: what each of them takes.

Every agent has a loopback address of its own with the default ports, and all of its faces.
"""

import contextlib
import os
import statistics
import subprocess
import tempfile
import time

from tests.conformance import wire

CLIENTS = 50
HTTP_PORT = 8500
JOIN_TIMEOUT_S = 60
# What an agent does once after its start (its node, its first coordinate) is over by then.
SETTLE_S = 40
WATCH_S = 30


def address(number):
    return f"127.0.1.{number + 1}"


@contextlib.contextmanager
def running(binary, flags):
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        processes = []
        try:
            for number in range(CLIENTS + 1):
                role = ["-server", "-bootstrap"] if number == 0 else ["-join", address(0)]
                command = [binary, "agent", *role, "-node", f"n{number}", "-log-level", "err",
                           "-bind", address(number), "-client", address(number),
                           "-data-dir", os.path.join(folder, str(number)), *flags]
                processes.append(subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL))
                if number == 0:
                    await_members(0, 1)
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def await_members(number, count):
    """Waits until the agent of this number lists so many members."""
    deadline = time.monotonic() + JOIN_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, wire.ClosedEarly):
            response = wire.request((address(number), HTTP_PORT), "GET", "/v1/agent/members", None)
            if response.body.count(b'"Status":1') == count:
                return
        time.sleep(0.1)
    raise OSError(f"{address(number)}: not {count} members within {JOIN_TIMEOUT_S} s")


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(binary, flags=()):
    """Of one client agent: resident bytes (the median) and the part of a core that it takes (the
    mean)."""
    with running(binary, flags) as processes:
        await_members(0, CLIENTS + 1)
        await_members(CLIENTS, CLIENTS + 1)
        time.sleep(SETTLE_S)
        clients = processes[1:]
        begun = [cpu_seconds(process) for process in clients]
        time.sleep(WATCH_S)
        used = sum(map(cpu_seconds, clients)) - sum(begun)
        return (statistics.median(map(resident_bytes, clients)), used / WATCH_S / CLIENTS)
