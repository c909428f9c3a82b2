// Four rows by 16 code vectors.
#include <immintrin.h>

#include "kernels/output_loops.h"
#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

struct NearestRows {
  template <int32_t kRows>
  static void Run(const float* const* rows, int32_t size, const float* vectors, const float* norms, int32_t blocks,
                  int32_t* nearest) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 least[kRows];
    __m512i index[kRows];
    for (int32_t r = 0; r < kRows; ++r) {
      least[r] = _mm512_set1_ps(__builtin_inff());
      index[r] = _mm512_setzero_si512();
    }
    for (int32_t b = 0; b < blocks; ++b) {
      __m512 product[kRows];
      for (int32_t r = 0; r < kRows; ++r) product[r] = _mm512_setzero_ps();
      for (int32_t k = 0; k < size; ++k, vectors += kBlock) {
        const __m512 c = _mm512_loadu_ps(vectors);
        for (int32_t r = 0; r < kRows; ++r) {
          product[r] = _mm512_add_ps(product[r], _mm512_mul_ps(c, _mm512_set1_ps(rows[r][k])));
        }
      }
      const __m512 norm = _mm512_loadu_ps(norms + b * kBlock);
      const __m512i here = _mm512_add_epi32(lanes, _mm512_set1_epi32(b * kBlock));
      for (int32_t r = 0; r < kRows; ++r) {
        const __m512 distance = _mm512_sub_ps(norm, _mm512_add_ps(product[r], product[r]));
        const __mmask16 nearer = _mm512_cmp_ps_mask(distance, least[r], _CMP_LT_OQ);
        least[r] = _mm512_mask_mov_ps(least[r], nearer, distance);
        index[r] = _mm512_mask_mov_epi32(index[r], nearer, here);
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      alignas(64) float by_lane[kBlock];
      alignas(64) int32_t index_by_lane[kBlock];
      _mm512_store_ps(by_lane, least[r]);
      _mm512_store_si512(index_by_lane, index[r]);
      nearest[r] = NearestLane(by_lane, index_by_lane);
    }
  }
};

}  // namespace

void FillNearestAvx512(CodeKernels* table) {
  table->nearest_rows = 4;
  FillByRows<NearestRows, 4>(table->nearest);
}

}  // namespace x86
}  // namespace keras_ste
