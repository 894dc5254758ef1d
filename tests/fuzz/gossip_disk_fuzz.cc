// Goal: whatever stands in the files of gossip, a start reads it or says why not, and what it read
// it would write and read again. Method, by the first byte of the input:
//   0  the rest is a member snapshot, as it was found
//   1  a member snapshot of the records that the rest names, with checksums that are right
//   2  the rest is a keyring file
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "services/base/crc32c.h"
#include "services/base/faulty_file_system.h"
#include "services/base/little_endian.h"
#include "services/gossip/keyring_file.h"
#include "services/gossip/member_snapshot.h"
#include "services/gossip/member_snapshot_format.h"

namespace consul::gossip {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

void OpenSnapshot(std::string_view bytes) {
  for (const bool rejoin : {false, true}) {
    const SnapshotContents contents = ParseMemberSnapshot(bytes, rejoin);
    for (const auto& [name, address] : contents.members) {
      Require(!name.empty() && name.size() <= kNameBytesMax && address.port != 0);
    }
    base::FaultyFileSystem files(1);
    MemberSnapshotOptions options;
    options.files = &files;
    options.directory = "serf";
    options.name = kLanSnapshotName;
    options.rejoin_after_leave = rejoin;
    Require(files.CreateDirectories("serf").ok());
    Require((*files.Create("serf/local.snapshot"))->WriteAt(0, bytes).ok());
    MemberSnapshot first(options);
    Require(first.TakePrevious() == contents);
    Require(first.TakeWarnings().empty() == contents.damage.empty());
    MemberSnapshot second(options);
    const SnapshotContents again = second.TakePrevious();
    Require(again.members == contents.members && again.clocks == contents.clocks);
    Require(again.damage.empty() && second.TakeWarnings().empty());
  }
}

void ForgeSnapshot(std::string_view input) {
  std::string bytes = SnapshotHeader();
  while (input.size() >= 2) {
    const auto kind = static_cast<uint8_t>(static_cast<uint8_t>(input[0]) % 8);
    const size_t size = static_cast<uint8_t>(input[1]) % 64;
    const std::string_view payload = input.substr(2, size);
    input.remove_prefix(2 + payload.size());
    std::string record;
    base::AppendLittleEndian(static_cast<uint16_t>(payload.size()), &record);
    base::AppendLittleEndian(kind, &record);
    record += payload;
    base::AppendLittleEndian(base::Crc32c(record), &bytes);
    bytes += record;
  }
  OpenSnapshot(bytes);
}

void ReadKeyring(std::string_view text) {
  const absl::StatusOr<Keyring> keyring = ParseKeyring(text);
  if (!keyring.ok()) {
    Require(!keyring.status().message().empty());
    return;
  }
  const std::string formatted = FormatKeyring(*keyring);
  const absl::StatusOr<Keyring> again = ParseKeyring(formatted);
  Require(again.ok() && *again == *keyring && FormatKeyring(*again) == formatted);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: OpenSnapshot(input); break;
    case 1: ForgeSnapshot(input); break;
    default: ReadKeyring(input); break;
  }
  return 0;
}

}  // namespace consul::gossip
