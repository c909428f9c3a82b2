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

uint32_t ThresholdInt32(const int32_t* sums, const int32_t* thresholds) {
  const __mmask16 low = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums), _mm512_loadu_si512(thresholds));
  const __mmask16 high = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 16), _mm512_loadu_si512(thresholds + 16));
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
}

uint32_t ThresholdFloat(const float* sums, const float* thresholds) {
  const __mmask16 low = _mm512_cmp_ps_mask(_mm512_loadu_ps(sums), _mm512_loadu_ps(thresholds), _CMP_GE_OQ);
  const __mmask16 high = _mm512_cmp_ps_mask(_mm512_loadu_ps(sums + 16), _mm512_loadu_ps(thresholds + 16), _CMP_GE_OQ);
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
}

}  // namespace

void FillOutputAvx512(KernelTable* table) {
  table->scale_int32 = Scale<int32_t>;
  table->scale_float = Scale<float>;
  table->threshold_int32 = ThresholdInt32;
  table->threshold_float = ThresholdFloat;
}

}  // namespace x86
}  // namespace keras_ste
