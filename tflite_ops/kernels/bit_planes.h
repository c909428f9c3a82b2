// From the planes of 32 codes to the codes and back.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_BIT_PLANES_H_
#define KERAS_STE_KERNELS_BIT_PLANES_H_

#include <stdint.h>
#include <string.h>

namespace keras_ste {

// 8 codes are read as one number.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lowest byte must come first");

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
  uint64_t squares[4] = {};
  for (int32_t p = 0; p < bits; ++p) {
    const uint64_t word = planes[p * stride];
    for (int32_t i = 0; i < 4; ++i) squares[i] |= (word >> (8 * i) & 0xFFu) << (8 * p);
  }
  for (int32_t i = 0; i < 4; ++i) squares[i] = TransposeBits(squares[i]);
  memcpy(codes, squares, sizeof(squares));
}

// The lowest `bits` bits of 32 codes as one word of each plane.
static inline void PlanesOfCodes(const uint8_t* codes, int32_t bits, uint32_t* planes) {
  uint64_t squares[4];
  memcpy(squares, codes, sizeof(squares));
  for (int32_t i = 0; i < 4; ++i) squares[i] = TransposeBits(squares[i]);
  for (int32_t p = 0; p < bits; ++p) {
    uint32_t word = 0;
    for (int32_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(squares[i] >> (8 * p) & 0xFFu) << (8 * i);
    planes[p] = word;
  }
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_BIT_PLANES_H_
