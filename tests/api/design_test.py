"""Goal: the API that docs/ design stands: it is whole, and what is declared does not contradict it.
Method: the pages and proto/ are read and compared; small pages show that each fault is found.
"""

import glob
import unittest

from tests.api import design

API = """# The API

## a.v1 AService

| method | kind | route | now |
|---|---|---|---|
| Get | R | GET a/{name} | |
| Put | W | PUT a/{name=**} | yes |
"""
PAGE = """# A

## consul.a.v1

```proto
message GetRequest {
  consul.query.v1.QueryOptions options = 1;
  string name = 2;  // {name}: what is asked for
}
message GetResponse {  // HTTP: `thing`
  consul.query.v1.QueryMeta meta = 1;
  oneof answer {
    Thing thing = 2;
  }
}
enum Size {
  SIZE_UNSPECIFIED = 0;
  SIZE_BIG = 1;  // "big"
}
message Thing {
  Size size = 2;
}
```
"""
PROTO = """// A.
package consul.a.v1;
service AService {
  rpc Put(PutRequest) returns (PutResponse) {}
}
message PutRequest {
  // Where to write.
  consul.query.v1.WriteOptions options = 1;
  string name = 2 [json_name = "Name"];
}
message PutResponse {}
message Thing {
  string id = 1 [
    json_name = "ID"
  ];
}
"""
QUERY = """package consul.query.v1;
message QueryOptions {
}
message QueryMeta {
}
message WriteOptions {
}
"""


def read(*patterns):
    texts = {}
    for pattern in patterns:
        for path in glob.glob(pattern, recursive=True):
            if "/internal/" in path:
                continue  # no part of the API
            with open(path, encoding="utf-8") as file:
                texts[path] = file.read()
    return texts


class DesignTest(unittest.TestCase):
    maxDiff = None

    def test_the_pages_and_the_protos_agree(self):
        api = read("docs/API.md")["docs/API.md"]
        pages, protos = read("docs/api/*.md"), read("proto/consul/**/*.proto")
        self.assertGreater(len(pages), 3)
        self.assertGreater(len(protos), 7)
        self.assertGreater(len(design.page_methods(api)), 100)
        self.assertEqual(design.problems(api, pages, protos), [])
        for path in pages:
            self.assertIn(path.removeprefix("docs/"), api, "no link leads to the page")

    def test_json_names_are_as_the_rule_has_them(self):
        self.assertEqual(list(design.misnamed(read("proto/consul/**/*.proto"))), [])


class FaultsTest(unittest.TestCase):
    def problems(self, api=API, page=PAGE, proto=PROTO):
        return design.problems(api, {"p.md": page}, {"a.proto": proto, "q.proto": QUERY})

    def test_nothing_is_wrong(self):
        self.assertEqual(self.problems(), [])

    def test_each_fault_is_found(self):
        for change in (
            ("a/{name} ", "a/{other} "),
            ("| Get |", "| List |"),
            ("| yes |", "| |"),
            ("{name} | |", "{name} | yes |"),
            ("| Put | W | PUT a/{name=**} | yes |\n", ""),
        ):
            self.assertTrue(self.problems(api=API.replace(*change)), change)
        for change in (
            ("consul.query.v1.QueryOptions options = 1;\n", ""),
            ("consul.query.v1.QueryMeta meta = 1;\n", ""),
            ("string name = 2;", "string name = 1;"),
            ("string name = 2;", "string Name = 2;"),
            ("string name = 2;", "int name = 2;"),
            ("string name = 2;", "string name;"),
            ("Thing thing = 2;", "Thong thing = 2;"),
            ("  Size size = 2;\n", ""),  # nothing leads to Size
            ("Size size = 2;", "Size size = 1;"),
            ("Size size = 2;", "Size id = 2;"),
            ("SIZE_UNSPECIFIED = 0", "SIZE_UNSPECIFIED = 2"),
            ("message Thing {", "message GetRequest {"),
        ):
            self.assertTrue(self.problems(page=PAGE.replace(*change)), change)
        self.assertTrue(self.problems(proto=PROTO.replace("rpc Put(", "rpc Set(")))

    def test_json_names(self):
        for name, wanted in (
            ("id", "ID"), ("check_id", "CheckID"), ("ignore_check_ids", "IgnoreCheckIDs"),
            ("max_token_ttl", "MaxTokenTTL"), ("http", "HTTP"), ("l_time", "LTime"),
        ):
            self.assertEqual(design.json_name(name), wanted)
        self.assertEqual(list(design.misnamed({"a": PROTO})), [])
        wrong = PROTO.replace('"ID"', '"Id"')
        self.assertEqual(list(design.misnamed({"a": wrong})), [("consul.a.v1.Thing.id", "Id")])
