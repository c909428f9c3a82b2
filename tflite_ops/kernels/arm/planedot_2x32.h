// Two pixels by 32 channels, for whatever counts the bits that meet: 16 counters, 4 weight vectors, 2 inputs and 8 vectors in
// between are 30 of the 32 registers. Eight instructions of a kind follow each other.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_ARM_PLANEDOT_2X32_H_
#define KERAS_STE_KERNELS_ARM_PLANEDOT_2X32_H_

#include <arm_neon.h>

#include "kernels/arm/in_order.h"
#include "kernels/code_kernels.h"

namespace keras_ste {
namespace arm {

constexpr int32_t kBlockVectors = kBlock / 4;

// `Counter` is how the four channels of one vector are counted:
//   Counts                         a vector, zero at first
//   kSteps                         the number of words it can count before it must be emptied
//   void Add(bytes, Counts*)       adds the counts of 16 bytes
//   int32x4_t Total(Counts)        the four sums
template <typename Counter, int32_t kMeeting, int32_t kBlocks, int32_t kRows>
static inline void PlaneDot2x32(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                                int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums) {
  constexpr int32_t kVectors = kBlocks * kBlock / 4;
  constexpr bool kMasked = kMeeting == kMaskedXor;
  constexpr int32_t kStep = kMasked ? 2 * kBlock : kBlock;
  constexpr int32_t kFirst = kMasked ? kBlock : 0;  // the signs of ternary weights meet the input first
  typename Counter::Counts counts[kVectors][kRows] = {};
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t i = 0; i < kVectors; ++i) vst1q_s32(sums + r * kChunk + 4 * i, vld1q_s32(start[r] + 4 * i));
  }
  const auto flush = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 8  // or the counters would be kept in memory
    for (int32_t i = 0; i < kVectors; ++i) {
      for (int32_t r = 0; r < kRows; ++r) {
        int32_t* at = sums + r * kChunk + 4 * i;
        vst1q_s32(at, vmlaq_n_s32(vld1q_s32(at), Counter::Total(counts[i][r]), coefficient));
        counts[i][r] = typename Counter::Counts{};
      }
    }
  };
  uint8x16_t w[kBlockVectors], a[kRows];
  const uint32_t* in[kRows];
  const uint32_t* second = weights + block_stride;
  // One word of each pixel, whose bits and first weights are loaded already, as the next word's will be where there is `more`.
  const auto step = [&](bool more) __attribute__((always_inline)) {
    weights += kStep;
    for (int32_t b = 0; b < kBlocks; ++b) {
      const bool last_block = b + 1 == kBlocks;
      const uint32_t* here = b == 0 ? weights - kStep : second;
      uint8x16_t x[kBlockVectors][kRows];
      for (int32_t v = 0; v < kBlockVectors; ++v) {
        for (int32_t r = 0; r < kRows; ++r) {
          x[v][r] = kMeeting == kAnd ? Common(w[v], a[r]) : Differing(w[v], a[r]);
        }
        if (kMasked) w[v] = LoadWeights(here + 4 * v);
      }
      for (int32_t v = 0; v < kBlockVectors && kMasked; ++v) {
        for (int32_t r = 0; r < kRows; ++r) x[v][r] = Common(x[v][r], w[v]);
      }
      for (int32_t v = 0; v < kBlockVectors; ++v) {
        for (int32_t r = 0; r < kRows; ++r) {
          x[v][r] = CountInBytes(x[v][r]);
          if (last_block && more && v == 0) a[r] = LoadInput(in[r]++);
        }
      }
      const uint32_t* next = (last_block ? weights : second) + kFirst;
      for (int32_t i = 0; i < kBlockVectors * kRows; ++i) {
        Counter::Add(x[i / kRows][i % kRows], &counts[b * kBlockVectors + i / kRows][i % kRows]);
        if ((!last_block || more) && i < kBlockVectors) w[i] = LoadWeights(next + 4 * i);
      }
    }
    second += kStep;
  };
  int32_t room = Counter::kSteps;
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t r = 0; r < kRows; ++r) in[r] = inputs[r];
    for (int32_t left = words; left > 0;) {
      const int32_t steps = left < room ? left : room;
      for (int32_t v = 0; v < kBlockVectors; ++v) w[v] = LoadWeights(weights + kFirst + 4 * v);
      for (int32_t r = 0; r < kRows; ++r) a[r] = LoadInput(in[r]++);
      for (int32_t i = 1; i < steps; ++i) step(true);
      step(false);
      left -= steps;
      room -= steps;
      if (room == 0) {
        flush();
        room = Counter::kSteps;
      }
    }
  }
  flush();
}

template <typename Counter, int32_t kMeeting>
static inline void FillMeeting2x32(PlaneDot (*by_blocks)[kMaxTileRows + 1]) {
  by_blocks[0][1] = PlaneDot2x32<Counter, kMeeting, 1, 1>;
  by_blocks[0][2] = PlaneDot2x32<Counter, kMeeting, 1, 2>;
  by_blocks[1][1] = PlaneDot2x32<Counter, kMeeting, 2, 1>;
  by_blocks[1][2] = PlaneDot2x32<Counter, kMeeting, 2, 2>;
}

template <typename Counter>
static inline void FillPlaneDot2x32(CodeKernels* table) {
  table->planedot_rows = 2;
  FillMeeting2x32<Counter, kXor>(table->planedot[kXor]);
  FillMeeting2x32<Counter, kAnd>(table->planedot[kAnd]);
  FillMeeting2x32<Counter, kMaskedXor>(table->planedot[kMaskedXor]);
}

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_PLANEDOT_2X32_H_
