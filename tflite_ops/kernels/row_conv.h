// Convolution of bytes by weights that are kept as signed bytes, a row of output pixels at a time.
//
// Signed weights multiply the bytes as they are, so no sums of inputs are wanted; pixels side by side lie equally far apart, so
// none is looked up; and what scales the sums has them in registers still. In a first layer, whose products are few, that takes
// as long as the products.
//
// The caller owns two pieces of memory, both aligned to kProductAlignment:
//   weights   the blocks, and the starting sums
//   scratch   the image with its padding: written anew at each call
#ifndef KERAS_STE_KERNELS_ROW_CONV_H_
#define KERAS_STE_KERNELS_ROW_CONV_H_

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"

namespace keras_ste {

bool ChooseRowConv(const Conv& conv, const KernelTable& kernels);

size_t RowWeightsBytes(const Conv& conv);
void FillRowWeights(const Conv& conv, const void* filter, void* weights);

size_t RowScratchBytes(const Conv& conv);
// The work falls into two stages, each into this many independent units: rows of the image, parts of rows of the output.
int32_t RowStageUnits(const Conv& conv);
void RowStage(const Conv& conv, const KernelTable& kernels, const void* input, void* scratch, int32_t begin_unit,
              int32_t end_unit);
int32_t RowUnits(const Conv& conv);
void RowConv(const Conv& conv, const KernelTable& kernels, const ConvTensors& tensors, const void* weights,
             const void* scratch, int32_t begin_unit, int32_t end_unit);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ROW_CONV_H_
