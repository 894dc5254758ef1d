// SnapshotService: saves as their callers take them, restores by calls of the agent's own.
#include "services/api/snapshot_handlers.h"

#include <google/protobuf/descriptor.h>

#include <chrono>
#include <thread>

#include "consul/internal/raft/v1/command.pb.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "gtest/gtest.h"
#include "services/api/test_call.h"
#include "services/archive/archive.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"

namespace consul::api {
namespace {

using snapshot::v1::RestoreRequest;
using snapshot::v1::RestoreResponse;
using snapshot::v1::SaveRequest;
using snapshot::v1::SaveResponse;

constexpr std::chrono::seconds kPatience{20};

class FakeConsensus : public rpc::Consensus {
 public:
  View view() const override {
    View view;
    view.leader_known = true;
    view.last_contact = std::chrono::milliseconds(1070);  // a follower's
    return view;
  }
  void Propose(state::SealedCommand, std::function<void(absl::StatusOr<rpc::Applied>)>) override {}
  void ReadBarrier(rpc::ReadMode, std::function<void(absl::Status)> done) override {
    ++barriers;
    if (hold) {
      held = std::move(done);
    } else {
      done(barrier);
    }
  }
  absl::Status barrier;
  bool hold = false;
  std::function<void(absl::Status)> held;
  int barriers = 0;
};

class SaveCall : public TestCall<SaveRequest, SaveResponse> {
 public:
  explicit SaveCall(rpc::Executor* executor)
      : TestCall("consul.snapshot.v1.SnapshotService/Save", executor) {}
  std::string Bytes() const {
    std::string bytes;
    for (const SaveResponse& message : messages) bytes += message.part().bytes();
    return bytes;
  }
};

class SnapshotSavesTest : public testing::Test {
 protected:
  SnapshotSavesTest() {
    std::string value;
    for (uint64_t i = 0; i < 1000; ++i) {
      // Noise: an archive of several parts.
      for (int j = 0; j < 600; ++j) {
        seed_ = seed_ * 6364136223846793005 + 1;
        value += static_cast<char>(seed_ >> 33);
      }
      internal::raft::v1::Command command;
      command.mutable_kv_put()->set_key("key" + std::to_string(i));
      command.mutable_kv_put()->set_value(std::exchange(value, ""));
      const std::string bytes = command.SerializeAsString();
      const state::FsmEntry entry{i + 1, true, bytes};
      state::Fsm::Batch batch;
      EXPECT_TRUE(fsm_.ApplyBatch({&entry, 1}, &batch).ok());
    }
    source_.Publish(fsm_.MakeVersion(), {});
    saves_ = std::make_unique<SnapshotSaves>(&consensus_, &source_, [] { return 3; });
  }
  ~SnapshotSavesTest() override {
    saves_.reset();
    executor_.RunAll();
    source_.FreeRetired();
  }
  template <typename Ready>
  void RunUntil(Ready ready) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!ready()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      executor_.RunAll();
      std::this_thread::yield();
    }
  }

  uint64_t seed_ = 1;
  state::Fsm fsm_;
  state::VersionSource source_{fsm_.MakeVersion()};
  FakeConsensus consensus_;
  TestExecutor executor_;
  std::unique_ptr<SnapshotSaves> saves_;
};

TEST_F(SnapshotSavesTest, ThePartsAreAnArchive) {
  SaveCall call(&executor_);
  saves_->Start(&call);
  RunUntil([&call] { return call.done == 1; });
  ASSERT_TRUE(call.status.ok()) << call.status;
  EXPECT_EQ(consensus_.barriers, 1);
  ASSERT_GT(call.messages.size(), 2u);
  EXPECT_EQ(call.messages[0].meta().index(), 1000u);
  EXPECT_TRUE(call.messages[0].meta().known_leader());
  // What the leader vouches for is as fresh as his own.
  EXPECT_EQ(call.messages[0].meta().last_contact().seconds(), 0);
  EXPECT_EQ(call.messages[0].meta().last_contact().nanos(), 0);
  EXPECT_FALSE(call.messages[1].has_meta());
  for (const SaveResponse& message : call.messages) EXPECT_FALSE(message.part().bytes().empty());
  const std::string bytes = call.Bytes();
  const auto meta = archive::ReadArchive(archive::SourceOf(bytes),
                                         [](std::string_view) { return absl::OkStatus(); });
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(meta->index, 1000u);
  EXPECT_EQ(meta->term, 3u);
}

