// services/base/crc32c.h
//
// CRC-32C (Castagnoli), the checksum of everything we keep on disk. By the processor's instruction
// where there is one, by table elsewhere; both give the same values.
//
// Threads: pure functions.
#ifndef CONSUL_SERVICES_BASE_CRC32C_H_
#define CONSUL_SERVICES_BASE_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace consul::base {

// The checksum of A followed by `bytes`, where `crc` is the checksum of A (0 for the empty A).
uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes);

inline uint32_t Crc32c(std::string_view bytes) { return ExtendCrc32c(0, bytes); }

// ExtendCrc32c by table, whatever the processor: for the test that compares the two.
uint32_t ExtendCrc32cByTableForTest(uint32_t crc, std::string_view bytes);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_CRC32C_H_
