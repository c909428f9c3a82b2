// AVX2 has no popcount: each nibble is looked up with PSHUFB and byte counters are widened before they can overflow (a step
// adds at most 8 to a byte, so 31 steps fit).
#include <immintrin.h>

#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

constexpr int32_t kStepsBetweenFlushes = 31;

inline __m256i CountBytes(__m256i v, __m256i table, __m256i low_nibble) {
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low_nibble));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(v, 4), low_nibble));
  return _mm256_add_epi8(low, high);
}

// The sum of the four bytes of each 32-bit lane.
inline __m256i SumBytes(__m256i bytes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

template <int32_t kRows>
void Block(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
           const int32_t* const* start, int32_t first_lane, int32_t* sums) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low_nibble = _mm256_set1_epi8(15);
  __m256i bytes[kRows][2], count[kRows][2];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) bytes[r][h] = count[r][h] = _mm256_setzero_si256();
  }
  const auto flush = [&] {
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t h = 0; h < 2; ++h) {
        count[r][h] = _mm256_add_epi32(count[r][h], SumBytes(bytes[r][h]));
        bytes[r][h] = _mm256_setzero_si256();
      }
    }
  };
  int32_t steps = 0;
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < words; ++i, weights += kBlock) {
      const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
      const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 8));
      for (int32_t r = 0; r < kRows; ++r) {
        const __m256i a = _mm256_set1_epi32(static_cast<int32_t>(inputs[r][i]));
        bytes[r][0] = _mm256_add_epi8(bytes[r][0], CountBytes(_mm256_xor_si256(a, w0), table, low_nibble));
        bytes[r][1] = _mm256_add_epi8(bytes[r][1], CountBytes(_mm256_xor_si256(a, w1), table, low_nibble));
      }
      if (++steps == kStepsBetweenFlushes) {
        flush();
        steps = 0;
      }
    }
  }
  flush();
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) {
      const int32_t column = first_lane + 8 * h;
      const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start[r] + column));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kChunk + column),
                          _mm256_sub_epi32(first, _mm256_slli_epi32(count[r][h], 1)));
    }
  }
}

template <int32_t kBlocks, int32_t kRows>
void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int64_t block_stride,
         const int32_t* const* start, int32_t* sums) {
  for (int32_t b = 0; b < kBlocks; ++b) {
    Block<kRows>(inputs, taps, words, weights + b * block_stride, start, b * kBlock, sums);
  }
}

template <int32_t kBlocks>
void Fill(BitDot* by_rows) {
  by_rows[1] = Run<kBlocks, 1>;
  by_rows[2] = Run<kBlocks, 2>;
}

}  // namespace

void FillBitDotAvx2(KernelTable* table) {
  table->bitdot_rows = 2;
  Fill<1>(table->bitdot[0]);
  Fill<2>(table->bitdot[1]);
}

}  // namespace x86
}  // namespace keras_ste
