// Sums become packed codes of several bits by thresholds. Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_THRESHOLDS_H_
#define KERAS_STE_KERNELS_THRESHOLDS_H_

#include <stdint.h>

#include "kernels/kernel_table.h"

namespace keras_ste {

// The code of a sum is the number of thresholds it reaches, of 2^bits - 1 ascending ones: thresholds[t * 32 + lane], the sums
// of 32 lanes. Writes the word of each plane to planes[plane * stride].
//
// A sum that reaches c thresholds reaches floor(c / 2^p) of those whose number, from 1, is a multiple of 2^p; bit p of c says
// whether that is odd. `reach` is the kernel that compares 32 sums with one threshold each.
template <typename Sum>
static inline void CodesOfSums(uint32_t (*reach)(const Sum*, const Sum*), const Sum* sums, const Sum* thresholds,
                               int32_t bits, int64_t stride, uint32_t* planes) {
  for (int32_t p = 0; p < bits; ++p) planes[p * stride] = 0;
  for (int32_t t = 1; t < 1 << bits; ++t, thresholds += kChunk) {
    const uint32_t reached = reach(sums, thresholds);
    for (int32_t p = 0; t % (1 << p) == 0; ++p) planes[p * stride] ^= reached;
  }
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_THRESHOLDS_H_
