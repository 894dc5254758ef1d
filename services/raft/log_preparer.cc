#include "services/raft/log_preparer.h"

#include <utility>

#include "services/base/check.h"

namespace consul::raft {

LogPreparer::~LogPreparer() {
  cancelled_ = true;
  if (thread_.joinable()) thread_.join();
}

void LogPreparer::Start(const SegmentHeader& header) {
  CONSUL_CHECK(!busy());
  made_.reset();
  thread_ = std::thread([this, header] {
    made_.emplace(Segment::Create(file_system_, directory_, header, &cancelled_));
  });
}

absl::StatusOr<std::unique_ptr<Segment>> LogPreparer::Take() {
  CONSUL_CHECK(busy());
  thread_.join();
  return std::move(*made_);
}

}  // namespace consul::raft
