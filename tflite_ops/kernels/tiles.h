// The kernels of one table entry, from a template that takes their blocks and rows.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_TILES_H_
#define KERAS_STE_KERNELS_TILES_H_

#include <stdint.h>

#include "kernels/kernel_table.h"

namespace keras_ste {

// by_blocks[blocks - 1][rows] = Kernel::Run<blocks, rows>, for one and two blocks and 1 to kRows rows.
template <typename Kernel, int32_t kRows, typename Function>
static inline void FillTiles(Function (*by_blocks)[kMaxTileRows + 1]) {
  by_blocks[0][kRows] = Kernel::template Run<1, kRows>;
  by_blocks[1][kRows] = Kernel::template Run<2, kRows>;
  if constexpr (kRows > 1) FillTiles<Kernel, kRows - 1>(by_blocks);
}

// by_rows[rows] = Kernel::Run<rows>, for 1 to kRows rows.
template <typename Kernel, int32_t kRows, typename Function>
static inline void FillByRows(Function* by_rows) {
  by_rows[kRows] = Kernel::template Run<kRows>;
  if constexpr (kRows > 1) FillByRows<Kernel, kRows - 1>(by_rows);
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_TILES_H_
