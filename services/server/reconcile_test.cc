// Text tests of what the leader writes for the pool: a pool and a catalog, and what the second
// lacks of the first.
//
//   member NAME ADDRESS [id=] [role=] [port=] [build=] [status=alive|leaving|left|failed]
//                       adds to the pool, or changes the member of that name
//   agent NAME ADDRESS [id=] [meta=K:V] [tagged=K:V]     a whole node, as an agent writes it
//   check NODE ID STATUS        service NODE ID NAME PORT [tag=]
//   gone NODE GENERATION        a node is removed, as that of an agent that left
//   reconcile           prints each write and conflict; applies the writes
//   absent              prints the nodes that no member is
//   catalog             prints nodes, services and checks
#include "services/server/reconcile.h"

#include <sstream>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"
#include "services/server/test_consensus.h"

namespace consul::server {
namespace {

using agent::v1::Member;
using base::StrCat;

struct Words {
  explicit Words(const std::string& line) {
    std::istringstream in(line);
    std::string word;
    while (in >> word) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(word);
      } else {
        options.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      }
    }
  }
  std::string Option(const std::string& name) const {
    for (const auto& [key, value] : options) {
      if (key == name) return value;
    }
    return "";
  }
  std::vector<std::string> plain;
  std::vector<std::pair<std::string, std::string>> options;
};

void SetPair(const std::string& text, query::v1::StringPair* pair) {
  const size_t colon = text.find(':');
  pair->set_key(text.substr(0, colon));
  pair->set_value(text.substr(colon + 1));
}

agent::v1::MemberStatus StatusOf(const std::string& name) {
  if (name == "leaving") return agent::v1::MEMBER_STATUS_LEAVING;
  if (name == "left") return agent::v1::MEMBER_STATUS_LEFT;
  if (name == "failed") return agent::v1::MEMBER_STATUS_FAILED;
  return agent::v1::MEMBER_STATUS_ALIVE;
}

std::string StatusName(health::v1::CheckStatus status) {
  return status == health::v1::CHECK_STATUS_PASSING ? "passing" : "critical";
}

class Script {
 public:
  std::string Run(const std::string& input) {
    std::istringstream in(input);
    for (std::string line; std::getline(in, line);) RunLine(Words(line));
    return out_;
  }

 private:
  void RunLine(const Words& words) {
    const std::string& verb = words.plain.at(0);
    if (verb == "member") return SetMember(words);
    if (verb == "reconcile") return RunReconcile();
    if (verb == "catalog") return PrintCatalog();
    if (verb == "absent") return PrintAbsent();
    TestConsensus::Command command;
    if (verb == "gone") {
      command.mutable_catalog_deregister()->set_node(words.plain.at(1));
      command.mutable_catalog_deregister()->set_left_generation(words.plain.at(2));
      return consensus_.Apply(command);
    }
    auto* const registration = command.mutable_catalog_register();
    registration->mutable_node()->set_node(words.plain.at(1));
    if (verb == "agent") {
      FillAgent(words, registration->mutable_node());
    } else {
      registration->set_skip_node_update(true);
      if (verb == "check") FillCheck(words, registration->add_checks());
      if (verb == "service") FillService(words, registration->mutable_service());
    }
    consensus_.Apply(command);
  }

  void SetMember(const Words& words) {
    Member* member = nullptr;
    for (Member& each : *members_.mutable_members()) {
      if (each.name() == words.plain.at(1)) member = &each;
    }
    if (member == nullptr) member = members_.add_members();
    member->Clear();
    member->set_name(words.plain.at(1));
    member->set_addr(words.plain.at(2));
    member->set_status(StatusOf(words.Option("status")));
    for (const auto& [key, value] : words.options) {
      if (key == "status") continue;
      auto* const tag = member->add_tags();
      tag->set_key(key);
      tag->set_value(value);
    }
  }

  static void FillAgent(const Words& words, catalog::v1::Node* node) {
    node->set_address(words.plain.at(2));
    node->set_datacenter("dc1");
    node->set_id(words.Option("id"));
    for (const auto& [key, value] : words.options) {
      if (key == "meta") SetPair(value, node->add_meta());
      if (key == "tagged") SetPair(value, node->add_tagged_addresses());
    }
  }
  static void FillCheck(const Words& words, health::v1::HealthCheck* check) {
    check->set_check_id(words.plain.at(2));
    check->set_status(words.plain.at(3) == "passing" ? health::v1::CHECK_STATUS_PASSING
                                                     : health::v1::CHECK_STATUS_CRITICAL);
  }
  static void FillService(const Words& words, catalog::v1::Service* service) {
    service->set_id(words.plain.at(2));
    service->set_service(words.plain.at(3));
    service->set_port(std::stoul(words.plain.at(4)));
    if (!words.Option("tag").empty()) service->add_tags(words.Option("tag"));
  }

