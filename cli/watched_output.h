// cli/watched_output.h
//
// Standard output that keeps why it failed first. A stream itself knows only that it failed, and
// errno is another's by the time that a command has ended.
//
// Threads: one.
#ifndef CONSUL_CLI_WATCHED_OUTPUT_H_
#define CONSUL_CLI_WATCHED_OUTPUT_H_

#include <ostream>
#include <streambuf>
#include <string>

namespace consul::cli {

class WatchedOutput final : private std::streambuf {
 public:
  // `target` outlives this object.
  explicit WatchedOutput(std::ostream* target) : target_(target->rdbuf()), stream_(this) {}

  // What is written here goes to the target, and fails when that fails.
  std::ostream* stream() { return &stream_; }

  // Writes out what the target holds back. Empty when all that was ever written is out; else
  // "write to standard output failed: No space left on device".
  std::string Finish();

 private:
  int overflow(int c) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override;

  std::streambuf* const target_;
  std::ostream stream_;
  int error_ = 0;
};

}  // namespace consul::cli

#endif  // CONSUL_CLI_WATCHED_OUTPUT_H_
