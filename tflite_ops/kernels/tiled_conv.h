// Convolution from weights regrouped into blocks of 16 output channels, a few pixels at a time.
//
// The caller owns three pieces of memory, all aligned to kProductAlignment:
//   weights   the blocks: depends on the constant tensors only
//   tables    starting sums: depends on the input's shape too
//   scratch   the inputs as the tiles read them: written anew at each call
#ifndef KERAS_STE_KERNELS_TILED_CONV_H_
#define KERAS_STE_KERNELS_TILED_CONV_H_

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/product.h"

namespace keras_ste {

// How the sums are to be computed. False for the few shapes left to DirectConv.
bool ChooseTiledWay(const Conv& conv, const KernelTable& kernels, Way* way);

size_t TiledWeightsBytes(const Conv& conv, Way way);
void FillTiledWeights(const Conv& conv, Way way, const void* filter, void* weights);

size_t TiledTablesBytes(const Conv& conv, Way way);
void FillTiledTables(const Conv& conv, Way way, const void* filter, void* tables);

size_t TiledScratchBytes(const Conv& conv, Way way);
// The work falls into two stages, each into this many independent units. The second: tiles of pixels, or chunks of channels
// where there are few pixels.
int32_t TiledStageUnits(const Conv& conv, Way way);
void TiledStage(const Conv& conv, Way way, const KernelTable& kernels, const void* input, void* scratch,
                int32_t begin_unit, int32_t end_unit);
int32_t TiledUnits(const Conv& conv, Way way, const KernelTable& kernels);
void TiledConv(const Conv& conv, Way way, const KernelTable& kernels, const ConvTensors& tensors,
               const void* weights, const void* tables, const void* input, const void* scratch, int32_t begin_unit, int32_t end_unit);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_TILED_CONV_H_
