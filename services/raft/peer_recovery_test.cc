// Recovery by peers.json: what may stand in it, what it makes of a log, and that a stop in the
// middle of it does no harm.
#include "services/raft/peer_recovery.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "services/raft/log_store.h"
#include "services/raft/node_fixture.h"

namespace consul::raft {
namespace {

using base::StrCat;
using base::Unsynced;

constexpr char kOneServer[] = R"([{"id": "node-a", "address": "10.1.10.38:8300"}])";

std::string Told(std::string_view text) {
  const auto configuration = ParsePeersJson(text);
  if (configuration.ok()) return "";
  EXPECT_EQ(configuration.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string_view message = base::ToStd(configuration.status().message());
  constexpr std::string_view kPrefix = "recovery failed to parse peers.json: ";
  EXPECT_TRUE(message.starts_with(kPrefix)) << message;
  return std::string(message.substr(kPrefix.size()));
}

TEST(PeersJsonTest, ServersAndWhetherTheyVote) {
  const auto configuration = ParsePeersJson(
      R"([{"id": "b", "address": "10.0.0.2:8300", "non_voter": false},
          {"id": "a", "address": "10.0.0.1:8300"},
          {"id": "c", "address": "10.0.0.3:8300", "non_voter": true}])");
  ASSERT_TRUE(configuration.ok()) << configuration.status();
  EXPECT_EQ(*configuration, Configuration({{ServerId{"a"}, MemberKind::kVoter},
                                           {ServerId{"b"}, MemberKind::kVoter},
                                           {ServerId{"c"}, MemberKind::kLearner}}));
}

TEST(PeersJsonTest, WhatIsWrongIsSaid) {
  EXPECT_EQ(Told(R"(["10.0.0.1:8300", "10.0.0.2:8300"])"),
            "it is a list of addresses, the form of raft protocol 2; what is read is a list of "
            "{\"id\": NODE ID, \"address\": IP:PORT, \"non_voter\": false}");
  EXPECT_EQ(Told("{}"), "it is no list of servers");
  EXPECT_EQ(Told("[1]"), "it is no list of servers");
  EXPECT_EQ(Told("[]"), "it names no server that votes");
  EXPECT_EQ(Told(R"([{"id": "a", "address": "x", "non_voter": true}])"),
            "it names no server that votes");
  EXPECT_EQ(Told(R"([{"address": "x"}])"), "a server has no \"id\"");
  EXPECT_EQ(Told(R"([{"id": "", "address": "x"}])"), "a server has no \"id\"");
  EXPECT_EQ(Told(R"([{"id": "a"}])"), "a server has no \"address\"");
  EXPECT_EQ(Told(R"([{"id": "a", "address": "x", "non_voter": 1}])"),
            "\"non_voter\" is to be true or false");
  EXPECT_EQ(Told(R"([{"id": "a", "address": "x"}, {"id": "a", "address": "y"}])"),
            "it names a twice");
  EXPECT_EQ(Told(StrCat(R"([{"id": ")", std::string(256, 'i'), R"(", "address": "x"}])")),
            "an id is longer than 255 bytes");
  EXPECT_EQ(Told(std::string(kPeersJsonBytesMax + 1, ' ')), "it is larger than 65536 bytes");
  std::string many = "[";
  for (int i = 0; i < 65; ++i) {
    many += StrCat(i == 0 ? "" : ",", R"({"id": "n)", i, R"(", "address": "x"})");
  }
  EXPECT_EQ(Told(many + "]"), "it names more than 64 servers");
  EXPECT_NE(Told("[{"), "");
}

TEST(RecoveryFileTest, IsReadBackAndNoDamageGoesUnnoticed) {
  PeerRecovery recovery;
  recovery.configuration = Configuration({{ServerId{"a"}, MemberKind::kVoter}});
  recovery.voided = {{Index{1}, Term{1}}, {Index{77}, Term{4}}};
  const std::string bytes = EncodeRecovery(recovery);
  const auto read = DecodeRecovery(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->configuration, recovery.configuration);
  EXPECT_EQ(read->voided, recovery.voided);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(DecodeRecovery(damaged).ok()) << i;
    EXPECT_FALSE(DecodeRecovery(std::string_view(bytes).substr(0, i)).ok()) << i;
  }
}

Configuration Of(std::vector<std::string> ids) {
  std::vector<Member> members;
  for (std::string& id : ids) members.push_back({ServerId{std::move(id)}, MemberKind::kVoter});
  return Configuration(std::move(members));
}

TEST(ApplyRecoveryTest, OnlyTheEntriesThatItKnewAreVoid) {
  Restart restart;
  restart.log_last = Index{9};
  restart.term_runs = {{Index{1}, Term{1}}, {Index{5}, Term{3}}};
  restart.configurations = {{Index{1}, Of({"a", "b", "c"})}, {Index{6}, Of({"a", "b"})}};
  const PeerRecovery recovery = MakeRecovery(Of({"a"}), restart);
  EXPECT_EQ(recovery.voided, (std::vector<PeerRecovery::Entry>{{Index{1}, Term{1}},
                                                               {Index{6}, Term{3}}}));
  // Another leader has since put its own entry in the place of one of them, and one behind it.
  restart.term_runs = {{Index{1}, Term{1}}, {Index{5}, Term{3}}, {Index{6}, Term{7}}};
  restart.configurations = {{Index{1}, Of({"a", "b", "c"})},
                            {Index{6}, Of({"a", "d"})},
                            {Index{8}, Of({"a", "d", "e"})}};
  ApplyRecovery(recovery, &restart);
  EXPECT_EQ(restart.configurations,
            (std::vector<PlacedConfiguration>{{Index{1}, Of({"a"})},
                                              {Index{6}, Of({"a", "d"})},
                                              {Index{8}, Of({"a", "d", "e"})}}));
  EXPECT_FALSE(IsObsolete(recovery, restart));
}

TEST(ApplyRecoveryTest, ASnapshotBehindItHasItsConfiguration) {
  Restart restart;
  restart.log_last = Index{9};
  restart.term_runs = {{Index{1}, Term{1}}};
  restart.configurations = {{Index{1}, Of({"a", "b"})}, {Index{6}, Of({"a", "c"})}};
  const PeerRecovery recovery = MakeRecovery(Of({"a"}), restart);
  restart.snapshot.index = Index{5};
  restart.snapshot.configuration = {Index{1}, Of({"a"})};
  restart.configurations.erase(restart.configurations.begin());
  ApplyRecovery(recovery, &restart);
  EXPECT_TRUE(restart.configurations.empty()) << "entry 6 is still void";
  EXPECT_FALSE(IsObsolete(recovery, restart));
  restart.snapshot.index = Index{6};
  EXPECT_TRUE(IsObsolete(recovery, restart));
}

// A server of three, on a disk of its own; the two others are gone.
class PeerRecoveryTest : public NodeTest {
 protected:
  PeerRecoveryTest() { Prepare(); }

