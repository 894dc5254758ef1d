// gateway/dns/loop.h
//
// One event loop of the DNS server: its UDP sockets, the TCP listeners it shares with the others,
// its connections and its answerer, all on one thread.
//
// Threads: Run is the loop's thread; Post, SetResponder and Stop from any; the rest before Run or
// after it.
#ifndef CONSUL_GATEWAY_DNS_LOOP_H_
#define CONSUL_GATEWAY_DNS_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "gateway/dns/answerer.h"
#include "gateway/dns/client.h"
#include "gateway/dns/socket.h"
#include "gateway/dns/stats.h"
#include "gateway/dns/tcp_connections.h"
#include "gateway/dns/udp_batch.h"
#include "services/base/mutex.h"
#include "services/rpc/executor.h"
#include "services/rpc/task_queue.h"

namespace consul::gateway::dns {

class Loop final : public rpc::Executor, private Answerer::Sink {
 public:
  // All but the responder outlive the loop.
  Loop(std::shared_ptr<const Responder> responder, Resolver* resolver,
       TcpConnections::Shared* tcp_shared);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Makes what the loop needs of the kernel; before all else.
  absl::Status Open();
  // Serves the socket; `wildcard` says that local addresses come with its packets.
  void AddUdp(Fd fd, bool wildcard);
  // Accepts from `listener_fd`, which other loops may do too and which outlives Run.
  void AddListener(int listener_fd);

  // Serves until Stop. Returns when no lookup is under way any more.
  void Run();
  void Stop();
  // After Run: closes sockets and connections. Posts are still taken, for a lookup that is over may
  // be woken once more by a thread that had begun to; they run in the destructor.
  void Close();
  void Post(rpc::Task* task) override;
  // What comes once the loop has heard of it is answered by `responder`.
  void SetResponder(std::shared_ptr<const Responder> responder);

  const LoopCounters& counters() const { return counters_; }

 private:
  struct UdpSocket {
    Fd fd;
    bool wildcard = false;
  };

  void SendLate(const Client& client, std::span<const uint8_t> response) override;

  // Reads the clocks.
  void SetTime();
  void Handle(uint64_t tag, uint32_t events);
  void ServeUdp(size_t index);
  void Accept(size_t index);
  void Tick();
  void Wake();
  // Makes the wake descriptor wait for the next Wake.
  void DrainWake();
  // Takes what SetResponder has left.
  void TakeResponder();
  // How long to sleep when nothing comes, in milliseconds; -1: for ever.
  int SleepMs() const;

  Fd epoll_;
  Fd wake_;
  std::atomic<bool> stop_{false};
  rpc::TaskQueue tasks_;
  base::Mutex mutex_;
  std::shared_ptr<const Responder> next_responder_ GUARDED_BY(mutex_);  // null: none
  LoopCounters counters_;
  uint32_t unix_s_ = 0;
  Answerer::Time now_;
  Answerer::Time ticked_;
  std::vector<UdpSocket> udp_;
  std::vector<int> listeners_;
  // Listeners not asked until the next tick: the process had no descriptors left.
  std::vector<size_t> resting_listeners_;
  UdpBatch batch_;
  Answerer answerer_;
  TcpConnections::Shared* const tcp_shared_;
  std::unique_ptr<TcpConnections> tcp_;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_LOOP_H_
