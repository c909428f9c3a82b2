// The kernels of one instruction set for depthwise convolutions, beside those in kernel_table.h.
#ifndef KERAS_STE_KERNELS_DEPTHWISE_KERNELS_H_
#define KERAS_STE_KERNELS_DEPTHWISE_KERNELS_H_

#include <stdint.h>

#include "kernels/kernel_table.h"
#include "kernels/numbers.h"

namespace keras_ste {

// The sums over a window, for one chunk of channels of a number of pixels that follow each other in a row.
//   input     the first tap of the first pixel's chunk; the next pixel's lies `step` elements behind
//   offsets   of each tap from the first one; of `wide` kernels, their number is even
//   weights   [taps][kChunk]
//   sums      [pixels][kChunk]
template <typename X, typename Sum>
using DepthDot = void (*)(const X* input, int64_t step, const int32_t* offsets, int32_t taps, const X* weights,
                          Sum* sums);

struct DepthwiseKernels {
  int32_t pixels;  // computed together, at most
  DepthDot<int16_t, int32_t> narrow[kMaxTileRows + 1];  // [pixels]; for sums that fit into 16 bits
  // The same under kernels of three columns that move by one: taps of a row lie `step` apart, as the pixels do, so that
  // what is loaded once serves three of them. Null where that is not faster.
  DepthDot<int16_t, int32_t> narrow_by_three[kMaxTileRows + 1];
  DepthDot<int16_t, int32_t> wide[kMaxTileRows + 1];
  DepthDot<float, float> floats[kMaxTileRows + 1];  // starting at +0, one rounded product after the other

  // What `chunks` times kChunk codes are worth, less the zero point, from one word of each plane on.
  void (*spread)(const uint32_t* planes, const Numbers& numbers, int32_t chunks, int16_t* values);
  // n numbers less the zero point.
  void (*widen_int8)(const int8_t* x, int32_t n, int32_t zero_point, int16_t* values);
  void (*widen_uint8)(const uint8_t* x, int32_t n, int32_t zero_point, int16_t* values);
};

const DepthwiseKernels* PortableDepthwiseKernels();

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DEPTHWISE_KERNELS_H_
