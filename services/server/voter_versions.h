// services/server/voter_versions.h
//
// What the programs of those that vote know: by it the leader raises the cluster's version, and by
// it people are told which servers keep it where it is.
//
// Threads: any, once what it asks may be asked.
// Background: services/state/README.md (Versions of the program).
#ifndef CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_
#define CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "services/raft/types.h"
#include "services/server/raft_members.h"

namespace consul::server {

class VoterVersions {
 public:
  struct Options {
    // This server, and the newest version of the state machine that its program knows.
    raft::ServerId self;
    uint32_t own = 0;
    // What another server has said: 0, that its program is too old to say it; nothing, nothing.
    std::function<std::optional<uint32_t>(const raft::ServerId&)> said;
    // Its name; empty where the pool does not know it.
    std::function<std::string(const raft::ServerId&)> name_of;
  };

  // `members` outlives it.
  VoterVersions(Options options, const RaftMembers* members)
      : options_(std::move(options)), members_(members) {}

  // What a server's program knows, this one's too; nothing while it has not been heard.
  std::optional<uint32_t> Of(const raft::ServerId& id) const;
  // What the programs of all voters know; nothing while one of them has not been heard.
  std::optional<uint32_t> Common() const;
  // The voters that keep the cluster's version below `version`, for people: "b (ID) knows version
  // 3, c (ID) was not heard". A server that does not lead has been heard by its leader, not by all
  // others: it names those alone of whom it knows. Empty: none is known.
  std::string Without(uint32_t version) const;

 private:
  const Options options_;
  const RaftMembers* const members_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_
