// services/raft/peer_words.h
//
// What a leader says of peers that it does not hear, and of those that refuse what it sends: the
// reference's lines, but each again only after twice as long, so that a server that stays away does
// not fill the log.
//
// Threads: all methods in a turn at Core (node_turn.cc).
#ifndef CONSUL_SERVICES_RAFT_PEER_WORDS_H_
#define CONSUL_SERVICES_RAFT_PEER_WORDS_H_

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "services/raft/core/types.h"
#include "services/raft/node_words.h"

namespace consul::raft {

class PeerWords {
 public:
  // The same is said of a peer again after so long at the latest: minutes, for a server that is
  // down is known to whoever reads the first lines.
  static constexpr Duration kPauseMax = std::chrono::minutes(1);
  // Between two refusals of one peer that are said; there are many where logs differ.
  static constexpr Duration kRefusalPause = std::chrono::seconds(10);

  // A peer is silent once it was not heard for `patience`.
  explicit PeerWords(Duration patience) : patience_(patience) {}

  // This server leads no more, or anew.
  void Clear() { peers_.clear(); }

  // Of the members that are silent now.
  std::vector<LogLine> OfSilent(Time now, const std::vector<MemberProgress>& members);
  // `peer` at `address` does not have what stands in front of what it was sent, and is sent what
  // comes from `next` on.
  std::optional<LogLine> OfRefusal(Time now, const ServerId& peer, std::string_view address,
                                   Index next);

 private:
  struct Peer {
    Time silent_at;  // said from then on
    Duration pause{0};
    Time refusal_at;
  };

  const Duration patience_;
  std::map<ServerId, Peer> peers_;
};

}  // namespace consul::raft

#endif  // CONSUL_SERVICES_RAFT_PEER_WORDS_H_
