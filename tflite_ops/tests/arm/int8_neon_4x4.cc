// Four pixels by four channels, along K: two products of 16 bits fit into the sum of a lane before it is added to 32
// bits. In a fixed order like planedot_2x32.h; 16 accumulators, 4 inputs, 2 weight vectors and 8 sums in between.
#include <arm_neon.h>

#include "tests/arm/int8_loops.h"

namespace keras_ste {
namespace {

constexpr int32_t kRows = kInt8NeonRows;
constexpr int32_t kChannels = kInt8NeonChannels;

inline int8x16_t Load(const int8_t* p) {
  int8x16_t v;
  asm volatile("ldr %q0, %1" : "=w"(v) : "m"(*reinterpret_cast<const int8_t(*)[16]>(p)));
  return v;
}

inline int16x8_t MultiplyLow(int8x16_t a, int8x16_t b) {
  int16x8_t v;
  asm volatile("smull %0.8h, %1.8b, %2.8b" : "=w"(v) : "w"(a), "w"(b));
  return v;
}

inline void AddHighProducts(int8x16_t a, int8x16_t b, int16x8_t* sum) {
  asm volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(*sum) : "w"(a), "w"(b));
}

inline void AddPairs(int16x8_t pairs, int32x4_t* sum) {
  asm volatile("sadalp %0.4s, %1.8h" : "+w"(*sum) : "w"(pairs));
}

}  // namespace

void Int8Neon4x4(const int8_t* const* inputs, int32_t k, const int8_t* weights, int32_t* sums) {
  int32x4_t sum[kChannels][kRows] = {};
  const int8_t* in[kRows];
  int8x16_t a[kRows], w[2];
  const auto step = [&](bool more) __attribute__((always_inline)) {
#pragma GCC unroll 2  // or the sums would be kept in memory
    for (int32_t first = 0; first < kChannels; first += 2) {
      const bool last = first + 2 == kChannels;
      int16x8_t products[2][kRows];
      for (int32_t c = 0; c < 2; ++c) {
        for (int32_t r = 0; r < kRows; ++r) products[c][r] = MultiplyLow(w[c], a[r]);
      }
      for (int32_t c = 0; c < 2; ++c) {
        for (int32_t r = 0; r < kRows; ++r) AddHighProducts(w[c], a[r], &products[c][r]);
      }
      for (int32_t c = 0; c < 2; ++c) {
        for (int32_t r = 0; r < kRows; ++r) {
          AddPairs(products[c][r], &sum[first + c][r]);
          if (c == 0 && r < 2 && (!last || more)) w[r] = Load(weights + (first + 2 + r) * 16);
          if (c == 1 && last && more) a[r] = Load(in[r]), in[r] += 16;
        }
      }
    }
    weights += kChannels * 16;
  };
  for (int32_t c = 0; c < 2; ++c) w[c] = Load(weights + c * 16);
  for (int32_t r = 0; r < kRows; ++r) {
    a[r] = Load(inputs[r]);
    in[r] = inputs[r] + 16;
  }
  for (int32_t i = 16; i < k; i += 16) step(true);
  step(false);
#pragma GCC unroll 4
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t c = 0; c < kChannels; ++c) sums[r * kChannels + c] = vaddvq_s32(sum[c][r]);
  }
}

}  // namespace keras_ste
