// What snapshots cost the writes that go on beside them, and how fast one gets to another server.
//
//   snapshot_bench DIRECTORY [MEGABYTES]
//
// One client proposes, waits, and proposes again: on a quiet server, while a snapshot of that size
// is written, and while it is sent to an empty server on the same disk.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/raft/node.h"
#include "services/raft/test_wire.h"

namespace consul::raft {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

constexpr size_t kPieceBytes = 128 << 10;

class Filler final : public FrozenState {
 public:
  explicit Filler(uint64_t bytes) : bytes_(bytes) {}
  absl::Status Write(const SnapshotSink& sink) const override {
    const std::string piece(kPieceBytes, 'x');
    for (uint64_t done = 0; done < bytes_; done += kPieceBytes) {
      if (absl::Status status = sink(piece); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  const uint64_t bytes_;
};

// A state of which only the size matters.
class Bulk final : public StateMachine {
 public:
  explicit Bulk(uint64_t bytes) : bytes_(bytes) {}
  void ApplyBatch(std::span<const Entry> entries, std::vector<ApplyResult>* results) override {
    if (results != nullptr) results->resize(entries.size());
  }
  std::unique_ptr<FrozenState> Freeze() override { return std::make_unique<Filler>(bytes_); }
  absl::Status Restore(Index, const SnapshotSource& source) override {
    for (;;) {
      const auto bytes = source();
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) return absl::OkStatus();
    }
  }

 private:
  const uint64_t bytes_;
};

void Propose(Node* node) {
  base::Mutex mutex;
  base::CondVar wake;
  bool done = false;
  node->Propose(std::string(100, 'c'), [&](absl::StatusOr<Applied> applied) {
    if (!applied.ok()) {
      std::fprintf(stderr, "%s\n", applied.status().ToString().c_str());
      std::exit(1);
    }
    base::MutexLock lock(&mutex);
    done = true;
    wake.Signal();
  });
  base::MutexLock lock(&mutex);
  while (!done) wake.Wait(&mutex);
}

// Proposes one by one until `done`, and prints what they took.
void Measure(const char* what, Node* node, const std::function<bool()>& done) {
  std::vector<double> took;
  const auto begin = Clock::now();
  while (!done()) {
    const auto at = Clock::now();
    Propose(node);
    took.push_back(Seconds(Clock::now() - at) * 1e3);
  }
  const double seconds = Seconds(Clock::now() - begin);
  if (took.empty()) took.push_back(0);
  std::sort(took.begin(), took.end());
  std::printf("%-24s %6.2f s, %7zu writes: p50 %.3f ms, p99 %.3f ms, max %.1f ms\n", what, seconds,
              took.size(), took[took.size() / 2], took[took.size() * 99 / 100], took.back());
}

NodeOptions OptionsFor(const std::string& directory, const std::string& id, Wire* network) {
  NodeOptions options;
  options.directory = base::StrCat(directory, "/", id);
  options.address = "127.0.0.1:8300";
  options.core.self = ServerId{id};
  options.transport = network;
  options.snapshots.interval = std::chrono::seconds(3);
  options.snapshots.entries_min = 1;
  options.snapshots.trailing_entries = 0;
  // So that the bytes of the log let its begin go.
  options.segment_bytes_min = options.segment_bytes_max = 64 << 10;
  options.log = [id](LogLevel, std::string_view text) {
    if (text.find("snapshot") == std::string_view::npos) return;
    std::printf("  %s: %.*s\n", id.c_str(), static_cast<int>(text.size()), text.data());
  };
  return options;
}

std::unique_ptr<Node> Open(const NodeOptions& options, StateMachine* machine) {
  auto node = Node::Open(options, machine);
  if (!node.ok()) {
    std::fprintf(stderr, "%s\n", node.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(node);
}

void Run(const std::string& directory, uint64_t bytes) {
  Wire network;
  Bulk machine(bytes);
  NodeOptions options = OptionsFor(directory, "a", &network);
  options.bootstrap = true;
  auto leader = Open(options, &machine);
  network.Plug(ServerId{"a"}, leader.get());
  const auto begin = Clock::now();
  leader->Start();
  while (!leader->status().leader_ready) std::this_thread::yield();
  Measure("quiet", leader.get(), [&] { return Seconds(Clock::now() - begin) > 2.9; });
  Measure("while one is written", leader.get(),
          [&] { return leader->Stats().at("last_snapshot_index") != "0"; });
  Measure("quiet", leader.get(), [begin = Clock::now()] {
    return Seconds(Clock::now() - begin) > 2.9;
  });
  Bulk other(bytes);
  auto follower = Open(OptionsFor(directory, "b", &network), &other);
  network.Plug(ServerId{"b"}, follower.get());
  follower->Start();
  std::atomic<bool> added{false};
  leader->ChangeMembership({MembershipChange::Kind::kAddLearner, ServerId{"b"}},
                           [&](absl::Status) { added = true; });
  Measure("while it is sent", leader.get(), [&] {
    return added && follower->Stats().at("last_snapshot_index") != "0";
  });
  Measure("with a follower", leader.get(), [begin = Clock::now()] {
    return Seconds(Clock::now() - begin) > 2.9;
  });
  network.Unplug(ServerId{"a"});
  network.Unplug(ServerId{"b"});
  leader->Stop();
  follower->Stop();
}

}  // namespace
}  // namespace consul::raft

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: snapshot_bench DIRECTORY [MEGABYTES]\n");
    return 1;
  }
  const uint64_t megabytes = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 256;
  consul::raft::Run(argv[1], megabytes << 20);
  return 0;
}
