// Four pixels by 16 channels: the weights of one input channel are one mask register.
#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m512 Load(const float* p) { return _mm512_loadu_ps(p); }
inline __m512i Load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void Store(float* p, __m512 v) { _mm512_storeu_ps(p, v); }
inline void Store(int32_t* p, __m512i v) { _mm512_storeu_si512(p, v); }
inline __m512 Splat(float v) { return _mm512_set1_ps(v); }
inline __m512i Splat(int32_t v) { return _mm512_set1_epi32(v); }

// sum + x in the lanes of the mask, sum - x in the others.
inline __m512 AddSigned(__m512 sum, __m512 x, __mmask16 plus) {
  return _mm512_mask_add_ps(_mm512_sub_ps(sum, x), plus, sum, x);
}
inline __m512i AddSigned(__m512i sum, __m512i x, __mmask16 plus) {
  return _mm512_mask_add_epi32(_mm512_sub_epi32(sum, x), plus, sum, x);
}

template <typename X, typename Sum, int32_t kRows>
void Run(const X* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, const Sum* start, Sum* sums) {
  using Vector = decltype(Splat(Sum{}));
  Vector sum[kRows];
  for (int32_t r = 0; r < kRows; ++r) sum[r] = start == nullptr ? Splat(Sum{0}) : Load(start);
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < channels; ++i, ++weights) {
      for (int32_t r = 0; r < kRows; ++r) {
        sum[r] = AddSigned(sum[r], Splat(static_cast<Sum>(inputs[r][i])), static_cast<__mmask16>(*weights));
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) Store(sums + r * kChunk, sum[r]);
}

template <typename X, typename Sum>
void Fill(SignSum<X, Sum>* by_rows) {
  by_rows[1] = Run<X, Sum, 1>;
  by_rows[2] = Run<X, Sum, 2>;
  by_rows[3] = Run<X, Sum, 3>;
  by_rows[4] = Run<X, Sum, 4>;
}

}  // namespace

void FillSignSumAvx512(KernelTable* table) {
  table->signsum_rows = 4;
  Fill(table->signsum_float);
  Fill(table->signsum_int8);
  Fill(table->signsum_uint8);
}

}  // namespace x86
}  // namespace keras_ste
