// services/gossip/swim.h
//
// One member's part in a gossip pool, as a pure function of its inputs: who is there, who has died
// or left, and how everybody comes to know. SWIM's probes, suspicion and piggybacked broadcasts,
// Lifeguard's local health, confirmations and buddy system, and exchanges of what two members know
// by its differences. Inputs are method calls that say what happened; TakeOutput says what is to be
// done about all of them.
//
// It holds no clock, thread, lock, file, socket, log line or chance of its own: time is an
// argument, random choices come from the seed. The same calls give the same outputs, which is what
// lets pools of thousands run inside one test.
//
// Bytes that come and go are encoded but not sealed: encryption, checksums and pool labels are the
// driver's, by Codec.
//
// Threads: none of its own. One thread (the driver's) makes all calls.
// Background: services/gossip/swim.md; "SWIM" (Das 2002); "Lifeguard" (Dadgar 2017).
#ifndef CONSUL_SERVICES_GOSSIP_SWIM_H_
#define CONSUL_SERVICES_GOSSIP_SWIM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/gossip/awareness.h"
#include "services/gossip/broadcast_queue.h"
#include "services/gossip/member.h"
#include "services/gossip/member_table.h"
#include "services/gossip/random.h"
#include "services/gossip/round_trips.h"
#include "services/gossip/suspicion.h"
#include "services/gossip/swim_options.h"
#include "services/gossip/swim_output.h"
#include "services/gossip/swim_state.h"
#include "services/gossip/types.h"
#include "services/gossip/wire.h"

namespace consul::gossip {

// In which order broadcasts leave. Membership itself goes before all of them, in a queue that
// nothing of the layer above can fill.
enum class Priority : uint8_t {
  kIntent,  // joins and leaves of the layer above
  kQuery,
  kEvent,
};

// Queued broadcasts.
struct QueueLengths {
  size_t membership = 0;
  size_t intents = 0;
  size_t queries = 0;
  size_t events = 0;
};

class Swim {
 public:
  // A pool of one: `self`, with incarnation 1. `seed` should differ from member to member.
  // REQUIRES: self.valid().
  Swim(SwimOptions options, PoolIdentity pool, MemberInfo self, uint64_t seed, Time now);
  Swim(const Swim&) = delete;
  Swim& operator=(const Swim&) = delete;

  // ---- Inputs. Each may change what TakeOutput gives. Time never goes back: an earlier `now`
  // counts as the latest one seen.

  // Time has passed. To be called at NextDeadline() or soon after; more often is harmless. A call
  // that comes much later than it was due means that this process slept: what others failed to do
  // meanwhile is not held against them.
  void Tick(Time now);

  // A datagram came. One that is malformed is dropped as a whole, and counted.
  void ReceivePacket(Time now, const Endpoint& from, std::string_view plain);

  // A datagram to `to` met a closed port. A probe under way to there does not wait out its timeout
  // before others are asked.
  void PacketUndeliverable(Time now, const Endpoint& to);

  // Streams. The one who opens speaks first. Ids of accepted streams are the driver's: never used
  // again, and without StreamId::kOpenedBit; those of opened ones come from Output::stream_opens.
  void StreamAccepted(Time now, StreamId stream, const Endpoint& from);
  void StreamOpened(Time now, StreamId stream);
  // One whole message. A malformed one ends the stream.
  void StreamReceived(Time now, StreamId stream, std::string_view message);
  // The peer closed it, it broke, or it could not be opened: `why` is words for a log. Once for
  // each stream, unless the core has closed it by Output::stream_closes.
  void StreamClosed(Time now, StreamId stream, std::string_view why);

  // Exchanges all that is known with the member at `to`, whose name need not be known. Followed by
  // exactly one JoinResult with this id.
  JoinId Join(Time now, const Endpoint& to);

  // Tells the pool that this member is going. Probes are still answered and messages passed on
  // until Output::left_done; afterwards nothing is. Idempotent, and final: whoever wants back in
  // makes a new Swim.
  void Leave(Time now);

