#include "gateway/http/loop.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <string>
#include <utility>

#include "gateway/http/connection.h"
#include "services/base/check.h"

namespace consul::gateway::http {

// Twice within the second after which the backend is told that the loop is idle.
constexpr std::chrono::milliseconds kTick{500};
constexpr std::chrono::milliseconds kTickStopping{50};

// Answers that take longer are not soon: the loop is not lent again for a while, which doubles.
constexpr std::chrono::microseconds kLentUnusedMax{500};
constexpr std::chrono::milliseconds kLendPauseMin{4};
constexpr std::chrono::milliseconds kLendPauseMax{1000};

// What has more to do is not lent: its borrower would not come to an end.
constexpr size_t kLentConnectionsMax = 128;
// A borrower runs two handlers for each connection that it has answered, as data may come before it
// is read, and so many for others.
constexpr int kHandlersEach = 2;
constexpr int kOtherHandlersMax = 8;

namespace {

// The loop that this thread runs.
thread_local const Loop* running = nullptr;

class Running {
 public:
  explicit Running(const Loop* loop) : before_(std::exchange(running, loop)) {}
  ~Running() { running = before_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  const Loop* const before_;
};

}  // namespace

Loop::Loop(int number, const HttpOptions& options, const Router* router, rpc::Backend* backend,
           ClientCounts* counts)
    : number_(number),
      options_(options),
      backend_(backend),
      counts_(counts),
      io_(1),
      work_(io_.get_executor()),
      tick_(io_.get_executor()),
      lend_pause_(kLendPauseMin),
      dispatcher_(router),
      now_(Clock::now()),
      large_buffer_(std::make_unique<char[]>(kLargeBuffer)) {}

Loop::~Loop() { CONSUL_CHECK(!thread_.joinable()); }

void Loop::Start() {
  boost::asio::post(io_, [this] { ArmTick(); });
  thread_ = std::thread([this] {
    const std::string name = "http/" + std::to_string(number_);
    pthread_setname_np(pthread_self(), name.c_str());
    Run();
  });
}

void Loop::Run() {
  const Running here(this);
  if (!options_.lends) {
    io_.run();
    return;
  }
  while (!io_.stopped()) {
    if (expected_ == 0 || Lend() == base::Loan::End::kUnused) io_.run_one();
    io_.poll();
  }
}

// kUnused: by now it is time to wait for whatever comes.
base::Loan::End Loop::Lend() {
  if (load() > kLentConnectionsMax || Clock::now() < lend_at_) return base::Loan::End::kUnused;
  const base::Loan::End end = loan_.Lend(kLentUnusedMax);
  if (end == base::Loan::End::kUnused) {
    lend_at_ = Clock::now() + lend_pause_;
    lend_pause_ = std::min<Clock::duration>(2 * lend_pause_, kLendPauseMax);
  }
  return end;
}

bool Loop::RunBorrowed(Clock::time_point until) {
  const Running here(this);
  if (borrowed_until_ != until) handlers_left_ = kOtherHandlersMax;
  borrowed_until_ = until;
  ArmAll();
  bool more = RunLentTasks();
  while (handlers_left_ > 0 && !time_is_up() && !loan_.recalled() && io_.poll_one() > 0) {
    --handlers_left_;
    more = true;
  }
  return more;
}

// Returns whether there were any. Those for which there is no time are the loop's own again.
bool Loop::RunLentTasks() {
  const std::vector<rpc::Task*> tasks = std::exchange(lent_tasks_, {});
  arms_later_ = true;
  bool others = false;
  for (rpc::Task* const task : tasks) {
    if (time_is_up()) {
      others = tasks_.Push(task) || others;
    } else {
      task->Run();
    }
  }
  arms_later_ = false;
  handlers_left_ += kHandlersEach * static_cast<int>(unarmed_.size());
  if (others) PostTasks();
  return !tasks.empty();
}

void Loop::ArmAll() {
  for (Connection* const connection : unarmed_) connection->ArmRead();
  unarmed_.clear();
}

void Loop::ReturnBorrowed() {
  const bool idle = handlers_left_ > 0 && !time_is_up() && unarmed_.empty();
  ArmAll();
  NoteCall();
  lend_pause_ = kLendPauseMin;
  borrowed_until_ = Clock::time_point::max();
  borrower_ = nullptr;
  loan_.Return(/*lend_on=*/idle && expected_ > 0 && !io_.stopped());
}

void Loop::Shutdown(std::chrono::milliseconds grace) {
  boost::asio::post(io_, [this, grace] { BeginShutdown(grace); });
  loan_.Recall();
}

void Loop::Join() {
  if (thread_.joinable()) thread_.join();
}

void Loop::Post(rpc::Task* task) {
  const bool lends = options_.lends && running != this;
  if (base::Borrower* const borrower = lends ? base::Borrower::Current() : nullptr) {
    if (borrower_ != borrower && loan_.Borrow()) {
      borrower_ = borrower;
      borrower->Add(this);
    }
    if (borrower_ == borrower) {
      lent_tasks_.push_back(task);
      return;
    }
  }
  if (!tasks_.Push(task)) return;
  PostTasks();
  if (lends) loan_.Recall();
}

void Loop::PostTasks() {
  boost::asio::post(io_, [this] {
    NoteCall();
    tasks_.RunAll();
  });
}

void Loop::Add(Socket socket, const ClientKey& client) {
  load_.fetch_add(1, std::memory_order_relaxed);
  boost::asio::post(io_, [this, socket = std::move(socket), client]() mutable {
    Adopt(std::move(socket), client);
  });
  if (options_.lends) loan_.Recall();
}

void Loop::Adopt(Socket socket, const ClientKey& client) {
  auto* const connection = new Connection(this, std::move(socket), client);
  connection->set_place(served_.size());
  served_.push_back(connection);
  connection->Start();
  if (stopping_) connection->Shutdown();
}

void Loop::Remove(Served* served) {
  std::erase(unarmed_, served);
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
