// Combinations of sums in vectors of as many lanes as the including file's registers have: each sum is read once, goes
// through all steps in a register and is written where it belongs. Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_COMBINE_LANES_H_
#define KERAS_STE_KERNELS_COMBINE_LANES_H_

#include <string.h>

#include "kernels/output_kernels.h"

namespace keras_ste {
namespace {

// `Set` says how many lanes a vector has, and how many vectors of each of kMaxTileRows rows stay in registers. Its functions:
//   Floats   integers at an address, as floats
//   Reach    a bit for each lane, whether it reaches that of the other vector
//   Round    puts the integers of a vector at an address
template <typename Set>
struct CombineLanes {
  static constexpr int32_t kLanes = Set::kLanes, kVectors = Set::kVectors, kWidth = kLanes * kVectors;
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

  static Vector Load(const float* p) {
    Vector v;
    memcpy(&v, p, sizeof(v));
    return v;
  }
  static Vector Load(const int32_t* p) { return Set::Floats(p); }
  static void Store(Vector v, float* p) { memcpy(p, &v, sizeof(v)); }

  // Constants of the channels from `channel` on.
  struct Constants {
    Vector of[kVectors];

    Constants(const Combine& step, int32_t channel) {  // less +0, a number stays what it is, and -0 too
      for (int32_t v = 0; v < kVectors; ++v) {
        of[v] = step.one ? step.lanes[0] - Vector{} : Load(step.lanes + channel + v * kLanes);
      }
    }
  };

  // All vectors of `kRows` rows.
  template <int32_t kRows, typename F>
  static inline __attribute__((always_inline)) void Each(const F& f) {
#pragma GCC unroll 8  // or the vectors would pass through memory
    for (int32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int32_t v = 0; v < kVectors; ++v) f(r, v);
    }
  }

  // Row r begins places[r] elements behind `out`.
  template <int32_t kRows>
  static inline __attribute__((always_inline)) void StoreRows(const Vector (*x)[kVectors], float* out,
                                                              const int64_t* places) {
    Each<kRows>([&](int32_t r, int32_t v) { Store(x[r][v], out + places[r] + v * kLanes); });
  }

  template <int32_t kRows>
  static inline __attribute__((always_inline)) void StoreReached(const Vector (*x)[kVectors], const Constants& c, char* out,
                                                                 const int64_t* words) {
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      uint32_t bits = 0;
      for (int32_t v = 0; v < kVectors; ++v) bits |= Set::Reach(x[r][v], c.of[v]) << v * kLanes;
      memcpy(out + words[r] * static_cast<int64_t>(sizeof(uint32_t)), &bits, kWidth / 8);
    }
  }

  // A copy of `how`, which `out` does not change.
  template <int32_t kRows>
  static inline __attribute__((always_inline)) void StoreRounded(const Vector (*x)[kVectors], Rounding how, int8_t* out,
                                                                 const int64_t* places) {
    Each<kRows>([&](int32_t r, int32_t v) { Set::Round(x[r][v], how, out + places[r] + v * kLanes); });
  }

  // Vectors go through the steps; of lanes from `lane` on.
  template <int32_t kRows>
  static inline __attribute__((always_inline)) void Take(Vector (&x)[kRows][kVectors], const Combine* steps, int32_t count,
                                                         const CombinedRows& rows, int32_t lane) {
    const int32_t channel = rows.channel + lane;
    for (const Combine* step = steps; step < steps + count; ++step) {
      switch (step->how) {
        case Combination::kAdd: {
          const Constants c(*step, channel);
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] + c.of[v]; });
          break;
        }
        case Combination::kMultiply: {
          const Constants c(*step, channel);
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] * c.of[v]; });
          break;
        }
        case Combination::kMaximum: {
          const Constants c(*step, channel);
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] < c.of[v] ? c.of[v] : x[r][v]; });
          break;
        }
        case Combination::kMinimum: {
          const Constants c(*step, channel);
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] > c.of[v] ? c.of[v] : x[r][v]; });
          break;
        }
        case Combination::kPrelu: {
          const Constants c(*step, channel);
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] > Vector{} ? x[r][v] : x[r][v] * c.of[v]; });
          break;
        }
        case Combination::kMultiplyRows:
          Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = x[r][v] * rows.scales[r]; });
          break;
        case Combination::kAddRows: {
          const float* residual = rows.residual + lane;
          Each<kRows>([&](int32_t r, int32_t v) {
            x[r][v] = x[r][v] + Load(residual + rows.residual_places[r] + v * kLanes);
          });
          break;
        }
        case Combination::kStore:
          StoreRows<kRows>(x, static_cast<float*>(step->out) + channel, rows.places);
          break;
        case Combination::kReach:
          StoreReached<kRows>(x, Constants(*step, channel), static_cast<char*>(step->out) + channel / 8, rows.words);
          break;
        case Combination::kRound:
          StoreRounded<kRows>(x, *step->rounding, static_cast<int8_t*>(step->out) + channel, rows.places);
          break;
        case Combination::kReachSums:
          break;
      }
    }
  }

  // Lanes from `lane` on.
  template <int32_t kRows, typename Sum>
  static void Run(const Sum* sums, const Combine* steps, int32_t count, const CombinedRows& rows, int32_t lane) {
    Vector x[kRows][kVectors];
    Each<kRows>([&](int32_t r, int32_t v) { x[r][v] = Load(sums + r * kChunk + lane + v * kLanes); });
    Take<kRows>(x, steps, count, rows, lane);
    if (rows.floats == nullptr) return;
    Each<kRows>([&](int32_t r, int32_t v) { Store(x[r][v], rows.floats + r * kChunk + lane + v * kLanes); });
  }

  template <int32_t kRows, typename Sum>
  static void RunRows(const Sum* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
    if (rows.rows < kRows) {
      if constexpr (kRows > 1) RunRows<kRows - 1>(sums, steps, count, rows);
      return;
    }
    if constexpr (kWidth == kChunk) {  // without a loop, for rows of as many lanes
      Run<kRows>(sums, steps, count, rows, 0);
    } else {
      for (int32_t lane = 0; lane < rows.lanes; lane += kWidth) Run<kRows>(sums, steps, count, rows, lane);
    }
  }

  template <typename Sum>
  static void Sums(const Sum* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
    RunRows<kMaxTileRows>(sums, steps, count, rows);
  }
};

}  // namespace
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_COMBINE_LANES_H_
