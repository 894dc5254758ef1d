#include "services/agent/node_sync.h"

#include <google/protobuf/util/message_differencer.h>
#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "consul/internal/catalog/v1/node_sync.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"

namespace consul::agent {
namespace {

bool Same(catalog::v1::Node have, const catalog::v1::Node& want) {
  have.clear_create_index();
  have.clear_modify_index();
  return google::protobuf::util::MessageDifferencer::Equals(have, want);
}

// Whether two coordinates of one agent differ by enough to be worth a write: a tenth of a
// millisecond, or a tenth of the error. A pool at rest jitters by less.
bool HasMoved(const coordinate::v1::Coordinate& from, const coordinate::v1::Coordinate& to) {
  constexpr double kSeconds = 0.0001;
  constexpr double kError = 0.1;
  double squares = 0;
  for (int i = 0; i < std::min(from.vec_size(), to.vec_size()); ++i) {
    squares += (from.vec(i) - to.vec(i)) * (from.vec(i) - to.vec(i));
  }
  const double moved = std::sqrt(squares) + std::abs(from.height() - to.height()) +
                       std::abs(from.adjustment() - to.adjustment());
  return moved > kSeconds || std::abs(from.error() - to.error()) > kError;
}

}  // namespace

NodeSync::NodeSync(catalog::v1::Node node, std::string generation, rpc::Backend* backend,
                   base::Logger* logger, Times times)
    : node_(std::move(node)),
      generation_(std::move(generation)),
      backend_(backend),
      logger_(logger),
      times_(times) {}

NodeSync::~NodeSync() { Stop(); }

absl::Status NodeSync::Sync(bool hold) {
  catalog::v1::GetNodeRequest ask;
  ask.set_node(node_.node());
  catalog::v1::GetNodeResponse there;
  const rpc::Method& get = rpc::PublicApi().Get("/consul.catalog.v1.CatalogService/GetNode");
  absl::Status status = calls_.Run(backend_, get, ask, &there, hold);
  if (!status.ok() || Same(there.entry().node(), node_)) return status;
  internal::catalog::v1::SyncNodeRequest write;
  *write.mutable_node() = node_;
  write.set_generation(generation_);
  internal::catalog::v1::SyncNodeResponse written;
  const rpc::Method& sync =
      rpc::InternalApi().Get("/consul.internal.catalog.v1.NodeSyncService/SyncNode");
  status = calls_.Run(backend_, sync, write, &written, hold);
  if (!status.ok()) return status;
  logger_->Log(base::LogLevel::kDebug, "agent", "Synced node info");
  // It may have been away, and its coordinate with it.
  told_place_.reset();
  return status;
}

bool NodeSync::Try(bool hold) {
  const absl::Status status = Sync(hold);
  if (status.ok()) left_ = false;
  if (status.ok() || Stopping()) return true;
  const errors::v1::Reason reason = rpc::Detail(status).reason();
  if (reason == errors::v1::REASON_NODE_LEFT && std::exchange(left_, true)) return false;
  // With no server to ask there was no call that could have failed.
  const std::string_view called = reason == errors::v1::REASON_NO_SERVERS ? "" : "rpc error: ";
  logger_->Error("agent", base::StrCat("failed to sync remote state: ", called,
                                       base::ToStd(status.message())));
  return false;
}

void NodeSync::TryNow() { Try(/*hold=*/false); }

void NodeSync::Begin() {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "node-sync");
}

void NodeSync::TrySoon() {
  base::MutexLock lock(&mutex_);
  due_ = true;
  changed_.Signal();
}

bool NodeSync::Stopping() {
  base::MutexLock lock(&mutex_);
  return stop_;
}

void NodeSync::AskToStop() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    changed_.Signal();
  }
  calls_.Interrupt();
}

void NodeSync::Stop() {
  AskToStop();
  if (thread_.joinable()) thread_.join();
}

void NodeSync::Run() {
  // The first try was made by TryNow, most likely too early.
  Clock::time_point sync_at = Clock::now() + times_.retry;
  Clock::time_point place_at = NextPlace();
  for (;;) {
    bool sync = false;
    {
      base::MutexLock lock(&mutex_);
      while (!stop_ && !due_) {
        const Clock::time_point now = Clock::now();
        const Clock::time_point next = std::min(sync_at, place_at);
        if (now >= next) break;
        changed_.WaitFor(&mutex_, next - now);
      }
      if (stop_) return;
      sync = std::exchange(due_, false) || Clock::now() >= sync_at;
    }
    if (sync) {
      const bool well = Try(/*hold=*/true);
      sync_at = Clock::now() + (well ? times_.interval : times_.retry);
    }
    if (Clock::now() >= place_at) {
      // Without a node there is no place for it.
      if (!left_) TellPlace();
      place_at = NextPlace();
    }
  }
}

NodeSync::Clock::time_point NodeSync::NextPlace() {
  if (places_.own == nullptr) return Clock::time_point::max();
  const std::chrono::milliseconds fair(1000 * places_.members() / times_.places_per_second);
  const std::chrono::milliseconds least = std::max(times_.place, fair);
  std::uniform_int_distribution<int64_t> extra(0, least.count());
  return Clock::now() + least + std::chrono::milliseconds(extra(random_));
}

void NodeSync::TellPlace() {
  const std::optional<coordinate::v1::Coordinate> place = places_.own();
  if (!place.has_value()) return;
  const bool again = told_place_.has_value() && Clock::now() - told_at_ < times_.place_again;
  if (again && !HasMoved(*told_place_, *place)) return;
  coordinate::v1::UpdateRequest update;
  update.set_node(node_.node());
  *update.mutable_coord() = *place;
  coordinate::v1::UpdateResponse updated;
  const rpc::Method& method =
      rpc::PublicApi().Get("/consul.coordinate.v1.CoordinateService/Update");
  const absl::Status status = calls_.Run(backend_, method, update, &updated);
  if (status.ok() && updated.applied()) {
    told_place_ = place;
    told_at_ = Clock::now();
  } else if (!status.ok() && !Stopping()) {
    logger_->Error("agent", base::StrCat("Coordinate update error: ",
                                         base::ToStd(status.message())));
  }
}

}  // namespace consul::agent
