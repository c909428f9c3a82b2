// Six pixels by 16 channels: 24 accumulators, 6 inputs of 16 bytes and 2 weight vectors are all 32 registers. In a
// fixed order like planedot_2x32.h: a weight vector is loaded while the one before it is used, an input right after its
// last use.
#include <arm_neon.h>

#include "tests/arm/int8_loops.h"

namespace keras_ste {
namespace {

constexpr int32_t kRows = kInt8DotProdRows;
constexpr int32_t kVectors = kInt8DotProdChannels / 4;

inline int8x16_t Load(const int8_t* p) {
  int8x16_t v;
  asm volatile("ldr %q0, %1" : "=w"(v) : "m"(*reinterpret_cast<const int8_t(*)[16]>(p)));
  return v;
}

template <int32_t kQuarter>
inline void AddProducts(int8x16_t weights, int8x16_t input, int32x4_t* sum) {
  asm volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(*sum) : "w"(weights), "w"(input), "i"(kQuarter));
}

// Four bytes of each input.
template <int32_t kQuarter>
inline __attribute__((always_inline)) void Quarter(const int8_t* weights, bool more, const int8_t** in, int8x16_t* a,
                                                   int8x16_t* w,
                                                   int32x4_t (*sum)[kVectors]) {
#pragma GCC unroll 4  // or the sums would be kept in memory
  for (int32_t v = 0; v < kVectors; ++v) {
    const bool last = kQuarter == 3 && v + 1 == kVectors;
    if (!last || more) w[(v + 1) % 2] = Load(weights + (kQuarter * kVectors + v + 1) * 16);
    for (int32_t r = 0; r < kRows; ++r) {
      AddProducts<kQuarter>(w[v % 2], a[r], &sum[r][v]);
      if (last && more) a[r] = Load(in[r]), in[r] += 16;
    }
  }
}

}  // namespace

void Int8DotProd6x16(const int8_t* const* inputs, int32_t k, const int8_t* weights, int32_t* sums) {
  int32x4_t sum[kRows][kVectors] = {};
  const int8_t* in[kRows];
  int8x16_t a[kRows], w[2];
  const auto step = [&](bool more) __attribute__((always_inline)) {
    Quarter<0>(weights, more, in, a, w, sum);
    Quarter<1>(weights, more, in, a, w, sum);
    Quarter<2>(weights, more, in, a, w, sum);
    Quarter<3>(weights, more, in, a, w, sum);
    weights += 4 * kVectors * 16;
  };
  w[0] = Load(weights);
  for (int32_t r = 0; r < kRows; ++r) {
    a[r] = Load(inputs[r]);
    in[r] = inputs[r] + 16;
  }
  for (int32_t i = 16; i < k; i += 16) step(true);
  step(false);
#pragma GCC unroll 8
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) vst1q_s32(sums + r * kInt8DotProdChannels + 4 * v, sum[r][v]);
  }
}

}  // namespace keras_ste
