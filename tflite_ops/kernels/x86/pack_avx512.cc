#include <immintrin.h>

#include "kernels/bits.h"
#include "kernels/pack_loops.h"
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

namespace {

void PackPlanes(const int8_t* codes, int32_t n, int32_t bits, uint32_t* planes) {
  const int32_t words = WordsOf(n);
  for (; n > 0; n -= 32, codes += 32, ++planes) {
    const __m256i v = _mm256_maskz_loadu_epi8(n >= 32 ? 0xFFFFFFFFu : (1u << n) - 1u, codes);
    for (int32_t p = 0; p < bits; ++p) {
      planes[static_cast<int64_t>(p) * words] = _mm256_test_epi8_mask(v, _mm256_set1_epi8(static_cast<char>(1 << p)));
    }
  }
}

int32_t UnpackPlanes(const uint32_t* planes, int64_t words, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                     int8_t* bytes) {
  __m512i sum = _mm512_setzero_si512();
  for (; n > 0; n -= 32, ++planes, bytes += 32) {
    const __mmask32 valid = n >= 32 ? 0xFFFFFFFFu : (1u << n) - 1u;
    __m256i v = _mm256_set1_epi8(start);
    for (int32_t p = 0; p < bits; ++p) v = _mm256_mask_add_epi8(v, planes[p * words], v, _mm256_set1_epi8(worth[p]));
    v = _mm256_maskz_mov_epi8(valid, v);
    _mm256_mask_storeu_epi8(bytes, valid, v);
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_cvtepi8_epi16(v), _mm512_set1_epi16(1)));
  }
  return _mm512_reduce_add_epi32(sum);
}

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  return FlipLoop(codes, n, flip, bytes);
}

float QuantizeRow(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  return QuantizeLoop(x, n, limit, least, codes);
}

}  // namespace

void FillRowsAvx512(CodeKernels* table) {
  table->pack_planes = PackPlanes;
  table->unpack_planes = UnpackPlanes;
  table->flip_bytes = FlipBytes;
  table->quantize_row = QuantizeRow;
}

}  // namespace x86
}  // namespace keras_ste
