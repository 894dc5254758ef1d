"""Clients that write down all that they asked and were told, for the checker of histories."""

import base64
import http.client
import itertools
import json
import threading
import time

from tests.e2e.harness import HTTP_PORT
from tests.e2e.linearizability import CAS, NEVER, PUT, READ, Operation

# What a write was told that is in no log and never will be. An agent that leaves says the last of
# one that it still holds; what is proposed already it answers.
REFUSALS = (b"No cluster leader", b"No known Consul servers", b"the agent is shutting down")
# By a client agent that could reach no server.
NOT_SENT = b"rpc error: server "
# All else that a write with status 500 may be told: nobody knows what became of it.
UNKNOWN = (b"may yet be applied, or not", b"may or may not have been done")


def is_refusal(body):
    return body in REFUSALS or body.startswith(NOT_SENT) and not is_unknown(body)


def is_unknown(body):
    return any(text in body for text in UNKNOWN)


class Registers:
    """The keys that all clients use at a moment; new ones come while they work.

    A history of a key is short that way, however long the story is.
    """

    AT_ONCE = 3
    OPERATIONS_MAX = 150  # of one key

    def __init__(self, prefix):
        self.prefix = prefix
        self._lock = threading.Lock()
        self._fresh = itertools.count()
        self._current = [self._next() for _ in range(self.AT_ONCE)]
        self._used = [0] * self.AT_ONCE

    def _next(self):
        return f"{self.prefix}/{next(self._fresh):04}"

    def pick(self, number):
        with self._lock:
            if self._used[number] >= self.OPERATIONS_MAX:
                self._current[number] = self._next()
                self._used[number] = 0
            self._used[number] += 1
            return self._current[number]


class Client:
    """One that asks one agent at a time, and another one when it gets no answer."""

    TIMEOUT_S = 4
    # Between two operations, so that a fault of a second is not one of thousands.
    PAUSE_S = 0.01

    def __init__(self, name, addresses, registers, chance):
        self.name = name
        self.history = []  # (key, Operation)
        self.acknowledged = {}  # writes that were told to be done: value to key
        self.odd = []  # answers that no client should get
        self._addresses = addresses
        self.registers = registers
        self._chance = chance
        self._at = 0
        self._connection = None
        self._indexes = {}  # what it read last of a key: (value, ModifyIndex)
        self._written = 0

    def run(self, stop):
        while not stop.is_set():
            key = self.registers.pick(self._chance.randrange(Registers.AT_ONCE))
            self._one(key)
            stop.wait(self.PAUSE_S)

    def _one(self, key):
        kind = self._chance.choices([READ, PUT, CAS], [5, 2, 2])[0]
        if kind == READ:
            self._read(key)
        elif kind == PUT:
            self._write(PUT, key, "", None)
        else:
            expected, index = self._indexes.get(key, (None, 0))
            self._write(CAS, key, f"?cas={index}", expected)

    def _read(self, key):
        word = self._chance.choice(["", "?consistent"])
        where = self._where(word)
        begin = time.monotonic()
        status, body = self._ask("GET", f"/v1/kv/{key}{word}")
        end = time.monotonic()
        if status == 404:
            value, index = None, 0
        elif status == 200:
            (row,) = json.loads(body)
            value, index = base64.b64decode(row["Value"]).decode(), row["ModifyIndex"]
        else:
            return
        self._indexes[key] = (value, index)
        self._note(key, Operation(READ, value, begin, end, note=where))

    def _write(self, kind, key, query, expected):
        self._written += 1
        value = f"{self.name}.{self._written}"
        where = self._where(query)
        begin = time.monotonic()
        status, body = self._ask("PUT", f"/v1/kv/{key}{query}", value)
        end = time.monotonic()
        if status == 200 and body in (b"true", b"false"):
            done = body == b"true"
            if done:
                self.acknowledged[value] = key
            self._note(key, Operation(kind, value, begin, end, expected, done, where))
        elif status == 500 and is_refusal(body):
            self._elsewhere()
        else:
            if status and not (status == 500 and is_unknown(body)):
                self.odd.append((where, kind, status, body))
            self._note(key, Operation(kind, value, begin, NEVER, expected, note=where))

    def _note(self, key, operation):
        self.history.append((key, operation))

    def _where(self, query):
        return f"{self.name} at {self._addresses[self._at]} {query}"

    def _elsewhere(self):
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._at = self._chance.randrange(len(self._addresses))

    def _ask(self, method, target, body=None):
        """(status, body); (0, reason) where there was no answer."""
        address = self._addresses[self._at]
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    address, HTTP_PORT, timeout=self.TIMEOUT_S
                )
            self._connection.request(method, target, body)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._elsewhere()
            return 0, repr(error).encode()


class Clients:
    """Threads with a Client each, from entering to leaving a `with`."""

    def __init__(self, clients):
        self.clients = clients
        self._stop = threading.Event()
        self._failures = []
        self._threads = [threading.Thread(target=self._guarded, args=(each,)) for each in clients]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, client):
        try:
            client.run(self._stop)
        except BaseException as error:
            self._failures.append(error)
            raise

    def operations(self):
        return [each for client in self.clients for each in client.history]

    def answered(self):
        """How many operations have a known outcome so far."""
        return sum(each.known() for _, each in self.operations())

    def acknowledged(self):
        return {v: key for client in self.clients for v, key in client.acknowledged.items()}

    def odd(self):
        return self._failures + [answer for client in self.clients for answer in client.odd]
