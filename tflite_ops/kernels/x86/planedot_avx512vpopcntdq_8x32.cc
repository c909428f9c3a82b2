// Eight pixels by 32 channels: 16 accumulators and the weight vectors stay in registers.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"
#include "kernels/x86/next_chunk.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kMeeting>
inline __m512i Meet(__m512i a, const __m512i* w) {
  if constexpr (kMeeting == kXor) return _mm512_xor_si512(a, w[0]);
  if constexpr (kMeeting == kAnd) return _mm512_and_si512(a, w[0]);
  return _mm512_ternarylogic_epi32(w[1], a, w[0], 0x28);  // (negative ^ a) & nonzero
}

template <int32_t kMeeting>
struct Planes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums) {
    constexpr int32_t kVectors = kMeeting == kMaskedXor ? 2 : 1;
    __m512i count[kRows][kBlocks];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) count[r][b] = _mm512_setzero_si512();
    }
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < words; ++i, weights += kVectors * kBlock) {
        for (int32_t v = 0; v < kVectors; ++v) FetchNextChunk<kBlocks, kRows>(weights + v * kBlock, block_stride);
        __m512i w[kBlocks][kVectors];
        for (int32_t b = 0; b < kBlocks; ++b) {
          for (int32_t v = 0; v < kVectors; ++v) {
            w[b][v] = _mm512_loadu_si512(weights + b * block_stride + v * kBlock);
          }
        }
        for (int32_t r = 0; r < kRows; ++r) {
          const __m512i a = _mm512_set1_epi32(static_cast<int32_t>(inputs[r][i]));
          for (int32_t b = 0; b < kBlocks; ++b) {
            count[r][b] = _mm512_add_epi32(count[r][b], _mm512_popcnt_epi32(Meet<kMeeting>(a, w[b])));
          }
        }
      }
    }
    const __m512i factor = _mm512_set1_epi32(coefficient);
#pragma GCC unroll 8  // or the counts would pass through memory
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) {
        const __m512i first = _mm512_loadu_si512(start[r] + b * kBlock);
        _mm512_storeu_si512(sums + r * kChunk + b * kBlock,
                            _mm512_add_epi32(first, _mm512_mullo_epi32(count[r][b], factor)));
      }
    }
  }
};

}  // namespace

void FillPlaneDotAvx512Vpopcntdq(CodeKernels* table) {
  table->planedot_rows = 8;
  FillTiles<Planes<kXor>, 8>(table->planedot[kXor]);
  FillTiles<Planes<kAnd>, 8>(table->planedot[kAnd]);
  FillTiles<Planes<kMaskedXor>, 8>(table->planedot[kMaskedXor]);
}

}  // namespace x86
}  // namespace keras_ste
