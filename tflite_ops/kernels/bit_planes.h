// From the planes of 32 codes to the codes and back.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_BIT_PLANES_H_
#define KERAS_STE_KERNELS_BIT_PLANES_H_

#include <stdint.h>

namespace keras_ste {

// Bit i of byte j becomes bit j of byte i: squares of 1, 2 and 4 bits change places across the diagonal.
static inline uint64_t TransposeBits(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAu;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCu;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0u;
  return x ^ t ^ (t << 28);
}

// 32 codes, as unsigned numbers, from one word of each of up to 8 planes, `stride` words apart.
static inline void CodesOfPlanes(const uint32_t* planes, int64_t stride, int32_t bits, uint8_t* codes) {
  for (int32_t i = 0; i < 32; i += 8) {
    uint64_t square = 0;
    for (int32_t p = 0; p < bits; ++p) square |= static_cast<uint64_t>(planes[p * stride] >> i & 0xFFu) << (8 * p);
    square = TransposeBits(square);
    for (int32_t j = 0; j < 8; ++j) codes[i + j] = static_cast<uint8_t>(square >> (8 * j));
  }
}

// The lowest `bits` bits of 32 codes as one word of each plane.
static inline void PlanesOfCodes(const uint8_t* codes, int32_t bits, uint32_t* planes) {
  for (int32_t p = 0; p < bits; ++p) planes[p] = 0;
  for (int32_t i = 0; i < 32; i += 8) {
    uint64_t square = 0;
    for (int32_t j = 0; j < 8; ++j) square |= static_cast<uint64_t>(codes[i + j]) << (8 * j);
    square = TransposeBits(square);
    for (int32_t p = 0; p < bits; ++p) planes[p] |= static_cast<uint32_t>(square >> (8 * p) & 0xFFu) << i;
  }
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_BIT_PLANES_H_
