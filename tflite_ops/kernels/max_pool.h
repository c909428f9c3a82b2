// Maximum of packed signs: OR; minimum: AND.
#ifndef KERAS_STE_KERNELS_MAX_POOL_H_
#define KERAS_STE_KERNELS_MAX_POOL_H_

#include "kernels/geometry.h"

namespace keras_ste {

struct MaxPool {
  int32_t batch;
  Axis h, w;
  int32_t words;  // of one pixel
};

// Computes the output rows [begin, end) of batch * h.out. `minimum` (or null) has a set bit for each channel pooled by
// minimum.
void PoolRows(const MaxPool& pool, const uint32_t* input, const uint32_t* minimum, uint32_t* output, int32_t begin,
              int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_MAX_POOL_H_
