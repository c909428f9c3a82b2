// The kernels of one instruction set for codes of 1 to 8 bits, beside those for one-bit weights in kernel_table.h,
// whose layout and tiles they share. Apart from them, so that programs that need only those are not linked with these.
#ifndef KERAS_STE_KERNELS_CODE_KERNELS_H_
#define KERAS_STE_KERNELS_CODE_KERNELS_H_

#include <stdint.h>

#include "kernels/kernel_table.h"

namespace keras_ste {

// How a word of weights meets a word of inputs before the set bits are counted.
enum PlaneMeeting : int32_t {
  kXor,       // w ^ a
  kAnd,       // w & a
  kMaskedXor  // (negative ^ a) & nonzero, of ternary weights: a step has two vectors, nonzero and negative
};
constexpr int32_t kPlaneMeetings = 3;

// One plane of weights times one plane of inputs for up to `planedot_rows` pixels and one or two blocks.
//   inputs[tap * rows + r]   the words of pixel r under that tap
//   weights                  [taps * words][16] (kMaskedXor: [taps * words][2][16]), the second block `block_stride`
//                            words behind the first
//   start[r]                 32 starting sums; sums[r * 32 + lane] = start + coefficient * (number of set bits).
//                            May be `sums + r * 32`: further planes are added to the sums of the earlier ones.
using PlaneDot = void (*)(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                          int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums);

// The same of kXor and two blocks where no other planes are added: `count` combinations of the sums, or a kReachSums; what becomes
// of them in the end is nowhere but where a step puts it.
using PlaneDotEnds = void (*)(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                              int64_t block_stride, int32_t coefficient, const int32_t* const* start, const Combine* steps,
                              int32_t count, const CombinedRows& rows);

// Bytes times weights of 1, 2, 4 or 8 bits, for up to `bytedot_rows` pixels and one or two blocks.
//   inputs[tap * rows + r]   the signed bytes of pixel r under that tap, `steps * 32 / bits` of them
//   weights                  [taps * steps][16]: a lane is four bytes; bits [p * bits, (p + 1) * bits) of its byte j
//                            are the unsigned weight of input byte 4 p + j of this step
//   start                    32 starting sums; row_start[r] is added to each of pixel r
//   sums[r * 32 + lane]      start + row_start + (sum of products << shift)
// No sum over one input byte of each step may exceed 32 bits: kMaxByteDotK.
using ByteDot = void (*)(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                         int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start,
                         int32_t* sums);
constexpr int32_t kByteDotWidths = 4;       // 1, 2, 4 and 8 bits
constexpr int32_t kMaxByteDotK = 1 << 16;   // products of one output

// Unsigned bytes times signed ones, for pixels that lie side by side, up to `byterow_rows` of them, and one or two blocks.
struct ByteRow {
  const uint8_t* inputs;  // those of pixel r under a tap begin r * pixel_step + tap * tap_step further on; 4 * steps are read
  int64_t pixel_step, tap_step;
  int32_t taps, steps;
  const int8_t* weights;  // [taps * steps][16][4], the second block `block_stride` behind the first
  int64_t block_stride;
  const int32_t* start;   // 32 starting sums
};
using ByteRowSums = void (*)(const ByteRow& row, int32_t* sums);  // sums[r * 32 + lane]
// `count` combinations of the sums; what becomes of them in the end is nowhere but where a step puts it.
using ByteRowFloats = void (*)(const ByteRow& row, const Combine* steps, int32_t count, const CombinedRows& rows);

// Floats times weights of 2, 4 or 8 bits, laid out as for ByteDot, for up to `floatdot_rows` rows and one or two
// blocks.
//   inputs[tap * rows + r]   the `count` floats of row r under that tap
//   weights                  those of each tap begin with a step of their own
//   scale, offset            a weight u is worth scale * u + offset
//   sums[r * 32 + lane]      starting at +0, one rounded product after the other
using FloatDot = void (*)(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights,
                          int64_t block_stride, int32_t scale, int32_t offset, float* sums);
constexpr int32_t kFloatDotWidths = 3;

// The nearest of the code vectors c to each of up to `nearest_rows` rows x: that with the least |c|^2 - 2 x.c, the
// first of equal ones, and 0 where none is less than infinity.
//   rows[r]                  `size` floats; products are added up in their order, starting at +0
//   vectors                  [blocks][size][16]
//   norms                    [blocks * 16] squared lengths, infinity for lanes without a vector
using Nearest = void (*)(const float* const* rows, int32_t size, const float* vectors, const float* norms,
                         int32_t blocks, int32_t* nearest);

struct CodeKernels {
  const char* name;  // of the KernelTable, too

  int32_t planedot_rows;
  PlaneDot planedot[kPlaneMeetings][2][kMaxTileRows + 1];  // [meeting][blocks - 1][rows]
  PlaneDotEnds planedot_ends[kMaxTileRows + 1];            // [rows]; null in a set without these

  int32_t bytedot_rows;
  ByteDot bytedot[kByteDotWidths][2][kMaxTileRows + 1];  // [log2(bits)][blocks - 1][rows]

  int32_t byterow_rows;  // 0 in a set without these
  ByteRowSums byterow_sums[2][kMaxTileRows + 1];  // [blocks - 1][pixels]
  ByteRowFloats byterow_floats[2][kMaxTileRows + 1];

  int32_t floatdot_rows;
  FloatDot floatdot[kFloatDotWidths][2][kMaxTileRows + 1];  // [log2(bits) - 1][blocks - 1][rows]

  int32_t nearest_rows;
  Nearest nearest[kMaxTileRows + 1];  // [rows]

  // The lowest `bits` bits of n codes as planes of ceil(n / 32) words.
  void (*pack_planes)(const int8_t* codes, int32_t n, int32_t bits, uint32_t* planes);
  // The n codes of each of some pixels, `bits` planes of ceil(n / 32) words a pixel, as bytes: `start` and, for each set bit
  // of plane p, worth[p]. Where `sums` is not null, the sum of each pixel's bytes goes there, n <= kMaxByteDotK.
  void (*unpack_planes)(const uint32_t* planes, int32_t pixels, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                        int8_t* bytes, int32_t* sums);
  // Copies n <= kMaxByteDotK codes, the bits of `flip` turned over; returns the sum of what it wrote.
  int32_t (*flip_bytes)(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes);
  // n floats as codes from -limit to limit, scaled by their largest absolute value a, but at least `least`:
  // x (limit / a), rounded half to even; a NaN is 0. Returns a, which is NaN where one of the floats is.
  float (*quantize_row)(const float* x, int32_t n, float limit, float least, int8_t* codes);
};

const CodeKernels* PortableCodeKernels();

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CODE_KERNELS_H_
