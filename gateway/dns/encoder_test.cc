#include "gateway/dns/encoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "gateway/dns/dump.h"

namespace consul::gateway::dns {
namespace {

constexpr std::array<uint8_t, 4> kAddress = {10, 1, 10, 38};
constexpr std::array<uint8_t, 16> kAddress6 = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0,
                                               0,    0, 0,   0,    0, 0, 0, 1};

Name N(std::string_view text) { return Name::FromText(text).value(); }

Query Ask(std::string_view name, Type type = Type::kA, std::optional<Edns> edns = std::nullopt) {
  Query query;
  query.header.id = 7;
  query.header.recursion_desired = true;
  query.question = {.name = N(name), .type = type, .klass = Class::kIn};
  query.name_lower = query.question.name;
  query.name_lower.ToLower();
  query.edns = edns;
  return query;
}

class EncoderTest : public ::testing::Test {
 protected:
  // The message that `encoder` holds, as text.
  std::string Finish(Encoder* encoder) {
    bytes_ = encoder->Finish();
    return Dump(std::span(buffer_).first(bytes_));
  }
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(kUdpBytesPlain, 0xee);
  size_t bytes_ = 0;
};

TEST_F(EncoderTest, SeedPageAnswer) {
  const Query query = Ask("Armons-MacBook-Air.node.consul");
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  EXPECT_TRUE(encoder.AddA(Section::kAnswer, query.question.name, 0, kAddress));
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\n"
            "question Armons-MacBook-Air.node.consul. IN A\n"
            "answer Armons-MacBook-Air.node.consul. 0 IN A 10.1.10.38\n");
}

TEST_F(EncoderTest, OwnerPointsAtTheQuestionWithoutRegardToCase) {
  const Query query = Ask("FoO.node.CONSUL");
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  encoder.AddA(Section::kAnswer, query.name_lower, 0, kAddress);
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\n"
            "question FoO.node.CONSUL. IN A\n"
            "answer FoO.node.CONSUL. 0 IN A 10.1.10.38\n");
  // Header, name, type and class, then pointer, tail and address.
  EXPECT_EQ(bytes_, 12 + 17 + 4 + 2 + 10 + 4u);
}

TEST_F(EncoderTest, Rfc1035CompressesAgainstEveryNameWritten) {
  const Query query = Ask("consul", Type::kNs);
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  EXPECT_TRUE(encoder.AddNs(Section::kAnswer, N("consul"), 0, N("s1.node.dc1.consul")));
  EXPECT_TRUE(encoder.AddNs(Section::kAnswer, N("consul"), 0, N("s2.node.dc1.consul")));
  const size_t before = 12 + 8 + 4 + (2 + 10 + 3 + 5 + 4 + 2) + (2 + 10 + 3 + 2);
  EXPECT_TRUE(encoder.AddA(Section::kAdditional, N("s1.node.dc1.consul"), 0, kAddress));
  EXPECT_TRUE(encoder.AddAaaa(Section::kAdditional, N("s2.node.dc1.consul"), 0, kAddress6));
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\n"
            "question consul. IN NS\n"
            "answer consul. 0 IN NS s1.node.dc1.consul.\n"
            "answer consul. 0 IN NS s2.node.dc1.consul.\n"
            "additional s1.node.dc1.consul. 0 IN A 10.1.10.38\n"
            "additional s2.node.dc1.consul. 0 IN AAAA 2001:db8::1\n");
  EXPECT_EQ(bytes_, before + (2 + 10 + 4) + (2 + 10 + 16));
}

