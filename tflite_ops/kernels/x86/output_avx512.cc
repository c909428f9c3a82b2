#include <immintrin.h>

#include "kernels/output_loops.h"
#include "kernels/x86/kernels.h"
#include "kernels/x86/zmm.h"

namespace keras_ste {
namespace x86 {
namespace {

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
void RequantizeSums(const int32_t* sums, int32_t rows, const Requantize& q, int32_t n, Out* const* out) {
  const __m512i low_half = _mm512_set1_epi64(0xFFFFFFFF);
  for (int32_t i = 0; i < n; i += 16) {
    const __mmask16 valid = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1 << (n - i)) - 1);
    const __m512i bias = q.bias == nullptr ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi32(valid, q.bias + i);
    const __m512i multiplier = _mm512_maskz_loadu_epi32(valid, q.multipliers + i);
    const __m512i odd_multiplier = _mm512_srli_epi64(multiplier, 32);
    const __m512i right = _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_maskz_loadu_epi32(valid, q.shifts + i));
    const __m512i even_right = _mm512_and_si512(right, low_half), odd_right = _mm512_srli_epi64(right, 32);
    for (int32_t r = 0; r < rows; ++r) {
      const __m512i sum = _mm512_add_epi32(_mm512_maskz_loadu_epi32(valid, sums + r * kChunk + i), bias);
      const __m512i even = MultiplyHalves(sum, multiplier, even_right);
      const __m512i odd = MultiplyHalves(_mm512_srli_epi64(sum, 32), odd_multiplier, odd_right);
      const __m512i product = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
      const __m512i moved = _mm512_add_epi32(product, _mm512_set1_epi32(q.zero_point));
      const __m512i raised = _mm512_max_epi32(moved, _mm512_set1_epi32(q.low));
      StoreLanes(valid, _mm512_min_epi32(raised, _mm512_set1_epi32(q.high)), out[r] + i);
    }
  }
}

inline __m512i Load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline __m512 Load(const float* p) { return _mm512_loadu_ps(p); }
inline __mmask16 Reached(__m512i sums, __m512i thresholds) { return _mm512_cmpge_epi32_mask(sums, thresholds); }
inline __mmask16 Reached(__m512 sums, __m512 thresholds) { return _mm512_cmp_ps_mask(sums, thresholds, _CMP_GE_OQ); }
inline __m512i Blend(__mmask16 m, __m512i zero, __m512i one) { return _mm512_mask_blend_epi32(m, zero, one); }
inline __m512 Blend(__mmask16 m, __m512 zero, __m512 one) { return _mm512_mask_blend_ps(m, zero, one); }

template <typename Sum>
uint32_t Reach(const Sum* sums, const Sum* thresholds) {
  const __mmask16 low = Reached(Load(sums), Load(thresholds));
  const __mmask16 high = Reached(Load(sums + kBlock), Load(thresholds + kBlock));
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << kBlock;
}

// Finds the codes of 16 lanes by halving: the middle threshold tells the highest bit, and which half the others are in.
template <int32_t kBits, typename Vector>
inline void Halve(Vector sums, const Vector* thresholds, __mmask16* masks) {
  constexpr int32_t kMiddle = (1 << (kBits - 1)) - 1;
  const __mmask16 upper = Reached(sums, thresholds[kMiddle]);
  masks[kBits - 1] = upper;
  if constexpr (kBits > 1) {
    Vector half[kMiddle];
    for (int32_t i = 0; i < kMiddle; ++i) half[i] = Blend(upper, thresholds[i], thresholds[i + kMiddle + 1]);
    Halve<kBits - 1>(sums, half, masks);
  }
}

// A half of each word at a time where the thresholds of both would not stay in registers.
template <int32_t kBits, typename Sum>
void HalvedCodes(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride, const PlaneWords& out) {
  constexpr int32_t kThresholds = (1 << kBits) - 1, kHalves = kBits < 4 ? 2 : 1;
  const int64_t step = out.step * static_cast<int64_t>(sizeof(uint32_t));
  for (int32_t first = 0; first < 2; first += kHalves) {
    decltype(Load(thresholds)) steps[kHalves][kThresholds];
    for (int32_t h = 0; h < kHalves; ++h) {
      for (int32_t t = 0; t < kThresholds; ++t) steps[h][t] = Load(thresholds + t * stride + (first + h) * kBlock);
    }
    for (int32_t r = 0; r < rows; ++r) {
      __mmask16 masks[kHalves][kBits];
      for (int32_t h = 0; h < kHalves; ++h) Halve<kBits>(Load(sums + r * kChunk + (first + h) * kBlock), steps[h], masks[h]);
      char* word = reinterpret_cast<char*>(out.At(r)) + first * static_cast<int32_t>(sizeof(__mmask16));
      for (int32_t p = 0; p < kBits; ++p, word += step) {
        const uint32_t flip = p == kBits - 1 ? out.flip >> first * kBlock : 0;
        if constexpr (kHalves == 2) {
          const uint32_t bits = _cvtmask32_u32(_mm512_kunpackw(masks[1][p], masks[0][p])) ^ flip;
          __builtin_memcpy(word, &bits, sizeof(bits));
        } else {
          const __mmask16 bits = static_cast<__mmask16>(masks[0][p] ^ flip);
          __builtin_memcpy(word, &bits, sizeof(bits));
        }
      }
    }
  }
}

template <typename Sum>
void CodesOfSums(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride, const PlaneWords& out) {
  switch (out.bits) {
    case 1:
      return HalvedCodes<1>(sums, rows, thresholds, stride, out);
    case 2:
      return HalvedCodes<2>(sums, rows, thresholds, stride, out);
    case 3:
      return HalvedCodes<3>(sums, rows, thresholds, stride, out);
    case 4:
      return HalvedCodes<4>(sums, rows, thresholds, stride, out);
    default:
      return CodesLoop<Sum, Reach<Sum>>(sums, rows, thresholds, stride, out);
  }
}

template <typename Sum>
void CombineSums(const Sum* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
  if (rows.lanes == kBlock) {
    CombineLanes<Zmm<1>>::Sums(sums, steps, count, rows);
  } else {
    CombineLanes<Zmm<2>>::Sums(sums, steps, count, rows);
  }
}

}  // namespace

const OutputKernels kOutputAvx512 = {CombineSums<int32_t>, CombineSums<float>,
                                     CodesOfSums<int32_t>, CodesOfSums<float>,
                                     RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace x86
}  // namespace keras_ste
