#include <algorithm>
#include <ostream>
#include <tuple>

#include "absl/status/statusor.h"
#include "cli/commands.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "consul/agent/v1/agent.pb.h"
#include "services/base/pattern.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using agent::v1::Member;

const char* StatusText(agent::v1::MemberStatus status) {
  switch (status) {
    case agent::v1::MEMBER_STATUS_ALIVE: return "alive";
    case agent::v1::MEMBER_STATUS_LEAVING: return "leaving";
    case agent::v1::MEMBER_STATUS_LEFT: return "left";
    case agent::v1::MEMBER_STATUS_FAILED: return "failed";
    default: return "none";
  }
}

std::string Tag(const Member& member, std::string_view key) {
  for (const auto& tag : member.tags()) {
    if (tag.key() == key) return tag.value();
  }
  return "";
}

bool IsServer(const Member& member) { return Tag(member, "role") == "consul"; }

std::string Address(const Member& member) {
  const bool v6 = member.addr().find(':') != std::string::npos;
  return v6 ? base::StrCat("[", member.addr(), "]:", member.port())
            : base::StrCat(member.addr(), ":", member.port());
}

std::string Joined(const std::vector<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) base::StrAppend(&text, text.empty() ? "" : ",", tag);
  return text;
}

// What the line of a member tells of its tags, in this order. The others are for -detailed.
constexpr std::string_view kShownTags[] = {"role",    "dc",   "vsn",       "vsn_min",
                                           "vsn_max", "port", "bootstrap", "expect"};

std::string ShownTags(const Member& member) {
  std::vector<std::string> tags;
  for (const std::string_view key : kShownTags) {
    for (const auto& tag : member.tags()) {
      if (tag.key() == key) tags.push_back(base::StrCat(key, "=", tag.value()));
    }
  }
  return Joined(tags);
}

std::string AllTags(const Member& member) {
  std::vector<std::string> tags;
  for (const auto& tag : member.tags()) tags.push_back(base::StrCat(tag.key(), "=", tag.value()));
  std::sort(tags.begin(), tags.end());
  return Joined(tags);
}

std::string Lines(const std::vector<Member>& members) {
  std::vector<std::vector<std::string>> rows;
  for (const Member& each : members) {
    rows.push_back({each.name(), Address(each), StatusText(each.status()), ShownTags(each)});
  }
  return Table(rows);
}

std::string Detailed(const std::vector<Member>& members) {
  std::vector<std::vector<std::string>> rows = {{"Node", "Address", "Status", "Tags"}};
  for (const Member& each : members) {
    rows.push_back({each.name(), Address(each), StatusText(each.status()), AllTags(each)});
  }
  return Table(rows);
}

std::string ModernTable(const std::vector<Member>& members) {
  std::vector<std::vector<std::string>> rows = {
      {"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"}};
  for (const Member& each : members) {
    const std::string role = Tag(each, "role");
    const std::string build = Tag(each, "build");
    const bool server = IsServer(each);
    rows.push_back({each.name(), Address(each), StatusText(each.status()),
                    server ? "server" : role == "node" ? "client" : "unknown",
                    build.empty() ? "unknown" : build.substr(0, build.find(':')), Tag(each, "vsn"),
                    Tag(each, "dc"), server ? "<all>" : "<default>"});
  }
  return Table(rows);
}

// The same JSON as /v1/agent/members?pretty.
std::string Json(const std::vector<Member>& members) {
  std::string text = "[";
  const char* separator = "\n";
  for (const Member& each : members) {
    base::StrAppend(&text, separator, "    {\n        \"Name\": ", JsonString(each.name()),
                    ",\n        \"Addr\": ", JsonString(each.addr()), ",\n        \"Port\": ",
                    each.port(), ",\n        \"Tags\": {");
    std::vector<std::string> tags;
    for (const auto& tag : each.tags()) {
      tags.push_back(base::StrCat("\n            ", JsonString(tag.key()), ": ",
                                  JsonString(tag.value())));
    }
    std::sort(tags.begin(), tags.end());
    base::StrAppend(&text, Joined(tags), tags.empty() ? "}" : "\n        }",
                    ",\n        \"Status\": ", static_cast<int>(each.status()));
    const std::pair<const char*, uint32_t> versions[] = {
        {"ProtocolMin", each.protocol_min()}, {"ProtocolMax", each.protocol_max()},
        {"ProtocolCur", each.protocol_cur()}, {"DelegateMin", each.delegate_min()},
        {"DelegateMax", each.delegate_max()}, {"DelegateCur", each.delegate_cur()}};
    for (const auto& [name, value] : versions) {
      base::StrAppend(&text, ",\n        \"", name, "\": ", value);
    }
    text += "\n    }";
    separator = ",\n";
  }
  return text + (members.empty() ? "]\n" : "\n]\n");
}

class MembersCommand final : public Command {
 public:
  explicit MembersCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddBool("detailed", &detailed_, "Shows every tag of each member, under a header.");
    flags().AddText("format", "string", &format_,
                    "How to print the members: lines (the default), table or json.");
    flags().AddText("status", "regexp", &status_,
                    "Shows only members whose status (alive, leaving, left, failed) the regular "
                    "expression matches.");
    flags().AddBool("wan", &wan_,
                    "Shows the servers of all datacenters instead, when the agent is a server.");
  }

 private:
  std::string Usage() const override { return "consul members [options]"; }
  std::string Description() const override {
    return "  Lists the members of the cluster as an agent knows them: name, address, status\n"
           "  and tags, servers first. The exit code is 2 when no member matches.";
  }

  int Execute(const std::vector<std::string>&) override {
    if (format_ != "lines" && format_ != "table" && format_ != "json") {
      return Fail(base::StrCat("Unknown format: ", format_));
    }
    const absl::StatusOr<base::Pattern> status = base::Pattern::Compile(status_);
    if (!status.ok()) return Fail("Failed to compile status regexp", status.status());
    agent::v1::ListMembersRequest request;
    request.set_wan(wan_);
    agent::v1::ListMembersResponse response;
    const absl::Status called = api_.Connect(context())->Call(
        "consul.agent.v1.AgentService/ListMembers", request, &response);
    if (!called.ok()) return Fail("Error retrieving members", called);
    std::vector<Member> members;
    for (const Member& each : response.members()) {
      if (status->Matches(StatusText(each.status()))) members.push_back(each);
    }
    if (members.empty()) return kExitNothingMatched;
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
      return std::tuple(!IsServer(a), a.name()) < std::tuple(!IsServer(b), b.name());
    });
    if (format_ == "json") {
      out() << Json(members);
    } else if (detailed_) {
      out() << Detailed(members);
    } else {
      out() << (format_ == "table" ? ModernTable(members) : Lines(members));
    }
    return kExitOk;
  }

  ApiFlags api_;
  bool detailed_ = false;
  std::string format_ = "lines";
  std::string status_ = ".*";
  bool wan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeMembersCommand(const Context& context) {
  return std::make_unique<MembersCommand>(context);
}

}  // namespace consul::cli
