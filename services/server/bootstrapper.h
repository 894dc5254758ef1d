// services/server/bootstrapper.h
//
// Founding at work: the thread that asks other servers for their pledges, answers theirs, and has
// the first entry of the log written when all have pledged. What is decided is in founding.h.
//
// Threads: one of its own, `bootstrap`, which sleeps once there is nothing to found; Start and Stop
// by one owner, the rest from any.
#ifndef CONSUL_SERVICES_SERVER_BOOTSTRAPPER_H_
#define CONSUL_SERVICES_SERVER_BOOTSTRAPPER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/gossip/member_list.h"
#include "services/rpc/backend.h"
#include "services/rpc/task_queue.h"
#include "services/server/founding.h"

namespace consul::server {

class Bootstrapper final : private rpc::Executor {
 public:
  struct Options {
    std::string datacenter;
    std::string self;   // node id
    size_t expect = 0;  // 0: this server founds nothing with others
    // Between two looks while something is asked or waited for.
    std::chrono::milliseconds interval = std::chrono::milliseconds(500);
    // A backend that carries calls to the server port at an address.
    std::function<std::unique_ptr<rpc::Backend>(const std::string& address)> connect;
    // Whether this server has a part in a cluster already. On any thread.
    std::function<bool()> has_state;
    // Writes the first entry of the log; tells on any thread when it is durable.
    std::function<void(const Foundation& foundation, std::function<void(absl::Status)> done)> found;
  };
  template <typename Response>
  using Done = std::function<void(absl::StatusOr<Response>)>;

  // All outlive it. `pledge` is what `file` holds.
  Bootstrapper(Options options, std::optional<Foundation> pledge, PledgeFile* file,
               const gossip::MemberList* lan, base::Logger* logger);
  ~Bootstrapper();

  void Start();
  // What is under way is cancelled; requests are refused from here on. Idempotent.
  void Stop();
  // The pool has changed.
  void MembersChanged();

  // consul.internal.bootstrap.v1.BootstrapService.
  void Pledge(Foundation foundation, Done<PledgeResponse> done);
  void Confirm(Foundation foundation, Done<bool> done);
  void Found(Foundation foundation, std::function<void(absl::Status)> done);

 private:
  using Clock = std::chrono::steady_clock;
  class OutCall;
  // What came from other threads.
  struct Inbox {
    std::vector<std::function<void()>> work;
    bool changed = false;
    bool stop = false;
  };

  void Post(rpc::Task* task) override;
  void Run();
  Inbox WaitForWork();
  // Has the thread do it; false where it has ended.
  bool Do(std::function<void()> work);
  // Whether there is nothing to found, or no longer.
  bool Idle() const;
  void Look();
  void Ask(const ServerMember& server, std::string_view method,
           std::unique_ptr<google::protobuf::Message> request);
  // All that was asked for is answered, or was not to be had.
  void Judge();
  void JudgePledges();
  void Seal();
  void Write(const Foundation& foundation, std::function<void(absl::Status)> done);
  void GiveUp(const std::string& why);
  // Each line once, until there is another one.
  void Say(base::LogLevel level, const std::string& news);
  bool Failed(const absl::Status& status);

  const Options options_;
  const gossip::MemberList* const lan_;
  base::Logger* const logger_;

  // The thread's own.
  Founding founding_;
  bool sealed_ = false;   // all have pledged: what there is to do is to write
  bool gave_up_ = false;  // there is a cluster, which will take this server in
  Clock::time_point look_at_;
  Founding::Step step_;  // what is being asked
  std::vector<std::unique_ptr<OutCall>> calls_;
  std::string said_;

  rpc::TaskQueue queue_;
  base::Mutex mutex_;
  base::CondVar changed_;
  Inbox inbox_ GUARDED_BY(mutex_);
  bool posted_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_BOOTSTRAPPER_H_
