// services/server/voter_versions.h
//
// What the programs of those that vote know: by it the leader raises the cluster's version, and
// people are told which servers keep it where it is. It also keeps raises and promotions apart: a
// server that becomes a voter while the version is raised might not know what it is raised to.
//
// Threads: any, once what it asks may be asked.
// Background: services/state/README.md (Versions of the program).
#ifndef CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_
#define CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "services/base/mutex.h"
#include "services/raft/core/types.h"
#include "services/server/raft_members.h"

namespace consul::server {

class VoterVersions {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    // This server, and the newest version of the state machine that its program knows.
    raft::ServerId self;
    uint32_t own = 0;
    // What another server has said: 0, that its program is too old to say it; nothing, nothing.
    std::function<std::optional<uint32_t>(const raft::ServerId&)> said;
    // Its name; empty where the pool does not know it.
    std::function<std::string(const raft::ServerId&)> name_of;
    // The cluster's version, as this server has applied it.
    std::function<uint32_t()> cluster_version;
    // So long all voters are to have been heard with a version, without a break, before the cluster
    // is raised to it: until then whoever is not content with a new program can go back.
    std::function<Clock::duration()> stable_for = [] { return Clock::duration::zero(); };
  };
  // A cluster that is not named yet has nothing to go back to.
  enum class Hold { kUntilStable, kNone };
  // What is known of a raise that was proposed.
  enum class Outcome { kKnown, kInDoubt };
  // What is to be done about the cluster's version.
  struct Raise {
    enum class Kind {
      kNone,   // it is what all voters know, as far as they were heard
      kLater,  // it is to be asked again, not before `at`
      kNow,    // `version` is to be proposed for `term`, and EndRaise called
    };
    Kind kind = Kind::kNone;
    Clock::time_point at{};
    uint32_t version = 0;
    raft::Term term{};
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

  // What a server says may be other than it was, or it is not heard any more: a break in the time
  // for which all were heard. Whoever calls BeginRaise has noticed by then.
  void Changed(Clock::time_point now);
  // With kNow nobody is promoted who does not know the version until EndRaise is called: once the
  // proposal is applied, or it is known that it never will be, or nobody can say. One in doubt may
  // be in the log: the ban holds, and nothing else is raised, until the version is applied or this
  // server leads a later term, by which all that its log held of an earlier one is applied.
  Raise BeginRaise(Clock::time_point now, Hold hold);
  void EndRaise(Outcome outcome);
  // Whether the server may become a voter now: it knows the cluster's version, and what that is
  // being raised to. Then nothing is raised until EndPromotion is called.
  bool BeginPromotion(const raft::ServerId& id);
  void EndPromotion();

 private:
  std::optional<uint32_t> CommonOf(const RaftMembers::View& view) const;
  void LookLocked(Clock::time_point now, const RaftMembers::View& view) REQUIRES_LOCK(mutex_);
  // Ends a raise in doubt that is so no more.
  void SettleLocked(const RaftMembers::View& view) REQUIRES_LOCK(mutex_);

  const Options options_;
  const RaftMembers* const members_;

  // Held while it is looked, never over a wait.
  base::Mutex mutex_;
  // As seen last, and since when: of one lead of this server.
  std::optional<uint32_t> common_ GUARDED_BY(mutex_);
  raft::Term common_term_ GUARDED_BY(mutex_);
  Clock::time_point common_since_ GUARDED_BY(mutex_);
  uint32_t raising_to_ GUARDED_BY(mutex_) = 0;  // 0: it is not
  raft::Term raising_term_ GUARDED_BY(mutex_);
  bool in_doubt_ GUARDED_BY(mutex_) = false;  // proposed, and nobody can say what became of it
  bool promoting_ GUARDED_BY(mutex_) = false;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_VOTER_VERSIONS_H_
