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

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  return FlipLoop(codes, n, flip, bytes);
}

float QuantizeRow(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  return QuantizeLoop(x, n, limit, least, codes);
}

}  // namespace

void FillRowsAvx2(CodeKernels* table) {
  table->pack_planes = PackPlanes;
  table->flip_bytes = FlipBytes;
  table->quantize_row = QuantizeRow;
}

}  // namespace x86
}  // namespace keras_ste
