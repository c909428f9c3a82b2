// The kernels of one instruction set that turn sums into outputs.
#ifndef KERAS_STE_KERNELS_OUTPUT_KERNELS_H_
#define KERAS_STE_KERNELS_OUTPUT_KERNELS_H_

#include <stdint.h>

namespace keras_ste {

// How sums become quantized numbers, as TFLite has it: multiplied by multiplier * 2^(shift - 31), of which the multiplier is
// 0 or at least 2^30 and the shift -31 to 30, then moved by the zero point and clamped.
struct Requantize {
  const int32_t* multipliers;
  const int32_t* shifts;
  int32_t zero_point, low, high;
};

struct OutputKernels {
  // clamp(sum * multiplier + bias) for n <= 32 sums.
  void (*scale_int32)(const int32_t* sums, const float* multiplier, const float* bias, float low, float high, int32_t n,
                      float* out);
  void (*scale_float)(const float* sums, const float* multiplier, const float* bias, float low, float high, int32_t n,
                      float* out);
  // One bit for each of 32 sums: sum >= threshold.
  uint32_t (*threshold_int32)(const int32_t* sums, const int32_t* thresholds);
  uint32_t (*threshold_float)(const float* sums, const float* thresholds);
  // n <= 32 sums.
  void (*requantize_int8)(const int32_t* sums, const Requantize& requantize, int32_t n, int8_t* out);
  void (*requantize_int16)(const int32_t* sums, const Requantize& requantize, int32_t n, int16_t* out);
};

namespace portable {
extern const OutputKernels kOutput;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUT_KERNELS_H_
