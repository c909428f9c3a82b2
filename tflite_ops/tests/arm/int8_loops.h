// The inner loops that an int8 matrix product runs on 64-bit ARM, made with the same care as the binary ones in
// kernels/arm/: what those are measured against. Weights lie as each wants them, K is a multiple of 16, no weight is
// -128.
#ifndef KERAS_STE_TESTS_ARM_INT8_LOOPS_H_
#define KERAS_STE_TESTS_ARM_INT8_LOOPS_H_

#include <stdint.h>

namespace keras_ste {

constexpr int32_t kInt8DotProdRows = 6, kInt8DotProdChannels = 16;
constexpr int32_t kInt8NeonRows = 4, kInt8NeonChannels = 4;

// sums[r][channel] from inputs[r][k] and weights [k / 4][channels][4].
void Int8DotProd6x16(const int8_t* const* inputs, int32_t k, const int8_t* weights, int32_t* sums);

// sums[r][channel] from inputs[r][k] and weights [k / 16][channels][16].
void Int8Neon4x4(const int8_t* const* inputs, int32_t k, const int8_t* weights, int32_t* sums);

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_ARM_INT8_LOOPS_H_
