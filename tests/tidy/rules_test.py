"""Goal: each rule can fail, and does not when all is well. Method: one small file for each."""

import unittest

from tests.tidy import completeness, parsers, rules, source

GUARD = "#ifndef CONSUL_SERVICES_A_X_H_\n#define CONSUL_SERVICES_A_X_H_\n"
HEADER = "// services/a/x.h\n//\n// What it is.\n" + GUARD + "#endif  // CONSUL_SERVICES_A_X_H_\n"
LONG_BODY = "  x();\n" * 70
PROTO = '// What it is.\nsyntax = "proto3";\n\npackage consul.a.v1;\n'

# For each rule: files (path, text) that it accepts, and files in which it finds something.
SAMPLES = {
    "length": (
        [("a/x.cc", "x\n" * 600), ("a/x.txt", "x\n" * 601)],
        [("a/x.cc", "x\n" * 601), ("t/x", "#!/bin/bash\n" * 601), ("a/x.proto", "x\n" * 601)],
    ),
    "columns": (
        [("a/x.h", "x" * 100), ("x.cc", "// https://" + "x" * 100), ("BUILD.bazel", "x" * 101)],
        [("a/x.h", "x" * 101), ("a/x.py", "x" * 101), ("a/x.bzl", "x" * 101)],
    ),
    "whitespace": (
        [
            ("a/x.cc", "  x;\n"),
            ("a/testdata/x.txt", "x \n"),
            ("a/x.md", ""),
            ("tests/fuzz/corpus/http/get", "GET / HTTP/1.1\r\n\r\n\tx"),
        ],
        [("a/x.cc", "\tx;\n"), ("a/x.cc", "x; \n"), ("a/x.md", "x"), ("a/x.md", "x\n\n")],
    ),
    "markers": (
        [("a/x.cc", "// todos los dias\n")],
        [("a/x.cc", "// TO" "DO: later\n"), ("x.md", "FIX" "ME\n"), ("x.py", "# XX" "X\n")],
    ),
    "workplace": (
        [("x.md", "see /workspace, an issue with 3 servers, a session of 10 s, /var/work/x\n")],
        [
            ("x.md", "in /wo" "rk/main\n"),
            ("x.cc", "// issue" " 12\n"),
            ("x.cc", "// fixes (#" "12)\n"),
            ("x.md", "issue" " #12\n"),
            ("x.sh", "curl https://deb." "debian.org/x\n"),
        ],
    ),
    "python_functions": (
        [("x.py", '"""Why."""\n\n\ndef f():\n' + "    x()\n" * 69)],
        [("x.py", '"""Why."""\n\n\ndef f():\n' + "    x()\n" * 70), ("x.py", "x = 1\n")],
    ),
    "shell_scripts": (
        [("x", "#!/usr/bin/env bash\n# Does x.\nset -euo pipefail\n"), ("x.md", "text\n")],
        [("x", "#!/bin/bash\n# Does x.\n"), ("x", "#!/bin/bash\nset -euo pipefail\n")],
    ),
    "header_guards": (
        [("services/a/x.h", HEADER)],
        [
            ("services/b/x.h", HEADER),
            ("services/a/x.h", HEADER.replace("#define", "#undef")),
            ("services/a/x.h", HEADER.replace("#endif  //", "#endif //")),
        ],
    ),
    "header_preambles": (
        [("services/a/x.h", HEADER)],
        [("services/a/x.h", GUARD), ("services/a/y.h", HEADER)],
    ),
    "include_style": (
        [("services/a/x.cc", '#include "services/a/x.h"\n#include <vector>\n')],
        [
            ("services/a/x.cc", '#include "x.h"\n'),
            ("services/a/x.cc", '#include "../a/x.h"\n'),
            ("services/a/x.cc", "#include <services/a/x.h>\n"),
            ("services/a/x.cc", "#include <consul/kv/v1/kv.pb.h>\n"),
            ("services/a/x.cc", '#include "services/a/x.cc"\n'),
            ("services/a/x.cc", '#include "vector"\n'),
        ],
    ),
    "own_header_first": (
        [("services/a/x.cc", '#include "services/a/x.h"\n\n#include <vector>\n')],
        [("services/a/x.cc", '#include <vector>\n\n#include "services/a/x.h"\n')],
    ),
    "cpp_functions": (
        [
            ("x.cc", "int F() {\n" + "  x();\n" * 68 + "}\n"),
            ("x.cc", "namespace a {\n" + "int x;\n" * 90 + "}  // namespace a\n"),
            ("x.h", "class A {\n" + "  int x;\n" * 90 + "};\n"),
            ("x.cc", "int F(int a,\n      int b) {\n" + "  if (a) {\n  }\n" * 30 + "}\n"),
        ],
        [
            ("x.cc", "int F() {\n" + LONG_BODY + "}\n"),
            ("x.cc", "A::A(int x)\n    : x_(x) {\n}\n\nvoid A::F() const {\n" + LONG_BODY + "}\n"),
            ("x.h", "class A {\n  void F() override {\n" + LONG_BODY + "  }\n};\n"),
            ("x.cc", "A::A(int x)\n    : x_(x) {\n" + "  if (x) {\n  }\n" * 40 + "}\n"),
            ("x.cc", "int F(int a,\n      int b) {\n" + "  if (a) {\n  }\n" * 40 + "}\n"),
            ("x_test.cc", "TEST(A, B) {\n" + LONG_BODY + "}\n"),
        ],
    ),
    "banned": (
        [
            ("services/a/x.cc", "// throw, std::mutex\n"),
            ("services/a/x.cc", 'Log("assert(x), rand() and std::cout");\n'),
            ("services/base/mutex.h", "std::mutex mutex_;\n"),
            ("cli/x.cc", "std::cout << x;\n"),
            ("services/a/map_bench.cc", "std::printf(x);\n"),
        ],
        [
            ("services/a/x.cc", "using namespace std;\n"),
            ("services/a/x.h", "#pragma once\n"),
            ("services/a/x.cc", "#if 0\n"),
            ("services/a/x.h", "std::mutex mutex_;\n"),
            ("services/a/x.h", "absl::Mutex mutex_;\n"),
            ("services/a/x.cc", "throw 1;\n"),
            ("services/a/x.cc", "assert(x);\n"),
            ("services/a/x.cc", "int x = rand();\n"),
            ("services/a/x.cc", "std::cout << x;\n"),
            ("services/a/x.cc", "std::printf(x);\n"),
            ("services/a/x.cc", "std::regex x;\n"),
        ],
    ),
    "pure_cores": (
        [
            ("services/raft/core/core.cc", "// std::thread\nvoid F(Time now);\n"),
            ("services/raft/node.cc", "std::thread thread_;\n"),
            ("services/raft/core/core_test.cc", "std::random_device seed;\n"),
        ],
        [
            ("services/raft/core/core.cc", "auto x = std::chrono::steady_clock::now();\n"),
            ("services/raft/core/votes.h", "#include <thread>\n"),
            ("services/gossip/swim.cc", "std::random_device seed;\n"),
            ("services/state/fsm.cc", '#include "services/base/log.h"\n'),
            ("services/state/fsm.cc", "base::Mutex mutex_;\n"),
        ],
    ),
    "no_sleeping_tests": (
        [("services/a/x.cc", "sleep_for(x);\n"), ("tests/e2e/x_test.cc", "sleep_for(x);\n")],
        [("services/a/x_test.cc", "std::this_thread::sleep_for(x);\n")],
    ),
    "layers": (
        [
            ("services/raft/x.cc", '#include "services/base/x.h"\n#include "consul/a/v1/a.pb.h"\n'),
            ("services/raft/x.cc", '#include "services/raft/log/x.h"\n'),
            ("services/agent/x.cc", '#include "services/agent/config/x.h"\n'),
            ("gateway/http/x.cc", '#include "services/rpc/backend.h"\n'),
            ("gateway/http/x.cc", '#include "gateway/transcode/x.h"\n'),
            ("tests/sim/x.cc", '#include "services/raft/core/core.h"\n'),
        ],
        [
            ("services/raft/x.cc", '#include "services/state/x.h"\n'),
            ("services/base/x.cc", '#include "services/raft/x.h"\n'),
            ("services/base/x.cc", '#include "consul/a/v1/a.pb.h"\n'),
            ("services/server/x.cc", '#include "services/api/x.h"\n'),
            ("services/agent/config/x.cc", '#include "services/agent/x.h"\n'),
            ("gateway/http/x.cc", '#include "services/server/x.h"\n'),
            ("services/agent/x.cc", '#include "gateway/http/x.h"\n'),
            ("services/x.cc", '#include "services/base/x.h"\n'),
            ("services/raft/x.cc", '#include "tests/harness/x.h"\n'),
        ],
    ),
    "grpc_stays_low": (
        [
            ("services/rpc/x.cc", "#include <grpcpp/grpcpp.h>\n"),
            ("services/transport/grpc_transport.cc", "#include <grpcpp/grpcpp.h>\n"),
            ("cli/client.cc", '#include "consul/a/v1/a.grpc.pb.h"\n'),
        ],
        [
            ("services/raft/node.cc", "#include <grpcpp/grpcpp.h>\n"),
            ("gateway/http/x.cc", "#include <grpcpp/support/slice.h>\n"),
            ("cli/kv_command.cc", '#include "consul/a/v1/a.grpc.pb.h"\n'),
        ],
    ),
    "proto_comments": (
        [
            ("proto/a.proto", "// A thing.\nmessage A {\n  // Its name.\n  string name = 1;\n}\n"),
            ("proto/a.proto", "  bytes key = 1;  // as it is\n"),
            ("proto/a.proto", "enum A {  // kinds\n  A_UNSPECIFIED = 0;\n}\n"),
        ],
        [
            ("proto/a.proto", "  string name = 1;\n"),
            ("proto/a.proto", '  repeated a.b.C rows = 12 [json_name = "Rows"];\n'),
            ("proto/a.proto", "  map<string, string> meta = 3;\n"),
            ("proto/a.proto", "message A {\n"),
            ("proto/a.proto", "service A {\n"),
            ("proto/a.proto", "  rpc Get(GetRequest) returns (GetResponse) {\n"),
            ("proto/a.proto", "  KIND_READ = 1;\n"),
            ("proto/a.proto", "  oneof body {\n"),
        ],
    ),
    "proto_places": (
        [("proto/consul/a/v1/a.proto", PROTO)],
        [
            ("proto/consul/b/v1/a.proto", PROTO),
            ("proto/consul/a/v1/a.proto", PROTO.replace("proto3", "proto2")),
            ("proto/consul/a/v1/a.proto", PROTO + "service A {\n}\nservice B {\n}\n"),
            ("proto/consul/a/v1/a.proto", PROTO.split("\n", 1)[1]),
        ],
    ),
}


