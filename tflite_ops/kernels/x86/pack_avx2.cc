#include <immintrin.h>

#include "kernels/bits.h"
#include "kernels/pack_loops.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {

void PackSignsAvx2(const float* x, int64_t n, uint32_t* words) {
  const __m256 zero = _mm256_setzero_ps();
  for (; n >= 32; n -= 32, x += 32, ++words) {
    uint32_t bits = 0;
    for (int32_t i = 0; i < 32; i += 8) {
      const __m256 positive = _mm256_cmp_ps(_mm256_loadu_ps(x + i), zero, _CMP_GE_OQ);
      bits |= static_cast<uint32_t>(_mm256_movemask_ps(positive)) << i;
    }
    *words = bits;
  }
  if (n > 0) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; ++i) bits |= (x[i] >= 0.0f ? 1u : 0u) << i;
    *words = bits;
  }
}

namespace {

// Bit p of 32 codes: shifted to the top of its byte, for which there is an instruction.
void PackPlanes(const int8_t* codes, int32_t n, int32_t bits, uint32_t* planes) {
  const int32_t words = WordsOf(n);
  for (; n > 0; n -= 32, codes += 32, ++planes) {
    alignas(32) int8_t last[32] = {};
    if (n < 32) __builtin_memcpy(last, codes, static_cast<size_t>(n));
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(n < 32 ? last : codes));
    for (int32_t p = 0; p < bits; ++p) {
      const __m256i shifted = _mm256_sll_epi16(v, _mm_cvtsi32_si128(7 - p));
      planes[static_cast<int64_t>(p) * words] = static_cast<uint32_t>(_mm256_movemask_epi8(shifted));
    }
  }
}

// 32 bits as bytes of all ones or none.
inline __m256i Spread(uint32_t bits) {
  const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  const __m256i copies = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(bits)), byte_of);
  return _mm256_cmpeq_epi8(_mm256_and_si256(copies, bit_of), bit_of);
}

int32_t UnpackPixel(const uint32_t* planes, int64_t words, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                    int8_t* bytes) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256();
  for (; n >= 32; n -= 32, ++planes, bytes += 32) {
    __m256i v = _mm256_set1_epi8(start);
    for (int32_t p = 0; p < bits; ++p) {
      v = _mm256_add_epi8(v, _mm256_and_si256(Spread(planes[p * words]), _mm256_set1_epi8(worth[p])));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes), v);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), v);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
  }
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sum);
  int32_t total = 0;
  for (int32_t lane : lanes) total += lane;
  return total + UnpackLoop(planes, words, n, bits, start, worth, bytes);
}

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  return FlipLoop(codes, n, flip, bytes);
}

float QuantizeRow(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  return QuantizeLoop(x, n, limit, least, codes);
}

}  // namespace

void FillRowsAvx2(CodeKernels* table) {
  table->pack_planes = PackPlanes;
  table->unpack_planes = UnpackPixels<UnpackPixel>;
  table->flip_bytes = FlipBytes;
  table->quantize_row = QuantizeRow;
}

}  // namespace x86
}  // namespace keras_ste
