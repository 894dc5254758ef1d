// Goal: each join comes to one outcome, whenever the pool stops. Method: a name server of the
// test's own that answers or does not, and joins that nobody answers.
#include "services/gossip/joining.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/check.h"
#include "services/base/log.h"
#include "services/gossip/resolver.h"

namespace consul::gossip {
namespace {

using boost::asio::ip::udp;
using namespace std::string_view_literals;

// Says that every name has the addresses 10.0.0.1 and 10.0.0.2.
class NameServer {
 public:
  explicit NameServer(boost::asio::io_context* io)
      : socket_(*io, udp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {}

  Endpoint address() const {
    const auto address = Endpoint::ParseIp("127.0.0.1", socket_.local_endpoint().port());
    CONSUL_CHECK(address.has_value());
    return *address;
  }

  // The bytes of a question come; it is answered, unless nothing is to be said.
  void Serve(bool answers) {
    socket_.async_receive_from(boost::asio::buffer(question_), from_,
                               [this, answers](const auto& ec, size_t size) {
                                 if (ec) return;
                                 ++asked_count;
                                 if (answers) Answer({question_.data(), size});
                                 Serve(answers);
                               });
  }

  int asked_count = 0;

 private:
  // RFC 1035, 4.1: a header of 12 bytes, the name, type and class of the question, the answers.
  void Answer(std::string_view question) {
    const size_t end = question.find('\0', 12) + 5;
    const bool v4 = question.substr(end - 4, 2) == "\x00\x01"sv;
    std::string reply(question.substr(0, 2));
    reply += "\x81\x80\x00\x01"sv;
    reply += v4 ? "\x00\x02"sv : "\x00\x00"sv;
    reply += "\x00\x00\x00\x00"sv;
    reply += question.substr(12, end - 12);
    for (const std::string_view last : {"\x01"sv, "\x02"sv}) {
      if (!v4) break;
      reply += "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x0a\x00\x00"sv;
      reply += last;
    }
    socket_.send_to(boost::asio::buffer(reply), from_);
  }

  udp::socket socket_;
  udp::endpoint from_;
  std::array<char, 512> question_{};
};

class JoiningTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(resolver_.AskForTest(server_.address()).ok()); }

  void Join(const std::string& target) {
    joining_.Join({target}, [this](JoinOutcome outcome) { outcomes_.push_back(outcome); });
  }
  void RunUntil(const std::function<bool()>& there) {
    while (!there() && io_.run_one() != 0) {
    }
  }
  // That of the only join.
  std::string Error() const {
    if (outcomes_.size() != 1) return std::to_string(outcomes_.size()) + " outcomes";
    return outcomes_.front().errors.size() == 1 ? outcomes_.front().errors.front() : "no error";
  }

  boost::asio::io_context io_;
  base::Logger logger_{base::LogLevel::kError};
  NameServer server_{&io_};
  std::vector<JoinOutcome> outcomes_;
  Resolver resolver_{&io_};
  std::vector<Endpoint> tried_;
  Joining joining_{&resolver_,
                   [this](const Endpoint& to) {
                     tried_.push_back(to);
                     return JoinId{tried_.size()};
                   },
                   8301, &logger_};
};

TEST_F(JoiningTest, TheAddressesOfANameAreTriedInTurn) {
  server_.Serve(/*answers=*/true);
  Join("web");
  RunUntil([this] { return !tried_.empty(); });
  JoinResult result{JoinId{1}, tried_[0], false, 0, "refused"};
  joining_.OnResult(result);
  ASSERT_EQ(tried_.size(), 2u);
  EXPECT_NE(tried_[0], tried_[1]);
  EXPECT_TRUE(outcomes_.empty());
  joining_.OnResult({JoinId{2}, tried_[1], true, 2, ""});
  ASSERT_EQ(outcomes_.size(), 1u);
  EXPECT_EQ(outcomes_[0].joined, 1u);
}

TEST_F(JoiningTest, OneWhoseNameIsLookedUpEndsWithAStop) {
  server_.Serve(/*answers=*/false);
  Join("web");
  RunUntil([this] { return server_.asked_count > 0; });
  EXPECT_TRUE(outcomes_.empty());
  joining_.Stop();
  EXPECT_EQ(Error(), "Failed to resolve web: the agent is stopping");
}

TEST_F(JoiningTest, OneOfANameWithSeveralAddressesEndsWithAStop) {
  server_.Serve(/*answers=*/true);
  Join("web");
  RunUntil([this] { return !tried_.empty(); });
  EXPECT_TRUE(outcomes_.empty());
  joining_.Stop();
  EXPECT_EQ(tried_.size(), 1u);
  EXPECT_EQ(Error(), "Failed to join " + tried_[0].IpToString() + ": the agent is stopping");
}

TEST_F(JoiningTest, OneThatComesAfterAStopIsNotBegun) {
  joining_.Stop();
  Join("10.0.0.1");
  EXPECT_TRUE(tried_.empty());
  EXPECT_EQ(Error(), "the agent is stopping");
}

}  // namespace
}  // namespace consul::gossip
