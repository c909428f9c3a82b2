// The kernels of one instruction set that turn sums into outputs.
#ifndef KERAS_STE_KERNELS_OUTPUT_KERNELS_H_
#define KERAS_STE_KERNELS_OUTPUT_KERNELS_H_

#include <stdint.h>

namespace keras_ste {

constexpr int32_t kBlock = 16;         // output channels of a block of weights
constexpr int32_t kChunk = 2 * kBlock; // output channels computed and written together: one packed word
constexpr int32_t kMaxTileRows = 8;    // no kernel computes more pixels at once

// How sums become quantized numbers, as TFLite has it: with the bias (or null) added, multiplied by multiplier *
// 2^(shift - 31), of which the multiplier is 0 or at least 2^30 and the shift -31 to 30, then moved by the zero point and
// clamped.
struct Requantize {
  const int32_t* bias;
  const int32_t* multipliers;
  const int32_t* shifts;
  int32_t zero_point, low, high;
};

// How floats become integers: clamped, rounded half to even, and moved by the zero point; 0 of a NaN.
struct Rounding {
  float low, high;
  int32_t zero_point;
};

// Where the words of codes go: that of plane p of row r to word first + p * step behind rows[r].
struct PlaneWords {
  int32_t bits;
  uint32_t flip;  // bits of the highest plane that are turned over
  void* const* rows;
  int64_t first, step;

  uint32_t* At(int32_t row) const { return static_cast<uint32_t*>(rows[row]) + first; }
};

// What is done to 16 or 32 sums of each row, which become floats first. kPrelu: x > 0 ? x : x * constant. kMaximum and
// kMinimum keep a NaN.
enum class Combination : uint8_t {
  kAdd, kMultiply, kMaximum, kMinimum, kPrelu,  // a constant of each channel
  kMultiplyRows,                                // by the scale of each row
  kAddRows,                                     // the residual of each row
  kStore,                                       // what has become of them so far: floats
  kReach,                                       // which of them reach a constant: one word of each row
  kRound,                                       // the integers they become: int8
  kReachSums,                                   // which of the sums reach an integer: one word of each row; no other step
};
struct Combine {
  Combination how;
  bool one;              // the constant is one for all channels
  const float* lanes;    // the constants
  void* out;             // where the first row has its first channel
  const Rounding* rounding = nullptr;   // kRound
  const int32_t* thresholds = nullptr;  // kReachSums: the constants
};

// The rows that go through the same steps, and their channels [channel, channel + lanes).
struct CombinedRows {
  int32_t rows, channel;
  int32_t lanes;                   // kBlock or kChunk; kChunk where there is a kReach or kReachSums
  const int64_t* places;           // kStore, kRound: the elements before each row
  const int64_t* words;            // kReach, kReachSums: the words before each row
  const float* scales;             // kMultiplyRows
  const float* residual;           // kAddRows: of this channel
  const int64_t* residual_places;  // the elements before each row
  float* floats;                   // where the floats go in the end, kChunk of each row; or null; may be the residual's memory
};

// The sums of row r begin at sums[r * kChunk].
struct OutputKernels {
  // `count` combinations of the sums of each row, one after the other; none is kReachSums.
  void (*combine_int32)(const int32_t* sums, const Combine* steps, int32_t count, const CombinedRows& rows);
  void (*combine_float)(const float* sums, const Combine* steps, int32_t count, const CombinedRows& rows);
  // The codes of 32 sums of each row, one word of each plane: a code is the number of thresholds that the sum reaches, of
  // 2^bits - 1 that do not descend, thresholds[t * stride + lane].
  void (*codes_int32)(const int32_t* sums, int32_t rows, const int32_t* thresholds, int64_t stride, const PlaneWords& out);
  void (*codes_float)(const float* sums, int32_t rows, const float* thresholds, int64_t stride, const PlaneWords& out);
  // n <= 32 sums of each row.
  void (*requantize_int8)(const int32_t* sums, int32_t rows, const Requantize& requantize, int32_t n, int8_t* const* out);
  void (*requantize_int16)(const int32_t* sums, int32_t rows, const Requantize& requantize, int32_t n,
                           int16_t* const* out);
};

namespace portable {
extern const OutputKernels kOutput;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUT_KERNELS_H_
