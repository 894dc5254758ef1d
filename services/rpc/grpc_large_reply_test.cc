// Large replies of the gRPC server: they are encoded in slices, between which the thread serves
// others.
#include <google/protobuf/arena.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "consul/kv/v1/kv.pb.h"
#include "services/base/strings.h"
#include "services/rpc/channel_backend.h"
#include "services/rpc/errors.h"
#include "services/rpc/grpc_server.h"
#include "services/rpc/grpc_strand.h"
#include "services/rpc/test_caller.h"

namespace consul::rpc {
namespace {

constexpr char kList[] = "/consul.kv.v1.KvService/List";
constexpr int kElements = 20'000;
constexpr size_t kValueBytes = 100;

// A list of prefix `large` has many entries and says so; in the midst of its answer other tasks of
// the thread look whether it holds its rows. Of any other prefix it has none.
class ListBackend : public Backend {
 public:
  void Start(Call* call) override {
    const auto& request = static_cast<const kv::v1::ListRequest&>(call->request());
    auto* const response = static_cast<kv::v1::ListResponse*>(call->response());
    response->mutable_meta()->set_index(7);
    if (request.prefix() != "large") return call->Done();
    for (int i = 0; i < kElements; ++i) {
      auto* const entry = response->add_entries();
      entry->set_key(base::StrCat(i));
      entry->set_value(std::string(kValueBytes, 'v'));
    }
    call->rows = &rows_;
    looks_.backend = this;
    looks_.executor = call->executor();
    call->executor()->Post(&looks_);
    call->Done();
  }

  // How often the thread had time for another task while the list was encoded.
  std::atomic<int> seen{0};
  // Whether the list's rows were let go.
  bool released() const { return rows_.use_count() == 1; }
  // Runs in the midst of the answer, once.
  std::function<void()> amidst;

 private:
  struct Looks final : Task {
    void Run() override {
      if (backend->rows_.use_count() == 1) return;
      ++backend->seen;
      if (backend->amidst) std::exchange(backend->amidst, nullptr)();
      executor->Post(this);
    }
    ListBackend* backend = nullptr;
    Executor* executor = nullptr;
  };

  const Rows rows_{std::make_shared<int>(0), nullptr};
  Looks looks_;
};

class GrpcLargeReplyTest : public testing::Test {
 protected:
  void StartServer(GrpcServer::Limits limits = {}) {
    server_ = std::make_unique<GrpcServer>(
        GrpcServer::Options{.addresses = {"127.0.0.1:0"}, .limits = limits}, PublicApi(),
        &backend_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
    channel_ = std::make_unique<ChannelBackend>(base::StrCat("127.0.0.1:", server_->ports()[0]),
                                                ChannelBackend::Options{});
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop();
  }

  std::unique_ptr<Caller> List(const char* prefix) {
    auto* const request = google::protobuf::Arena::CreateMessage<kv::v1::ListRequest>(&arena_);
    request->set_prefix(prefix);
    auto call = std::make_unique<Caller>(
        PublicApi().Get(kList), &executor_, request,
        google::protobuf::Arena::CreateMessage<kv::v1::ListResponse>(&arena_));
    call->copy = &copy_;
    call->Begin(channel_.get());
    return call;
  }

  ListBackend backend_;
  google::protobuf::Arena arena_;
  kv::v1::ListResponse copy_;
  EventThread executor_{[] {}, "caller"};
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<ChannelBackend> channel_;
};

TEST_F(GrpcLargeReplyTest, ItIsWhole) {
  StartServer();
  const auto call = List("large");
  call->Wait();
  ASSERT_TRUE(call->status.ok()) << call->status;
  EXPECT_EQ(copy_.meta().index(), 7u);
  ASSERT_EQ(copy_.entries_size(), kElements);
  EXPECT_EQ(copy_.entries(kElements - 1).key(), base::StrCat(kElements - 1));
  EXPECT_EQ(copy_.entries(kElements - 1).value(), std::string(kValueBytes, 'v'));
  EXPECT_TRUE(backend_.released());
}

TEST_F(GrpcLargeReplyTest, TheThreadServesOthersBetweenItsSlices) {
  StartServer();
  List("large")->Wait();
  const int slices = static_cast<int>(kElements * kValueBytes >> 16);
  EXPECT_GE(backend_.seen, slices - 1);
}

TEST_F(GrpcLargeReplyTest, ItEndsWhereNobodyWaitsForItAnyMore) {
  StartServer();
  std::unique_ptr<Caller> call;
  std::atomic<bool> cancelled{false};
  backend_.amidst = [&] {
    call->BeginCancel();
    call->Wait();
    cancelled = true;
  };
  call = List("large");
  ASSERT_TRUE(Eventually([&] { return cancelled && backend_.released(); }));
  EXPECT_EQ(call->status.code(), absl::StatusCode::kCancelled);
}

TEST_F(GrpcLargeReplyTest, OneThatIsTooLargeIsAnError) {
  StartServer({.reply_bytes_max = 1 << 20});
  const auto call = List("large");
  call->Wait();
  EXPECT_EQ(Detail(call->status).reason(), errors::v1::REASON_TOO_LARGE);
  EXPECT_EQ(Detail(call->status).subject(), "reply_bytes_max");
  EXPECT_TRUE(std::string(call->status.message())
                  .ends_with(" bytes or more is larger than reply_bytes_max, 1048576 bytes"))
      << call->status;
  EXPECT_TRUE(backend_.released());
}

}  // namespace
}  // namespace consul::rpc
