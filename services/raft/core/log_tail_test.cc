#include "services/raft/core/log_tail.h"

#include <string>

#include "gtest/gtest.h"

namespace consul::raft {
namespace {

Entry Make(uint64_t term, uint64_t index, size_t size = 10) {
  return Entry{Term{term}, Index{index}, EntryKind::kCommand, MakeBuffer(std::string(size, 'x'))};
}

// Terms 1 1 2 2 2 5 at indexes 1 to 6.
LogTail Six() {
  LogTail log{Restart{}};
  uint64_t index = 0;
  for (const uint64_t term : {1, 1, 2, 2, 2, 5}) log.Append(Make(term, ++index));
  return log;
}

TEST(LogTailTest, ANewLogIsEmpty) {
  const LogTail log{Restart{}};
  EXPECT_EQ(log.last_index(), Index{0});
  EXPECT_EQ(log.last_term(), Term{0});
  EXPECT_EQ(log.TermAt(Index{0}), Term{0});
  EXPECT_EQ(log.TermAt(Index{1}), std::nullopt);
  EXPECT_EQ(log.memory_first(), Index{1});
}

TEST(LogTailTest, TheTermOfEveryIndexIsKnown) {
  const LogTail log = Six();
  const uint64_t terms[] = {0, 1, 1, 2, 2, 2, 5};
  for (uint64_t i = 0; i <= 6; ++i) EXPECT_EQ(log.TermAt(Index{i}), Term{terms[i]}) << i;
  EXPECT_EQ(log.TermAt(Index{7}), std::nullopt);
}

TEST(LogTailTest, TruncationForgetsEntriesAndRuns) {
  LogTail log = Six();
  log.TruncateFrom(Index{4});
  EXPECT_EQ(log.last_index(), Index{3});
  EXPECT_EQ(log.last_term(), Term{2});
  EXPECT_EQ(log.TermAt(Index{4}), std::nullopt);
  log.Append(Make(7, 4));
  EXPECT_EQ(log.last_term(), Term{7});
}

TEST(LogTailTest, TruncationToTheBaseLeavesItsTerm) {
  LogTail log = Six();
  log.TruncateFrom(Index{1});
  EXPECT_EQ(log.last_index(), Index{0});
  EXPECT_EQ(log.last_term(), Term{0});
}

TEST(LogTailTest, TruncationReachesBehindMemory) {
  LogTail log = Six();
  log.Evict(60, Index{6});
  ASSERT_GT(log.memory_first(), Index{4});
  log.TruncateFrom(Index{3});
  EXPECT_EQ(log.last_index(), Index{2});
  EXPECT_EQ(log.memory_first(), Index{3});
  EXPECT_EQ(log.memory_bytes(), 0u);
  EXPECT_EQ(log.TermAt(Index{2}), Term{1});
}

TEST(LogTailTest, CompactionMovesTheBase) {
  LogTail log = Six();
  log.Compact(Index{4});
  EXPECT_EQ(log.base(), (LogPosition{Index{4}, Term{2}}));
  EXPECT_EQ(log.TermAt(Index{3}), std::nullopt);
  EXPECT_EQ(log.TermAt(Index{4}), Term{2});
  EXPECT_EQ(log.TermAt(Index{5}), Term{2});
  EXPECT_EQ(log.memory_first(), Index{5});
  log.Compact(Index{2});
  EXPECT_EQ(log.base().index, Index{4}) << "never back";
}

TEST(LogTailTest, CompactionOfAllLeavesTheLastTerm) {
  LogTail log = Six();
  log.Compact(Index{6});
  EXPECT_EQ(log.last_term(), Term{5});
  log.Append(Make(5, 7));
  EXPECT_EQ(log.TermAt(Index{7}), Term{5});
}

TEST(LogTailTest, CompactionAtTheEndOfARun) {
  LogTail log = Six();
  log.Compact(Index{2});
  EXPECT_EQ(log.base(), (LogPosition{Index{2}, Term{1}}));
  EXPECT_EQ(log.TermAt(Index{3}), Term{2});
}

TEST(LogTailTest, OnlyDurableEntriesLeaveMemory) {
  LogTail log = Six();
  log.Evict(0, Index{2});
  EXPECT_EQ(log.memory_first(), Index{3});
  log.Evict(0, Index{6});
  EXPECT_EQ(log.memory_first(), Index{7});
  EXPECT_EQ(log.memory_bytes(), 0u);
  EXPECT_EQ(log.last_term(), Term{5});
}

TEST(LogTailTest, LastAtMostSkipsWholeTerms) {
  const LogTail log = Six();
  EXPECT_EQ(log.LastAtMost(Index{9}, Term{9}), (LogPosition{Index{6}, Term{5}}));
  EXPECT_EQ(log.LastAtMost(Index{9}, Term{4}), (LogPosition{Index{5}, Term{2}}));
  EXPECT_EQ(log.LastAtMost(Index{4}, Term{4}), (LogPosition{Index{4}, Term{2}}));
  EXPECT_EQ(log.LastAtMost(Index{9}, Term{1}), (LogPosition{Index{2}, Term{1}}));
  EXPECT_EQ(log.LastAtMost(Index{9}, Term{0}), (LogPosition{Index{0}, Term{0}}));
}

TEST(LogTailTest, CopyStopsBeforeTheLimitButGivesOne) {
  const LogTail log = Six();
  std::vector<Entry> out;
  EXPECT_EQ(log.Copy(Index{2}, Index{6}, 1, &out), 42u);
  ASSERT_EQ(out.size(), 1u);
  out.clear();
  EXPECT_EQ(log.Copy(Index{2}, Index{6}, 84, &out), 84u);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].index, Index{3});
}

TEST(LogTailTest, ARestartBehindASnapshotBuildsOnIt) {
  Restart restart;
  restart.snapshot.index = Index{4};
  restart.snapshot.term = Term{2};
  restart.log_first = Index{5};
  restart.log_last = Index{6};
  restart.term_runs = {{Index{5}, Term{2}}, {Index{6}, Term{3}}};
  restart.tail = {Make(3, 6)};
  const LogTail log(restart);
  EXPECT_EQ(log.base(), (LogPosition{Index{4}, Term{2}}));
  EXPECT_EQ(log.memory_first(), Index{6});
  EXPECT_EQ(log.TermAt(Index{5}), Term{2});
}

TEST(LogTailTest, ARestartWhoseFirstTermIsUnknownBuildsOnItsFirstEntry) {
  Restart restart;
  restart.snapshot.index = Index{9};
  restart.snapshot.term = Term{2};
  restart.log_first = Index{5};
  restart.log_last = Index{10};
  restart.term_runs = {{Index{5}, Term{2}}};
  for (uint64_t i = 5; i <= 10; ++i) restart.tail.push_back(Make(2, i));
  const LogTail log(restart);
  EXPECT_EQ(log.base(), (LogPosition{Index{5}, Term{2}}));
  EXPECT_EQ(log.memory_first(), Index{6});
  EXPECT_EQ(log.last_index(), Index{10});
}

}  // namespace
}  // namespace consul::raft
