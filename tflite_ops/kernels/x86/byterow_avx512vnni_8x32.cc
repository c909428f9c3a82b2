// VPDPBUSD of four bytes of a pixel, in all lanes, with those of 16 outputs. What is done to the sums finds them in registers.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"
#include "kernels/x86/zmm.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kBlocks, int32_t kRows>
inline void SumRows(const ByteRow& row, __m512i (*sums)[kBlocks]) {
  const int64_t pixel_step = row.pixel_step, block_stride = row.block_stride;
  const int8_t* weights = row.weights;
#pragma GCC unroll 8  // or the sums would pass through memory
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t b = 0; b < kBlocks; ++b) sums[r][b] = _mm512_loadu_si512(row.start + b * kBlock);
  }
  const uint8_t* tap = row.inputs;
  for (int32_t t = 0; t < row.taps; ++t, tap += row.tap_step) {
    const uint8_t* inputs = tap;
    for (int32_t i = 0; i < row.steps; ++i, inputs += 4, weights += 4 * kBlock) {
      __m512i w[kBlocks];
      for (int32_t b = 0; b < kBlocks; ++b) w[b] = _mm512_loadu_si512(weights + b * block_stride);
#pragma GCC unroll 8
      for (int32_t r = 0; r < kRows; ++r) {
        int32_t four;
        __builtin_memcpy(&four, inputs + r * pixel_step, sizeof(four));
        const __m512i y = _mm512_set1_epi32(four);
        for (int32_t b = 0; b < kBlocks; ++b) sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], y, w[b]);
      }
    }
  }
}

struct Sums {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const ByteRow& row, int32_t* out) {
    __m512i sums[kRows][kBlocks];
    SumRows<kBlocks, kRows>(row, sums);
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) _mm512_storeu_si512(out + r * kChunk + b * kBlock, sums[r][b]);
    }
  }
};

struct Floats {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const ByteRow& row, const Combine* steps, int32_t count, const CombinedRows& rows) {
    __m512i sums[kRows][kBlocks];
    SumRows<kBlocks, kRows>(row, sums);
    using Lanes = CombineLanes<Zmm<kBlocks>>;
    typename Lanes::Vector x[kRows][kBlocks];
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) x[r][b] = _mm512_cvtepi32_ps(sums[r][b]);
    }
    Lanes::template Take<kRows>(x, steps, count, rows, 0);
  }
};

}  // namespace

void FillByteRowAvx512Vnni(CodeKernels* table) {
  table->byterow_rows = 8;
  FillTiles<Sums, 8>(table->byterow_sums);
  FillTiles<Floats, 8>(table->byterow_floats);
}

}  // namespace x86
}  // namespace keras_ste
