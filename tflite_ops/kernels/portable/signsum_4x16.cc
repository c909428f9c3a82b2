#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace portable {
namespace {

struct SignSums {
  template <int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, float* sums) {
    float sum[kRows][kBlock] = {};
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < channels; ++i, ++weights) {
        float sign[kBlock];
        for (int32_t lane = 0; lane < kBlock; ++lane) sign[lane] = (*weights >> lane) & 1 ? 1.0f : -1.0f;
        for (int32_t r = 0; r < kRows; ++r) {
          const float x = inputs[r][i];
          for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] = Scalar(sum[r][lane] + sign[lane] * x);
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t lane = 0; lane < kBlock; ++lane) sums[r * kChunk + lane] = sum[r][lane];
    }
  }
};

}  // namespace

void FillSignSum(KernelTable* table) {
  table->signsum_rows = kSignSumRows;
  FillByRows<SignSums, kSignSumRows>(table->signsum);
}

}  // namespace portable
}  // namespace keras_ste
