// cli/settings_watch.h
//
// Asks an agent for its GatewaySettings: until it is there, and again and again from then on, for
// it may be started anew with others. One call at a time.
//
// Threads: one owner, but for `wake`, which is called on any.
#ifndef CONSUL_CLI_SETTINGS_WATCH_H_
#define CONSUL_CLI_SETTINGS_WATCH_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/mutex.h"
#include "services/rpc/backend.h"
#include "services/rpc/task_queue.h"

namespace consul::cli {

// From an answer to the next question, while the agent answers and while it does not. An answer
// costs the agent some 50 us; one that has come back is known of before a person looks.
inline constexpr std::chrono::milliseconds kAskAgain{1000};
inline constexpr std::chrono::milliseconds kAskUntilAnswered{200};

class SettingsWatch final : private rpc::Executor {
 public:
  using Clock = std::chrono::steady_clock;
  using Answer = absl::StatusOr<agent::v1::GatewaySettings>;

  // `wake` makes the owner call Turn soon; `heard` is told, inside Turn, each answer that came.
  // `backend` outlives the watch.
  SettingsWatch(rpc::Backend* backend, std::function<void()> wake,
                std::function<void(Answer)> heard);
  // Gives up a call that is under way, and waits until the backend has let go of it.
  ~SettingsWatch();

  // Tells what was answered, and asks when it is time to. Returns when it is to be called again,
  // unless it is woken before; nullopt: then alone.
  std::optional<Clock::time_point> Turn(Clock::time_point now);

 private:
  class Question;

  void Post(rpc::Task* task) override;
  // Runs what was posted; true when that, or what came before, has answered the question.
  bool IsAnswered();
  void Ask();

  rpc::Backend* const backend_;
  const std::function<void()> wake_;
  const std::function<void(Answer)> heard_;
  const rpc::Method& method_;
  rpc::TaskQueue tasks_;
  base::Mutex mutex_;
  base::CondVar posted_;
  bool has_tasks_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<Question> question_;  // asked, and its answer not told yet; null: none
  Clock::time_point next_ = Clock::time_point::min();
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_SETTINGS_WATCH_H_
