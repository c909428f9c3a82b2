#include <immintrin.h>

#include "kernels/combine_lanes.h"
#include "kernels/output_loops.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m256i LoadLanes(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// The lower halves of each 64-bit lane, multiplied and shifted. AVX2 shifts 64 bits only as unsigned numbers, so that 2^63 is
// added before and what it has become taken off behind.
inline __m256i MultiplyHalves(__m256i sums, __m256i multipliers, __m256i right) {
  const __m256i one = _mm256_set1_epi64x(1);
  const __m256i offset = _mm256_set1_epi64x(INT64_MIN);
  const __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(right, one));
  const __m256i rounded = _mm256_add_epi64(_mm256_mul_epi32(sums, multipliers), half);
  const __m256i shifted = _mm256_srlv_epi64(_mm256_add_epi64(rounded, offset), right);
  return _mm256_sub_epi64(shifted, _mm256_srlv_epi64(offset, right));
}

template <typename Out>
void RequantizeSums(const int32_t* sums, int32_t rows, const Requantize& q, int32_t n, Out* const* out) {
  const __m256i low_half = _mm256_set1_epi64x(0xFFFFFFFF);
  int32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i multiplier = LoadLanes(q.multipliers + i);
    const __m256i bias = q.bias == nullptr ? _mm256_setzero_si256() : LoadLanes(q.bias + i);
    const __m256i right = _mm256_sub_epi32(_mm256_set1_epi32(31), LoadLanes(q.shifts + i));
    for (int32_t r = 0; r < rows; ++r) {
      const __m256i sum = _mm256_add_epi32(LoadLanes(sums + r * kChunk + i), bias);
      const __m256i even = MultiplyHalves(sum, multiplier, _mm256_and_si256(right, low_half));
      const __m256i odd = MultiplyHalves(_mm256_srli_epi64(sum, 32), _mm256_srli_epi64(multiplier, 32),
                                         _mm256_srli_epi64(right, 32));
      const __m256i both = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
      alignas(32) int32_t products[8];
      _mm256_store_si256(reinterpret_cast<__m256i*>(products), both);
      for (int32_t lane = 0; lane < 8; ++lane) out[r][i + lane] = ClampTo<Out>(products[lane] + q.zero_point, q);
    }
  }
  RequantizeLoop(sums, rows, q, i, n, out);
}

uint32_t SignBits(__m256 lanes) { return static_cast<uint32_t>(_mm256_movemask_ps(lanes)); }

uint32_t Reach(const int32_t* sums, const int32_t* thresholds) {
  uint32_t below = 0;
  for (int32_t i = 0; i < kChunk; i += 8) {
    const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + i));
    const __m256i threshold = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(thresholds + i));
    below |= SignBits(_mm256_castsi256_ps(_mm256_cmpgt_epi32(threshold, sum))) << i;
  }
  return ~below;
}

uint32_t Reach(const float* sums, const float* thresholds) {
  uint32_t bits = 0;
  for (int32_t i = 0; i < kChunk; i += 8) {
    bits |= SignBits(_mm256_cmp_ps(_mm256_loadu_ps(sums + i), _mm256_loadu_ps(thresholds + i), _CMP_GE_OQ)) << i;
  }
  return bits;
}

template <typename Sum>
void CodesOfSums(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride, const PlaneWords& out) {
  CodesLoop<Sum, Reach>(sums, rows, thresholds, stride, out);
}

struct Ymm {
  static constexpr int32_t kLanes = 8, kVectors = 1;
  static __m256 Floats(const int32_t* p) { return _mm256_cvtepi32_ps(LoadLanes(p)); }
  static uint32_t Reach(__m256 x, __m256 y) { return SignBits(_mm256_cmp_ps(x, y, _CMP_GE_OQ)); }
  static void Round(__m256 x, const Rounding& how, int8_t* out) {
    const __m256 low = _mm256_set1_ps(how.low), high = _mm256_set1_ps(how.high);
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(x, low), high));
    const __m256i number = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_ORD_Q));
    const __m256i moved = _mm256_and_si256(_mm256_add_epi32(rounded, _mm256_set1_epi32(how.zero_point)), number);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
  }
};

}  // namespace

const OutputKernels kOutputAvx2 = {CombineLanes<Ymm>::Sums<int32_t>, CombineLanes<Ymm>::Sums<float>,
                                   CodesOfSums<int32_t>, CodesOfSums<float>,
                                   RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace x86
}  // namespace keras_ste
