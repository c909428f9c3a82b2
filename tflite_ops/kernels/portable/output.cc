#include "kernels/output_loops.h"

#include "kernels/portable/kernels.h"

namespace keras_ste {
namespace portable {
namespace {

template <typename Sum>
void Scale(const Sum* sums, const float* multiplier, const float* bias, float low, float high, int32_t n, float* out) {
  ScaleLoop(sums, multiplier, bias, low, high, n, out);
}

template <typename Out>
void RequantizeSums(const int32_t* sums, const Requantize& requantize, int32_t n, Out* out) {
  RequantizeLoop(sums, requantize, 0, n, out);
}

template <typename Sum>
uint32_t Threshold(const Sum* sums, const Sum* thresholds) {
  uint32_t bits = 0;
  for (int32_t i = 0; i < kChunk; ++i) bits |= ScalarBit(sums[i] >= thresholds[i]) << i;
  return bits;
}

}  // namespace

void FillOutput(KernelTable* table) {
  table->scale_int32 = Scale<int32_t>;
  table->scale_float = Scale<float>;
  table->threshold_int32 = Threshold<int32_t>;
  table->threshold_float = Threshold<float>;
}

void FillCodeOutput(CodeKernels* table) {
  table->requantize_int8 = RequantizeSums<int8_t>;
  table->requantize_int16 = RequantizeSums<int16_t>;
}

}  // namespace portable
}  // namespace keras_ste
