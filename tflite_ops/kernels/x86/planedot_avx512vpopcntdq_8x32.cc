// Eight pixels by 32 channels: 16 accumulators and the weight vectors stay in registers.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"
#include "kernels/x86/next_chunk.h"
#include "kernels/x86/zmm.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kMeeting>
inline __m512i Meet(__m512i a, const __m512i* w) {
  if constexpr (kMeeting == kXor) return _mm512_xor_si512(a, w[0]);
  if constexpr (kMeeting == kAnd) return _mm512_and_si512(a, w[0]);
  return _mm512_ternarylogic_epi32(w[1], a, w[0], 0x28);  // (negative ^ a) & nonzero
}

// The sums, in registers.
template <int32_t kMeeting, int32_t kBlocks, int32_t kRows>
inline __attribute__((always_inline)) void SumPlanes(const uint32_t* const* inputs, int32_t taps, int32_t words,
                                                     const uint32_t* weights, int64_t block_stride, int32_t coefficient,
                                                     const int32_t* const* start, __m512i (*sums)[kBlocks]) {
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
      sums[r][b] = _mm512_add_epi32(first, _mm512_mullo_epi32(count[r][b], factor));
    }
  }
}

template <int32_t kMeeting>
struct Planes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* out) {
    __m512i sums[kRows][kBlocks];
    SumPlanes<kMeeting, kBlocks, kRows>(inputs, taps, words, weights, block_stride, coefficient, start, sums);
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) _mm512_storeu_si512(out + r * kChunk + b * kBlock, sums[r][b]);
    }
  }
};

template <int32_t kRows>
inline void StoreReachedSums(const __m512i (*sums)[2], const Combine& step, const CombinedRows& rows) {
  const int32_t* thresholds = step.thresholds + (step.one ? 0 : rows.channel);
  __m512i least[2];
  for (int32_t b = 0; b < 2; ++b) {
    least[b] = step.one ? _mm512_set1_epi32(*thresholds) : _mm512_loadu_si512(thresholds + b * kBlock);
  }
  uint32_t* words = static_cast<uint32_t*>(step.out) + rows.channel / 32;
#pragma GCC unroll 8
  for (int32_t r = 0; r < kRows; ++r) {
    const __mmask16 low = _mm512_cmpge_epi32_mask(sums[r][0], least[0]);
    const __mmask16 high = _mm512_cmpge_epi32_mask(sums[r][1], least[1]);
    words[rows.words[r]] = _cvtmask32_u32(_mm512_kunpackw(high, low));
  }
}

struct Ends {
  template <int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, const Combine* steps, int32_t count,
                  const CombinedRows& rows) {
    __m512i sums[kRows][2];
    SumPlanes<kXor, 2, kRows>(inputs, taps, words, weights, block_stride, coefficient, start, sums);
    if (steps->how == Combination::kReachSums) return StoreReachedSums<kRows>(sums, *steps, rows);
    using Lanes = CombineLanes<Zmm<2>>;
    typename Lanes::Vector x[kRows][2];
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < 2; ++b) x[r][b] = _mm512_cvtepi32_ps(sums[r][b]);
    }
    Lanes::template Take<kRows>(x, steps, count, rows, 0);
  }
};

}  // namespace

void FillPlaneDotAvx512Vpopcntdq(CodeKernels* table) {
  table->planedot_rows = 8;
  FillTiles<Planes<kXor>, 8>(table->planedot[kXor]);
  FillTiles<Planes<kAnd>, 8>(table->planedot[kAnd]);
  FillTiles<Planes<kMaskedXor>, 8>(table->planedot[kMaskedXor]);
  FillByRows<Ends, 8>(table->planedot_ends);
}

}  // namespace x86
}  // namespace keras_ste
