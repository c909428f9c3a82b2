#include <immintrin.h>

#include "kernels/output_loops.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

template <typename Sum>
void Scale(const Sum* sums, const float* multiplier, const float* bias, float low, float high, int32_t n, float* out) {
  ScaleLoop(sums, multiplier, bias, low, high, n, out);
}

uint32_t SignBits(__m256 lanes) { return static_cast<uint32_t>(_mm256_movemask_ps(lanes)); }

uint32_t ThresholdInt32(const int32_t* sums, const int32_t* thresholds) {
  uint32_t below = 0;
  for (int32_t i = 0; i < kChunk; i += 8) {
    const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + i));
    const __m256i threshold = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(thresholds + i));
    below |= SignBits(_mm256_castsi256_ps(_mm256_cmpgt_epi32(threshold, sum))) << i;
  }
  return ~below;
}

uint32_t ThresholdFloat(const float* sums, const float* thresholds) {
  uint32_t bits = 0;
  for (int32_t i = 0; i < kChunk; i += 8) {
    bits |= SignBits(_mm256_cmp_ps(_mm256_loadu_ps(sums + i), _mm256_loadu_ps(thresholds + i), _CMP_GE_OQ)) << i;
  }
  return bits;
}

}  // namespace

void FillOutputAvx2(KernelTable* table) {
  table->scale_int32 = Scale<int32_t>;
  table->scale_float = Scale<float>;
  table->threshold_int32 = ThresholdInt32;
  table->threshold_float = ThresholdFloat;
}

}  // namespace x86
}  // namespace keras_ste
