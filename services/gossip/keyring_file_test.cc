#include "services/gossip/keyring_file.h"

#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/faulty_file_system.h"

namespace consul::gossip {
namespace {

using base::FaultyFileSystem;
using base::Unsynced;

constexpr char kDirectory[] = "data/serf";
constexpr char kPath[] = "data/serf/local.keyring";
// As the reference wrote them.
constexpr char kFirst[] = "8fAxbhlicreuwc0MCyD75llwoc2A539oy1PKEFGFi2E=";
constexpr char kSecond[] = "v0K79gIMp6UXi/hhg6HMTtvQONWZWAmm5W7OEH5Noa0=";
constexpr char kThird[] = "GeyVuHxMpPOOZLvD6HiJJB3xR05TxV9H9TC/7tzLR+U=";

Key KeyOf(std::string_view text) { return Key::FromBase64(text).value(); }

// The keys, each with a space before it.
std::string Texts(const Keyring& keyring) {
  std::string texts;
  for (const Key& key : keyring.keys()) texts += " " + key.ToBase64();
  return texts;
}

std::string ParseError(std::string_view text) {
  return std::string(ParseKeyring(text).status().message());
}

class KeyringFileTest : public ::testing::Test {
 protected:
  void Write(std::string_view contents) {
    ASSERT_TRUE(files_.CreateDirectories(kDirectory).ok());
    (void)files_.Remove(kPath);
    auto file = files_.Create(kPath);
    ASSERT_TRUE(file.ok() && (*file)->WriteAt(0, contents).ok());
  }

