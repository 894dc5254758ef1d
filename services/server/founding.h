// services/server/founding.h
//
// How servers that expect each other (`-bootstrap-expect N`) found one cluster and never two: by
// pledges. The server with the lowest node id of N proposes a foundation, which names the N; each
// of them pledges to it, durably, and to no other; when all have, all write the same first entry of
// the log. Only the proposer can withdraw a foundation, and only before it has written that entry;
// another proposal has another id, so that what was withdrawn stays so.
//
// Two foundations that share a server are never both complete, since that server pledges to one
// only. Two that share none need 2 N servers that expect each other in two parts of a pool, which
// is two clusters for whoever looks: each server learns of it by the id in what it hears.
//
// Progress: of two proposers that stand in each other's way the one with the higher id withdraws,
// and whoever had pledged to it asks and is free. Where a proposer is gone for good, who has
// pledged to it waits for it: nobody else can know whether it has founded.
//
// Threads: one at a time; the owner locks.
#ifndef CONSUL_SERVICES_SERVER_FOUNDING_H_
#define CONSUL_SERVICES_SERVER_FOUNDING_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "consul/internal/bootstrap/v1/bootstrap.pb.h"
#include "services/server/pledge_file.h"
#include "services/server/server_members.h"

namespace consul::server {

using internal::bootstrap::v1::Foundation;
using internal::bootstrap::v1::PledgeResponse;

class Founding {
 public:
  struct Options {
    std::string self;   // node id
    size_t expect = 0;  // servers of the cluster, this one among them
  };

  // `pledge` is what the file holds. `file` outlives this.
  Founding(Options options, std::optional<Foundation> pledge, PledgeFile* file);

  // ---- What others ask. An error is the disk's: nothing was promised.

  // REQUIRES: this server has no raft state.
  absl::StatusOr<PledgeResponse> Pledge(const Foundation& foundation);
  // Whether this server, which has no raft state, still proposes it.
  bool Stands(const Foundation& foundation) const { return pledge_is(foundation); }
  // Whether it may write the first entry of it.
  bool pledge_is(const Foundation& foundation) const;

  // ---- What this server does next, while it has no raft state.

  struct Step {
    enum class Kind {
      kWait,     // `news` says for what; look again when the pool changes
      kAsk,      // ask `others` for their pledges to `foundation`
      kConfirm,  // ask `others`, which is the proposer, whether `foundation` stands
    };
    Kind kind = Kind::kWait;
    Foundation foundation;
    std::vector<ServerMember> others;
    std::string news;  // a line for the log, where there is anything to say
    bool error = false;  // the line is about a mistake of the operator's
  };
  // Of the servers of the pool, by id. Proposes, or withdraws what can no longer be.
  absl::StatusOr<Step> Next(const std::vector<ServerMember>& servers);

  // What became of a request for a pledge.
  enum class Outcome {
    kPledged,
    kTryAgain,  // not yet, or this server has withdrawn and may propose anew later
    kGiveUp,    // there is a cluster already: its leader will add this server
  };
  absl::StatusOr<Outcome> Answered(const Foundation& foundation, const PledgeResponse& response);

  // The proposer does not stand by it.
  absl::Status Withdrawn(const Foundation& foundation);

  // What this server is pledged to.
  const std::optional<Foundation>& pledge() const { return pledge_; }

 private:
  bool own() const { return pledge_.has_value() && pledge_->servers(0) == options_.self; }
  absl::Status SetPledge(std::optional<Foundation> pledge);
  Step Look(const std::vector<ServerMember>& servers) const;

  const Options options_;
  PledgeFile* const file_;
  std::optional<Foundation> pledge_;
};

}  // namespace consul::server

#endif  // CONSUL_SERVICES_SERVER_FOUNDING_H_
