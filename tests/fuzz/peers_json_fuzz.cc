// Goal: no text of an operator's peers.json and no bytes of a recovery's file crash what reads
// them; what is taken is a configuration that votes, and says the same when it is written. Method:
// the first byte says which of the two the rest is.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/raft/peer_recovery.h"

namespace consul::raft {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

void CheckFile(std::string_view bytes) {
  const auto recovery = DecodeRecovery(bytes);
  if (!recovery.ok()) {
    Require(absl::IsDataLoss(recovery.status()) || absl::IsFailedPrecondition(recovery.status()));
    return;
  }
  Require(EncodeRecovery(*recovery) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 1) {
    CheckFile(input);
    return 0;
  }
  const auto configuration = ParsePeersJson(input);
  if (!configuration.ok()) {
    Require(absl::IsInvalidArgument(configuration.status()));
    return 0;
  }
  Require(configuration->voters_count() > 0);
  PeerRecovery recovery;
  recovery.configuration = *configuration;
  recovery.voided = {{Index{1}, Term{1}}};
  const auto again = DecodeRecovery(EncodeRecovery(recovery));
  Require(again.ok() && again->configuration == *configuration);
  return 0;
}

}  // namespace consul::raft
