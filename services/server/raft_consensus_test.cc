// Goal: what callers are told of raft's answers, each code by name. Method: a raft node that
// answers as the test says.
#include "services/server/raft_consensus.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/fsm.h"
#include "services/state/version.h"

namespace consul::server {
namespace {

using errors::v1::Reason;

class TestNode : public raft::Node {
 public:
  void Start() override {}
  void Propose(raft::Buffer command, std::optional<raft::Term> term,
               raft::ProposeCallback callback) override {
    proposed = *command;
    proposed_for = term;
    callback(proposal);
  }
  void ReadBarrier(raft::ReadMode mode, raft::ReadCallback callback) override {
    asked = mode;
    callback(barrier);
  }
  void Receive(raft::Message) override {}
  void StreamBroken(raft::ServerId) override {}
  void Bootstrap(raft::Configuration, raft::ChangeCallback) override {}
  void ChangeMembership(raft::MembershipChange, raft::ChangeCallback) override {}
  void TransferLeadership(raft::ServerId, raft::ChangeCallback) override {}
  std::vector<raft::MemberProgress> Members() const override { return {}; }
  raft::NodeStatus status() const override { return now; }
  raft::Leader leader() const override { return {}; }
  raft::PlacedConfiguration configuration() const override { return placed; }
  std::map<std::string, std::string> Stats() const override { return {}; }
  void Stop() override {}

  raft::NodeStatus now;
  raft::PlacedConfiguration placed;
  std::string proposed;
  std::optional<raft::Term> proposed_for;
  std::optional<raft::ReadMode> asked;
  absl::StatusOr<raft::Applied> proposal = absl::InternalError("not set");
  absl::Status barrier;
};

class RaftConsensusTest : public testing::Test {
 protected:
  RaftConsensusTest() { consensus_.SetNode(&node_); }

  absl::StatusOr<rpc::Applied> Propose(uint32_t version_min = 1) {
    std::optional<absl::StatusOr<rpc::Applied>> answer;
    state::SealedCommand command{.bytes = "bytes", .cluster_version_min = version_min};
    command.term = term_;
    consensus_.Propose(std::move(command), [&answer](absl::StatusOr<rpc::Applied> applied) {
      EXPECT_FALSE(answer.has_value());
      answer = std::move(applied);
    });
    EXPECT_TRUE(answer.has_value());
    return *answer;
  }
  std::optional<uint64_t> term_;
  absl::Status ReadBarrier() {
    std::optional<absl::Status> answer;
    consensus_.ReadBarrier(rpc::ReadMode::kConsistent,
                           [&answer](absl::Status status) { answer = std::move(status); });
    EXPECT_TRUE(answer.has_value());
    return *answer;
  }
  Reason ReasonOfProposal(absl::Status status) {
    node_.proposal = std::move(status);
    return rpc::Detail(Propose().status()).reason();
  }
  Reason ReasonOfBarrier(absl::Status status) {
    node_.barrier = std::move(status);
    return rpc::Detail(ReadBarrier()).reason();
  }
  void Answer(uint64_t index, bool applied) {
    AnswerWith(index, applied, errors::v1::REASON_UNSPECIFIED, "", "");
  }
  void AnswerWith(uint64_t index, bool applied, Reason reason, std::string text,
                  std::string subject) {
    auto result = std::make_shared<state::CommandResult>();
    *result = {index, applied, reason, std::move(text), std::move(subject)};
    node_.proposal = raft::Applied{raft::Index{index}, std::move(result)};
  }

  // What the log has done to the cluster's version.
  void Raise(uint32_t version) {
    state::Tables tables;
    tables.applied_index = 1;
    tables.cluster_version = version;
    source_.Replace(std::make_unique<const state::Version>(tables));
    source_.FreeRetired();
  }

