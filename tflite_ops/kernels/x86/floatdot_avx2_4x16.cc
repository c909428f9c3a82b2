// Four pixels by 16 channels.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m256i LoadLanes(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

template <int32_t kBits, int32_t kRows>
void Block(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights, int32_t scale,
           int32_t offset, float* sums) {
  const __m256 scales = _mm256_set1_ps(static_cast<float>(scale));
  const __m256 offsets = _mm256_set1_ps(static_cast<float>(offset));
  const __m256i mask = _mm256_set1_epi32((1 << kBits) - 1);
  __m256 sum[kRows][2];
  for (int32_t r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
  const auto add = [&](const __m256i* packed, int32_t in_step, int32_t k) {
    const int32_t first_bit = 8 * (in_step % 4) + kBits * (in_step / 4);
    __m256 w[2];
    for (int32_t h = 0; h < 2; ++h) {
      const __m256i u = _mm256_and_si256(_mm256_srli_epi32(packed[h], first_bit), mask);
      w[h] = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(u), scales), offsets);
    }
    for (int32_t r = 0; r < kRows; ++r) {
      const __m256 x = _mm256_set1_ps(inputs[r][k]);
      for (int32_t h = 0; h < 2; ++h) sum[r][h] = _mm256_add_ps(sum[r][h], _mm256_mul_ps(x, w[h]));
    }
  };
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t k = 0; k < count; weights += kBlock) {
      const __m256i packed[2] = {LoadLanes(weights), LoadLanes(weights + 8)};
      if (count - k >= 32 / kBits) {
        for (int32_t i = 0; i < 32 / kBits; ++i, ++k) add(packed, i, k);
      } else {
        for (int32_t i = 0; k < count; ++i, ++k) add(packed, i, k);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) _mm256_storeu_ps(sums + r * kChunk + 8 * h, sum[r][h]);
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

void FillFloatDotAvx2(CodeKernels* table) {
  table->floatdot_rows = 4;
  FillTiles<Floats<2>, 4>(table->floatdot[0]);
  FillTiles<Floats<4>, 4>(table->floatdot[1]);
  FillTiles<Floats<8>, 4>(table->floatdot[2]);
}

}  // namespace x86
}  // namespace keras_ste
