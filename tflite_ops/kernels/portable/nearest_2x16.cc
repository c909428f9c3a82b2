#include "kernels/output_loops.h"
#include "kernels/portable/kernels.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace portable {
namespace {

struct NearestRows {
  template <int32_t kRows>
  static void Run(const float* const* rows, int32_t size, const float* vectors, const float* norms, int32_t blocks,
                  int32_t* nearest) {
    float least[kRows][kBlock];
    int32_t index[kRows][kBlock] = {};
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t lane = 0; lane < kBlock; ++lane) least[r][lane] = __builtin_inff();
    }
    for (int32_t b = 0; b < blocks; ++b) {
      float product[kRows][kBlock] = {};
      for (int32_t k = 0; k < size; ++k, vectors += kBlock) {
        for (int32_t r = 0; r < kRows; ++r) {
          const float x = rows[r][k];
          for (int32_t lane = 0; lane < kBlock; ++lane) {
            product[r][lane] = Scalar(product[r][lane] + vectors[lane] * x);
          }
        }
      }
      for (int32_t r = 0; r < kRows; ++r) {
        for (int32_t lane = 0; lane < kBlock; ++lane) {
          const float distance = Scalar(norms[b * kBlock + lane] - 2.0f * product[r][lane]);
          if (ScalarBit(distance < least[r][lane]) != 0) {
            least[r][lane] = distance;
            index[r][lane] = b * kBlock + lane;
          }
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) nearest[r] = NearestLane(least[r], index[r]);
  }
};

}  // namespace

void FillNearest(CodeKernels* table) {
  table->nearest_rows = kNearestRows;
  FillByRows<NearestRows, kNearestRows>(table->nearest);
}

}  // namespace portable
}  // namespace keras_ste
