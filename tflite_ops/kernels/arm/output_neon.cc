#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/arm/lane_bits.h"
#include "kernels/combine_lanes.h"
#include "kernels/output_loops.h"

namespace keras_ste {
namespace arm {
namespace {

// Two sums, multiplied and shifted to the right with halves up, of 64 bits each.
inline int32x2_t MultiplyTwo(int32x2_t sums, int32x2_t multipliers, int32x2_t left) {
  return vmovn_s64(vrshlq_s64(vmull_s32(sums, multipliers), vmovl_s32(left)));
}

// What four channels are quantized with.
struct Four {
  int32x4_t bias, multiplier, left;

  Four(const Requantize& q, int32_t i)
      : bias(q.bias == nullptr ? vdupq_n_s32(0) : vld1q_s32(q.bias + i)),
        multiplier(vld1q_s32(q.multipliers + i)),
        left(vsubq_s32(vld1q_s32(q.shifts + i), vdupq_n_s32(31))) {}

  int16x4_t Of(const int32_t* sums, const Requantize& q) const {
    const int32x4_t sum = vaddq_s32(vld1q_s32(sums), bias);
    const int32x2_t low = MultiplyTwo(vget_low_s32(sum), vget_low_s32(multiplier), vget_low_s32(left));
    const int32x2_t high = MultiplyTwo(vget_high_s32(sum), vget_high_s32(multiplier), vget_high_s32(left));
    const int32x4_t moved = vaddq_s32(vcombine_s32(low, high), vdupq_n_s32(q.zero_point));
    return vmovn_s32(vminq_s32(vmaxq_s32(moved, vdupq_n_s32(q.low)), vdupq_n_s32(q.high)));
  }
};

inline void StoreEight(int16x8_t v, int16_t* out) { vst1q_s16(out, v); }
inline void StoreEight(int16x8_t v, int8_t* out) { vst1_s8(out, vmovn_s16(v)); }

template <typename Out>
void RequantizeSums(const int32_t* sums, int32_t rows, const Requantize& q, int32_t n, Out* const* out) {
  int32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Four low(q, i), high(q, i + 4);
    for (int32_t r = 0; r < rows; ++r) {
      const int32_t* at = sums + r * kChunk + i;
      StoreEight(vcombine_s16(low.Of(at, q), high.Of(at + 4, q)), out[r] + i);
    }
  }
  RequantizeLoop(sums, rows, q, i, n, out);
}

uint32_t Reach(const int32_t* sums, const int32_t* thresholds) {
  uint32x4_t reached[kChunk / 4];
  for (int32_t i = 0; i < kChunk; i += 4) reached[i / 4] = vcgeq_s32(vld1q_s32(sums + i), vld1q_s32(thresholds + i));
  return LaneBits(reached);
}

uint32_t Reach(const float* sums, const float* thresholds) {
  uint32x4_t reached[kChunk / 4];
  for (int32_t i = 0; i < kChunk; i += 4) reached[i / 4] = vcgeq_f32(vld1q_f32(sums + i), vld1q_f32(thresholds + i));
  return LaneBits(reached);
}

template <typename Sum>
void CodesOfSums(const Sum* sums, int32_t rows, const Sum* thresholds, int64_t stride, const PlaneWords& out) {
  CodesLoop<Sum, Reach>(sums, rows, thresholds, stride, out);
}

// Eight rows of two vectors, and the constants of both.
struct Quads {
  static constexpr int32_t kLanes = 4, kVectors = 2;
  static float32x4_t Floats(const int32_t* p) { return vcvtq_f32_s32(vld1q_s32(p)); }
  static uint32_t Reach(float32x4_t x, float32x4_t y) {
    const uint32_t bits[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(x, y), vld1q_u32(bits)));
  }
  static void Round(float32x4_t x, const Rounding& how, int8_t* out) {
    const float32x4_t clamped = vminq_f32(vmaxq_f32(x, vdupq_n_f32(how.low)), vdupq_n_f32(how.high));
    const int32x4_t moved = vaddq_s32(vcvtnq_s32_f32(clamped), vdupq_n_s32(how.zero_point));
    const int16x4_t words = vmovn_s32(vandq_s32(moved, vreinterpretq_s32_u32(vceqq_f32(x, x))));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    vst1_lane_s32(reinterpret_cast<int32_t*>(out), vreinterpret_s32_s8(bytes), 0);
  }
};

}  // namespace

const OutputKernels kOutputNeon = {CombineLanes<Quads>::Sums<int32_t>, CombineLanes<Quads>::Sums<float>,
                                   CodesOfSums<int32_t>, CodesOfSums<float>,
                                   RequantizeSums<int8_t>, RequantizeSums<int16_t>};

}  // namespace arm
}  // namespace keras_ste
