#include "services/api/monitor.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "consul/agent/v1/agent.pb.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/rpc/errors.h"
#include "services/rpc/waiting_call.h"

namespace consul::api {
namespace {

base::LogLevel FromProto(agent::v1::LogLevel level) {
  switch (level) {
    case agent::v1::LOG_LEVEL_TRACE:
      return base::LogLevel::kTrace;
    case agent::v1::LOG_LEVEL_DEBUG:
      return base::LogLevel::kDebug;
    case agent::v1::LOG_LEVEL_WARN:
      return base::LogLevel::kWarn;
    case agent::v1::LOG_LEVEL_ERROR:
      return base::LogLevel::kError;
    case agent::v1::LOG_LEVEL_INFO:
    case agent::v1::LOG_LEVEL_UNSPECIFIED:
    default:  // An open enum: a newer caller's level is more than we have, and info is the middle.
      return base::LogLevel::kInfo;
  }
}

agent::v1::LogLevel ToProto(base::LogLevel level) {
  switch (level) {
    case base::LogLevel::kTrace:
      return agent::v1::LOG_LEVEL_TRACE;
    case base::LogLevel::kDebug:
      return agent::v1::LOG_LEVEL_DEBUG;
    case base::LogLevel::kInfo:
      return agent::v1::LOG_LEVEL_INFO;
    case base::LogLevel::kWarn:
      return agent::v1::LOG_LEVEL_WARN;
    case base::LogLevel::kError:
      return agent::v1::LOG_LEVEL_ERROR;
  }
  return agent::v1::LOG_LEVEL_UNSPECIFIED;
}

class MonitorCall : public rpc::WaitingCall, private base::Logger::Listener {
 public:
  MonitorCall(base::Logger* logger, rpc::Call* call)
      : WaitingCall(call),
        logger_(logger),
        least_(FromProto(
            static_cast<const agent::v1::MonitorRequest&>(call->request()).log_level())) {}

  void Begin() {
    Attach();
    logger_->Listen(this);
  }

 private:
  struct Line {
    base::LogLevel level;
    std::string text;
  };

  void OnLine(base::LogLevel level, std::string_view line) override {
    if (level < least_) return;
    {
      base::MutexLock lock(&mutex_);
      if (lines_.size() < kMonitorLinesMax) {
        lines_.push_back({level, std::string(line)});
      } else {
        overflowed_ = true;
      }
    }
    Wake();
  }

  void Continue() override {
    std::deque<Line> lines;
    bool overflowed = false;
    {
      base::MutexLock lock(&mutex_);
      lines.swap(lines_);
      overflowed = overflowed_;
    }
    auto* const response = static_cast<agent::v1::MonitorResponse*>(call()->response());
    for (Line& line : lines) {
      response->set_log_level(ToProto(line.level));
      response->set_line(std::move(line.text));
      if (!call()->Next()) {
        overflowed = true;
        break;
      }
    }
    if (overflowed) {
      Finish(rpc::Error(errors::v1::REASON_OVERLOADED,
                        base::StrCat("the caller is more than ", kMonitorLinesMax,
                                     " log lines behind")));
    }
  }

  void Detach() override { logger_->Unlisten(this); }

  base::Logger* const logger_;
  const base::LogLevel least_;
  base::Mutex mutex_;
  std::deque<Line> lines_ GUARDED_BY(mutex_);
  bool overflowed_ GUARDED_BY(mutex_) = false;
};

}  // namespace

void StartMonitor(base::Logger* logger, rpc::Call* call) {
  std::make_shared<MonitorCall>(logger, call)->Begin();
}

}  // namespace consul::api