class RulesTest(unittest.TestCase):
    def test_each_rule_has_samples_of_both_kinds(self):
        self.assertEqual(sorted(SAMPLES), sorted(rules.RULES))
        for name, (good, bad) in SAMPLES.items():
            self.assertTrue(good and bad, name)


def add_samples(name, good, bad):
    def accepts(self):
        for path, text in good:
            self.assertEqual(rules.check(name, [source.File(path, text)]), [], (path, text))

    def refuses(self):
        for path, text in bad:
            self.assertTrue(rules.check(name, [source.File(path, text)]), (path, text))

    setattr(RulesTest, f"test_{name}_accepts_what_is_well", accepts)
    setattr(RulesTest, f"test_{name}_finds_what_is_not", refuses)


for rule_name, (good_files, bad_files) in SAMPLES.items():
    add_samples(rule_name, good_files, bad_files)


class CompletenessTest(unittest.TestCase):
    def files(self, **texts):
        """Files by name, `_` for a slash and `__` for a dot."""
        return [
            source.File(name.replace("__", ".").replace("_", "/"), text)
            for name, text in texts.items()
        ]

    def test_a_source_that_no_build_file_names(self):
        build = 'cc_library(\n    srcs = ["x.cc"],\n)\n'
        self.assertEqual(completeness.unbuilt(self.files(a_BUILD__bazel=build, a_x__cc="")), [])
        self.assertTrue(completeness.unbuilt(self.files(a_BUILD__bazel=build, a_y__cc="")))
        self.assertTrue(completeness.unbuilt(self.files(a_y__cc="")))
        script = self.files(a_y__py="#!/usr/bin/python3\n")
        self.assertEqual(completeness.unbuilt(script), [], "people run it")

    def test_sources_below_the_package_and_globs(self):
        build = 'x(srcs = ["b/x.cc"] + glob(["c/*.cc", "d/**/*.h"]))\n'
        named = self.files(a_BUILD__bazel=build, a_b_x__cc="", a_c_y__cc="", a_d_e_f_z__h="")
        self.assertEqual(completeness.unbuilt(named), [])
        self.assertTrue(completeness.unbuilt(self.files(a_BUILD__bazel=build, a_c_e_y__cc="")))

    def test_an_include_with_nothing_behind_it(self):
        text = '#include "services/x.h"\n#include "consul/a/v1/a.pb.h"\n#include <vector>\n'
        there = self.files(services_y__cc=text, services_x__h="", proto_consul_a_v1_a__proto="")
        self.assertEqual(completeness.missing_includes(there), [])
        self.assertEqual(len(completeness.missing_includes(there[:1])), 2)

    def test_a_link_with_nothing_behind_it(self):
        def broken(text, path="docs/A.md"):
            others = [source.File("docs/B.md", ""), source.File("services/a/x.h", "")]
            return completeness.broken_links([source.File(path, text), *others])

        for text in (
            "[b](B.md) [b](B.md#part) [a](../services/a/) [o](https://example.org/x.md)",
            "`services/a/x.h`, `services/a`, `x.h`, `services/a/x.h:12`",
        ):
            self.assertEqual(broken(text), [], text)
        for text in ("[c](C.md)", "[c](C.md#part)", "`services/a/y.h`", "[a](services/a/x.h)"):
            self.assertTrue(broken(text), text)
        self.assertTrue(broken("// see `services/a/y.h`", "services/a/x.cc"))


