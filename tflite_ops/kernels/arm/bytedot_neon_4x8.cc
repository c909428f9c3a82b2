// Four pixels by eight channels, without a dot product. A vector of weights is four channels by four inputs, and so are the
// sums of 16 bits, two vectors of them, until they are added to those of 32 bits, before they can overflow:
//   1 bit         the inputs under a mask, of which two neighbours are added at once: one vector of sums
//   2 and 4 bits  a multiplication that adds to 16 bits
//   8 bits        each product fills 16 bits; weights are made signed
#include <arm_neon.h>

#include "kernels/arm/kernels.h"
#include "kernels/arm/packed_bytes.h"

namespace keras_ste {
namespace arm {
namespace {

// The kinds of sums of one pixel and one vector of weights:
//   kVectors                   vectors of weights that are multiplied at once
//   kSteps                     words of weights after which Flush() is due
//   Unpack<phase>(packed)      the weights of one phase
//   Add(w, y)                  adds products
//   Flush()                    adds the sums of 16 bits to those of 32
//   Total()                    the sums of the four channels

struct MaskedSums {
  static constexpr int32_t kBits = 1, kVectors = 2;
  static constexpr int32_t kSteps = 15;  // eight times two inputs of -128 each

  int16x8_t narrow;
  int32x4_t wide;

  template <int32_t kPhase>
  static uint8x16_t Unpack(uint8x16_t packed) {
    return vtstq_u8(packed, vdupq_n_u8(1 << kPhase));
  }
  void Add(uint8x16_t w, int8x16_t y) { narrow = vpadalq_s8(narrow, vandq_s8(vreinterpretq_s8_u8(w), y)); }
  void Flush() {
    wide = vpadalq_s16(wide, narrow);
    narrow = vdupq_n_s16(0);
  }
  int32x4_t Total() const { return wide; }
};

template <int32_t kWidth>
struct NarrowSums {
  static constexpr int32_t kBits = kWidth, kVectors = 2;
  static constexpr int32_t kSteps = INT16_MAX / (128 * ((1 << kBits) - 1)) / (8 / kBits);

  int16x8_t low, high;
  int32x4_t wide_low, wide_high;

  template <int32_t kPhase>
  static uint8x16_t Unpack(uint8x16_t packed) {
    return arm::Unpack<kBits, kPhase>(packed);
  }
  void Add(uint8x16_t w, int8x16_t y) {
    low = vmlal_s8(low, vget_low_s8(vreinterpretq_s8_u8(w)), vget_low_s8(y));
    high = vmlal_high_s8(high, vreinterpretq_s8_u8(w), y);
  }
  void Flush() {
    wide_low = vpadalq_s16(wide_low, low);
    wide_high = vpadalq_s16(wide_high, high);
    low = high = vdupq_n_s16(0);
  }
  int32x4_t Total() const { return vpaddq_s32(wide_low, wide_high); }
};

struct WideSums {
  static constexpr int32_t kBits = 8, kVectors = 2;
  static constexpr int32_t kSteps = INT32_MAX;

  int32x4_t low, high;

  template <int32_t kPhase>
  static uint8x16_t Unpack(uint8x16_t packed) {
    return Signed(packed);
  }
  void Add(uint8x16_t w, int8x16_t y) {
    low = vpadalq_s16(low, vmull_s8(vget_low_s8(vreinterpretq_s8_u8(w)), vget_low_s8(y)));
    high = vpadalq_s16(high, vmull_high_s8(vreinterpretq_s8_u8(w), y));
  }
  void Flush() {}
  int32x4_t Total() const { return vpaddq_s32(low, high); }
};

template <typename Sums, int32_t kRows>
struct Tile {
  static constexpr int32_t kVectors = Sums::kVectors;

  Sums sum[kRows][kVectors];
  uint8x16_t packed[kVectors];
  const int8_t* in[kRows];

  template <int32_t kPhase>
  __attribute__((always_inline)) void Phases() {
    if constexpr (kPhase < 8 / Sums::kBits) {
      uint8x16_t w[kVectors];
      for (int32_t v = 0; v < kVectors; ++v) w[v] = Sums::template Unpack<kPhase>(packed[v]);
#pragma GCC unroll 4  // or the sums would be kept in memory
      for (int32_t r = 0; r < kRows; ++r) {
        const int8x16_t y = FourBytes(in[r]);
        in[r] += 4;
#pragma GCC unroll 4
        for (int32_t v = 0; v < kVectors; ++v) sum[r][v].Add(w[v], y);
      }
      Phases<kPhase + 1>();
    }
  }

  __attribute__((always_inline)) void Flush() {
#pragma GCC unroll 4
    for (int32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int32_t v = 0; v < kVectors; ++v) sum[r][v].Flush();
    }
  }

  __attribute__((always_inline)) void Run(const int8_t* const* inputs, int32_t taps, int32_t steps,
                                          const uint32_t* weights) {
    int32_t room = Sums::kSteps;
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t r = 0; r < kRows; ++r) in[r] = inputs[r];
      for (int32_t left = steps; left > 0;) {
        const int32_t now = left < room ? left : room;
        for (int32_t i = 0; i < now; ++i, weights += kBlock) {
          for (int32_t v = 0; v < kVectors; ++v) packed[v] = LoadPacked(weights + 4 * v);
          Phases<0>();
        }
        left -= now;
        room -= now;
        if (room == 0) {
          Flush();
          room = Sums::kSteps;
        }
      }
    }
    Flush();
  }
};

template <typename Sums, int32_t kBlocks, int32_t kRows>
void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int64_t block_stride,
         int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kLanes = 4 * Sums::kVectors;
  int32_t first[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    first[r] = row_start[r];
    if (Sums::kBits == 8) first[r] = SignedStart(inputs + r, taps, 4 * steps, kRows, shift, row_start[r]);
  }
  for (int32_t lane = 0; lane < kBlocks * kBlock; lane += kLanes) {
    Tile<Sums, kRows> tile = {};
    tile.Run(inputs, taps, steps, weights + lane / kBlock * block_stride + lane % kBlock);
#pragma GCC unroll 4
    for (int32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int32_t v = 0; v < Sums::kVectors; ++v) {
        const int32_t at = lane + 4 * v;
        StoreSums(tile.sum[r][v].Total(), shift, start + at, first[r], sums + r * kChunk + at);
      }
    }
  }
}

template <typename Sums, int32_t kBlocks>
void Fill(ByteDot* by_rows) {
  by_rows[1] = Run<Sums, kBlocks, 1>;
  by_rows[2] = Run<Sums, kBlocks, 2>;
  by_rows[3] = Run<Sums, kBlocks, 3>;
  by_rows[4] = Run<Sums, kBlocks, 4>;
}

template <typename Sums>
void Fill(ByteDot (*by_blocks)[kMaxTileRows + 1]) {
  Fill<Sums, 1>(by_blocks[0]);
  Fill<Sums, 2>(by_blocks[1]);
}

}  // namespace

void FillByteDotNeon(CodeKernels* table) {
  table->bytedot_rows = 4;
  Fill<MaskedSums>(table->bytedot[0]);
  Fill<NarrowSums<2>>(table->bytedot[1]);
  Fill<NarrowSums<4>>(table->bytedot[2]);
  Fill<WideSums>(table->bytedot[3]);
}

}  // namespace arm
}  // namespace keras_ste
