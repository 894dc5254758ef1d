#include "cli/process.h"

#include <sys/resource.h>

#include <cstdio>

namespace consul::cli {
namespace {

void PrintTo(std::FILE* file, std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), file);
  std::fputc('\n', file);
  std::fflush(file);
}

}  // namespace

void Print(std::string_view line) { PrintTo(stdout, line); }

void PrintError(std::string_view line) { PrintTo(stderr, line); }

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace consul::cli
