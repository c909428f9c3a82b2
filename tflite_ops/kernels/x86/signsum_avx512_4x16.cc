// Four pixels by 16 channels: the weights of one input channel are one mask register.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

struct SignSums {
  template <int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, float* sums) {
    __m512 sum[kRows];
    for (int32_t r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_ps();
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < channels; ++i, ++weights) {
        const __mmask16 plus = static_cast<__mmask16>(*weights);
        for (int32_t r = 0; r < kRows; ++r) {
          const __m512 x = _mm512_set1_ps(inputs[r][i]);
          sum[r] = _mm512_mask_add_ps(_mm512_sub_ps(sum[r], x), plus, sum[r], x);
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) _mm512_storeu_ps(sums + r * kChunk, sum[r]);
  }
};

}  // namespace

void FillSignSumAvx512(KernelTable* table) {
  table->signsum_rows = 4;
  FillByRows<SignSums, 4>(table->signsum);
}

}  // namespace x86
}  // namespace keras_ste
