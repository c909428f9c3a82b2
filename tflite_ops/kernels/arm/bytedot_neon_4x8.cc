// Four pixels by eight channels, without a dot product. A vector of weights is four channels by four inputs, and so are the
// sums of 16 bits, two vectors of them, until they are added to those of 32 bits, before they can overflow:
//   1 bit         the inputs under a mask, of which two neighbours are added at once: one vector of sums
//   2 and 4 bits  a multiplication that adds to 16 bits
//   8 bits        each product fills 16 bits; weights are made signed
#include <arm_neon.h>

#include "kernels/arm/in_order.h"
#include "kernels/arm/kernels.h"
#include "kernels/arm/packed_bytes.h"

namespace keras_ste {
namespace arm {
namespace {

constexpr int32_t kVectors = 2;

// The kinds of sums, each those of one pixel and one vector of weights:
//   kBits                      of a weight
//   kSteps                     words of weights after which Flush() is due
//   Cut<phase>(packed, mask)   the weights of one phase, which its bits have been shifted to where there are several
//   Add<rows>(w, y, sums)      adds the products of each vector of weights and each pixel's inputs
//   Flush()                    adds the sums of 16 bits to those of 32
//   Total()                    the sums of the four channels

struct MaskedSums {
  static constexpr int32_t kBits = 1;
  static constexpr int32_t kSteps = 15;  // eight times two inputs of -128 each

  int16x8_t narrow;
  int32x4_t wide;

  template <int32_t kPhase>
  static uint8x16_t Cut(uint8x16_t packed, uint8x16_t) {
    uint8x16_t v;
    asm volatile("cmtst %0.16b, %1.16b, %2.16b" : "=w"(v) : "w"(packed), "w"(vdupq_n_u8(1 << kPhase)));
    return v;
  }
  template <int32_t kRows>
  static void Add(const uint8x16_t* w, const int8x16_t* y, MaskedSums (*sums)[kRows]) {
    uint8x16_t kept[kVectors][kRows];
    for (int32_t v = 0; v < kVectors; ++v) {
      for (int32_t r = 0; r < kRows; ++r) kept[v][r] = Common(w[v], vreinterpretq_u8_s8(y[r]));
    }
    for (int32_t v = 0; v < kVectors; ++v) {
      for (int32_t r = 0; r < kRows; ++r) {
        asm volatile("sadalp %0.8h, %1.16b" : "+w"(sums[v][r].narrow) : "w"(kept[v][r]));
      }
    }
  }
  void Flush() {
    wide = vpadalq_s16(wide, narrow);
    narrow = vdupq_n_s16(0);
  }
  int32x4_t Total() const { return wide; }
};

template <int32_t kWidth>
struct NarrowSums {
  static constexpr int32_t kBits = kWidth;
  static constexpr int32_t kSteps = INT16_MAX / (128 * ((1 << kBits) - 1)) / (8 / kBits);

  int16x8_t low, high;
  int32x4_t wide_low, wide_high;

  template <int32_t kPhase>
  static uint8x16_t Cut(uint8x16_t shifted, uint8x16_t mask) {
    return kPhase + 1 == 8 / kBits ? shifted : Common(shifted, mask);
  }
  template <int32_t kRows>
  static void Add(const uint8x16_t* w, const int8x16_t* y, NarrowSums (*sums)[kRows]) {
    for (int32_t v = 0; v < kVectors; ++v) {
      for (int32_t r = 0; r < kRows; ++r) {
        asm volatile("smlal %0.8h, %1.8b, %2.8b" : "+w"(sums[v][r].low) : "w"(w[v]), "w"(y[r]));
        asm volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(sums[v][r].high) : "w"(w[v]), "w"(y[r]));
      }
    }
  }
  void Flush() {
    wide_low = vpadalq_s16(wide_low, low);
    wide_high = vpadalq_s16(wide_high, high);
    low = high = vdupq_n_s16(0);
  }
  int32x4_t Total() const { return vpaddq_s32(wide_low, wide_high); }
};

struct WideSums {
  static constexpr int32_t kBits = 8;
  static constexpr int32_t kSteps = INT32_MAX;

  int32x4_t low, high;

