// gateway/dns/kept_answers.h
//
// Encoded responses of one event loop, by lower-case name, type, transport and presence of EDNS.
// A response is kept whole as it went out and given out again while its validity holds, with what
// differs from query to query put in: id, RD, CD, the question's spelling, the client's EDNS size
// and DO, and the SOA's serial. Nothing else is decided here, and nothing expires by time.
//
// Threads: one owner, an event loop. Find allocates nothing.
#ifndef CONSUL_GATEWAY_DNS_KEPT_ANSWERS_H_
#define CONSUL_GATEWAY_DNS_KEPT_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/dns/message.h"
#include "gateway/dns/responder.h"
#include "gateway/dns/wire.h"
#include "services/rpc/call.h"

namespace consul::gateway::dns {

// Responses kept by one loop; the oldest makes room. A flood of made-up names can push out the
// useful ones, which then cost a lookup each, but not memory.
inline constexpr size_t kKeptAnswersMax = 10000;
inline constexpr size_t kKeptBytesMax = 8 << 20;
// Longer ones, only possible over TCP, are made anew each time.
inline constexpr size_t kKeptAnswerBytesMax = kUdpBytesMax;

class KeptAnswers {
 public:
  explicit KeptAnswers(size_t answers_max = kKeptAnswersMax, size_t bytes_max = kKeptBytesMax);

  // Writes the kept response to `query` into `out` and returns its length; 0 when there is none
  // that holds and fits `out`. REQUIRES: DecodeQuery said kOk.
  size_t Find(const Query& query, Transport transport, uint32_t serial, std::span<uint8_t> out);

  // Keeps `bytes`, which Respond made for `query`. Passes over what cannot be kept: without
  // validity, cut for its size, of another class than IN, with an unknown EDNS version, too long.
  void Keep(const Query& query, Transport transport, const Response& response,
            std::span<const uint8_t> bytes, std::shared_ptr<const rpc::Validity> validity);

  // Forgets them all.
  void Clear();

  // Those that may be given out, as far as is known without looking at their validity.
  size_t size() const { return index_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Answer {
    std::string key;
    std::vector<uint8_t> bytes;  // empty: replaced or found invalid
    std::shared_ptr<const rpc::Validity> validity;
    size_t serial_offset = 0;
    size_t opt_offset = 0;
  };

  Answer& At(uint64_t number) { return answers_[number - first_number_]; }
  void Empty(Answer* answer);
  void DropOldest();

  const size_t answers_max_;
  const size_t bytes_max_;
  // Oldest first; each has a number, the first one's is first_number_.
  std::deque<Answer> answers_;
  uint64_t first_number_ = 0;
  size_t bytes_ = 0;
  absl::flat_hash_map<std::string, uint64_t> index_;
};

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_KEPT_ANSWERS_H_
