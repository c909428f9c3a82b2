// AVX-512's registers for combine_lanes.h. Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_X86_ZMM_H_
#define KERAS_STE_KERNELS_X86_ZMM_H_

#include <immintrin.h>
#include <stdint.h>

#include "kernels/combine_lanes.h"

namespace keras_ste {
namespace x86 {
namespace {

// Eight rows of one or two vectors, and the constants of as many.
template <int32_t kNumber>
struct Zmm {
  static constexpr int32_t kLanes = 16, kVectors = kNumber;
  static __m512 Floats(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
  static uint32_t Reach(__m512 x, __m512 y) { return _mm512_cmp_ps_mask(x, y, _CMP_GE_OQ); }
  static void Round(__m512 x, const Rounding& how, int8_t* out) {
    const __m512 low = _mm512_set1_ps(how.low), high = _mm512_set1_ps(how.high);
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(x, low), high));
    const __mmask16 number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    const __m512i moved = _mm512_maskz_add_epi32(number, rounded, _mm512_set1_epi32(how.zero_point));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(moved));
  }
};

}  // namespace
}  // namespace x86
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_X86_ZMM_H_
