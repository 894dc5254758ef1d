#include "services/gossip/pool.h"

namespace consul::gossip {

const char* EventName(EventKind kind) {
  switch (kind) {
    case EventKind::kMemberJoin:
      return "EventMemberJoin";
    case EventKind::kMemberLeave:
      return "EventMemberLeave";
    case EventKind::kMemberFailed:
      return "EventMemberFailed";
    case EventKind::kMemberReap:
      return "EventMemberReap";
    case EventKind::kMemberUpdate:
      return "EventMemberUpdate";
  }
  return "";
}

Pool::Pool(agent::v1::Member self, Listener listener)
    : self_(std::move(self)), listener_(std::move(listener)) {
  Tick();
  Publish(agent::v1::MEMBER_STATUS_ALIVE);
  listener_({EventKind::kMemberJoin, self_});
}

void Pool::Leave() {
  if (self_.status() != agent::v1::MEMBER_STATUS_ALIVE) return;
  Tick();
  Publish(agent::v1::MEMBER_STATUS_LEAVING);
  Publish(agent::v1::MEMBER_STATUS_LEFT);
  listener_({EventKind::kMemberLeave, self_});
}

void Pool::Publish(agent::v1::MemberStatus status) {
  self_.set_status(status);
  auto members = std::make_shared<Members>();
  *members->add_members() = self_;
  list_.Publish(std::move(members));
}

std::vector<std::pair<std::string, std::string>> Pool::Stats() const {
  const std::shared_ptr<const Members> members = this->members();
  int failed = 0;
  int left = 0;
  for (const agent::v1::Member& member : members->members()) {
    failed += member.status() == agent::v1::MEMBER_STATUS_FAILED ? 1 : 0;
    left += member.status() == agent::v1::MEMBER_STATUS_LEFT ? 1 : 0;
  }
  // A pool of one sends no event and no query: their clocks stand where they started, and nothing
  // waits in a queue.
  return {
      {"coordinate_resets", "0"},
      {"encrypted", "false"},
      {"event_queue", "0"},
      {"event_time", "1"},
      {"failed", std::to_string(failed)},
      {"health_score", "0"},
      {"intent_queue", "0"},
      {"left", std::to_string(left)},
      {"member_time", std::to_string(member_time_.load(std::memory_order_relaxed))},
      {"members", std::to_string(members->members_size())},
      {"query_queue", "0"},
      {"query_time", "1"},
  };
}

}  // namespace consul::gossip
