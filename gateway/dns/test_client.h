// gateway/dns/test_client.h
//
// A DNS client over real sockets, for tests: queries in the words of query_text.h, responses as
// dumps. Waits at most a few seconds.
//
// Threads: one owner each.
#ifndef CONSUL_GATEWAY_DNS_TEST_CLIENT_H_
#define CONSUL_GATEWAY_DNS_TEST_CLIENT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dns/socket.h"

namespace consul::gateway::dns {

// The bytes of a query; CHECK-fails for words that are none.
std::vector<uint8_t> QueryBytes(const std::string& words, uint16_t id = 7);

// A UDP socket connected to a server, so that it takes replies from the address it asked only.
class UdpClient {
 public:
  UdpClient(std::string_view ip, uint16_t port);

  void Send(std::span<const uint8_t> message);
  // The next response's dump; "timeout" when none comes for `wait_ms`.
  std::string Receive(int wait_ms = 5000);
  std::string Ask(const std::string& words) {
    Send(QueryBytes(words));
    return Receive();
  }

 private:
  Fd fd_;
};

class TcpClient {
 public:
  TcpClient(std::string_view ip, uint16_t port);

  // Raw bytes, without a length before them.
  void SendRaw(std::span<const uint8_t> bytes);
  void Send(std::span<const uint8_t> message);
  // The next response's dump; "closed" when the server has closed, "timeout".
  std::string Receive(int wait_ms = 5000);
  std::string Ask(const std::string& words) {
    Send(QueryBytes(words));
    return Receive();
  }
  // Says that nothing more will be sent.
  void EndSending();

 private:
  // False at the end, or after wait_ms without a byte: *state says which.
  bool ReadExactly(std::span<uint8_t> out, int wait_ms, std::string* state);

  Fd fd_;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_TEST_CLIENT_H_