TEST_F(EncoderTest, EveryRecordTypeReadsBack) {
  buffer_.resize(1000);
  const Query query = Ask("x.consul", Type::kAny);
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  const Name owner = N("x.consul");
  EXPECT_TRUE(encoder.AddCname(Section::kAnswer, owner, 1, N("host.example.com")));
  EXPECT_TRUE(encoder.AddPtr(Section::kAnswer, owner, 2, N("y.node.consul")));
  EXPECT_TRUE(encoder.AddTxt(Section::kAnswer, owner, 3, "a=b"));
  EXPECT_TRUE(encoder.AddTxt(Section::kAnswer, owner, 4, ""));
  EXPECT_TRUE(encoder.AddSrv(Section::kAnswer, owner, 5, 1, 3, 8080, N("y.node.consul")));
  const SoaData soa = {.primary = N("ns.consul"), .mailbox = N("hostmaster.consul"), .serial = 9,
                       .refresh_s = 3600, .retry_s = 600, .expire_s = 86400, .minimum_s = 0};
  EXPECT_TRUE(encoder.AddSoa(Section::kAuthority, N("consul"), 6, soa));
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\n"
            "question x.consul. IN ANY\n"
            "answer x.consul. 1 IN CNAME host.example.com.\n"
            "answer x.consul. 2 IN PTR y.node.consul.\n"
            "answer x.consul. 3 IN TXT \"a=b\"\n"
            "answer x.consul. 4 IN TXT \"\"\n"
            "answer x.consul. 5 IN SRV 1 3 8080 y.node.consul.\n"
            "authority consul. 6 IN SOA ns.consul. hostmaster.consul. 9 3600 600 86400 0\n");
  EXPECT_EQ(buffer_[encoder.serial_offset() + 3], 9);
}

TEST_F(EncoderTest, Rfc1464LongTextBecomesSeveralStrings) {
  buffer_.resize(1000);
  const Query query = Ask("x", Type::kTxt);
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  EXPECT_TRUE(encoder.AddTxt(Section::kAnswer, N("x"), 0, std::string(300, 't')));
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\nquestion x. IN TXT\nanswer x. 0 IN TXT \"" +
                std::string(255, 't') + "\" \"" + std::string(45, 't') + "\"\n");
}

TEST_F(EncoderTest, Rfc2782SrvTargetIsNotCompressed) {
  const Query query = Ask("consul", Type::kSrv);
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  encoder.AddSrv(Section::kAnswer, N("consul"), 0, 1, 1, 80, N("a.consul"));
  Finish(&encoder);
  EXPECT_EQ(bytes_, 12 + 8 + 4 + 2 + 10 + 6 + N("a.consul").size());
}

TEST_F(EncoderTest, Rfc6891OptIsEchoedWithSizeAndDo) {
  const Edns edns = {.version = 0, .udp_bytes = 1232, .dnssec_ok = true};
  Encoder encoder(buffer_);
  encoder.Begin(Ask("consul", Type::kA, edns), Rcode::kNoError, true);
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr aa rd\nquestion consul. IN A\n"
            "edns version 0 udp 1232 flags do\n");
  EXPECT_EQ(encoder.opt_offset(), bytes_ - kOptBytes);
}

TEST_F(EncoderTest, Rfc6891BadVersIsAnExtendedRcode) {
  const Edns edns = {.version = 1, .udp_bytes = 4096, .dnssec_ok = false};
  Encoder encoder(buffer_);
  encoder.Begin(Ask("consul", Type::kA, edns), Rcode::kBadVers, false);
  EXPECT_EQ(Finish(&encoder),
            "id 7 QUERY NOERROR qr rd\nquestion consul. IN A\n"
            "edns version 0 udp 4096 status BADVERS\n");
}

TEST_F(EncoderTest, WithoutQuestionIsAHeader) {
  Header header;
  header.id = 9;
  header.opcode = Opcode::kUpdate;
  Encoder encoder(buffer_);
  encoder.BeginWithoutQuestion(header, Rcode::kNotImp);
  EXPECT_EQ(Finish(&encoder), "id 9 UPDATE NOTIMP qr\n");
  EXPECT_EQ(bytes_, kHeaderBytes);
}

TEST_F(EncoderTest, CheckingDisabledIsCopied) {
  Query query = Ask("consul");
  query.header.recursion_desired = false;
  query.header.checking_disabled = true;
  query.header.authentic_data = true;
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNxDomain, true);
  EXPECT_EQ(Finish(&encoder), "id 7 QUERY NXDOMAIN qr aa cd\nquestion consul. IN A\n");
}

