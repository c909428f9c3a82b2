#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {
namespace {

template <int32_t kBits, int32_t kRows>
void Block(const float* const* inputs, int32_t count, const uint32_t* weights, int32_t scale, int32_t offset,
           float* sums) {
  constexpr int32_t kStep = 32 / kBits;
  float sum[kRows][kBlock] = {};
  for (int32_t k = 0; k < count; ++k) {
    const uint32_t* step = weights + static_cast<int64_t>(k / kStep) * kBlock;
    const int32_t first_bit = 8 * (k % kStep % 4) + kBits * (k % kStep / 4);
    float w[kBlock];
    for (int32_t lane = 0; lane < kBlock; ++lane) {
      const int32_t u = static_cast<int32_t>((step[lane] >> first_bit) & ((1u << kBits) - 1u));
      w[lane] = Scalar(static_cast<float>(scale * u + offset));
    }
    for (int32_t r = 0; r < kRows; ++r) {
      const float x = inputs[r][k];
      for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] = Scalar(sum[r][lane] + w[lane] * x);
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) sums[r * kChunk + lane] = sum[r][lane];
  }
}

template <int32_t kBits, int32_t kBlocks, int32_t kRows>
void Run(const float* const* inputs, int32_t count, const uint32_t* weights, int64_t block_stride, int32_t scale,
         int32_t offset, float* sums) {
  for (int32_t b = 0; b < kBlocks; ++b) {
    Block<kBits, kRows>(inputs, count, weights + b * block_stride, scale, offset, sums + b * kBlock);
  }
}

template <int32_t kBits, int32_t kBlocks>
void Fill(FloatDot* by_rows) {
  by_rows[1] = Run<kBits, kBlocks, 1>;
  by_rows[2] = Run<kBits, kBlocks, 2>;
  by_rows[3] = Run<kBits, kBlocks, 3>;
  by_rows[4] = Run<kBits, kBlocks, 4>;
}

template <int32_t kBits>
void Fill(FloatDot (*by_blocks)[kMaxTileRows + 1]) {
  Fill<kBits, 1>(by_blocks[0]);
  Fill<kBits, 2>(by_blocks[1]);
}

}  // namespace

void FillFloatDot(CodeKernels* table) {
  table->floatdot_rows = kFloatDotRows;
  Fill<2>(table->floatdot[0]);
  Fill<4>(table->floatdot[1]);
  Fill<8>(table->floatdot[2]);
}

}  // namespace portable
}  // namespace keras_ste
