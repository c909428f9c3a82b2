// What becomes of the sums of a product, a pool or an addition: numbers, quantized numbers or packed codes.
#ifndef KERAS_STE_KERNELS_OUTPUTS_H_
#define KERAS_STE_KERNELS_OUTPUTS_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/codes.h"
#include "kernels/output_kernels.h"

namespace keras_ste {

enum class OutputKind : uint8_t { kFloat32, kPacked, kInt32, kInt8, kInt16 };

struct Outputs {
  OutputKind kind;
  Codes codes;                         // kPacked
  int32_t channels;                    // of one pixel
  bool one_multiplier;                 // kFloat32, rounded: the multiplier is one number, not one a channel
  bool one_threshold;                  // kPacked: all channels share theirs
  bool rounded;                        // kPacked, kInt8, kInt16 of sums that are floats: scaled, clamped and rounded
  float activation_min, activation_max;  // kFloat32, rounded
  int32_t zero_point, low, high;       // kInt8, kInt16, rounded
};

// The constant tensors, as docs/ops.md describes them; null where absent.
struct OutputConstants {
  const void* multiplier;
  const void* bias;
  const void* thresholds;  // kInt8, kInt16: shifts
};

// The elements, of ElementBytes() each, of one pixel.
static inline int32_t OutputStride(const Outputs& o) {
  return o.kind == OutputKind::kPacked ? o.codes.bits * WordsOf(o.channels) : o.channels;
}
static inline int32_t ElementBytes(const Outputs& o) {
  return o.kind == OutputKind::kInt8 ? 1 : o.kind == OutputKind::kInt16 ? 2 : 4;
}

// Whether chunks of channels share words of a pixel where they begin anew at each multiple of `step`.
static inline bool SharesWords(const Outputs& o, int32_t step) {
  return o.kind == OutputKind::kPacked && step % 32 != 0 && step < o.channels;
}

// Stores the channels [channel, channel + count) of `rows` pixels, count <= 32, from their sums[row * 32 + lane].
//   scales     of each row, multiplied to the sums besides, or null: kFloat32 only
//   pixels     where each output pixel begins
// Of lanes from `count` on the sums may be anything. Chunks that share words are stored by one thread in the order of
// their channels.
void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputConstants& constants,
                const int32_t* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                void* const* pixels);
// The same from sums that are floats: kFloat32, kPacked and what is rounded.
void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputConstants& constants, const float* sums,
                const float* scales, int32_t rows, int32_t channel, int32_t count, void* const* pixels);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUTS_H_
