#include "gateway/dns/responder.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "gateway/dns/dump.h"
#include "gateway/dns/query_text.h"
#include "gateway/dns/text_test.h"
#include "services/base/utf8.h"

namespace consul::gateway::dns {
namespace {

constexpr uint32_t kSerial = 1795466723;

// A catalog of a few lines and the responder over it. The language:
//   domain NAME | alt NAME | ttl SECONDS | min_ttl SECONDS
//   node NAME ADDRESS [KEY=VALUE...] | server NAME ADDRESS | failed
//   unsettled                        (the domain is not known yet)
//   udp|tcp NAME TYPE [WISHES of query_text.h]
class Bench {
 public:
  std::string Run(const std::string& input) {
    std::string out;
    for (const std::string& line : SplitLines(input)) {
      const std::vector<std::string> words = SplitWords(line);
      if (words[0] == "udp" || words[0] == "tcp") {
        out += Answer({words.begin() + 1, words.end()},
                      words[0] == "udp" ? Transport::kUdp : Transport::kTcp);
      } else {
        Set(words);
      }
    }
    return out;
  }

  ResponderOptions& options() { return options_; }

 private:
  void Set(const std::vector<std::string>& words) {
    const std::string& what = words[0];
    if (what == "domain") options_.domain = Name::FromText(words[1]).value();
    if (what == "alt") options_.alt_domain = Name::FromText(words[1]).value();
    if (what == "ttl") options_.node_ttl_s = std::stoul(words[1]);
    if (what == "min_ttl") options_.soa_min_ttl_s = std::stoul(words[1]);
    if (what == "failed") failed_ = true;
    if (what == "unsettled") settled_ = false;
    if (what == "server") servers_.push_back({words[1], words[2]});
    if (what == "node") {
      Found found;
      found.status = Found::Status::kFound;
      found.address = words[2];
      for (size_t i = 3; i < words.size(); ++i) {
        const size_t equals = words[i].find('=');
        found.meta.emplace_back(words[i].substr(0, equals), words[i].substr(equals + 1));
      }
      nodes_[words[1]] = found;
    }
  }

  // What the catalog says, and the lookup in words.
  Found LookUp(const Plan& plan, std::string* words) {
    Found found;
    if (plan.kind == PlanKind::kApex) {
      *words = "lookup servers\n";
      found.servers = servers_;
      found.status = Found::Status::kFound;
    } else {
      *words = "lookup node " + plan.node.node;
      if (!plan.node.datacenter.empty()) *words += " dc " + plan.node.datacenter;
      *words += "\n";
      found.status = Found::Status::kAbsent;
      const auto it = nodes_.find(plan.node.node);
      if (plan.node.datacenter.empty() && it != nodes_.end()) found = it->second;
    }
    if (failed_) found = Found();
    return found;
  }

  std::string Answer(const std::vector<std::string>& words, Transport transport) {
    const auto bytes = QueryFromWords(words, 7);
    if (!bytes) return "bad query\n";
    const Responder responder = settled_ ? Responder(options_) : Responder();
    Query query;
    const Plan plan = responder.MakePlan(DecodeQuery(*bytes, &query), query);
    std::string out;
    Found found;
    if (plan.needs_lookup()) found = LookUp(plan, &out);
    std::vector<uint8_t> buffer(ResponseBytesMax(query, transport));
    const Response response = responder.Respond(query, plan, found, kSerial, buffer);
    if (response.bytes == 0) return out + "no response\n";
    out += Dump(std::span(buffer).first(response.bytes));
    if (response.cut) out += "cut at " + std::to_string(response.bytes) + " bytes\n";
    return out;
  }