TEST_F(EncoderTest, ARecordThatDoesNotFitLeavesNoTrace) {
  const Query query = Ask("x.consul");
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  int count = 0;
  while (encoder.AddA(Section::kAnswer, query.question.name, 0, kAddress)) ++count;
  EXPECT_EQ(count, static_cast<int>((kUdpBytesPlain - 12 - 10 - 4) / 16));
  encoder.SetTruncated();
  const std::string text = Finish(&encoder);
  EXPECT_EQ(text.find("malformed"), std::string::npos) << text;
  EXPECT_NE(text.find("qr aa tc rd"), std::string::npos) << text;
}

TEST_F(EncoderTest, RoomForOptIsKeptBack) {
  const Query query = Ask("x.consul", Type::kTxt, Edns{.udp_bytes = 512});
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  while (encoder.AddTxt(Section::kAnswer, query.question.name, 0, "t")) {
  }
  const std::string text = Finish(&encoder);
  EXPECT_LE(bytes_, kUdpBytesPlain);
  EXPECT_NE(text.find("edns version 0 udp 512"), std::string::npos) << text;
}

TEST_F(EncoderTest, ANameThatWasTakenBackIsNotPointedAt) {
  const Query query = Ask("q.consul", Type::kNs);
  buffer_.resize(kUdpBytesPlain);
  Encoder encoder(buffer_);
  encoder.Begin(query, Rcode::kNoError, true);
  EXPECT_TRUE(encoder.AddTxt(Section::kAnswer, query.question.name, 0, std::string(230, 't')));
  EXPECT_TRUE(encoder.AddTxt(Section::kAnswer, query.question.name, 0, std::string(150, 't')));
  const Name target = N(std::string(60, 'n') + ".fresh.example");
  EXPECT_FALSE(encoder.AddNs(Section::kAnswer, query.question.name, 0, target));
  EXPECT_TRUE(encoder.AddNs(Section::kAnswer, query.question.name, 0, N("s.fresh.example")));
  const std::string text = Finish(&encoder);
  EXPECT_NE(text.find("answer q.consul. 0 IN NS s.fresh.example.\n"), std::string::npos) << text;
}

// Goal: whatever is added, the message parses and holds exactly what was accepted. Method: seeded
// random records over a small set of labels, so that names share suffixes, up to 64 KB, where
// pointers of 14 bits no longer reach.
TEST_F(EncoderTest, RandomMessagesReadBackWhole) {
  const uint64_t seed = ::testing::UnitTest::GetInstance()->random_seed();
  std::mt19937_64 random(seed);
  const auto name = [&random] {
    Name out;
    for (int labels = static_cast<int>(random() % 5); labels > 0; --labels) {
      out.AppendLabel(std::string(1 + random() % 3, static_cast<char>('a' + random() % 3)));
    }
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    buffer_.assign(round % 3 == 0 ? kTcpBytesMax : kUdpBytesPlain + random() % 3000, 0xee);
    Query query = Ask("a.b.c", Type::kAny, Edns{.udp_bytes = 1232});
    Encoder encoder(buffer_);
    encoder.Begin(query, Rcode::kNoError, true);
    std::string expected = "id 7 QUERY NOERROR qr aa rd\nquestion a.b.c. IN ANY\n";
    for (int i = 0; i < 1500; ++i) {
      const Name owner = name();
      const Name target = name();
      const bool srv = random() % 2 == 0;
      const bool fits = srv ? encoder.AddSrv(Section::kAnswer, owner, 1, 2, 3, 4, target)
                            : encoder.AddNs(Section::kAnswer, owner, 1, target);
      if (!fits) break;
      expected += "answer " + owner.ToText() + " 1 IN " + (srv ? "SRV 2 3 4 " : "NS ") +
                  target.ToText() + "\n";
    }
    std::string text = Finish(&encoder);
    // The dump follows the case of what a name points at; all is lower case here.
    EXPECT_EQ(text, expected + "edns version 0 udp 1232\n") << "seed " << seed;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace consul::gateway::dns
