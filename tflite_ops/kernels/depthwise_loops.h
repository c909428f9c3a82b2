// Depthwise kernels as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_
#define KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_

#include <stdint.h>

#include "kernels/depthwise_kernels.h"
#include "kernels/numbers.h"
#include "kernels/tiles.h"

namespace keras_ste {

// What a code is worth whose bits are all clear, less the zero point, and what a set bit of a plane adds.
static inline int16_t StartOf(const Numbers& n) {
  return static_cast<int16_t>((n.codes.encoding == Encoding::kBipolar ? 1 - (1 << n.codes.bits) : 0) - n.zero_point);
}
static inline int16_t WorthOf(const Numbers& n, int32_t plane) {
  return static_cast<int16_t>(PlaneWorth(n.codes, plane) * (n.codes.encoding == Encoding::kBipolar ? 2 : 1));
}

template <typename X>
static inline void WidenLoop(const X* x, int32_t n, int32_t zero_point, int16_t* values) {
  const int16_t zero = static_cast<int16_t>(zero_point);
  for (int32_t i = 0; i < n; ++i) values[i] = static_cast<int16_t>(x[i] - zero);
}

// Kernels for up to `kPixels` pixels, and the loops above.
template <typename Narrow, typename Wide, typename Floats, int32_t kPixels>
static inline void FillDepthwiseTable(DepthwiseKernels* table) {
  table->pixels = kPixels;
  FillByRows<Narrow, kPixels>(table->narrow);
  FillByRows<Wide, kPixels>(table->wide);
  FillByRows<Floats, kPixels>(table->floats);
  table->widen_int8 = WidenLoop<int8_t>;
  table->widen_uint8 = WidenLoop<uint8_t>;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DEPTHWISE_LOOPS_H_
