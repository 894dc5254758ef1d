#include "services/agent/config/node_id.h"
#include "services/base/uuid.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "gtest/gtest.h"

namespace consul::agent::config {
namespace {

constexpr const char* kId = "5f1fc5fc-5c6d-44f4-9ee8-4a2a4c28b6d1";

class NodeIdTest : public testing::Test {
 protected:
  NodeIdTest() {
    std::string pattern = testing::TempDir() + "/node_id.XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~NodeIdTest() override { std::filesystem::remove_all(directory_); }

  std::string Stored() const {
    std::ostringstream text;
    text << std::ifstream(directory_ + "/node-id").rdbuf();
    return text.str();
  }
  void Store(const std::string& text) const { std::ofstream(directory_ + "/node-id") << text; }

  std::string directory_;
};

TEST_F(NodeIdTest, AFirstStartMakesOneAndKeepsIt) {
  const auto first = ResolveNodeId("", directory_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(base::IsUuid(*first));
  EXPECT_EQ(Stored(), *first + "\n");
  EXPECT_EQ(*ResolveNodeId("", directory_), *first);
  struct stat info;
  ASSERT_EQ(stat((directory_ + "/node-id").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(NodeIdTest, TheConfiguredOneWinsAndIsKept) {
  Store(base::MakeUuid());
  EXPECT_EQ(*ResolveNodeId(kId, directory_), kId);
  EXPECT_EQ(*ResolveNodeId("", directory_), kId);
}

TEST_F(NodeIdTest, CaseDoesNotMatter) {
  Store("5F1FC5FC-5C6D-44F4-9EE8-4A2A4C28B6D1\n\n");
  EXPECT_EQ(*ResolveNodeId("", directory_), kId);
  EXPECT_EQ(*ResolveNodeId("5F1FC5FC-5C6D-44F4-9EE8-4A2A4C28B6D1", directory_), kId);
}

TEST_F(NodeIdTest, AnEmptyFileIsNone) {
  Store("");
  EXPECT_TRUE(base::IsUuid(*ResolveNodeId("", directory_)));
}

TEST_F(NodeIdTest, ADamagedFileIsNamedAndNotReplaced) {
  Store("not an id");
  const auto id = ResolveNodeId("", directory_);
  EXPECT_EQ(std::string(id.status().message()),
            "node id: " + directory_ + "/node-id does not hold a UUID");
  EXPECT_EQ(Stored(), "not an id");
  EXPECT_EQ(*ResolveNodeId(kId, directory_), kId);
}

TEST_F(NodeIdTest, AFileWithMoreThanAnIdIsDamaged) {
  // What is cut off behind white space would not be looked at.
  Store(kId + std::string(220, ' ') + "x");
  EXPECT_FALSE(ResolveNodeId("", directory_).ok());
  Store(kId + std::string(220, '\n'));
  EXPECT_EQ(*ResolveNodeId("", directory_), kId);
  Store(kId + std::string(221, '\n'));
  EXPECT_FALSE(ResolveNodeId("", directory_).ok());
}

TEST_F(NodeIdTest, ABadConfiguredOneIsNamed) {
  EXPECT_EQ(std::string(ResolveNodeId("zz", directory_).status().message()),
            "node_id \"zz\" is not a UUID");
}

TEST_F(NodeIdTest, ADirectoryThatIsNotThereIsNamed) {
  const std::string missing = directory_ + "/missing";
  EXPECT_EQ(std::string(ResolveNodeId("", missing).status().message()),
            "node id: create " + missing + "/node-id.tmp: No such file or directory");
}

TEST(UuidTest, OnlyTheOneShape) {
  EXPECT_TRUE(base::IsUuid(kId));
  EXPECT_FALSE(base::IsUuid(""));
  EXPECT_FALSE(base::IsUuid("5f1fc5fc5c6d44f49ee84a2a4c28b6d1"));
  EXPECT_FALSE(base::IsUuid("5f1fc5fc-5c6d-44f4-9ee8-4a2a4c28b6d"));
  EXPECT_FALSE(base::IsUuid("5f1fc5fc-5c6d-44f4-9ee8-4a2a4c28b6dg"));
  EXPECT_FALSE(base::IsUuid("5f1fc5fc-5c6d-44f4-9ee8+4a2a4c28b6d1"));
}

TEST(UuidTest, MadeOnesAreOfVersionFourAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = base::MakeUuid();
    EXPECT_TRUE(base::IsUuid(id));
    EXPECT_EQ(id[14], '4');
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos);
    EXPECT_TRUE(seen.insert(id).second);
  }
}

}  // namespace
}  // namespace consul::agent::config
