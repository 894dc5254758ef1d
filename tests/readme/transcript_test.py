"""Goal: a page that says something else than the program is found out. Method: small pages."""

import unittest

from tests.readme import transcript

PAGE = """Text $ not a command

```console
$ consul agent
one
two
```

```sh
consul members   # prints them
# a remark alone
tools/test  'a#b'
```

```console
$ consul members
atlas  10.1.10.38:8301  alive
```

```console
^C
bye
```
"""
PAGE_NAMES = (("atlas", "<node>"), ("10.1.10.38", "<address>"))
OUR_NAMES = (("x", "<node>"), ("127.0.0.1", "<address>"))


class TranscriptTest(unittest.TestCase):
    def test_steps(self):
        steps = transcript.steps(PAGE)
        self.assertEqual(
            [(step.command, step.line, step.output) for step in steps],
            [
                ("consul agent", 4, ["one", "two"]),
                ("consul members", 16, ["atlas  10.1.10.38:8301  alive"]),
                ("^C", 21, ["bye"]),
            ],
        )

    def test_output_without_a_command_is_refused(self):
        with self.assertRaisesRegex(ValueError, "line 2"):
            transcript.steps("```console\nlost\n```\n")

    def test_shell_commands(self):
        self.assertEqual(
            transcript.shell_commands(PAGE), [(10, "consul members"), (12, "tools/test  'a#b'")]
        )

    def test_a_block_of_another_kind_is_refused(self):
        for page in ("```\nconsul leave\n```\n", "```bash\nconsul leave\n```\n"):
            with self.assertRaisesRegex(ValueError, "line 1"):
                transcript.shell_commands(page)
        with self.assertRaises(ValueError):
            transcript.steps("```console\n$ consul leave\n")

    def test_lines(self):
        self.assertEqual(transcript.lines(""), [])
        self.assertEqual(transcript.lines("\n"), [""])
        self.assertEqual(transcript.lines("a\n\nb\n"), ["a", "", "b"])

    def difference(self, want, got):
        return transcript.difference(want, got, PAGE_NAMES, OUR_NAMES)

    def test_names_addresses_and_widths_may_differ(self):
        self.assertIsNone(
            self.difference(["atlas  10.1.10.38:8301  alive"], ["x   127.0.0.1:8301   alive"])
        )
        self.assertIsNone(self.difference(["; DiG 9.18.1-2 id: 5"], ["; DiG 9.20.2 id: 77"]))
        self.assertIsNone(self.difference(['"ModifyIndex":5}'], ['"ModifyIndex":77}']))

    def test_nothing_else_may(self):
        for want, got in (
            (["a"], ["b"]),
            (["a"], []),
            ([], ["a"]),
            (["a", "b"], ["b", "a"]),
            (["atlas"], ["y"]),
            (["10.1.10.38"], ["127.0.0.2"]),
            (["status: 5"], ["status: 6"]),
        ):
            self.assertIsNotNone(self.difference(want, got), (want, got))
