// Eight pixels by eight channels, for whatever adds the products of four bytes of weights and four of an input to each lane: 16
// accumulators, 8 inputs of 16 bytes, of which each instruction takes four by their index, 2 vectors of packed weights, 2 of
// those that are multiplied and 2 of the next. One pixel is bound by the bytes of the weights and by the shifts that would
// unpack them: there they are multiplied in place, under masks, and each phase has accumulators of its own, 2^(phase * bits)
// times too large.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_ARM_BYTEDOT_8X8_H_
#define KERAS_STE_KERNELS_ARM_BYTEDOT_8X8_H_

#include <arm_neon.h>

#include "kernels/arm/in_order.h"
#include "kernels/arm/packed_bytes.h"

namespace keras_ste {
namespace arm {

// `Dot` is how products are added up:
//   kSigned                                 whether weights of eight bits are to be signed
//   AddQuarter<quarter>(w, y, &sum)         to each lane the products of its four weights and four of the inputs, in order
//   Add(w, y, &sum)                         the first four, in any order
template <typename Dot, int32_t kBits>
struct ByteDot8x8 {
  static constexpr int32_t kPhases = 8 / kBits;
  static constexpr bool kSigned = kBits == 8 && Dot::kSigned;
  // Inputs are read 16 at a time, and so are as many words of weights as have that many, or one that has more.
  static constexpr int32_t kQuarters = kPhases > 4 ? kPhases : 4;
  static constexpr int32_t kSteps = kQuarters / kPhases;

  static int32_t First(const int8_t* const* inputs, int32_t taps, int32_t steps, int32_t rows, int32_t shift,
                       int32_t row_start) {
    return kSigned ? SignedStart(inputs, taps, 4 * steps, rows, shift, row_start) : row_start;
  }

  template <int32_t kRows>
  struct Tile {
    static constexpr int32_t kVectors = 2;

    const int8_t* in[kRows];
    int64_t offset;
    const uint32_t* weights;
    int32x4_t sum[kRows][kVectors];
    int8x16_t y[kRows];
    uint8x16_t packed[kVectors], w[kVectors], mask;

    void LoadStep() {
      for (int32_t v = 0; v < kVectors; ++v) packed[v] = arm::LoadWeights(weights + 4 * v);
      weights += kBlock;
    }

    void LoadInputs() {
      for (int32_t r = 0; r < kRows; ++r) y[r] = LoadInput(in[r], offset);
      offset += 16;
    }

    // Unpacks the weights of one phase in two parts.
    template <int32_t kPhase>
    uint8x16_t Shifted(uint8x16_t a) {
      if constexpr (kPhase == 0) return a;
      return ShiftRight<kPhase * kBits>(a);
    }
    template <int32_t kPhase>
    uint8x16_t Cut(uint8x16_t a) {
      if (kSigned) return Signed(a);
      return kPhase + 1 == kPhases ? a : Common(a, mask);
    }

    // Four inputs of each pixel, whose weights are unpacked, as the next ones will be where there are `more`.
    template <int32_t kAt>
    __attribute__((always_inline)) void Quarter(bool more) {
      constexpr int32_t kNextPhase = (kAt + 1) % kPhases;
      const bool ahead = kAt + 1 < kQuarters || more;
      if (ahead && kNextPhase == 0) LoadStep();
      uint8x16_t next[kVectors];
#pragma GCC unroll 2  // or the sums would be kept in memory
      for (int32_t v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
        for (int32_t r = 0; r < kRows; ++r) {
          Dot::template AddQuarter<kAt % 4>(w[v], y[r], &sum[r][v]);
          if (!ahead || r != 1) continue;
          for (int32_t n = 0; n < kVectors; ++n) {
            next[n] = v == 0 ? Shifted<kNextPhase>(packed[n]) : Cut<kNextPhase>(next[n]);
          }
        }
      }
      if (ahead && kAt % 4 == 3) LoadInputs();
      if (ahead) w[0] = next[0], w[1] = next[1];
    }

    template <int32_t kAt>
    __attribute__((always_inline)) void Quarters(bool more) {
      if constexpr (kAt < kQuarters) {
        Quarter<kAt>(more);
        Quarters<kAt + 1>(more);
      }
    }

