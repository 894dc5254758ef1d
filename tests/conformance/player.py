"""Plays the cases of a table against a server, in order, and gives each its response."""

import re
import threading
import time

from tests.conformance import compare, dig, table, wire

VARIABLE = re.compile(r"\{(index|modify)(?:\+(\d+))?\}")
WAIT_TIMEOUT_S = 30
# An async request is on its way this long before the next one is sent.
ASYNC_HEAD_START_S = 0.3


class _Background(threading.Thread):
    def __init__(self, send):
        super().__init__(daemon=True)
        self._send = send
        self.response = None
        self.elapsed_s = 0.0
        self.error = None

    def run(self):
        started = time.monotonic()
        try:
            self.response = self._send()
        except (OSError, ValueError, wire.ClosedEarly) as error:
            self.error = error
        self.elapsed_s = time.monotonic() - started


class Player:
    """One pass over one table."""

    def __init__(self, address, ports):
        self._address = address
        self._dns_port = ports["dns"]
        self._variables = {}
        self._running = {}

    def play(self, case):
        """Returns (response, seconds); (None, 0) for a case that only starts a request."""
        if case.wait:
            background = self._running.pop(case.wait)
            background.join(WAIT_TIMEOUT_S)
            if background.error:
                raise background.error
            if background.response is None:
                raise TimeoutError(f"{case.wait}: no answer within {WAIT_TIMEOUT_S} s")
            response, elapsed_s = background.response, background.elapsed_s
        elif case.start:
            target = self._expand(case.target)
            background = _Background(lambda: self._send(case, target))
            background.start()
            self._running[case.start] = background
            time.sleep(ASYNC_HEAD_START_S)
            return None, 0
        else:
            started = time.monotonic()
            response = self._send(case, self._expand(case.target))
            elapsed_s = time.monotonic() - started
        self._remember(response)
        return response, elapsed_s

    def _send(self, case, target):
        if case.dig:
            output = dig.run(self._address[0], self._dns_port, case.dig)
            return wire.Response(None, [], dig.shown(output).encode())
        return wire.request(
            self._address, case.method, target, case.body, case.headers, case.version, case.chunked
        )

    def _expand(self, target):
        def value(match):
            return str(self._variables[match[1]] + int(match[2] or 0))

        return VARIABLE.sub(value, target)

    def _remember(self, response):
        for name, value in response.headers:
            if name == compare.INDEX_HEADER and value.isdigit():
                self._variables["index"] = int(value)
        found = re.findall(rb'"ModifyIndex":\s*(\d+)', response.body)
        if found:
            self._variables["modify"] = int(found[-1])


def check_time(case, elapsed_s, ours=False):
    """Returns what is wrong with the time an answer took, or None."""
    takes = case.takes
    for difference in case.differences:
        if ours and difference.part == "takes":
            takes = table.parse_takes(difference.expected)
    if takes and not takes[0] <= elapsed_s <= takes[1]:
        return f"took {elapsed_s:.2f} s, want {takes[0]} to {takes[1]}"
    return None


def replay(cases, address, ports):
    """Plays the cases; yields (case, problems) for each that has an answer."""
    bindings = compare.Bindings(ports)
    player = Player(address, ports)
    for case in cases:
        try:
            response, elapsed_s = player.play(case)
        except (OSError, KeyError, ValueError, wire.ClosedEarly) as error:
            yield case, [f"no answer: {type(error).__name__}: {error}"]
            continue
        if case.answer is None:
            continue
        problems = compare.compare(case, response, bindings)
        if late := check_time(case, elapsed_s, ours=True):
            problems.append(late)
        yield case, problems
