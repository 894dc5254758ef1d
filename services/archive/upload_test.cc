// Uploads: an archive comes to the servers in chunks, all of it or nothing.
#include "services/archive/upload.h"

#include <algorithm>
#include <vector>

#include "consul/internal/raft/v1/command.pb.h"
#include "gtest/gtest.h"
#include "services/base/sha256.h"
#include "services/state/fsm.h"

namespace consul::archive {
namespace {

using snapshot::v1::CommitRestoreRequest;
using snapshot::v1::DropRestoreRequest;
using snapshot::v1::StageRestoreRequest;

class UploadTest : public testing::Test {
 protected:
  UploadTest() {
    for (uint64_t i = 0; i < 30; ++i) {
      internal::raft::v1::Command command;
      command.mutable_kv_put()->set_key("key" + std::to_string(i));
      command.mutable_kv_put()->set_value(std::string(50'000, static_cast<char>('a' + i)));
      const std::string bytes = command.SerializeAsString();
      const state::FsmEntry entry{i + 1, true, bytes};
      state::Fsm::Batch batch;
      EXPECT_TRUE(fsm_.ApplyBatch({&entry, 1}, &batch).ok());
    }
    EXPECT_TRUE(WriteArchive(*fsm_.MakeVersion(), 1, 1, [this](std::string_view bytes) {
                  archive_.append(bytes);
                  return absl::OkStatus();
                }).ok());
    calls_.stage = [this](const StageRestoreRequest& request) {
      stages_.push_back(request);
      return stages_.size() == fail_at_ ? absl::UnavailableError("no leader") : absl::OkStatus();
    };
    calls_.commit = [this](const CommitRestoreRequest& request) -> absl::StatusOr<uint64_t> {
      commits_.push_back(request);
      return uint64_t{42};
    };
    calls_.drop = [this](const DropRestoreRequest& request) { drops_.push_back(request); };
  }
  absl::StatusOr<uint64_t> Run(std::string_view bytes) {
    return Upload([bytes] { return SourceOf(bytes); }, "id", "dc1", calls_);
  }

  state::Fsm fsm_;
  std::string archive_;
  UploadCalls calls_;
  std::vector<StageRestoreRequest> stages_;
  std::vector<CommitRestoreRequest> commits_;
  std::vector<DropRestoreRequest> drops_;
  size_t fail_at_ = 0;
};

TEST_F(UploadTest, TheChunksAreTheState) {
  const auto index = Run(archive_);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(*index, 42u);
  ASSERT_EQ(stages_.size(), 3u);
  std::string state;
  for (const StageRestoreRequest& stage : stages_) {
    EXPECT_EQ(stage.id(), "id");
    EXPECT_EQ(stage.options().datacenter(), "dc1");
    EXPECT_EQ(stage.offset(), state.size());
    EXPECT_LE(stage.chunk().size(), state::StagedRestore::kChunkBytesMax);
    state += stage.chunk();
  }
  ASSERT_EQ(commits_.size(), 1u);
  EXPECT_EQ(commits_[0].size(), state.size());
  base::Sha256 sum;
  sum.Add(state);
  EXPECT_EQ(commits_[0].sha256(), sum.Finish());
  EXPECT_TRUE(drops_.empty());
}

TEST_F(UploadTest, ADamagedArchiveIsRefusedBeforeAnythingIsSent) {
  std::string damaged = archive_;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
  EXPECT_EQ(Run(damaged).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Run(archive_.substr(0, archive_.size() / 2)).ok());
  EXPECT_FALSE(Run("").ok());
  damaged = archive_;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  EXPECT_EQ(Run(damaged).status().message(), "gzip: invalid checksum");
  EXPECT_FALSE(Run(archive_ + "xx").ok());
  EXPECT_TRUE(stages_.empty() && commits_.empty() && drops_.empty());
}

TEST_F(UploadTest, WhatFailsOnItsWayIsDropped) {
  fail_at_ = 2;
  EXPECT_EQ(Run(archive_).status().message(), "no leader");
  EXPECT_EQ(stages_.size(), 2u);
  EXPECT_TRUE(commits_.empty());
  ASSERT_EQ(drops_.size(), 1u);
  EXPECT_EQ(drops_[0].id(), "id");
}

TEST_F(UploadTest, ACommitIsNotFollowedByADrop) {
  calls_.commit = [](const CommitRestoreRequest&) -> absl::StatusOr<uint64_t> {
    return absl::UnknownError("outcome unknown");
  };
  EXPECT_EQ(Run(archive_).status().message(), "outcome unknown");
  EXPECT_TRUE(drops_.empty());
}

}  // namespace
}  // namespace consul::archive
