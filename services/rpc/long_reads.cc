#include "services/rpc/long_reads.h"

#include <google/protobuf/message.h>
#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <thread>
#include <utility>

namespace consul::rpc {
namespace {

using boost::asio::thread_pool;
using google::protobuf::Message;

// An answer that `threads` destroy. Once they have ended, it goes with them.
std::shared_ptr<LongAnswer> NewAnswer(std::shared_ptr<thread_pool> threads,
                                      const Message& prototype) {
  return {new LongAnswer(prototype), [threads = std::move(threads)](LongAnswer* spent) {
            boost::asio::post(*threads, [answer = std::unique_ptr<LongAnswer>(spent)] {});
          }};
}

}  // namespace

struct LongRead::Job {
  Job(const Question& asked, std::shared_ptr<Waking> who)
      : request(asked.request->New()), question(asked), asker(std::move(who)) {
    request->CopyFrom(*asked.request);
    question.request = request.get();
    question.options = OptionsOf(*question.method, *request);
  }

  bool cancelled() {
    base::MutexLock lock(&mutex);
    return asker == nullptr;
  }

  void Finish(std::shared_ptr<LongAnswer> made) {
    std::shared_ptr<Waking> told;  // dropped after the mutex
    base::MutexLock lock(&mutex);
    told = std::move(asker);
    if (told == nullptr) return;
    answer = std::move(made);
    told->Wake();
  }

  const std::unique_ptr<Message> request;
  Question question;
  base::Mutex mutex;
  std::shared_ptr<Waking> asker GUARDED_BY(mutex);  // null: it was told, or wants to hear nothing
  std::shared_ptr<LongAnswer> answer GUARDED_BY(mutex);
};

LongRead::~LongRead() {
  std::shared_ptr<Waking> asker;  // dropped after the mutex
  base::MutexLock lock(&job_->mutex);
  asker = std::move(job_->asker);
}

std::shared_ptr<LongAnswer> LongRead::Take() {
  base::MutexLock lock(&job_->mutex);
  return std::move(job_->answer);
}

// Half of the machine, that lists do not take the loops' cores from them; more than a few would
// only wait for memory.
size_t LongReads::ThreadCount() {
  return std::clamp<size_t>(std::thread::hardware_concurrency() / 2, 1, 4);
}

LongReads::~LongReads() {
  base::MutexLock lock(&mutex_);
  if (threads_ == nullptr) return;
  threads_->stop();
  threads_->join();
}

std::unique_ptr<LongRead> LongReads::Start(const Question& question,
                                           std::shared_ptr<Waking> asker) {
  const auto job = std::make_shared<LongRead::Job>(question, std::move(asker));
  base::MutexLock lock(&mutex_);
  if (threads_ == nullptr) threads_ = std::make_shared<thread_pool>(ThreadCount());
  waiting_.fetch_add(1, std::memory_order_relaxed);
  // What waits for a thread must not keep the threads.
  boost::asio::post(*threads_, [this, job, weak = std::weak_ptr(threads_)] {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    if (job->cancelled()) return;
    pthread_setname_np(pthread_self(), "long-reads");
    auto answer = NewAnswer(weak.lock(), *job->question.method->response_prototype);
    answer->status = EvaluateWhole(job->question, *consensus_, answer.get(), &answer->watched,
                                   &answer->evaluated);
    job->Finish(std::move(answer));
  });
  return std::unique_ptr<LongRead>(new LongRead(job));
}

}  // namespace consul::rpc
