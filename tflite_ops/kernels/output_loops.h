// The output transforms as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
#define KERAS_STE_KERNELS_OUTPUT_LOOPS_H_

#include <string.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {

static inline float CombineOne(Combination how, float x, float operand) {
  switch (how) {
    case Combination::kAdd:
    case Combination::kAddRows:
      return x + operand;
    case Combination::kMultiply:
    case Combination::kMultiplyRows:
      return x * operand;
    case Combination::kMaximum:
      return x < operand ? operand : x;
    case Combination::kMinimum:
      return x > operand ? operand : x;
    case Combination::kPrelu:
      return x > 0 ? x : x * operand;
    case Combination::kStore:
    case Combination::kReach:
    case Combination::kRound:
    case Combination::kReachSums:
      break;
  }
  return x;
}

// Where 1.5 * 2^23 is added, the lowest bits of the sum are the integer.
static inline int32_t RoundOne(float x, const Rounding& how) {
  constexpr float kRound = 12582912.0f;
  constexpr int32_t kBitsOfRound = 0x4B400000;
  const float sum = Scalar(Scalar(Clamp(x, how.low, how.high)) + kRound);
  int32_t bits = 0;
  memcpy(&bits, &sum, sizeof(bits));
  const bool number = (bits & 0x7FFFFFFF) <= 0x7F800000;
  return number ? bits - kBitsOfRound + how.zero_point : 0;
}

// One step of row r.
static inline void CombineRow(const Combine& step, const CombinedRows& rows, int32_t r, float* x) {
  if (step.how == Combination::kStore) {
    memcpy(static_cast<float*>(step.out) + rows.places[r] + rows.channel, x, static_cast<size_t>(rows.lanes) * sizeof(float));
    return;
  }
  if (step.how == Combination::kRound) {
    const Rounding how = *step.rounding;  // which `out` does not change
    int8_t* out = static_cast<int8_t*>(step.out) + rows.places[r] + rows.channel;
    for (int32_t i = 0; i < rows.lanes; ++i) out[i] = static_cast<int8_t>(RoundOne(x[i], how));
    return;
  }
  const bool scale = step.how == Combination::kMultiplyRows;
  const float* lanes = scale                               ? rows.scales + r
                       : step.how == Combination::kAddRows ? rows.residual + rows.residual_places[r]
                       : step.one                          ? step.lanes
                                                           : step.lanes + rows.channel;
  const bool one = step.one || scale;
  if (step.how == Combination::kReach) {
    uint32_t bits = 0;
    for (int32_t i = 0; i < rows.lanes; ++i) bits |= ScalarBit(x[i] >= lanes[one ? 0 : i]) << i;
    static_cast<uint32_t*>(step.out)[rows.words[r] + rows.channel / 32] = bits;
  } else if (one) {
    const float operand = *lanes;
    for (int32_t i = 0; i < rows.lanes; ++i) x[i] = Scalar(CombineOne(step.how, x[i], operand));
  } else {
    for (int32_t i = 0; i < rows.lanes; ++i) x[i] = Scalar(CombineOne(step.how, x[i], lanes[i]));
  }
}

template <typename Sum>
static inline void CombineLoop(const Sum* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
  for (int32_t r = 0; r < rows.rows; ++r, sums += kChunk) {
    float x[kChunk];
    for (int32_t i = 0; i < rows.lanes; ++i) x[i] = Scalar(static_cast<float>(sums[i]));
    for (int32_t s = 0; s < count; ++s) CombineRow(steps[s], rows, r, x);
    if (rows.floats != nullptr) memcpy(rows.floats + r * kChunk, x, static_cast<size_t>(rows.lanes) * sizeof(float));
  }
}

// What TFLite's MultiplyByQuantizedMultiplier does since it rounds only once: to the nearest integer, halves up.
static inline int32_t MultiplyLikeTflite(int32_t sum, int32_t multiplier, int32_t shift) {
  const int32_t right = 31 - shift;
  const int64_t half = int64_t{1} << (right - 1);
  return static_cast<int32_t>((static_cast<int64_t>(sum) * multiplier + half) >> right);
}

template <typename Out>
static inline Out ClampTo(int32_t v, const Requantize& q) {
  v = v < q.low ? q.low : v;
  return static_cast<Out>(v > q.high ? q.high : v);
}

// From sum `begin` of each row on.
template <typename Out>
static inline void RequantizeLoop(const int32_t* sums, int32_t rows, const Requantize& q, int32_t begin, int32_t end,
                                  Out* const* out) {
  for (int32_t r = 0; r < rows; ++r, sums += kChunk) {
    for (int32_t i = begin; i < end; ++i) {
      const int32_t sum = q.bias == nullptr ? sums[i] : sums[i] + q.bias[i];
      out[r][i] = ClampTo<Out>(MultiplyLikeTflite(sum, q.multipliers[i], q.shifts[i]) + q.zero_point, q);
    }
  }
}

// A sum that reaches c thresholds reaches floor(c / 2^p) of those whose number, from 1, is a multiple of 2^p; bit p of c says
// whether that is odd. `kReach` compares 32 sums with one threshold each.
template <typename Sum, uint32_t (*kReach)(const Sum*, const Sum*)>
static inline void CodesLoop(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride,
                             const PlaneWords& out) {
  uint32_t planes[8][kMaxTileRows] = {};
  for (int32_t r = 0; r < rows; ++r) planes[out.bits - 1][r] = out.flip;
  for (int32_t t = 1; t < 1 << out.bits; ++t, thresholds += stride) {
    for (int32_t r = 0; r < rows; ++r) {
      const uint32_t reached = kReach(sums + r * kChunk, thresholds);
      for (int32_t p = 0; t % (1 << p) == 0; ++p) planes[p][r] ^= reached;
    }
  }
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t p = 0; p < out.bits; ++p) out.At(r)[p * out.step] = planes[p][r];
  }
}

// Of the 16 least distances of the lanes the least, and of equal ones that with the lowest index.
static inline int32_t NearestLane(const float* least, const int32_t* index) {
  int32_t best = 0;
  for (int32_t lane = 1; lane < kBlock; ++lane) {
    const bool equal = ScalarBit(least[lane] == least[best]) != 0;
    if (ScalarBit(least[lane] < least[best]) != 0 || (equal && index[lane] < index[best])) best = lane;
  }
  return index[best];
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
