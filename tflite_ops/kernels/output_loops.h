// The output transforms as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
#define KERAS_STE_KERNELS_OUTPUT_LOOPS_H_

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {

template <typename Sum>
static inline void ScaleLoop(const Sum* sums, const Scaling& scaling, int32_t n, float* out) {
  const Scaling s = scaling;  // which `out` does not change
  if (s.scale == nullptr) {
    for (int32_t i = 0; i < n; ++i) {
      out[i] = Scalar(Clamp(static_cast<float>(sums[i]) * s.multiplier[i] + s.bias[i], s.low, s.high));
    }
    return;
  }
  const float scale = *s.scale;
  for (int32_t i = 0; i < n; ++i) {
    const float product = Scalar(static_cast<float>(sums[i]) * s.multiplier[i]);
    out[i] = Scalar(Clamp(product * scale + s.bias[i], s.low, s.high));
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
