#include "services/gossip/keyring.h"

#include <algorithm>
#include <new>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace consul::gossip {
namespace {

Key KeyOf(char fill, size_t size = 32) { return Key::FromBytes(std::string(size, fill)).value(); }

std::string Texts(const Keyring& keyring) {
  std::string fills;
  for (const Key& key : keyring.keys()) fills.push_back(key.bytes().front());
  return fills;
}

TEST(KeyTest, TakesTheThreeSizesAndNoOther) {
  for (size_t size = 0; size <= 40; ++size) {
    const auto key = Key::FromBytes(std::string(size, 'k'));
    if (size == 16 || size == 24 || size == 32) {
      ASSERT_TRUE(key.ok()) << size;
      EXPECT_EQ(key->bytes(), std::string(size, 'k'));
      continue;
    }
    EXPECT_EQ(key.status(), absl::InvalidArgumentError("key size must be 16, 24 or 32 bytes, not " +
                                                       std::to_string(size)));
  }
}

TEST(KeyTest, TextIsWhatKeygenPrints) {
  const std::string text = "v0K79gIMp6UXi/hhg6HMTtvQONWZWAmm5W7OEH5Noa0=";
  EXPECT_EQ(Key::FromBase64(text)->ToBase64(), text);
  EXPECT_EQ(Key::FromBase64(text)->bytes().size(), 32u);
  EXPECT_EQ(Key::FromBase64("AAECAwQFBgcICQoLDA0ODw==")->bytes(),
            std::string_view("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16));
}

TEST(KeyTest, BadTextIsNamedWithoutAByteOfIt) {
  const auto error = [](std::string_view text) {
    return std::string(Key::FromBase64(text).status().message());
  };
  EXPECT_EQ(error(""), "key size must be 16, 24 or 32 bytes, not 0");
  EXPECT_EQ(error("abcd"), "key size must be 16, 24 or 32 bytes, not 3");
  EXPECT_EQ(error("!!!notbase64"), "illegal base64 data at input byte 0");
  EXPECT_EQ(error("AAECAwQFBgcICQoLDA0ODw"), "illegal base64 data at input byte 22");
  EXPECT_EQ(error(std::string(Key::kTextBytesMax + 1, 'A')),
            "key size must be 16, 24 or 32 bytes; its base64 has 65 characters, 64 at most");
}

TEST(KeyTest, KeysOfOneBeginAndAnotherSizeDiffer) {
  EXPECT_TRUE(KeyOf('a') == KeyOf('a'));
  EXPECT_FALSE(KeyOf('a') == KeyOf('b'));
  EXPECT_FALSE(KeyOf('\0', 16) == KeyOf('\0', 24));
}

// Method: a key is made and destroyed in memory that the test owns and looks into afterwards.
TEST(KeyTest, BytesAreWipedWhenTheKeyGoes) {
  alignas(Key) std::array<char, sizeof(Key)> memory;
  Key* const key = new (memory.data()) Key(KeyOf('s'));
  ASSERT_NE(std::find(memory.begin(), memory.end(), 's'), memory.end());
  key->~Key();
  EXPECT_EQ(std::find(memory.begin(), memory.end(), 's'), memory.end());
}

TEST(KeyringTest, InstallUseAndRemoveRotateAKey) {
  Keyring keyring(KeyOf('a'));
  EXPECT_EQ(Texts(keyring), "a");
  EXPECT_TRUE(keyring.Install(KeyOf('b')).ok());
  EXPECT_TRUE(keyring.Install(KeyOf('c')).ok());
  EXPECT_EQ(Texts(keyring), "abc");
  EXPECT_TRUE(keyring.Use(KeyOf('c')).ok());
  EXPECT_EQ(Texts(keyring), "cab");
  EXPECT_TRUE(keyring.primary() == KeyOf('c'));
  EXPECT_TRUE(keyring.Remove(KeyOf('a')).ok());
  EXPECT_EQ(Texts(keyring), "cb");
  EXPECT_FALSE(keyring.has(KeyOf('a')));
  EXPECT_TRUE(keyring.has(KeyOf('b')));
}

TEST(KeyringTest, WhatIsSoAlreadyIsNoError) {
  Keyring keyring = Keyring::Create(KeyOf('a'), std::vector{KeyOf('b'), KeyOf('a')}).value();
  EXPECT_EQ(Texts(keyring), "ab");
  EXPECT_TRUE(keyring.Install(KeyOf('b')).ok());
  EXPECT_TRUE(keyring.Use(KeyOf('a')).ok());
  EXPECT_TRUE(keyring.Remove(KeyOf('z')).ok());
  EXPECT_EQ(Texts(keyring), "ab");
}

TEST(KeyringTest, ErrorsAreTheReferences) {
  Keyring keyring(KeyOf('a'));
  EXPECT_EQ(keyring.Remove(KeyOf('a')),
            absl::FailedPreconditionError("Removing the primary key is not allowed"));
  EXPECT_EQ(keyring.Use(KeyOf('b')), absl::NotFoundError("Requested key is not in the keyring"));
  EXPECT_EQ(Texts(keyring), "a");
}

TEST(KeyringTest, ItHoldsSoManyKeysAndNoMore) {
  Keyring keyring(KeyOf(0));
  for (size_t i = 1; i < Keyring::kKeysMax; ++i) {
    ASSERT_TRUE(keyring.Install(KeyOf(static_cast<char>(i))).ok());
  }
  const auto full =
      absl::ResourceExhaustedError("The keyring is full: it holds 16 keys at most");
  EXPECT_EQ(keyring.Install(KeyOf('z')), full);
  EXPECT_TRUE(keyring.Install(KeyOf(1)).ok()) << "it is there";
  const std::vector<Key> others(keyring.keys().begin(), keyring.keys().end());
  EXPECT_EQ(Keyring::Create(KeyOf('z'), others).status(), full);
}

}  // namespace
}  // namespace consul::gossip
