#include "kernels/bits.h"
#include "kernels/portable/kernels.h"

namespace keras_ste {
namespace portable {
namespace {

template <int32_t kRows>
void Block(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
           const int32_t* const* start, int32_t first_lane, int32_t* sums) {
  uint32_t count[kRows][kBlock] = {};
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < words; ++i, weights += kBlock) {
      for (int32_t r = 0; r < kRows; ++r) {
        const uint32_t a = inputs[r][i];
        for (int32_t lane = 0; lane < kBlock; ++lane) count[r][lane] += CountBits(a ^ weights[lane]);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) {
      const int32_t column = first_lane + lane;
      sums[r * kChunk + column] = start[r][column] - 2 * static_cast<int32_t>(count[r][lane]);
    }
  }
}

template <int32_t kBlocks, int32_t kRows>
void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int64_t block_stride,
         const int32_t* const* start, int32_t* sums) {
  for (int32_t b = 0; b < kBlocks; ++b) {
    Block<kRows>(inputs, taps, words, weights + b * block_stride, start, b * kBlock, sums);
  }
}

template <int32_t kBlocks>
void Fill(BitDot* by_rows) {
  by_rows[1] = Run<kBlocks, 1>;
  by_rows[2] = Run<kBlocks, 2>;
  by_rows[3] = Run<kBlocks, 3>;
  by_rows[4] = Run<kBlocks, 4>;
}

}  // namespace

void FillBitDot(KernelTable* table) {
  table->bitdot_rows = kBitDotRows;
  Fill<1>(table->bitdot[0]);
  Fill<2>(table->bitdot[1]);
}

}  // namespace portable
}  // namespace keras_ste
