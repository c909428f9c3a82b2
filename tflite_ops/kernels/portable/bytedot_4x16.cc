#include "kernels/portable/kernels.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace portable {
namespace {

template <int32_t kBits, int32_t kRows>
void Block(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int32_t shift,
           const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kPhases = 8 / kBits;
  int32_t sum[kRows][kBlock] = {};
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < steps; ++i, weights += kBlock) {
      for (int32_t k = 0; k < 4 * kPhases; ++k) {
        const int32_t first_bit = 8 * (k % 4) + kBits * (k / 4);
        int32_t w[kBlock];
        for (int32_t lane = 0; lane < kBlock; ++lane) {
          w[lane] = static_cast<int32_t>((weights[lane] >> first_bit) & ((1u << kBits) - 1u));
        }
        for (int32_t r = 0; r < kRows; ++r) {
          const int32_t y = inputs[r][static_cast<int64_t>(i) * 4 * kPhases + k];
          for (int32_t lane = 0; lane < kBlock; ++lane) sum[r][lane] += w[lane] * y;
        }
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) {
      sums[r * kChunk + lane] = start[lane] + row_start[r] + sum[r][lane] * (1 << shift);
    }
  }
}

template <int32_t kBits>
struct Bytes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                  int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Block<kBits, kRows>(inputs, taps, steps, weights + b * block_stride, shift, start + b * kBlock, row_start,
                          sums + b * kBlock);
    }
  }
};

}  // namespace

void FillByteDot(CodeKernels* table) {
  table->bytedot_rows = kByteDotRows;
  FillTiles<Bytes<1>, kByteDotRows>(table->bytedot[0]);
  FillTiles<Bytes<2>, kByteDotRows>(table->bytedot[1]);
  FillTiles<Bytes<4>, kByteDotRows>(table->bytedot[2]);
  FillTiles<Bytes<8>, kByteDotRows>(table->bytedot[3]);
}

}  // namespace portable
}  // namespace keras_ste
