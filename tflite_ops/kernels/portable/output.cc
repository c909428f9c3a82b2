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

const OutputKernels kOutput = {Scale<int32_t>,     Scale<float>,           Threshold<int32_t>,
                               Threshold<float>,    RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace portable
}  // namespace keras_ste
