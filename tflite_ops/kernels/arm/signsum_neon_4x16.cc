// Four pixels by 16 channels. Floats: the mask of one input channel becomes vectors of sign bits that flip the input before
// it is added. Bytes: it flips all bits of the input, which is -x - 1 of an int8 and 255 - x of a uint8; what that is too
// much is known from the number of flips, which all pixels share.
#include <arm_neon.h>

#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

template <int32_t kRows>
void RunFloat(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights, const float* start,
              float* sums) {
  constexpr int32_t kVectors = kBlock / 4;
  const uint32x4_t sign_bit = vdupq_n_u32(0x80000000u);
  uint32x4_t lane_bits[kVectors];
  for (int32_t v = 0; v < kVectors; ++v) {
    const uint32_t bits[4] = {1u << (4 * v), 2u << (4 * v), 4u << (4 * v), 8u << (4 * v)};
    lane_bits[v] = vld1q_u32(bits);
  }
  float32x4_t sum[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) sum[r][v] = start == nullptr ? vdupq_n_f32(0) : vld1q_f32(start + 4 * v);
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < channels; ++i, ++weights) {
      const uint32x4_t mask = vdupq_n_u32(*weights);
      uint32x4_t minus[kVectors];
      for (int32_t v = 0; v < kVectors; ++v) minus[v] = vbicq_u32(sign_bit, vtstq_u32(mask, lane_bits[v]));
      for (int32_t r = 0; r < kRows; ++r) {
        const uint32x4_t x = vreinterpretq_u32_f32(vld1q_dup_f32(inputs[r] + i));
        for (int32_t v = 0; v < kVectors; ++v) {
          sum[r][v] = vaddq_f32(sum[r][v], vreinterpretq_f32_u32(veorq_u32(x, minus[v])));
        }
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) vst1q_f32(sums + r * kChunk + 4 * v, sum[r][v]);
  }
}

// 255 inputs, flipped or not, fit into a sum of 16 bits, and the number of flips into a byte.
constexpr int32_t kStepsBetweenFlushes = 255;

// The two bytes of a mask lie alternately in a vector, so channels 0 and 8 are neighbours, then 1 and 9, and so on. Here 16
// sums in that order come in the usual one, in four vectors.
inline void InOrder(int16x8_t low, int16x8_t high, int32x4_t* sums) {
  const int16x8_t first = vuzp1q_s16(low, high), second = vuzp2q_s16(low, high);
  sums[0] = vmovl_s16(vget_low_s16(first));
  sums[1] = vmovl_high_s16(first);
  sums[2] = vmovl_s16(vget_low_s16(second));
  sums[3] = vmovl_high_s16(second);
}

inline void InOrder(uint16x8_t low, uint16x8_t high, int32x4_t* sums) {
  const uint16x8_t first = vuzp1q_u16(low, high), second = vuzp2q_u16(low, high);
  sums[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(first)));
  sums[1] = vreinterpretq_s32_u32(vmovl_high_u16(first));
  sums[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(second)));
  sums[3] = vreinterpretq_s32_u32(vmovl_high_u16(second));
}

// A flipped byte is kFlip - x.
struct SignedBytes {
  using X = int8_t;
  using Sums = int16x8_t;
  static constexpr int32_t kFlip = -1;
  static uint8x16_t Splat(const int8_t* x) { return vreinterpretq_u8_s8(vld1q_dup_s8(x)); }
  static Sums Zero() { return vdupq_n_s16(0); }
  static Sums AddLow(Sums sums, uint8x16_t x) { return vaddw_s8(sums, vget_low_s8(vreinterpretq_s8_u8(x))); }
  static Sums AddHigh(Sums sums, uint8x16_t x) { return vaddw_high_s8(sums, vreinterpretq_s8_u8(x)); }
};

struct UnsignedBytes {
  using X = uint8_t;
  using Sums = uint16x8_t;
  static constexpr int32_t kFlip = 255;
  static uint8x16_t Splat(const uint8_t* x) { return vld1q_dup_u8(x); }
  static Sums Zero() { return vdupq_n_u16(0); }
  static Sums AddLow(Sums sums, uint8x16_t x) { return vaddw_u8(sums, vget_low_u8(x)); }
  static Sums AddHigh(Sums sums, uint8x16_t x) { return vaddw_high_u8(sums, x); }
};

// The inputs that count +1 are flipped: the sums of what then is there are the results with the opposite sign.
template <typename Bytes, int32_t kRows>
void RunBytes(const typename Bytes::X* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights,
              const int32_t* start, int32_t* sums) {
  const uint8_t bits[16] = {1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128};
  const uint8x16_t lane_bits = vld1q_u8(bits);
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t i = 0; i < kBlock; i += 4) vst1q_s32(sums + r * kChunk + i, vld1q_s32(start + i));
  }
  typename Bytes::Sums low[kRows], high[kRows];
  for (int32_t r = 0; r < kRows; ++r) low[r] = high[r] = Bytes::Zero();
  uint8x16_t flips = vdupq_n_u8(0);
  const auto flush = [&] {
    int32x4_t flipped[4], sum[4];
    InOrder(vmovl_u8(vget_low_u8(flips)), vmovl_high_u8(flips), flipped);
    for (int32_t r = 0; r < kRows; ++r) {
      InOrder(low[r], high[r], sum);
      for (int32_t v = 0; v < 4; ++v) {
        int32_t* at = sums + r * kChunk + 4 * v;
        const int32x4_t unflipped = vsubq_s32(vmulq_n_s32(flipped[v], Bytes::kFlip), sum[v]);
        vst1q_s32(at, vaddq_s32(vld1q_s32(at), unflipped));
      }
      low[r] = high[r] = Bytes::Zero();
    }
    flips = vdupq_n_u8(0);
  };
  int32_t room = kStepsBetweenFlushes;
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < channels;) {
      const int32_t end = channels - i < room ? channels : i + room;
      room -= end - i;
      for (; i < end; ++i, ++weights) {
        const uint8x16_t plus = vtstq_u8(vreinterpretq_u8_u16(vld1q_dup_u16(weights)), lane_bits);
        flips = vsubq_u8(flips, plus);
        for (int32_t r = 0; r < kRows; ++r) {
          const uint8x16_t x = veorq_u8(Bytes::Splat(inputs[r] + i), plus);
          low[r] = Bytes::AddLow(low[r], x);
          high[r] = Bytes::AddHigh(high[r], x);
        }
      }
      if (room == 0) {
        flush();
        room = kStepsBetweenFlushes;
      }
    }
  }
  flush();
}

template <typename Bytes>
void FillBytes(SignSum<typename Bytes::X, int32_t>* by_rows) {
  by_rows[1] = RunBytes<Bytes, 1>;
  by_rows[2] = RunBytes<Bytes, 2>;
  by_rows[3] = RunBytes<Bytes, 3>;
  by_rows[4] = RunBytes<Bytes, 4>;
}

}  // namespace

void FillSignSumNeon(KernelTable* table) {
  table->signsum_rows = 4;
  table->signsum_float[1] = RunFloat<1>;
  table->signsum_float[2] = RunFloat<2>;
  table->signsum_float[3] = RunFloat<3>;
  table->signsum_float[4] = RunFloat<4>;
  FillBytes<SignedBytes>(table->signsum_int8);
  FillBytes<UnsignedBytes>(table->signsum_uint8);
}

}  // namespace arm
}  // namespace keras_ste
