#include "services/rpc/forward_backend.h"

#include <memory>
#include <utility>

#include "services/base/check.h"
#include "services/rpc/forwarded_call.h"

namespace consul::rpc {

ForwardBackend::ForwardBackend(Options options, const Handlers* handlers, base::Logger* logger)
    : options_(std::move(options)),
      handlers_(handlers),
      links_(options_.links, &timers_, logger) {
  handlers_->CheckComplete({options::v1::KIND_LOCAL});
}

ForwardBackend::~ForwardBackend() { Stop(); }

void ForwardBackend::Start(Call* call) {
  if (call->method().kind == options::v1::KIND_LOCAL) {
    const bool answered = RunHere(handlers_->Of(call->method()), call);
    CONSUL_CHECK(answered);
    return;
  }
  std::make_shared<ForwardedCall>(&options_, &links_, &timers_, call)->Begin();
}

bool ForwardBackend::TakesBytes(const Method& method) const {
  return method.kind != options::v1::KIND_LOCAL;
}

}  // namespace consul::rpc
