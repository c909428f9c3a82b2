// Convolution straight from the file's weights: no scratch memory, no tables, no padding copies. For boards, and for the
// few shapes that the tiled kernels do not take.
#ifndef KERAS_STE_KERNELS_DIRECT_CONV_H_
#define KERAS_STE_KERNELS_DIRECT_CONV_H_

#include "kernels/conv.h"

namespace keras_ste {

// Computes the output pixels [begin, end). `input` and `output` as docs/ops.md lays them out.
void DirectConv(const Conv& conv, const ConvConstants& constants, const void* input, void* output, int32_t begin,
                int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DIRECT_CONV_H_
