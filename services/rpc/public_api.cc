#include <google/protobuf/descriptor.h>

#include <vector>

#include "consul/agent/v1/agent.pb.h"
#include "consul/catalog/v1/catalog.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/event/v1/event.pb.h"
#include "consul/health/v1/health.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/operators/v1/autopilot.pb.h"
#include "consul/operators/v1/keyring.pb.h"
#include "consul/operators/v1/raft.pb.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "consul/status/v1/status.pb.h"
#include "services/rpc/method.h"

namespace consul::rpc {

const MethodTable& PublicApi() {
  static const MethodTable* const table = [] {
    std::vector<const google::protobuf::ServiceDescriptor*> services;
    for (const google::protobuf::FileDescriptor* file :
         {agent::v1::GetSelfRequest::descriptor()->file(),
          catalog::v1::Node::descriptor()->file(), health::v1::HealthCheck::descriptor()->file(),
          kv::v1::KeyValue::descriptor()->file(),
          status::v1::GetLeaderRequest::descriptor()->file(),
          event::v1::Event::descriptor()->file(),
          coordinate::v1::Coordinate::descriptor()->file(),
          operators::v1::RaftServer::descriptor()->file(),
          operators::v1::AutopilotConfiguration::descriptor()->file(),
          operators::v1::Keyring::descriptor()->file(),
          snapshot::v1::ArchivePart::descriptor()->file()}) {
      for (int i = 0; i < file->service_count(); ++i) services.push_back(file->service(i));
    }
    return new MethodTable(services);
  }();
  return *table;
}

}  // namespace consul::rpc
