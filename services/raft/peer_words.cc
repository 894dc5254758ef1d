#include "services/raft/peer_words.h"

#include <algorithm>
#include <chrono>

#include "services/base/duration.h"
#include "services/base/strings.h"

namespace consul::raft {

using base::StrCat;

std::vector<LogLine> PeerWords::OfSilent(Time now, const std::vector<MemberProgress>& members) {
  std::vector<LogLine> lines;
  for (const MemberProgress& member : members) {
    const Duration silent = now - member.heard_at;
    if (silent < patience_) {
      const auto known = peers_.find(member.id);
      if (known != peers_.end()) known->second.pause = Duration{0};
      continue;
    }
    Peer& peer = peers_[member.id];
    if (peer.pause > Duration{0} && now < peer.silent_at) continue;
    peer.pause = std::clamp(2 * peer.pause, patience_, kPauseMax);
    peer.silent_at = now + peer.pause;
    lines.push_back({LogLevel::kWarn,
                     StrCat("raft: failed to contact: server-id=", member.id.value, " time=",
                            base::FormatDuration(std::chrono::floor<std::chrono::milliseconds>(
                                silent)))});
  }
  return lines;
}

std::optional<LogLine> PeerWords::OfRefusal(Time now, const ServerId& peer,
                                            std::string_view address, Index next) {
  Peer& known = peers_[peer];
  if (now < known.refusal_at) return std::nullopt;
  known.refusal_at = now + kRefusalPause;
  return LogLine{LogLevel::kWarn,
                 StrCat("raft: appendEntries rejected, sending older logs: peer=", peer.value,
                        " address=", address, " next=", next.value)};
}

}  // namespace consul::raft
