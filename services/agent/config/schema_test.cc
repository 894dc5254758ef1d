#include "services/agent/config/schema.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/agent/config/config_dump.h"
#include "services/agent/config/load.h"
#include "services/agent/config/merge.h"
#include "services/agent/config/parse.h"

namespace consul::agent::config {
namespace {

TEST(SchemaTest, KeysAreSortedAndUnique) {
  const auto& keys = Keys();
  for (size_t i = 1; i < keys.size(); ++i) EXPECT_LT(keys[i - 1].path, keys[i].path);
  EXPECT_GT(keys.size(), 350u);
}

TEST(SchemaTest, EveryParentIsAnObjectOfTheTable) {
  for (const Key& key : Keys()) {
    const size_t dot = key.path.rfind('.');
    if (dot == std::string_view::npos) continue;
    const Key* parent = FindKey(key.path.substr(0, dot));
    ASSERT_NE(parent, nullptr) << key.path;
    EXPECT_EQ(parent->type, KeyType::kObject) << key.path;
  }
}

TEST(SchemaTest, EveryKeyIsFoundInEitherCase) {
  for (const Key& key : Keys()) {
    std::string upper(key.path);
    std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
    EXPECT_EQ(FindKey(upper), &key);
  }
  EXPECT_EQ(FindKey(""), nullptr);
  EXPECT_EQ(FindKey("ports."), nullptr);
  EXPECT_EQ(FindKey("zz"), nullptr);
}

// A value that the key's type takes and that is not absent.
Value Sample(const Key& key) {
  switch (key.type) {
    case KeyType::kBool: return Value(true);
    case KeyType::kInteger: return Value(1);
    case KeyType::kNumber: return Value(1.5);
    case KeyType::kString: return Value("x");
    case KeyType::kDuration: return Value("1s");
    case KeyType::kStringList: return Value(List{Value("x")});
    case KeyType::kStringMap:
    case KeyType::kObject:
    case KeyType::kAny: break;
  }
  Value map;
  map.Set("x", "y");
  return map;
}

// Every key of the table, alone in a file: it works, or is warned of by name, or refused by name.
TEST(SchemaTest, EveryKeyWorksOrIsNamed) {
  for (const Key& key : Keys()) {
    if (key.type == KeyType::kObject) continue;
    SCOPED_TRACE(std::string(key.path));
    Value tree;
    tree.Set(key.path, Sample(key));
    std::vector<std::string> warnings;
    const absl::Status status = CheckAgainstSchema("f.json", &tree, &warnings);
    const std::string name = "config key \"" + std::string(key.path) + "\" in f.json ";
    switch (key.use) {
      case KeyUse::kWorks:
        EXPECT_TRUE(status.ok());
        EXPECT_TRUE(warnings.empty());
        break;
      case KeyUse::kNoEffect:
        EXPECT_TRUE(status.ok());
        EXPECT_EQ(warnings, std::vector<std::string>{name + "is known but has no effect yet"});
        break;
      case KeyUse::kRefused:
      case KeyUse::kRefusedIfTrue:
      case KeyUse::kRefusedUnlessAllow:
        EXPECT_NE(std::string(status.message()).find(name + "is not supported yet"),
                  std::string::npos);
        break;
    }
  }
}

// The lines of testdata/working_keys.txt: each key that works and a value of it, as JSON.
std::vector<std::pair<std::string, Value>> WorkingKeys() {
  std::ifstream file("services/agent/config/testdata/working_keys.txt");
  std::vector<std::pair<std::string, Value>> keys;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.find(' ');
    const auto parsed = ParseJson("{\"v\":" + line.substr(space + 1) + "}", "");
    keys.emplace_back(line.substr(0, space), parsed.ok() ? *parsed->Find("v") : Value());
  }
  return keys;
}

// That a key works is said twice, so that it is never said by accident.
TEST(SchemaTest, TheKeysThatWorkAreTheListed) {
  std::vector<std::string> listed;
  for (const auto& [path, value] : WorkingKeys()) listed.push_back(path);
  std::vector<std::string> works;
  for (const Key& key : Keys()) {
    if (key.use == KeyUse::kWorks && key.type != KeyType::kObject) works.emplace_back(key.path);
  }
  EXPECT_EQ(works, listed);
}

// A key that works is carried by a field: its value changes the Config, and without a warning.
TEST(SchemaTest, EveryKeyThatWorksChangesTheConfig) {
  const Machine machine{"h", "10.0.0.1", "", {}};
  Sources plain;
  plain.flags.Set("data_dir", "/data");
  plain.flags.Set("server", true);
  const auto before = Load(plain, machine);
  ASSERT_TRUE(before.ok()) << before.status();
  for (const auto& [path, value] : WorkingKeys()) {
    Sources sources = plain;
    sources.flags.Set(path, value);
    const auto after = Load(sources, machine);
    ASSERT_TRUE(after.ok()) << path << ": " << after.status();
    EXPECT_NE(Dump(after->config), Dump(before->config)) << path;
    for (const std::string& warning : after->warnings) {
      EXPECT_EQ(warning.find("no effect"), std::string::npos) << warning;
    }
  }
}

// Without a key that works below it, an object does not work either.
TEST(SchemaTest, AnObjectWorksIfAKeyBelowItDoes) {
  std::map<std::string, bool> objects;
  for (const Key& key : Keys()) {
    if (key.type == KeyType::kObject) {
      objects[std::string(key.path)];
    } else if (key.use == KeyUse::kWorks) {
      for (size_t dot = 0; (dot = key.path.find('.', dot)) != std::string_view::npos; ++dot) {
        objects[std::string(key.path.substr(0, dot))] = true;
      }
    }
  }
  for (const auto& [path, works] : objects) {
    EXPECT_EQ(FindKey(path)->use == KeyUse::kWorks, works) << path;
  }
}

// A wrong type is a fault of every key that has one.
TEST(SchemaTest, EveryKeyHoldsToItsType) {
  for (const Key& key : Keys()) {
    if (key.type == KeyType::kAny) continue;
    Value tree;
    const bool takes_text = key.type == KeyType::kString || key.type == KeyType::kDuration;
    tree.Set(key.path, takes_text ? Value(true) : Value("no"));
    std::vector<std::string> warnings;
    const absl::Status status = CheckAgainstSchema("f.json", &tree, &warnings);
    EXPECT_NE(std::string(status.message()).find("'" + std::string(key.path) + "' expected type"),
              std::string::npos)
        << key.path << ": " << status;
  }
}

TEST(SchemaTest, NothingOfAbsentValuesIsLeft) {
  Value tree;
  tree.Set("node_name", "");
  tree.Set("data_dir", nullptr);
  tree.Set("recursors", List());
  tree.Set("acl.tokens", Object());
  tree.Set("encrypt", "");
  std::vector<std::string> warnings;
  EXPECT_TRUE(CheckAgainstSchema("f.json", &tree, &warnings).ok());
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(tree.ToJson(), "{}");
}

Value Tree(std::string_view path, Value value) {
  Value tree;
  tree.Set(path, std::move(value));
  return tree;
}

TEST(MergeTest, AScalarReplaces) {
  Value base = Tree("a", 1);
  Merge(&base, Tree("a", "x"));
  EXPECT_EQ(base.ToJson(), "{\"a\":\"x\"}");
}

TEST(MergeTest, ListsAppend) {
  Value base = Tree("a", List{Value(1)});
  Merge(&base, Tree("a", List{Value(2), Value(1)}));
  EXPECT_EQ(base.ToJson(), "{\"a\":[1,2,1]}");
}

TEST(MergeTest, ObjectsMergeByKey) {
  Value base = Tree("a.b", 1);
  base.Set("a.c", 2);
  Merge(&base, Tree("a.c", 3));
  Merge(&base, Tree("a.d.e", 4));
  EXPECT_EQ(base.ToJson(), "{\"a\":{\"b\":1,\"c\":3,\"d\":{\"e\":4}}}");
}

TEST(MergeTest, AbsentChangesNothing) {
  Value base = Tree("a", 1);
  Merge(&base, Value());
  Merge(&base, Tree("a", nullptr));
  Merge(&base, Tree("a", ""));
  Merge(&base, Tree("a", Object()));
  EXPECT_EQ(base.ToJson(), "{\"a\":1}");
}

TEST(MergeTest, RepeatedKeysOfOneObjectFold) {
  Object repeated;
  repeated.emplace_back("a", Tree("b", 1));
  repeated.emplace_back("a", Tree("c", 2));
  repeated.emplace_back("d", 1);
  repeated.emplace_back("d", 2);
  Value base;
  Merge(&base, Value(repeated));
  EXPECT_EQ(base.ToJson(), "{\"a\":{\"b\":1,\"c\":2},\"d\":2}");
}

}  // namespace
}  // namespace consul::agent::config
