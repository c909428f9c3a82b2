#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace portable {
namespace {

template <int32_t kBits, int32_t kRows>
void Block(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights, int32_t scale,
           int32_t offset, float* sums) {
  constexpr int32_t kStep = 32 / kBits;
  float sum[kRows][kBlock] = {};
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t k = 0; k < count; ++k) {
      const int32_t first_bit = 8 * (k % kStep % 4) + kBits * (k % kStep / 4);
      float w[kBlock];
      for (int32_t lane = 0; lane < kBlock; ++lane) {
        const int32_t u = static_cast<int32_t>((weights[lane] >> first_bit) & ((1u << kBits) - 1u));
        w[lane] = Scalar(static_cast<float>(scale * u + offset));
      }
      for (int32_t r = 0; r < kRows; ++r) {
        const float x = inputs[r][k];
        for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] = Scalar(sum[r][lane] + w[lane] * x);
      }
      if (k % kStep == kStep - 1 || k == count - 1) weights += kBlock;
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) sums[r * kChunk + lane] = sum[r][lane];
  }
}

template <int32_t kBits>
struct Floats {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights,
                  int64_t block_stride, int32_t scale, int32_t offset, float* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Block<kBits, kRows>(inputs, taps, count, weights + b * block_stride, scale, offset, sums + b * kBlock);
    }
  }
};

}  // namespace

void FillFloatDot(CodeKernels* table) {
  table->floatdot_rows = kFloatDotRows;
  FillTiles<Floats<2>, kFloatDotRows>(table->floatdot[0]);
  FillTiles<Floats<4>, kFloatDotRows>(table->floatdot[1]);
  FillTiles<Floats<8>, kFloatDotRows>(table->floatdot[2]);
}

}  // namespace portable
}  // namespace keras_ste