  // Self has another address or meta from now on: a new incarnation, told to all.
  // REQUIRES: self with these is valid().
  void UpdateAddress(Time now, const Endpoint& address);
  void UpdateMeta(Time now, std::string meta);

  // The cluster's id has become known. Exchanges with others are refused from now on. Without a
  // call it becomes known by the first exchange with a member that knows its own; a call counts
  // more.
  void SetClusterId(std::string cluster_id);

  // Takes a dead or left member out of the table. For SwimOptions::remember_evicted it is not taken
  // over again from others who still have it. False when it is not there, is living, or is self.
  bool Evict(std::string_view name);

  // Makes a dead or suspect member one that has left, for all, with the incarnation that is known.
  // If it lives after all and hears of it, it refutes. False when it is not there, is alive, has
  // left, or is self.
  bool MakeLeft(Time now, std::string_view name);

  // ---- Messages of the layer above.

  // Spreads `message` to all members; each gets it as Output::customs, perhaps several times, and
  // passes it on only when its own layer above calls Broadcast in turn. A later message with the
  // same `topic` replaces an earlier one that still waits; an empty topic replaces nothing. False,
  // and nothing done: longer than SwimOptions::custom_bytes_max.
  bool Broadcast(Time now, std::string_view topic, std::string_view message, Priority priority);

  // Sends `message` to one member, once, unreliably. False as in Broadcast.
  bool SendCustom(const Endpoint& to, std::string_view message);

  // Travels in each ack from now on. REQUIRES: at most SwimOptions::ack_payload_bytes_max.
  void SetAckPayload(std::string payload);

  // Travels in the Hello of each exchange from now on. REQUIRES: at most
  // SwimOptions::stream_note_bytes_max.
  void SetStreamNote(std::string note);

  // Remembers `intent` with the member's entry, as long as it does not live again after having been
  // gone, and has no other id: then the layer above says anew what holds. False when there is no
  // such member. REQUIRES: intent.kind <= 255.
  bool SetIntent(std::string_view name, Intent intent);

  // ---- Outputs.

  // Everything that is to be done since the last call, which the caller now owes.
  Output TakeOutput();

  // When Tick is due next; Time::max() when only other inputs matter.
  Time NextDeadline() const;

  // ---- What is known.

  // By name; nothing when it is not in the table.
  std::optional<Entry> Find(std::string_view name) const;
  // All members, self included, in no useful order. `visit` must not call back.
  void ForEachMember(const std::function<void(const Entry&)>& visit) const;
  const MemberCounts& counts() const { return table_.counts(); }

  const MemberInfo& self() const { return self_->info; }
  Incarnation incarnation() const { return incarnation_; }
  const PoolIdentity& pool() const { return pool_; }
  const SwimOptions& options() const { return options_; }
  // Lifeguard's local health: 0 is well, up to SwimOptions::awareness_max.
  int health_score() const { return awareness_.score(); }
  QueueLengths queue_lengths() const;
  // Packets and stream messages that were dropped for what they held.
  uint64_t malformed_count() const { return malformed_count_; }
  // Since Leave, or since the name was lost.
  bool leaving() const { return life_ != Life::kMember; }

  // ---- For simulations.

  // Knows `members`, self among them or not, as alive with incarnation 1, as if it had joined long
  // ago. Tables share what they point to.
  void PreloadForTest(const std::vector<MemberPtr>& members);
  const MemberTable& table_for_test() const { return table_; }
  const Suspicions& suspicions_for_test() const { return suspicions_; }
  // The member under probe; empty: none.
  std::string_view probed_for_test() const;

 private:
  enum class Life : uint8_t {
    kMember,
    kLeaving,  // still answers, and spreads the word
    kGone,     // ignores the world
  };
  // Where a claim came from, for what is done with it.
  struct Source {
    std::string_view peer;  // its sender; empty: a packet, which may pass on others' claims
    bool spread = true;     // whether others are told what is news here
    bool larger = false;    // it is of a larger pool, which this member has joined
    Endpoint from{};        // of a packet
  };

