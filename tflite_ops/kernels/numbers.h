// Numbers as ops read them: floats, bytes or packed codes, 32 channels of a pixel at a time.
#ifndef KERAS_STE_KERNELS_NUMBERS_H_
#define KERAS_STE_KERNELS_NUMBERS_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/codes.h"

namespace keras_ste {

enum class InputKind : uint8_t { kFloat32, kPacked, kInt8, kUInt8 };

struct Numbers {
  InputKind kind;
  Codes codes;         // kPacked
  int32_t channels;    // of one pixel
  int32_t zero_point;  // not of kFloat32: is subtracted
};

// The elements of one pixel, and their bytes.
static inline int32_t PixelElements(const Numbers& n) {
  return n.kind == InputKind::kPacked ? n.codes.bits * WordsOf(n.channels) : n.channels;
}
static inline int64_t PixelBytes(const Numbers& n) {
  const bool words = n.kind == InputKind::kFloat32 || n.kind == InputKind::kPacked;
  return (words ? int64_t{4} : int64_t{1}) * PixelElements(n);
}

// The channels [channel, channel + count) of a pixel, count <= 32; lanes from `count` on may become anything.
void LoadFloats(const Numbers& numbers, const void* pixel, int32_t channel, int32_t count, float* lanes);

// What 32 codes are worth, less `zero_point`: `codes` are their bits as unsigned numbers.
void LoadWorths(const Codes& how, int32_t zero_point, const uint8_t* codes, int32_t* lanes);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_NUMBERS_H_
