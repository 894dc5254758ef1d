// gateway/http/test_client.h
//
// A client of raw bytes for tests of the HTTP face. Every wait has a limit, so that a server that
// does not answer fails the test instead of holding it.
//
// Threads: one.
#ifndef CONSUL_GATEWAY_HTTP_TEST_CLIENT_H_
#define CONSUL_GATEWAY_HTTP_TEST_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consul::gateway::http {

struct Answer {
  int status = 0;
  // Lines as they came, Date and Content-Length left out.
  std::vector<std::string> headers;
  std::string body;

  bool Has(std::string_view header) const;
};

class TestClient {
 public:
  // The other end of a connection, as a server has accepted it.
  struct Accepted {
    int fd;
  };

  // Connects. `host` is an IP address.
  explicit TestClient(uint16_t port, const std::string& host = "127.0.0.1");
  explicit TestClient(Accepted accepted) : fd_(accepted.fd) {}
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  // False when the server has closed.
  bool Send(std::string_view bytes);
  // "VERB TARGET" with a Host header and a body, where there is one.
  bool Request(std::string_view verb, std::string_view target, std::string_view body = {},
               std::string_view headers = {});
  // The next answer; nothing when the connection ends first or 5 s pass.
  std::optional<Answer> Read(bool without_body = false);
  // The next `size` bytes; less when the connection ends first or 5 s pass.
  std::string ReadBytes(size_t size);
  // What comes until the server closes.
  std::string ReadToEnd();
  // True when nothing comes within `ms`.
  bool Silent(int ms);
  // Sends one byte again and again until nothing is taken for `ms`; how many were.
  size_t SendUntilStuck(char byte, int ms);
  // Sends no more.
  void ShutdownSend();
  // Resets the connection.
  void Reset();
  void Close();

 private:
  bool Fill();
  // Takes a body in chunks off what is read; false when the connection ends before it does.
  bool TakeChunks(std::string* body);

  int fd_ = -1;
  std::string read_;
};

}  // namespace consul::gateway::http

#endif  // CONSUL_GATEWAY_HTTP_TEST_CLIENT_H_
