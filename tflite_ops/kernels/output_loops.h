// The output transforms as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
#define KERAS_STE_KERNELS_OUTPUT_LOOPS_H_

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {

template <typename Sum>
static inline void ScaleLoop(const Sum* sums, const float* multiplier, const float* bias, float low, float high,
                             int32_t n, float* out) {
  for (int32_t i = 0; i < n; ++i) {
    out[i] = Scalar(Clamp(static_cast<float>(sums[i]) * multiplier[i] + bias[i], low, high));
  }
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
