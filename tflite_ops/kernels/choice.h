// Which way of computing a product is the fastest: one table for all machines.
#ifndef KERAS_STE_KERNELS_CHOICE_H_
#define KERAS_STE_KERNELS_CHOICE_H_

#include <stdint.h>

#include "kernels/product.h"

namespace keras_ste {

// The first line that fits says how many pairs of planes (PlanePairs) are still multiplied as planes; above, as bytes.
struct Choice {
  const char* kernels;  // CodeKernels::name
  int32_t most_rows;    // holds for up to so many rows of inputs
  int32_t most_pairs;   // of bipolar, unsigned and signed weights
  int32_t most_ternary_pairs;
};

constexpr int32_t kChoices = 15;
extern const Choice kChoiceTable[kChoices];

// kPlanes or kBytes.
Way ChooseWay(const CodeKernels& kernels, const Codes& weights, const Codes& inputs, int32_t rows);

// Whether a convolution of bytes of so many channels, with so many pixels in a row of its output, is computed a row of pixels
// at a time (row_conv.h).
bool ChooseRows(const CodeKernels& kernels, const Codes& weights, int32_t channels, int32_t pixels);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CHOICE_H_
