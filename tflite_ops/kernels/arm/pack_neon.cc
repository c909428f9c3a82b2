#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/arm/lane_bits.h"
#include "kernels/bits.h"
#include "kernels/pack_loops.h"

namespace keras_ste {
namespace arm {

void PackSignsNeon(const float* x, int64_t n, uint32_t* words) {
  for (; n >= 32; n -= 32, x += 32, ++words) {
    uint32x4_t positive[8];
    for (int32_t i = 0; i < 8; ++i) positive[i] = vcgezq_f32(vld1q_f32(x + 4 * i));
    *words = LaneBits(positive);
  }
  if (n > 0) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; ++i) bits |= (x[i] >= 0.0f ? 1u : 0u) << i;
    *words = bits;
  }
}

namespace {

// Of 16 bytes, the place of each in the bits of one of two bytes.
inline uint8x16_t Places() {
  const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return vld1q_u8(places);
}

// One bit of each of 32 bytes.
inline uint32_t BitOfBytes(uint8x16_t first, uint8x16_t second, uint8x16_t bit) {
  const uint8x16_t places = Places();
  const uint8x16_t pairs = vpaddq_u8(vandq_u8(vtstq_u8(first, bit), places), vandq_u8(vtstq_u8(second, bit), places));
  const uint8x16_t fours = vpaddq_u8(pairs, pairs);
  return vgetq_lane_u32(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)), 0);
}

void PackPlanes(const int8_t* codes, int32_t n, int32_t bits, uint32_t* planes) {
  const int32_t words = WordsOf(n);
  for (; n > 0; n -= 32, codes += 32, ++planes) {
    int8_t last[32] = {};
    if (n < 32) __builtin_memcpy(last, codes, static_cast<size_t>(n));
    const int8_t* from = n < 32 ? last : codes;
    const uint8x16_t first = vreinterpretq_u8_s8(vld1q_s8(from)), second = vreinterpretq_u8_s8(vld1q_s8(from + 16));
    for (int32_t p = 0; p < bits; ++p) {
      planes[static_cast<int64_t>(p) * words] = BitOfBytes(first, second, vdupq_n_u8(static_cast<uint8_t>(1 << p)));
    }
  }
}

// The value where a bit is set, else 0, for the 16 bits of which `byte_of` says in which byte of the word they are.
inline int8x16_t WhereSet(uint8x16_t word, uint8x16_t byte_of, int8_t value) {
  const uint8x16_t set = vtstq_u8(vqtbl1q_u8(word, byte_of), Places());
  return vandq_s8(vreinterpretq_s8_u8(set), vdupq_n_s8(value));
}

int32_t UnpackPixel(const uint32_t* planes, int64_t words, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                    int8_t* bytes) {
  const uint8x16_t first = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1)), second = vcombine_u8(vdup_n_u8(2), vdup_n_u8(3));
  int32x4_t sum = vdupq_n_s32(0);
  for (; n >= 32; n -= 32, ++planes, bytes += 32) {
    int8x16_t low = vdupq_n_s8(start), high = low;
    for (int32_t p = 0; p < bits; ++p) {
      const uint8x16_t word = vreinterpretq_u8_u32(vld1q_dup_u32(planes + p * words));
      low = vaddq_s8(low, WhereSet(word, first, worth[p]));
      high = vaddq_s8(high, WhereSet(word, second, worth[p]));
    }
    vst1q_s8(bytes, low);
    vst1q_s8(bytes + 16, high);
    sum = vpadalq_s16(sum, vpadalq_s8(vpaddlq_s8(low), high));
  }
  return vaddvq_s32(sum) + UnpackLoop(planes, words, n, bits, start, worth, bytes);
}

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  return FlipLoop(codes, n, flip, bytes);
}

// The conversion rounds halves to even, and makes 0 of a NaN.
float QuantizeRow(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  const float largest = LargestLoop(x, n, least);
  const float factor = limit / largest;
  int32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), factor));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4), factor));
    vst1_s8(codes + i, vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high))));
  }
  for (; i < n; ++i) codes[i] = static_cast<int8_t>(vcvtns_s32_f32(x[i] * factor));
  return largest;
}

}  // namespace

void FillRowsNeon(CodeKernels* table) {
  table->pack_planes = PackPlanes;
  table->unpack_planes = UnpackPixels<UnpackPixel>;
  table->flip_bytes = FlipBytes;
  table->quantize_row = QuantizeRow;
}

}  // namespace arm
}  // namespace keras_ste
