#include "services/base/crc32c.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace consul::base {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, bits reflected

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// Table k advances a byte through k more zero bytes, so that eight bytes take eight look-ups and no
// dependency from one to the next.
constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][i] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[k - 1][i];
      tables[k][i] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

uint32_t ExtendByTable(uint32_t crc, const unsigned char* p, size_t size) {
  crc = ~crc;
  for (; size >= 8; p += 8, size -= 8) {
    const uint32_t low = crc ^ (static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
                                static_cast<uint32_t>(p[2]) << 16 |
                                static_cast<uint32_t>(p[3]) << 24);
    crc = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^
          kTables[5][(low >> 16) & 0xff] ^ kTables[4][low >> 24] ^ kTables[3][p[4]] ^
          kTables[2][p[5]] ^ kTables[1][p[6]] ^ kTables[0][p[7]];
  }
  for (; size > 0; ++p, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(uint32_t crc,
                                                               const unsigned char* p,
                                                               size_t size) {
  uint64_t value = static_cast<uint32_t>(~crc);
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof(word));
    value = __builtin_ia32_crc32di(value, word);
  }
  uint32_t low = static_cast<uint32_t>(value);
  for (; size > 0; ++p, --size) low = __builtin_ia32_crc32qi(low, *p);
  return ~low;
}
#endif

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ExtendByInstruction(crc, p, bytes.size());
#endif
  return ExtendByTable(crc, p, bytes.size());
}

uint32_t ExtendCrc32cByTableForTest(uint32_t crc, std::string_view bytes) {
  return ExtendByTable(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace consul::base
