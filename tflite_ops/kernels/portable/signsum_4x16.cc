#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {
namespace {

template <typename X, typename Sum, int32_t kRows>
void Run(const X* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, const Sum* start, Sum* sums) {
  Sum sum[kRows][kBlock];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] = start == nullptr ? Sum{0} : start[lane];
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < channels; ++i, ++weights) {
      Sum sign[kBlock];
      for (int32_t lane = 0; lane < kBlock; ++lane) sign[lane] = (*weights >> lane) & 1 ? Sum{1} : Sum{-1};
      for (int32_t r = 0; r < kRows; ++r) {
        const Sum x = static_cast<Sum>(inputs[r][i]);
        for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] = Scalar(sum[r][lane] + sign[lane] * x);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) sums[r * kChunk + lane] = sum[r][lane];
  }
}

template <typename X, typename Sum>
void Fill(SignSum<X, Sum>* by_rows) {
  by_rows[1] = Run<X, Sum, 1>;
  by_rows[2] = Run<X, Sum, 2>;
  by_rows[3] = Run<X, Sum, 3>;
  by_rows[4] = Run<X, Sum, 4>;
}

}  // namespace

void FillSignSum(KernelTable* table) {
  table->signsum_rows = kSignSumRows;
  Fill(table->signsum_float);
  Fill(table->signsum_int8);
  Fill(table->signsum_uint8);
}

}  // namespace portable
}  // namespace keras_ste
