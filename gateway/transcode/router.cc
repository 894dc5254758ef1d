#include "gateway/transcode/router.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/base/check.h"

namespace consul::gateway {
namespace {

// The order of the Allow header.
constexpr std::string_view kVerbs[] = {"GET", "POST", "PUT", "DELETE"};

size_t VerbRank(std::string_view verb) {
  const auto* const found = std::find(std::begin(kVerbs), std::end(kVerbs), verb);
  CONSUL_CHECK(found != std::end(kVerbs));
  return static_cast<size_t>(found - std::begin(kVerbs));
}

}  // namespace

struct Router::Node {
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> children;
  std::unique_ptr<Node> capture;   // any one segment
  std::unique_ptr<Endpoint> here;  // the path ends here
  std::unique_ptr<Endpoint> rest;  // whatever follows a slash

  Node* Child(std::string_view segment) const {
    for (const auto& [name, child] : children) {
      if (name == segment) return child.get();
    }
    return nullptr;
  }
};

const RoutePlan* Endpoint::Select(std::string_view verb, const Query& query) const {
  for (const Verb& served : verbs_) {
    if (served.name != verb) continue;
    const RoutePlan* chosen = nullptr;
    for (const auto& route : served.routes) {
      if (route->when.empty() ? chosen == nullptr : route->IsAskedFor(query)) chosen = route.get();
    }
    return chosen;
  }
  return nullptr;
}

std::optional<std::string> RoutePlan::ValueOf(const std::string& when) {
  const size_t equals = when.find('=');
  if (equals == std::string::npos) return std::nullopt;
  return when.substr(equals + 1);
}

bool RoutePlan::IsAskedFor(const Query& query) const {
  const Parameter* const parameter = query.Find(when);
  return parameter != nullptr && (!when_value.has_value() || parameter->value == *when_value);
}

Router::Router(const rpc::MethodTable& methods) : root_(std::make_unique<Node>()) {
  for (const rpc::Method& method : methods.methods()) {
    const auto& options = method.descriptor->options();
    for (int i = 0; i < options.ExtensionSize(options::v1::route); ++i) {
      const options::v1::Route& route = options.GetExtension(options::v1::route, i);
      // A stream is one body.
      CONSUL_CHECK(!method.server_streaming || route.form() == options::v1::FORM_RAW);
      Add(method, route);
    }
  }
}

Router::~Router() = default;

void Router::Add(const rpc::Method& method, const options::v1::Route& route) {
  std::vector<std::string> captures;
  Node* node = root_.get();
  std::unique_ptr<Endpoint>* endpoint = nullptr;
  std::string_view path = route.path();
  CONSUL_CHECK(path.starts_with('/'));
  while (!path.empty()) {
    CONSUL_CHECK(endpoint == nullptr);  // a rest is the last segment
    path.remove_prefix(1);
    std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    if (!segment.starts_with('{')) {
      Node* child = node->Child(segment);
      if (child == nullptr) {
        child = node->children.emplace_back(segment, std::make_unique<Node>()).second.get();
      }
      node = child;
      continue;
    }
    segment = segment.substr(1, segment.size() - 2);
    constexpr std::string_view kRest = "=**";
    if (segment.ends_with(kRest)) {
      segment.remove_suffix(kRest.size());
      endpoint = &node->rest;
    } else {
      if (node->capture == nullptr) node->capture = std::make_unique<Node>();
      node = node->capture.get();
    }
    captures.emplace_back(segment);
  }
  CONSUL_CHECK(captures.size() <= Match::kCapturesMax);
  if (endpoint == nullptr) endpoint = &node->here;
  if (*endpoint == nullptr) *endpoint = std::make_unique<Endpoint>();

  Endpoint& served = **endpoint;
  auto verb = std::find_if(served.verbs_.begin(), served.verbs_.end(),
                           [&](const Endpoint::Verb& v) { return v.name == route.method(); });
  if (verb == served.verbs_.end()) {
    verb = std::find_if(served.verbs_.begin(), served.verbs_.end(), [&](const Endpoint::Verb& v) {
      return VerbRank(v.name) > VerbRank(route.method());
    });
    verb = served.verbs_.insert(verb, Endpoint::Verb{route.method(), {}});
    served.allow_ = "OPTIONS";
    for (const Endpoint::Verb& v : served.verbs_) served.allow_ += "," + v.name;
  }
  auto added = std::make_unique<RoutePlan>(method, route, captures, &json_plans_);
  for (const auto& other : verb->routes) {
    CONSUL_CHECK(other->when != added->when || other->when_value != added->when_value);
  }
  RoutePlan* const plan = verb->routes.emplace_back(std::move(added)).get();
  if (plan->request.takes_body()) with_body_.push_back(plan);
}

void Router::SetBodyMax(const rpc::Method& method, uint64_t bytes) {
  bool found = false;
  for (RoutePlan* const plan : with_body_) {
    if (plan->method != &method) continue;
    plan->request.SetBodyMax(bytes);
    found = true;
  }
  CONSUL_CHECK(found);
}

Match Router::Find(std::string_view path) const {
  Match match;
  Match fallback;
  const Node* node = root_.get();
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    if (node->rest != nullptr) {
      fallback = match;
      fallback.endpoint = node->rest.get();
      fallback.captures[fallback.capture_count++] = path;
    }
    const std::string_view segment = path.substr(0, path.find('/'));
    const Node* next = node->Child(segment);
    if (next == nullptr && node->capture != nullptr && !segment.empty()) {
      match.captures[match.capture_count++] = segment;
      next = node->capture.get();
    }
    if (next == nullptr) return fallback;
    path.remove_prefix(segment.size());
    node = next;
  }
  if (node->here != nullptr) {
    match.endpoint = node->here.get();
    return match;
  }
  if (fallback.endpoint == nullptr) fallback.needs_slash = node->rest != nullptr;
  return fallback;
}

}  // namespace consul::gateway
