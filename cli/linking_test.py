"""Goal: the program brings gRPC, protobuf and abseil with it, all of each or nothing.
Method: the loader is asked what it would load.

A part of abseil that is missing in third_party/system/static.bzl would be loaded, and would bring
a second copy of the others with it.
"""

import re
import subprocess
import sys
import unittest

LINKED_IN = re.compile(
    r"lib(absl|address_sorting|boost|cares|crypto|gpr|grpc|protobuf|re2|ssl|upb)")


class LinkingTest(unittest.TestCase):

    def test_what_is_linked_in_is_not_loaded(self):
        listed = subprocess.run(["ldd", sys.argv[1]], check=True, capture_output=True, text=True)
        names = [line.split()[0] for line in listed.stdout.splitlines()]
        self.assertIn("libc.so.6", names)
        self.assertEqual([name for name in names if LINKED_IN.match(name)], [])


if __name__ == "__main__":
    unittest.main()
