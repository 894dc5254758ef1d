#include "services/raft/peer_recovery.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "services/base/crc32c.h"
#include "services/base/little_endian.h"
#include "services/base/strings.h"

namespace consul::raft {
namespace {

namespace json = boost::json;

using base::AppendLittleEndian;
using base::LoadLittleEndian;
using base::StrCat;

constexpr std::string_view kMagic = "consulpr";
constexpr uint32_t kVersion = 1;
constexpr size_t kVersionOffset = 12;
constexpr size_t kHeaderBytes = 20;
constexpr size_t kVoidedBytes = 16;
constexpr size_t kDepthMax = 8;

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("recovery failed to parse peers.json: ", what));
}

std::string_view Text(const json::value& value) {
  return {value.get_string().data(), value.get_string().size()};
}

// The text of a member of a server; an error when it is missing, empty or no text.
absl::StatusOr<std::string> TextOf(const json::object& server, std::string_view name) {
  const json::value* const value = server.if_contains(name);
  if (value == nullptr || !value->is_string() || value->get_string().empty()) {
    return Wrong(StrCat("a server has no \"", name, "\""));
  }
  return std::string(Text(*value));
}

absl::StatusOr<Member> ParseServer(const json::value& value) {
  if (value.is_string()) {
    return Wrong(
        "it is a list of addresses, the form of raft protocol 2; what is read is a list of "
        "{\"id\": NODE ID, \"address\": IP:PORT, \"non_voter\": false}");
  }
  const json::object* const server = value.if_object();
  if (server == nullptr) return Wrong("it is no list of servers");
  absl::StatusOr<std::string> id = TextOf(*server, "id");
  if (!id.ok()) return id.status();
  if (id->size() > Configuration::kIdBytesMax) {
    return Wrong(StrCat("an id is longer than ", Configuration::kIdBytesMax, " bytes"));
  }
  if (const auto address = TextOf(*server, "address"); !address.ok()) return address.status();
  Member member{ServerId{*std::move(id)}, MemberKind::kVoter};
  if (const json::value* const non_voter = server->if_contains("non_voter")) {
    if (!non_voter->is_bool()) return Wrong("\"non_voter\" is to be true or false");
    if (non_voter->get_bool()) member.kind = MemberKind::kLearner;
  }
  return member;
}

Term TermAt(const Restart& restart, Index index) {
  Term term;
  for (const TermRun& run : restart.term_runs) {
    if (run.first <= index) term = run.term;
  }
  return term;
}

}  // namespace

absl::StatusOr<Configuration> ParsePeersJson(std::string_view text) {
  if (text.size() > kPeersJsonBytesMax) {
    return Wrong(StrCat("it is larger than ", kPeersJsonBytesMax, " bytes"));
  }
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::error_code error;
  const json::value parsed =
      json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return Wrong(error.message());
  const json::array* const list = parsed.if_array();
  if (list == nullptr) return Wrong("it is no list of servers");
  if (list->size() > Configuration::kMembersMax) {
    return Wrong(StrCat("it names more than ", Configuration::kMembersMax, " servers"));
  }
  std::vector<Member> members;
  bool voter = false;
  for (const json::value& value : *list) {
    absl::StatusOr<Member> member = ParseServer(value);
    if (!member.ok()) return member.status();
    for (const Member& other : members) {
      if (other.id == member->id) return Wrong(StrCat("it names ", member->id.value, " twice"));
    }
    voter = voter || member->kind == MemberKind::kVoter;
    members.push_back(*std::move(member));
  }
  if (!voter) return Wrong("it names no server that votes");
  return Configuration(std::move(members));
}

