// Four rows by 16 code vectors.
#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/output_loops.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace arm {
namespace {

constexpr int32_t kVectors = kBlock / 4;

struct NearestRows {
  template <int32_t kRows>
  static void Run(const float* const* rows, int32_t size, const float* vectors, const float* norms, int32_t blocks,
                  int32_t* nearest) {
    const int32_t lanes[4] = {0, 1, 2, 3};
    // By lane; of each row in memory, since the products have the registers.
    float least[kRows][kBlock];
    int32_t index[kRows][kBlock] = {};
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t lane = 0; lane < kBlock; ++lane) least[r][lane] = __builtin_inff();
    }
    for (int32_t b = 0; b < blocks; ++b) {
      float32x4_t product[kRows][kVectors];
      for (int32_t r = 0; r < kRows; ++r) {
        for (int32_t v = 0; v < kVectors; ++v) product[r][v] = vdupq_n_f32(0);
      }
      for (int32_t k = 0; k < size; ++k, vectors += kBlock) {
        float32x4_t c[kVectors];
        for (int32_t v = 0; v < kVectors; ++v) c[v] = vld1q_f32(vectors + 4 * v);
        for (int32_t r = 0; r < kRows; ++r) {
          const float32x4_t x = vld1q_dup_f32(rows[r] + k);
          for (int32_t v = 0; v < kVectors; ++v) product[r][v] = vaddq_f32(product[r][v], vmulq_f32(c[v], x));
        }
      }
      for (int32_t v = 0; v < kVectors; ++v) {
        const int32_t first = b * kBlock + 4 * v;
        const float32x4_t norm = vld1q_f32(norms + first);
        const int32x4_t here = vaddq_s32(vld1q_s32(lanes), vdupq_n_s32(first));
        for (int32_t r = 0; r < kRows; ++r) {
          float* least_at = least[r] + 4 * v;
          int32_t* index_at = index[r] + 4 * v;
          const float32x4_t distance = vsubq_f32(norm, vaddq_f32(product[r][v], product[r][v]));
          const uint32x4_t nearer = vcltq_f32(distance, vld1q_f32(least_at));
          vst1q_f32(least_at, vbslq_f32(nearer, distance, vld1q_f32(least_at)));
          vst1q_s32(index_at, vbslq_s32(nearer, here, vld1q_s32(index_at)));
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) nearest[r] = NearestLane(least[r], index[r]);
  }
};

}  // namespace

void FillNearestNeon(CodeKernels* table) {
  table->nearest_rows = 4;
  FillByRows<NearestRows, 4>(table->nearest);
}

}  // namespace arm
}  // namespace keras_ste
