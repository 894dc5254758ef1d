#include "services/rpc/handlers.h"

#include <algorithm>

#include "services/base/check.h"

namespace consul::rpc {

bool RunHere(const Handler& handler, Call* call) {
  if (const auto* local = std::get_if<LocalHandler>(&handler)) {
    call->status = local->answer(call->request(), call->response());
    call->Done();
    return true;
  }
  const auto* const taken = std::get_if<CallHandler>(&handler);
  if (taken != nullptr) taken->start(call);
  return taken != nullptr;
}

Handlers::Handlers(std::initializer_list<const MethodTable*> tables) : tables_(tables) {
  size_t size = 0;
  for (const MethodTable* const table : tables_) {
    for (const Method& method : table->methods()) size = std::max(size, method.id + 1);
  }
  handlers_.resize(size);
}

void Handlers::Set(std::string_view path, Handler handler) {
  const Method* method = nullptr;
  for (const MethodTable* const table : tables_) {
    if (method == nullptr) method = table->Find(path);
  }
  CONSUL_CHECK(method != nullptr);
  Handler& slot = handlers_[method->id];
  CONSUL_CHECK(std::holds_alternative<std::monostate>(slot));
  slot = std::move(handler);
}

void Handlers::CheckComplete(std::initializer_list<options::v1::Kind> kinds) const {
  for (const MethodTable* const table : tables_) {
    for (const Method& method : table->methods()) {
      const bool needed =
          kinds.size() == 0 || std::find(kinds.begin(), kinds.end(), method.kind) != kinds.end();
      CONSUL_CHECK(!needed || !std::holds_alternative<std::monostate>(handlers_[method.id]));
    }
  }
}

}  // namespace consul::rpc
