// Four pixels by 16 channels.
#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace arm {
namespace {

constexpr int32_t kVectors = kBlock / 4;

template <int32_t kBits, int32_t kRows>
void Block(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights, int32_t scale,
           int32_t offset, float* sums) {
  const float32x4_t scales = vdupq_n_f32(static_cast<float>(scale));
  const float32x4_t offsets = vdupq_n_f32(static_cast<float>(offset));
  const uint32x4_t mask = vdupq_n_u32((1 << kBits) - 1);
  float32x4_t sum[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) sum[r][v] = vdupq_n_f32(0);
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t k = 0; k < count; weights += kBlock) {
      uint32x4_t packed[kVectors];
      for (int32_t v = 0; v < kVectors; ++v) packed[v] = vld1q_u32(weights + 4 * v);
      const int32_t end = count - k < 32 / kBits ? count : k + 32 / kBits;
      for (int32_t i = 0; k < end; ++i, ++k) {
        const int32x4_t right = vdupq_n_s32(-(8 * (i % 4) + kBits * (i / 4)));
        float32x4_t w[kVectors];
        for (int32_t v = 0; v < kVectors; ++v) {
          const uint32x4_t u = vandq_u32(vshlq_u32(packed[v], right), mask);
          w[v] = vaddq_f32(vmulq_f32(vcvtq_f32_u32(u), scales), offsets);
        }
        for (int32_t r = 0; r < kRows; ++r) {
          const float32x4_t x = vld1q_dup_f32(inputs[r] + k);
          for (int32_t v = 0; v < kVectors; ++v) sum[r][v] = vaddq_f32(sum[r][v], vmulq_f32(x, w[v]));
        }
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) vst1q_f32(sums + r * kChunk + 4 * v, sum[r][v]);
  }
}

template <int32_t kBits>
struct Floats {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights,
                  int64_t block_stride, int32_t scale, int32_t offset, float* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Block<kBits, kRows>(inputs, taps, count, weights + b * block_stride, scale, offset, sums + b * kBlock);
    }
  }
};

}  // namespace

void FillFloatDotNeon(CodeKernels* table) {
  table->floatdot_rows = 4;
  FillTiles<Floats<2>, 4>(table->floatdot[0]);
  FillTiles<Floats<4>, 4>(table->floatdot[1]);
  FillTiles<Floats<8>, 4>(table->floatdot[2]);
}

}  // namespace arm
}  // namespace keras_ste
