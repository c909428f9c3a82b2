// Two pixels by 16 channels: the mask of one input channel becomes a vector of sign bits that flips the input before it
// is added.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

// The sign bit in the lanes whose bit of the mask is clear.
inline __m256 MinusLanes(uint32_t mask, __m256i lane_bits) {
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(mask)), lane_bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cmpeq_epi32(set, _mm256_setzero_si256()), 31));
}

struct SignSums {
  template <int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, float* sums) {
    const __m256i low_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i high_bits = _mm256_slli_epi32(low_bits, 8);
    __m256 sum[kRows][2];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t h = 0; h < 2; ++h) sum[r][h] = _mm256_setzero_ps();
    }
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < channels; ++i, ++weights) {
        const __m256 minus[2] = {MinusLanes(*weights, low_bits), MinusLanes(*weights, high_bits)};
        for (int32_t r = 0; r < kRows; ++r) {
          const __m256 x = _mm256_set1_ps(inputs[r][i]);
          for (int32_t h = 0; h < 2; ++h) sum[r][h] = _mm256_add_ps(sum[r][h], _mm256_xor_ps(x, minus[h]));
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t h = 0; h < 2; ++h) _mm256_storeu_ps(sums + r * kChunk + 8 * h, sum[r][h]);
    }
  }
};

}  // namespace

void FillSignSumAvx2(KernelTable* table) {
  table->signsum_rows = 2;
  FillByRows<SignSums, 2>(table->signsum);
}

}  // namespace x86
}  // namespace keras_ste