  void RunReconcile() {
    const Corrections corrections = Reconcile(members_, "dc1", *consensus_.version());
    if (corrections.writes.empty() && corrections.conflicts.empty()) out_ += "at rest\n";
    for (const Conflict& conflict : corrections.conflicts) {
      out_ += StrCat("conflict of ", conflict.subject, ": ", conflict.text, "\n");
    }
    for (const Correction& correction : corrections.writes) {
      if (correction.command.has_catalog_deregister()) {
        out_ += StrCat("remove ", correction.subject, ": generation=",
                       correction.command.catalog_deregister().left_generation(), " (",
                       correction.news, ")\n");
        consensus_.Apply(correction.command);
        continue;
      }
      const auto& written = correction.command.catalog_register();
      out_ += StrCat("write ", correction.subject, ":");
      out_ += StrCat(" address=", written.node().address(), " id=", written.node().id());
      if (written.has_service()) out_ += StrCat(" port=", written.service().port());
      if (written.checks(0).status() != health::v1::CHECK_STATUS_PASSING) out_ += " critical";
      if (!written.generation().empty()) out_ += StrCat(" alive=", written.generation());
      if (!correction.news.empty()) out_ += StrCat(" (", correction.news, ")");
      out_ += '\n';
      consensus_.Apply(correction.command);
    }
  }

  void PrintAbsent() {
    for (const std::string& name : AbsentNodes(members_, *consensus_.version())) {
      out_ += StrCat("absent ", name, "\n");
    }
  }

  void PrintCatalog() {
    const auto version = consensus_.version();
    version->nodes().ForEach("", nullptr, [this](const catalog::v1::Node& node) {
      out_ += StrCat("node ", node.node(), " id=", node.id(), " address=", node.address(),
                     " dc=", node.datacenter());
      for (const auto& pair : node.meta()) out_ += StrCat(" meta ", pair.key(), ":", pair.value());
      for (const auto& pair : node.tagged_addresses()) {
        out_ += StrCat(" tagged ", pair.key(), ":", pair.value());
      }
      out_ += '\n';
      return true;
    });
    version->services().ForEach("", nullptr, [this](const catalog::v1::Service& service) {
      out_ += StrCat("service ", service.node(), " ", service.id(), ":", service.service(),
                     " port=", service.port());
      for (const auto& pair : service.meta()) out_ += StrCat(" ", pair.key(), "=", pair.value());
      for (const auto& tag : service.tags()) out_ += StrCat(" #", tag);
      out_ += '\n';
      return true;
    });
    version->checks().ForEach("", nullptr, [this](const health::v1::HealthCheck& check) {
      out_ += StrCat("check ", check.node(), " ", check.check_id(), " ",
                     StatusName(check.status()));
      if (!check.output().empty()) out_ += StrCat(" '", check.name(), "' '", check.output(), "'");
      out_ += '\n';
      return true;
    });
  }

  agent::v1::ListMembersResponse members_;
  TestConsensus consensus_;
  std::string out_;
};

[[maybe_unused]] const bool kRegistered =
    base::RegisterTextTests("ReconcileTest", {"services/server/testdata/reconcile.txt"},
                            [](const std::string& input) { return Script().Run(input); });

TEST(LargePoolReconcileTest, APoolOfThousandsAtRestAsksForNothing) {
  TestConsensus consensus;
  agent::v1::ListMembersResponse members;
  for (int i = 0; i < 2000; ++i) {
    Member* const member = members.add_members();
    member->set_name(StrCat("node-", i));
    member->set_addr("10.0.0.1");
    member->set_status(agent::v1::MEMBER_STATUS_ALIVE);
  }
  const Corrections first = Reconcile(members, "dc1", *consensus.version());
  ASSERT_EQ(first.writes.size(), 2000);
  for (const Correction& correction : first.writes) consensus.Apply(correction.command);
  const Corrections second = Reconcile(members, "dc1", *consensus.version());
  EXPECT_TRUE(second.writes.empty());
  EXPECT_TRUE(second.conflicts.empty());
}

}  // namespace
}  // namespace consul::server
