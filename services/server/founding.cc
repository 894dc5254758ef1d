#include "services/server/founding.h"

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::server {
namespace {

using base::StrCat;
using internal::bootstrap::v1::PledgeResult;

bool Same(const Foundation& one, const Foundation& other) {
  return one.cluster_id() == other.cluster_id() &&
         std::equal(one.servers().begin(), one.servers().end(), other.servers().begin(),
                    other.servers().end());
}

bool Names(const Foundation& foundation, std::string_view id) {
  return std::find(foundation.servers().begin(), foundation.servers().end(), id) !=
         foundation.servers().end();
}

PledgeResponse Say(PledgeResult result, std::string why = "") {
  PledgeResponse response;
  response.set_result(result);
  response.set_why(std::move(why));
  return response;
}

}  // namespace

Founding::Founding(Options options, std::optional<Foundation> pledge, PledgeFile* file)
    : options_(std::move(options)), file_(file), pledge_(std::move(pledge)) {
  CONSUL_CHECK(!options_.self.empty());
}

bool Founding::pledge_is(const Foundation& foundation) const {
  return pledge_.has_value() && Same(*pledge_, foundation);
}

absl::Status Founding::SetPledge(std::optional<Foundation> pledge) {
  if (absl::Status status = file_->Store(pledge); !status.ok()) return status;
  pledge_ = std::move(pledge);
  return absl::OkStatus();
}

absl::StatusOr<PledgeResponse> Founding::Pledge(const Foundation& foundation) {
  if (!IsFoundation(foundation) || !Names(foundation, options_.self)) {
    return Say(internal::bootstrap::v1::PLEDGE_RESULT_REFUSED,
               "the foundation does not name this server");
  }
  if (size_t(foundation.servers_size()) != options_.expect) {
    return Say(internal::bootstrap::v1::PLEDGE_RESULT_REFUSED,
               StrCat("it expects ", options_.expect, " servers, and not ",
                      foundation.servers_size()));
  }
  if (pledge_is(foundation)) return Say(internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED);
  // Its own proposal gives way to one of a lower id: that is to withdraw it.
  const bool free = !pledge_.has_value() || (own() && foundation.servers(0) < options_.self);
  if (!free) {
    PledgeResponse elsewhere = Say(internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED_ELSEWHERE);
    *elsewhere.mutable_elsewhere() = *pledge_;
    return elsewhere;
  }
  if (absl::Status status = SetPledge(foundation); !status.ok()) return status;
  return Say(internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED);
}

Founding::Step Founding::Look(const std::vector<ServerMember>& servers) const {
  Step step;
  std::vector<const ServerMember*> alive;
  for (const ServerMember& server : servers) {
    if (!server.alive()) continue;
    if (server.bootstrap) {
      step.news = StrCat("Member ", server.name, " has bootstrap mode. Expect disabled.");
      step.error = true;
      return step;
    }
    if (server.expect != 0 && server.expect != options_.expect) {
      step.news = StrCat("Member ", server.name, " has a conflicting expect value. "
                         "All nodes should expect the same number.");
      step.error = true;
      return step;
    }
    if (server.expect != 0) alive.push_back(&server);
  }
  if (alive.size() < options_.expect) {
    step.news = StrCat("waiting for ", options_.expect, " servers to found a cluster: ",
                       alive.size(), " known");
    return step;
  }
  // They are ordered by id.
  if (alive.front()->id.value != options_.self) return step;
  step.kind = Step::Kind::kAsk;
  for (size_t i = 0; i < options_.expect; ++i) {
    step.foundation.add_servers(alive[i]->id.value);
    if (i > 0) step.others.push_back(*alive[i]);
  }
  return step;
}

absl::StatusOr<Founding::Step> Founding::Next(const std::vector<ServerMember>& servers) {
  Step look = Look(servers);
  if (pledge_.has_value() && !own()) {
    Step step;
    step.foundation = *pledge_;
    const ServerMember* const proposer = FindServer(servers, raft::ServerId{pledge_->servers(0)});
    if (proposer != nullptr && proposer->alive()) {
      step.kind = Step::Kind::kConfirm;
      step.others.push_back(*proposer);
    } else {
      step.news = StrCat("waiting for server ", pledge_->servers(0),
                         ", with which this one has pledged to found a cluster");
    }
    return step;
  }
  if (own()) {
    const bool as_before =
        look.kind == Step::Kind::kAsk &&
        std::equal(look.foundation.servers().begin(), look.foundation.servers().end(),
                   pledge_->servers().begin(), pledge_->servers().end());
    if (as_before) {
      look.foundation = *pledge_;
      return look;
    }
    if (absl::Status status = SetPledge(std::nullopt); !status.ok()) return status;
  }
  if (look.kind != Step::Kind::kAsk) return look;
  look.foundation.set_cluster_id(base::MakeUuid());
  if (absl::Status status = SetPledge(look.foundation); !status.ok()) return status;
  look.news = "Found expected number of peers, attempting bootstrap";
  return look;
}

absl::StatusOr<Founding::Outcome> Founding::Answered(const Foundation& foundation,
                                                     const PledgeResponse& response) {
  switch (response.result()) {
    case internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED:
      // It may have been withdrawn while the answer was on its way.
      return pledge_is(foundation) ? Outcome::kPledged : Outcome::kTryAgain;
    case internal::bootstrap::v1::PLEDGE_RESULT_PLEDGED_ELSEWHERE:
      if (pledge_is(foundation) && IsFoundation(response.elsewhere()) &&
          response.elsewhere().servers(0) < options_.self) {
        absl::Status status = SetPledge(std::nullopt);
        if (!status.ok()) return status;
      }
      return Outcome::kTryAgain;
    case internal::bootstrap::v1::PLEDGE_RESULT_HAS_STATE:
      if (pledge_is(foundation)) {
        absl::Status status = SetPledge(std::nullopt);
        if (!status.ok()) return status;
      }
      return Outcome::kGiveUp;
    default:
      return Outcome::kTryAgain;
  }
}

absl::Status Founding::Withdrawn(const Foundation& foundation) {
  return pledge_is(foundation) && !own() ? SetPledge(std::nullopt) : absl::OkStatus();
}

}  // namespace consul::server
