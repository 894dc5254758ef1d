// Random commands against the promises of versioned.h and the tables, checked after every batch:
// indexes never fall, a place's index moves exactly when something there was touched, indexes of
// tables agree with their rows, and the same log in other batches, or taken up from a snapshot in
// the middle, gives the same bytes.
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

std::string Bytes(const Version& version) {
  std::string bytes;
  EXPECT_TRUE(WriteSnapshot(version, StagedRestore(), [&bytes](std::string_view frame) {
                bytes.append(frame);
                return absl::OkStatus();
              }).ok());
  return bytes;
}

class Chance {
 public:
  explicit Chance(uint64_t seed) : random_(seed) {}
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }

  Command Next(uint64_t index) {
    Command command;
    command.set_min_version(1);
    command.set_proposed_at(index * 1'000'000'000'000);
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        auto* put = command.mutable_kv_put();
        put->set_key(Key());
        put->set_value(std::to_string(Below(3)));
        if (Below(4) == 0) put->set_cas(static_cast<uint64_t>(Below(static_cast<int>(index))));
        break;
      }
      case 4:
        command.mutable_kv_delete()->set_key(Key());
        if (Below(4) == 0) command.mutable_kv_delete()->set_cas(index / 2);
        break;
      case 5:
        command.mutable_kv_delete_tree()->set_prefix(Key());
        break;
      case 6:
      case 7:
      case 8:
        Register(command.mutable_catalog_register());
        break;
      case 9: {
        auto* deregister = command.mutable_catalog_deregister();
        deregister->set_node(Node());
        if (Below(2) == 0) deregister->set_service_id(Service());
        if (Below(4) == 0) deregister->set_check_id("c" + std::to_string(Below(3)));
        if (Below(8) == 0) deregister->set_left_generation("g" + std::to_string(Below(3)));
        break;
      }
      case 10:
        if (Below(6) == 0) {
          command.mutable_collect_tombstones()->set_index(index - index / 8);
        } else {
          command.mutable_kv_put()->set_key(Key());
        }
        break;
      default:
        if (Below(3) == 0) {
          command.mutable_set_cluster_version()->set_version(static_cast<uint32_t>(3 + Below(2)));
        } else {
          command.mutable_set_cluster_id()->set_cluster_id("cluster");
        }
        break;
    }
    return command;
  }

  std::string Key() {
    static const std::vector<std::string> kParts = {"a/", "b", "a", "c/", std::string(1, '\0')};
    std::string key;
    for (int n = 1 + Below(3); n > 0; --n) key += kParts[static_cast<size_t>(Below(5))];
    return key + std::to_string(Below(4));
  }
  std::string Node() { return (Below(2) == 0 ? "n" : "N") + std::to_string(Below(4)); }
  std::string Service() { return "s" + std::to_string(Below(3)); }

 private:
  void Register(internal::raft::v1::CatalogRegister* registration) {
    auto* node = registration->mutable_node();
    node->set_node(Node());
    if (Below(3) != 0) node->set_id("id" + std::to_string(Below(4)));
    node->set_address("10.0.0." + std::to_string(Below(3)));
    registration->set_skip_node_update(Below(3) == 0);
    if (Below(4) == 0) registration->set_generation("g" + std::to_string(Below(3)));
    registration->set_by_membership(Below(4) == 0);
    if (Below(2) == 0) {
      registration->mutable_service()->set_id(Service());
      registration->mutable_service()->set_service("web" + std::to_string(Below(2)));
      if (Below(2) == 0) registration->mutable_service()->add_tags("t");
    }
    for (int n = Below(3); n > 0; --n) {
      auto* check = registration->add_checks();
      check->set_check_id(Below(3) == 0 ? "serfHealth" : "c" + std::to_string(Below(3)));
      check->set_status(Below(2) == 0 ? health::v1::CHECK_STATUS_PASSING
                                      : health::v1::CHECK_STATUS_CRITICAL);
      if (Below(2) == 0) check->set_service_id(Service());
    }
  }
  std::mt19937_64 random_;
};

