// Four pixels by 16 channels. VPMADDUBSW adds two products in 16 bits and saturates: with weights of up to four bits
// nothing is lost, and a number of steps fit into 16 bits before they are widened. Weights of eight bits would
// saturate: these are widened first.
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m256i LoadLanes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m256i FourBytes(const int8_t* y) {
  int32_t four;
  __builtin_memcpy(&four, y, sizeof(four));
  return _mm256_set1_epi32(four);
}

// Adds the pairs of 16-bit sums.
inline __m256i Widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

template <int32_t kRows>
struct Sums {
  __m256i of[kRows][2];  // [pixel][half of the block]

  Sums() {
    for (auto& row : of) row[0] = row[1] = _mm256_setzero_si256();
  }

  void Store(int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) const {
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t h = 0; h < 2; ++h) {
        const __m256i first = _mm256_add_epi32(LoadLanes(start + 8 * h), _mm256_set1_epi32(row_start[r]));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kChunk + 8 * h),
                            _mm256_add_epi32(first, _mm256_sll_epi32(of[r][h], _mm_cvtsi32_si128(shift))));
      }
    }
  }
};

template <int32_t kBits, int32_t kRows>
struct Narrow {
  static constexpr int32_t kPhases = 8 / kBits;
  // Sums of two products that fit into 16 bits.
  static constexpr int32_t kPairs = 32767 / (2 * 128 * ((1 << kBits) - 1));
  static constexpr int32_t kSteps = kPairs / kPhases;

  static void Block(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int32_t shift,
                    const int32_t* start, const int32_t* row_start, int32_t* sums) {
    const __m256i mask = _mm256_set1_epi8((1 << kBits) - 1);
    Sums<kRows> sum;
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t begin = 0; begin < steps; begin += kSteps) {
        const int32_t end = steps - begin < kSteps ? steps : begin + kSteps;
        Sums<kRows> pairs;
        for (int32_t i = begin; i < end; ++i, weights += kBlock) {
          const __m256i packed[2] = {LoadLanes(weights), LoadLanes(weights + 8)};
          for (int32_t p = 0; p < kPhases; ++p) {
            __m256i w[2];
            for (int32_t h = 0; h < 2; ++h) w[h] = _mm256_and_si256(_mm256_srli_epi32(packed[h], p * kBits), mask);
            for (int32_t r = 0; r < kRows; ++r) {
              const __m256i y = FourBytes(inputs[r] + 4 * (static_cast<int64_t>(i) * kPhases + p));
              for (int32_t h = 0; h < 2; ++h) {
                pairs.of[r][h] = _mm256_add_epi16(pairs.of[r][h], _mm256_maddubs_epi16(w[h], y));
              }
            }
          }
        }
        for (int32_t r = 0; r < kRows; ++r) {
          for (int32_t h = 0; h < 2; ++h) sum.of[r][h] = _mm256_add_epi32(sum.of[r][h], Widen(pairs.of[r][h]));
        }
      }
    }
    sum.Store(shift, start, row_start, sums);
  }
};

template <int32_t kRows>
struct Wide {
  static void Block(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int32_t shift,
                    const int32_t* start, const int32_t* row_start, int32_t* sums) {
    const __m256i even = _mm256_set1_epi16(0xFF);
    Sums<kRows> sum;
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t i = 0; i < steps; ++i, weights += kBlock) {
        __m256i w[2][2];
        for (int32_t h = 0; h < 2; ++h) {
          const __m256i packed = LoadLanes(weights + 8 * h);
          w[h][0] = _mm256_and_si256(packed, even);
          w[h][1] = _mm256_srli_epi16(packed, 8);
        }
        for (int32_t r = 0; r < kRows; ++r) {
          const __m256i y = FourBytes(inputs[r] + 4 * static_cast<int64_t>(i));
          const __m256i y0 = _mm256_srai_epi16(_mm256_slli_epi16(y, 8), 8);
          const __m256i y1 = _mm256_srai_epi16(y, 8);
          for (int32_t h = 0; h < 2; ++h) {
            const __m256i products = _mm256_add_epi32(_mm256_madd_epi16(w[h][0], y0), _mm256_madd_epi16(w[h][1], y1));
            sum.of[r][h] = _mm256_add_epi32(sum.of[r][h], products);
          }
        }
      }
    }
    sum.Store(shift, start, row_start, sums);
  }
};

template <template <int32_t> class Kernel>
struct Bytes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights,
                  int64_t block_stride, int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Kernel<kRows>::Block(inputs, taps, steps, weights + b * block_stride, shift, start + b * kBlock, row_start,
                           sums + b * kBlock);
    }
  }
};

template <int32_t kRows>
using OneBit = Narrow<1, kRows>;
template <int32_t kRows>
using TwoBits = Narrow<2, kRows>;
template <int32_t kRows>
using FourBits = Narrow<4, kRows>;

}  // namespace

void FillByteDotAvx2(CodeKernels* table) {
  table->bytedot_rows = 4;
  FillTiles<Bytes<OneBit>, 4>(table->bytedot[0]);
  FillTiles<Bytes<TwoBits>, 4>(table->bytedot[1]);
  FillTiles<Bytes<FourBits>, 4>(table->bytedot[2]);
  FillTiles<Bytes<Wide>, 4>(table->bytedot[3]);
}

}  // namespace x86
}  // namespace keras_ste
