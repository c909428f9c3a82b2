// Two rows by 16 code vectors.
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
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 least[kRows][2];
    __m256i index[kRows][2];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t h = 0; h < 2; ++h) {
        least[r][h] = _mm256_set1_ps(__builtin_inff());
        index[r][h] = _mm256_setzero_si256();
      }
    }
    for (int32_t b = 0; b < blocks; ++b) {
      __m256 product[kRows][2];
      for (int32_t r = 0; r < kRows; ++r) product[r][0] = product[r][1] = _mm256_setzero_ps();
      for (int32_t k = 0; k < size; ++k, vectors += kBlock) {
        for (int32_t h = 0; h < 2; ++h) {
          const __m256 c = _mm256_loadu_ps(vectors + 8 * h);
          for (int32_t r = 0; r < kRows; ++r) {
            product[r][h] = _mm256_add_ps(product[r][h], _mm256_mul_ps(c, _mm256_set1_ps(rows[r][k])));
          }
        }
      }
      for (int32_t h = 0; h < 2; ++h) {
        const int32_t first = b * kBlock + 8 * h;
        const __m256 norm = _mm256_loadu_ps(norms + first);
        const __m256i here = _mm256_add_epi32(lanes, _mm256_set1_epi32(first));
        for (int32_t r = 0; r < kRows; ++r) {
          const __m256 distance = _mm256_sub_ps(norm, _mm256_add_ps(product[r][h], product[r][h]));
          const __m256 nearer = _mm256_cmp_ps(distance, least[r][h], _CMP_LT_OQ);
          least[r][h] = _mm256_blendv_ps(least[r][h], distance, nearer);
          index[r][h] = _mm256_blendv_epi8(index[r][h], here, _mm256_castps_si256(nearer));
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      float by_lane[kBlock];
      int32_t index_by_lane[kBlock];
      for (int32_t h = 0; h < 2; ++h) {
        _mm256_storeu_ps(by_lane + 8 * h, least[r][h]);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(index_by_lane + 8 * h), index[r][h]);
      }
      nearest[r] = NearestLane(by_lane, index_by_lane);
    }
  }
};

}  // namespace

void FillNearestAvx2(CodeKernels* table) {
  table->nearest_rows = 2;
  FillByRows<NearestRows, 2>(table->nearest);
}

}  // namespace x86
}  // namespace keras_ste
