// Goal: no contents of the log's directory crash its recovery: it opens the log or refuses it with
// a reason, and what it opens can be read, written to and opened again. Method, by the first byte
// of the input:
//   even  a sound log of three segments is damaged: each 6 bytes that follow are one change
//   odd   a segment is made of records that the input names, with checksums that are right, so that
//         what a checksum cannot catch is tried as well
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/faulty_file_system.h"
#include "services/raft/log_format.h"
#include "services/raft/log_segment.h"
#include "services/raft/log_store.h"

namespace consul::raft {
namespace {

using base::FaultyFileSystem;
using base::JoinPath;

constexpr char kDirectory[] = "raft";
constexpr uint64_t kSegmentBytes = 8 << 10;
constexpr uint64_t kEntriesCount = 30;
constexpr uint64_t kAllBytes = uint64_t{1} << 40;
constexpr uint64_t kNumberMax = uint64_t{1} << 62;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Takes numbers off the front of the input; zeros once it is used up.
class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  uint64_t Number(size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; ++i) number = number << 8 | Byte();
    return number;
  }
  std::string_view Text(size_t bytes) {
    const std::string_view text = bytes_.substr(0, bytes);
    bytes_.remove_prefix(text.size());
    return text;
  }

 private:
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }
  std::string_view bytes_;
};

absl::StatusOr<std::unique_ptr<LogStore>> OpenLog(FaultyFileSystem* files) {
  LogOptions options;
  options.file_system = files;
  options.directory = kDirectory;
  options.segment_bytes_min = kSegmentBytes;
  options.segment_bytes_max = kSegmentBytes;
  options.prepare_ahead = false;
  return LogStore::Open(options);
}

std::string PayloadOf(uint64_t index) { return std::string(600, static_cast<char>(index)); }

absl::Status AppendEntry(LogStore* log, uint64_t index, uint64_t term) {
  Persist persist;
  persist.id = PersistId{1};
  persist.hard_state = HardState{Term{term}, ServerId{"a"}};
  persist.entries.push_back(
      {Term{term}, Index{index}, EntryKind::kCommand, MakeBuffer(PayloadOf(index))});
  return log->Append({&persist, 1});
}

const FaultyFileSystem& SoundFiles() {
  static const FaultyFileSystem* const sound = [] {
    auto* const files = new FaultyFileSystem(1);
    auto log = OpenLog(files);
    for (uint64_t i = 1; i <= kEntriesCount; ++i) Require(AppendEntry(log->get(), i, 1).ok());
    Require((*log)->segments_count() >= 3);
    return files;
  }();
  return *sound;
}

std::string Path(uint64_t number) { return JoinPath(kDirectory, SegmentName(number)); }

void Write(FaultyFileSystem* files, const std::string& path, uint64_t offset,
           std::string_view bytes) {
  auto file = files->Open(path);
  if (!file.ok()) file = files->Create(path);
  Require(file.ok() && (*file)->WriteAt(offset, bytes).ok() && (*file)->SyncData().ok());
}

// Returns whether the damage is none that a checksum must catch: what stood elsewhere was put here.
bool Damage(Input* input, FaultyFileSystem* files) {
  bool copied = false;
  while (!input->empty()) {
    const auto kind = input->Number(1);
    const std::string path = Path(1 + input->Number(1) % 4);
    const std::string contents = files->Contents(path);
    const uint64_t offset = input->Number(2);
    const uint64_t operand = input->Number(2);
    if (offset >= contents.size()) continue;
    switch (kind % 6) {
      case 0:
        files->FlipBit(path, offset, static_cast<int>(operand % 8));
        break;
      case 1: {
        const uint64_t size = std::min<uint64_t>(operand, contents.size() - offset);
        Write(files, path, offset, std::string(size, '\0'));
        break;
      }
      case 2:
        Write(files, path, offset, contents.substr(operand % contents.size(), 700));
        copied = true;
        break;
      case 3:
        if (operand % 16 == 0) Require(files->Remove(path).ok());
        break;
      case 4:  // one segment under the name of another
        Require(files->Rename(path, Path(1 + operand % 4)).ok());
        copied = true;
        break;
      default:
        Write(files, path, contents.size(), contents.substr(offset, 100));
        break;
    }
  }
  return copied;
}

// A segment with sound checksums around whatever records the input names.
void Forge(Input* input, FaultyFileSystem* files) {
  Require(files->CreateDirectories(kDirectory).ok());
  const uint64_t number = 1 + input->Number(1) % 2;
  const SegmentHeader header{.number = number, .salt = 7, .size_bytes = kSegmentBytes};
  std::string bytes = EncodeSegmentHeader(header);
  GroupSequence sequence{1 + input->Number(1) % 3};
  constexpr RecordKind kKinds[] = {RecordKind::kNoOp,         RecordKind::kConfiguration,
                                   RecordKind::kCommand,      RecordKind::kSegmentState,
                                   RecordKind::kHardState,    RecordKind::kTruncate,
                                   RecordKind::kReset,        static_cast<RecordKind>(77)};
  while (!input->empty()) {
    GroupBuilder group;
    for (uint64_t records = input->Number(1) % 4; records > 0; --records) {
      Record record;
      record.kind = kKinds[input->Number(1) % 8];
      // Small numbers, so that records meet, and large ones, that no log reaches.
      const auto number_of = [input] {
        const uint64_t byte = input->Number(1);
        return byte < 0x80 ? byte : kNumberMax - (byte - 0x80);
      };
      record.index = Index{number_of()};
      record.term = Term{number_of()};
      record.payload = input->Text(input->Number(1) % 40);
      group.Add(record, header.salt);
    }
    const std::string_view whole = group.Finish(sequence, header.salt);
    if (bytes.size() + whole.size() > kSegmentBytes) break;
    bytes += whole;
    sequence = sequence.Next();
  }
  bytes.resize(kSegmentBytes);
  Write(files, Path(number), 0, bytes);
}

// Reads all that was opened and goes on with it.
void Use(FaultyFileSystem* files, std::unique_ptr<LogStore> log, bool original) {
  const Restart restart = log->TakeRestart();
  const auto entries = log->Read(log->first(), log->last(), kAllBytes);
  Require(entries.ok());
  Require(entries->size() == log->last().value + 1 - log->first().value);
  for (const Entry& entry : *entries) {
    if (original) Require(*entry.payload == PayloadOf(entry.index.value));
  }
  uint64_t term = restart.hard_state.term.value;
  if (!entries->empty()) term = std::max(term, entries->back().term.value);
  const uint64_t next = log->last().value + 1;
  Require(AppendEntry(log.get(), next, term + 1).ok());
  log.reset();
  auto again = OpenLog(files);
  Require(again.ok() && (*again)->last().value == next);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(std::string_view(reinterpret_cast<const char*>(data), size));
  const bool forge = input.Number(1) % 2 == 1;
  std::unique_ptr<FaultyFileSystem> files;
  bool original = false;
  if (forge) {
    files = std::make_unique<FaultyFileSystem>(1);
    Forge(&input, files.get());
  } else {
    files = SoundFiles().Clone();
    files->Restart(base::Unsynced::kKept);
    original = !Damage(&input, files.get());
  }
  auto log = OpenLog(files.get());
  if (log.ok()) {
    Use(files.get(), *std::move(log), original);
  } else {
    Require(!log.status().message().empty());
  }
  return 0;
}

}  // namespace consul::raft
