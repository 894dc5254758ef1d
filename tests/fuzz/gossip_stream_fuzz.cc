// Goal: no message on a stream crashes either side of an exchange, breaks its tables, or makes it
// say what it would itself refuse. Method: the input is a list of messages for one member that has
// accepted a stream, has opened one to join, and one for a ping. Each begins with a byte: its low
// two bits name the stream, the rest is how much time has passed; then follow two bytes of length
// (0: what is left) and the message.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/stubs/logging.h"
#include "services/gossip/swim.h"

namespace consul::gossip {
namespace {

// Or every input of bad UTF-8 is a line.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

void Require(bool fact) {
  if (!fact) std::abort();
}

Endpoint AddressOf(int host) {
  const char bytes[] = {10, 0, 0, static_cast<char>(host)};
  return *Endpoint::FromBytes({bytes, sizeof bytes}, 7946);
}

MemberInfo InfoOf(int host) {
  MemberInfo info;
  info.name = std::string(1, static_cast<char>('a' + host));
  info.id = "id-" + info.name;
  info.address = AddressOf(host);
  return info;
}

// Drives a member and keeps the streams that it opens.
class Run {
 public:
  Run() : swim_(Options(), {}, InfoOf(0), 1, now_) {
    std::vector<MemberPtr> members;
    for (int host = 1; host < 4; ++host) {
      members.push_back(std::make_shared<const Member>(InfoOf(host)));
    }
    swim_.PreloadForTest(members);
    swim_.StreamAccepted(now_, StreamId{1}, AddressOf(1));
    swim_.Join(now_, AddressOf(2));
    Use();
    // The first probe fails, so that a stream is opened for a ping.
    Pass(std::chrono::milliseconds(1000));
    Pass(std::chrono::milliseconds(500));
  }

  void Receive(uint8_t stream, std::string_view message) {
    if (stream == 0 || streams_.empty()) {
      swim_.StreamReceived(now_, StreamId{1}, message);
    } else {
      swim_.StreamReceived(now_, streams_[stream % streams_.size()], message);
    }
    Use();
  }

  void Pass(Duration duration) {
    now_ += duration;
    if (swim_.NextDeadline() <= now_) swim_.Tick(now_);
    Use();
  }

 private:
  static SwimOptions Options() {
    SwimOptions options;
    options.members_max = 8;
    options.broadcasts_max = 6;
    return options;
  }

  void Use() {
    const Output output = swim_.TakeOutput();
    for (const Packet& packet : output.packets) Require(DecodePacket(packet.bytes).has_value());
    for (const StreamSend& send : output.stream_sends) {
      Require(send.message.size() <= swim_.options().stream_message_bytes_max);
      Require(DecodeStreamMessage(send.message, now_).has_value());
    }
    const MemberTable& table = swim_.table_for_test();
    Require(table.ConsistentForTest());
    Require(table.bucket_hashes() == table.RecomputeBucketHashesForTest());
    Require(table.counts().total() <= swim_.options().members_max);
    Require(swim_.Find("a")->incarnation == swim_.incarnation());
    for (const StreamOpen& open : output.stream_opens) {
      streams_.push_back(open.stream);
      swim_.StreamOpened(now_, open.stream);
      Use();
    }
  }

  Time now_{};
  Swim swim_;
  std::vector<StreamId> streams_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Run run;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  while (input.size() >= 3) {
    const auto head = static_cast<uint8_t>(input[0]);
    size_t length = static_cast<size_t>(static_cast<uint8_t>(input[1])) << 8 |
                    static_cast<uint8_t>(input[2]);
    input.remove_prefix(3);
    if (length == 0 || length > input.size()) length = input.size();
    if (head >> 2 != 0) run.Pass(std::chrono::milliseconds(10 * (head >> 2)));
    run.Receive(head & 3, input.substr(0, length));
    input.remove_prefix(length);
  }
  for (int i = 0; i < 20; ++i) run.Pass(std::chrono::milliseconds(700));
  return 0;
}

}  // namespace consul::gossip