  template <int32_t kPhase>
  static uint8x16_t Cut(uint8x16_t packed, uint8x16_t) {
    return Signed(packed);
  }
  // Each product is added when four others are on their way.
  template <int32_t kRows>
  static void Add(const uint8x16_t* w, const int8x16_t* y, WideSums (*sums)[kRows]) {
    int16x8_t products[kRows];
    for (int32_t r = 0; r < kRows; ++r) products[r] = MultiplyLow(w[0], y[r]);
    for (int32_t v = 0; v < kVectors; ++v) {
      for (int32_t r = 0; r < kRows; ++r) {
        AddPairs(products[r], &sums[v][r].low);
        products[r] = MultiplyHigh(w[v], y[r]);
      }
      for (int32_t r = 0; r < kRows; ++r) {
        AddPairs(products[r], &sums[v][r].high);
        if (v + 1 < kVectors) products[r] = MultiplyLow(w[v + 1], y[r]);
      }
    }
  }
  static int16x8_t MultiplyLow(uint8x16_t w, int8x16_t y) {
    int16x8_t products;
    asm volatile("smull %0.8h, %1.8b, %2.8b" : "=w"(products) : "w"(w), "w"(y));
    return products;
  }
  static int16x8_t MultiplyHigh(uint8x16_t w, int8x16_t y) {
    int16x8_t products;
    asm volatile("smull2 %0.8h, %1.16b, %2.16b" : "=w"(products) : "w"(w), "w"(y));
    return products;
  }
  static void AddPairs(int16x8_t products, int32x4_t* sum) {
    asm volatile("sadalp %0.4s, %1.8h" : "+w"(*sum) : "w"(products));
  }
  void Flush() {}
  int32x4_t Total() const { return vpaddq_s32(low, high); }
};

template <typename Sums, int32_t kRows>
struct Tile {
  static constexpr int32_t kBits = Sums::kBits, kPhases = 8 / kBits;

  Sums sum[kVectors][kRows];
  const int8_t* in[kRows];
  const uint32_t* weights;
  int8x16_t y[kRows];
  uint8x16_t packed[kVectors], w[kVectors], mask;

  void LoadStep() {
    for (int32_t v = 0; v < kVectors; ++v) packed[v] = LoadWeights(weights + 4 * v);
    weights += kBlock;
  }

  template <int32_t kPhase>
  static uint8x16_t Shifted(uint8x16_t a) {
    if constexpr (kPhase == 0 || kBits == 1) return a;
    return ShiftRight<kPhase * kBits>(a);
  }

  // Four inputs of each pixel. They are loaded and their weights unpacked, as the next ones will be where there are `more`.
  template <int32_t kPhase>
  __attribute__((always_inline)) void Phases(bool more) {
    if constexpr (kPhase < kPhases) {
      constexpr int32_t kNext = (kPhase + 1) % kPhases;
      const bool ahead = kPhase + 1 < kPhases || more;
      uint8x16_t next[kVectors];
      int8x16_t next_y[kRows];
      if (ahead && kNext == 0) LoadStep();
      for (int32_t r = 0; r < kRows && ahead; ++r) next_y[r] = LoadInput(in[r]), in[r] += 4;
      for (int32_t v = 0; v < kVectors && ahead; ++v) next[v] = Shifted<kNext>(packed[v]);
      Sums::template Add<kRows>(w, y, sum);
      for (int32_t v = 0; v < kVectors && ahead; ++v) w[v] = Sums::template Cut<kNext>(next[v], mask);
      for (int32_t r = 0; r < kRows && ahead; ++r) y[r] = next_y[r];
      Phases<kPhase + 1>(more);
    }
  }

  __attribute__((always_inline)) void Flush() {
#pragma GCC unroll 2  // or the sums would be kept in memory
    for (int32_t v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
      for (int32_t r = 0; r < kRows; ++r) sum[v][r].Flush();
    }
  }

  __attribute__((always_inline)) void Run(const int8_t* const* inputs, int32_t taps, int32_t steps) {
    mask = vdupq_n_u8((1 << kBits) - 1);
    int32_t room = Sums::kSteps;
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t r = 0; r < kRows; ++r) in[r] = inputs[r];
      for (int32_t left = steps; left > 0;) {
        const int32_t now = left < room ? left : room;
        LoadStep();
        for (int32_t v = 0; v < kVectors; ++v) w[v] = Sums::template Cut<0>(packed[v], mask);
        for (int32_t r = 0; r < kRows; ++r) y[r] = LoadInput(in[r]), in[r] += 4;
        for (int32_t i = 1; i < now; ++i) Phases<0>(true);
        Phases<0>(false);
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
  constexpr int32_t kLanes = 4 * kVectors;
  int32_t first[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    first[r] = row_start[r];
    if (Sums::kBits == 8) first[r] = SignedStart(inputs + r, taps, 4 * steps, kRows, shift, row_start[r]);
  }
  for (int32_t lane = 0; lane < kBlocks * kBlock; lane += kLanes) {
    Tile<Sums, kRows> tile = {};
    tile.weights = weights + lane / kBlock * block_stride + lane % kBlock;
    tile.Run(inputs, taps, steps);
#pragma GCC unroll 4
    for (int32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int32_t v = 0; v < kVectors; ++v) {
        const int32_t at = lane + 4 * v;
        StoreSums(tile.sum[v][r].Total(), shift, start + at, first[r], sums + r * kChunk + at);
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