// The commit would refuse it on every server; nobody has to send all of it to learn that.
TEST_F(SnapshotSavesTest, AStateInAFormatThatTheClusterDoesNotKnowIsRefusedAtItsFirstChunk) {
  const auto raise = [](state::Fsm* fsm) {
    internal::raft::v1::Command command;
    command.mutable_set_cluster_version()->set_version(4);
    const std::string bytes = command.SerializeAsString();
    const state::FsmEntry entry{fsm->applied_index() + 1, true, bytes};
    state::Fsm::Batch batch;
    EXPECT_TRUE(fsm->ApplyBatch({&entry, 1}, &batch).ok());
  };
  state::Fsm other;
  raise(&other);
  std::string newer;
  ASSERT_TRUE(state::WriteSnapshot(*other.MakeVersion(), other.staged(),
                                   [&newer](std::string_view frame) {
                                     newer += frame;
                                     return absl::OkStatus();
                                   }).ok());
  rpc::Handlers handlers(rpc::PublicApi());
  RegisterSnapshots(saves_.get(), &source_, &handlers);
  const auto& stage = std::get<rpc::WriteHandler>(handlers.Of(
      rpc::PublicApi().Get("/consul.snapshot.v1.SnapshotService/StageRestore")));
  const auto told = [&](uint64_t offset, const std::string& chunk) {
    snapshot::v1::StageRestoreRequest request;
    request.set_id("r");
    request.set_offset(offset);
    request.set_chunk(chunk);
    state::SealedCommand command;
    const absl::Status status = stage.prepare(request, &command);
    EXPECT_EQ(status.ok(), command.cluster_version_min == 3u);
    return status;
  };
  const absl::Status status = told(0, newer);
  EXPECT_EQ(rpc::Detail(status).reason(), errors::v1::REASON_CLUSTER_TOO_OLD);
  EXPECT_EQ(status.message(),
            "snapshot restore: snapshot: format 3 needs state machine version 4, and the cluster "
            "is at version 3");
  EXPECT_TRUE(told(0, "what is no state").ok()) << "that is the commit's to say";
  EXPECT_TRUE(told(100, newer).ok()) << "in the middle it says nothing of a format";
  raise(&fsm_);
  source_.Publish(fsm_.MakeVersion(), {});
  EXPECT_TRUE(told(0, newer).ok());
}

TEST_F(SnapshotSavesTest, ACallerThatTakesNoMoreIsAskedAgain) {
  SaveCall call(&executor_);
  call.messages_max = 0;
  saves_->Start(&call);
  for (const int taken : {1, 2}) {
    RunUntil([&call, taken] { return static_cast<int>(call.messages.size()) == taken - 1; });
    call.messages_max = taken;
    RunUntil([&call, taken] { return static_cast<int>(call.messages.size()) == taken; });
    EXPECT_EQ(call.done, 0);
  }
  call.messages_max = 1 << 20;
  RunUntil([&call] { return call.done == 1; });
  EXPECT_TRUE(call.status.ok());
  const std::string bytes = call.Bytes();
  EXPECT_TRUE(archive::ReadArchive(archive::SourceOf(bytes), [](std::string_view) {
                return absl::OkStatus();
              }).ok());
}

TEST_F(SnapshotSavesTest, WithoutALeaderOnlyAStaleOneIsGiven) {
  consensus_.barrier = rpc::Error(errors::v1::REASON_NO_LEADER, "No cluster leader");
  SaveCall call(&executor_);
  saves_->Start(&call);
  RunUntil([&call] { return call.done == 1; });
  EXPECT_EQ(call.status.message(), "No cluster leader");
  SaveCall stale(&executor_);
  stale.request_to_fill().mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
  saves_->Start(&stale);
  RunUntil([&stale] { return stale.done == 1; });
  EXPECT_TRUE(stale.status.ok()) << stale.status;
  EXPECT_EQ(stale.messages.at(0).meta().last_contact().seconds(), 1);
  EXPECT_EQ(stale.messages.at(0).meta().last_contact().nanos(), 70'000'000);
  EXPECT_EQ(consensus_.barriers, 1);
}

TEST_F(SnapshotSavesTest, OnesThatWereGivenUpLeaveRoom) {
  for (const bool in_barrier : {true, false}) {
    consensus_.hold = in_barrier;
    for (size_t i = 0; i < 2 * SnapshotSaves::kRunningMax; ++i) {
      SaveCall call(&executor_);
      call.messages_max = 0;
      saves_->Start(&call);
      ASSERT_EQ(call.done, 0) << call.status;
      call.waiting->Cancel();
      EXPECT_EQ(call.done, 1);
      EXPECT_TRUE(absl::IsCancelled(call.status));
      // Its thread finds out when it has a part to give.
      saves_->Stop();
      saves_ = std::make_unique<SnapshotSaves>(&consensus_, &source_, [] { return 3; });
    }
    // A barrier that is told late is nobody's.
    if (in_barrier) consensus_.held(absl::OkStatus());
    executor_.RunAll();
  }
}

