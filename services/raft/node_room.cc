// What becomes of things while there is no room on the disk, or while a majority of the servers
// does not write: what is let in, what waits, what is refused, and who hears of it.
#include <algorithm>
#include <chrono>
#include <utility>

#include "services/base/strings.h"
#include "services/raft/log_format.h"
#include "services/raft/node_impl.h"

namespace consul::raft {
namespace {

using base::StrCat;

constexpr Duration kHandOnPauseMax = std::chrono::minutes(10);
// How long after a full disk kept something from being written it is tried again.
constexpr Duration kFullDiskRetry = std::chrono::seconds(1);
// Requests of a leader that wait while room is made; above it they are dropped, and come again. As
// many as a leader sends ahead of the acks.
constexpr size_t kHeldRequestsMax = 256;

}  // namespace

// ---- What comes into the log.

// Room on the disk comes first: once the core has an entry, it can no longer be refused. Nothing:
// it is being made.
std::optional<absl::Status> NodeImpl::MakeRoom(uint64_t records_bytes, uint64_t reserve) {
  const uint64_t wanted = admitted_bytes_ + records_bytes + reserve;
  std::optional<absl::Status> room = disk_.Reserve(wanted);
  if (!room.has_value()) {
    asked_in_vain_ = true;
    return room;
  }
  if (room->ok()) {
    admitted_bytes_ += records_bytes;
    if (wanted >= short_of_bytes_) {
      short_of_bytes_ = 0;
      snapshotter_.RoomFound();
    }
    // A change of members finds room where commands find none.
    if (reserve == kReservedForVotesBytes) hand_on_pause_ = options_.hand_on_pause;
  } else if (room->code() == absl::StatusCode::kResourceExhausted) {
    short_of_bytes_ = std::max(short_of_bytes_, wanted);
    if (snapshotter_.GiveBack()) {
      asked_in_vain_ = true;
      return std::nullopt;
    }
    // With the place, where the disk said it before.
    room = blocked_ ? full_why_ : absl::UnavailableError(room->message());
  }
  return room;
}

absl::Status FullDisk(const absl::Status& why) {
  return absl::UnavailableError(
      StrCat("this server's disk is full: ", base::ToStd(why.message())));
}

// A leader without room keeps everybody from writing, though others may have some: it hands the
// lead to one of them, unless they need this server's word as well. Returns whether it does; then
// what it refuses may be proposed again.
bool NodeImpl::HandOnFor(const absl::Status& full) {
  if (full.code() != absl::StatusCode::kUnavailable) return false;
  if (core_.transferring()) return true;
  const Time now = BootNow();
  if (now < hand_on_at_ || !core_.OthersCanCommit()) return false;
  if (!disk_.HasRoom(kReservedForElectionsBytes)) return false;
  if (core_.TransferLeadership(now, ServerId{}) != TransferStatus::kStarted) return false;
  hand_on_at_ = now + hand_on_pause_;
  hand_on_pause_ = std::min(2 * hand_on_pause_, kHandOnPauseMax);
  Log(LogLevel::kError, StrCat("raft: disk full, handing over leadership: ",
                               base::ToStd(full.message())));
  return true;
}

// This server does not have it yet.
bool NodeImpl::IsNew(const Entry& entry) const {
  return entry.index > core_.commit_index() && !core_.log().Matches({entry.index, entry.term});
}

// What is to be written of it.
uint64_t NodeImpl::NewBytesOf(const AppendRequest& request) const {
  uint64_t bytes = 0;
  bool commands = false;
  for (const Entry& entry : request.entries) {
    if (!IsNew(entry)) continue;
    if (bytes == 0) bytes = RecordBytes(0);  // of the cut before them
    bytes += RecordBytes(entry.payload_bytes());
    commands |= entry.kind == EntryKind::kCommand;
  }
  // What leaders and operators write is what the reserve is for.
  return commands ? bytes : 0;
}

// REQUIRES: something of it is new.
NodeImpl::Refusal NodeImpl::RefusalOf(Term term, const AppendRequest& request) const {
  const auto first = std::ranges::find_if(
      request.entries, [this](const Entry& entry) { return IsNew(entry); });
  const Entry& last = request.entries.back();
  return {.bytes = NewBytesOf(request),
          .term = term,
          .first = {first->index, first->term},
          .last = {last.index, last.term}};
}

// A follower that has acknowledged nothing in this term says what it has, whatever the request
// brings: its leader could not tell it what is committed. Returns whether the core is to have the
// message, of which nothing is to be written then.
bool NodeImpl::SaysWhatItHas(Message* message) {
  if (core_.has_acknowledged_in(message->term)) return false;
  std::vector<Entry>& entries = std::get<AppendRequest>(message->body).entries;
  entries.erase(std::ranges::find_if(entries, [this](const Entry& each) { return IsNew(each); }),
                entries.end());
  return true;
}

// Commands of a leader that find no room are dropped as if they had been lost, and come again: in
// the log's queue they would stand before a vote. False: the core is not to have the message now.
bool NodeImpl::Admits(Message* message) {
  const auto* const request = std::get_if<AppendRequest>(&message->body);
  // Of an older term nothing is written: the core answers it.
  if (request == nullptr || message->term < core_.term()) return true;
  if (!held_.empty()) {
    if (held_.size() < kHeldRequestsMax) held_.push_back(std::move(*message));
    return false;
  }
  // Where it follows nothing that is here the core says so, and writes nothing.
  if (request->prev_index >= core_.commit_index() &&
      !core_.log().Matches({request->prev_index, request->prev_term})) {
    return true;
  }
  const uint64_t bytes = NewBytesOf(*request);
  if (bytes == 0) return true;
  if (refused_.has_value()) {
    if (!disk_.HasRoom(admitted_bytes_ + bytes + kReservedForVotesBytes)) {
      return SaysWhatItHas(message);
    }
    admitted_bytes_ += bytes;
    return true;
  }
  const std::optional<absl::Status> room = MakeRoom(bytes, kReservedForVotesBytes);
  if (!room.has_value()) {
    held_.push_back(std::move(*message));
    return false;
  }
  if (room->code() != absl::StatusCode::kUnavailable) return true;  // or of no use any more
  refused_ = RefusalOf(message->term, *request);
  room_at_ = BootNow() + kFullDiskRetry;
  SayFull(*room);
  return SaysWhatItHas(message);
}

// Those that still have to wait are held again.
void NodeImpl::TakeHeld(Time now) {
  for (Message& message : std::exchange(held_, {})) Deliver(now, std::move(message));
}

// ---- The disk.

void NodeImpl::TakeEvent(LogDisk::Full full) {
  blocked_ = true;
  write_at_ = BootNow() + kFullDiskRetry;
  snapshotter_.GiveBack();
  SayFull(full.why);
}

void NodeImpl::TakeEvent(LogDisk::Dropped dropped) {
  snapshotter_.Dropped(dropped);
  if (dropped.dropped && write_at_.has_value()) write_at_ = BootNow();
}

void NodeImpl::SayFull(const absl::Status& why) {
  const bool news = disk_full_.ok();
  full_why_ = absl::UnavailableError(why.message());
  disk_full_ = FullDisk(why);
  if (news) Log(LogLevel::kError, StrCat("raft: disk full: ", base::ToStd(why.message())));
}

void NodeImpl::HasRoomAgain() {
  if (blocked_ || refused_.has_value() || disk_full_.ok()) return;
  disk_full_ = absl::OkStatus();
  Log(LogLevel::kInfo, "raft: disk has room again");
}

// The log has what was refused: it found room later. Or it has an entry of a later leader, and so
// all that this one has before it. Entries of an older term may stand beyond both.
// REQUIRES: something was refused.
bool NodeImpl::IsRefusalOver() const {
  return core_.commit_index() >= refused_->last.index || core_.log().Matches(refused_->last) ||
         core_.last_term() > refused_->term;
}

// Up to here the log may be equal to the leader's.
Index NodeImpl::LastTaken() const {
  if (!refused_.has_value() || core_.commit_index() >= refused_->first.index ||
      core_.log().Matches(refused_->first)) {
    return core_.last_index();
  }
  return std::min(core_.last_index(), refused_->first.index.Previous());
}

void NodeImpl::RetryFullDisk(Time now) {
  if (write_at_.has_value() && now >= *write_at_) {
    write_at_.reset();
    disk_.RetryWrite();
  }
  if (refused_.has_value() && IsRefusalOver()) {
    refused_.reset();
    HasRoomAgain();
  }
  if (!refused_.has_value() || now < room_at_) return;
  room_at_ = now + kFullDiskRetry;
  if (blocked_) return;
  const std::optional<absl::Status> room = MakeRoom(refused_->bytes, kReservedForVotesBytes);
  if (!room.has_value()) room_at_ = now;  // its answer is taken in the turn that it brings about
  if (room != absl::OkStatus()) return;
  admitted_bytes_ -= refused_->bytes;  // it is when it comes again
  refused_.reset();
  HasRoomAgain();
}

Time NodeImpl::RetryFullDiskAt() const {
  Time at = write_at_.value_or(Time::max());
  if (refused_.has_value() && !MakesRoom()) at = std::min(at, room_at_);
  return at;
}

// ---- Nobody writes.

std::string NodeImpl::WordNoMajority() const {
  const Index awaited = core_.awaited_index();
  std::string who;
  const auto add = [&who](std::string_view text) {
    base::StrAppend(&who, who.empty() ? ": " : ", ", text);
  };
  if (core_.durable_index() < awaited) add("this server has not");
  const Duration patience =
      options_.core.election_timeout_max * options_.core.raft_multiplier;
  const Configuration& members = core_.configuration().configuration;
  for (const MemberProgress& member : core_.Members()) {
    if (!members.IsVoter(member.id) || member.match >= awaited) continue;
    const bool heard = BootNow() < member.heard_at + patience;
    add(StrCat("server ", member.id.value, heard ? " has not" : " is not heard"));
  }
  return StrCat("no majority has written entry ", awaited.value, " for ",
                std::chrono::duration_cast<std::chrono::seconds>(options_.core.commit_wait_max)
                    .count(), " s", who);
}

// Nobody waits without a limit for servers that answer and do not write; for one that catches up
// everybody does, as long as the log lasts. If they write later, what comes of it goes nowhere.
void NodeImpl::GiveUpStalled(Time now) {
  const bool stalled = core_.commit_stalled();
  if (stalled) {
    const std::string text = WordNoMajority();
    if (!said_stalled_) Log(LogLevel::kError, StrCat("raft: ", text));
    const absl::Status unknown =
        absl::UnknownError(StrCat(text, "; the command may yet be applied, or not"));
    const Duration max = options_.core.commit_wait_max;
    while (!waiters_.empty() && now >= waiters_.front().at + max) DropProposal(unknown);
    while (!changes_.empty() && now >= changes_.front().at + max) {
      changes_.front().done(unknown);
      changes_.pop_front();
    }
  }
  said_stalled_ = stalled;
}

}  // namespace consul::raft
