#include "gateway/dns/kept_answers.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "gateway/dns/dump.h"
#include "gateway/dns/query_text.h"

namespace consul::gateway::dns {
namespace {

class KeptAnswersTest : public ::testing::Test {
 protected:
  static Query Ask(const std::string& words, uint16_t id = 7) {
    std::istringstream in(words);
    std::vector<std::string> parts;
    for (std::string part; in >> part;) parts.push_back(part);
    Query query;
    EXPECT_EQ(DecodeQuery(QueryFromWords(parts, id).value(), &query), QueryStatus::kOk);
    return query;
  }

  // Answers `query` with a node of `address` and keeps that. Returns the response as text.
  std::string AnswerAndKeep(const Query& query, Transport transport = Transport::kUdp,
                            const std::string& address = "10.0.0.1") {
    Found found;
    found.status = Found::Status::kFound;
    found.address = address;
    std::vector<uint8_t> out(ResponseBytesMax(query, transport));
    const Plan plan = responder_.MakePlan(QueryStatus::kOk, query);
    const Response response = responder_.Respond(query, plan, found, serial_, out);
    const std::span<const uint8_t> bytes = std::span(out).first(response.bytes);
    kept_->Keep(query, transport, response, bytes, validity_);
    return Dump(bytes);
  }

  // The kept response as text; "" when there is none.
  std::string Find(const Query& query, Transport transport = Transport::kUdp) {
    std::vector<uint8_t> out(ResponseBytesMax(query, transport));
    const size_t bytes = kept_->Find(query, transport, serial_, out);
    return bytes == 0 ? "" : Dump(std::span(out).first(bytes));
  }

