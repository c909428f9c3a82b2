// Four pixels by 32 channels, without VNNI. VPMADDUBSW adds two products in 16 bits and saturates: with weights of up to four
// bits nothing is lost, and a number of steps fit into 16 bits before they are widened. Weights of eight bits are two of four
// bits that meet the same inputs.
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

// Weights of kWidth bits, `first_bit` bits above the lowest ones of each byte.
template <int32_t kWidth>
inline __m512i Unpack(__m512i packed, int32_t first_bit) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kWidth) - 1));
  return _mm512_and_si512(_mm512_srli_epi32(packed, static_cast<uint32_t>(first_bit)), mask);
}

template <int32_t kBits>
struct Bytes {
  static constexpr int32_t kWidth = kBits == 8 ? 4 : kBits;  // as they are multiplied
  static constexpr int32_t kParts = kBits / kWidth;          // of a weight, added up apart
  static constexpr int32_t kPhases = 8 / kBits;
  // Sums of two products that fit into 16 bits.
  static constexpr int32_t kPairs = 32767 / (2 * 128 * ((1 << kWidth) - 1));
  static constexpr int32_t kSteps = kPairs / kPhases;

  template <int32_t kBlocks, int32_t kRows>
  static void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                  int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    __m512i sum[kRows][kBlocks];
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) sum[r][b] = _mm512_setzero_si512();
    }
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t begin = 0; begin < steps; begin += kSteps) {
        const int32_t end = steps - begin < kSteps ? steps : begin + kSteps;
        __m512i pairs[kRows][kBlocks][kParts];
#pragma GCC unroll 8  // or they would be kept in memory
        for (int32_t r = 0; r < kRows; ++r) {
          for (int32_t b = 0; b < kBlocks; ++b) {
            for (__m512i& v : pairs[r][b]) v = _mm512_setzero_si512();
          }
        }
        for (int32_t i = begin; i < end; ++i, weights += kBlock) {
          FetchNextChunk<kBlocks, kRows>(weights, block_stride);
          __m512i packed[kBlocks];
          for (int32_t b = 0; b < kBlocks; ++b) packed[b] = _mm512_loadu_si512(weights + b * block_stride);
#pragma GCC unroll 1  // the vectors of several phases at once would not fit into the registers
          for (int32_t p = 0; p < kPhases; ++p) {
            __m512i w[kBlocks][kParts];
            for (int32_t b = 0; b < kBlocks; ++b) {
              for (int32_t part = 0; part < kParts; ++part) w[b][part] = Unpack<kWidth>(packed[b], part * kWidth);
              packed[b] = _mm512_srli_epi32(packed[b], kBits);
            }
            for (int32_t r = 0; r < kRows; ++r) {
              const __m512i y = FourBytes(inputs[r] + 4 * (static_cast<int64_t>(i) * kPhases + p));
              for (int32_t b = 0; b < kBlocks; ++b) {
                for (int32_t part = 0; part < kParts; ++part) {
                  pairs[r][b][part] = _mm512_add_epi16(pairs[r][b][part], _mm512_maddubs_epi16(w[b][part], y));
                }
              }
            }
          }
        }
#pragma GCC unroll 8
        for (int32_t r = 0; r < kRows; ++r) {
          for (int32_t b = 0; b < kBlocks; ++b) {
            for (int32_t part = 0; part < kParts; ++part) {
              const __m512i worth = _mm512_set1_epi16(static_cast<int16_t>(1 << (part * kWidth)));
              sum[r][b] = _mm512_add_epi32(sum[r][b], _mm512_madd_epi16(pairs[r][b][part], worth));
            }
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) {
        const __m512i first =
            _mm512_add_epi32(_mm512_loadu_si512(start + b * kBlock), _mm512_set1_epi32(row_start[r]));
        _mm512_storeu_si512(sums + r * kChunk + b * kBlock,
                            _mm512_add_epi32(first, _mm512_sll_epi32(sum[r][b], _mm_cvtsi32_si128(shift))));
      }
    }
  }
};

}  // namespace

void FillByteDotAvx512Bw(CodeKernels* table) {
  table->bytedot_rows = 4;
  FillTiles<Bytes<1>, 4>(table->bytedot[0]);
  FillTiles<Bytes<2>, 4>(table->bytedot[1]);
  FillTiles<Bytes<4>, 4>(table->bytedot[2]);
  FillTiles<Bytes<8>, 4>(table->bytedot[3]);
}

}  // namespace x86
}  // namespace keras_ste
