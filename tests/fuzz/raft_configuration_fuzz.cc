// Goal: no bytes crash the decoder of raft's configurations, which come from other servers and from
// the disk, and what it takes is exactly what the encoder gives.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "services/raft/core/configuration.h"

namespace {

using consul::raft::Configuration;
using consul::raft::Member;
using consul::raft::MemberKind;

void Require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::optional<Configuration> decoded = Configuration::Decode(bytes);
  if (!decoded.has_value()) return 0;
  Require(decoded->Encode() == bytes);
  Require(decoded->members().size() <= Configuration::kMembersMax);
  Require(decoded->voters_count() <= decoded->members().size());
  for (const Member& member : decoded->members()) {
    Require(!member.id.empty() && member.id.value.size() <= Configuration::kIdBytesMax);
    Require(decoded->Contains(member.id));
    Require(decoded->IsVoter(member.id) == (member.kind == MemberKind::kVoter));
    // Every change that the membership can ask for gives a configuration again.
    Require(!decoded->Without(member.id).Contains(member.id));
    const Configuration demoted = decoded->With(member.id, MemberKind::kLearner);
    Require(Configuration::Decode(demoted.Encode()) == demoted);
  }
  return 0;
}
