// Packed weights as vectors of bytes, and how sums of their products are stored: what the products of bytes share.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_ARM_PACKED_BYTES_H_
#define KERAS_STE_KERNELS_ARM_PACKED_BYTES_H_

#include <arm_neon.h>

#include "kernels/code_kernels.h"

namespace keras_ste {
namespace arm {

static inline uint8x16_t LoadPacked(const uint32_t* p) { return vreinterpretq_u8_u32(vld1q_u32(p)); }

// The same four inputs in each lane.
static inline int8x16_t FourBytes(const int8_t* y) {
  int32_t four;
  __builtin_memcpy(&four, y, sizeof(four));
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

// The weights of one phase; above those of the last one are no bits of others.
template <int32_t kBits, int32_t kPhase>
static inline uint8x16_t Unpack(uint8x16_t packed) {
  if constexpr (kBits == 8) {
    return packed;
  } else {
    const uint8x16_t mask = vdupq_n_u8((1 << kBits) - 1);
    if constexpr (kPhase == 0) return vandq_u8(packed, mask);
    if constexpr (kPhase == 8 / kBits - 1) return vshrq_n_u8(packed, kPhase * kBits);
    if constexpr (kPhase > 0) return vandq_u8(vshrq_n_u8(packed, kPhase * kBits), mask);
  }
}

// Unsigned weights of eight bits, less this, are signed ones.
constexpr int32_t kToSigned = 128;

static inline uint8x16_t Signed(uint8x16_t weights) { return veorq_u8(weights, vdupq_n_u8(kToSigned)); }

// What the sums of one pixel start at where its weights were made signed.
static inline int32_t SignedStart(const int8_t* const* inputs, int32_t taps, int32_t bytes, int32_t rows, int32_t shift,
                                  int32_t row_start) {
  int32_t sum = 0;
  for (int32_t tap = 0; tap < taps; ++tap, inputs += rows) {
    for (int32_t i = 0; i < bytes; ++i) sum += (*inputs)[i];
  }
  return static_cast<int32_t>(static_cast<uint32_t>(row_start) + (static_cast<uint32_t>(kToSigned * sum) << shift));
}

static inline void StoreSums(int32x4_t sum, int32_t shift, const int32_t* start, int32_t row_start, int32_t* sums) {
  const int32x4_t first = vaddq_s32(vld1q_s32(start), vdupq_n_s32(row_start));
  vst1q_s32(sums, vaddq_s32(first, vshlq_s32(sum, vdupq_n_s32(shift))));
}

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_PACKED_BYTES_H_
