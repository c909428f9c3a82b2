#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/arm/lane_bits.h"

namespace keras_ste {
namespace arm {

void PackSignsNeon(const float* x, int64_t n, uint32_t* words) {
  for (; n >= 32; n -= 32, x += 32, ++words) {
    uint32x4_t positive[8];
    for (int32_t i = 0; i < 8; ++i) positive[i] = vcgezq_f32(vld1q_f32(x + 4 * i));
    *words = LaneBits(positive);
  }
  if (n > 0) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; ++i) bits |= (x[i] >= 0.0f ? 1u : 0u) << i;
    *words = bits;
  }
}

}  // namespace arm
}  // namespace keras_ste
