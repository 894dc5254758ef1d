// Goal: no contents of a snapshot's file crash its reader, nor who receives it: the very state that
// was written comes out, or the file is refused with a reason. Method, by
// the first byte of the input:
//   even  a sound file is damaged: each 4 bytes that follow are one change
//   odd   a file is made of the fields that the input names, with checksums that are right, so that
//         what a checksum cannot catch is tried as well
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/base/crc32c.h"
#include "services/base/faulty_file_system.h"
#include "services/base/little_endian.h"
#include "services/base/strings.h"
#include "services/raft/snapshot_files.h"
#include "services/raft/snapshot_format.h"
#include "services/raft/staged_snapshot.h"

namespace consul::raft {
namespace {

using base::FaultyFileSystem;

constexpr char kDirectory[] = "raft";
constexpr uint64_t kIndex = 70;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Takes numbers off the front of the input; zeros once it is used up.
uint8_t TakeByte(std::string_view* input) {
  if (input->empty()) return 0;
  const auto byte = static_cast<uint8_t>(input->front());
  input->remove_prefix(1);
  return byte;
}

class Text final : public FrozenState {
 public:
  absl::Status Write(const SnapshotSink& sink) const override { return sink(State()); }
  static std::string State() { return std::string(300, 's'); }
};

std::string Path() { return base::JoinPath(kDirectory, SnapshotName(Index{kIndex})); }

std::string SoundFile() {
  FaultyFileSystem files(1);
  Require(files.CreateDirectories(kDirectory).ok());
  SnapshotMeta at;
  at.index = Index{kIndex};
  at.term = Term{3};
  at.configuration = {Index{1}, Configuration({{ServerId{"a"}, MemberKind::kVoter}})};
  const std::atomic<bool> cancelled{false};
  Require(SnapshotFiles(&files, kDirectory, 1, 0).Write(at, Text(), cancelled).ok());
  return files.Contents(Path());
}

SnapshotMeta MetaOf(const std::string& file) {
  const auto size = SnapshotHeaderBytes(std::string_view(file).substr(0, kSnapshotFixedBytes));
  Require(size.ok());
  const auto header = DecodeSnapshotHeader(std::string_view(file).substr(0, *size));
  Require(header.ok());
  return header->Meta();
}

void Damage(std::string_view input, std::string* file) {
  while (!input.empty() && !file->empty()) {
    const uint8_t kind = TakeByte(&input);
    const size_t high = TakeByte(&input);
    const size_t at = (high << 8 | TakeByte(&input)) % file->size();
    const uint8_t operand = TakeByte(&input);
    switch (kind % 4) {
      case 0:
        (*file)[at] = static_cast<char>((*file)[at] ^ (1 << operand % 8));
        break;
      case 1:
        file->resize(at);
        break;
      case 2:
        file->insert(at, operand, 'i');
        break;
      default:
        file->replace(at, operand, file->substr(operand % file->size(), 40));
        break;
    }
  }
}

// Small numbers, so that they meet, and large ones.
uint64_t Number(uint8_t byte) { return byte < 0xf0 ? byte : UINT64_MAX - (byte - 0xf0); }

std::string Forge(std::string_view input) {
  std::string header = "consulsn";
  base::AppendLittleEndian(uint32_t{0}, &header);
  base::AppendLittleEndian(uint32_t{static_cast<uint32_t>(1 + TakeByte(&input) % 2)}, &header);
  for (int i = 0; i < 5; ++i) base::AppendLittleEndian(Number(TakeByte(&input)), &header);
  const std::string_view configuration = input.substr(0, TakeByte(&input));
  const std::string_view body = input.substr(std::min(configuration.size(), input.size()));
  base::AppendLittleEndian(base::Crc32c(body), &header);
  base::AppendLittleEndian(static_cast<uint32_t>(configuration.size()), &header);
  header += configuration;
  base::StoreLittleEndian(base::Crc32c(std::string_view(header).substr(12)), header.data() + 8);
  return header.append(body).append(kSnapshotEnd);
}

// The same bytes, as another server sends them: announced as the sound file, in chunks of a size
// that the input chooses.
void Receive(const SnapshotMeta& announced, std::string_view contents, size_t chunk_bytes,
             bool sound) {
  FaultyFileSystem files(1);
  Require(files.CreateDirectories(kDirectory).ok());
  SnapshotFiles snapshots(&files, kDirectory, 1, 0);
  {
    auto staged = StagedSnapshot::Begin(&snapshots, announced);
    Require(staged.ok());
    absl::Status status;
    for (size_t at = 0; at < contents.size() && status.ok(); at += chunk_bytes) {
      const bool last = at + chunk_bytes >= contents.size();
      status = (*staged)->Append(at, contents.substr(at, chunk_bytes), last);
    }
    if (contents.empty()) status = (*staged)->Append(0, contents, true);
    std::string state;
    while (status.ok()) {
      const auto bytes = (*staged)->Next();
      if (!bytes.ok()) {
        status = bytes.status();
      } else if (bytes->empty()) {
        break;
      } else {
        state += *bytes;
      }
    }
    Require(status.ok() == sound);
    if (!sound) {
      Require(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
      Require(base::ToStd(status.message()).starts_with("snapshot raft/"));
    } else {
      Require(state == Text::State() && (*staged)->Keep().ok());
    }
  }
  Require(files.size_total() == (sound ? contents.size() : 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string* const sound = new std::string(SoundFile());
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool forge = TakeByte(&input) % 2 == 1;
  std::string contents = forge ? Forge(input) : *sound;
  if (!forge) Damage(input, &contents);

  static const SnapshotMeta* const announced = new SnapshotMeta(MetaOf(*sound));
  Receive(*announced, contents, 1 + contents.size() / (1 + size % 7), contents == *sound);

  FaultyFileSystem files(1);
  Require(files.CreateDirectories(kDirectory).ok());
  {
    auto file = files.Create(Path());
    Require(file.ok() && (*file)->WriteAt(0, contents).ok());
  }
  SnapshotFiles snapshots(&files, kDirectory, 1, 0);
  std::string state;
  const auto meta = snapshots.Load(Index{2}, [&](Index index, const SnapshotSource& source) {
    Require(index == Index{kIndex});
    for (;;) {
      const auto bytes = source();
      if (!bytes.ok()) return bytes.status();
      if (bytes->empty()) return absl::OkStatus();
      state += *bytes;
    }
  });
  if (!meta.ok()) {
    const bool newer = forge && absl::IsFailedPrecondition(meta.status());
    Require(newer || absl::IsDataLoss(meta.status()));
    Require(base::ToStd(meta.status().message()).starts_with("snapshot raft/"));
    return 0;
  }
  Require(meta->index == Index{kIndex} && meta->size_bytes == contents.size());
  Require(!meta->configuration.configuration.empty() && meta->term > Term{0});
  if (!forge) Require(contents == *sound && state == Text::State());
  return 0;
}

}  // namespace consul::raft
