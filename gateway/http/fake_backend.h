// gateway/http/fake_backend.h
//
// A backend for tests of the HTTP face: a key-value store in memory with blocking reads, and a few
// fixed answers for the rest of the API. It keeps the contract of rpc::Backend to the letter.
//
// Threads: any; calls stay on their executors.
#ifndef CONSUL_GATEWAY_HTTP_FAKE_BACKEND_H_
#define CONSUL_GATEWAY_HTTP_FAKE_BACKEND_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "consul/kv/v1/kv.pb.h"
#include "services/base/mutex.h"
#include "services/rpc/backend.h"

namespace consul::gateway::http {

class FakeBackend final : public rpc::Backend {
 public:
  FakeBackend();
  ~FakeBackend();

  void Start(rpc::Call* call) override;
  void Idle() override { ++idles_; }

  // Sets a key as a PUT does, and wakes who waits for it.
  void Set(std::string_view key, std::string_view value);
  // Sets `count` keys at once: PREFIX000000 and so on.
  void SetMany(std::string_view prefix, int count, std::string_view value);
  // Calls that wait now.
  size_t waiting() const;
  // Calls that ended because they were cancelled.
  size_t cancelled() const { return cancelled_.load(); }
  // How often a loop said that it is idle.
  size_t idles() const { return idles_.load(); }
  // Holds on the rows of replies, beyond Done.
  long holds() const { return rows_.use_count() - 1; }
  // Every answer says from now on that it is the `number`th that calls share, and is still made
  // anew for each, so that a test sees which one its client was given. 0: it is nobody else's.
  void NumberAnswers(uint64_t number) { number_ = number; }
  // Calls that wait are told to their executors as some whose answers others bring soon.
  void AnswerSoon() { soon_ = true; }
  // Which answered the last call.
  std::thread::id last_thread() const { return last_thread_.load(); }
  // Every call fails so from now on; ok: as usual again.
  void FailWith(absl::Status status);
  // The token of the last call.
  std::string last_token() const;

 private:
  class Parked;
  struct Table {
    std::map<std::string, kv::v1::KeyValue, std::less<>> entries;
    uint64_t index = 1;
  };
  using Answer = std::function<absl::Status(FakeBackend*, const rpc::Call&)>;

  void Answers();
  void Run(rpc::Call* call);
  const Table& table() const { return *table_.load(std::memory_order_acquire); }
  void Change(const std::function<void(Table*)>& change);
  void Remove(Parked* parked);

  absl::Status Save(rpc::Call* call);
  absl::Status Get(const rpc::Call& call);
  absl::Status List(const rpc::Call& call);
  absl::Status ListKeys(const rpc::Call& call);
  absl::Status Put(const rpc::Call& call);
  absl::Status Delete(const rpc::Call& call);
  absl::Status DeleteTree(const rpc::Call& call);
  absl::Status ListNodes(const rpc::Call& call);
  absl::Status GetNode(const rpc::Call& call);
  absl::Status GetSelf(const rpc::Call& call);

  std::vector<Answer> answers_;  // by method id
  std::atomic<const Table*> table_;
  std::atomic<size_t> cancelled_{0};
  std::atomic<size_t> idles_{0};
  std::atomic<uint64_t> number_{0};
  std::atomic<bool> soon_{false};
  std::atomic<std::thread::id> last_thread_{};
  const rpc::Rows rows_;
  std::atomic<bool> failing_{false};
  mutable base::Mutex mutex_;
  // Kept for readers that may still look at them: tests are short.
  std::vector<std::unique_ptr<const Table>> tables_ GUARDED_BY(mutex_);
  std::set<Parked*> parked_ GUARDED_BY(mutex_);
  absl::Status failure_ GUARDED_BY(mutex_);
  std::string last_token_ GUARDED_BY(mutex_);
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_FAKE_BACKEND_H_