  const Responder responder_{{.domain = Name::FromText("consul").value(),
                              .alt_domain = std::nullopt,
                              .datacenter = "dc1"}};
  std::unique_ptr<KeptAnswers> kept_ = std::make_unique<KeptAnswers>();
  std::shared_ptr<rpc::Validity> validity_ = std::make_shared<rpc::Validity>();
  uint32_t serial_ = 1000;
};

TEST_F(KeptAnswersTest, GivesBackWhatWasKept) {
  const Query query = Ask("web.node.consul A");
  EXPECT_EQ(Find(query), "");
  const std::string answer = AnswerAndKeep(query);
  EXPECT_EQ(Find(query), answer);
  EXPECT_EQ(kept_->size(), 1u);
}

// Goal: a kept answer is byte for byte what would be made anew. Method: keep one spelling, ask with
// all wishes that do not change the key, compare with an answer made for that question.
TEST_F(KeptAnswersTest, PatchedAnswersEqualFreshOnes) {
  for (const char* name : {"web.node.consul", "WEB.node.CONSUL", "wEb.NoDe.cOnSuL"}) {
    for (const char* type : {"A", "AAAA", "ANY"}) {
      for (const char* wishes : {"", "norec", "cd", "norec cd", "edns=512", "edns=1232",
                                 "edns=4096 do", "edns=0 norec", "edns=65535 cd do"}) {
        for (const char* first : {"", "edns=1232", "edns=4096 do cd norec"}) {
          kept_ = std::make_unique<KeptAnswers>();
          serial_ = 1000;
          AnswerAndKeep(Ask(std::string("Web.Node.Consul ") + type + " " + first));
          serial_ = 2000;
          const Query query = Ask(std::string(name) + " " + type + " " + wishes, 9);
          const std::string kept = Find(query);
          const bool same_key = (std::string(first).find("edns") != std::string::npos) ==
                                query.edns.has_value();
          EXPECT_EQ(!kept.empty(), same_key);
          const std::string fresh = AnswerAndKeep(query);
          EXPECT_EQ(kept, same_key ? fresh : "");
        }
      }
    }
  }
}

TEST_F(KeptAnswersTest, EndsWithItsValidity) {
  const Query query = Ask("web.node.consul A");
  AnswerAndKeep(query);
  validity_->Clear();
  EXPECT_EQ(Find(query), "");
  EXPECT_EQ(kept_->size(), 0u);
  EXPECT_EQ(kept_->bytes(), 0u);
}

TEST_F(KeptAnswersTest, NothingIsKeptWithoutValidityOrWithAnEndedOne) {
  const Query query = Ask("web.node.consul A");
  validity_->Clear();
  AnswerAndKeep(query);
  EXPECT_EQ(Find(query), "");
  validity_.reset();
  AnswerAndKeep(query);
  EXPECT_EQ(Find(query), "");
}

TEST_F(KeptAnswersTest, TypesAndTransportsAreApart) {
  AnswerAndKeep(Ask("web.node.consul A"));
  EXPECT_EQ(Find(Ask("web.node.consul AAAA")), "");
  EXPECT_EQ(Find(Ask("web.node.consul A"), Transport::kTcp), "");
  EXPECT_EQ(Find(Ask("web2.node.consul A")), "");
  EXPECT_EQ(Find(Ask("web.node.consul A edns=1232")), "");
}

TEST_F(KeptAnswersTest, NegativeAnswersAreKeptWithACurrentSerial) {
  const Query query = Ask("web.node.consul AAAA");
  AnswerAndKeep(query);
  serial_ = 123456789;
  EXPECT_NE(Find(query).find("hostmaster.consul. 123456789 "), std::string::npos);
}

TEST_F(KeptAnswersTest, OtherClassesAndVersionsAreNotKept) {
  AnswerAndKeep(Ask("web.node.consul A class=ANY"));
  AnswerAndKeep(Ask("web.node.consul A edns=1232 version=1"));
  EXPECT_EQ(kept_->size(), 0u);
  AnswerAndKeep(Ask("web.node.consul A edns=1232"));
  EXPECT_EQ(Find(Ask("web.node.consul A edns=1232 version=1")), "");
}

TEST_F(KeptAnswersTest, CutAnswersAreNotKept) {
  Query query = Ask("web.node.consul A");
  Response response;
  response.bytes = 100;
  response.cut = true;
  const std::vector<uint8_t> bytes(100);
  kept_->Keep(query, Transport::kUdp, response, bytes, validity_);
  EXPECT_EQ(kept_->size(), 0u);
  response.cut = false;
  kept_->Keep(query, Transport::kUdp, response, bytes, validity_);
  EXPECT_EQ(kept_->size(), 1u);
}

TEST_F(KeptAnswersTest, AnswersOverTheLimitOfOneAreNotKept) {
  Query query = Ask("web.node.consul A");
  Response response;
  response.bytes = kKeptAnswerBytesMax + 1;
  const std::vector<uint8_t> bytes(response.bytes);
  kept_->Keep(query, Transport::kTcp, response, bytes, validity_);
  EXPECT_EQ(kept_->size(), 0u);
}

TEST_F(KeptAnswersTest, AnAnswerTooLongForThisClientIsNotGivenOut) {
  const Query large = Ask("web.node.consul TXT edns=4096");
  Response response;
  response.bytes = 1000;
  kept_->Keep(large, Transport::kUdp, response, std::vector<uint8_t>(1000), validity_);
  std::vector<uint8_t> out(kUdpBytesMax);
  EXPECT_EQ(kept_->Find(Ask("web.node.consul TXT edns=999"), Transport::kUdp, 1,
                       std::span(out).first(999)),
            0u);
  EXPECT_EQ(kept_->Find(large, Transport::kUdp, 1, std::span(out).first(1000)), 1000u);
}

TEST_F(KeptAnswersTest, TheOldestMakesRoom) {
  KeptAnswers kept(3);
  Response response;
  response.bytes = 100;
  const std::vector<uint8_t> bytes(100);
  std::vector<uint8_t> out(kUdpBytesPlain);
  const auto keep = [&](const char* name) {
    kept.Keep(Ask(std::string(name) + " A"), Transport::kUdp, response, bytes, validity_);
  };
  const auto has = [&](const char* name) {
    return kept.Find(Ask(std::string(name) + " A"), Transport::kUdp, 1, out) != 0;
  };
  for (const char* name : {"a", "b", "c", "d"}) keep(name);
  EXPECT_FALSE(has("a"));
  EXPECT_TRUE(has("b") && has("c") && has("d"));
  keep("b");  // replaced: now the youngest
  keep("e");
  EXPECT_TRUE(has("b"));
  EXPECT_TRUE(has("d") && has("e"));
  EXPECT_FALSE(has("c"));
  EXPECT_EQ(kept.bytes(), kept.size() * 100);
}

TEST_F(KeptAnswersTest, BytesAreLimited) {
  KeptAnswers kept(100000, 10000);
  Response response;
  response.bytes = 1000;
  const std::vector<uint8_t> bytes(1000);
  for (int i = 0; i < 100; ++i) {
    kept.Keep(Ask("n" + std::to_string(i) + " A"), Transport::kUdp, response, bytes, validity_);
    EXPECT_LE(kept.bytes(), 10000u);
  }
  EXPECT_EQ(kept.size(), 10u);
}

TEST_F(KeptAnswersTest, ClearForgetsAllAndLaterOnesAreKept) {
  const Query query = Ask("web.node.consul A");
  AnswerAndKeep(query);
  AnswerAndKeep(Ask("b.node.consul A"));
  kept_->Clear();
  EXPECT_EQ(kept_->size(), 0u);
  EXPECT_EQ(kept_->bytes(), 0u);
  EXPECT_EQ(Find(query), "");
  const std::string answer = AnswerAndKeep(query);
  EXPECT_EQ(Find(query), answer);
}

}  // namespace
}  // namespace consul::gateway::dns
