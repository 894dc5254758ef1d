#include "services/server/cluster_name.h"

#include <algorithm>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/uuid.h"
#include "services/state/version.h"
#include "services/state/watch_set.h"

namespace consul::server {

std::string NameIn(const raft::Entry& entry) {
  internal::raft::v1::Command command;
  if (entry.kind != raft::EntryKind::kCommand || entry.payload == nullptr ||
      !command.ParseFromString(*entry.payload)) {
    return "";
  }
  return std::move(*command.mutable_set_cluster_id()->mutable_cluster_id());
}

bool BeginsWith(const raft::PlacedConfiguration& newest, const Foundation& foundation) {
  const auto& members = newest.configuration.members();
  return newest.index == raft::Index{1} &&
         std::ranges::equal(members, foundation.servers(), {}, [](const raft::Member& member) {
           return member.id.value;
         });
}

Foundation FoundationOf(const std::string& self) {
  Foundation foundation;
  foundation.set_cluster_id(base::MakeUuid());
  foundation.add_servers(self);
  return foundation;
}

void NameWatch::Look() {
  for (;;) {
    state::WatchSet watched;
    const auto newest = source_->Load();
    const std::string& id = static_cast<const state::Version&>(*newest).cluster_id(&watched);
    if (!id.empty()) return named_(id);
    if (source_->Park(shared_from_this(), watched, newest->IndexOf(watched))) return;
  }
}

}  // namespace consul::server
