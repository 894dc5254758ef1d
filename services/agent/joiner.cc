#include "services/agent/joiner.h"

#include <memory>
#include <utility>

#include "services/base/duration.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::agent {
namespace {

std::string Listed(const std::vector<std::string>& addresses) {
  std::string text;
  for (const std::string& address : addresses) {
    base::StrAppend(&text, text.empty() ? "" : " ", address);
  }
  return text;
}

}  // namespace

struct Joiner::Retry {
  config::GossipPool settings;
  std::function<void(absl::Status)> exhausted;
  int failures = 0;
};

void Joiner::Join(std::vector<std::string> addresses,
                  std::function<void(absl::StatusOr<uint32_t>)> done) {
  logger_->Info("agent", base::StrCat("(", name_, ") joining: [", Listed(addresses), "]"));
  pool_->Join(std::move(addresses), [this, done = std::move(done)](gossip::JoinOutcome outcome) {
    const std::string errors = gossip::ListErrors(outcome.errors);
    if (outcome.joined == 0) {
      logger_->Warn("agent", base::StrCat("(", name_, ") couldn't join: ",
                                          Listed(outcome.errors)));
      return done(rpc::Error(errors::v1::REASON_JOIN_FAILED, errors));
    }
    logger_->Info("agent", base::StrCat("(", name_, ") joined: ", outcome.joined));
    for (const std::string& error : outcome.errors) logger_->Warn("agent", error);
    done(static_cast<uint32_t>(outcome.joined));
  });
}

void Joiner::KeepTrying(const config::GossipPool& settings,
                        std::function<void(absl::Status)> exhausted) {
  if (settings.retry_join.empty()) return;
  auto retry = std::make_shared<Retry>();
  retry->settings = settings;
  retry->exhausted = std::move(exhausted);
  Attempt(std::move(retry));
}

void Joiner::Attempt(std::shared_ptr<Retry> retry) {
  Join(retry->settings.retry_join, [this, retry](absl::StatusOr<uint32_t> joined) {
    if (joined.ok()) {
      logger_->Info("agent", base::StrCat("Join ", name_, " completed. Synced with ", *joined,
                                          " initial agents"));
      return;
    }
    if (!tries_.load()) return;
    const config::GossipPool& settings = retry->settings;
    ++retry->failures;
    if (settings.retry_max != 0 && retry->failures > settings.retry_max) {
      return retry->exhausted(rpc::Error(
          errors::v1::REASON_JOIN_FAILED,
          base::StrCat("max join ", name_, " retry exhausted, exiting")));
    }
    logger_->Warn("agent", base::StrCat("Join ", name_, " failed, retrying in ",
                                        base::FormatDuration(settings.retry_interval)));
    pool_->After(settings.retry_interval, [this, retry] { Attempt(retry); });
  });
}

}  // namespace consul::agent