TEST_F(SnapshotSavesTest, ThereIsALimitAndAnEnd) {
  std::vector<std::unique_ptr<SaveCall>> calls;
  for (size_t i = 0; i <= SnapshotSaves::kRunningMax; ++i) {
    calls.push_back(std::make_unique<SaveCall>(&executor_));
    calls.back()->messages_max = 0;
    saves_->Start(calls.back().get());
  }
  EXPECT_EQ(calls.back()->done, 1);
  EXPECT_EQ(rpc::Detail(calls.back()->status).reason(), errors::v1::REASON_OVERLOADED);
  calls.pop_back();
  saves_->Stop();
  for (const auto& call : calls) {
    RunUntil([&call] { return call->done == 1; });
    EXPECT_EQ(rpc::Detail(call->status).reason(), errors::v1::REASON_SHUTTING_DOWN);
  }
  SaveCall late(&executor_);
  saves_->Start(&late);
  EXPECT_EQ(rpc::Detail(late.status).reason(), errors::v1::REASON_SHUTTING_DOWN);
}

// Answers the writes of a restore, by the name of their method.
class FakeServer : public rpc::Backend {
 public:
  void Start(rpc::Call* call) override {
    const std::string name(call->method().descriptor->name());
    asked.push_back(name);
    if (name == fails) call->status = failure;
    if (call->status.ok() && name == "CommitRestore") {
      static_cast<snapshot::v1::CommitRestoreResponse*>(call->response())->set_index(42);
    }
    call->Done();
  }
  std::vector<std::string> asked;
  std::string fails;
  absl::Status failure;
};

class SnapshotRestoresTest : public testing::Test {
 protected:
  SnapshotRestoresTest() {
    state::Fsm fsm;
    EXPECT_TRUE(archive::WriteArchive(*fsm.MakeVersion(), 1, 1, [this](std::string_view bytes) {
                  archive_.append(bytes);
                  return absl::OkStatus();
                }).ok());
  }
  ~SnapshotRestoresTest() override {
    restores_.Stop();
    executor_.RunAll();
  }
  using Call = TestCall<RestoreRequest, RestoreResponse>;
  // The text of the status; empty: it was restored.
  std::string Restore(const std::string& archive) {
    Call call("consul.snapshot.v1.SnapshotService/Restore", &executor_);
    call.request_to_fill().set_archive(archive);
    restores_.Start(&call);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (call.done == 0 && std::chrono::steady_clock::now() < end) {
      executor_.RunAll();
      std::this_thread::yield();
    }
    EXPECT_EQ(call.done, 1);
    http_ = rpc::HttpStatus(call.status);
    index_ = call.answer().index();
    return std::string(call.status.message());
  }

  FakeServer server_;
  TestExecutor executor_;
  SnapshotRestores restores_{[this] { return &server_; }};
  std::string archive_;
  int http_ = 0;
  uint64_t index_ = 0;
};

TEST_F(SnapshotRestoresTest, AnArchiveIsStagedAndCommitted) {
  EXPECT_EQ(Restore(archive_), "");
  EXPECT_EQ(index_, 42u);
  EXPECT_EQ(server_.asked, (std::vector<std::string>{"StageRestore", "CommitRestore"}));
  EXPECT_EQ(Restore(archive_), "") << "and again";
}

TEST_F(SnapshotRestoresTest, WhatIsNoArchiveIsA500AndNobodyIsAsked) {
  EXPECT_EQ(Restore("garbage"), "failed to decompress snapshot: unexpected EOF");
  EXPECT_EQ(http_, 500);
  EXPECT_TRUE(server_.asked.empty());
}

TEST_F(SnapshotRestoresTest, AServersErrorComesThrough) {
  server_.fails = "StageRestore";
  server_.failure = rpc::Error(errors::v1::REASON_DISK_FULL, "no room");
  EXPECT_EQ(Restore(archive_), "no room");
  EXPECT_EQ(http_, rpc::HttpStatus(server_.failure));
  EXPECT_EQ(server_.asked, (std::vector<std::string>{"StageRestore", "DropRestore"}));
}

TEST_F(SnapshotRestoresTest, NoneBeginsOnceItHasStopped) {
  restores_.Stop();
  EXPECT_EQ(Restore(archive_), "the agent is shutting down");
}

}  // namespace
}  // namespace consul::api
