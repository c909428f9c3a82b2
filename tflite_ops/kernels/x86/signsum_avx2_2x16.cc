// Two pixels by 16 channels: the mask of one input channel becomes a vector of sign bits (float) or of all-ones lanes
// (integers) that flips the input before it is added.
#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

struct Floats {
  using Sum = float;
  using Vector = __m256;
  static Vector Zero() { return _mm256_setzero_ps(); }
  static Vector Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  static Vector Splat(float v) { return _mm256_set1_ps(v); }
  static Vector AddSigned(Vector sum, Vector x, __m256i minus) {
    const __m256i sign = _mm256_slli_epi32(minus, 31);
    return _mm256_add_ps(sum, _mm256_xor_ps(x, _mm256_castsi256_ps(sign)));
  }
};

struct Integers {
  using Sum = int32_t;
  using Vector = __m256i;
  static Vector Zero() { return _mm256_setzero_si256(); }
  static Vector Load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static void Store(int32_t* p, Vector v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static Vector Splat(int32_t v) { return _mm256_set1_epi32(v); }
  static Vector AddSigned(Vector sum, Vector x, __m256i minus) {
    return _mm256_add_epi32(sum, _mm256_sub_epi32(_mm256_xor_si256(x, minus), minus));
  }
};

// All ones in the lanes whose bit of the mask is clear.
inline __m256i MinusLanes(uint32_t mask, __m256i lane_bits) {
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(mask)), lane_bits);
  return _mm256_cmpeq_epi32(set, _mm256_setzero_si256());
}

template <typename X, typename Lanes, int32_t kRows>
void Run(const X* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights,
         const typename Lanes::Sum* start, typename Lanes::Sum* sums) {
  const __m256i low_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i high_bits = _mm256_slli_epi32(low_bits, 8);
  typename Lanes::Vector sum[kRows][2];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) sum[r][h] = start == nullptr ? Lanes::Zero() : Lanes::Load(start + 8 * h);
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < channels; ++i, ++weights) {
      const __m256i minus_low = MinusLanes(*weights, low_bits);
      const __m256i minus_high = MinusLanes(*weights, high_bits);
      for (int32_t r = 0; r < kRows; ++r) {
        const typename Lanes::Vector x = Lanes::Splat(static_cast<typename Lanes::Sum>(inputs[r][i]));
        sum[r][0] = Lanes::AddSigned(sum[r][0], x, minus_low);
        sum[r][1] = Lanes::AddSigned(sum[r][1], x, minus_high);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) Lanes::Store(sums + r * kChunk + 8 * h, sum[r][h]);
  }
}

template <typename X, typename Lanes>
void Fill(SignSum<X, typename Lanes::Sum>* by_rows) {
  by_rows[1] = Run<X, Lanes, 1>;
  by_rows[2] = Run<X, Lanes, 2>;
}

}  // namespace

void FillSignSumAvx2(KernelTable* table) {
  table->signsum_rows = 2;
  Fill<float, Floats>(table->signsum_float);
  Fill<int8_t, Integers>(table->signsum_int8);
  Fill<uint8_t, Integers>(table->signsum_uint8);
}

}  // namespace x86
}  // namespace keras_ste
