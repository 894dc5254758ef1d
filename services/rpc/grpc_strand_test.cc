#include "services/rpc/grpc_strand.h"

#include <gtest/gtest.h>

#include <thread>

#include "services/base/mutex.h"

namespace consul::rpc {
namespace {

// A task in one strand enters others, as gRPC does when it begins a call inside the Finish of
// another one.
class EnteringTask final : public Task {
 public:
  EnteringTask(Strand* own, Strand* other) : own_(own), other_(other) {}
  void Run() override {
    const bool own = own_->Enter([this] { entered_ = true; });
    const bool other = other_->Enter([this] { entered_ = true; });
    base::MutexLock lock(&mutex_);
    refused_ = !own && !other && !entered_;
    done_ = true;
    changed_.SignalAll();
  }
  bool WaitRefused() {
    base::MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
    return refused_;
  }

 private:
  Strand* const own_;
  Strand* const other_;
  bool entered_ = false;
  base::Mutex mutex_;
  base::CondVar changed_;
  bool refused_ GUARDED_BY(mutex_) = false;
  bool done_ GUARDED_BY(mutex_) = false;
};

TEST(StrandTest, AThreadInAStrandEntersNone) {
  EventThread thread([] {});
  Strand strand;
  Strand other;
  strand.set_thread(&thread);
  other.set_thread(&thread);
  EnteringTask task(&strand, &other);
  strand.Post(&task);
  EXPECT_TRUE(task.WaitRefused());
}

TEST(StrandTest, AFreeOneIsEnteredAtOnce) {
  Strand strand;
  int entered = 0;
  EXPECT_TRUE(strand.Enter([&entered] { ++entered; }));
  EXPECT_TRUE(strand.Enter([&entered] { ++entered; }));
  EXPECT_EQ(entered, 2);
}

TEST(StrandTest, ABusyOneIsNotWaitedFor) {
  Strand strand;
  ASSERT_TRUE(strand.Enter([&strand] {
    bool entered = true;
    std::thread([&] { entered = strand.Enter([] {}); }).join();
    EXPECT_FALSE(entered);
  }));
}

TEST(StrandTest, WhatIsPostedIsInNoThreadsStrand) {
  Strands strands([] {});
  Strand* const first = strands.ForPosted();
  EXPECT_NE(first, strands.OfThisThread());
  EXPECT_NE(first, strands.ForPosted());
}

}  // namespace
}  // namespace consul::rpc
