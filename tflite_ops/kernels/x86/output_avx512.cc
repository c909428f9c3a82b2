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

// The lower halves of each 64-bit lane, multiplied and shifted.
inline __m512i MultiplyHalves(__m512i sums, __m512i multipliers, __m512i right) {
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(right, one));
  return _mm512_srav_epi64(_mm512_add_epi64(_mm512_mul_epi32(sums, multipliers), half), right);
}

inline void StoreLanes(__mmask16 valid, __m512i lanes, int8_t* out) {
  _mm512_mask_cvtepi32_storeu_epi8(out, valid, lanes);
}
inline void StoreLanes(__mmask16 valid, __m512i lanes, int16_t* out) {
  _mm512_mask_cvtepi32_storeu_epi16(out, valid, lanes);
}

template <typename Out>
void RequantizeSums(const int32_t* sums, const Requantize& q, int32_t n, Out* out) {
  const __m512i low_half = _mm512_set1_epi64(0xFFFFFFFF);
  for (int32_t i = 0; i < n; i += 16) {
    const __mmask16 valid = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1 << (n - i)) - 1);
    const __m512i sum = _mm512_maskz_loadu_epi32(valid, sums + i);
    const __m512i multiplier = _mm512_maskz_loadu_epi32(valid, q.multipliers + i);
    const __m512i right = _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_maskz_loadu_epi32(valid, q.shifts + i));
    const __m512i even = MultiplyHalves(sum, multiplier, _mm512_and_si512(right, low_half));
    const __m512i odd = MultiplyHalves(_mm512_srli_epi64(sum, 32), _mm512_srli_epi64(multiplier, 32),
                                       _mm512_srli_epi64(right, 32));
    const __m512i product = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
    const __m512i moved = _mm512_add_epi32(product, _mm512_set1_epi32(q.zero_point));
    const __m512i raised = _mm512_max_epi32(moved, _mm512_set1_epi32(q.low));
    StoreLanes(valid, _mm512_min_epi32(raised, _mm512_set1_epi32(q.high)), out + i);
  }
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

const OutputKernels kOutputAvx512 = {Scale<int32_t>, Scale<float>,           ThresholdInt32,
                                   ThresholdFloat,  RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace x86
}  // namespace keras_ste