  FaultyFileSystem files_{1};
  KeyringFile file_{&files_, kDirectory, kLanKeyringName};
};

TEST_F(KeyringFileTest, TheFormatIsTheReferences) {
  Keyring keyring(KeyOf(kFirst));
  ASSERT_TRUE(file_.Store(keyring).ok());
  EXPECT_EQ(files_.Contents(kPath), "[\n  \"" + std::string(kFirst) + "\"\n]");
  ASSERT_TRUE(keyring.Install(KeyOf(kSecond)).ok());
  ASSERT_TRUE(keyring.Use(KeyOf(kSecond)).ok());
  ASSERT_TRUE(file_.Store(keyring).ok());
  EXPECT_EQ(files_.Contents(kPath), "[\n  \"" + std::string(kSecond) + "\",\n  \"" +
                                        std::string(kFirst) + "\"\n]");
  EXPECT_TRUE(file_.Load().value() == keyring);
  EXPECT_EQ(files_.List(kDirectory).value(), std::vector<std::string>{"local.keyring"});
}

TEST_F(KeyringFileTest, WhatPeopleWriteIsRead) {
  Write(" [ \"" + std::string(kFirst) + "\",\n \"" + kFirst + "\" , \"" + kSecond + "\"]\n\n");
  EXPECT_EQ(Texts(**file_.Load()), " " + std::string(kFirst) + " " + kSecond)
      << "a key that is there twice is taken once";
}

TEST_F(KeyringFileTest, WithoutAFileThereIsNoKeyring) {
  EXPECT_TRUE(file_.Load().value() == std::nullopt);
}

TEST(ParseKeyringTest, WhatIsWrongIsSaid) {
  EXPECT_EQ(ParseError("[]"), "no keys present in keyring");
  EXPECT_EQ(ParseError(""), "not a JSON array of keys: incomplete JSON");
  EXPECT_EQ(ParseError("xx"), "not a JSON array of keys: syntax error");
  EXPECT_EQ(ParseError("[] []"), "not a JSON array of keys: extra data");
  EXPECT_EQ(ParseError("[[[]]]"), "not a JSON array of keys: too deep");
  EXPECT_EQ(ParseError("{\"a\":1}"), "not a JSON array of keys");
  EXPECT_EQ(ParseError("[1]"), "key 1 is not a string");
  EXPECT_EQ(ParseError("[\"" + std::string(kFirst) + "\", \"abcd\"]"),
            "key 2: key size must be 16, 24 or 32 bytes, not 3");
  EXPECT_EQ(ParseError("[\"!!\"]"), "key 1: illegal base64 data at input byte 0");
  std::string many = "[";
  for (int i = 0; i < 17; ++i) {
    many += (i == 0 ? "\"" : ",\"") +
            Key::FromBytes(std::string(32, static_cast<char>(i)))->ToBase64() + "\"";
  }
  EXPECT_EQ(ParseError(many + "]"), "The keyring is full: it holds 16 keys at most");
}

TEST_F(KeyringFileTest, BrokenContentsNameTheFile) {
  Write("[]");
  EXPECT_EQ(file_.Load().status(),
            absl::InvalidArgumentError("data/serf/local.keyring: no keys present in keyring"));
  Write(std::string(KeyringFile::kFileBytesMax + 1, ' '));
  EXPECT_EQ(file_.Load().status(),
            absl::InvalidArgumentError("data/serf/local.keyring: 65537 bytes, 65536 at most"));
  EXPECT_EQ(file_.Start(KeyOf(kFirst)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(KeyringFileTest, AFileThatOthersMayReadIsRefused) {
  ASSERT_TRUE(file_.Store(Keyring(KeyOf(kFirst))).ok());
  for (const uint32_t mode : {0640u, 0604u, 0620u, 0666u}) {
    files_.SetPermissions(kPath, mode);
    EXPECT_EQ(file_.Load().status().code(), absl::StatusCode::kFailedPrecondition) << mode;
  }
  files_.SetPermissions(kPath, 0644);
  EXPECT_EQ(file_.Load().status().message(),
            "data/serf/local.keyring: its mode is 0644, so that others than its owner may read or "
            "write the keys; 0600 at most");
  files_.SetPermissions(kPath, 0400);
  EXPECT_TRUE(file_.Load().ok());
}

TEST_F(KeyringFileTest, TheConfigurationsKeyBeginsAKeyring) {
  const KeyringStart start = file_.Start(KeyOf(kFirst)).value();
  EXPECT_EQ(Texts(*start.keyring), " " + std::string(kFirst));
  EXPECT_EQ(start.warning, "");
  EXPECT_TRUE(file_.Load().value() == start.keyring);
}

TEST_F(KeyringFileTest, WithoutAKeyAnywhereThereIsNoEncryption) {
  const KeyringStart start = file_.Start(std::nullopt).value();
  EXPECT_FALSE(start.keyring.has_value());
  EXPECT_EQ(start.warning, "");
  EXPECT_EQ(files_.Contents(kPath), "");
}

TEST_F(KeyringFileTest, AFileEncryptsWithoutAConfiguredKey) {
  ASSERT_TRUE(file_.Store(Keyring(KeyOf(kFirst))).ok());
  const KeyringStart start = file_.Start(std::nullopt).value();
  EXPECT_EQ(Texts(*start.keyring), " " + std::string(kFirst));
  EXPECT_EQ(start.warning, "");
}

TEST_F(KeyringFileTest, AConfiguredKeyOfTheFileChangesNothing) {
  const auto both = Keyring::Create(KeyOf(kFirst), std::vector{KeyOf(kSecond)}).value();
  ASSERT_TRUE(file_.Store(both).ok());
  const KeyringStart start = file_.Start(KeyOf(kSecond)).value();
  EXPECT_TRUE(start.keyring == both) << "the primary key stays what it is";
  EXPECT_EQ(start.warning, "");
}

TEST_F(KeyringFileTest, AConfiguredKeyThatIsNotInTheFileIsPassedOver) {
  ASSERT_TRUE(file_.Store(Keyring(KeyOf(kFirst))).ok());
  const KeyringStart start = file_.Start(KeyOf(kThird)).value();
  EXPECT_EQ(Texts(*start.keyring), " " + std::string(kFirst));
  EXPECT_EQ(start.warning,
            "keyring doesn't include key provided with -encrypt, using keyring "
            "data/serf/local.keyring");
  EXPECT_EQ(Texts(**file_.Load()), " " + std::string(kFirst));
}

// Goal: the file always holds a whole keyring. Method: the machine stops at each operation of a
// change, and comes up with what was not synced kept, lost or in part.
TEST(KeyringFileCrashTest, TheKeyringIsTheOldOneOrTheNewOne) {
  const Keyring before(KeyOf(kFirst));
  const Keyring after = Keyring::Create(KeyOf(kSecond), std::vector{KeyOf(kFirst)}).value();
  bool finished = false;
  for (uint64_t operation = 0; !finished; ++operation) {
    for (const Unsynced unsynced : {Unsynced::kKept, Unsynced::kLost, Unsynced::kTorn}) {
      for (uint64_t seed = 0; seed < 10; ++seed) {
        FaultyFileSystem files(seed);
        KeyringFile file(&files, kDirectory, kLanKeyringName);
        ASSERT_TRUE(file.Store(before).ok());
        files.CrashAtOperation(operation);
        const bool stored = file.Store(after).ok();
        finished = stored;
        files.Restart(unsynced);
        const auto loaded = file.Load();
        ASSERT_TRUE(loaded.ok()) << loaded.status();
        ASSERT_TRUE(*loaded == after || (!stored && *loaded == before)) << operation;
        ASSERT_TRUE(file.Store(after).ok()) << "what the crash left is in nobody's way";
        ASSERT_TRUE(file.Load().value() == after);
      }
    }
  }
}

TEST_F(KeyringFileTest, AFailedSyncOrAFullDiskLeavesTheOldKeyring) {
  ASSERT_TRUE(file_.Store(Keyring(KeyOf(kFirst))).ok());
  files_.FailSync(0);
  EXPECT_FALSE(file_.Store(Keyring(KeyOf(kSecond))).ok());
  EXPECT_EQ(Texts(**file_.Load()), " " + std::string(kFirst));
  EXPECT_EQ(files_.List(kDirectory)->size(), 1u) << "the attempt is gone";
  files_.SetCapacity(files_.size_total() + 10);
  EXPECT_EQ(file_.Store(Keyring(KeyOf(kSecond))).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Texts(**file_.Load()), " " + std::string(kFirst));
  files_.SetCapacity(std::nullopt);
  EXPECT_TRUE(file_.Store(Keyring(KeyOf(kSecond))).ok());
  EXPECT_EQ(Texts(**file_.Load()), " " + std::string(kSecond));
}

TEST(KeyringFilePosixTest, TheFileIsItsOwnersAlone) {
  std::string directory = ::testing::TempDir() + "/keyring_file_test.XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  KeyringFile file(base::FileSystem::Posix(), directory + "/serf", kWanKeyringName);
  const mode_t mask = ::umask(0);
  ASSERT_TRUE(file.Store(Keyring(KeyOf(kFirst))).ok());
  ::umask(mask);
  struct stat info;
  ASSERT_EQ(::stat(file.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(file.path(), directory + "/serf/remote.keyring");
  EXPECT_EQ(Texts(**file.Load()), " " + std::string(kFirst));
  ASSERT_EQ(::chmod(file.path().c_str(), 0644), 0);
  EXPECT_EQ(file.Load().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace consul::gossip
