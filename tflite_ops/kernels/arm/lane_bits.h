// Thirty-two comparisons as the bits of a word; what MOVMSK is on x86. Internal linkage, for the reason given in
// bits.h.
#ifndef KERAS_STE_KERNELS_ARM_LANE_BITS_H_
#define KERAS_STE_KERNELS_ARM_LANE_BITS_H_

#include <arm_neon.h>

namespace keras_ste {
namespace arm {

// Bit 4 i + j is set where lane j of vector i is all ones; the lanes of all eight are all ones or zero.
static inline uint32_t LaneBits(const uint32x4_t* lanes) {
  const uint32_t first[4] = {1, 2, 4, 8};
  uint32x4_t bit = vld1q_u32(first);
  uint32x4_t bits = vandq_u32(lanes[0], bit);
  for (int i = 1; i < 8; ++i) {
    bit = vshlq_n_u32(bit, 4);
    bits = vorrq_u32(bits, vandq_u32(lanes[i], bit));
  }
  return vaddvq_u32(bits);
}

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_LANE_BITS_H_
