#include "services/gossip/member_snapshot_format.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/little_endian.h"
#include "services/base/strings.h"

namespace consul::gossip {
namespace {

using base::AppendLittleEndian;
using base::LoadLittleEndian;
using base::StoreLittleEndian;

constexpr std::string_view kMagic = "consulms";
constexpr uint32_t kVersion = 1;
constexpr size_t kAddressBytes = 16 + 2;
constexpr size_t kClocksBytes = 3 * 8;

enum class Kind : uint8_t { kAlive = 1, kNotAlive = 2, kClocks = 3, kLeave = 4, kStart = 5 };

void AppendRecord(Kind kind, std::string_view payload, std::string* out) {
  const size_t begin = out->size();
  AppendLittleEndian(uint32_t{0}, out);
  AppendLittleEndian(static_cast<uint16_t>(payload.size()), out);
  AppendLittleEndian(static_cast<uint8_t>(kind), out);
  out->append(payload);
  StoreLittleEndian(base::Crc32c(std::string_view(*out).substr(begin + 4)), out->data() + begin);
}

void CheckName(std::string_view name) {
  CONSUL_CHECK(!name.empty() && name.size() <= kNameBytesMax);
}

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// The members as the records so far leave them.
class Replay {
 public:
  explicit Replay(bool rejoin_after_leave) : rejoin_after_leave_(rejoin_after_leave) {}

  // False for a record that no writer makes.
  bool Apply(Kind kind, std::string_view payload) {
    switch (kind) {
      case Kind::kAlive: return Alive(payload);
      case Kind::kNotAlive:
        if (payload.empty() || payload.size() > kNameBytesMax) return false;
        Erase(payload, &met_);
        Erase(payload, &told_);
        return true;
      case Kind::kClocks: return Clocks(payload);
      case Kind::kLeave:
        if (!payload.empty()) return false;
        if (!rejoin_after_leave_) {
          met_.clear();
          told_.clear();
        }
        return true;
      case Kind::kStart:
        if (!payload.empty()) return false;
        // A life that met somebody has had its say about all others.
        if (!met_.empty()) told_ = std::exchange(met_, {});
        return true;
    }
    return false;
  }

  SnapshotContents Finish(std::string damage) {
    return {.members = std::move(met_.empty() ? told_ : met_),
            .clocks = clocks_,
            .damage = std::move(damage)};
  }

 private:
  static void Erase(std::string_view name, SnapshotMembers* members) {
    if (const auto found = members->find(name); found != members->end()) members->erase(found);
  }

  bool Alive(std::string_view payload) {
    if (payload.size() <= kAddressBytes || payload.size() > kSnapshotPayloadBytesMax) return false;
    const std::optional<Endpoint> address = Endpoint::FromBytes(
        payload.substr(0, 16), LoadLittleEndian<uint16_t>(payload.data() + 16));
    if (!address.has_value()) return false;
    const std::string_view name = payload.substr(kAddressBytes);
    const auto found = met_.find(name);
    if (found != met_.end()) {
      found->second = *address;
    } else if (met_.size() < kSnapshotMembersMax) {
      met_.emplace(name, *address);
    }
    return true;
  }

  bool Clocks(std::string_view payload) {
    if (payload.size() != kClocksBytes) return false;
    const auto advance = [&payload](size_t at, LamportTime* time) {
      time->value = std::max(time->value, LoadLittleEndian<uint64_t>(payload.data() + at));
    };
    advance(0, &clocks_.member_time);
    advance(8, &clocks_.event_time);
    advance(16, &clocks_.query_time);
    return true;
  }

  const bool rejoin_after_leave_;
  SnapshotMembers met_;   // in the life that is being read
  SnapshotMembers told_;  // before it
  SnapshotClocks clocks_;
};

// Why the head of a file is none of ours; empty when it is.
std::string HeaderFault(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return "it is no member snapshot";
  if (LoadLittleEndian<uint32_t>(bytes.data() + 8) !=
      base::Crc32c(bytes.substr(12, kSnapshotHeaderBytes - 12))) {
    return "the header's checksum is wrong";
  }
  const uint32_t version = LoadLittleEndian<uint32_t>(bytes.data() + 12);
  if (version != kVersion) {
    return base::StrCat("version ", version, " is not known, only ", kVersion);
  }
  return "";
}

std::string At(size_t offset, std::string_view what) {
  return base::StrCat("damaged at byte ", offset, ": ", what);
}

}  // namespace

std::string SnapshotHeader() {
  std::string header(kMagic);
  AppendLittleEndian(uint32_t{0}, &header);
  AppendLittleEndian(kVersion, &header);
  StoreLittleEndian(base::Crc32c(std::string_view(header).substr(12)), header.data() + 8);
  return header;
}

void AppendAliveRecord(std::string_view name, const Endpoint& address, std::string* out) {
  CheckName(name);
  std::string payload(reinterpret_cast<const char*>(address.ip.data()), address.ip.size());
  AppendLittleEndian(address.port, &payload);
  payload.append(name);
  AppendRecord(Kind::kAlive, payload, out);
}

void AppendNotAliveRecord(std::string_view name, std::string* out) {
  CheckName(name);
  AppendRecord(Kind::kNotAlive, name, out);
}

void AppendClocksRecord(const SnapshotClocks& clocks, std::string* out) {
  std::string payload;
  AppendLittleEndian(clocks.member_time.value, &payload);
  AppendLittleEndian(clocks.event_time.value, &payload);
  AppendLittleEndian(clocks.query_time.value, &payload);
  AppendRecord(Kind::kClocks, payload, out);
}

void AppendLeaveRecord(std::string* out) { AppendRecord(Kind::kLeave, {}, out); }
void AppendStartRecord(std::string* out) { AppendRecord(Kind::kStart, {}, out); }

SnapshotContents ParseMemberSnapshot(std::string_view bytes, bool rejoin_after_leave) {
  Replay replay(rejoin_after_leave);
  const std::string header = SnapshotHeader();
  if (bytes.size() < kSnapshotHeaderBytes) {
    const bool cut = std::string_view(header).starts_with(bytes) || AllZero(bytes);
    return replay.Finish(cut ? "" : At(0, "it is no member snapshot"));
  }
  if (AllZero(bytes)) return replay.Finish("");
  if (const std::string fault = HeaderFault(bytes); !fault.empty()) {
    return replay.Finish(At(0, fault));
  }
  for (size_t at = kSnapshotHeaderBytes; at < bytes.size();) {
    const std::string_view rest = bytes.substr(at);
    if (rest.size() < kSnapshotRecordHeadBytes || AllZero(rest)) break;
    const size_t size = LoadLittleEndian<uint16_t>(rest.data() + 4);
    if (size > kSnapshotPayloadBytesMax) return replay.Finish(At(at, "the record is too long"));
    if (rest.size() - kSnapshotRecordHeadBytes < size) break;
    const std::string_view covered = rest.substr(4, kSnapshotRecordHeadBytes - 4 + size);
    if (LoadLittleEndian<uint32_t>(rest.data()) != base::Crc32c(covered)) {
      return replay.Finish(At(at, "the record's checksum is wrong"));
    }
    const auto kind = static_cast<Kind>(rest[6]);
    if (!replay.Apply(kind, rest.substr(kSnapshotRecordHeadBytes, size))) {
      return replay.Finish(At(at, "the record makes no sense"));
    }
    at += kSnapshotRecordHeadBytes + size;
  }
  return replay.Finish("");
}

}  // namespace consul::gossip
