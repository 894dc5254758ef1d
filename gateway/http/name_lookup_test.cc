// Goal: a name becomes addresses, or the reason why not, within its time and never after it was
// given up. Method: a DNS server of the test's own on a UDP socket of the loopback.
#include "gateway/http/name_lookup.h"

#include <gtest/gtest.h>

#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <string_view>

namespace consul::gateway::http {
namespace {

using boost::asio::ip::udp;

constexpr size_t kHeaderBytes = 12;
constexpr uint8_t kTypeA = 1;
constexpr uint8_t kNameError = 3;

// Answers each question for A with the given addresses, and those for others with none.
class Nameserver {
 public:
  explicit Nameserver(boost::asio::io_context* io)
      : socket_(*io, {boost::asio::ip::address_v4::loopback(), 0}) {}

  std::string address() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }
  void Serve(int addresses, uint8_t code) {
    socket_.async_receive_from(
        boost::asio::buffer(query_), from_, [=, this](const auto& ec, size_t size) {
          if (ec) return;
          ++questions_;
          const std::string reply = Reply(std::string_view(query_, size), addresses, code);
          socket_.send_to(boost::asio::buffer(reply), from_);
          Serve(addresses, code);
        });
  }
  void Close() { socket_.close(); }
  int questions() const { return questions_; }

 private:
  static std::string Reply(std::string_view query, int addresses, uint8_t code) {
    const size_t question_end = query.find('\0', kHeaderBytes) + 5;
    std::string reply(query.substr(0, question_end));
    reply[2] = static_cast<char>(0x85);  // an answer, of authority, to what asks for recursion
    reply[3] = static_cast<char>(0x80 | code);
    const bool asks_a = query[question_end - 3] == kTypeA;
    const int count = asks_a ? addresses : 0;
    reply[7] = static_cast<char>(count);
    reply[11] = 0;  // of additional records
    for (int i = 1; i <= count; ++i) {
      const char record[] = {'\xc0', kHeaderBytes, 0, kTypeA, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 1};
      reply.append(record, sizeof(record)).push_back(static_cast<char>(i));
    }
    return reply;
  }

  udp::socket socket_;
  udp::endpoint from_;
  char query_[512];
  int questions_ = 0;
};

class NameLookupTest : public testing::Test {
 protected:
  NameLookupTest() : nameserver_(&io_) { options_.servers = nameserver_.address(); }

  void Ask(const std::string& name) {
    lookup_.emplace(&io_, name, options_,
                    [this](const absl::StatusOr<NameLookup::Addresses>& found) {
                      found_ = found;
                      lookup_.reset();
                      nameserver_.Close();
                    });
  }
  // Runs until nothing is left to do: an answer closes the name server.
  void Run() { io_.run(); }

  std::string Found() const {
    if (!found_.has_value()) return "nothing";
    if (!found_->ok()) return std::string(found_->status().message());
    std::string text;
    for (const auto& address : **found_) text += address.to_string() + " ";
    return text;
  }

  boost::asio::io_context io_;
  Nameserver nameserver_;
  NameLookup::Options options_;
  std::optional<NameLookup> lookup_;
  std::optional<absl::StatusOr<NameLookup::Addresses>> found_;
};

TEST_F(NameLookupTest, FindsAnAddress) {
  nameserver_.Serve(1, 0);
  Ask("agent.example.");
  EXPECT_EQ(Found(), "nothing");
  Run();
  EXPECT_EQ(Found(), "127.0.1.1 ");
}

TEST_F(NameLookupTest, FindsWhatTheHostsFileHas) {
  Ask("localhost");
  EXPECT_EQ(Found(), "nothing");
  Run();
  EXPECT_NE(Found().find("127.0.0.1 "), std::string::npos) << Found();
  EXPECT_EQ(nameserver_.questions(), 0);
}

TEST_F(NameLookupTest, LeavesOutMoreThanItsLimit) {
  nameserver_.Serve(NameLookup::kAddressesMax + 3, 0);
  Ask("agent.example.");
  Run();
  ASSERT_TRUE(found_->ok()) << Found();
  EXPECT_EQ((*found_)->size(), NameLookup::kAddressesMax);
}

TEST_F(NameLookupTest, SaysThatThereIsNoSuchName) {
  nameserver_.Serve(0, kNameError);
  Ask("agent.example.");
  Run();
  EXPECT_EQ(found_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Found(), "Domain name not found");
}

TEST_F(NameLookupTest, SaysThatTheNameHasNoAddress) {
  nameserver_.Serve(0, 0);
  Ask("agent.example.");
  Run();
  EXPECT_EQ(found_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Found(), "DNS server returned answer with no data");
}

TEST_F(NameLookupTest, SaysThatNoServerIsThere) {
  nameserver_.Close();
  Ask("agent.example.");
  Run();
  EXPECT_EQ(Found(), "Could not contact DNS servers");
}

TEST_F(NameLookupTest, WaitsNoLongerThanItsTime) {
  options_.timeout = std::chrono::milliseconds(50);
  Ask("agent.example.");
  Run();
  EXPECT_EQ(Found(), "Timeout while contacting DNS servers");
}

TEST_F(NameLookupTest, IsGivenUpBeforeAnythingCame) {
  Ask("agent.example.");
  io_.poll();
  lookup_.reset();
  Run();
  EXPECT_EQ(Found(), "nothing");
}

TEST_F(NameLookupTest, IsGivenUpWithTheAnswerOnItsWay) {
  Ask("localhost");
  lookup_.reset();
  nameserver_.Close();
  Run();
  EXPECT_EQ(Found(), "nothing");
}

TEST_F(NameLookupTest, RefusesWhatIsNoName) {
  Ask("a..b");
  Run();
  EXPECT_EQ(found_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Found(), "Misformatted domain name");
}

}  // namespace
}  // namespace consul::gateway::http
