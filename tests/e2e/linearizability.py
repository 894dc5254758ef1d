"""Whether what clients saw of one key could have been seen of a single register.

The search is Wing and Gong's with the memory that Lowe added: take any operation that could have
come first, apply it to a register, go on with the rest, and go back where that ends; what was
tried before (the same operations taken, the same value) is not tried again. An operation whose
outcome nobody knows may take effect at any time after its beginning, or never.

A register begins absent (None). Values of writes are all different, so that a read names its write.
"""

import collections

READ, PUT, CAS = "read", "put", "cas"
# A search that needs more steps than this is given up with an error: the history is too long.
STEPS_MAX = 2_000_000
NEVER = float("inf")


class Undecided(Exception):
    """The search was given up."""


class Operation:
    """One call: what was asked, what came back, and when.

    `value` is what a read found, or what a put or a cas is to write. A cas writes when the register
    holds `expected`, and `done` is whether it said that it did. `end` is NEVER where the outcome is
    unknown. `note` says where it was asked, for messages.
    """

    __slots__ = ("kind", "value", "expected", "done", "begin", "end", "note")

    def __init__(self, kind, value, begin, end, expected=None, done=True, note=""):
        self.kind = kind
        self.value = value
        self.expected = expected
        self.done = done
        self.begin = begin
        self.end = end
        self.note = note

    def known(self):
        return self.end != NEVER

    def applied_to(self, state):
        """(Whether it may be the next one on a register that holds `state`, what it then holds)."""
        if self.kind == READ:
            return self.value == state, state
        if self.kind == PUT:
            return True, self.value
        holds = self.expected == state
        if not self.known():
            return holds, self.value  # Without effect it need not be taken at all.
        return holds == self.done, self.value if holds else state

    def __repr__(self):
        what = f"{self.kind} {self.value}"
        if self.kind == CAS:
            what += f" for {self.expected}: {self.done if self.known() else 'unknown'}"
        end = f"{self.end:.4f}" if self.known() else "?"
        return f"[{self.begin:.4f} {end}] {what} {self.note}"


def is_linearizable(operations):
    """Raises Undecided when the search is too long."""
    return _Search(operations).succeeds()


def problems(histories):
    """A text for each key of `histories` (key to operations) that was no register."""
    found = []
    for key, operations in sorted(histories.items()):
        if not is_linearizable(operations):
            lines = "\n".join(map(repr, sorted(operations, key=lambda each: each.begin)))
            found.append(f"{key} is not linearizable:\n{lines}\n{_shortest(operations)}")
    return found


def _shortest(operations):
    """The earliest end by which it cannot be linearizable any more, for whoever reads it."""
    for end in sorted(each.end for each in operations if each.known()):
        if not is_linearizable(_until(operations, end)):
            return f"wrong from {end:.4f} on"
    return ""


def _until(operations, end):
    """The history as it was at a moment: who had not ended then was under way."""
    seen = []
    for each in operations:
        if each.begin > end:
            continue
        if each.end <= end or not each.known():
            seen.append(each)
        elif each.kind != READ:
            seen.append(
                Operation(each.kind, each.value, each.begin, NEVER, each.expected, note=each.note)
            )
    return seen


class _Search:
    """Operations are numbers in the order of their beginnings; those taken are bits of a number."""

    def __init__(self, operations):
        # A read without an answer says nothing.
        kept = [each for each in operations if each.known() or each.kind != READ]
        self._all = sorted(kept, key=lambda each: each.begin)
        self._known = sum(1 << n for n, each in enumerate(self._all) if each.known())
        self._steps = 0

    def succeeds(self):
        tried = set()
        # Each is (taken, value, the number below which all known ones are taken).
        stack = [(0, None, 0)]
        while stack:
            taken, state, low = self._with_free(*stack.pop())
            if taken & self._known == self._known:
                return True
            if (taken, state) in tried:
                continue
            tried.add((taken, state))
            nexts = []
            first = self._first(taken, low)
            for number in first:
                fits, after = self._all[number].applied_to(state)
                if fits and (self._known >> number & 1 or self._is_needed(number, first, state)):
                    nexts.append((taken | 1 << number, after, low))
            # The last is tried first: known outcomes, and the earliest of them.
            nexts.sort(key=lambda each: ((each[0] ^ taken) & self._known != 0, -each[0]))
            stack += nexts
        return False

    def _is_needed(self, unknown, first, state):
        """Whether one with an unknown outcome is of use to any that could come right behind it.

        Where nobody needs what it does, it may as well come later or never.
        """
        value = self._all[unknown].value
        for number in first:
            each = self._all[number]
            if number == unknown or each.kind == PUT:
                continue
            if each.kind == READ:
                needed = each.value == value
            elif each.done or not each.known():
                needed = each.expected == value
            else:
                needed = each.expected == state
            if needed:
                return True
        return False

    def _with_free(self, taken, state, low):
        """Takes all that may come first and change nothing: to wait with those helps nobody."""
        again = True
        while again:
            again = False
            while low < len(self._all) and taken >> low & 1:
                low += 1
            for number in self._first(taken, low):
                each = self._all[number]
                fits, after = each.applied_to(state)
                if fits and after == state and each.known():
                    taken |= 1 << number
                    again = True
        return taken, state, low

    def _first(self, taken, low):
        """Numbers of those not taken that began before any of them ended."""
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Undecided(f"{len(self._all)} operations, {STEPS_MAX} steps")
        numbers, first_end = [], NEVER
        for number in range(low, len(self._all)):
            each = self._all[number]
            if each.begin > first_end:
                break
            if not taken >> number & 1:
                numbers.append(number)
                first_end = min(first_end, each.end)
        return numbers


def by_key(operations):
    """Histories by key, of pairs of a key and an operation."""
    histories = collections.defaultdict(list)
    for key, operation in operations:
        histories[key].append(operation)
    return histories
