// Depthwise convolution of bits with bits to bits: of 32 channels at once, the matching bits under a window are counted
// in four planes, and the counts compared with what the thresholds need, plane by plane. No channel's sum ever stands
// by itself.
#ifndef KERAS_STE_KERNELS_COUNTED_DEPTHWISE_H_
#define KERAS_STE_KERNELS_COUNTED_DEPTHWISE_H_

#include "kernels/depthwise.h"

namespace keras_ste {

bool CanCountDepthwise(const Depthwise& d);

size_t CountedWeightsBytes(const Depthwise& d);
void FillCountedWeights(const Depthwise& d, const void* filter, const int32_t* thresholds, void* weights);

// Computes the output pixels [begin, end).
void CountedDepthwise(const Depthwise& d, const void* weights, const uint32_t* input, uint32_t* output, int32_t begin,
                      int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_COUNTED_DEPTHWISE_H_
