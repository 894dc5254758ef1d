#include "gateway/http/loop.h"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <string>
#include <utility>

#include "gateway/http/connection.h"
#include "services/base/check.h"

namespace consul::gateway::http {

// Twice within the second after which the backend is told that the loop is idle.
constexpr std::chrono::milliseconds kTick{500};
constexpr std::chrono::milliseconds kTickStopping{50};

Loop::Loop(int number, const HttpOptions& options, const Router* router, rpc::Backend* backend,
           ClientCounts* counts)
    : number_(number),
      options_(options),
      backend_(backend),
      counts_(counts),
      io_(1),
      work_(io_.get_executor()),
      tick_(io_.get_executor()),
      dispatcher_(router),
      now_(Clock::now()),
      large_buffer_(std::make_unique<char[]>(kLargeBuffer)) {}

Loop::~Loop() { CONSUL_CHECK(!thread_.joinable()); }

void Loop::Start() {
  boost::asio::post(io_, [this] { ArmTick(); });
  thread_ = std::thread([this] {
    const std::string name = "http/" + std::to_string(number_);
    pthread_setname_np(pthread_self(), name.c_str());
    io_.run();
  });
}

void Loop::Shutdown(std::chrono::milliseconds grace) {
  boost::asio::post(io_, [this, grace] { BeginShutdown(grace); });
}

void Loop::Join() {
  if (thread_.joinable()) thread_.join();
}

void Loop::Post(rpc::Task* task) {
  if (tasks_.Push(task)) {
    boost::asio::post(io_, [this] {
      NoteCall();
      tasks_.RunAll();
    });
  }
}

void Loop::Add(Socket socket, const ClientKey& client) {
  load_.fetch_add(1, std::memory_order_relaxed);
  boost::asio::post(io_, [this, socket = std::move(socket), client]() mutable {
    Adopt(std::move(socket), client);
  });
}

void Loop::Adopt(Socket socket, const ClientKey& client) {
  auto* const connection = new Connection(this, std::move(socket), client);
  connection->set_place(served_.size());
  served_.push_back(connection);
  connection->Start();
  if (stopping_) connection->Shutdown();
}

void Loop::Remove(Served* served) {
  const size_t place = served->place();
  served_[place] = served_.back();
  served_[place]->set_place(place);
  served_.pop_back();
  counts_->GiveBack(served->client());
  load_.fetch_sub(1, std::memory_order_relaxed);
  delete served;
  if (stopping_) EndIfEmpty();
}

void Loop::Replace(Served* old, Served* successor) {
  successor->set_place(old->place());
  served_[old->place()] = successor;
  delete old;
}

void Loop::ArmTick() {
  tick_.expires_after(stopping_ ? kTickStopping : kTick);
  tick_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) Tick();
  });
}

void Loop::Tick() {
  now_ = Clock::now();
  if (!called_ && !said_idle_) backend_->Idle();
  said_idle_ = !called_;
  called_ = false;
  const bool kill = now_ >= kill_at_;
  // From the back: one that ends is replaced by the last one, which was asked already.
  for (size_t i = served_.size(); i-- > 0;) {
    if (i >= served_.size()) continue;
    if (kill) {
      served_[i]->Abort();
    } else {
      served_[i]->CheckDeadline(now_);
    }
  }
  if (!stopping_ || !served_.empty()) ArmTick();
}

void Loop::BeginShutdown(std::chrono::milliseconds grace) {
  if (stopping_) return;
  stopping_ = true;
  now_ = Clock::now();
  kill_at_ = now_ + grace;
  for (size_t i = served_.size(); i-- > 0;) {
    if (i < served_.size()) served_[i]->Shutdown();
  }
  tick_.cancel();
  ArmTick();
  EndIfEmpty();
}

void Loop::EndIfEmpty() {
  if (!served_.empty()) return;
  tick_.cancel();
  work_.reset();
}

std::unique_ptr<char[]> Loop::TakeBuffer() {
  if (buffers_.empty()) return std::make_unique<char[]>(kSmallBuffer);
  std::unique_ptr<char[]> buffer = std::move(buffers_.back());
  buffers_.pop_back();
  return buffer;
}

void Loop::GiveBuffer(std::unique_ptr<char[]> buffer) {
  if (buffers_.size() < kKeptMax) buffers_.push_back(std::move(buffer));
}

std::string Loop::TakeOut() { return std::exchange(spare_out_, std::string()); }

void Loop::GiveOut(std::string out) {
  if (out.capacity() > kKeptOutBytesMax || out.capacity() <= spare_out_.capacity()) return;
  out.clear();
  spare_out_ = std::move(out);
}

std::unique_ptr<CallContext> Loop::TakeContext() {
  if (contexts_.empty()) return std::make_unique<CallContext>();
  std::unique_ptr<CallContext> context = std::move(contexts_.back());
  contexts_.pop_back();
  return context;
}

void Loop::GiveContext(std::unique_ptr<CallContext> context) {
  context->Clear();
  if (contexts_.size() < kKeptMax) contexts_.push_back(std::move(context));
}

}  // namespace consul::gateway::http