    // A word of weights that has less than 16 inputs.
    template <int32_t kPhase>
    __attribute__((always_inline)) void Phases() {
      if constexpr (kPhase < kPhases) {
        for (int32_t v = 0; v < kVectors; ++v) {
          w[v] = Unpack<kBits, kPhase>(packed[v]);
          if (kSigned) w[v] = Signed(w[v]);
        }
#pragma GCC unroll 8
        for (int32_t r = 0; r < kRows; ++r) {
          const int8x16_t four = FourBytes(in[r] + offset);
          for (int32_t v = 0; v < kVectors; ++v) Dot::Add(w[v], four, &sum[r][v]);
        }
        offset += 4;
        Phases<kPhase + 1>();
      }
    }

    __attribute__((always_inline)) void Run(const int8_t* const* inputs, int32_t taps, int32_t steps) {
      mask = vdupq_n_u8((1 << kBits) - 1);
      for (int32_t r = 0; r < kRows; ++r) {
        for (int32_t v = 0; v < kVectors; ++v) sum[r][v] = vdupq_n_s32(0);
      }
      for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
        for (int32_t r = 0; r < kRows; ++r) in[r] = inputs[r];
        offset = 0;
        int32_t left = steps;
        if (left >= kSteps) {
          LoadStep();
          for (int32_t v = 0; v < kVectors; ++v) w[v] = Cut<0>(packed[v]);
          LoadInputs();
          for (; left >= 2 * kSteps; left -= kSteps) Quarters<0>(true);
          Quarters<0>(false);
          left -= kSteps;
        }
        for (; left > 0; --left) {
          LoadStep();
          Phases<0>();
        }
      }
    }
  };

  template <int32_t kBlocks, int32_t kRows>
  static void Rows(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                   int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    constexpr int32_t kLanes = 8;
    int32_t first[kRows];
    for (int32_t r = 0; r < kRows; ++r) first[r] = First(inputs + r, taps, steps, kRows, shift, row_start[r]);
    for (int32_t lane = 0; lane < kBlocks * kBlock; lane += kLanes) {
      Tile<kRows> tile;
      tile.weights = weights + lane / kBlock * block_stride + lane % kBlock;
      tile.Run(inputs, taps, steps);
#pragma GCC unroll 8
      for (int32_t r = 0; r < kRows; ++r) {
        int32_t* at = sums + r * kChunk + lane;
        StoreSums(tile.sum[r][0], shift, start + lane, first[r], at);
        StoreSums(tile.sum[r][1], shift, start + lane + 4, first[r], at + 4);
      }
    }
  }

  // One pixel by 16 channels, or by eight where the phases are so many that the accumulators would not fit. Eight vectors of
  // weights, those of several quarters of the inputs, are cut out one after the other, and then multiplied.
  struct Row {
    static constexpr int32_t kVectors = kBits == 1 ? 2 : 4;
    static constexpr int32_t kTogether = 8 / kVectors;  // quarters
    static constexpr int32_t kPacked = kTogether > kPhases ? kTogether / kPhases : 1;

    const int8_t* in;
    const uint32_t* weights;
    int32x4_t sum[kPhases][kVectors];
    int8x16_t y;
    uint8x16_t packed[kPacked][kVectors];

    void LoadSteps() {
      for (int32_t i = 0; i < kPacked; ++i, weights += kBlock) {
        for (int32_t v = 0; v < kVectors; ++v) packed[i][v] = LoadWeights(weights + 4 * v);
      }
    }

    void LoadSixteen() {
      y = LoadInput(in, 0);
      in += 16;
    }

    template <int32_t kPhase>
    static uint8x16_t InPlace(uint8x16_t a) {
      if (kBits == 8) return kSigned ? Differing(a, vdupq_n_u8(kToSigned)) : a;
      // The last phase in its place might be negative.
      if constexpr (kPhase > 0 && kPhase == kPhases - 1) return ShiftRight<kPhase * kBits>(a);
      return Common(a, vdupq_n_u8(((1 << kBits) - 1) << (kPhase * kBits)));
    }

    template <int32_t kAt, int32_t kOf>
    __attribute__((always_inline)) void Cut(uint8x16_t (*w)[kVectors]) const {
      if constexpr (kOf < kTogether) {
        for (int32_t v = 0; v < kVectors; ++v) w[kOf][v] = InPlace<(kAt + kOf) % kPhases>(packed[kOf / kPhases][v]);
        Cut<kAt, kOf + 1>(w);
      }
    }

    template <int32_t kAt, int32_t kOf>
    __attribute__((always_inline)) void Add(const uint8x16_t (*w)[kVectors]) {
      if constexpr (kOf < kTogether) {
        constexpr int32_t kPhase = (kAt + kOf) % kPhases;
        for (int32_t v = 0; v < kVectors; ++v) Dot::template AddQuarter<(kAt + kOf) % 4>(w[kOf][v], y, &sum[kPhase][v]);
        Add<kAt, kOf + 1>(w);
      }
    }

