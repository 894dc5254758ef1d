#include "tests/sim/linearizability.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "services/gossip/random.h"

namespace consul::sim {
namespace {

using Operation = RegisterOperation;
using History = std::vector<Operation>;
using Kind = RegisterOperation::Kind;

constexpr std::optional<Moment> kNever;

bool Linearizable(const History& history) {
  const Linearizability result = CheckRegister(history);
  EXPECT_NE(result.verdict, Verdict::kUndecided);
  EXPECT_EQ(result.why.empty(), result.verdict == Verdict::kLinearizable);
  return result.verdict == Verdict::kLinearizable;
}

TEST(LinearizabilityTest, NothingIsLinearizable) { EXPECT_TRUE(Linearizable({})); }

TEST(LinearizabilityTest, AReadGivesTheWriteBeforeIt) {
  EXPECT_TRUE(Linearizable({Operation::Read(0, 1, 2), Operation::Write(7, 3, 4),
                            Operation::Read(7, 5, 6)}));
  EXPECT_FALSE(Linearizable({Operation::Write(7, 1, 2), Operation::Read(0, 3, 4)}));
  EXPECT_FALSE(Linearizable({Operation::Read(7, 1, 2), Operation::Write(7, 3, 4)}));
  EXPECT_FALSE(Linearizable({Operation::Read(8, 1, 2)}));
}

TEST(LinearizabilityTest, AReadBesideAWriteGivesEither) {
  EXPECT_TRUE(Linearizable({Operation::Write(7, 1, 4), Operation::Read(0, 2, 3)}));
  EXPECT_TRUE(Linearizable({Operation::Write(7, 1, 4), Operation::Read(7, 2, 3)}));
}

TEST(LinearizabilityTest, WhatWasReadNewIsNotReadOldAfterwards) {
  EXPECT_FALSE(Linearizable({Operation::Write(7, 1, 8), Operation::Read(7, 2, 3),
                             Operation::Read(0, 4, 5)}));
  EXPECT_TRUE(Linearizable({Operation::Write(7, 1, 8), Operation::Read(0, 2, 3),
                            Operation::Read(7, 4, 5)}));
  // Beside each other they may be in the other order.
  EXPECT_TRUE(Linearizable({Operation::Write(7, 1, 8), Operation::Read(7, 2, 5),
                            Operation::Read(0, 3, 6)}));
}

TEST(LinearizabilityTest, TwoWritesBesideEachOtherHaveOneOrderForAll) {
  const History writes = {Operation::Write(1, 1, 10), Operation::Write(2, 2, 9)};
  History agree = writes;
  agree.insert(agree.end(), {Operation::Read(1, 11, 12), Operation::Read(1, 13, 14)});
  EXPECT_TRUE(Linearizable(agree));
  History part = writes;
  part.insert(part.end(), {Operation::Read(1, 11, 12), Operation::Read(2, 13, 14)});
  EXPECT_FALSE(Linearizable(part));
}

TEST(LinearizabilityTest, OfTwoSwapsOfOneValueOneFails) {
  EXPECT_TRUE(Linearizable({Operation::CompareAndSet(0, 1, 1, 5),
                            Operation::CompareAndSet(0, 2, 2, 6, false)}));
  EXPECT_FALSE(Linearizable({Operation::CompareAndSet(0, 1, 1, 5),
                             Operation::CompareAndSet(0, 2, 2, 6)}));
  EXPECT_FALSE(Linearizable({Operation::CompareAndSet(0, 1, 1, 2, false)}));
}

TEST(LinearizabilityTest, AWriteOfUnknownOutcomeTakesEffectAtAnyTimeOrNever) {
  const Operation lost = Operation::Write(7, 1, kNever);
  EXPECT_TRUE(Linearizable({lost, Operation::Read(0, 2, 3)}));
  EXPECT_TRUE(Linearizable({lost, Operation::Read(7, 2, 3)}));
  EXPECT_TRUE(Linearizable({lost, Operation::Write(8, 2, 3), Operation::Read(8, 4, 5),
                            Operation::Read(7, 6, 7)}));
  // Once.
  EXPECT_FALSE(Linearizable({lost, Operation::Write(8, 2, 3), Operation::Read(7, 4, 5),
                             Operation::Write(9, 6, 7), Operation::Read(7, 8, 9)}));
  // Not before it was called.
  EXPECT_FALSE(Linearizable({Operation::Read(7, 1, 2), Operation::Write(7, 3, kNever)}));
}

TEST(LinearizabilityTest, AFailedSwapSeesAWriteOfUnknownOutcome) {
  const Operation write = Operation::Write(1, 1, 2);
  const Operation failed = Operation::CompareAndSet(1, 2, 3, 4, false);
  EXPECT_FALSE(Linearizable({write, failed}));
  EXPECT_TRUE(Linearizable({write, Operation::Write(9, 1, kNever), failed}));
}

TEST(LinearizabilityTest, SwapsOfUnknownOutcomeChain) {
  EXPECT_TRUE(Linearizable({Operation::CompareAndSet(0, 1, 1, kNever),
                            Operation::CompareAndSet(1, 2, 2, kNever), Operation::Read(2, 3, 4)}));
  EXPECT_FALSE(Linearizable({Operation::CompareAndSet(0, 1, 1, kNever),
                             Operation::CompareAndSet(3, 2, 2, kNever),
                             Operation::Read(2, 3, 4)}));
}

TEST(LinearizabilityTest, AnEmptyValueIsAValue) {
  EXPECT_TRUE(Linearizable({Operation::Write(7, 1, 2), Operation::Write(0, 3, 4),
                            Operation::Read(0, 5, 6), Operation::CompareAndSet(0, 8, 7, 8)}));
}

TEST(LinearizabilityTest, AViolationSaysWhereItIs) {
  const Linearizability result =
      CheckRegister({Operation::Write(7, 1, 2), Operation::Read(7, 3, 4), Operation::Read(5, 5, 6),
                     Operation::Read(7, 7, 8)});
  EXPECT_EQ(result.verdict, Verdict::kViolated);
  EXPECT_NE(result.why.find("> [5, 6] read -> 5"), std::string::npos) << result.why;
}

TEST(LinearizabilityTest, GivesUpAtItsLimit) {
  History history;
  for (uint64_t i = 1; i <= 24; ++i) history.push_back(Operation::Write(i, 1, 1000));
  history.push_back(Operation::Read(99, 1001, 1002));
  EXPECT_EQ(CheckRegister(history, 0, 1000).verdict, Verdict::kUndecided);
}

// Hundreds of writes that may have happened or not, and readers who see one now and then.
TEST(LinearizabilityTest, ManyUnknownOutcomesAreDecidedSoon) {
  gossip::Random random(1);
  History history;
  Moment moment = 0;
  std::vector<uint64_t> lost;
  uint64_t value = 0;
  for (uint64_t i = 1; i <= 2000; ++i) {
    const Moment called = ++moment;
    switch (random.Below(4)) {
      case 0:
        history.push_back(Operation::Write(i, called, kNever));
        lost.push_back(i);
        break;
      case 1:
        value = i;
        history.push_back(Operation::Write(i, called, ++moment));
        break;
      default:
        if (!lost.empty() && random.Below(4) == 0) {
          const size_t position = random.Below(lost.size());
          value = lost[position];
          lost.erase(lost.begin() + static_cast<ptrdiff_t>(position));
        }
        history.push_back(Operation::Read(value, called, ++moment));
    }
  }
  const Linearizability good = CheckRegister(history);
  EXPECT_EQ(good.verdict, Verdict::kLinearizable);
  EXPECT_LT(good.states, 100'000);
  history.push_back(Operation::Read(5000, moment + 1, moment + 2));
  EXPECT_EQ(CheckRegister(history).verdict, Verdict::kViolated);
}

// ---- Against trying all orders.

bool Step(const Operation& operation, uint64_t* value) {
  switch (operation.kind) {
    case Kind::kRead:
      return operation.value == *value;
    case Kind::kWrite:
      *value = operation.value;
      return true;
    case Kind::kCompareAndSet: {
      const bool found = *value == operation.expected;
      if (operation.returned.has_value() && found != operation.swapped) return false;
      if (found) *value = operation.value;
      return true;
    }
  }
  return false;
}

bool AnyOrder(History left, uint64_t value) {
  const auto known = [](const Operation& operation) { return operation.returned.has_value(); };
  if (std::none_of(left.begin(), left.end(), known)) return true;
  for (size_t i = 0; i < left.size(); ++i) {
    const auto before = [&](const Operation& other) {
      return other.returned.has_value() && *other.returned < left[i].called;
    };
    if (std::any_of(left.begin(), left.end(), before)) continue;
    uint64_t next = value;
    if (!Step(left[i], &next)) continue;
    History rest = left;
    rest.erase(rest.begin() + static_cast<ptrdiff_t>(i));
    if (AnyOrder(std::move(rest), next)) return true;
  }
  return false;
}

History RandomHistory(gossip::Random* random) {
  History history;
  const size_t count = 1 + random->Below(6);
  for (size_t i = 0; i < count; ++i) {
    const auto called = static_cast<Moment>(1 + random->Below(12));
    const auto returned = called + 1 + static_cast<Moment>(random->Below(6));
    const uint64_t value = random->Below(3);
    const bool unknown = random->Below(4) == 0;
    const auto end = unknown ? kNever : std::optional<Moment>(returned);
    switch (random->Below(3)) {
      case 0:
        history.push_back(Operation::Read(value, called, returned));
        break;
      case 1:
        history.push_back(Operation::Write(value, called, end));
        break;
      default:
        history.push_back(Operation::CompareAndSet(random->Below(3), value, called, end,
                                                   random->Below(2) == 0));
    }
  }
  return history;
}

TEST(LinearizabilityTest, AgreesWithTryingAllOrders) {
  gossip::Random random(20261128);
  int linearizable = 0;
  constexpr int kHistories = 20'000;
  for (int i = 0; i < kHistories; ++i) {
    const History history = RandomHistory(&random);
    const bool expected = AnyOrder(history, 0);
    ASSERT_EQ(Linearizable(history), expected) << "history " << i;
    linearizable += expected ? 1 : 0;
  }
  // Both happen often, or little would be said.
  EXPECT_GT(linearizable, kHistories / 8);
  EXPECT_LT(linearizable, kHistories - kHistories / 8);
}

}  // namespace
}  // namespace consul::sim
