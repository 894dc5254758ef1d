#include "services/rpc/grpc_pollers.h"

#include <grpc/support/cpu.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "services/base/mutex.h"

namespace consul::rpc {
namespace {

// gRPC's name for the threads of the callback interface.
constexpr char kThreadName[] = "nexting_thread";

// So many start with the first call.
size_t ThreadsExpected() { return std::clamp<size_t>(gpr_cpu_num_cores() / 2, 2, 16); }

// More than one is worth its changes of thread only where cores are idle.
// Those that this process may use count, where gRPC counts all that the machine has.
size_t PollersWanted() { return std::max<size_t>(1, std::thread::hardware_concurrency() / 8); }

// gRPC's threads that wait for events, so far as they have begun to run. A thread that one of them
// has started bears the same name for a moment, so no more are counted than there can be.
size_t CountThreads() {
  size_t count = 0;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream file(task.path() / "comm");
    std::string name;
    count += std::getline(file, name) && name == kThreadName;
  }
  return std::min(count, ThreadsExpected());
}

// A thread that has waited for a second without an event sleeps for 100 ms, deaf, before it waits
// again (completion_queue_cc.cc). Whoever took the last event does not: where one takes them all it
// never sleeps, and where more do one of them at least is awake.
constexpr std::chrono::milliseconds kEventInterval{500};

}  // namespace

class GrpcPollers::Impl {
 public:
  // A channel without credentials refuses every call, so that its end is an event at once.
  Impl() : channel_(grpc::CreateChannel("", nullptr)), stub_(channel_) {
    StartCall([] {});
    WaitForCalls();
    const auto deadline = std::chrono::steady_clock::now() + kNamesWaitMax;
    size_t threads = CountThreads();
    while (threads < ThreadsExpected() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      threads = CountThreads();
    }
    const size_t wanted = PollersWanted();
    for (size_t i = wanted; i < threads; ++i) StartCall([this] { Park(); });
    base::MutexLock lock(&mutex_);
    while (wanted + parked_ < threads) changed_.Wait(&mutex_);
  }

  ~Impl() {
    {
      base::MutexLock lock(&mutex_);
      released_ = true;
      release_.SignalAll();
    }
    WaitForCalls();
  }

  size_t parked() const {
    base::MutexLock lock(&mutex_);
    return parked_;
  }

 private:
  static constexpr std::chrono::milliseconds kNamesWaitMax{200};

  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer reply;
  };

  // `then` runs on a thread of gRPC's.
  void StartCall(std::function<void()> then) {
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
                      // Before it counts as over: it must not be the last to hold the channel.
                      delete call;
                      base::MutexLock lock(&mutex_);
                      --under_way_;
                      changed_.SignalAll();
                    });
  }

  // The first to stand still gives the events: one of them is enough.
  void Park() {
    bool first = false;
    {
      base::MutexLock lock(&mutex_);
      first = parked_ == 0;
      ++parked_;
      changed_.SignalAll();
    }
    while (first && !WaitForRelease()) StartCall([] {});
    base::MutexLock lock(&mutex_);
    while (!released_) release_.Wait(&mutex_);
    --parked_;
  }

  // False: not yet, and an event is due.
  bool WaitForRelease() {
    const auto due = std::chrono::steady_clock::now() + kEventInterval;
    base::MutexLock lock(&mutex_);
    while (!released_) {
      const auto left = due - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      release_.WaitFor(&mutex_, left);
    }
    return true;
  }

  void WaitForCalls() {
    base::MutexLock lock(&mutex_);
    while (under_way_ > 0) changed_.Wait(&mutex_);
  }

  // Keeps the callback interface's threads: they would end with its last user.
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;  // what is under way, and who stands still
  base::CondVar release_;
  size_t under_way_ GUARDED_BY(mutex_) = 0;
  size_t parked_ GUARDED_BY(mutex_) = 0;
  bool released_ GUARDED_BY(mutex_) = false;
};

std::shared_ptr<GrpcPollers> GrpcPollers::Get() {
  static base::Mutex mutex;
  static std::weak_ptr<GrpcPollers>* const current = new std::weak_ptr<GrpcPollers>;
  base::MutexLock lock(&mutex);
  std::shared_ptr<GrpcPollers> pollers = current->lock();
  if (pollers == nullptr) {
    pollers.reset(new GrpcPollers);
    *current = pollers;
  }
  return pollers;
}

GrpcPollers::GrpcPollers() : impl_(std::make_unique<Impl>()) {}

GrpcPollers::~GrpcPollers() = default;

size_t GrpcPollers::parked() const { return impl_->parked(); }

}  // namespace consul::rpc
