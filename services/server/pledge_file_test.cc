#include "services/server/pledge_file.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "services/base/faulty_file_system.h"

namespace consul::server {
namespace {

PledgeFile::Foundation Pledge() {
  PledgeFile::Foundation pledge;
  pledge.set_cluster_id("c");
  for (const char* id : {"a", "b", "c"}) pledge.add_servers(id);
  return pledge;
}

class PledgeFileTest : public testing::Test {
 protected:
  PledgeFileTest() { EXPECT_TRUE(disk_.CreateDirectories("raft").ok()); }
  void Write(const std::string& text) {
    disk_.Remove("raft/pledge").IgnoreError();
    auto file = disk_.Create("raft/pledge");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->WriteAt(0, text).ok());
  }
  base::FaultyFileSystem disk_{1};
  PledgeFile file_{&disk_, "raft"};
};

TEST_F(PledgeFileTest, HoldsWhatWasStored) {
  EXPECT_FALSE(file_.Load()->has_value());
  ASSERT_TRUE(file_.Store(Pledge()).ok());
  ASSERT_TRUE(file_.Load()->has_value());
  EXPECT_EQ((*file_.Load())->SerializeAsString(), Pledge().SerializeAsString());
  ASSERT_TRUE(file_.Store(std::nullopt).ok());
  EXPECT_FALSE(file_.Load()->has_value());
}

TEST_F(PledgeFileTest, AStoreThatIsInterruptedLeavesTheOldPledgeOrTheNewOne) {
  for (uint64_t operation = 0;; ++operation) {
    base::FaultyFileSystem disk(operation + 1);
    ASSERT_TRUE(disk.CreateDirectories("raft").ok());
    PledgeFile file(&disk, "raft");
    ASSERT_TRUE(file.Store(Pledge()).ok());
    PledgeFile::Foundation other = Pledge();
    other.set_cluster_id("d");
    disk.CrashAtOperation(operation);
    const bool stored = file.Store(other).ok();
    if (!disk.crashed()) disk.Crash();
    disk.Restart(base::Unsynced::kTorn);
    const auto loaded = file.Load();
    ASSERT_TRUE(loaded.ok()) << operation << loaded.status();
    ASSERT_TRUE(loaded->has_value());
    EXPECT_TRUE(!stored || (*loaded)->cluster_id() == "d");
    EXPECT_TRUE(file.Store(other).ok());  // what was left does not stand in the way
    if (stored) return;
  }
}

TEST_F(PledgeFileTest, WhatIsNoPledgeIsNamed) {
  for (const char* text : {"", "cluster_id: \"c\"", "nonsense",
                           "cluster_id: \"c\" servers: \"b\" servers: \"a\""}) {
    Write(text);
    const auto loaded = file_.Load();
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kDataLoss) << text;
    EXPECT_NE(loaded.status().ToString().find("raft/pledge: is no pledge of a server"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace consul::server