template <typename Spec>
void CheckTable(const Table<Spec>& table, uint64_t applied) {
  std::vector<std::set<std::string>> expected(Table<Spec>::kIndexCount);
  table.ForEach("", nullptr, [&](const typename Spec::Message& message) {
    EXPECT_GE(message.create_index(), 1u);
    EXPECT_LE(message.create_index(), message.modify_index());
    EXPECT_LE(message.modify_index(), applied);
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::string key = Spec::kIndexes[i].key(message);
      if (!key.empty()) {
        EXPECT_TRUE(expected[i].insert(key).second) << "two rows for " << key;
      }
    }
    return true;
  });
  size_t i = 0;
  table.ForEachMap([&](MapId map, const auto& indexed) {
    indexed.entries().CheckForTest();
    indexed.tombstones().CheckForTest();
    for (auto it = indexed.tombstones().Begin(); it.Valid(); it.Next()) {
      EXPECT_EQ(indexed.entries().Find(it->key()), nullptr);
    }
    if (map == Spec::kMap) return;
    std::set<std::string> keys;
    for (auto it = indexed.entries().Begin(); it.Valid(); it.Next()) keys.emplace(it->key());
    EXPECT_EQ(keys, expected[i]);
    ++i;
  });
}

void CheckReferences(const Version& version) {
  const auto has_node = [&version](const std::string& node) {
    return version.nodes().Find(NodeKey(node), nullptr) != nullptr;
  };
  version.services().ForEach("", nullptr, [&](const catalog::v1::Service& service) {
    EXPECT_TRUE(has_node(service.node()));
    return true;
  });
  version.checks().ForEach("", nullptr, [&](const health::v1::HealthCheck& check) {
    EXPECT_TRUE(has_node(check.node()));
    if (check.service_id().empty()) return true;
    const catalog::v1::Service* service =
        version.services().Find(OfNodeKey(check.node(), check.service_id()), nullptr);
    EXPECT_NE(service, nullptr);
    if (service != nullptr) {
      EXPECT_EQ(service->service(), check.service_name());
    }
    return true;
  });
}

// Places that are looked at after every batch, and what their indexes were.
class Places {
 public:
  explicit Places(Chance* chance) {
    for (int i = 0; i < 60; ++i) {
      Add(kKvMap, chance->Key());
      Add(kNodeMap, NodeKey(chance->Node()));
      Add(kServiceMap, OfNodeKey(chance->Node(), chance->Service()));
      Add(kCheckMap, OfNodePrefix(chance->Node()));
      Add(kServiceNameMap, OfServicePrefix("web" + std::to_string(i % 3)));
      Add(kServiceCheckMap, OfServicePrefix("web" + std::to_string(i % 3)));
      Add(kNodeIdMap, "id" + std::to_string(i % 5));
      Add(kNodeAddressMap, NodeAddressPrefix("10.0.0." + std::to_string(i % 4)));
    }
    for (uint16_t map = 1; map <= 8; ++map) Add(MapId{map}, "");
  }

  void Check(const Version& before, const Version& after, const SlotList& touched,
             bool collected) const {
    std::set<std::pair<MapId, std::string>> keys;
    for (size_t i = 0; i < touched.size(); ++i) {
      ASSERT_EQ(touched[i].kind, Slot::Kind::kKey);
      keys.emplace(touched[i].map, touched[i].bytes);
    }
    for (const auto& [map, bytes] : places_) {
      for (const Slot::Kind kind : {Slot::Kind::kKey, Slot::Kind::kPrefix}) {
        const uint64_t old_index = before.IndexOf(Slot{map, kind, bytes});
        const uint64_t new_index = after.IndexOf(Slot{map, kind, bytes});
        ASSERT_GE(new_index, old_index);
        bool hit = keys.contains({map, bytes});
        if (kind == Slot::Kind::kPrefix) {
          const auto at = keys.lower_bound({map, bytes});
          hit = at != keys.end() && at->first == map && at->second.starts_with(bytes);
        }
        // Collecting raises indexes of absent places to the floor, and wakes nobody.
        if (hit) {
          ASSERT_GT(new_index, before.index());
        } else if (!collected) {
          ASSERT_EQ(new_index, old_index);
        }
      }
    }
  }

