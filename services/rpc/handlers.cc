#include "services/rpc/handlers.h"

#include "services/base/check.h"

namespace consul::rpc {

void Handlers::Set(std::string_view path, Handler handler) {
  Handler& slot = handlers_[methods_.Get(path).id];
  CONSUL_CHECK(std::holds_alternative<std::monostate>(slot));
  slot = std::move(handler);
}

void Handlers::CheckComplete() const {
  for (const Handler& handler : handlers_) {
    CONSUL_CHECK(!std::holds_alternative<std::monostate>(handler));
  }
}

}  // namespace consul::rpc
