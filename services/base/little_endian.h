// services/base/little_endian.h
//
// Numbers as they stand in every format of ours: the low byte first, unaligned.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_LITTLE_ENDIAN_H_
#define CONSUL_SERVICES_BASE_LITTLE_ENDIAN_H_

#include <bit>
#include <concepts>
#include <cstring>
#include <string>

namespace consul::base {

static_assert(std::endian::native == std::endian::little, "elsewhere the bytes must be turned");

// Writes sizeof(T) bytes to `to`.
template <std::unsigned_integral T>
void StoreLittleEndian(T value, char* to) {
  std::memcpy(to, &value, sizeof(T));
}

template <std::unsigned_integral T>
void AppendLittleEndian(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Reads sizeof(T) bytes at `from`.
template <std::unsigned_integral T>
T LoadLittleEndian(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_LITTLE_ENDIAN_H_
