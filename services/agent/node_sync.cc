#include "services/agent/node_sync.h"

#include <google/protobuf/util/message_differencer.h>
#include <pthread.h>

#include <future>
#include <memory>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/state/command.h"
#include "services/state/version.h"

namespace consul::agent {

NodeSync::NodeSync(catalog::v1::Node node, std::string generation, rpc::Consensus* consensus,
                   state::VersionSource* state, base::Logger* logger,
                   std::chrono::milliseconds interval)
    : node_(std::move(node)),
      generation_(std::move(generation)),
      consensus_(consensus),
      state_(state),
      logger_(logger),
      interval_(interval) {}

NodeSync::~NodeSync() { Stop(); }

bool NodeSync::InSync() const {
  const auto newest = state_->Load();
  const auto& version = static_cast<const state::Version&>(*newest);
  const catalog::v1::Node* const have =
      version.nodes().Find(state::NodeKey(node_.node()), nullptr);
  if (have == nullptr) return false;
  catalog::v1::Node same = *have;
  same.clear_create_index();
  same.clear_modify_index();
  return google::protobuf::util::MessageDifferencer::Equals(same, node_);
}

void NodeSync::TryNow() {
  if (consensus_->view().leads && InSync()) return;
  internal::raft::v1::Command command;
  auto* const registration = command.mutable_catalog_register();
  *registration->mutable_node() = node_;
  registration->set_generation(generation_);
  const auto done = std::make_shared<std::promise<absl::Status>>();
  consensus_->Propose(state::Seal(&command), [done](absl::StatusOr<rpc::Applied> applied) {
    done->set_value(applied.status());
  });
  const absl::Status status = done->get_future().get();
  if (status.ok()) {
    logger_->Log(base::LogLevel::kDebug, "agent", "Synced node info");
  } else if (!Stopping()) {
    if (rpc::Detail(status).reason() == errors::v1::REASON_NODE_LEFT) AskToStop();
    logger_->Error("agent", base::StrCat("failed to sync remote state: rpc error: ",
                                         base::ToStd(status.message())));
  }
}

void NodeSync::Begin() {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "node-sync");
}

void NodeSync::LeaderChanged() {
  base::MutexLock lock(&mutex_);
  due_ = true;
  changed_.Signal();
}

bool NodeSync::Stopping() {
  base::MutexLock lock(&mutex_);
  return stop_;
}

void NodeSync::AskToStop() {
  base::MutexLock lock(&mutex_);
  stop_ = true;
  changed_.Signal();
}

void NodeSync::Stop() {
  AskToStop();
  if (thread_.joinable()) thread_.join();
}

void NodeSync::Run() {
  for (;;) {
    {
      base::MutexLock lock(&mutex_);
      while (!stop_ && !due_) {
        if (!changed_.WaitFor(&mutex_, interval_)) break;
      }
      if (stop_) return;
      due_ = false;
    }
    // Without a leader there is nothing to be done until one comes.
    if (consensus_->view().leads) TryNow();
  }
}

}  // namespace consul::agent
