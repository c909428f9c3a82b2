// Weights that one row meets come from memory, and a chunk of them is two streams, one of each block. What the processor
// fetches by itself ends with each page of a stream and begins anew in the next. So the next chunk, which lies behind this one,
// is asked for while this one is multiplied: into the second cache, for long rows would drive the inputs out of the first.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_X86_NEXT_CHUNK_H_
#define KERAS_STE_KERNELS_X86_NEXT_CHUNK_H_

#include <stdint.h>

#include "kernels/kernel_table.h"

namespace keras_ste {
namespace x86 {

// Asks for the vectors of the next chunk that lie where these do in this one. Behind the last chunk they may be nobody's: then
// nothing happens.
template <int32_t kBlocks, int32_t kRows>
static inline void FetchNextChunk(const uint32_t* weights, int64_t block_stride) {
  if constexpr (kRows == 1) {
    const int64_t step = block_stride * static_cast<int64_t>(sizeof(uint32_t));
    for (int32_t b = 0; b < kBlocks; ++b) {
      const uintptr_t at = reinterpret_cast<uintptr_t>(weights) + static_cast<uintptr_t>((kBlocks + b) * step);
      __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 2);
    }
  }
}

}  // namespace x86
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_X86_NEXT_CHUNK_H_
