// Combinations of floats in vectors of as many lanes as the including file's registers have: each float is read once,
// goes through all steps and is written once. Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_COMBINE_LANES_H_
#define KERAS_STE_KERNELS_COMBINE_LANES_H_

#include <string.h>

#include "kernels/output_kernels.h"

namespace keras_ste {
namespace {

template <int32_t kLanes>
struct FloatLanes {
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

  static Vector Load(const float* p) {
    Vector v;
    memcpy(&v, p, sizeof(v));
    return v;
  }
  static void Store(Vector v, float* p) { memcpy(p, &v, sizeof(v)); }

  // `kRows` rows, `kLanes` lanes of each.
  template <int32_t kRows>
  static void Run(const Combine* steps, int32_t count, int32_t lane, float* floats) {
    Vector x[kRows];
    for (int32_t r = 0; r < kRows; ++r) x[r] = Load(floats + r * kChunk + lane);
    for (const Combine* step = steps; step < steps + count; ++step) {
      const Vector operand = step->lanes == nullptr ? Vector{} : Load(step->lanes + lane);
      switch (step->how) {
        case Combination::kAdd:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] + operand;
          break;
        case Combination::kMultiply:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] * operand;
          break;
        case Combination::kMaximum:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] < operand ? operand : x[r];
          break;
        case Combination::kMinimum:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] > operand ? operand : x[r];
          break;
        case Combination::kPrelu:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] > Vector{} ? x[r] : x[r] * operand;
          break;
        case Combination::kAddRows:
          for (int32_t r = 0; r < kRows; ++r) x[r] = x[r] + Load(step->rows[r] + lane);
          break;
        case Combination::kStore:
          for (int32_t r = 0; r < kRows; ++r) Store(x[r], step->out[r] + lane);
          break;
      }
    }
    for (int32_t r = 0; r < kRows; ++r) Store(x[r], floats + r * kChunk + lane);
  }

  template <int32_t kRows>
  static void RunRows(const Combine* steps, int32_t count, int32_t rows, float* floats) {
    if (rows < kRows) {
      if constexpr (kRows > 1) RunRows<kRows - 1>(steps, count, rows, floats);
      return;
    }
    for (int32_t lane = 0; lane < kChunk; lane += kLanes) Run<kRows>(steps, count, lane, floats);
  }
};

template <int32_t kLanes>
void CombineLanes(const Combine* steps, int32_t count, int32_t rows, float* floats) {
  FloatLanes<kLanes>::template RunRows<kMaxTileRows>(steps, count, rows, floats);
}

}  // namespace
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_COMBINE_LANES_H_
