#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {

void PackSignsAvx2(const float* x, int64_t n, uint32_t* words) {
  const __m256 zero = _mm256_setzero_ps();
  for (; n >= 32; n -= 32, x += 32, ++words) {
    uint32_t bits = 0;
    for (int32_t i = 0; i < 32; i += 8) {
      const __m256 positive = _mm256_cmp_ps(_mm256_loadu_ps(x + i), zero, _CMP_GE_OQ);
      bits |= static_cast<uint32_t>(_mm256_movemask_ps(positive)) << i;
    }
    *words = bits;
  }
  if (n > 0) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; ++i) bits |= (x[i] >= 0.0f ? 1u : 0u) << i;
    *words = bits;
  }
}

}  // namespace x86
}  // namespace keras_ste
