// gateway/http/loop.h
//
// One event loop of the HTTP server: a thread, its io_context, what is served on it and what that
// shares: scratch buffers, contexts of calls, the clock. It is the executor of the calls that its
// connections make; a burst of tasks wakes it once.
//
// Where the options say so its thread lends it (services/base/lending.h) while nothing is due but
// answers that others bring soon. What comes in meanwhile is left where it is until such an answer
// is there, for two milliseconds at most.
//
// Threads: Post, Add and the counters from any, by whom the loop outlives; everything else on the
// loop's own, or on that of who has borrowed it.
#ifndef CONSUL_GATEWAY_HTTP_LOOP_H_
#define CONSUL_GATEWAY_HTTP_LOOP_H_

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gateway/http/client_counts.h"
#include "gateway/http/dispatch.h"
#include "gateway/http/http_server.h"
#include "gateway/http/reply.h"
#include "gateway/http/served.h"
#include "gateway/transcode/router.h"
#include "services/base/lending.h"
#include "services/rpc/backend.h"
#include "services/rpc/executor.h"
#include "services/rpc/task_queue.h"

namespace consul::gateway::http {

struct CallContext;
class Connection;

// Without the type-erased executor: one indirection less in each operation.
using Socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

// A reply as it was encoded last, kept for calls that are given the same answer. Its connection and
// the date are not in it.
struct EncodedReply {
  // 0: of an answer that nobody shares, or not whole.
  uint64_t shared_answer = 0;
  const RoutePlan* route = nullptr;
  bool pretty = false;
  int status = 200;
  std::string headers;
  std::string body;
};

class Loop final : public rpc::Executor, private base::Lender {
 public:
  using Clock = std::chrono::steady_clock;

  // A read of an idle connection; most requests fit.
  static constexpr size_t kSmallBuffer = 1024;
  // A read of a connection in the middle of a large request.
  static constexpr size_t kLargeBuffer = 64 * 1024;

  // All arguments outlive the loop.
  Loop(int number, const HttpOptions& options, const Router* router, rpc::Backend* backend,
       ClientCounts* counts);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Start();
  // Closes idle connections, cancels calls that wait, and all the rest after `grace`. The thread
  // ends once no call is left.
  void Shutdown(std::chrono::milliseconds grace);
  // REQUIRES: Shutdown was called.
  void Join();

  void Post(rpc::Task* task) override;
  bool gathers() const override { return true; }
  void Expect(int more) override { expected_ += more; }
  bool time_is_up() const override {
    return borrowed_until_ != Clock::time_point::max() && Clock::now() >= borrowed_until_;
  }
  // Serves a connection that counts in ClientCounts already.
  void Add(Socket socket, const ClientKey& client);

  boost::asio::io_context& io() { return io_; }
  size_t load() const { return load_.load(std::memory_order_relaxed); }

  // For what is served, on this loop's thread.
  const HttpLimits& limits() const { return options_.limits; }
  const std::optional<HttpAddress>& rpc() const { return options_.rpc; }
  ClientCounts* counts() const { return counts_; }
  rpc::Backend* backend() const { return backend_; }
  Dispatcher& dispatcher() { return dispatcher_; }
  std::string_view DateLine() { return clock_.DateLine(); }
  bool stopping() const { return stopping_; }
  // A second or so behind.
  Clock::time_point now() const { return now_; }
  char* large_buffer() { return large_buffer_.get(); }
  std::string& body_scratch() { return body_scratch_; }
  EncodedReply& encoded() { return encoded_; }

  std::unique_ptr<char[]> TakeBuffer();
  void GiveBuffer(std::unique_ptr<char[]> buffer);
  std::string TakeOut();
  void GiveOut(std::string out);
  std::unique_ptr<CallContext> TakeContext();
  void GiveContext(std::unique_ptr<CallContext> context);
  // While many are answered at once: whose client has not read its answer has nothing to say yet,
  // and a read in vain costs as much as another.
  bool arms_later() const { return arms_later_; }
  // Reads on when all have been answered.
  void ArmLater(Connection* connection) { unarmed_.push_back(connection); }
  // A call was made: the loop is not idle.
  void NoteCall() { called_ = true; }
  // Deletes what nothing refers to any more, and counts its client's connection no longer.
  void Remove(Served* served);
  // Deletes `old` in the same way; `successor` goes on with its connection, in its place.
  void Replace(Served* old, Served* successor);

 private:
  // What is kept for the next user; more is freed.
  static constexpr size_t kKeptMax = 256;
  static constexpr size_t kKeptOutBytesMax = 256 * 1024;

  void Run();
  base::Loan::End Lend();
  bool RunBorrowed(Clock::time_point until) override;
  void ReturnBorrowed() override;
  bool RunLentTasks();
  void ArmAll();
  void PostTasks();
  void Adopt(Socket socket, const ClientKey& client);
  void ArmTick();
  void Tick();
  void BeginShutdown(std::chrono::milliseconds grace);
  void EndIfEmpty();

  const int number_;
  const HttpOptions& options_;
  rpc::Backend* const backend_;
  ClientCounts* const counts_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>,
                                    boost::asio::io_context::executor_type>
      tick_;
  rpc::TaskQueue tasks_;
  base::Loan loan_;
  int expected_ = 0;            // answers that others bring soon
  Clock::time_point lend_at_;   // not before
  Clock::duration lend_pause_;  // the next time that nobody borrows it
  // Who has borrowed it. For who asks whether it is itself: nobody else ever writes that.
  std::atomic<const base::Borrower*> borrower_{nullptr};
  std::vector<rpc::Task*> lent_tasks_;  // what the borrower itself brought
  Clock::time_point borrowed_until_ = Clock::time_point::max();
  int handlers_left_ = 0;  // of this borrower
  bool arms_later_ = false;
  std::vector<Connection*> unarmed_;
  std::atomic<size_t> load_{0};
  Dispatcher dispatcher_;
  http::Clock clock_;
  Clock::time_point now_;
  Clock::time_point kill_at_ = Clock::time_point::max();
  bool stopping_ = false;
  bool called_ = false;     // since the last tick
  bool said_idle_ = false;  // since the last call
  std::vector<Served*> served_;
  std::unique_ptr<char[]> large_buffer_;
  std::string body_scratch_;
  EncodedReply encoded_;
  std::vector<std::unique_ptr<char[]>> buffers_;
  std::string spare_out_;
  std::vector<std::unique_ptr<CallContext>> contexts_;
  std::thread thread_;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_LOOP_H_
