// Convolution from weights regrouped into blocks of 16 output channels, a few pixels at a time.
//
// The caller owns two pieces of memory, both aligned to kTiledAlignment:
//   weights   the blocks and the per-channel constants: depends on the constant tensors only
//   tables    starting sums by border class, padding row: depends on the input's shape too
#ifndef KERAS_STE_KERNELS_TILED_CONV_H_
#define KERAS_STE_KERNELS_TILED_CONV_H_

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"

namespace keras_ste {

constexpr size_t kTiledAlignment = 64;

// False for the few shapes left to DirectConv: groups that begin inside a word, kernels of more than 256 taps.
bool CanTile(const Conv& conv);

size_t TiledWeightsBytes(const Conv& conv);
void FillTiledWeights(const Conv& conv, const ConvConstants& constants, void* weights);

size_t TiledTablesBytes(const Conv& conv);
void FillTiledTables(const Conv& conv, const ConvConstants& constants, void* tables);

// The work falls into this many independent units: groups of pixels, or of channels where there are few pixels.
int32_t TiledUnits(const Conv& conv, const KernelTable& kernels);
void TiledConv(const Conv& conv, const KernelTable& kernels, const void* weights, const void* tables,
               const void* input, void* output, int32_t begin_unit, int32_t end_unit);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_TILED_CONV_H_
