#include "services/server/departure.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>

#include "services/rpc/errors.h"

namespace consul::server {
namespace {

using namespace std::chrono_literals;

const raft::ServerId kA{"a"};
const raft::ServerId kB{"b"};

raft::PlacedConfiguration Voters(uint64_t index, std::initializer_list<raft::ServerId> ids) {
  raft::PlacedConfiguration placed{raft::Index{index}, {}};
  for (const raft::ServerId& id : ids) {
    placed.configuration = placed.configuration.With(id, raft::MemberKind::kVoter);
  }
  return placed;
}

// Consensus as the test says; a transfer is done, or refused.
class TestMembers final : public RaftMembers {
 public:
  TestMembers() {
    now.self = kA;
    now.configuration = Voters(1, {kA, kB});
  }
  View view() const override {
    ++looks;
    if (on_look) on_look();
    return now;
  }
  void Change(const raft::MembershipChange&, Done done) override { done(absl::OkStatus()); }
  void Transfer(const raft::ServerId& target, Done done) override {
    EXPECT_TRUE(target.empty());
    ++transfers;
    if (transfer.ok()) {
      now.leads = false;
      now.leader = kB;
    }
    done(transfer);
  }
  View now;
  absl::Status transfer;
  int transfers = 0;
  mutable int looks = 0;
  std::function<void()> on_look;
};

class DepartureTest : public testing::Test {
 protected:
  DepartureTest() { times_ = {.leader_wait = 30ms, .limit = 60s, .quiet = 10ms, .interval = 1ms}; }
  absl::Status Leave() {
    return LeaveConsensus(times_, &members_, [this] {
      ++asked_;
      return answer_;
    });
  }
  DepartureTimes times_;
  TestMembers members_;
  absl::Status answer_;
  int asked_ = 0;
};

TEST_F(DepartureTest, AFollowerAsksTheLeader) {
  members_.now.leader = kB;
  EXPECT_TRUE(Leave().ok());
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(members_.transfers, 0);
}

TEST_F(DepartureTest, ALeaderHandsOverFirst) {
  members_.now.leader = kA;
  members_.now.leads = true;
  EXPECT_TRUE(Leave().ok());
  EXPECT_EQ(members_.transfers, 1);
  EXPECT_EQ(asked_, 1);
}

// Three that leave at once: the two that do not lead ask the one that does, which stays.
TEST_F(DepartureTest, TheLastVoterStays) {
  members_.now.leader = kA;
  members_.now.leads = true;
  times_.quiet = 60s;
  members_.on_look = [this] {
    if (members_.looks == 5) members_.now.configuration = Voters(2, {kA});
  };
  EXPECT_TRUE(Leave().ok());
  EXPECT_EQ(members_.transfers, 0);
  EXPECT_EQ(asked_, 0);
}

TEST_F(DepartureTest, AChangeOfTheConfigurationMakesALeaderWaitAnew) {
  members_.now.leader = kA;
  members_.now.leads = true;
  times_.quiet = 50ms;
  members_.on_look = [this] {
    // Somebody is taken out each time, until the twentieth look.
    const auto looks = static_cast<uint64_t>(members_.looks);
    if (looks < 20) members_.now.configuration.index = raft::Index{looks};
    EXPECT_TRUE(members_.looks != 20 || members_.transfers == 0);
  };
  EXPECT_TRUE(Leave().ok());
  EXPECT_EQ(members_.transfers, 1);
}

TEST_F(DepartureTest, OneThatTakesNoPartHasNothingToLeave) {
  members_.now.configuration = Voters(1, {kB});
  EXPECT_TRUE(Leave().ok());
  EXPECT_EQ(asked_, 0);
}

TEST_F(DepartureTest, WithoutALeaderItSaysThatItDidNotLeave) {
  const absl::Status status = Leave();
  EXPECT_EQ(rpc::Detail(status).reason(), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(status.message(), "No cluster leader: the agent did not leave");
}

TEST_F(DepartureTest, ALeaderThatWillNotIsAskedAgainUntilTheLimit) {
  members_.now.leader = kB;
  answer_ = absl::FailedPreconditionError("another change is under way");
  times_.limit = 30ms;
  const absl::Status status = Leave();
  EXPECT_EQ(status.message(), "the server did not leave: another change is under way");
  EXPECT_GT(asked_, 1);
}

}  // namespace
}  // namespace consul::server
