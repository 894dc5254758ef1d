#include "services/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace consul::base {

void CheckFailed(const char* fact, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d\n", fact, file, line);
  std::abort();
}

}  // namespace consul::base
