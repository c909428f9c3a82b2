// VPDPBUSD of packed weights. One pixel is bound by the bytes of the weights and by the shifts that would unpack them: the
// weights are multiplied in place under a mask, so each phase has accumulators of its own, 2^(phase * bits) times too
// large. Several pixels share one unpacked vector, and all phases the accumulators.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"
#include "kernels/x86/next_chunk.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m512i FourBytes(const int8_t* y) {
  int32_t four;
  __builtin_memcpy(&four, y, sizeof(four));
  return _mm512_set1_epi32(four);
}

// The weights of one phase as bytes, those of the last phase where no bits of others can be above them.
template <int32_t kBits>
inline __m512i Unpack(__m512i packed, int32_t phase) {
  if constexpr (kBits == 8) return packed;
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
  return _mm512_and_si512(phase == 0 ? packed : _mm512_srli_epi32(packed, static_cast<uint32_t>(phase * kBits)), mask);
}

inline void Store(__m512i sum, int32_t shift, const int32_t* start, int32_t row_start, int32_t* sums) {
  const __m512i first = _mm512_add_epi32(_mm512_loadu_si512(start), _mm512_set1_epi32(row_start));
  _mm512_storeu_si512(sums, _mm512_add_epi32(first, _mm512_sll_epi32(sum, _mm_cvtsi32_si128(shift))));
}

template <int32_t kBits, int32_t kBlocks, int32_t kRows>
void Rows(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int64_t block_stride,
          int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kPhases = 8 / kBits;
  constexpr int32_t kPhasesAtOnce = kPhases < 4 ? kPhases : 4;
  __m512i sum[kRows][kBlocks];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t b = 0; b < kBlocks; ++b) sum[r][b] = _mm512_setzero_si512();
  }
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < steps; ++i, weights += kBlock) {
      __m512i packed[kBlocks];
      for (int32_t b = 0; b < kBlocks; ++b) packed[b] = _mm512_loadu_si512(weights + b * block_stride);
      int64_t at = 4 * static_cast<int64_t>(i) * kPhases;
#pragma GCC unroll 1  // or the sums of eight phases would wander from register to register
      for (int32_t first = 0; first < kPhases; first += kPhasesAtOnce) {
        for (int32_t p = 0; p < kPhasesAtOnce; ++p, at += 4) {
          __m512i w[kBlocks];
          for (int32_t b = 0; b < kBlocks; ++b) w[b] = Unpack<kBits>(packed[b], p);
          for (int32_t r = 0; r < kRows; ++r) {
            const __m512i y = FourBytes(inputs[r] + at);
            for (int32_t b = 0; b < kBlocks; ++b) sum[r][b] = _mm512_dpbusd_epi32(sum[r][b], w[b], y);
          }
        }
        if constexpr (kPhases > kPhasesAtOnce) {
          for (__m512i& v : packed) v = _mm512_srli_epi32(v, kPhasesAtOnce * kBits);
        }
      }
    }
  }
#pragma GCC unroll 8  // or the sums would pass through memory
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Store(sum[r][b], shift, start + b * kBlock, row_start[r], sums + r * kChunk + b * kBlock);
    }
  }
}

template <int32_t kBits, int32_t kBlocks>
void OneRow(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int64_t block_stride,
            int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kPhases = 8 / kBits;
  constexpr int32_t kUnroll = kPhases >= 4 ? 1 : 4 / kPhases;  // a dot product waits four cycles for the one before
  __m512i sum[kUnroll][kPhases][kBlocks];
  for (auto& step : sum) {
    for (auto& phase : step) {
      for (__m512i& s : phase) s = _mm512_setzero_si512();
    }
  }
  const auto step = [&](int32_t u, const int8_t* y) {
    FetchNextChunk<kBlocks, 1>(weights, block_stride);
    for (int32_t b = 0; b < kBlocks; ++b) {
      const __m512i packed = _mm512_loadu_si512(weights + b * block_stride);
      for (int32_t p = 0; p < kPhases; ++p) {
        const __m512i mask = _mm512_set1_epi8(static_cast<char>(((1 << kBits) - 1) << (p * kBits)));
        const __m512i w = kBits == 8 ? packed : _mm512_and_si512(packed, mask);
        sum[u][p][b] = _mm512_dpbusd_epi32(sum[u][p][b], w, FourBytes(y + 4 * p));
      }
    }
    weights += kBlock;
  };
  for (int32_t tap = 0; tap < taps; ++tap) {
    const int8_t* y = inputs[tap];
    int32_t i = 0;
    for (; i + kUnroll <= steps; i += kUnroll) {
      for (int32_t u = 0; u < kUnroll; ++u, y += 4 * kPhases) step(u, y);
    }
    for (; i < steps; ++i, y += 4 * kPhases) step(0, y);
  }
  for (int32_t b = 0; b < kBlocks; ++b) {
    __m512i total = _mm512_setzero_si512();
    for (int32_t p = 0; p < kPhases; ++p) {
      __m512i phase = sum[0][p][b];
      for (int32_t u = 1; u < kUnroll; ++u) phase = _mm512_add_epi32(phase, sum[u][p][b]);
      total = _mm512_add_epi32(total, _mm512_srai_epi32(phase, static_cast<uint32_t>(p * kBits)));
    }
    Store(total, shift, start + b * kBlock, row_start[0], sums + b * kBlock);
  }
}

template <int32_t kBits>
struct Bytes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                  int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    if constexpr (kRows == 1) {
      OneRow<kBits, kBlocks>(inputs, taps, steps, weights, block_stride, shift, start, row_start, sums);
    } else {
      Rows<kBits, kBlocks, kRows>(inputs, taps, steps, weights, block_stride, shift, start, row_start, sums);
    }
  }
};

}  // namespace

void FillByteDotAvx512Vnni(CodeKernels* table) {
  table->bytedot_rows = 8;
  FillTiles<Bytes<1>, 8>(table->bytedot[0]);
  FillTiles<Bytes<2>, 8>(table->bytedot[1]);
  FillTiles<Bytes<4>, 8>(table->bytedot[2]);
  FillTiles<Bytes<8>, 8>(table->bytedot[3]);
}

}  // namespace x86
}  // namespace keras_ste
