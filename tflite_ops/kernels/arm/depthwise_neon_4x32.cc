// Four pixels by 32 channels where the sums fit into 16 bits, by 16 at a time where they do not: 16 accumulators.
#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/depthwise_loops.h"

namespace keras_ste {
namespace arm {
namespace {

struct Narrow {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    int16x8_t sum[kPixels][4];
    for (auto& pixel : sum) {
      for (int16x8_t& v : pixel) v = vdupq_n_s16(0);
    }
    for (int32_t tap = 0; tap < taps; ++tap, weights += kChunk) {
      int16x8_t w[4];
      for (int32_t v = 0; v < 4; ++v) w[v] = vld1q_s16(weights + 8 * v);
      const int16_t* x = input + offsets[tap];
      for (int32_t p = 0; p < kPixels; ++p, x += step) {
        for (int32_t v = 0; v < 4; ++v) sum[p][v] = vmlaq_s16(sum[p][v], vld1q_s16(x + 8 * v), w[v]);
      }
    }
    for (int32_t p = 0; p < kPixels; ++p) {
      for (int32_t v = 0; v < 4; ++v, sums += 8) {
        vst1q_s32(sums, vmovl_s16(vget_low_s16(sum[p][v])));
        vst1q_s32(sums + 4, vmovl_high_s16(sum[p][v]));
      }
    }
  }
};

struct Wide {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    for (int32_t lane = 0; lane < kChunk; lane += 16) {
      int32x4_t sum[kPixels][4];
      for (auto& pixel : sum) {
        for (int32x4_t& v : pixel) v = vdupq_n_s32(0);
      }
      const int16_t* weight = weights + lane;
      for (int32_t tap = 0; tap < taps; ++tap, weight += kChunk) {
        const int16x8_t w[2] = {vld1q_s16(weight), vld1q_s16(weight + 8)};
        const int16_t* from = input + offsets[tap] + lane;
        for (int32_t p = 0; p < kPixels; ++p, from += step) {
          for (int32_t h = 0; h < 2; ++h) {
            const int16x8_t x = vld1q_s16(from + 8 * h);
            sum[p][2 * h] = vmlal_s16(sum[p][2 * h], vget_low_s16(x), vget_low_s16(w[h]));
            sum[p][2 * h + 1] = vmlal_high_s16(sum[p][2 * h + 1], x, w[h]);
          }
        }
      }
      for (int32_t p = 0; p < kPixels; ++p) {
        for (int32_t v = 0; v < 4; ++v) vst1q_s32(sums + p * kChunk + lane + 4 * v, sum[p][v]);
      }
    }
  }
};

struct Floats {
  template <int32_t kPixels>
  static void Run(const float* input, int64_t step, const int32_t* offsets, int32_t taps, const float* weights,
                  float* sums) {
    for (int32_t lane = 0; lane < kChunk; lane += 16) {
      float32x4_t sum[kPixels][4];
      for (auto& pixel : sum) {
        for (float32x4_t& v : pixel) v = vdupq_n_f32(0);
      }
      const float* weight = weights + lane;
      for (int32_t tap = 0; tap < taps; ++tap, weight += kChunk) {
        float32x4_t w[4];
        for (int32_t v = 0; v < 4; ++v) w[v] = vld1q_f32(weight + 4 * v);
        const float* x = input + offsets[tap] + lane;
        for (int32_t p = 0; p < kPixels; ++p, x += step) {
          for (int32_t v = 0; v < 4; ++v) sum[p][v] = vaddq_f32(sum[p][v], vmulq_f32(vld1q_f32(x + 4 * v), w[v]));
        }
      }
      for (int32_t p = 0; p < kPixels; ++p) {
        for (int32_t v = 0; v < 4; ++v) vst1q_f32(sums + p * kChunk + lane + 4 * v, sum[p][v]);
      }
    }
  }
};

// Each lane holds its half of the word, of which one bit is its own.
void Spread(const uint32_t* planes, const Numbers& numbers, int32_t chunks, int16_t* values) {
  const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint16x8_t first = vld1q_u16(bits), second = vshlq_n_u16(first, 8);
  for (int32_t chunk = 0; chunk < chunks; ++chunk, ++planes, values += kChunk) {
    const uint32_t* plane = planes;
    int16x8_t value[4];
    for (int16x8_t& v : value) v = vdupq_n_s16(StartOf(numbers));
    for (int32_t p = 0; p < numbers.codes.bits; ++p, plane += WordsOf(numbers.channels)) {
      const int16x8_t worth = vdupq_n_s16(WorthOf(numbers, p));
      const uint16x8_t low = vdupq_n_u16(static_cast<uint16_t>(*plane));
      const uint16x8_t high = vdupq_n_u16(static_cast<uint16_t>(*plane >> 16));
      const uint16x8_t set[4] = {vtstq_u16(low, first), vtstq_u16(low, second), vtstq_u16(high, first),
                                 vtstq_u16(high, second)};
      for (int32_t v = 0; v < 4; ++v) {
        value[v] = vaddq_s16(value[v], vandq_s16(vreinterpretq_s16_u16(set[v]), worth));
      }
    }
    for (int32_t v = 0; v < 4; ++v) vst1q_s16(values + 8 * v, value[v]);
  }
}

}  // namespace

void FillDepthwiseNeon(DepthwiseKernels* table) {
  FillDepthwiseTable<Narrow, Wide, Floats, 4>(table);
  table->spread = Spread;
}

}  // namespace arm
}  // namespace keras_ste
