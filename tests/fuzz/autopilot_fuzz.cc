// Goal: whatever servers say of themselves, which comes from other machines, the leader makes
// changes of it that a configuration can take, stays in it, and comes to rest. The input is a list
// of members as a message; the leader is the server "a", and two others took part before.
#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "services/server/autopilot.h"

namespace {

using consul::raft::Configuration;
using consul::raft::MemberKind;
using consul::raft::MembershipChange;
using consul::raft::ServerId;
using consul::server::Autopilot;
using consul::server::AutopilotView;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

Configuration Changed(const Configuration& configuration, const MembershipChange& change) {
  switch (change.kind) {
    case MembershipChange::Kind::kAddLearner:
      return configuration.With(change.id, MemberKind::kLearner);
    case MembershipChange::Kind::kAddVoter:
      return configuration.With(change.id, MemberKind::kVoter);
    case MembershipChange::Kind::kDemote:
      break;
    case MembershipChange::Kind::kRemove:
      return configuration.Without(change.id);
  }
  std::abort();
}

void Observe(AutopilotView* view, Autopilot* autopilot) {
  view->progress.clear();
  for (const auto& member : view->configuration.members()) {
    if (member.id == view->self) continue;
    view->progress.push_back({member.id, view->last_index, view->now});
  }
  autopilot->Observe(*view);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  consul::agent::v1::ListMembersResponse members;
  if (!members.ParseFromArray(data, static_cast<int>(size))) return 0;
  AutopilotView view;
  view.settings = consul::server::DefaultAutopilotConfiguration();
  view.self = ServerId{"a"};
  view.term = consul::raft::Term{1};
  view.last_index = consul::raft::Index{9};
  view.pool = consul::server::ServerMembers(members, "dc1");
  for (const char* const id : {"a", "b", "c"}) {
    view.configuration = view.configuration.With(ServerId{id}, MemberKind::kVoter);
  }
  Autopilot autopilot;
  // An hour, in which nobody does anything but the leader. Each server is added, promoted and
  // removed once at most.
  size_t changes = 0;
  for (int step = 0; step < 360; ++step) {
    view.now += std::chrono::seconds(10);
    Observe(&view, &autopilot);
    const auto decision = autopilot.Decide(view);
    for (const auto& action : decision.actions) Require(!action.news.empty());
    for (const auto& obstacle : decision.obstacles) Require(!obstacle.empty());
    if (decision.actions.empty()) continue;
    const Configuration next = Changed(view.configuration, decision.actions.front().change);
    Require(next != view.configuration && next.IsVoter(view.self));
    view.configuration = next;
    ++changes;
  }
  Require(changes <= 3 * (view.pool.size() + 3));
  return 0;
}