  // swim.cc: time, packets, words.
  bool Advance(Time now);
  void Slept(Duration late);
  Endpoint WhereAsked(const AliveClaim& claim, const PacketParts& parts,
                      const Endpoint& from) const;
  void Dispatch(const Endpoint& from, PacketParts& parts);
  void Malformed(const Endpoint& from);
  void Say(FactKind kind, std::string_view name = {}, const Endpoint& address = {},
           uint64_t number = 0, std::string text = {});
  // Says it for the first, second, fourth... time.
  void SayRarely(uint64_t* count, FactKind kind, std::string_view name, const Endpoint& address,
                 uint64_t number);
  void Note(ChangeKind kind, Slot slot);

  // swim_claims.cc: what is believed of whom; swim_names.cc: two ids of one name.
  void HearAlive(const MemberPtr& member, Incarnation incarnation, const Source& source);
  void HearSuspect(const SuspectClaim& claim, const Source& source);
  void HearDead(const DeadClaim& claim, const Source& source);
  void HearEntry(const Entry& entry, const Source& source);
  void HearOtherId(Slot held, const Entry& entry, const Source& source);
  // Another id has the name from now on.
  void GiveName(Slot held, const Entry& newcomer, bool spread);
  // Whether it is being asked from now on if the newcomer may have that member's place, anew if a
  // successor says so itself: not when too many are. `of_pool`: see Succession.
  bool AskAbout(Slot held, const Entry& newcomer, const Source& source, bool of_pool);
  // Nobody can be there who would answer.
  void HastenQuestions(const Endpoint& to);
  bool Begin(Succession succession);
  void Ask(Succession* succession);
  Slot PlaceOf(const Succession& succession) const;
  // Whether the ack was that of one that was asked.
  bool SuccessorAnswered(const AckMessage& ack);
  // A larger pool is right about that member.
  void HeedOriginal(const Succession& original);
  // Who was asked about has the place whenever it claims it, for a while.
  void Forgo(Succession succession);
  void TickSuccessions();
  // It did not answer, or there is no place of its to ask about any more.
  void GiveUp(const Succession& succession);
  // The slot of the living or lately dead member, not self, whose name `newcomer` claims at that
  // one's own address; none when there is none.
  Slot HeldAtAddressOf(const MemberInfo& newcomer) const;
  // The slot of the living member, not self, that has the newcomer's node id and another name or
  // address, unless nobody is there, as is known by having asked.
  Slot LeftBehindBy(const MemberInfo& newcomer) const;
  bool IsVacant(Slot held, const MemberInfo& newcomer) const;
  // Whether another id has the name at once: its holder left, or died long enough ago.
  bool IsFree(Slot held) const;
  std::string WhyNoSuccessor(Slot held, const MemberInfo& newcomer) const;
  std::string WhyCopy(Slot held, const MemberInfo& newcomer) const;
  bool IsCopyOfSelf(const MemberInfo& newcomer) const;
  // Says it once in a while.
  void SayCopy(const MemberInfo& copy, const std::string& why);
  void HearOfSelf(const MemberPtr& member, Incarnation incarnation);
  // Of another id that claims this member's own name.
  void HearRival(const MemberPtr& rival, Incarnation incarnation);
  void NoticeConflict(Slot held, const MemberPtr& other, Incarnation incarnation);
  Rival AskRival(const MemberPtr& rival, Incarnation incarnation);
  // Whether it is our own ping of a rival: that one is not there, as we are, and is forgotten.
  bool IsOfOurRival(const PingMessage& ping);
  // Whether the ack is that of a rival; the name is lost to it then, unless we are leaving.
  bool RivalAnswered(const AckMessage& ack);
  void LoseName(const MemberPtr& rival);
  // `why`: told to the joins that are under way.
  void StartLeaving(const std::string& why);
  void Withdraw(const std::string& why);
  // Whether our data is a copy, as the peer says.
  bool IsCopyIndeed(const Stream& stream, const GoodbyeMessage& goodbye) const;
  // Without a word: what it said would be taken for that of the member whose data it has.
  void EndAsCopy(const std::string& why);
  void AddMember(const Entry& entry, const Source& source);
  void BecomeSuspect(Slot slot, Incarnation incarnation, std::string_view accuser,
                     const Source& source);
  // `state` is kDead or kLeft.
  void BecomeGone(Slot slot, Incarnation incarnation, LifeState state, Time since,
                  std::string_view accuser, const Source& source);
  void HearGoneEntry(Slot slot, const Entry& entry, const Source& source);
  // Raises the own incarnation above `claimed` and tells all.
  void RaiseAbove(Incarnation claimed);
  void SetSelf(MemberPtr self, Incarnation incarnation);
  bool ClaimIsOfSelf(std::string_view name, uint32_t id_check) const;
  void Refute(Incarnation claimed, std::string_view accuser);
  SuspectClaim SuspectClaimOf(Slot slot, std::string_view accuser) const;
  // The claim by which a member hears what is believed of it; empty when it is alive.
  std::string ClaimAgainst(Slot slot) const;
  bool Evicted(const Entry& entry);

