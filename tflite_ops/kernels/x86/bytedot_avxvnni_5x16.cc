// Five pixels by 16 channels: bytedot_avx512vnni_8x32.cc in the 256 bits and 16 registers of AVX-VNNI.
//
// Compiled for AVX-512 instead, whose encoding of the same instruction has another intrinsic, it can be tested on machines
// without AVX-VNNI: tests/bytedot_avxvnni_by_avx512.cc.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

#if !defined(__AVXVNNI__)
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#endif

namespace keras_ste {
namespace x86 {
namespace {

inline __m256i LoadLanes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m256i FourBytes(const int8_t* y) {
  int32_t four;
  __builtin_memcpy(&four, y, sizeof(four));
  return _mm256_set1_epi32(four);
}

// The weights of one phase as bytes.
template <int32_t kBits>
inline __m256i Unpack(__m256i packed, int32_t phase) {
  if constexpr (kBits == 8) return packed;
  const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << kBits) - 1));
  return _mm256_and_si256(phase == 0 ? packed : _mm256_srli_epi32(packed, phase * kBits), mask);
}

inline void Store(__m256i sum, int32_t shift, const int32_t* start, int32_t row_start, int32_t* sums) {
  const __m256i first = _mm256_add_epi32(LoadLanes(start), _mm256_set1_epi32(row_start));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                      _mm256_add_epi32(first, _mm256_sll_epi32(sum, _mm_cvtsi32_si128(shift))));
}

template <int32_t kBits, int32_t kRows>
void Rows(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int32_t shift,
          const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kPhases = 8 / kBits;
  __m256i sum[kRows][2];
  for (int32_t r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < steps; ++i, weights += kBlock) {
      const __m256i packed[2] = {LoadLanes(weights), LoadLanes(weights + 8)};
      for (int32_t p = 0; p < kPhases; ++p) {
        const __m256i w[2] = {Unpack<kBits>(packed[0], p), Unpack<kBits>(packed[1], p)};
        for (int32_t r = 0; r < kRows; ++r) {
          const __m256i y = FourBytes(inputs[r] + 4 * (static_cast<int64_t>(i) * kPhases + p));
          for (int32_t h = 0; h < 2; ++h) sum[r][h] = _mm256_dpbusd_avx_epi32(sum[r][h], w[h], y);
        }
      }
    }
  }
#pragma GCC unroll 8  // or the sums would pass through memory
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) {
      Store(sum[r][h], shift, start + 8 * h, row_start[r], sums + r * kChunk + 8 * h);
    }
  }
}

// kHalves times eight channels of one pixel, the weights in place.
template <int32_t kBits, int32_t kHalves>
void OneRow(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int32_t shift,
            const int32_t* start, int32_t row_start, int32_t* sums) {
  constexpr int32_t kPhases = 8 / kBits;
  constexpr int32_t kUnroll = 8 / (kPhases * kHalves);  // a dot product waits some cycles for the one before
  __m256i sum[kUnroll][kPhases][kHalves];
  for (auto& step : sum) {
    for (auto& phase : step) {
      for (__m256i& s : phase) s = _mm256_setzero_si256();
    }
  }
  const auto step = [&](int32_t u, const int8_t* y) {
    for (int32_t p = 0; p < kPhases; ++p) {
      const __m256i mask = _mm256_set1_epi8(static_cast<char>(((1 << kBits) - 1) << (p * kBits)));
      const __m256i bytes = FourBytes(y + 4 * p);
      for (int32_t h = 0; h < kHalves; ++h) {
        const __m256i packed = LoadLanes(weights + 8 * h);
        const __m256i w = kBits == 8 ? packed : _mm256_and_si256(packed, mask);
        sum[u][p][h] = _mm256_dpbusd_avx_epi32(sum[u][p][h], w, bytes);
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
  for (int32_t h = 0; h < kHalves; ++h) {
    __m256i total = _mm256_setzero_si256();
    for (int32_t p = 0; p < kPhases; ++p) {
      __m256i phase = sum[0][p][h];
      for (int32_t u = 1; u < kUnroll; ++u) phase = _mm256_add_epi32(phase, sum[u][p][h]);
      total = _mm256_add_epi32(total, _mm256_srai_epi32(phase, p * kBits));
    }
    Store(total, shift, start + 8 * h, row_start, sums + 8 * h);
  }
}

template <int32_t kBits>
struct Bytes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                  int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    for (int32_t b = 0; b < kBlocks; ++b, weights += block_stride, start += kBlock, sums += kBlock) {
      if constexpr (kRows > 1) {
        Rows<kBits, kRows>(inputs, taps, steps, weights, shift, start, row_start, sums);
      } else if constexpr (kBits > 1) {
        OneRow<kBits, 2>(inputs, taps, steps, weights, shift, start, *row_start, sums);
      } else {  // eight phases need as many accumulators for each half
        for (int32_t h = 0; h < kBlock; h += 8) {
          OneRow<kBits, 1>(inputs, taps, steps, weights + h, shift, start + h, *row_start, sums + h);
        }
      }
    }
  }
};

}  // namespace

void FillByteDotAvxVnni(CodeKernels* table) {
  table->bytedot_rows = 5;
  FillTiles<Bytes<1>, 5>(table->bytedot[0]);
  FillTiles<Bytes<2>, 5>(table->bytedot[1]);
  FillTiles<Bytes<4>, 5>(table->bytedot[2]);
  FillTiles<Bytes<8>, 5>(table->bytedot[3]);
}

}  // namespace x86
}  // namespace keras_ste
