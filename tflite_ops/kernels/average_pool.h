// Averages of packed codes, bytes or floats.
#ifndef KERAS_STE_KERNELS_AVERAGE_POOL_H_
#define KERAS_STE_KERNELS_AVERAGE_POOL_H_

#include "kernels/geometry.h"
#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

constexpr int32_t kMostPoolPlaces = 1 << 21;  // of one window: no sum exceeds 2^30

struct AveragePool {
  int32_t batch;
  Axis h, w;
  Numbers input;
  Outputs outputs;  // of the sums where they are int32, which those of floats are not, else of the averages
};

// Computes the output rows [begin, end) of batch * h.out.
void AveragePoolRows(const AveragePool& pool, const void* input, const OutputKernels& kernels,
                     const OutputTensors& tensors, int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_AVERAGE_POOL_H_
