// Depthwise kernels as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_
#define KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_

#include <stdint.h>

namespace keras_ste {

template <typename X>
static inline void WidenLoop(const X* x, int32_t n, int32_t zero_point, int16_t* values) {
  const int16_t zero = static_cast<int16_t>(zero_point);
  for (int32_t i = 0; i < n; ++i) values[i] = static_cast<int16_t>(x[i] - zero);
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_