class ParsersTest(unittest.TestCase):
    BUILD = source.File("tests/fuzz/BUILD.bazel", 'fuzz(name = "new_fuzz")')
    TARGET = source.File("tests/fuzz/new_fuzz.cc", '#include "cli/new.h"\n')
    HEADER = source.File("cli/new.h", "int Length(std::string_view);\n")
    SOURCE = source.File("cli/new.cc", '#include "cli/new.h"\nint x = std::stoi(text);\n')

    def unfuzzed(self, *files, listed=("cli/new.cc",), excused=()):
        listed = {path: "new_fuzz" for path in listed}
        return parsers.unfuzzed(files, listed, dict.fromkeys(excused, "why"))

    def test_a_parser_that_is_fuzzed(self):
        self.assertEqual(self.unfuzzed(self.BUILD, self.TARGET, self.HEADER, self.SOURCE), [])

    def test_a_parser_that_is_not_listed(self):
        files = (self.BUILD, self.TARGET, self.HEADER, self.SOURCE)
        self.assertTrue(self.unfuzzed(*files, listed=()))
        self.assertEqual(self.unfuzzed(*files, listed=(), excused=("cli/new.cc",)), [])

    def test_a_target_that_is_not_there_or_does_not_get_there(self):
        other = source.File("tests/fuzz/BUILD.bazel", 'fuzz(name = "other_fuzz")')
        self.assertTrue(self.unfuzzed(other, self.TARGET, self.HEADER, self.SOURCE))
        elsewhere = source.File("tests/fuzz/new_fuzz.cc", '#include "cli/old.h"\n')
        self.assertTrue(self.unfuzzed(self.BUILD, elsewhere, self.HEADER, self.SOURCE))

    def test_rows_for_what_is_not_there_or_no_parser(self):
        self.assertTrue(self.unfuzzed(self.BUILD))
        self.assertTrue(self.unfuzzed(self.BUILD, listed=(), excused=("cli/new.cc",)))
        plain = source.File("cli/new.cc", "int x;\n")
        self.assertTrue(self.unfuzzed(self.BUILD, plain, listed=(), excused=("cli/new.cc",)))

    def test_what_is_told_to_be_a_parser(self):
        for path, text in (
            ("a/new_parser.cc", ""),
            ("a/log_format.cc", ""),
            ("a/x.cc", "std::from_chars(a, b, n);"),
            ("a/x.cc", "if (!message.ParseFromArray(data, size)) return;"),
            ("a/x.cc", "const std::regex pattern(text);"),
            ("a/x.cc", "boost::json::parse(text, ec);"),
            ("a/x.h", "std::optional<Name> FromText(std::string_view text);"),
            ("a/x.h", "static absl::StatusOr<X> Decode(std::span<const uint8_t> bytes);"),
            ("a/x.h", "absl::StatusOr<X> ParseAll(int a,\n    std::string_view text);"),
        ):
            self.assertTrue(parsers.parsers_among([source.File(path, text)]), (path, text))
        for path, text in (
            ("a/x.cc", "// ParseFromArray(bytes)"),
            ("a/x.cc", "ReadBarrier(std::move(done));"),
            ("a/x.h", "absl::StatusOr<X> ParseNothing();"),
            ("a/x_test.cc", "std::stoi(text);"),
            ("a/fake_x.cc", "std::stoi(text);"),
            ("tests/x.cc", "std::stoi(text);"),
        ):
            self.assertFalse(parsers.parsers_among([source.File(path, text)]), (path, text))

    def test_code_behind_a_header_is_told_by_its_source(self):
        header = source.File("a/x.h", "X Parse(std::string_view text);")
        files = [header, source.File("a/x.cc", "")]
        self.assertEqual(parsers.parsers_among(files), {"a/x.cc"})
