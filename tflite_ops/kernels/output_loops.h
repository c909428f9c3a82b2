// The output transforms as loops that compilers turn into the vector instructions of the file that includes them. Internal
// linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_OUTPUT_LOOPS_H_
#define KERAS_STE_KERNELS_OUTPUT_LOOPS_H_

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {

template <typename Sum>
static inline void ScaleLoop(const Sum* sums, const float* multiplier, const float* bias, float low, float high,
                             int32_t n, float* out) {
  for (int32_t i = 0; i < n; ++i) {
    out[i] = Scalar(Clamp(static_cast<float>(sums[i]) * multiplier[i] + bias[i], low, high));
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

template <typename Out>
static inline void RequantizeLoop(const int32_t* sums, const Requantize& q, int32_t begin, int32_t end, Out* out) {
  for (int32_t i = begin; i < end; ++i) {
    out[i] = ClampTo<Out>(MultiplyLikeTflite(sums[i], q.multipliers[i], q.shifts[i]) + q.zero_point, q);
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
