// The sum of two tensors.
#ifndef KERAS_STE_KERNELS_ADD_H_
#define KERAS_STE_KERNELS_ADD_H_

#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

struct Addend {
  Numbers numbers;
  bool one_scale;  // one for all channels, not one for each
};

// What `Addend` describes: pixels, and their scale or null.
struct AddendData {
  const void* pixels;
  const float* scale;
};

struct Add {
  Addend a, b;
  Outputs outputs;  // of a * scale + b * scale
};

// Computes the pixels [begin, end).
void AddPixels(const Add& add, const AddendData& a, const AddendData& b, const OutputKernels& kernels,
               const OutputTensors& tensors, int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ADD_H_