  // The log that it is left with: the cluster, six commands, a change of members, two more.
  void Prepare() {
    auto log = LogStore::Open({.file_system = &fs_, .directory = "data/raft", .salt_seed = 1});
    ASSERT_TRUE(log.ok()) << log.status();
    Persist persist;
    persist.id = PersistId{1};
    persist.hard_state = HardState{Term{2}, ServerId{}};
    for (uint64_t i = 1; i <= 10; ++i) {
      Entry entry{Term{i < 8 ? 1u : 2u}, Index{i}, EntryKind::kCommand,
                  MakeBuffer(StrCat("command ", i))};
      if (i == 1 || i == 8) {
        entry.kind = EntryKind::kConfiguration;
        entry.payload = MakeBuffer(
            (i == 1 ? Of({"node-a", "node-b", "node-c"}) : Of({"node-a", "node-b"})).Encode());
      }
      persist.entries.push_back(std::move(entry));
    }
    ASSERT_TRUE((*log)->Append({&persist, 1}).ok());
  }

  NodeOptions Joined() {
    NodeOptions options = OptionsOf();
    options.bootstrap = false;
    return options;
  }
  void WriteFile(const std::string& name, std::string_view text) {
    auto file = fs_.Create(StrCat("data/raft/", name));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->WriteAt(0, text).ok());
    ASSERT_TRUE((*file)->SyncData().ok());
    ASSERT_TRUE(fs_.SyncDirectory("data/raft").ok());
  }
  bool Exists(const std::string& name) { return fs_.Open(StrCat("data/raft/", name)).ok(); }
  std::vector<std::string> Members() {
    std::vector<std::string> ids;
    const PlacedConfiguration placed = node_->configuration();
    for (const Member& member : placed.configuration.members()) ids.push_back(member.id.value);
    return ids;
  }
  void ExpectRecovered() {
    WaitUntilReady();
    EXPECT_EQ(Members(), std::vector<std::string>{"node-a"});
    const std::vector<std::string> commands = machine_->commands();
    ASSERT_GE(commands.size(), 8u);
    EXPECT_EQ(commands[0], "command 2");
    EXPECT_EQ(commands[7], "command 10");
  }
};

TEST_F(PeerRecoveryTest, AServerThatIsLeftAloneLeadsWithAllOfItsLog) {
  WriteFile("peers.json", kOneServer);
  ASSERT_TRUE(Open(Joined()).ok());
  ExpectRecovered();
  EXPECT_FALSE(Exists("peers.json"));
  EXPECT_EQ(log_[0], "[INFO] raft: found peers.json file, recovering Raft configuration...");
  EXPECT_EQ(log_[1], "[INFO] raft: deleted peers.json file after successful recovery");
  EXPECT_EQ(fs_.Contents("data/raft/peers.info"), PeersInfoText());
  ASSERT_TRUE(ProposeAndWait("later").ok());
  // And again at every start from now on.
  for (int i = 0; i < 2; ++i) {
    node_->Stop();
    ASSERT_TRUE(Open(Joined()).ok());
    ExpectRecovered();
    EXPECT_EQ(machine_->commands().back(), "later");
  }
}

