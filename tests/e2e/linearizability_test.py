"""Goal: the checker of histories accepts what a register can do, and nothing else.
Method: small histories, whose operations are written as `begin end what`; random ones that a real
register made, and the same with one mistake planted.
"""

import itertools
import random
import unittest

from tests.e2e import linearizability
from tests.e2e.linearizability import CAS, NEVER, PUT, READ, Operation, is_linearizable


def read(begin, end, value):
    return Operation(READ, value, begin, end)


def put(begin, end, value):
    return Operation(PUT, value, begin, end)


def cas(begin, end, expected, value, done=True):
    return Operation(CAS, value, begin, end, expected, done)


class AcceptedTest(unittest.TestCase):
    """What may be seen."""

    def check(self, *operations):
        self.assertTrue(is_linearizable(operations))
        self.assertTrue(is_linearizable(operations[::-1]), "the order of the list is of no matter")

    def test_nothing(self):
        self.check()

    def test_a_read_of_a_key_that_nobody_wrote(self):
        self.check(read(1, 2, None))

    def test_one_after_the_other(self):
        self.check(put(1, 2, "a"), read(3, 4, "a"), put(5, 6, "b"), read(7, 8, "b"))

    def test_a_read_beside_a_write_may_see_it_or_not(self):
        self.check(put(1, 10, "a"), read(2, 3, None), read(4, 5, "a"))

    def test_two_writes_at_once_take_either_order(self):
        for last in ("a", "b"):
            self.check(put(1, 4, "a"), put(2, 3, "b"), read(5, 6, last))

    def test_what_ends_when_another_begins_may_come_after_it(self):
        self.check(put(1, 2, "a"), read(2, 3, None))

    def test_an_unknown_write_may_come_late_or_never(self):
        self.check(put(1, NEVER, "a"), read(2, 3, None), read(4, 5, "a"), read(6, 7, "a"))
        self.check(put(1, NEVER, "a"), put(2, 3, "b"), read(4, 5, "b"), read(6, 7, "b"))
        self.check(put(1, NEVER, "a"), put(2, 3, "b"), read(4, 5, "b"), read(6, 7, "a"))

    def test_an_unknown_read_says_nothing(self):
        self.check(put(1, 2, "a"), read(3, NEVER, "b"), read(5, 6, "a"))

    def test_cas(self):
        self.check(cas(1, 2, None, "a"), cas(3, 4, "a", "b"), read(5, 6, "b"))
        self.check(put(1, 2, "a"), cas(3, 4, None, "b", done=False), read(5, 6, "a"))
        # Both for the same value: one is done, the other is not.
        self.check(cas(1, 5, None, "a"), cas(1, 5, None, "b", done=False), read(6, 7, "a"))

    def test_an_unknown_cas_took_effect_or_not(self):
        self.check(put(1, 2, "a"), cas(3, NEVER, "a", "b"), read(4, 5, "a"), read(6, 7, "b"))
        self.check(put(1, 2, "a"), cas(3, NEVER, "z", "b"), read(4, 5, "a"))

    def test_a_cas_that_failed_for_the_sake_of_a_write_that_nobody_has_seen(self):
        self.check(
            put(1, 2, "a"), put(3, NEVER, "x"), cas(4, 5, "a", "b", done=False), put(6, 7, "c")
        )


class RejectedTest(unittest.TestCase):
    """What a register cannot do."""

    def check(self, *operations):
        self.assertFalse(is_linearizable(operations))

    def test_a_stale_read(self):
        self.check(put(1, 2, "a"), read(3, 4, None))
        self.check(put(1, 2, "a"), put(3, 4, "b"), read(5, 6, "a"))

    def test_a_value_from_nowhere(self):
        self.check(put(1, 2, "a"), read(3, 4, "b"))

    def test_a_read_before_its_write(self):
        self.check(read(1, 2, "a"), put(3, 4, "a"))
        self.check(read(1, 2, "a"), put(3, NEVER, "a"))

    def test_two_reads_that_go_back(self):
        self.check(put(1, 10, "a"), read(2, 3, "a"), read(4, 5, None))
        self.check(put(1, NEVER, "a"), put(2, 3, "b"), read(4, 5, "a"), read(6, 7, "b"))

    def test_a_write_that_two_clients_saw_in_different_orders(self):
        self.check(
            put(1, 9, "a"), put(1, 9, "b"),
            read(10, 11, "a"), read(12, 13, "b"),
        )

    def test_a_write_that_was_lost(self):
        self.check(put(1, 2, "a"), put(3, 4, "b"), read(5, 6, "b"), read(7, 8, "a"))

    def test_cas(self):
        self.check(cas(1, 5, None, "a"), cas(1, 5, None, "b"))
        self.check(put(1, 2, "a"), cas(3, 4, "a", "b", done=False))
        self.check(put(1, 2, "a"), cas(3, 4, None, "b"))

    def test_a_cas_that_said_no_and_was_done(self):
        """What a command that is put into the log twice looks like."""
        self.check(put(1, 2, "a"), cas(3, 4, "a", "b", done=False), read(5, 6, "b"))

    def test_a_failed_write_that_is_found(self):
        """What failed for sure is left out of a history."""
        self.check(read(1, 2, None), read(3, 4, "refused"))

    def test_the_text_names_the_key_and_the_moment(self):
        history = [put(1, 2, "a"), read(3, 4, None), read(5, 6, "a")]
        (text,) = linearizability.problems({"k": history, "good": [put(1, 2, "a")]})
        self.assertTrue(text.startswith("k is not linearizable:\n[1.0000 2.0000] put a"), text)
        self.assertTrue(text.endswith("wrong from 4.0000 on"), text)

    def test_a_search_without_an_end_is_given_up(self):
        limit = linearizability.STEPS_MAX
        self.addCleanup(setattr, linearizability, "STEPS_MAX", limit)
        linearizability.STEPS_MAX = 1000
        writes = [put(1, 100, str(number)) for number in range(40)]
        with self.assertRaises(linearizability.Undecided):
            is_linearizable(writes + [read(101, 102, "no such")])


