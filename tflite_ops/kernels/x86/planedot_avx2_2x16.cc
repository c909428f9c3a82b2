// AVX2 has no popcount: each nibble is looked up with PSHUFB and byte counters are widened before they can overflow (a step
// adds at most 8 to a byte, so 31 steps fit).
#include <immintrin.h>

#include "kernels/tiles.h"
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

inline __m256i LoadLanes(const uint32_t* words) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)); }

template <int32_t kMeeting>
inline __m256i Meet(__m256i a, const __m256i* w) {
  if constexpr (kMeeting == kXor) return _mm256_xor_si256(a, w[0]);
  if constexpr (kMeeting == kAnd) return _mm256_and_si256(a, w[0]);
  return _mm256_and_si256(_mm256_xor_si256(a, w[1]), w[0]);
}

template <int32_t kMeeting, int32_t kRows>
void Block(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int32_t coefficient,
           const int32_t* const* start, int32_t first_lane, int32_t* sums) {
  constexpr int32_t kVectors = kMeeting == kMaskedXor ? 2 : 1;
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
    for (int32_t i = 0; i < words; ++i, weights += kVectors * kBlock) {
      __m256i w[2][kVectors];
      for (int32_t v = 0; v < kVectors; ++v) {
        w[0][v] = LoadLanes(weights + v * kBlock);
        w[1][v] = LoadLanes(weights + v * kBlock + 8);
      }
      for (int32_t r = 0; r < kRows; ++r) {
        const __m256i a = _mm256_set1_epi32(static_cast<int32_t>(inputs[r][i]));
        for (int32_t h = 0; h < 2; ++h) {
          bytes[r][h] = _mm256_add_epi8(bytes[r][h], CountBytes(Meet<kMeeting>(a, w[h]), table, low_nibble));
        }
      }
      if (++steps == kStepsBetweenFlushes) {
        flush();
        steps = 0;
      }
    }
  }
  flush();
  const __m256i factor = _mm256_set1_epi32(coefficient);
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t h = 0; h < 2; ++h) {
      const int32_t column = first_lane + 8 * h;
      const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start[r] + column));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * kChunk + column),
                          _mm256_add_epi32(first, _mm256_mullo_epi32(count[r][h], factor)));
    }
  }
}

template <int32_t kMeeting>
struct Planes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Block<kMeeting, kRows>(inputs, taps, words, weights + b * block_stride, coefficient, start, b * kBlock, sums);
    }
  }
};

}  // namespace

void FillPlaneDotAvx2(CodeKernels* table) {
  table->planedot_rows = 2;
  FillTiles<Planes<kXor>, 2>(table->planedot[kXor]);
  FillTiles<Planes<kAnd>, 2>(table->planedot[kAnd]);
  FillTiles<Planes<kMaskedXor>, 2>(table->planedot[kMaskedXor]);
}

}  // namespace x86
}  // namespace keras_ste
