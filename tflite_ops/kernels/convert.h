// Numbers of one form in another: floats, bytes and packed codes.
#ifndef KERAS_STE_KERNELS_CONVERT_H_
#define KERAS_STE_KERNELS_CONVERT_H_

#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

struct Convert {
  Numbers input;
  Outputs outputs;  // of the numbers as floats
  bool one_table;   // for all channels, not one for each
};

// Converts the pixels [begin, end). Where `table` is not null, the numbers are those that it has for codes: 2^bits
// floats for all channels or for each.
void ConvertPixels(const Convert& convert, const void* input, const float* table, const OutputKernels& kernels,
                   const OutputTensors& tensors, int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CONVERT_H_
