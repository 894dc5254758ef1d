#include "services/state/registration.h"

#include "services/base/strings.h"

namespace consul::state {
namespace {

using base::StrCat;
using errors::v1::Reason;

// Composite keys end their parts with a zero byte, so no name may hold one.
bool HasZeroByte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Refusal BadName(std::string_view field) {
  return {errors::v1::REASON_INVALID_FIELD, StrCat(field, " must not contain a zero byte"),
          std::string(field)};
}

Refusal CheckNames(const internal::raft::v1::CatalogRegister& registration) {
  const catalog::v1::Node& node = registration.node();
  if (node.node().empty()) {
    return {errors::v1::REASON_MISSING_FIELD, "Must provide node", "Node"};
  }
  if (HasZeroByte(node.node())) return BadName("Node");
  if (HasZeroByte(node.id())) return BadName("ID");
  if (HasZeroByte(node.address())) return BadName("Address");
  if (registration.has_service()) {
    const catalog::v1::Service& service = registration.service();
    if (service.service().empty()) {
      return {errors::v1::REASON_MISSING_FIELD, "Must provide service name with ID", "Service"};
    }
    if (HasZeroByte(service.service())) return BadName("Service");
    if (HasZeroByte(service.id())) return BadName("ServiceID");
  }
  for (const health::v1::HealthCheck& check : registration.checks()) {
    if (check.check_id().empty() && check.name().empty()) {
      return {errors::v1::REASON_MISSING_FIELD, "Must provide check id or name", "CheckID"};
    }
    if (HasZeroByte(check.check_id()) || HasZeroByte(check.name())) return BadName("CheckID");
    if (HasZeroByte(check.service_id())) return BadName("ServiceID");
  }
  return {};
}

// A node name belongs to the node id that holds it while that node is in the pool and not dead:
// while it has a serfHealth that is not critical. Who has no id gives its name to a new id, but not
// to a known one that would be renamed.
Refusal CheckNodeName(const Tables& tables, const catalog::v1::Node& node) {
  const catalog::v1::Node* holder = tables.nodes.Find(NodeKey(node.node()), nullptr);
  if (holder == nullptr || node.id().empty()) return {};
  if (NodeIdKey(holder->id()) == NodeIdKey(node.id())) return {};
  const health::v1::HealthCheck* alive =
      tables.checks.Find(OfNodeKey(holder->node(), kSerfCheckId), nullptr);
  if (alive == nullptr || alive->status() == health::v1::CHECK_STATUS_CRITICAL) return {};
  const bool rename =
      tables.nodes.FindBy<NodeSpec::kById>(NodeIdKey(node.id()), nullptr) != nullptr;
  if (holder->id().empty() && !rename) return {};
  const std::string renamed = rename ? StrCat(" (", node.address(), ")") : "";
  return {errors::v1::REASON_NODE_NAME_RESERVED,
          StrCat("failed inserting node: Error while renaming Node ID: \"", node.id(), "\"",
                 renamed, ": Node name ", node.node(), " is reserved by node ", holder->id(),
                 " with name ", holder->node(), " (", holder->address(), ")"),
          node.node()};
}

// A check of a service needs the service: on the node already, or in the same registration.
Refusal CheckServices(const Tables& tables,
                      const internal::raft::v1::CatalogRegister& registration) {
  const std::string& node = registration.node().node();
  const catalog::v1::Service& service = registration.service();
  const std::string& registered = service.id().empty() ? service.service() : service.id();
  for (const health::v1::HealthCheck& check : registration.checks()) {
    if (check.service_id().empty()) continue;
    if (registration.has_service() && check.service_id() == registered) continue;
    if (tables.services.Find(OfNodeKey(node, check.service_id()), nullptr) != nullptr) continue;
    return {errors::v1::REASON_NOT_FOUND,
            StrCat("failed inserting check: Missing service registration on node \"", node, "\""),
            check.service_id()};
  }
  return {};
}

// A member that is alive has not left, whatever was written of it.
Refusal CheckGeneration(const Tables& tables,
                        const internal::raft::v1::CatalogRegister& registration) {
  if (registration.by_membership() || !HasLeft(tables, registration.generation())) return {};
  return {errors::v1::REASON_NODE_LEFT, "the node has left; its late write is refused",
          registration.generation()};
}

}  // namespace

bool HasLeft(const Tables& tables, std::string_view generation) {
  if (generation.empty()) return false;
  const LeftGeneration* const left = tables.left_generations.Find(generation);
  return left != nullptr && tables.time_ns < left->left_at_ns() + kLeftGenerationNs;
}

const catalog::v1::Node* ExistingNode(const Tables& tables, const catalog::v1::Node& node) {
  if (!node.id().empty()) {
    const catalog::v1::Node* by_id =
        tables.nodes.FindBy<NodeSpec::kById>(NodeIdKey(node.id()), nullptr);
    if (by_id != nullptr) return by_id;
  }
  return tables.nodes.Find(NodeKey(node.node()), nullptr);
}

Refusal CheckRegistration(const Tables& tables,
                          const internal::raft::v1::CatalogRegister& registration) {
  Refusal refusal = CheckNames(registration);
  if (!refusal.refused()) refusal = CheckGeneration(tables, registration);
  if (!refusal.refused()) {
    const bool skips = registration.skip_node_update() &&
                       tables.nodes.Find(NodeKey(registration.node().node()), nullptr) != nullptr;
    if (!skips) refusal = CheckNodeName(tables, registration.node());
  }
  if (!refusal.refused()) refusal = CheckServices(tables, registration);
  return refusal;
}

}  // namespace consul::state
