// Four pixels by 32 channels. Weights of up to four bits are looked up in one vector of their 16 possible worths.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kBits>
struct Worths {
  __m512 scale, offset, table;

  Worths(int32_t s, int32_t o)
      : scale(_mm512_set1_ps(static_cast<float>(s))), offset(_mm512_set1_ps(static_cast<float>(o))) {
    const __m512i u = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    table = Compute(_mm512_and_si512(u, _mm512_set1_epi32((1 << kBits) - 1)));
  }
  __m512 Compute(__m512i u) const { return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(u), scale), offset); }
  // Of the weights in the lowest bits of each lane.
  __m512 Of(__m512i u) const {
    if constexpr (kBits == 8) return Compute(_mm512_and_si512(u, _mm512_set1_epi32(255)));
    return _mm512_permutexvar_ps(u, table);  // the index is the lowest four bits
  }
};

template <int32_t kBits>
struct Floats {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const float* const* inputs, int32_t taps, int32_t count, const uint32_t* weights,
                  int64_t block_stride, int32_t scale, int32_t offset, float* sums) {
    const Worths<kBits> worths(scale, offset);
    __m512 sum[kRows][kBlocks];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) sum[r][b] = _mm512_setzero_ps();
    }
    const auto add = [&](const __m512i* packed, int32_t in_step, int32_t k) {
      const uint32_t first_bit = static_cast<uint32_t>(8 * (in_step % 4) + kBits * (in_step / 4));
      __m512 w[kBlocks];
      for (int32_t b = 0; b < kBlocks; ++b) w[b] = worths.Of(_mm512_srli_epi32(packed[b], first_bit));
      for (int32_t r = 0; r < kRows; ++r) {
        const __m512 x = _mm512_set1_ps(inputs[r][k]);
        for (int32_t b = 0; b < kBlocks; ++b) sum[r][b] = _mm512_add_ps(sum[r][b], _mm512_mul_ps(x, w[b]));
      }
    };
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t k = 0; k < count; weights += kBlock) {
        __m512i packed[kBlocks];
        for (int32_t b = 0; b < kBlocks; ++b) packed[b] = _mm512_loadu_si512(weights + b * block_stride);
        if (count - k >= 32 / kBits) {
          for (int32_t i = 0; i < 32 / kBits; ++i, ++k) add(packed, i, k);
        } else {
          for (int32_t i = 0; k < count; ++i, ++k) add(packed, i, k);
        }
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) _mm512_storeu_ps(sums + r * kChunk + b * kBlock, sum[r][b]);
    }
  }
};

}  // namespace

void FillFloatDotAvx512(CodeKernels* table) {
  table->floatdot_rows = 4;
  FillTiles<Floats<2>, 4>(table->floatdot[0]);
  FillTiles<Floats<4>, 4>(table->floatdot[1]);
  FillTiles<Floats<8>, 4>(table->floatdot[2]);
}

}  // namespace x86
}  // namespace keras_ste