std::string_view PeersInfoText() {
  return "A file peers.json in this directory is for one purpose: to say who the servers are when\n"
         "a majority of them is lost for good. It is read once, when the agent starts, and then\n"
         "removed. Nothing is to be done here while a majority is alive: servers are removed by\n"
         "\"consul operator raft remove-peer\", or leave by themselves.\n"
         "\n"
         "1. Stop all servers that are left. Those that are not must never come back as they are.\n"
         "2. Write the same peers.json into DATA_DIR/raft of each. It names the servers that are\n"
         "   left, each by its node id (DATA_DIR/node-id), with the address of its server port:\n"
         "\n"
         "   [\n"
         "     {\"id\": \"adf4238a-882b-9ddc-4a9d-5b6758e4159e\", \"address\": \"10.1.0.1:8300\",\n"
         "      \"non_voter\": false},\n"
         "     {\"id\": \"8b6dda82-3103-11e7-93ae-92361f002671\", \"address\": \"10.1.0.2:8300\"}\n"
         "   ]\n"
         "\n"
         "3. Start them. What the longest of their logs holds is kept, whether or not a majority\n"
         "   of the old servers had it.\n";
}

PeerRecovery MakeRecovery(Configuration configuration, const Restart& restart) {
  PeerRecovery recovery;
  recovery.configuration = std::move(configuration);
  for (const PlacedConfiguration& placed : restart.configurations) {
    recovery.voided.push_back({placed.index, TermAt(restart, placed.index)});
  }
  return recovery;
}

void ApplyRecovery(const PeerRecovery& recovery, Restart* restart) {
  std::erase_if(restart->configurations, [&](const PlacedConfiguration& placed) {
    const PeerRecovery::Entry entry{placed.index, TermAt(*restart, placed.index)};
    return std::find(recovery.voided.begin(), recovery.voided.end(), entry) !=
           recovery.voided.end();
  });
  if (restart->snapshot.index > Index{0}) return;
  // In the place of the entry that began the cluster, which is the same on all servers and stays.
  restart->configurations.insert(restart->configurations.begin(),
                                 PlacedConfiguration{Index{1}, recovery.configuration});
}

bool IsObsolete(const PeerRecovery& recovery, const Restart& restart) {
  if (restart.snapshot.index == Index{0}) return false;
  return recovery.voided.empty() || recovery.voided.back().index <= restart.snapshot.index;
}

std::string EncodeRecovery(const PeerRecovery& recovery) {
  std::string rest;
  AppendLittleEndian(kVersion, &rest);
  AppendLittleEndian(static_cast<uint32_t>(recovery.voided.size()), &rest);
  for (const PeerRecovery::Entry& entry : recovery.voided) {
    AppendLittleEndian(entry.index.value, &rest);
    AppendLittleEndian(entry.term.value, &rest);
  }
  rest += recovery.configuration.Encode();
  std::string bytes(kMagic);
  AppendLittleEndian(base::Crc32c(rest), &bytes);
  return bytes + rest;
}

absl::StatusOr<PeerRecovery> DecodeRecovery(std::string_view bytes) {
  const absl::Status damaged = absl::DataLossError("the file is damaged");
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic) ||
      LoadLittleEndian<uint32_t>(bytes.data() + kMagic.size()) !=
          base::Crc32c(bytes.substr(kVersionOffset))) {
    return damaged;
  }
  const auto version = LoadLittleEndian<uint32_t>(bytes.data() + kVersionOffset);
  if (version != kVersion) {
    return absl::FailedPreconditionError(StrCat("version ", version, " is not known; this program "
                                                "reads version ", kVersion));
  }
  const uint64_t count = LoadLittleEndian<uint32_t>(bytes.data() + kVersionOffset + 4);
  bytes.remove_prefix(kHeaderBytes);
  if (count > bytes.size() / kVoidedBytes) return damaged;
  PeerRecovery recovery;
  for (uint64_t i = 0; i < count; ++i) {
    recovery.voided.push_back({Index{LoadLittleEndian<uint64_t>(bytes.data())},
                               Term{LoadLittleEndian<uint64_t>(bytes.data() + 8)}});
    bytes.remove_prefix(kVoidedBytes);
  }
  auto configuration = Configuration::Decode(bytes);
  if (!configuration.has_value() || configuration->voters_count() == 0) return damaged;
  recovery.configuration = *std::move(configuration);
  return recovery;
}

}  // namespace consul::raft
