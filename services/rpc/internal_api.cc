#include <google/protobuf/descriptor.h>

#include <array>

#include "consul/internal/bootstrap/v1/bootstrap.pb.h"
#include "consul/internal/catalog/v1/node_sync.pb.h"
#include "services/rpc/method.h"

namespace consul::rpc {

const MethodTable& InternalApi() {
  static const MethodTable* const table = [] {
    const std::array<const google::protobuf::ServiceDescriptor*, 2> services = {
        internal::bootstrap::v1::Foundation::descriptor()->file()->service(0),
        internal::catalog::v1::SyncNodeRequest::descriptor()->file()->service(0)};
    return new MethodTable(services, PublicApi().methods().size());
  }();
  return *table;
}

}  // namespace consul::rpc
