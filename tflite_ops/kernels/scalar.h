// Results that must not be computed in vectors of floats. Arm's MVE (Cortex-M55 and M85) takes subnormal numbers for
// zero in vectors though not in scalars; compilers use it all the same, and then a board computes unlike all others.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_SCALAR_H_
#define KERAS_STE_KERNELS_SCALAR_H_

#include <stdint.h>

namespace keras_ste {

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
static inline float Scalar(float x) {
  asm("" : "+t"(x));  // compilers do not look into it, and leave what leads to it as it is
  return x;
}
static inline uint32_t ScalarBit(bool x) {
  uint32_t bit = x ? 1u : 0u;
  asm("" : "+r"(bit));
  return bit;
}
#else
static inline float Scalar(float x) { return x; }
static inline uint32_t ScalarBit(bool x) { return x ? 1u : 0u; }
#endif

static inline int32_t Scalar(int32_t x) { return x; }

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_SCALAR_H_
