#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/arm/lane_bits.h"
#include "kernels/output_loops.h"

namespace keras_ste {
namespace arm {
namespace {

template <typename Sum>
void Scale(const Sum* sums, const float* multiplier, const float* bias, float low, float high, int32_t n, float* out) {
  ScaleLoop(sums, multiplier, bias, low, high, n, out);
}

template <typename Out>
void RequantizeSums(const int32_t* sums, const Requantize& requantize, int32_t n, Out* out) {
  RequantizeLoop(sums, requantize, 0, n, out);
}

uint32_t ThresholdInt32(const int32_t* sums, const int32_t* thresholds) {
  uint32x4_t reached[kChunk / 4];
  for (int32_t i = 0; i < kChunk; i += 4) reached[i / 4] = vcgeq_s32(vld1q_s32(sums + i), vld1q_s32(thresholds + i));
  return LaneBits(reached);
}

uint32_t ThresholdFloat(const float* sums, const float* thresholds) {
  uint32x4_t reached[kChunk / 4];
  for (int32_t i = 0; i < kChunk; i += 4) reached[i / 4] = vcgeq_f32(vld1q_f32(sums + i), vld1q_f32(thresholds + i));
  return LaneBits(reached);
}

}  // namespace

const OutputKernels kOutputNeon = {Scale<int32_t>, Scale<float>,           ThresholdInt32,
                                   ThresholdFloat, RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace arm
}  // namespace keras_ste
