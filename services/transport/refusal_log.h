// services/transport/refusal_log.h
//
// Which refusals were logged already: who is refused tries again every second, and one line is
// enough.
//
// Threads: any.
#ifndef CONSUL_SERVICES_TRANSPORT_REFUSAL_LOG_H_
#define CONSUL_SERVICES_TRANSPORT_REFUSAL_LOG_H_

#include <map>
#include <string>

#include "services/base/mutex.h"
#include "services/raft/core/types.h"
#include "services/transport/transport_options.h"

namespace consul::transport {

class RefusalLog {
 public:
  // Whether the last refusal between this server and `peer` had another text. With too many peers
  // all of them are forgotten.
  bool IsNew(const raft::ServerId& peer, const std::string& text) {
    base::MutexLock lock(&mutex_);
    if (texts_.size() >= kRefusedPeersMax && !texts_.contains(peer)) texts_.clear();
    std::string& last = texts_[peer];
    if (last == text) return false;
    last = text;
    return true;
  }

 private:
  base::Mutex mutex_;
  std::map<raft::ServerId, std::string> texts_ GUARDED_BY(mutex_);
};

}  // namespace consul::transport

#endif  // CONSUL_SERVICES_TRANSPORT_REFUSAL_LOG_H_
