// Convolution with one-bit weights: the problem, in integers and pointers.
//
// A fully connected layer is a convolution of images of one pixel. Two ways of computing it read the same description:
//   direct_conv.h   from the weights as they lie in the file, with no memory of its own: boards
//   tiled_conv.h    from weights regrouped by output channel into vector lanes: phones, laptops, servers
#ifndef KERAS_STE_KERNELS_CONV_H_
#define KERAS_STE_KERNELS_CONV_H_

#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/geometry.h"

namespace keras_ste {

enum class InputKind : uint8_t { kPacked, kFloat32, kInt8, kUInt8 };

struct Conv {
  InputKind input;
  bool packed_output;
  bool pad_with_one;       // else with zero
  int32_t batch;
  Axis h, w;
  int32_t channels;        // input channels of one pixel; a packed row of several pixels counts them all
  int32_t pixel_stride;    // words (packed) or elements from one input pixel to the next
  int32_t filters;         // output channels
  int32_t groups;
  int32_t filter_words;    // words of one tap (packed input) or of one whole filter (unpacked input)
  int32_t zero_point;      // of an int8 or uint8 input
  float activation_min;
  float activation_max;
};

// The constant tensors of one op. `multiplier` and `bias` may be null; `thresholds` is null unless the output is packed and
// is float for a float input, else int32.
struct ConvConstants {
  const uint32_t* filter;
  const float* multiplier;
  const float* bias;
  const void* thresholds;
};

static inline int32_t Taps(const Conv& c) { return c.h.kernel * c.w.kernel; }
static inline int32_t GroupChannels(const Conv& c) { return c.channels / c.groups; }
static inline int32_t GroupFilters(const Conv& c) { return c.filters / c.groups; }
static inline int32_t OutputPixels(const Conv& c) { return c.batch * c.h.out * c.w.out; }
static inline int32_t OutputStride(const Conv& c) { return c.packed_output ? WordsOf(c.filters) : c.filters; }

// The words of an input pixel that group `g` reads: the first one and their number.
static inline int32_t GroupFirstWord(const Conv& c, int32_t g) { return g * GroupChannels(c) / 32; }
static inline int32_t GroupWords(const Conv& c, int32_t g) {
  return c.groups == 1 ? c.filter_words
                       : WordsOf((g + 1) * GroupChannels(c)) - GroupFirstWord(c, g);
}

// An output pixel's place: its image, and the window's row and column.
struct Place {
  int32_t image, y, x;
};

static inline Place PlaceOf(const Conv& c, int32_t pixel) {
  const int32_t x = pixel % c.w.out;
  const int32_t rows = pixel / c.w.out;
  return {rows / c.h.out, rows % c.h.out, x};
}

static inline float Clamp(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CONV_H_
