// gateway/transcode/router.h
//
// Which method an HTTP request reaches: a trie of paths, then the verb, then the query flag that
// the route asks for. Built once from the routes in the .proto options.
//
// Threads: immutable once made, but for the limits of bodies, which any may set.
#ifndef CONSUL_GATEWAY_TRANSCODE_ROUTER_H_
#define CONSUL_GATEWAY_TRANSCODE_ROUTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/transcode/json_plan.h"
#include "gateway/transcode/request_plan.h"
#include "gateway/transcode/response_plan.h"
#include "gateway/transcode/url.h"
#include "services/rpc/method.h"

namespace consul::gateway {

// One route, worked out.
struct RoutePlan {
  RoutePlan(const rpc::Method& method, const options::v1::Route& route,
            std::span<const std::string> captures, JsonPlans* json_plans)
      : method(&method),
        when(route.when().substr(0, route.when().find('='))),
        when_value(ValueOf(route.when())),
        request(method, route, captures, json_plans),
        response(method, route, json_plans) {}

  // Of a route that needs a query parameter: whether the query has it.
  bool IsAskedFor(const Query& query) const;

  const rpc::Method* method;
  std::string when;                       // empty: it needs none
  std::optional<std::string> when_value;  // nothing: any
  RequestPlan request;
  ResponsePlan response;

 private:
  static std::optional<std::string> ValueOf(const std::string& when);
};

// All that is served on one path.
class Endpoint {
 public:
  // The route of a verb and a query; null when the verb is not served.
  const RoutePlan* Select(std::string_view verb, const Query& query) const;
  // The verbs for the Allow header: "OPTIONS,GET,PUT,DELETE".
  const std::string& allow() const { return allow_; }

 private:
  friend class Router;
  struct Verb {
    std::string name;
    std::vector<std::unique_ptr<RoutePlan>> routes;  // in the order of declaration
  };
  std::vector<Verb> verbs_;
  std::string allow_;
};

struct Match {
  static constexpr size_t kCapturesMax = 4;
  // Null: nothing is served there.
  const Endpoint* endpoint = nullptr;
  // The path leads somewhere once a slash is added.
  bool needs_slash = false;
  std::array<std::string_view, kCapturesMax> captures;
  size_t capture_count = 0;

  std::span<const std::string_view> captured() const { return {captures.data(), capture_count}; }
};

class Router {
 public:
  // `methods` outlives the router. CHECK-fails on routes that contradict each other or name what is
  // not there: they are part of the program.
  explicit Router(const rpc::MethodTable& methods);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // What is served on a decoded path. Captures refer to `path`. A fixed segment goes before a
  // capture, and the longest fixed part before a rest; there is no turning back from either.
  Match Find(std::string_view path) const;

  // Bodies that the routes of `method` take are of so many bytes at most, from now on. From any
  // thread. REQUIRES: one of them takes a body.
  void SetBodyMax(const rpc::Method& method, uint64_t bytes);

 private:
  struct Node;
  void Add(const rpc::Method& method, const options::v1::Route& route);

  JsonPlans json_plans_;
  std::unique_ptr<Node> root_;
  std::vector<RoutePlan*> with_body_;
};

}  // namespace consul::gateway

#endif  // CONSUL_GATEWAY_TRANSCODE_ROUTER_H_
