// What a durable proposal costs on this machine's disk, and what a start over a long log costs.
//
//   node_bench DIRECTORY [SECONDS]
//
// Each client proposes, waits for the answer on its loop's thread, and proposes again, as a
// connection of an event loop does. "raw" is the bound of the disk: one write and one fdatasync at
// a time.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node.h"

namespace consul::raft {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kCommandBytes = 100;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Nothing final : public FrozenState {
 public:
  absl::Status Write(const SnapshotSink&) const override { return absl::OkStatus(); }
};

class Counter final : public StateMachine {
 public:
  void ApplyBatch(std::span<const Entry> entries, std::vector<ApplyResult>* results) override {
    ++batches;
    if (results != nullptr) results->resize(entries.size());
    applied.store(entries.back().index.value);
  }
  std::unique_ptr<FrozenState> Freeze() override { return std::make_unique<Nothing>(); }
  absl::Status Restore(Index, const SnapshotSource&) override { return absl::OkStatus(); }
  std::atomic<uint64_t> applied{0};
  std::atomic<uint64_t> batches{0};
};

// A thread with clients that are woken by it, one proposal in flight each.
class Loop {
 public:
  Loop(Node* node, size_t clients) : node_(node), clients_(clients) {}
  void Run(Clock::time_point until) {
    for (size_t i = 0; i < clients_; ++i) ProposeOne();
    size_t in_flight = clients_;
    while (in_flight > 0) {
      size_t done;
      {
        base::MutexLock lock(&mutex_);
        while (done_ == 0) wake_.Wait(&mutex_);
        done = std::exchange(done_, 0);
      }
      answered += done;
      for (; done > 0; --done) {
        if (Clock::now() < until) {
          ProposeOne();
        } else {
          --in_flight;
        }
      }
    }
  }
  uint64_t answered = 0;

 private:
  void ProposeOne() {
    node_->Propose(std::string(kCommandBytes, 'x'), [this](absl::StatusOr<Applied> applied) {
      if (!applied.ok()) {
        std::fprintf(stderr, "%s\n", applied.status().ToString().c_str());
        std::exit(1);
      }
      base::MutexLock lock(&mutex_);
      if (done_++ == 0) wake_.Signal();
    });
  }
  Node* const node_;
  const size_t clients_;
  base::Mutex mutex_;
  base::CondVar wake_;
  size_t done_ = 0;
};

NodeOptions OptionsFor(const std::string& directory) {
  NodeOptions options;
  options.directory = directory;
  options.address = "127.0.0.1:8300";
  options.core.self = ServerId{"bench"};
  options.bootstrap = true;
  return options;
}

std::unique_ptr<Node> OpenReady(const std::string& directory, Counter* counter) {
  auto node = Node::Open(OptionsFor(directory), counter);
  if (!node.ok()) {
    std::fprintf(stderr, "%s\n", node.status().ToString().c_str());
    std::exit(1);
  }
  (*node)->Start();
  while (!(*node)->status().leader_ready) std::this_thread::yield();
  return std::move(*node);
}

void Measure(const std::string& directory, size_t loops_count, size_t clients, double seconds) {
  Counter counter;
  auto node = OpenReady(directory, &counter);
  const double cpu = CpuSeconds();
  const uint64_t batches = counter.batches.load();
  const Clock::time_point begin = Clock::now();
  const auto until =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < loops_count; ++i) {
    loops.push_back(std::make_unique<Loop>(node.get(), clients / loops_count));
    threads.emplace_back([loop = loops.back().get(), until] { loop->Run(until); });
  }
  uint64_t answered = 0;
  for (size_t i = 0; i < loops_count; ++i) {
    threads[i].join();
    answered += loops[i]->answered;
  }
  const double took = Seconds(Clock::now() - begin);
  const double used = CpuSeconds() - cpu;
  const double groups = double(counter.batches.load() - batches);
  std::printf("%4zu clients, %zu loops: %8.0f/s  %6.1f us each  %5.1f us CPU each  %5.2f cores  "
              "%5.1f in a group\n",
              clients, loops_count, answered / took, took * 1e6 * double(clients) / answered,
              used * 1e6 / answered, used / took, answered / groups);
}

void MeasureRaw(const std::string& directory) {
  auto* fs = base::FileSystem::Posix();
  if (!fs->CreateDirectories(directory).ok()) std::exit(1);
  auto file = fs->Create(base::JoinPath(directory, "raw"));
  if (!file.ok()) std::exit(1);
  const auto write = [&file](uint64_t offset, const std::string& bytes) {
    if (!(*file)->WriteAt(offset, bytes).ok() || !(*file)->SyncData().ok()) std::exit(1);
  };
  write(0, std::string(4 << 20, '\0'));
  const std::string bytes(160, 'x');
  const auto begin = Clock::now();
  constexpr int kWrites = 5000;
  for (int i = 0; i < kWrites; ++i) write(uint64_t(i) * bytes.size(), bytes);
  std::printf("raw: %8.0f write+fdatasync/s\n", kWrites / Seconds(Clock::now() - begin));
}

void MeasureStart(const std::string& directory, uint64_t entries) {
  {
    Counter counter;
    auto node = OpenReady(directory, &counter);
    Loop loop(node.get(), 20'000);
    while (node->status().last_index.value < entries) {
      loop.Run(Clock::now() + std::chrono::milliseconds(200));
    }
  }
  const auto begin = Clock::now();
  Counter counter;
  auto node = Node::Open(OptionsFor(directory), &counter).value();
  node->Start();
  const double opened = Seconds(Clock::now() - begin);
  while (!node->status().leader_ready) std::this_thread::yield();
  const double ready = Seconds(Clock::now() - begin);
  std::printf("start over %llu entries: open %.3f s, all applied %.3f s\n",
              static_cast<unsigned long long>(counter.applied.load()), opened, ready);
}

void MeasureFreshStart(const std::string& directory) {
  const auto begin = Clock::now();
  Counter counter;
  auto node = OpenReady(directory, &counter);
  std::printf("fresh start: leader after %.1f ms\n", Seconds(Clock::now() - begin) * 1e3);
}

}  // namespace
}  // namespace consul::raft

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: node_bench DIRECTORY [SECONDS]\n");
    return 1;
  }
  const std::string directory = argv[1];
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  consul::raft::MeasureRaw(directory);
  consul::raft::MeasureFreshStart(directory + "/fresh");
  using LoopsClients = std::pair<size_t, size_t>;
  for (const auto& [loops, clients] : {LoopsClients{1, 1}, {1, 16}, {2, 64}, {2, 256}}) {
    consul::raft::Measure(consul::base::StrCat(directory, "/", clients), loops, clients, seconds);
  }
  consul::raft::MeasureStart(directory + "/start", 1'000'000);
  return 0;
}
