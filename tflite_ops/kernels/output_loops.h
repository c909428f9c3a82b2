// The output transforms as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
#define KERAS_STE_KERNELS_OUTPUT_LOOPS_H_

#include <string.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {

template <typename Sum>
static inline void ScaleRow(const Sum* sums, const float* multiplier, const float* bias, float low, float high,
                            const float* scale, int32_t n, float* out) {
  if (scale == nullptr) {
    for (int32_t i = 0; i < n; ++i) {
      out[i] = Scalar(Clamp(static_cast<float>(sums[i]) * multiplier[i] + bias[i], low, high));
    }
    return;
  }
  for (int32_t i = 0; i < n; ++i) {
    const float product = Scalar(static_cast<float>(sums[i]) * multiplier[i]);
    out[i] = Scalar(Clamp(product * *scale + bias[i], low, high));
  }
}

template <typename Sum>
static inline void ScaleLoop(const Sum* sums, int32_t rows, const Scaling& scaling, int32_t n, float* const* out) {
  const Scaling s = scaling;  // which `out` does not change
  float multiplier[kChunk], bias[kChunk];  // nor these copies
  memcpy(multiplier, s.multiplier, static_cast<size_t>(n) * sizeof(float));
  memcpy(bias, s.bias, static_cast<size_t>(n) * sizeof(float));
  for (int32_t r = 0; r < rows; ++r, sums += kChunk) {
    float scale = 1;
    if (s.scales != nullptr) scale = s.scales[r];
    const float* factor = s.scales == nullptr ? nullptr : &scale;
    if (n == kChunk) {  // a number that compilers know
      ScaleRow(sums, multiplier, bias, s.low, s.high, factor, kChunk, out[r]);
    } else {
      ScaleRow(sums, multiplier, bias, s.low, s.high, factor, n, out[r]);
    }
  }
}

static inline float CombineOne(Combination how, float x, float operand) {
  switch (how) {
    case Combination::kAdd:
    case Combination::kAddRows:
      return x + operand;
    case Combination::kMultiply:
      return x * operand;
    case Combination::kMaximum:
      return x < operand ? operand : x;
    case Combination::kMinimum:
      return x > operand ? operand : x;
    case Combination::kPrelu:
      return x > 0 ? x : x * operand;
    case Combination::kStore:
      break;
  }
  return x;
}

static inline void CombineLoop(const Combine* steps, int32_t count, int32_t rows, float* floats) {
  for (int32_t s = 0; s < count; ++s) {
    const Combine& step = steps[s];
    for (int32_t r = 0; r < rows; ++r) {
      float* row = floats + r * kChunk;
      if (step.how == Combination::kStore) {
        memcpy(step.out[r], row, kChunk * sizeof(float));
        continue;
      }
      const float* operands = step.how == Combination::kAddRows ? step.rows[r] : step.lanes;
      for (int32_t i = 0; i < kChunk; ++i) row[i] = Scalar(CombineOne(step.how, row[i], operands[i]));
    }
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

static inline void RoundRow(const float* floats, const Rounding& how, int32_t n, int8_t* out) {
  for (int32_t i = 0; i < n; ++i) out[i] = static_cast<int8_t>(RoundOne(floats[i], how));
}

static inline void RoundLoop(const float* floats, int32_t rows, const Rounding& rounding, int32_t n, int8_t* const* out) {
  const Rounding how = rounding;  // which `out` does not change
  for (int32_t r = 0; r < rows; ++r, floats += kChunk) {
    if (n == kChunk) {  // a number that compilers know
      RoundRow(floats, how, kChunk, out[r]);
    } else {
      RoundRow(floats, how, n, out[r]);
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
