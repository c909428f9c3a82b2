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

// Signed bytes, added up as unsigned ones that are 128 larger.
inline int32_t SumOfBytes(__m512i v) {
  const __m512i sums = _mm512_sad_epu8(_mm512_xor_si512(v, _mm512_set1_epi8(INT8_MIN)), _mm512_setzero_si512());
  return static_cast<int32_t>(_mm512_reduce_add_epi64(sums)) - 128 * 64;
}

template <int32_t kBits>
void UnpackBits(const uint32_t* planes, int32_t pixels, int32_t n, int8_t start, const int8_t* worth, int8_t* bytes,
                int32_t* sums) {
  const int32_t words = WordsOf(n);
  __m512i worths[kBits];
  for (int32_t p = 0; p < kBits; ++p) worths[p] = _mm512_set1_epi8(worth[p]);
  for (int32_t i = 0; i < pixels; ++i, planes += kBits * words) {
    int32_t sum = 0;
    int32_t word = 0;
    for (int32_t left = n; left > 0; left -= 64, word += 2) {
      __m512i v = _mm512_set1_epi8(start);
      for (int32_t p = 0; p < kBits; ++p) {
        uint64_t set = planes[p * words + word];
        if (left > 32) __builtin_memcpy(&set, planes + p * words + word, sizeof(set));
        v = _mm512_mask_add_epi8(v, set, v, worths[p]);
      }
      if (left < 64) {
        const __mmask64 valid = (UINT64_C(1) << left) - 1;
        v = _mm512_maskz_mov_epi8(valid, v);
        _mm512_mask_storeu_epi8(bytes, valid, v);
        bytes += left;
      } else {
        _mm512_storeu_si512(bytes, v);
        bytes += 64;
      }
      sum += SumOfBytes(v);
    }
    if (sums != nullptr) sums[i] = sum;
  }
}

void UnpackPlanes(const uint32_t* planes, int32_t pixels, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                  int8_t* bytes, int32_t* sums) {
  constexpr decltype(&UnpackBits<1>) kByBits[] = {UnpackBits<1>, UnpackBits<2>, UnpackBits<3>, UnpackBits<4>,
                                                  UnpackBits<5>, UnpackBits<6>, UnpackBits<7>, UnpackBits<8>};
  kByBits[bits - 1](planes, pixels, n, start, worth, bytes, sums);
}

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  int32_t sum = 0;
  for (; n > 0; n -= 64, codes += 64, bytes += 64) {
    const __mmask64 valid = n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
    const __m512i v = _mm512_xor_si512(_mm512_maskz_loadu_epi8(valid, codes), _mm512_set1_epi8(flip));
    _mm512_mask_storeu_epi8(bytes, valid, v);
    sum += SumOfBytes(_mm512_maskz_mov_epi8(valid, v));
  }
  return sum;
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
