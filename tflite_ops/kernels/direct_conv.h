// Convolution straight from the file's weights: no tables, no padding copies. For boards, and for the few shapes that
// the tiled kernels do not take.
#ifndef KERAS_STE_KERNELS_DIRECT_CONV_H_
#define KERAS_STE_KERNELS_DIRECT_CONV_H_

#include <stddef.h>

#include "kernels/conv.h"

namespace keras_ste {

// Scratch memory is for rows that are quantized only, which is done first, in this many independent units.
size_t DirectScratchBytes(const Conv& conv);
int32_t DirectStageUnits(const Conv& conv);
void DirectStage(const Conv& conv, const void* input, void* scratch, int32_t begin_unit, int32_t end_unit);

// Computes the output pixels [begin, end). `input` and the tensors as docs/ops.md lays them out.
void DirectConv(const Conv& conv, const ConvTensors& tensors, const void* input, const void* scratch, int32_t begin,
                int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DIRECT_CONV_H_