  // swim_probe.cc: failure detection.
  void TickProbe();
  void TickRelays();
  void StartProbe();
  Duration AckWait() const;
  void AskOthers();
  void EndProbe(bool answered);
  void JudgeProbe();
  // `stale`: the packet held a claim about self that was refuted long ago.
  void HandlePing(const Endpoint& from, const PingMessage& ping, bool stale);
  // Tells a member that means the former holder of our name and place; false: it is no such one.
  bool TellOfSuccession(const Endpoint& from, const PingMessage& ping);
  void HandleIndirectPing(const Endpoint& from, const IndirectPingMessage& ping);
  void HandleAck(const Endpoint& from, AckMessage& ack);
  void HandleNack(const NackMessage& nack);
  // Whether the asker should be told what self is.
  bool BelievedWrongly(const PingMessage& ping);
  void ProbeAnsweredByStream();
  void ProbeStreamFailed(StreamId stream);
  // A ping for `target`, with what the table has of it.
  PingMessage PingOf(Sequence sequence, std::string_view target, uint32_t id_check) const;
  bool EvidenceComplete() const;
  Sequence NextSequence() { return Sequence{++sequence_}; }
  Time ProbeDeadline() const;

  // swim_gossip.cc: broadcasts.
  void Spread(Slot slot, std::string bytes);
  void SpreadAlive(Slot slot);
  void SpreadDead(Slot slot, std::string_view accuser);
  // Sends the parts in their order, in as few packets as they fit into, and fills the last one up
  // with what is queued.
  void Send(const Endpoint& to, std::vector<std::string> parts);
  void FillUp(std::string* bytes);
  // Adds what self is to the parts of a packet.
  void TellOfSelf(std::vector<std::string>* parts);
  bool Queued() const;
  void TickGossip();
  void TickLeave();
  Time GossipDeadline() const;
  void ForgetOldDead();
  std::vector<Endpoint> GossipTargets();

