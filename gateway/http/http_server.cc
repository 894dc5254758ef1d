#include "gateway/http/http_server.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include "gateway/http/client_counts.h"
#include "gateway/http/listener.h"
#include "gateway/http/loop.h"
#include "gateway/transcode/router.h"
#include "services/base/check.h"
#include "services/rpc/method.h"

namespace consul::gateway {
namespace {

// How long replies that are due may take once the server stops.
constexpr std::chrono::milliseconds kStopGrace{1000};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpOptions options, rpc::Backend* backend)
      : options_(std::move(options)),
        router_(rpc::PublicApi()),
        counts_(options_.settings.connections_per_client_max, options_.limits.connections_max,
                options_.limits.rpc_connections_max) {
    CONSUL_CHECK(options_.threads >= 1);
    Apply(options_.settings);
    for (int i = 0; i < options_.threads; ++i) {
      loops_.push_back(
          std::make_unique<http::Loop>(i, options_, &router_, backend, &counts_));
    }
  }

  ~Impl() { Stop(); }

  absl::Status Start() {
    CONSUL_CHECK(!started_);
    const bool has_v4 = std::any_of(
        options_.addresses.begin(), options_.addresses.end(),
        [](const HttpAddress& address) { return address.host.find(':') == std::string::npos; });
    for (const HttpAddress& address : options_.addresses) {
      auto listener = std::make_unique<http::Listener>(loops_, &counts_, options_.log);
      if (absl::Status status = listener->Open(address, !has_v4); !status.ok()) {
        listeners_.clear();
        ports_.clear();
        return status;
      }
      ports_.push_back(listener->port());
      listeners_.push_back(std::move(listener));
    }
    started_ = true;
    for (const auto& listener : listeners_) listener->Accept();
    for (const auto& loop : loops_) loop->Start();
    return absl::OkStatus();
  }

  void Stop() {
    if (!started_ || stopped_) return;
    stopped_ = true;
    std::promise<void> closed;
    boost::asio::post(loops_[0]->io(), [&] {
      for (const auto& listener : listeners_) listener->Close();
      closed.set_value();
    });
    closed.get_future().wait();
    for (const auto& loop : loops_) loop->Shutdown(kStopGrace);
    for (const auto& loop : loops_) loop->Join();
    listeners_.clear();
  }

  void Apply(const HttpSettings& settings) {
    for (const auto& [method, bytes] : settings.method_body_bytes_max) {
      router_.SetBodyMax(rpc::PublicApi().Get(method), bytes);
    }
    counts_.SetPerClientMax(settings.connections_per_client_max);
  }

  const std::vector<uint16_t>& ports() const { return ports_; }
  size_t connections() const { return counts_.total(); }
  size_t rpc_connections() const { return counts_.spliced(); }

 private:
  const HttpOptions options_;
  Router router_;
  http::ClientCounts counts_;
  std::vector<std::unique_ptr<http::Loop>> loops_;
  std::vector<std::unique_ptr<http::Listener>> listeners_;
  std::vector<uint16_t> ports_;
  bool started_ = false;
  bool stopped_ = false;
};

HttpServer::HttpServer(HttpOptions options, rpc::Backend* backend)
    : impl_(std::make_unique<Impl>(std::move(options), backend)) {}

HttpServer::~HttpServer() = default;

absl::Status HttpServer::Start() { return impl_->Start(); }
void HttpServer::Stop() { impl_->Stop(); }
void HttpServer::Apply(const HttpSettings& settings) { impl_->Apply(settings); }
const std::vector<uint16_t>& HttpServer::ports() const { return impl_->ports(); }
size_t HttpServer::connections() const { return impl_->connections(); }
size_t HttpServer::rpc_connections() const { return impl_->rpc_connections(); }

}  // namespace consul::gateway
