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

inline __m256i LoadLanes(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// Of 64-bit lanes the lower halves: what they are multiplied by, how far they are shifted to the right, and half of what is lost
// by it. AVX2 shifts 64 bits only as unsigned numbers, so that 2^63 is added before, and what it has become taken off behind.
struct Halves {
  __m256i multipliers, right, before, behind;
};

inline Halves HalvesOf(__m256i multipliers, __m256i right) {
  const __m256i shift = _mm256_and_si256(right, _mm256_set1_epi64x(0xFFFFFFFF)), one = _mm256_set1_epi64x(1);
  const __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(shift, one)), offset = _mm256_set1_epi64x(INT64_MIN);
  return {multipliers, shift, _mm256_add_epi64(half, offset), _mm256_srlv_epi64(offset, shift)};
}

inline __m256i MultiplyHalves(__m256i sums, const Halves& by) {
  const __m256i moved = _mm256_add_epi64(_mm256_mul_epi32(sums, by.multipliers), by.before);
  return _mm256_sub_epi64(_mm256_srlv_epi64(moved, by.right), by.behind);
}

inline void StoreLanes(__m256i lanes, int16_t* out) {
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(lanes, lanes), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(packed));
}
inline void StoreLanes(__m256i lanes, int8_t* out) {
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(lanes, lanes), 0x08);
  const __m128i words = _mm256_castsi256_si128(packed);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
}

template <typename Out>
void RequantizeSums(const int32_t* sums, const Requantize& q, int32_t rows, int32_t n, void* const* pixels, int32_t channel) {
  const __m256i zero_point = _mm256_set1_epi32(q.zero_point);
  const __m256i low = _mm256_set1_epi32(q.low), high = _mm256_set1_epi32(q.high);
  int32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i bias = LoadLanes(q.bias + i), multipliers = LoadLanes(q.multipliers + i);
    const __m256i right = _mm256_sub_epi32(_mm256_set1_epi32(31), LoadLanes(q.shifts + i));
    const Halves even = HalvesOf(multipliers, right);
    const Halves odd = HalvesOf(_mm256_srli_epi64(multipliers, 32), _mm256_srli_epi64(right, 32));
    for (int32_t r = 0; r < rows; ++r) {
      const __m256i sum = _mm256_add_epi32(LoadLanes(sums + r * kChunk + i), bias);
      const __m256i odd_product = MultiplyHalves(_mm256_srli_epi64(sum, 32), odd);
      const __m256i product = _mm256_blend_epi32(MultiplyHalves(sum, even), _mm256_slli_epi64(odd_product, 32), 0xAA);
      const __m256i raised = _mm256_max_epi32(_mm256_add_epi32(product, zero_point), low);
      StoreLanes(_mm256_min_epi32(raised, high), static_cast<Out*>(pixels[r]) + channel + i);
    }
  }
  for (int32_t r = 0; r < rows; ++r) RequantizeLoop(sums + r * kChunk, q, i, n, static_cast<Out*>(pixels[r]) + channel);
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

const OutputKernels kOutputAvx2 = {Scale<int32_t>, Scale<float>,           ThresholdInt32,
                                   ThresholdFloat,  RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace x86
}  // namespace keras_ste