  // swim_exchange.cc: streams.
  void ReceiveMessage(StreamId id, std::string_view message);
  static Source SourceOf(const Stream& stream);
  void TickStreams();
  void TickExchange();
  void BeginExchange(Slot with);
  Duration ExchangeInterval() const;
  StreamId OpenStream(const Endpoint& to, Stream stream);
  void CloseStream(StreamId id);
  void EndExchange(StreamId id, std::string_view why);
  void FailJoin(const Stream& stream, std::string why);
  void SendGoodbye(StreamId id, GoodbyeKind kind, std::string reason, bool turned = false);
  void SendHello(StreamId id, const Stream& stream, const Entry* about_receiver);
  void Handle(StreamId id, Stream& stream, HelloMessage& hello);
  void Handle(StreamId id, Stream& stream, DigestsMessage& digests);
  void Handle(StreamId id, Stream& stream, EntriesMessage& entries);
  void Handle(StreamId id, Stream& stream, GoodbyeMessage& goodbye);
  void Handle(StreamId id, Stream& stream, PingMessage& ping);
  void Handle(StreamId id, Stream& stream, AckMessage& ack);
  void AdoptCluster(const std::string& cluster_id, std::string_view peer);
  bool Refuses(StreamId id, const Stream& stream, const HelloMessage& hello);
  // Ends the exchange; the peer is told why.
  void Refuse(StreamId id, const Stream& stream, GoodbyeKind kind, const std::string& why);
  // Refuses the peer, or asks first whether it is who it says to be, or goes on with it.
  void Meet(StreamId id, Stream& stream, HelloMessage& hello);
  // Whether the exchange waits for an answer, or was refused as too many others do.
  bool AsksFirst(StreamId id, Stream& stream, HelloMessage& hello, Slot about);
  // Exchanges that wait for this member's answer, or one about it, go on, or are refused when `why`
  // is not empty. Returns how many there were.
  size_t EndAsking(const Succession& over, const std::string& why);
  // Whether the peer may refuse us when it has heard of our cluster.
  bool MayRefuse(const HelloMessage& hello) const;
  // What follows a Hello that is not refused.
  void TakeUp(StreamId id, Stream& stream, HelloMessage& hello);
  std::string WhyNameHeld(const Entry& newcomer) const;
  void AnswerHello(StreamId id, Stream& stream, const HelloMessage& hello);
  void AnswerDigests(StreamId id, Stream& stream);
  void SendEntries(StreamId id, EntriesMessage entries);
  void FinishEntries(StreamId id, Stream& stream);
  void FinishExchange(StreamId id, Stream& stream);

  SwimOptions options_;
  PoolIdentity pool_;
  MemberPtr self_;
  Incarnation incarnation_{1};
  Random random_;
  Time now_;
  Life life_ = Life::kMember;
  Output output_;

  MemberTable table_;
  Suspicions suspicions_;
  Awareness awareness_;

  // Probes.
  uint32_t sequence_;
  Time next_probe_at_;
  std::optional<Probe> probe_;
  RoundTrips round_trips_;
  std::vector<Relay> relays_;
  std::string ack_payload_;

  // Broadcasts.
  BroadcastQueue membership_;
  std::array<BroadcastQueue, 3> customs_;  // by Priority
  Time next_gossip_at_;                    // not before; only with something to tell
  struct RecentlyDead {
    Slot slot;
    Time until;
  };
  std::vector<RecentlyDead> recently_dead_;  // by time
  struct EvictedMember {
    uint64_t name_hash;
    uint32_t id_check;
    Incarnation incarnation;
    Time until;
  };
  std::deque<EvictedMember> evicted_;  // by time
  Time leave_ends_at_;                 // while leaving

  // Streams.
  std::map<StreamId, Stream> streams_;
  uint64_t last_stream_ = 0;
  uint64_t last_join_ = 0;
  std::string stream_note_;
  Time next_exchange_at_;

  // A rival's claim to our name is believed when the rival itself answers.
  std::optional<Rival> rival_;
  // The same of one at our own address, apart: the word of a former life of this machine may come
  // again and again, and keeps no rival elsewhere waiting.
  std::optional<Rival> namesake_;
  Time next_namesake_at_;
  std::vector<Succession> successions_;
  Time next_conflict_at_;  // notices of conflicts are sent no sooner
  Time next_copy_said_at_;

  uint64_t malformed_count_ = 0;
  uint64_t table_full_count_ = 0;
  uint64_t dropped_count_ = 0;
  uint64_t streams_full_count_ = 0;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_SWIM_H_
