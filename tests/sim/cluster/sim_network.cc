#include "tests/sim/cluster/sim_network.h"

#include <utility>
#include <variant>

#include "services/base/strings.h"
#include "services/raft/core/text.h"

namespace consul::sim {
namespace {

bool IsBetweenDrivers(const raft::Message& message) {
  return std::holds_alternative<raft::ForwardedProposals>(message.body) ||
         std::holds_alternative<raft::ProposalsPlaced>(message.body) ||
         std::holds_alternative<raft::ReadIndexRequest>(message.body) ||
         std::holds_alternative<raft::ReadIndexReply>(message.body);
}

}  // namespace

Duration SimNetwork::Delay() {
  Duration delay = world_->Between(weather_.delay_min, weather_.delay_max);
  if (weather_.straggling > 0 && world_->Chance(weather_.straggling)) {
    delay += world_->Between(Duration{0}, weather_.straggle_max);
  }
  return delay;
}

void SimNetwork::Send(raft::Message message) {
  const bool lost = IsCut(message.from, message.to) ||
                    (weather_.loss > 0 && world_->Chance(weather_.loss));
  if (world_->tracing()) {
    world_->Trace(base::StrCat(raft::ToText(message), lost ? " (lost)" : ""));
  }
  if (lost) return;
  if (weather_.repetition > 0 && !IsBetweenDrivers(message) &&
      world_->Chance(weather_.repetition)) {
    Post(message);
  }
  Post(std::move(message));
}

void SimNetwork::Post(raft::Message message) {
  const uint64_t streams = StreamsOf(message);
  world_->After(Delay(), [this, streams, message = std::move(message)]() mutable {
    if (IsCut(message.from, message.to)) return;
    if (IsBetweenDrivers(message) && StreamsOf(message) != streams) return;
    deliver_(std::move(message));
  });
}

}  // namespace consul::sim