 private:
  void Add(MapId map, const std::string& bytes) { places_.emplace(map, bytes); }
  std::set<std::pair<MapId, std::string>> places_;
};

void Apply(Fsm* fsm, const std::vector<std::string>& log, size_t from, size_t count,
           Fsm::Batch* batch) {
  std::vector<FsmEntry> entries;
  for (size_t i = from; i < from + count; ++i) entries.push_back({i + 1, true, log[i]});
  ASSERT_TRUE(fsm->ApplyBatch(entries, batch).ok());
}

class FsmRandomTest : public testing::TestWithParam<uint64_t> {};

TEST_P(FsmRandomTest, IndexesTablesAndWatchesAgreeAfterEveryBatch) {
  Chance chance(GetParam());
  const Places places(&chance);
  Fsm fsm;
  std::unique_ptr<const Version> before = fsm.MakeVersion();
  std::vector<std::string> log;
  for (int round = 0; round < 400; ++round) {
    const size_t from = log.size();
    bool collected = false;
    for (int n = 1 + chance.Below(4); n > 0; --n) {
      const Command command = chance.Next(log.size() + 1);
      collected = collected || command.has_collect_tombstones();
      log.push_back(command.SerializeAsString());
    }
    Fsm::Batch batch;
    Apply(&fsm, log, from, log.size() - from, &batch);
    places.Check(*before, *batch.version, batch.touched, collected);
    CheckTable(batch.version->kv(), fsm.applied_index());
    CheckTable(batch.version->nodes(), fsm.applied_index());
    CheckTable(batch.version->services(), fsm.applied_index());
    CheckTable(batch.version->checks(), fsm.applied_index());
    CheckReferences(*batch.version);
    if (HasFatalFailure() || HasNonfatalFailure()) {
      FAIL() << "seed " << GetParam() << " round " << round;
    }
    before = std::move(batch.version);
  }
}

TEST_P(FsmRandomTest, TheSameLogGivesTheSameBytesHoweverItIsCut) {
  Chance chance(GetParam());
  std::vector<std::string> log;
  for (size_t i = 0; i < 800; ++i) log.push_back(chance.Next(i + 1).SerializeAsString());
  Fsm one;
  Fsm::Batch whole;
  Apply(&one, log, 0, log.size(), &whole);

  Fsm many;
  std::vector<std::unique_ptr<const Version>> held;
  std::vector<CommandResult> results;
  size_t at = 0;
  while (at < log.size()) {
    const size_t count = std::min<size_t>(log.size() - at, 1 + chance.Below(20));
    Fsm::Batch batch;
    Apply(&many, log, at, count, &batch);
    at += count;
    results.insert(results.end(), batch.results.begin(), batch.results.end());
    if (chance.Below(3) == 0) held.push_back(std::move(batch.version));
  }
  EXPECT_EQ(Bytes(*whole.version), Bytes(*many.MakeVersion()));
  ASSERT_EQ(results.size(), whole.results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].applied, whole.results[i].applied);
    EXPECT_EQ(results[i].text, whole.results[i].text);
  }

  const size_t middle = static_cast<size_t>(chance.Below(static_cast<int>(log.size())));
  Fsm first;
  Fsm::Batch batch;
  Apply(&first, log, 0, middle, &batch);
  SnapshotReader reader;
  ASSERT_TRUE(reader.Add(Bytes(*first.MakeVersion())).ok());
  auto tables = reader.Finish();
  ASSERT_TRUE(tables.ok()) << tables.status();
  Fsm second(*std::move(tables));
  Fsm::Batch rest;
  Apply(&second, log, middle, log.size() - middle, &rest);
  EXPECT_EQ(Bytes(*whole.version), Bytes(*rest.version)) << "cut at " << middle;
}

INSTANTIATE_TEST_SUITE_P(Seeds, FsmRandomTest, testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace consul::state