  TestNode node_;
  state::VersionSource source_{std::make_unique<const state::Version>()};
  std::string without_;  // as VoterVersions says it
  RaftConsensus consensus_{&source_, [this](uint32_t version) {
                             return without_.empty() ? "" : base::StrCat(without_, version - 1);
                           }};
};

TEST_F(RaftConsensusTest, WithoutANodeThereIsNoLeader) {
  RaftConsensus early(&source_, [](uint32_t) { return ""; });
  EXPECT_FALSE(early.view().leads);
  EXPECT_FALSE(early.view().leader_known);
  EXPECT_FALSE(early.view().alone);
  absl::Status read;
  early.ReadBarrier(rpc::ReadMode::kDefault, [&read](absl::Status status) { read = status; });
  EXPECT_EQ(rpc::Detail(read).reason(), errors::v1::REASON_NO_LEADER);
  absl::Status write;
  early.Propose({"x", 9},
                [&write](absl::StatusOr<rpc::Applied> applied) { write = applied.status(); });
  EXPECT_EQ(rpc::Detail(write).reason(), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(write.message(), "No cluster leader");
}

TEST_F(RaftConsensusTest, ACommandGoesIntoTheLogAsItIs) {
  Answer(7, true);
  const auto applied = Propose();
  ASSERT_TRUE(applied.ok());
  EXPECT_EQ(node_.proposed, "bytes");
  EXPECT_EQ(applied->index, 7);
  EXPECT_TRUE(applied->changed);
}

TEST_F(RaftConsensusTest, ACommandForATermGoesToTheLogOfThatTermAlone) {
  Answer(7, true);
  EXPECT_TRUE(Propose().ok());
  EXPECT_EQ(node_.proposed_for, std::nullopt);
  term_ = 5;
  EXPECT_TRUE(Propose().ok());
  EXPECT_EQ(node_.proposed_for, raft::Term{5});
}

TEST_F(RaftConsensusTest, WhatEveryVersionOfAClusterKnowsIsProposed) {
  Answer(7, true);
  for (const uint32_t version : {0u, 1u, state::kBaselineVersion}) {
    node_.proposed.clear();
    EXPECT_TRUE(Propose(version).ok());
    EXPECT_EQ(node_.proposed, "bytes");
  }
}

TEST_F(RaftConsensusTest, ACommandThatAVoterMightNotKnowIsRefusedBeforeItIsProposed) {
  Answer(7, true);
  without_ = "b (id-b) knows version ";
  const absl::Status status = Propose(5).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(rpc::Detail(status).reason(), errors::v1::REASON_CLUSTER_TOO_OLD);
  EXPECT_EQ(status.message(),
            "the command needs state machine version 5, and the cluster is at version 3: b (id-b) "
            "knows version 4");
  Raise(4);
  EXPECT_EQ(Propose(5).status().message(),
            "the command needs state machine version 5, and the cluster is at version 4: b (id-b) "
            "knows version 4");
  EXPECT_EQ(node_.proposed, "");
  EXPECT_TRUE(Propose(4).ok());
  Raise(5);
  EXPECT_TRUE(Propose(5).ok());
}

TEST_F(RaftConsensusTest, AFollowerThatKnowsOfNobodySaysWhoWillHelp) {
  EXPECT_EQ(Propose(4).status().message(),
            "the command needs state machine version 4, and the cluster is at version 3; its "
            "leader raises it when every voter is known to know it");
}

TEST_F(RaftConsensusTest, AConditionThatDidNotHoldIsAnAnswer) {
  Answer(8, false);
  const auto applied = Propose();
  ASSERT_TRUE(applied.ok());
  EXPECT_FALSE(applied->changed);
  EXPECT_EQ(applied->index, 8);
}

TEST_F(RaftConsensusTest, ARefusalKeepsReasonTextAndSubject) {
  AnswerWith(9, false, errors::v1::REASON_NODE_NAME_RESERVED, "Node name a is reserved", "a");
  const absl::Status status = Propose().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "Node name a is reserved");
  EXPECT_EQ(rpc::Detail(status).subject(), "a");
  EXPECT_EQ(rpc::Detail(status).reason(), errors::v1::REASON_NODE_NAME_RESERVED);
}

TEST_F(RaftConsensusTest, WhoDoesNotLeadSaysThatThereIsNoLeader) {
  EXPECT_EQ(ReasonOfProposal(absl::FailedPreconditionError("x")), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(ReasonOfBarrier(absl::FailedPreconditionError("x")), errors::v1::REASON_NO_LEADER);
  EXPECT_EQ(Propose().status().message(), "No cluster leader");
}

TEST_F(RaftConsensusTest, ALimitIsOverload) {
  EXPECT_EQ(ReasonOfProposal(absl::ResourceExhaustedError("x")), errors::v1::REASON_OVERLOADED);
  EXPECT_EQ(ReasonOfBarrier(absl::ResourceExhaustedError("x")), errors::v1::REASON_OVERLOADED);
}

TEST_F(RaftConsensusTest, AFullDiskIsNoOverload) {
  EXPECT_EQ(ReasonOfProposal(absl::UnavailableError("x")), errors::v1::REASON_DISK_FULL);
}

// It comes back as it is: "no leader" would be tried again elsewhere, and "unavailable" be taken
// for a server that broke off.
TEST_F(RaftConsensusTest, WithoutAMajorityAWriteIsRefusedAndNoDiskIsBlamed) {
  EXPECT_EQ(ReasonOfProposal(absl::AbortedError("no majority has written entry 7")),
            errors::v1::REASON_UNSPECIFIED);
  EXPECT_EQ(Propose().status(), absl::AbortedError("no majority has written entry 7"));
  EXPECT_EQ(rpc::HttpStatus(Propose().status()), 500);
}

TEST_F(RaftConsensusTest, ACommandThatIsTooLargeSaysSoWithItsNumbers) {
  EXPECT_EQ(ReasonOfProposal(absl::InvalidArgumentError("a command of 9 bytes exceeds 8")),
            errors::v1::REASON_TOO_LARGE);
  EXPECT_EQ(Propose().status().message(), "a command of 9 bytes exceeds 8");
}

TEST_F(RaftConsensusTest, AWriteInFlightHasAnUnknownOutcome) {
  EXPECT_EQ(ReasonOfProposal(absl::UnknownError("x")), errors::v1::REASON_OUTCOME_UNKNOWN);
  EXPECT_EQ(ReasonOfProposal(absl::CancelledError("this server is stopping")),
            errors::v1::REASON_OUTCOME_UNKNOWN);
  // Whoever reads the text alone knows it too.
  EXPECT_EQ(Propose().status().message(),
            "this server is stopping; the write may or may not have been done");
}

// A read changes nothing: it has no outcome that could be unknown, and may be asked again.
TEST_F(RaftConsensusTest, AReadThatTheEndOfTheServerCutsOffIsTheShutdowns) {
  EXPECT_EQ(ReasonOfBarrier(absl::CancelledError("x")), errors::v1::REASON_SHUTTING_DOWN);
  EXPECT_EQ(ReasonOfBarrier(absl::UnknownError("x")), errors::v1::REASON_NO_LEADER);
}

TEST_F(RaftConsensusTest, OtherErrorsStayWhatTheyAre) {
  node_.proposal = absl::DataLossError("bad sector");
  EXPECT_EQ(Propose().status(), absl::DataLossError("bad sector"));
  node_.barrier = absl::InternalError("odd");
  EXPECT_EQ(ReadBarrier(), absl::InternalError("odd"));
}

TEST_F(RaftConsensusTest, ABarrierThatHoldsIsOk) { EXPECT_TRUE(ReadBarrier().ok()); }

TEST_F(RaftConsensusTest, ADefaultReadAsksForTheLeaseAndAConsistentOneForARound) {
  consensus_.ReadBarrier(rpc::ReadMode::kDefault, [](const absl::Status&) {});
  EXPECT_EQ(node_.asked, raft::ReadMode::kLease);
  consensus_.ReadBarrier(rpc::ReadMode::kConsistent, [](const absl::Status&) {});
  EXPECT_EQ(node_.asked, raft::ReadMode::kReadIndex);
}

TEST_F(RaftConsensusTest, AFollowerHasALeaderAsSoonAsItHearsOne) {
  EXPECT_FALSE(consensus_.view().has_leader);
  node_.now.leader_known = true;
  EXPECT_TRUE(consensus_.view().has_leader);
  EXPECT_FALSE(consensus_.view().leads);
  // One that leads itself has none before it is ready.
  node_.now.role = raft::Role::kLeader;
  EXPECT_FALSE(consensus_.view().has_leader);
}

TEST_F(RaftConsensusTest, ALeaderAnswersWithoutABarrierWhileItsLeaseHolds) {
  node_.now.role = raft::Role::kLeader;
  node_.now.leader_ready = true;
  EXPECT_FALSE(consensus_.view().leased);
  node_.now.lease_holds = true;
  EXPECT_TRUE(consensus_.view().leased);
  EXPECT_FALSE(consensus_.view().alone);
}

TEST_F(RaftConsensusTest, ALeaderLeadsOnceItIsReady) {
  node_.now.role = raft::Role::kLeader;
  node_.now.leader_known = true;
  EXPECT_FALSE(consensus_.view().leads);
  EXPECT_TRUE(consensus_.view().leader_known);
  node_.now.leader_ready = true;
  EXPECT_TRUE(consensus_.view().leads);
  node_.now.role = raft::Role::kFollower;
  EXPECT_FALSE(consensus_.view().leads);
}

TEST_F(RaftConsensusTest, TheSoleVoterIsAloneWhileItLeads) {
  node_.now.alone = true;
  EXPECT_FALSE(consensus_.view().alone);
  node_.now.role = raft::Role::kLeader;
  node_.now.leader_ready = true;
  EXPECT_TRUE(consensus_.view().alone);
}

TEST_F(RaftConsensusTest, TheLastContactIsGivenInMilliseconds) {
  node_.now.last_contact = std::chrono::microseconds(70'900);
  EXPECT_EQ(consensus_.view().last_contact, std::chrono::milliseconds(70));
}

}  // namespace
}  // namespace consul::server
