#include "kernels/output_loops.h"

#include "kernels/portable/kernels.h"

namespace keras_ste {
namespace portable {
namespace {

template <typename Out>
void RequantizeSums(const int32_t* sums, int32_t rows, const Requantize& requantize, int32_t n, Out* const* out) {
  RequantizeLoop(sums, rows, requantize, 0, n, out);
}

template <typename Sum>
uint32_t Reach(const Sum* sums, const Sum* thresholds) {
  uint32_t bits = 0;
  for (int32_t i = 0; i < kChunk; ++i) bits |= ScalarBit(sums[i] >= thresholds[i]) << i;
  return bits;
}

template <typename Sum>
void CodesOfSums(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride, const PlaneWords& out) {
  CodesLoop<Sum, Reach<Sum>>(sums, rows, thresholds, stride, out);
}

}  // namespace

const OutputKernels kOutput = {CombineLoop<int32_t>, CombineLoop<float>,
                               CodesOfSums<int32_t>, CodesOfSums<float>,
                               RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace portable
}  // namespace keras_ste
