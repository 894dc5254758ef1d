#include "services/server/departure.h"

#include <future>
#include <memory>
#include <thread>

#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::server {
namespace {

using Clock = std::chrono::steady_clock;

absl::Status HandOver(RaftMembers* members) {
  const auto told = std::make_shared<std::promise<absl::Status>>();
  members->Transfer(raft::ServerId{}, [told](absl::Status status) { told->set_value(status); });
  return told->get_future().get();
}

}  // namespace

absl::Status LeaveConsensus(const DepartureTimes& times, RaftMembers* members,
                            const std::function<absl::Status()>& ask) {
  const Clock::time_point end = Clock::now() + times.limit;
  Clock::time_point led_at = Clock::now();  // or looked for first
  raft::Index placed;
  Clock::time_point placed_since = Clock::now();
  absl::Status last;
  for (; Clock::now() < end; std::this_thread::sleep_for(times.interval)) {
    const RaftMembers::View view = members->view();
    const raft::Configuration& configuration = view.configuration.configuration;
    if (!configuration.Contains(view.self) || configuration.IsSoleVoter(view.self)) {
      return absl::OkStatus();
    }
    const Clock::time_point now = Clock::now();
    if (view.configuration.index != placed) placed_since = now;
    placed = view.configuration.index;
    if (view.leader.empty()) {
      if (now - led_at >= times.leader_wait) {
        return rpc::Error(errors::v1::REASON_NO_LEADER,
                          "No cluster leader: the agent did not leave");
      }
      continue;
    }
    led_at = now;
    if (view.leader != view.self) {
      last = ask();
      if (last.ok()) return last;
    } else if (view.leads && now - placed_since >= times.quiet) {
      last = HandOver(members);
    }
  }
  return absl::DeadlineExceededError(
      base::StrCat("the server did not leave: ", base::ToStd(last.message())));
}

}  // namespace consul::server
