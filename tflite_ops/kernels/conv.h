// Convolution with weights of 1 to 8 bits: the problem, in integers and pointers.
//
// A fully connected layer is a convolution over images of one row, as wide as the kernel. Two ways of computing it read
// the same description:
//   direct_conv.h   from the weights as they lie in the file, with no memory of its own: boards
//   tiled_conv.h    from weights regrouped by output channel into vector lanes: phones, laptops, servers
#ifndef KERAS_STE_KERNELS_CONV_H_
#define KERAS_STE_KERNELS_CONV_H_

#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/code_rows.h"
#include "kernels/codes.h"
#include "kernels/geometry.h"
#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

// Where the taps of a convolution lie in a filter: tap (ky, kx) is number first + ky * row + kx * column of those in
// the file.
struct TapOrder {
  int32_t first, row, column;
};

// The output pixel (y, x) of an image is number (y * step_h + first_h) * width + x * step_w + first_w of `pixels`.
struct OutputGrid {
  int32_t first_h, step_h, first_w, step_w, width;
  int64_t pixels;
};

struct Conv {
  InputKind input;
  Codes inputs;            // of kPacked; 8 bits of kInt8 and kUInt8, and of rows that are quantized
  Codes weights;
  bool quantize_rows;      // kFloat32: at run time, each image on its own, to codes from -row_limit to row_limit
  float row_limit;
  float row_least;         // the least that the largest absolute value of a row is taken for
  int32_t pad_value;       // 0 or 1
  int32_t batch;
  Axis h, w;
  int32_t channels;        // input channels of one pixel
  int32_t groups;
  bool filter_in_taps;     // each tap of a filter is a row of codes of its own, else all taps together
  int32_t filter_taps;     // of one output channel in the file
  TapOrder taps;           // where filter_in_taps
  int32_t filter_words;    // of one plane of a tap, or of a whole filter
  bool gapless;            // how these rows lie in the file (code_rows.h)
  int32_t zero_point;      // what an input code is worth that stands for zero
  OutputGrid grid;
  Outputs outputs;
};

// The tensors of one op, but for the input.
struct ConvTensors {
  const void* filter;
  OutputTensors outputs;
};

static inline bool Packed(const Conv& c) { return c.input == InputKind::kPacked; }
// Whether the sums are floats.
static inline bool FloatSumsOf(const Conv& c) { return c.input == InputKind::kFloat32 && !c.quantize_rows; }
static inline int32_t Taps(const Conv& c) { return c.h.kernel * c.w.kernel; }
static inline int32_t Filters(const Conv& c) { return c.outputs.channels; }
static inline int32_t GroupChannels(const Conv& c) { return c.channels / c.groups; }
static inline int32_t GroupFilters(const Conv& c) { return Filters(c) / c.groups; }
static inline int32_t OutputPixels(const Conv& c) { return c.batch * c.h.out * c.w.out; }

// Words or elements from one input pixel to the next.
static inline int32_t PixelStride(const Conv& c) {
  return Packed(c) ? c.inputs.bits * WordsOf(c.channels) : c.channels;
}
// The rows of one output channel's filter.
static inline int32_t FilterRows(const Conv& c) { return c.filter_in_taps ? c.filter_taps : 1; }
// Which of them is a tap's.
static inline int32_t TapRow(const Conv& c, int32_t ky, int32_t kx) {
  return c.filter_in_taps ? c.taps.first + ky * c.taps.row + kx * c.taps.column : 0;
}

// Of an ordinary convolution.
static inline TapOrder TapsInOrder(const Conv& c) { return {0, c.w.kernel, 1}; }
static inline OutputGrid WholeGrid(const Conv& c) {
  return {0, 1, 0, 1, c.w.out, static_cast<int64_t>(c.h.out) * c.w.out};
}

// The number of an output pixel among all of the tensor.
static inline int64_t OutputIndex(const Conv& c, int32_t image, int32_t y, int32_t x) {
  const OutputGrid& g = c.grid;
  const int64_t row = static_cast<int64_t>(y) * g.step_h + g.first_h;
  return static_cast<int64_t>(image) * g.pixels + row * g.width + static_cast<int64_t>(x) * g.step_w + g.first_w;
}

// The first word of an input pixel that group `g` reads, and the first bit in it.
static inline int32_t GroupFirstWord(const Conv& c, int32_t g) { return g * GroupChannels(c) / 32; }
static inline int32_t GroupFirstBit(const Conv& c, int32_t g) { return g * GroupChannels(c) % 32; }

// The rows of the whole filter, as those of group `g` are read.
static inline CodeRows RowsOf(const Conv& c, const void* filter, int32_t g) {
  const int32_t codes = GroupChannels(c) * (c.filter_in_taps ? 1 : c.filter_taps);
  return {filter, c.gapless, c.weights.bits, codes, Packed(c) ? GroupFirstBit(c, g) : 0, c.filter_words};
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

// What 1 stands for in a quantized row whose largest absolute value this is.
static inline float RowScale(float largest, const Conv& c) { return largest * (1.0f / c.row_limit); }

static inline float Clamp(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CONV_H_