  ResponderOptions options_{.domain = Name::FromText("consul").value(),
                            .alt_domain = std::nullopt,
                            .datacenter = "dc1"};
  std::map<std::string, Found> nodes_;
  std::vector<FoundServer> servers_;
  bool failed_ = false;
  bool settled_ = true;
};

TEST(ResponderTest, Text) {
  RunTextTest("gateway/dns/testdata/responder.txt",
              [](const std::string& input) { return Bench().Run(input); });
}

TEST(ResponderTest, SeedPageFlags) {
  EXPECT_EQ(Bench().Run("node armons-macbook-air 10.1.10.38\n"
                        "udp Armons-MacBook-Air.node.consul A\n"),
            "lookup node armons-macbook-air\n"
            "id 7 QUERY NOERROR qr aa rd\n"
            "question Armons-MacBook-Air.node.consul. IN A\n"
            "answer Armons-MacBook-Air.node.consul. 0 IN A 10.1.10.38\n");
}

TEST(ResponderTest, SizeClasses) {
  Query query;
  EXPECT_EQ(ResponseBytesMax(query, Transport::kUdp), 512u);
  EXPECT_EQ(ResponseBytesMax(query, Transport::kTcp), 65535u);
  query.edns = Edns{};
  for (const auto& [asked, given] : std::map<uint16_t, size_t>{
           {0, 512}, {511, 512}, {1232, 1232}, {4096, 4096}, {4097, 4096}, {65535, 4096}}) {
    query.edns->udp_bytes = asked;
    EXPECT_EQ(ResponseBytesMax(query, Transport::kUdp), given);
    EXPECT_EQ(ResponseBytesMax(query, Transport::kTcp), 65535u);
  }
}

// Metadata that fills a response: the same names in every size class, TC only where it was cut.
std::string ManyPairs(int pairs) {
  std::string line = "node big 10.0.0.1";
  for (int i = 0; i < pairs; ++i) line += " key" + std::to_string(i) + "=" + std::string(80, 'v');
  return line + "\n";
}

TEST(ResponderTest, TruncatedIsSetExactlyWhenSizeCut) {
  for (const auto& [wishes, cut] : std::map<std::string, bool>{
           {"udp big.node.consul TXT", true},
           {"udp big.node.consul TXT edns=1232", true},
           {"udp big.node.consul TXT edns=4096", false},
           {"tcp big.node.consul TXT", false},
           {"udp big.node.consul A", false}}) {
    const std::string out = Bench().Run(ManyPairs(20) + wishes + "\n");
    EXPECT_EQ(out.find(" tc ") != std::string::npos, cut) << out;
    EXPECT_EQ(out.find("cut at") != std::string::npos, cut) << out;
  }
}

TEST(ResponderTest, TcpIsCutAt64Kilobytes) {
  const std::string out = Bench().Run(ManyPairs(900) + "tcp big.node.consul TXT\n");
  EXPECT_NE(out.find("qr aa tc rd"), std::string::npos);
  EXPECT_EQ(out.find("malformed"), std::string::npos);
}

TEST(ResponderTest, GlueThatDoesNotFitIsDroppedWithoutTruncation) {
  std::string input;
  for (const char c : {'a', 'b', 'c'}) {
    const std::string label(63, c);
    input += "server z." + label + "." + label + ".x 10.0.0.1\n";
  }
  const std::string out = Bench().Run(input + "udp consul NS\n");
  EXPECT_EQ(out.find(" tc "), std::string::npos) << out;
  EXPECT_NE(out.find("cut at"), std::string::npos) << out;
}

TEST(ResponderTest, NameNotUtf8HasNoNode) {
  EXPECT_EQ(Bench().Run("udp a\\255.node.consul A\n"),
            "id 7 QUERY NXDOMAIN qr aa rd\n"
            "question a\\255.node.consul. IN A\n"
            "authority consul. 0 IN SOA ns.consul. hostmaster.consul. 1795466723 "
            "3600 600 86400 0\n");
}

TEST(ResponderTest, Utf8) {
  for (const char* good : {"", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x7f"}) {
    EXPECT_TRUE(base::IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82", "a\xff"}) {
    EXPECT_FALSE(base::IsUtf8(bad)) << bad;
  }
}

TEST(ResponderTest, LongestNamesAreAnsweredWithSoaIn512Bytes) {
  const std::string label(63, 'x');
  // 3 labels of 63, one of 45 and ".node.consul.": 255 bytes.
  const std::string name =
      label + "." + label + "." + label + "." + std::string(49, 'y') + ".node.consul";
  ASSERT_EQ(Name::FromText(name).value().size(), kNameBytesMax);
  const std::string out = Bench().Run("udp " + name + " A edns=512\n");
  EXPECT_NE(out.find("NXDOMAIN qr aa rd\n"), std::string::npos) << out;
  EXPECT_NE(out.find("authority consul. 0 IN SOA"), std::string::npos) << out;
}

// Goal: every query gets a well-formed response of its id, in its size. Method: seeded mutations of
// good queries through decode, plan and response.
TEST(ResponderTest, RandomQueriesGetWellFormedResponses) {
  const uint64_t seed = ::testing::UnitTest::GetInstance()->random_seed();
  std::mt19937_64 random(seed);
  const Responder responder({.domain = Name::FromText("consul").value(),
                             .alt_domain = Name::FromText("alt.example").value(),
                             .datacenter = "dc1"});
  const std::vector<std::vector<std::string>> queries = {
      {"web.node.consul", "A", "edns=1232"}, {"consul", "ANY"},       {"node.dc1.consul", "TXT"},
      {"0a000001.addr.consul", "ANY"},       {"alt.example", "NS"},   {"a.b.node.dc2.consul", "A"},
      {"web.service.consul", "SRV"},         {"example.com", "AAAA"}};
  Found found;
  found.status = Found::Status::kFound;
  found.address = "10.0.0.1";
  found.meta = {{"k", std::string(400, 'v')}};
  found.servers = {{"s1", "10.0.0.1"}, {"s2", "2001:db8::1"}};
  std::vector<uint8_t> buffer(kTcpBytesMax);
  for (int i = 0; i < 30000; ++i) {
    std::vector<uint8_t> bytes = QueryFromWords(queries[random() % queries.size()], 7).value();
    for (int change = static_cast<int>(random() % 3); change > 0; --change) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    Query query;
    const QueryStatus status = DecodeQuery(bytes, &query);
    const Plan plan = responder.MakePlan(status, query);
    const size_t limit =
        status == QueryStatus::kOk ? ResponseBytesMax(query, Transport::kUdp) : kUdpBytesPlain;
    const Response response =
        responder.Respond(query, plan, found, 1, std::span(buffer).first(limit));
    EXPECT_EQ(response.bytes == 0, status == QueryStatus::kDrop);
    if (response.bytes == 0) continue;
    EXPECT_LE(response.bytes, limit);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + 2, buffer.begin()));
    const std::string text = Dump(std::span(buffer).first(response.bytes));
    EXPECT_EQ(text.find("malformed"), std::string::npos) << "seed " << seed << "\n" << text;
    EXPECT_EQ(text.find("trailing"), std::string::npos) << "seed " << seed << "\n" << text;
  }
}

}  // namespace
}  // namespace consul::gateway::dns
