// Seven pixels by 32 channels: 14 accumulators and 2 weight vectors stay in registers; each input word is a broadcast
// memory operand of the XOR.
#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kBlocks, int32_t kRows>
void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int64_t block_stride,
         const int32_t* const* start, int32_t* sums) {
  __m512i count[kRows][kBlocks];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t b = 0; b < kBlocks; ++b) count[r][b] = _mm512_setzero_si512();
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < words; ++i, weights += kBlock) {
      __m512i w[kBlocks];
      for (int32_t b = 0; b < kBlocks; ++b) w[b] = _mm512_loadu_si512(weights + b * block_stride);
      for (int32_t r = 0; r < kRows; ++r) {
        const __m512i a = _mm512_set1_epi32(static_cast<int32_t>(inputs[r][i]));
        for (int32_t b = 0; b < kBlocks; ++b) {
          count[r][b] = _mm512_add_epi32(count[r][b], _mm512_popcnt_epi32(_mm512_xor_si512(a, w[b])));
        }
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      const __m512i first = _mm512_loadu_si512(start[r] + b * kBlock);
      _mm512_storeu_si512(sums + r * kChunk + b * kBlock,
                          _mm512_sub_epi32(first, _mm512_add_epi32(count[r][b], count[r][b])));
    }
  }
}

template <int32_t kBlocks>
void Fill(BitDot* by_rows) {
  by_rows[1] = Run<kBlocks, 1>;
  by_rows[2] = Run<kBlocks, 2>;
  by_rows[3] = Run<kBlocks, 3>;
  by_rows[4] = Run<kBlocks, 4>;
  by_rows[5] = Run<kBlocks, 5>;
  by_rows[6] = Run<kBlocks, 6>;
  by_rows[7] = Run<kBlocks, 7>;
}

}  // namespace

void FillBitDotAvx512(KernelTable* table) {
  table->bitdot_rows = 7;
  Fill<1>(table->bitdot[0]);
  Fill<2>(table->bitdot[1]);
}

}  // namespace x86
}  // namespace keras_ste
