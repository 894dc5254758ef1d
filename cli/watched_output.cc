#include "cli/watched_output.h"

#include <errno.h>

#include <cstdio>
#include <cstring>

namespace consul::cli {

std::string WatchedOutput::Finish() {
  stream_.flush();
  if (stream_.good()) return "";
  const std::string what = "write to standard output failed";
  return error_ == 0 ? what : what + ": " + std::strerror(error_);
}

int WatchedOutput::overflow(int c) {
  if (c == EOF) return 0;
  const int put = target_->sputc(static_cast<char>(c));
  if (put == EOF && error_ == 0) error_ = errno;
  return put;
}

std::streamsize WatchedOutput::xsputn(const char* text, std::streamsize size) {
  const std::streamsize put = target_->sputn(text, size);
  if (put != size && error_ == 0) error_ = errno;
  return put;
}

int WatchedOutput::sync() {
  const int result = target_->pubsync();
  if (result != 0 && error_ == 0) error_ = errno;
  return result;
}

}  // namespace consul::cli
