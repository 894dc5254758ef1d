#include "services/rpc/server_order.h"

#include <algorithm>

namespace consul::rpc {
namespace {

// Chance by hand: what std::shuffle does with a seed is the library's affair, and tests name seeds.
template <typename Random>
void Shuffle(std::span<KnownServer> servers, Random* random) {
  for (size_t i = servers.size(); i > 1; --i) std::swap(servers[i - 1], servers[(*random)() % i]);
}

auto FindId(std::vector<KnownServer>* servers, std::string_view id) {
  return std::find_if(servers->begin(), servers->end(),
                      [id](const KnownServer& server) { return server.id == id; });
}

}  // namespace

void ServerOrder::Update(const ServerList& list) {
  members_ = list.members;
  std::vector<KnownServer> fresh;
  for (const KnownServer& server : list.servers) {
    if (server.alive()) fresh.push_back(server);
  }
  std::vector<KnownServer> kept;
  for (const KnownServer& server : servers_) {
    const auto found = FindId(&fresh, server.id);
    if (found == fresh.end()) continue;
    // With the address that it has now.
    kept.push_back(std::move(*found));
    fresh.erase(found);
  }
  Shuffle(fresh, &random_);
  std::move(fresh.begin(), fresh.end(), std::back_inserter(kept));
  servers_ = std::move(kept);
}

const KnownServer* ServerOrder::First(std::span<const std::string> tried) const {
  for (const KnownServer& server : servers_) {
    if (std::find(tried.begin(), tried.end(), server.id) == tried.end()) return &server;
  }
  return nullptr;
}

bool ServerOrder::Failed(std::string_view id) {
  const auto found = FindId(&servers_, id);
  if (found == servers_.end()) return false;
  const bool first = found == servers_.begin();
  std::rotate(found, found + 1, servers_.end());
  return first;
}

void ServerOrder::Prefer(std::string_view id) {
  const auto found = FindId(&servers_, id);
  if (found != servers_.end()) std::rotate(servers_.begin(), found, found + 1);
}

std::vector<KnownServer> ServerOrder::Shuffled() {
  std::vector<KnownServer> shuffled = servers_;
  Shuffle(shuffled, &random_);
  return shuffled;
}

std::chrono::milliseconds ServerOrder::Stay(std::chrono::milliseconds stay_min) {
  const auto half = static_cast<uint64_t>(stay_min.count() / 2 + 1);
  const std::chrono::milliseconds low = stay_min + std::chrono::milliseconds(random_() % half);
  if (servers_.empty()) return low;
  const size_t per_second = kNewAgentsPerSecondPerServer * servers_.size();
  return std::max(low, std::chrono::milliseconds(members_ * 1000 / per_second));
}

}  // namespace consul::rpc