    template <int32_t kAt>
    __attribute__((always_inline)) void Quarters(bool more) {
      if constexpr (kAt < kQuarters) {
        constexpr int32_t kNext = kAt + kTogether;
        const bool ahead = kNext < kQuarters || more;
        uint8x16_t w[kTogether][kVectors];
        Cut<kAt, 0>(w);
        if (ahead && kNext % kPhases == 0) LoadSteps();
        Add<kAt, 0>(w);
        if (ahead && kNext % 4 == 0) LoadSixteen();
        Quarters<kNext>(more);
      }
    }

    // A word of weights that has less than 16 inputs.
    template <int32_t kPhase>
    __attribute__((always_inline)) void Phases() {
      if constexpr (kPhase < kPhases) {
        const int8x16_t four = FourBytes(in);
        for (int32_t v = 0; v < kVectors; ++v) {
          Dot::Add(InPlace<kPhase>(LoadPacked(weights + 4 * v)), four, &sum[kPhase][v]);
        }
        in += 4;
        Phases<kPhase + 1>();
      }
    }

    __attribute__((always_inline)) void Run(const int8_t* const* inputs, int32_t taps, int32_t steps) {
      for (auto& phase : sum) {
        for (int32x4_t& s : phase) s = vdupq_n_s32(0);
      }
      for (int32_t tap = 0; tap < taps; ++tap) {
        in = inputs[tap];
        int32_t left = steps;
        if (left >= kSteps) {
          LoadSteps();
          LoadSixteen();
          for (; left >= 2 * kSteps; left -= kSteps) Quarters<0>(true);
          Quarters<0>(false);
          left -= kSteps;
        }
        for (; left > 0; --left, weights += kBlock) Phases<0>();
      }
    }

    template <int32_t kPhase>
    int32x4_t Total(int32_t v) const {
      if constexpr (kPhase + 1 == kPhases) {
        return sum[kPhase][v];
      } else if constexpr (kPhase == 0) {
        return vaddq_s32(sum[0][v], Total<1>(v));
      } else {
        return vaddq_s32(vshrq_n_s32(sum[kPhase][v], kPhase * kBits), Total<kPhase + 1>(v));
      }
    }
  };

  template <int32_t kBlocks>
  static void OneRow(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                     int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start,
                     int32_t* sums) {
    constexpr int32_t kLanes = 4 * Row::kVectors;
    const int32_t first = First(inputs, taps, steps, 1, shift, row_start[0]);
    for (int32_t lane = 0; lane < kBlocks * kBlock; lane += kLanes) {
      Row row;
      row.weights = weights + lane / kBlock * block_stride + lane % kBlock;
      row.Run(inputs, taps, steps);
#pragma GCC unroll 4
      for (int32_t v = 0; v < Row::kVectors; ++v) {
        StoreSums(row.template Total<0>(v), shift, start + lane + 4 * v, first, sums + lane + 4 * v);
      }
    }
  }

  template <int32_t kBlocks>
  static void Fill(ByteDot* by_rows) {
    by_rows[1] = OneRow<kBlocks>;
    by_rows[2] = Rows<kBlocks, 2>;
    by_rows[3] = Rows<kBlocks, 3>;
    by_rows[4] = Rows<kBlocks, 4>;
    by_rows[5] = Rows<kBlocks, 5>;
    by_rows[6] = Rows<kBlocks, 6>;
    by_rows[7] = Rows<kBlocks, 7>;
    by_rows[8] = Rows<kBlocks, 8>;
  }
};

template <typename Dot, int32_t kBits>
static inline void FillWidth8x8(ByteDot (*by_blocks)[kMaxTileRows + 1]) {
  ByteDot8x8<Dot, kBits>::template Fill<1>(by_blocks[0]);
  ByteDot8x8<Dot, kBits>::template Fill<2>(by_blocks[1]);
}

template <typename Dot>
static inline void FillByteDot8x8(CodeKernels* table) {
  table->bytedot_rows = 8;
  FillWidth8x8<Dot, 1>(table->bytedot[0]);
  FillWidth8x8<Dot, 2>(table->bytedot[1]);
  FillWidth8x8<Dot, 4>(table->bytedot[2]);
  FillWidth8x8<Dot, 8>(table->bytedot[3]);
}

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_BYTEDOT_8X8_H_
