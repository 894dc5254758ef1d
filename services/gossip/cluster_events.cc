#include "services/gossip/cluster_events.h"

#include <algorithm>
#include <string>
#include <utility>

#include "services/base/strings.h"
#include "services/base/utf8.h"
#include "services/gossip/cluster_message.h"

namespace consul::gossip {
namespace {

namespace pb = internal::gossip::v1;

// Around one event in a UserEvents: tags, lengths, the time.
constexpr size_t kEventFrameBytes = 32;

UserEvent FromProto(const pb::UserEvent& event) {
  return {LamportTime{event.time()}, event.name(), event.payload(), event.coalesce()};
}

void ToProto(const UserEvent& event, pb::UserEvent* message) {
  message->set_time(event.time.value);
  message->set_name(event.name);
  message->set_payload(event.payload);
  message->set_coalesce(event.coalesce);
}

// Two events of one time under one topic would replace each other.
std::string TopicOf(const UserEvent& event) {
  return base::StrCat("event/", event.time.value, "/", event.name, "/", event.payload);
}

}  // namespace

ClusterEvents::ClusterEvents(ClusterContext* context, LamportTime min)
    : context_(context),
      buffer_(context->options.events_per_time_max),
      min_(min),
      coalescer_(context->options.user_coalesce_period, context->options.user_quiescent_period,
                 context->options.coalesce_max) {}

absl::Status ClusterEvents::Send(std::string_view name, std::string_view payload, bool coalesce) {
  const size_t bytes_max = context_->options.user_event_bytes_max;
  if (name.size() + payload.size() > bytes_max) {
    return absl::ResourceExhaustedError(base::StrCat("user event exceeds configured limit of ",
                                                     bytes_max, " bytes before encoding"));
  }
  if (!base::IsUtf8(name)) {
    return absl::InvalidArgumentError("the name of a user event is not valid UTF-8");
  }
  pb::ClusterMessage message;
  const UserEvent event{context_->event_clock.Take(), std::string(name), std::string(payload),
                        coalesce};
  ToProto(event, message.mutable_user_event());
  Take(event, /*told=*/true);
  context_->Broadcast(TopicOf(event), message, Priority::kEvent);
  return absl::OkStatus();
}

void ClusterEvents::Received(const pb::UserEvent& message) {
  const UserEvent event = FromProto(message);
  context_->event_clock.Witness(event.time);
  if (!Take(event, /*told=*/true)) return;
  pb::ClusterMessage passed_on;
  *passed_on.mutable_user_event() = message;
  context_->Broadcast(TopicOf(event), passed_on, Priority::kEvent);
}

void ClusterEvents::Received(const pb::UserEvents& replay) {
  for (const pb::UserEvent& message : replay.events()) {
    const UserEvent event = FromProto(message);
    context_->event_clock.Witness(event.time);
    // The replay may come before the exchange that says from where on events are new.
    Take(event, /*told=*/ignoring_joins_.empty());
  }
}

bool ClusterEvents::Take(const UserEvent& event, bool told) {
  switch (buffer_.Insert(event, context_->event_clock.next())) {
    case Novelty::kNew:
      if (told && event.time >= min_) TellAll(coalescer_.Add(context_->now, event));
      return true;
    case Novelty::kKnown:
      return false;
    case Novelty::kTooOld:
      context_->Say({ClusterFactKind::kEventTooOld, event.name, {}, event.time.value, ""});
      return false;
    case Novelty::kFull:
      context_->Say({ClusterFactKind::kEventsFull, event.name, {}, event.time.value, ""});
      return false;
  }
  return false;
}

void ClusterEvents::TellAll(std::vector<UserEvent> events) {
  for (UserEvent& event : events) context_->output.user_events.push_back(std::move(event));
}

void ClusterEvents::FillNote(pb::Note* note) const {
  const EventBuffer::Hashes hashes = buffer_.HashGroups(context_->event_clock.next());
  if (std::all_of(hashes.begin(), hashes.end(), [](uint32_t hash) { return hash == 0; })) return;
  for (const uint32_t hash : hashes) note->add_event_hashes(hash);
}

void ClusterEvents::NoteReceived(std::string_view from, const pb::Note& note, bool join) {
  context_->event_clock.WitnessNext(LamportTime{note.event_time()});
  if (join && !ignoring_joins_.empty()) min_ = std::max(min_, LamportTime{note.event_time()});
  const std::optional<Entry> entry = context_->swim.Find(from);
  if (!entry.has_value()) return;
  EventBuffer::Hashes theirs{};
  std::copy(note.event_hashes().begin(), note.event_hashes().end(), theirs.begin());
  const std::vector<UserEvent> missing = buffer_.Missing(theirs, context_->event_clock.next(),
                                                         context_->options.replay_bytes_max);
  pb::ClusterMessage message;
  size_t bytes = kEventFrameBytes;
  for (const UserEvent& event : missing) {
    const size_t event_bytes = event.name.size() + event.payload.size() + kEventFrameBytes;
    if (bytes + event_bytes > kClusterMessageBytesMax) {
      context_->Send(entry->member->info.address, message);
      message.Clear();
      bytes = kEventFrameBytes;
    }
    ToProto(event, message.mutable_replay()->add_events());
    bytes += event_bytes;
  }
  if (!missing.empty()) context_->Send(entry->member->info.address, message);
}

void ClusterEvents::Tick() { TellAll(coalescer_.Take(context_->now)); }

}  // namespace consul::gossip
