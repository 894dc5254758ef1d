#include "services/rpc/grpc_pollers.h"

#include <grpc/support/cpu.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "services/base/mutex.h"

namespace consul::rpc {
namespace {

// Calls that are refused at once, and whose callbacks run on gRPC's threads.
class Calls {
 public:
  void Start(std::function<void()> then) {
    auto* const call = new Call;
    const grpc::Slice empty;
    call->request = grpc::ByteBuffer(&empty, 1);
    {
      base::MutexLock lock(&mutex_);
      ++under_way_;
    }
    stub_.UnaryCall(&call->context, "/refused", grpc::StubOptions(), &call->request, &call->reply,
                    [this, call, then = std::move(then)](const grpc::Status&) {
                      then();
                      delete call;
                      base::MutexLock lock(&mutex_);
                      --under_way_;
                      over_.SignalAll();
                    });
  }

  void Wait() {
    base::MutexLock lock(&mutex_);
    while (under_way_ > 0) over_.Wait(&mutex_);
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer reply;
  };

  grpc::GenericStub stub_{grpc::CreateChannel("", nullptr)};
  base::Mutex mutex_;
  base::CondVar over_;
  size_t under_way_ GUARDED_BY(mutex_) = 0;
};

TEST(GrpcPollersTest, EventsAreTakenByOneThreadOnASmallMachine) {
  if (gpr_cpu_num_cores() >= 16) GTEST_SKIP() << "more than one are wanted here";
  const std::shared_ptr<GrpcPollers> pollers = GrpcPollers::Get();
  EXPECT_GT(pollers->parked(), 0u);
  Calls calls;
  base::Mutex mutex;
  std::set<std::thread::id> threads;
  for (int i = 0; i < 200; ++i) {
    calls.Start([&] {
      base::MutexLock lock(&mutex);
      threads.insert(std::this_thread::get_id());
    });
    if (i % 10 == 0) calls.Wait();
  }
  calls.Wait();
  EXPECT_EQ(threads.size(), 1u);
}

// Goal: the thread that takes events never sleeps, deaf, for the 100 ms that gRPC has it sleep
// after a second in vain. Method: calls that fall into the middle of that sleep, if there is one.
// The machine may delay any of them, and a sleep would delay each.
TEST(GrpcPollersTest, WhoTakesEventsIsAwakeAfterARest) {
  if (gpr_cpu_num_cores() >= 16) GTEST_SKIP() << "others look while one sleeps";
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const std::shared_ptr<GrpcPollers> pollers = GrpcPollers::Get();
  Calls calls;
  base::Mutex mutex;
  base::CondVar never;
  steady_clock::duration least = steady_clock::duration::max();
  int tried = 0;
  for (int round = 0; round < 60 && tried < 20 && least > milliseconds(25); ++round) {
    calls.Start([] {});
    calls.Wait();
    const auto rest_begun = steady_clock::now();
    {
      base::MutexLock lock(&mutex);
      while (steady_clock::now() < rest_begun + milliseconds(1040)) {
        never.WaitFor(&mutex, rest_begun + milliseconds(1040) - steady_clock::now());
      }
    }
    const auto begun = steady_clock::now();
    if (begun > rest_begun + milliseconds(1060)) continue;  // the sleep may be over soon
    ++tried;
    calls.Start([] {});
    calls.Wait();
    least = std::min(least, steady_clock::now() - begun);
  }
  if (tried == 0) GTEST_SKIP() << "the machine wakes nobody in time";
  EXPECT_LE(least, milliseconds(25));
}

TEST(GrpcPollersTest, AProcessHasOneOfThem) {
  const std::shared_ptr<GrpcPollers> first = GrpcPollers::Get();
  EXPECT_EQ(GrpcPollers::Get(), first);
}

TEST(GrpcPollersTest, WhoStoodStillWorksAgainAfterwards) {
  Calls calls;  // keeps gRPC's threads
  EXPECT_GT(GrpcPollers::Get()->parked(), 0u);
  // Both are needed: the first one's callback waits for the second one's.
  base::Mutex mutex;
  base::CondVar changed;
  bool second = false;
  calls.Start([&] {
    base::MutexLock lock(&mutex);
    while (!second) changed.Wait(&mutex);
  });
  calls.Start([&] {
    base::MutexLock lock(&mutex);
    second = true;
    changed.SignalAll();
  });
  calls.Wait();
}

TEST(GrpcPollersTest, TheyComeAndGoWhileCallsAreMade) {
  Calls calls;
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 5; ++j) calls.Start([] {});
    const std::shared_ptr<GrpcPollers> pollers = GrpcPollers::Get();
    for (int j = 0; j < 5; ++j) calls.Start([] {});
  }
  calls.Wait();
}

}  // namespace
}  // namespace consul::rpc
