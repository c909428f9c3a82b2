// Maximum or minimum of packed codes.
#ifndef KERAS_STE_KERNELS_MAX_POOL_H_
#define KERAS_STE_KERNELS_MAX_POOL_H_

#include "kernels/codes.h"
#include "kernels/geometry.h"

namespace keras_ste {

struct MaxPool {
  int32_t batch;
  Axis h, w;
  Codes codes;
  int32_t words;  // of one plane of a pixel
};

// Computes the output rows [begin, end) of batch * h.out. `minimum` (or null) has a set bit for each channel pooled by
// minimum.
void PoolRows(const MaxPool& pool, const uint32_t* input, const uint32_t* minimum, uint32_t* output, int32_t begin,
              int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_MAX_POOL_H_
