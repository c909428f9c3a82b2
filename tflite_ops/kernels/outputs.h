// What becomes of the sums of a product, a pool or an addition: numbers, quantized numbers or packed codes.
#ifndef KERAS_STE_KERNELS_OUTPUTS_H_
#define KERAS_STE_KERNELS_OUTPUTS_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/codes.h"
#include "kernels/numbers.h"
#include "kernels/output_kernels.h"

namespace keras_ste {

enum class OutputKind : uint8_t { kFloat32, kPacked, kInt32, kInt8, kInt16 };

// What is done to scaled sums, one element at a time, each step rounded once: all but the last two have a row of
// constants, one for each channel.
enum class TailStep : uint8_t { kAdd, kMultiply, kMaximum, kMinimum, kPrelu, kResidual, kStore };
constexpr int32_t kMostSteps = 12;

struct Tail {
  int32_t length;  // 0 where there is none
  TailStep steps[kMostSteps];
  bool stores;              // the floats of step kStore are an output of their own
  bool adds;                // has a residual
  bool one_residual_scale;  // for all channels
  Numbers residual;
};

struct Outputs {
  OutputKind kind;
  Codes codes;                         // kPacked
  int32_t channels;                    // of one pixel
  bool one_multiplier;                 // kFloat32, rounded: the multiplier is one number, not one a channel
  bool one_threshold;                  // kPacked: all channels share theirs
  bool rounded;                        // kPacked, kInt8, kInt16 of sums that are floats: scaled, clamped and rounded
  float activation_min, activation_max;  // kFloat32, or before a tail
  int32_t zero_point, low, high;       // kInt8, kInt16, rounded
  Rounding rounding;                   // rounded: to these
  Tail tail;
};

// The tensors, as docs/ops.md describes them; null where absent.
struct OutputTensors {
  const void* multiplier;
  const void* bias;
  const void* thresholds;  // kInt8, kInt16: shifts
  const float* tail;       // the rows of constants of its steps
  const void* residual;
  const float* residual_scale;
  void* output;
  float* floats;           // what the tail stores
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

// What is the same for all chunks of an op, found once. The outputs, kernels and tensors are used, not copied.
struct OutputPlan {
  const Outputs& outputs;
  const OutputKernels& kernels;
  const OutputTensors& tensors;
  // How sums become floats, and the tail; behind them, where the output is floats, int8 of them or words of its own, how these
  // are written. Where words come from thresholds of sums that are integers, only a kReachSums.
  Combine steps[kMostSteps + 6];
  int32_t count;  // without that
  bool ends;      // has it
};
// `scaled_rows`: sums are multiplied by a scale of their row besides; kFloat32, or with a tail.
OutputPlan PlanOutputs(const Outputs& outputs, const OutputKernels& kernels, const OutputTensors& tensors, bool float_sums,
                       bool scaled_rows = false);

// Whether kernels may do the plan's steps themselves, for whole chunks of sums that are integers; at PlaceRows's rows.
bool EndsInSteps(const OutputPlan& plan);
struct PlacedRows {
  CombinedRows rows;
  int64_t places[kMaxTileRows], words[kMaxTileRows];
};
void PlaceRows(const OutputPlan& plan, int32_t rows, const int64_t* pixels, PlacedRows* placed);
void PlaceChannels(const OutputPlan& plan, int32_t channel, CombinedRows* rows);

// Stores the channels [channel, channel + count) of `rows` pixels, count <= 32, from their sums[row * 32 + lane].
//   scales     of each row where they have one
//   pixels     the number of each output pixel
// Of lanes from `count` on the sums may be anything. Chunks that share words are stored by one thread in the order of
// their channels.
void StoreChunk(const OutputPlan& plan, const int32_t* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                const int64_t* pixels);
// The same from sums that are floats: kFloat32, kPacked and what is rounded.
void StoreChunk(const OutputPlan& plan, const float* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                const int64_t* pixels);

// An output that the steps of a plan write, each channel a function of its sum alone: float32, or int8 of floats.
static inline bool OnlyScaled(const Outputs& o) {
  return (o.kind == OutputKind::kFloat32 || (o.kind == OutputKind::kInt8 && o.rounded)) && !o.tail.adds;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUTS_H_
