#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {

void PackSignsAvx512(const float* x, int64_t n, uint32_t* words) {
  const __m512 zero = _mm512_setzero_ps();
  for (; n > 0; n -= 32, x += 32, ++words) {
    const uint32_t valid = n >= 32 ? 0xFFFFFFFFu : (1u << n) - 1u;
    const __mmask16 low_valid = static_cast<__mmask16>(valid);
    const __mmask16 high_valid = static_cast<__mmask16>(valid >> 16);
    const __mmask16 low =
        _mm512_mask_cmp_ps_mask(low_valid, _mm512_maskz_loadu_ps(low_valid, x), zero, _CMP_GE_OQ);
    const __mmask16 high =
        _mm512_mask_cmp_ps_mask(high_valid, _mm512_maskz_loadu_ps(high_valid, x + 16), zero, _CMP_GE_OQ);
    *words = static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
  }
}

}  // namespace x86
}  // namespace keras_ste
