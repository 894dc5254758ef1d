// The Posix file system against its contract, and the faulty one against the sins it must commit.
#include "services/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "services/base/faulty_file_system.h"

namespace consul::base {
namespace {

std::string ReadAll(File* file) {
  std::string bytes(file->Size().value(), '\0');
  const auto n = file->ReadAt(0, bytes);
  return n.ok() ? bytes.substr(0, *n) : n.status().ToString();
}

class PosixTest : public ::testing::Test {
 protected:
  PosixTest() {
    std::string pattern = ::testing::TempDir() + "/file_test.XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  std::string Path(std::string_view name) const { return JoinPath(directory_, name); }

  FileSystem* const fs_ = FileSystem::Posix();
  std::string directory_;
};

TEST_F(PosixTest, WritesAreReadBack) {
  auto file = fs_->Create(Path("a")).value();
  ASSERT_TRUE(file->WriteAt(3, "def").ok());
  ASSERT_TRUE(file->WriteAt(0, "abc").ok());
  ASSERT_TRUE(file->SyncData().ok());
  EXPECT_EQ(ReadAll(file.get()), "abcdef");
  auto again = fs_->Open(Path("a")).value();
  EXPECT_EQ(ReadAll(again.get()), "abcdef");
}

TEST_F(PosixTest, ReadsEndWhereTheFileEnds) {
  auto file = fs_->Create(Path("a")).value();
  ASSERT_TRUE(file->WriteAt(0, "abc").ok());
  char out[8];
  EXPECT_EQ(file->ReadAt(1, out).value(), 2u);
  EXPECT_EQ(file->ReadAt(9, out).value(), 0u);
}

TEST_F(PosixTest, TruncateCutsAndExtends) {
  auto file = fs_->Create(Path("a")).value();
  ASSERT_TRUE(file->WriteAt(0, "abc").ok());
  ASSERT_TRUE(file->Truncate(1).ok());
  ASSERT_TRUE(file->Truncate(3).ok());
  EXPECT_EQ(ReadAll(file.get()), std::string("a\0\0", 3));
}

TEST_F(PosixTest, AFileIsItsOwnersAlone) {
  auto file = fs_->Create(Path("a")).value();
  EXPECT_EQ(file->Permissions().value(), 0600u);
  ASSERT_EQ(::chmod(Path("a").c_str(), 0640), 0);
  EXPECT_EQ(file->Permissions().value(), 0640u);
}

TEST_F(PosixTest, ErrorsCarryCodeAndPath) {
  const auto missing = fs_->Open(Path("none")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.ToString().find(Path("none")), std::string::npos);
  ASSERT_TRUE(fs_->Create(Path("a")).ok());
  EXPECT_EQ(fs_->Create(Path("a")).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(fs_->Remove(Path("none")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(fs_->List(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PosixTest, DirectoriesAreMadeWithTheOnesAbove) {
  ASSERT_TRUE(fs_->CreateDirectories(Path("x/y/z")).ok());
  ASSERT_TRUE(fs_->CreateDirectories(Path("x/y/z")).ok());
  ASSERT_TRUE(fs_->Create(Path("x/y/z/f")).ok());
  EXPECT_EQ(fs_->List(Path("x/y/z")).value(), std::vector<std::string>{"f"});
}

TEST_F(PosixTest, AFileInTheWayOfADirectoryIsNamed) {
  ASSERT_TRUE(fs_->Create(Path("x")).ok());
  const absl::Status status = fs_->CreateDirectories(Path("x/y"));
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.ToString().find(Path("x")), std::string::npos);
}

TEST_F(PosixTest, RenameReplacesAndListSorts) {
  ASSERT_TRUE(fs_->Create(Path("b")).value()->WriteAt(0, "new").ok());
  ASSERT_TRUE(fs_->Create(Path("a")).value()->WriteAt(0, "old").ok());
  ASSERT_TRUE(fs_->Create(Path("c")).ok());
  ASSERT_TRUE(fs_->Rename(Path("b"), Path("a")).ok());
  ASSERT_TRUE(fs_->SyncDirectory(directory_).ok());
  EXPECT_EQ(fs_->List(directory_).value(), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(ReadAll(fs_->Open(Path("a")).value().get()), "new");
}

TEST_F(PosixTest, ADiskWithFilesHasRoomToo) {
  EXPECT_GT(fs_->FreeBytes(directory_).value(), 0u);
  EXPECT_EQ(fs_->FreeBytes(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PosixTest, ASecondLockNamesTheHolder) {
  auto lock = fs_->Lock(Path("LOCK"));
  ASSERT_TRUE(lock.ok());
  const absl::Status second = fs_->Lock(Path("LOCK")).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.ToString().find(Path("LOCK")), std::string::npos);
  EXPECT_NE(second.ToString().find("(process "), std::string::npos);
  lock->reset();
  EXPECT_TRUE(fs_->Lock(Path("LOCK")).ok());
}

class FaultyTest : public ::testing::Test {
 protected:
  FaultyTest() {
    EXPECT_TRUE(fs_.CreateDirectories("d").ok());
    file_ = fs_.Create("d/a").value();
    EXPECT_TRUE(fs_.SyncDirectory("d").ok());
  }

  FaultyFileSystem fs_{7};
  std::unique_ptr<File> file_;
};

TEST_F(FaultyTest, SyncedBytesSurviveAndOthersAreLost) {
  ASSERT_TRUE(file_->WriteAt(0, "aaa").ok());
  ASSERT_TRUE(file_->SyncData().ok());
  ASSERT_TRUE(file_->WriteAt(1, "bbbb").ok());
  EXPECT_EQ(fs_.Contents("d/a"), "abbbb");
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(fs_.Contents("d/a"), "aaa");
}

TEST_F(FaultyTest, PermissionsAreWhatTheTestSays) {
  EXPECT_EQ(file_->Permissions().value(), 0600u);
  fs_.SetPermissions("d/a", 0644);
  EXPECT_EQ(fs_.Open("d/a").value()->Permissions().value(), 0644u);
}

TEST_F(FaultyTest, AKilledProcessLosesNothing) {
  ASSERT_TRUE(file_->WriteAt(0, "aaa").ok());
  fs_.Restart(Unsynced::kKept);
  EXPECT_EQ(fs_.Contents("d/a"), "aaa");
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(fs_.Contents("d/a"), "") << "kept by the system is not yet on the disk";
}

TEST_F(FaultyTest, NamesThatWereNotSyncedAreLost) {
  ASSERT_TRUE(fs_.Create("d/b").value()->SyncData().ok());
  ASSERT_TRUE(fs_.Rename("d/a", "d/c").ok());
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(fs_.List("d").value(), std::vector<std::string>{"a"});
}

TEST_F(FaultyTest, TornWritesKeepSomeSectorsInAnyOrder) {
  bool first_missing_later_kept = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    FaultyFileSystem fs(seed);
    ASSERT_TRUE(fs.CreateDirectories("d").ok());
    auto file = fs.Create("d/a").value();
    ASSERT_TRUE(fs.SyncDirectory("d").ok());
    ASSERT_TRUE(file->WriteAt(0, std::string(4096, '\0')).ok());
    ASSERT_TRUE(file->SyncData().ok());
    ASSERT_TRUE(file->WriteAt(0, std::string(4096, 'x')).ok());
    fs.Restart(Unsynced::kTorn);
    const std::string contents = fs.Contents("d/a");
    for (size_t sector = 0; sector < 4096; sector += 512) {
      const std::string part = contents.substr(sector, 512);
      EXPECT_TRUE(part == std::string(512, 'x') || part == std::string(512, '\0'));
    }
    if (contents[0] == '\0' && contents.find('x') != std::string::npos) {
      first_missing_later_kept = true;
    }
  }
  EXPECT_TRUE(first_missing_later_kept);
}

TEST_F(FaultyTest, ACrashTakesEverythingAfterIt) {
  fs_.CrashAtOperation(1);
  EXPECT_TRUE(file_->WriteAt(0, "a").ok());
  EXPECT_FALSE(file_->WriteAt(1, "b").ok());
  EXPECT_FALSE(file_->SyncData().ok());
  EXPECT_FALSE(fs_.Open("d/a").ok());
  EXPECT_TRUE(fs_.crashed());
  fs_.Restart(Unsynced::kKept);
  EXPECT_EQ(fs_.Contents("d/a")[0], 'a');
  EXPECT_FALSE(file_->WriteAt(0, "c").ok()) << "a handle from before the crash is dead";
}

TEST_F(FaultyTest, ACrashByBytesCutsTheWriteThere) {
  fs_.CrashAfterBytes(5);
  EXPECT_TRUE(file_->WriteAt(0, "abc").ok());
  EXPECT_FALSE(file_->WriteAt(3, "defg").ok());
  fs_.Restart(Unsynced::kKept);
  EXPECT_EQ(fs_.Contents("d/a"), "abcde");
}

TEST_F(FaultyTest, AFailedSyncLosesTheBytesForGood) {
  fs_.FailSync(0);
  ASSERT_TRUE(file_->WriteAt(0, "abc").ok());
  EXPECT_FALSE(file_->SyncData().ok());
  EXPECT_TRUE(file_->SyncData().ok()) << "the second sync lies, as the real one does";
  EXPECT_EQ(fs_.Contents("d/a"), "abc");
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(fs_.Contents("d/a"), "");
}

TEST_F(FaultyTest, AFullDiskTakesWhatFits) {
  fs_.SetCapacity(4);
  EXPECT_EQ(file_->WriteAt(0, "abcdef").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(fs_.Contents("d/a"), "abcd");
  EXPECT_TRUE(file_->WriteAt(1, "xyz").ok()) << "no growth, no error";
  fs_.SetCapacity(std::nullopt);
  EXPECT_TRUE(file_->WriteAt(4, "ef").ok());
}

TEST_F(FaultyTest, FreeIsWhatTheOtherFilesLeave) {
  EXPECT_GT(*fs_.FreeBytes("d"), uint64_t{1} << 40);
  fs_.SetCapacity(100);
  ASSERT_TRUE(file_->WriteAt(0, std::string(30, 'x')).ok());
  EXPECT_EQ(*fs_.FreeBytes("d"), 70u);
  fs_.SetCapacity(10);
  EXPECT_EQ(*fs_.FreeBytes("d"), 0u);
}

TEST_F(FaultyTest, AFlippedBitIsOnDiskToo) {
  ASSERT_TRUE(file_->WriteAt(0, "abc").ok());
  ASSERT_TRUE(file_->SyncData().ok());
  fs_.FlipBit("d/a", 1, 0);
  EXPECT_EQ(fs_.Contents("d/a"), "acc");
  fs_.Restart(Unsynced::kLost);
  EXPECT_EQ(fs_.Contents("d/a"), "acc");
}

TEST_F(FaultyTest, OneOwnerALockUntilTheMachineRestarts) {
  auto lock = fs_.Lock("d/LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(fs_.Lock("d/LOCK").status().code(), absl::StatusCode::kFailedPrecondition);
  fs_.Restart(Unsynced::kKept);
  auto second = fs_.Lock("d/LOCK");
  EXPECT_TRUE(second.ok());
  lock->reset();
  EXPECT_FALSE(fs_.Lock("d/LOCK").ok()) << "the dead owner must not free the living one's lock";
}

TEST_F(FaultyTest, ACloneGoesItsOwnWay) {
  ASSERT_TRUE(file_->WriteAt(0, "abc").ok());
  auto clone = fs_.Clone();
  ASSERT_TRUE(file_->WriteAt(0, "xyz").ok());
  EXPECT_EQ(clone->Contents("d/a"), "abc");
  clone->Restart(Unsynced::kLost);
  EXPECT_EQ(clone->Contents("d/a"), "");
}

TEST_F(FaultyTest, FatalIsRecorded) {
  EXPECT_FALSE(fs_.fatal().has_value());
  fs_.Fatal(absl::InternalError("first"));
  fs_.Fatal(absl::InternalError("second"));
  EXPECT_EQ(fs_.fatal()->message(), "first");
}

}  // namespace
}  // namespace consul::base
