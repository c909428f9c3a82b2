// Words of 32 sign bits: how many there are, how they are loaded and counted.
//
// Everything here has internal linkage: the header is compiled into translation units with different instruction sets,
// and a function shared between them could bring a wide instruction to a machine that has none.
#ifndef KERAS_STE_KERNELS_BITS_H_
#define KERAS_STE_KERNELS_BITS_H_

#include <stdint.h>

namespace keras_ste {

// For 0 <= a, up to the largest.
static inline int32_t CeilDiv(int32_t a, int32_t b) { return a / b + (a % b != 0 ? 1 : 0); }

static inline int32_t WordsOf(int32_t bits) { return CeilDiv(bits, 32); }

// The number of set bits, from shifts, masks and adds only, so that compilers can run it in vector lanes.
static inline uint32_t CountBits(uint32_t v) {
  v = v - ((v >> 1) & 0x55555555u);
  v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
  v = (v + (v >> 4)) & 0x0F0F0F0Fu;
  v = v + (v >> 8);
  return (v + (v >> 16)) & 0x3Fu;
}

// A mask of the bits [begin, end) of one word, 0 <= begin <= end <= 32.
static inline uint32_t BitRange(int32_t begin, int32_t end) {
  const uint32_t below_end = end >= 32 ? 0xFFFFFFFFu : (1u << end) - 1u;
  const uint32_t below_begin = begin >= 32 ? 0xFFFFFFFFu : (1u << begin) - 1u;
  return below_end & ~below_begin;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_BITS_H_
