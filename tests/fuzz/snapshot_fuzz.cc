// Goal: no bytes crash the reader of snapshots, which come from the disk and from other servers; it
// takes a stream or refuses it with a reason, wherever it is cut into pieces; and what it takes is
// a state that can be written, read back and emptied by commands. Method, by the first byte:
//   even  the input is a stream as it is
//   odd   the input names records, from which a stream with right lengths and checksums is made, so
//         that what a checksum cannot catch is tried as well:
//         kind, map, index, key length, value length (a byte each), key, value
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "consul/internal/raft/v1/command.pb.h"
#include "services/base/crc32c.h"
#include "services/state/fsm.h"
#include "services/state/snapshot.h"
#include "services/state/version.h"

namespace consul::state {
namespace {

using internal::raft::v1::Command;

constexpr uint8_t kEndKind = 6;
// For the index of an end: the number of records that is right.
constexpr uint8_t kRightCount = 0xff;

void Require(bool fact) {
  if (!fact) std::abort();
}

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

void PutNumber(uint64_t number, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(number >> (8 * i)));
}

std::string Framed(std::string_view payload) {
  std::string frame;
  PutNumber(payload.size(), 4, &frame);
  PutNumber(base::Crc32c(payload), 4, &frame);
  return frame.append(payload);
}

// Takes the front of the input; zeros once it is used up.
uint8_t TakeByte(std::string_view* input) {
  if (input->empty()) return 0;
  const auto byte = static_cast<uint8_t>(input->front());
  input->remove_prefix(1);
  return byte;
}

std::string_view TakeText(std::string_view* input, size_t bytes) {
  const std::string_view text = input->substr(0, bytes);
  input->remove_prefix(text.size());
  return text;
}

// A frame for each record.
std::string StreamOfRecords(std::string_view input) {
  std::string stream;
  for (uint64_t records = 0; !input.empty(); ++records) {
    const uint8_t kind = TakeByte(&input);
    const uint8_t map = TakeByte(&input);
    const uint8_t index = TakeByte(&input);
    const uint8_t key_bytes = TakeByte(&input);
    const uint8_t value_bytes = TakeByte(&input);
    const std::string_view key = TakeText(&input, key_bytes);
    const std::string_view value = TakeText(&input, value_bytes);
    std::string record;
    PutNumber(kind, 1, &record);
    PutNumber(map, 2, &record);
    PutNumber(kind == kEndKind && index == kRightCount ? records : index, 8, &record);
    PutNumber(key.size(), 4, &record);
    PutNumber(value.size(), 4, &record);
    stream += Framed(record.append(key).append(value));
  }
  return stream;
}

absl::StatusOr<Tables> Read(std::string_view stream, size_t step) {
  SnapshotReader reader;
  for (size_t at = 0; at < stream.size(); at += step) {
    const absl::Status status = reader.Add(stream.substr(at, step));
    if (status.ok()) continue;
    Require(reader.Add(stream) == status && reader.Finish().status() == status);
    return status;
  }
  return reader.Finish();
}

std::string Write(const Fsm& fsm) {
  std::string stream;
  const auto sink = [&stream](std::string_view frame) {
    stream += frame;
    return absl::OkStatus();
  };
  Require(WriteSnapshot(*fsm.MakeVersion(), fsm.staged(), sink).ok());
  return stream;
}

class Machine {
 public:
  explicit Machine(Tables tables) : fsm_(std::move(tables)) {}

  void Apply(const Command& command) {
    const std::string bytes = command.SerializeAsString();
    const FsmEntry entry{fsm_.applied_index() + 1, true, bytes};
    Fsm::Batch batch;
    const absl::Status status = fsm_.ApplyBatch({&entry, 1}, &batch);
    // Text of a row that is no UTF-8 parses in no command.
    Require(status.ok() || absl::IsDataLoss(status));
  }
  void Deregister(const std::string& node, const std::string& service, const std::string& check) {
    Command command;
    command.mutable_catalog_deregister()->set_node(node);
    command.mutable_catalog_deregister()->set_service_id(service);
    command.mutable_catalog_deregister()->set_check_id(check);
    Apply(command);
  }
  // Takes away all that there is, by the commands that do so.
  void Empty() {
    const Tables before = fsm_.tables();
    before.checks.ForEach("", nullptr, [this](const auto& check) {
      if (!check.check_id().empty()) Deregister(check.node(), "", check.check_id());
      return true;
    });
    before.services.ForEach("", nullptr, [this](const auto& service) {
      if (!service.id().empty()) Deregister(service.node(), service.id(), "");
      return true;
    });
    before.nodes.ForEach("", nullptr, [this](const auto& node) {
      Deregister(node.node(), "", "");
      return true;
    });
    Command command;
    command.mutable_kv_delete_tree();
    Apply(command);
    Require(fsm_.tables().kv.size() == 0);
    command.mutable_collect_tombstones()->set_index(fsm_.applied_index());
    Apply(command);
  }
  const Fsm& fsm() const { return fsm_; }

 private:
  Fsm fsm_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const uint8_t mode = TakeByte(&input);
  const std::string stream = mode % 2 == 0 ? std::string(input) : StreamOfRecords(input);
  absl::StatusOr<Tables> tables = Read(stream, stream.size() + 1);
  const absl::StatusOr<Tables> pieces = Read(stream, 1 + mode / 2 % 16);
  Require(tables.status() == pieces.status());
  if (!tables.ok()) {
    Require(absl::IsDataLoss(tables.status()) || absl::IsFailedPrecondition(tables.status()));
    Require(tables.status().message().substr(0, 10) == "snapshot: ");
    return 0;
  }
  if (tables->applied_index > UINT64_MAX / 2) return 0;  // no room for the commands that follow
  Machine machine(*std::move(tables));
  const std::string written = Write(machine.fsm());
  absl::StatusOr<Tables> again = Read(written, written.size());
  Require(again.ok());
  Require(Write(Fsm(*std::move(again))) == written);
  machine.Empty();
  absl::StatusOr<Tables> emptied = Read(Write(machine.fsm()), 4096);
  Require(emptied.ok());
  return 0;
}

}  // namespace consul::state