class Register:
    """Makes histories that a register could have made: each operation takes effect within it."""

    CLIENTS = 5

    def __init__(self, chance):
        self.chance = chance
        self.value = None
        self.written = []

    def history(self, length):
        moments = []
        for _ in range(self.CLIENTS):
            now = 0.0
            for _ in range(length // self.CLIENTS):
                begin = now + self.chance.random()
                at = begin + self.chance.random()
                now = at + self.chance.random()
                moments.append((at, begin, now))
        return [self.operation(*moment) for moment in sorted(moments)]

    def operation(self, at, begin, end):
        kind = self.chance.choice([READ, PUT, CAS])
        if kind == READ:
            return Operation(READ, self.value, begin, end)
        value = f"v{len(self.written)}"
        expected = self.chance.choice([self.value] + self.written[-3:])
        holds = kind == PUT or self.value == expected
        unknown = self.chance.random() < 0.1
        if holds and not (unknown and self.chance.random() < 0.5):
            self.value = value
        self.written.append(value)
        return Operation(kind, value, begin, NEVER if unknown else end, expected, holds)


def by_trying_all_orders(operations):
    """The definition: some order of all that are known and some that are not is a register's."""
    known = [each for each in operations if each.end != NEVER]
    unknown = [each for each in operations if each.end == NEVER]
    return any(
        is_order_of_a_register(order)
        for count in range(len(unknown) + 1)
        for some in itertools.combinations(unknown, count)
        for order in itertools.permutations(known + list(some))
    )


def is_order_of_a_register(order):
    state, latest_begin = None, 0
    for each in order:
        if each.end < latest_begin:
            return False
        latest_begin = max(latest_begin, each.begin)
        fits, state = each.applied_to(state)
        if not fits:
            return False
    return True


class RandomTest(unittest.TestCase):
    """Histories of a real register, and what becomes of them with a mistake in them."""

    ROUNDS = 60
    LONG, SHORT = 200, 100

    def histories(self, length, rounds=ROUNDS):
        for seed in range(rounds):
            chance = random.Random(seed)
            yield chance, Register(chance).history(length)

    def test_small_histories_are_judged_as_by_their_definition(self):
        chance = random.Random(1)
        accepted = 0
        for _ in range(600):
            written = ["v0", "v1", "v2"]
            history = []
            for number in range(5):
                begin = chance.randrange(8)
                end = begin + chance.randrange(1, 5)
                kind = chance.choice([PUT, CAS, READ]) if number < 3 else READ
                value = written[number] if kind != READ else chance.choice([None, *written])
                if kind != READ and chance.random() < 0.3:
                    end = NEVER
                expected = chance.choice([None, *written])
                done = end == NEVER or chance.random() < 0.5
                history.append(Operation(kind, value, begin, end, expected, done))
            expected = by_trying_all_orders(history)
            self.assertEqual(is_linearizable(history), expected, history)
            accepted += expected
        self.assertTrue(50 < accepted < 550, accepted)

    def test_what_a_register_made_is_accepted(self):
        for _, history in self.histories(self.LONG):
            self.assertTrue(is_linearizable(history))

    def test_a_stale_read_that_is_planted_is_found(self):
        # That there is no way takes a hundred times the search for one, in a long history.
        few = self.histories(self.LONG, rounds=8)
        for chance, history in itertools.chain(self.histories(self.SHORT), few):
            # A value that was overwritten, as a read of whoever had not heard of that tells it.
            reads = sorted(
                (each for each in history if each.kind == READ and each.value), key=lambda e: e.end
            )
            old, new = reads[0], reads[-1]
            self.assertNotEqual(old.value, new.value)
            stale = Operation(READ, old.value, new.end + 1, new.end + 2)
            self.assertFalse(is_linearizable(history + [stale]))
            # Beside the read that saw it first it would have been right.
            beside = Operation(READ, old.value, old.begin, old.end)
            self.assertTrue(is_linearizable(history + [beside]))
            chance.shuffle(history)
            self.assertTrue(is_linearizable(history))


if __name__ == "__main__":
    unittest.main()
