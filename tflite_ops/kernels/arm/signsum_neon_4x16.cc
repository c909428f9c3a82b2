// Four pixels by 16 channels: the mask of one input channel becomes vectors of sign bits that flip the input before it
// is added.
#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace arm {
namespace {

struct SignSums {
  template <int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, float* sums) {
    constexpr int32_t kVectors = kBlock / 4;
    const uint32x4_t sign_bit = vdupq_n_u32(0x80000000u);
    uint32x4_t lane_bits[kVectors];
    for (int32_t v = 0; v < kVectors; ++v) {
      const uint32_t bits[4] = {1u << (4 * v), 2u << (4 * v), 4u << (4 * v), 8u << (4 * v)};
      lane_bits[v] = vld1q_u32(bits);
    }
    float32x4_t sum[kRows][kVectors];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t v = 0; v < kVectors; ++v) sum[r][v] = vdupq_n_f32(0);
    }
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < channels; ++i, ++weights) {
        const uint32x4_t mask = vdupq_n_u32(*weights);
        uint32x4_t minus[kVectors];
        for (int32_t v = 0; v < kVectors; ++v) minus[v] = vbicq_u32(sign_bit, vtstq_u32(mask, lane_bits[v]));
        for (int32_t r = 0; r < kRows; ++r) {
          const uint32x4_t x = vreinterpretq_u32_f32(vld1q_dup_f32(inputs[r] + i));
          for (int32_t v = 0; v < kVectors; ++v) {
            sum[r][v] = vaddq_f32(sum[r][v], vreinterpretq_f32_u32(veorq_u32(x, minus[v])));
          }
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t v = 0; v < kVectors; ++v) vst1q_f32(sums + r * kChunk + 4 * v, sum[r][v]);
    }
  }
};

}  // namespace

void FillSignSumNeon(KernelTable* table) {
  table->signsum_rows = 4;
  FillByRows<SignSums, 4>(table->signsum);
}

}  // namespace arm
}  // namespace keras_ste