TEST_F(PeerRecoveryTest, WithoutTheFileItWaitsForTheOthers) {
  ASSERT_TRUE(Open(Joined()).ok());
  EXPECT_EQ(Members(), (std::vector<std::string>{"node-a", "node-b"}));
  EXPECT_TRUE(Exists("peers.info"));
}

TEST_F(PeerRecoveryTest, ItHoldsThroughSnapshotsAndIsForgottenWhenTheyCoverIt) {
  WriteFile("peers.json", kOneServer);
  NodeOptions options = Joined();
  options.snapshots = {.entries_min = 20,
                       .bytes_min = uint64_t{1} << 40,
                       .interval = Duration{0},
                       .trailing_entries = 1000,
                       .trailing_bytes_max = uint64_t{1} << 40};
  ASSERT_TRUE(Open(options).ok());
  ExpectRecovered();
  EXPECT_TRUE(Exists("recovered.peers"));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(ProposeAndWait(StrCat("more ", i)).ok());
  WaitForLine("[INFO] raft: snapshot complete");
  node_->Stop();
  ASSERT_TRUE(Open(options).ok());
  ExpectRecovered();
  EXPECT_GT(machine_->restored(), Index{0});
  EXPECT_FALSE(Exists("recovered.peers"));
  node_->Stop();
  ASSERT_TRUE(Open(options).ok());
  ExpectRecovered();
}

TEST_F(PeerRecoveryTest, ASecondOneWorksOnASnapshot) {
  WriteFile("peers.json", kOneServer);
  NodeOptions options = Joined();
  options.snapshots = {.entries_min = 20,
                       .bytes_min = uint64_t{1} << 40,
                       .interval = Duration{0},
                       .trailing_entries = 3,
                       .trailing_bytes_max = 1};
  ASSERT_TRUE(Open(options).ok());
  ExpectRecovered();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(ProposeAndWait(StrCat("more ", i)).ok());
  WaitForLine("[INFO] raft: snapshot complete");
  node_->Stop();
  WriteFile("peers.json", R"([{"id": "node-a", "address": "x"}, {"id": "z", "address": "y"}])");
  ASSERT_TRUE(Open(options).ok());
  EXPECT_EQ(Members(), (std::vector<std::string>{"node-a", "z"}));
  node_->Stop();
  ASSERT_TRUE(Open(options).ok());
  EXPECT_EQ(Members(), (std::vector<std::string>{"node-a", "z"}));
  node_->Stop();
  WriteFile("peers.json", kOneServer);
  ASSERT_TRUE(Open(options).ok());
  ExpectRecovered();
}

TEST_F(PeerRecoveryTest, WhatItCannotBeAboutIsRefusedAndStays) {
  WriteFile("peers.json", R"([{"id": "z", "address": "y"}])");
  EXPECT_EQ(Open(Joined()).message(),
            "recovery failed: peers.json does not name this server, node id node-a");
  EXPECT_TRUE(Exists("peers.json"));
  ASSERT_TRUE(fs_.Remove("data/raft/peers.json").ok());
  WriteFile("peers.json", R"(["10.0.0.1:8300"])");
  EXPECT_EQ(Open(Joined()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Exists("peers.json"));
  EXPECT_FALSE(Exists("recovered.peers"));
  NodeOptions empty = Joined();
  empty.directory = "other/raft";
  ASSERT_TRUE(fs_.CreateDirectories("other/raft").ok());
  auto file = fs_.Create("other/raft/peers.json");
  ASSERT_TRUE(file.ok() && (*file)->WriteAt(0, kOneServer).ok());
  EXPECT_EQ(Open(empty).message(),
            "recovery failed: this server has no log that peers.json could be about");
}

// Goal: whenever the machine stops in a recovery, the next start ends it, or has it before it.
// Method: the disk stops at each operation in turn, and comes up in every way it may.
TEST_F(PeerRecoveryTest, ACrashAtAnyOperationDoesNoHarm) {
  WriteFile("peers.json", kOneServer);
  uint64_t operation = 0;
  for (bool crashed = true; crashed; ++operation) {
    const auto names = fs_.List("data/raft");
    ASSERT_TRUE(names.ok());
    for (const std::string& name : *names) fs_.Remove(StrCat("data/raft/", name)).IgnoreError();
    Prepare();
    WriteFile("peers.json", kOneServer);
    fs_.CrashAtOperation(operation);
    if (Open(Joined()).ok()) {
      while (!node_->status().leader_ready && !fs_.crashed()) {
        base::MutexLock lock(&mutex_);
        changed_.WaitFor(&mutex_, std::chrono::milliseconds(1));
      }
      node_->Stop();
    }
    crashed = fs_.crashed();
    node_.reset();
    fs_.Crash();
    fs_.Restart(static_cast<Unsynced>(operation % 3));
    const absl::Status status = Open(Joined());
    ASSERT_TRUE(status.ok()) << "operation " << operation << ": " << status;
    ExpectRecovered();
    EXPECT_FALSE(Exists("peers.json"));
    node_->Stop();
    node_.reset();
  }
  EXPECT_GT(operation, 15u);
}

}  // namespace
}  // namespace consul::raft
