#include "services/agent/node_sync.h"

#include <google/protobuf/util/message_differencer.h>
#include <pthread.h>

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
  if (status.ok()) logger_->Log(base::LogLevel::kDebug, "agent", "Synced node info");
  return status;
}

bool NodeSync::Try(bool hold) {
  const absl::Status status = Sync(hold);
  if (status.ok() || Stopping()) return true;
  const errors::v1::Reason reason = rpc::Detail(status).reason();
  if (reason == errors::v1::REASON_NODE_LEFT) AskToStop();
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
  bool well = false;
  for (;;) {
    {
      base::MutexLock lock(&mutex_);
      while (!stop_ && !due_) {
        if (!changed_.WaitFor(&mutex_, well ? times_.interval : times_.retry)) break;
      }
      if (stop_) return;
      due_ = false;
    }
    well = Try(/*hold=*/true);
  }
}

}  // namespace consul::agent
