#include "services/rpc/forward_backend.h"

#include <memory>
#include <utility>

#include "services/base/check.h"
#include "services/rpc/evaluation.h"
#include "services/rpc/forwarded_call.h"
#include "services/rpc/grpc_bytes.h"

namespace consul::rpc {
namespace {

bool IsBlockingRead(const Call& call) {
  if (call.method().kind != options::v1::KIND_READ || call.method().server_streaming) return false;
  if (call.wire != nullptr) return OptionsOf(call.method(), call.wire->request).index() != 0;
  const query::v1::QueryOptions* const options = OptionsOf(call);
  return options != nullptr && options->index() != 0;
}

}  // namespace

ForwardBackend::ForwardBackend(Options options, const Handlers* handlers, base::Logger* logger)
    : options_(std::move(options)),
      handlers_(handlers),
      links_(options_.links, &timers_, logger),
      shared_({options_.wait_default, options_.wait_max}, &timers_,
              [this](Call* call) { Forward(call); }) {
  handlers_->CheckComplete({options::v1::KIND_LOCAL});
}

ForwardBackend::~ForwardBackend() { Stop(); }

void ForwardBackend::Start(Call* call) {
  if (call->method().kind == options::v1::KIND_LOCAL) {
    const bool answered = RunHere(handlers_->Of(call->method()), call);
    CONSUL_CHECK(answered);
    return;
  }
  if (IsBlockingRead(*call)) return shared_.Start(call);
  Forward(call);
}

void ForwardBackend::Forward(Call* call) {
  std::make_shared<ForwardedCall>(&options_, &links_, &timers_, call)->Begin();
}

void ForwardBackend::Stop() {
  links_.Stop();
  shared_.AwaitEnd();
}

bool ForwardBackend::TakesBytes(const Method& method) const {
  return method.kind != options::v1::KIND_LOCAL;
}

}  // namespace consul::rpc
