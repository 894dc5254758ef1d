#include "services/gossip/refusal.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"

namespace consul::gossip {
namespace {

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

const std::vector<Refusal>& All() {
  static const auto* const all = new std::vector<Refusal>{
      {RefusalReason::kVersion, ""},   {RefusalReason::kPool, "lan:dc1"},
      {RefusalReason::kPool, "wan"},   {RefusalReason::kNotEncrypted, ""},
      {RefusalReason::kEncrypted, ""}, {RefusalReason::kNoKeyFits, ""}};
  return *all;
}

TEST(RefusalTest, BytesAreFrozen) {
  std::string text;
  for (const Refusal& refusal : All()) text += Hex(EncodeRefusal(refusal)) + "\n";
  EXPECT_EQ(text,
            "ff0152d0e9a0\n"
            "ff02f6744eb66c616e3a646331\n"
            "ff020dc88e2677616e\n"
            "ff03a5a0d241\n"
            "ff044ec41895\n"
            "ff054d477367\n");
}

TEST(RefusalTest, EachIsReadAsItWasWritten) {
  for (const Refusal& refusal : All()) EXPECT_EQ(DecodeRefusal(EncodeRefusal(refusal)), refusal);
  const Refusal longest{RefusalReason::kPool,
                        "lan:" + std::string(kRefusalPoolBytesMax - 4, 'd')};
  EXPECT_EQ(EncodeRefusal(longest).size(), kRefusalBytesMax);
  EXPECT_EQ(DecodeRefusal(EncodeRefusal(longest)), longest);
}

TEST(RefusalTest, ALongerNameIsCutOff) {
  const Refusal refusal{RefusalReason::kPool, "lan:" + std::string(kRefusalPoolBytesMax, 'd')};
  EXPECT_EQ(EncodeRefusal(refusal).size(), kRefusalBytesMax);
}

TEST(RefusalTest, EveryBitFlippedInTurnAndEveryPartOfItIsRefused) {
  for (const Refusal& refusal : All()) {
    const std::string bytes = EncodeRefusal(refusal);
    for (size_t i = 0; i < bytes.size() * 8; ++i) {
      std::string flipped = bytes;
      flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
      EXPECT_EQ(DecodeRefusal(flipped), std::nullopt) << i;
    }
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(DecodeRefusal(bytes.substr(0, size)), std::nullopt) << size;
    }
    EXPECT_EQ(DecodeRefusal(bytes + "x"), std::nullopt);
    EXPECT_EQ(DecodeRefusal(bytes + std::string(kRefusalBytesMax, 'x')), std::nullopt);
  }
}

TEST(RefusalTest, AReasonThatIsNotKnownIsRefused) {
  for (const int reason : {0, 6, 7, 128, 255}) {
    const Refusal refusal{static_cast<RefusalReason>(reason), ""};
    EXPECT_EQ(DecodeRefusal(EncodeRefusal(refusal)), std::nullopt) << reason;
  }
}

TEST(RefusalTest, OnlyAPoolsNameIsTaken) {
  const auto taken = [](RefusalReason reason, std::string pool) {
    return DecodeRefusal(EncodeRefusal({reason, std::move(pool)})).has_value();
  };
  EXPECT_TRUE(taken(RefusalReason::kPool, "lan:my_dc-2"));
  for (const char* const name :
       {"", "lan", "lan:", "LAN:dc1", "wan:dc1", "lan:dc 1", "lan:dc1\n[ERR] agent: on fire",
        "lan:\x1b[2J", "lan:caf\xc3\xa9", "lan:dc1:"}) {
    EXPECT_FALSE(taken(RefusalReason::kPool, name)) << name;
  }
  EXPECT_FALSE(taken(RefusalReason::kPool, std::string("lan:dc1\0", 8)));
  EXPECT_FALSE(taken(RefusalReason::kNoKeyFits, "lan:dc1")) << "a name that has no place there";
}

}  // namespace
}  // namespace consul::gossip
