// services/base/check.h
//
// CHECK states what a programmer relies on. It is on in every build: a broken invariant ends the
// process with the fact and its place, before wrong state can reach a disk or another server.
//
// Threads: any.
#ifndef CONSUL_SERVICES_BASE_CHECK_H_
#define CONSUL_SERVICES_BASE_CHECK_H_

namespace consul::base {

// Writes "CHECK failed: FACT at FILE:LINE" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* fact, const char* file, int line);

}  // namespace consul::base

#define CONSUL_CHECK(fact)                                           \
  (__builtin_expect(static_cast<bool>(fact), 1)                      \
       ? static_cast<void>(0)                                        \
       : ::consul::base::CheckFailed(#fact, __FILE__, __LINE__))

#endif  // CONSUL_SERVICES_BASE_CHECK_H_
