// Four pixels by 16 channels.
#include <immintrin.h>

#include "kernels/depthwise_loops.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

inline __m256i Load(const int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void Store(int32_t* p, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

inline void StoreWidened(int32_t* sums, __m256i v) {
  Store(sums, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(v)));
  Store(sums + 8, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(v, 1)));
}

struct Narrow {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    __m256i sum[kPixels][2];
    for (int32_t p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
    for (int32_t tap = 0; tap < taps; ++tap, weights += kChunk) {
      const __m256i low = Load(weights), high = Load(weights + 16);
      const int16_t* x = input + offsets[tap];
      for (int32_t p = 0; p < kPixels; ++p, x += step) {
        sum[p][0] = _mm256_add_epi16(sum[p][0], _mm256_mullo_epi16(Load(x), low));
        sum[p][1] = _mm256_add_epi16(sum[p][1], _mm256_mullo_epi16(Load(x + 16), high));
      }
    }
    for (int32_t p = 0; p < kPixels; ++p) {
      StoreWidened(sums + p * kChunk, sum[p][0]);
      StoreWidened(sums + p * kChunk + 16, sum[p][1]);
    }
  }
};

// Two taps at a time: pairs of numbers are multiplied and added up by one instruction. Unpacking leaves channels 0 to 3
// and 8 to 11 in the first vector of sums, the others in the second.
template <int32_t kPixels>
void Wide16(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
            int32_t* sums) {
  __m256i sum[kPixels][2];
  for (int32_t p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
  for (int32_t tap = 0; tap < taps; tap += 2, weights += 2 * kChunk) {
    const __m256i w0 = Load(weights), w1 = Load(weights + kChunk);
    const __m256i low = _mm256_unpacklo_epi16(w0, w1), high = _mm256_unpackhi_epi16(w0, w1);
    const int16_t* first = input + offsets[tap];
    const int16_t* second = input + offsets[tap + 1];
    for (int32_t p = 0; p < kPixels; ++p, first += step, second += step) {
      const __m256i x0 = Load(first), x1 = Load(second);
      sum[p][0] = _mm256_add_epi32(sum[p][0], _mm256_madd_epi16(_mm256_unpacklo_epi16(x0, x1), low));
      sum[p][1] = _mm256_add_epi32(sum[p][1], _mm256_madd_epi16(_mm256_unpackhi_epi16(x0, x1), high));
    }
  }
  for (int32_t p = 0; p < kPixels; ++p, sums += kChunk) {
    Store(sums, _mm256_permute2x128_si256(sum[p][0], sum[p][1], 0x20));
    Store(sums + 8, _mm256_permute2x128_si256(sum[p][0], sum[p][1], 0x31));
  }
}

struct Wide {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    Wide16<kPixels>(input, step, offsets, taps, weights, sums);
    Wide16<kPixels>(input + 16, step, offsets, taps, weights + 16, sums + 16);
  }
};

struct Floats {
  template <int32_t kPixels>
  static void Run(const float* input, int64_t step, const int32_t* offsets, int32_t taps, const float* weights,
                  float* sums) {
    for (int32_t lane = 0; lane < kChunk; lane += 16) {
      __m256 sum[kPixels][2];
      for (int32_t p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm256_setzero_ps();
      const float* w = weights + lane;
      for (int32_t tap = 0; tap < taps; ++tap, w += kChunk) {
        const __m256 low = _mm256_loadu_ps(w), high = _mm256_loadu_ps(w + 8);
        const float* x = input + offsets[tap] + lane;
        for (int32_t p = 0; p < kPixels; ++p, x += step) {
          sum[p][0] = _mm256_add_ps(sum[p][0], _mm256_mul_ps(_mm256_loadu_ps(x), low));
          sum[p][1] = _mm256_add_ps(sum[p][1], _mm256_mul_ps(_mm256_loadu_ps(x + 8), high));
        }
      }
      for (int32_t p = 0; p < kPixels; ++p) {
        _mm256_storeu_ps(sums + p * kChunk + lane, sum[p][0]);
        _mm256_storeu_ps(sums + p * kChunk + lane + 8, sum[p][1]);
      }
    }
  }
};

// 16 codes at a time: each lane holds its half of the word, of which one bit is its own.
void Spread(const uint32_t* planes, const Numbers& numbers, int32_t chunks, int16_t* values) {
  const __m256i own = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
                                        INT16_MIN);
  for (int32_t chunk = 0; chunk < chunks; ++chunk, ++planes, values += kChunk) {
    const uint32_t* plane = planes;
    __m256i low = _mm256_set1_epi16(StartOf(numbers)), high = low;
    for (int32_t p = 0; p < numbers.codes.bits; ++p, plane += WordsOf(numbers.channels)) {
      const __m256i worth = _mm256_set1_epi16(WorthOf(numbers, p));
      const __m256i low_bits = _mm256_and_si256(_mm256_set1_epi16(static_cast<int16_t>(*plane)), own);
      const __m256i high_bits = _mm256_and_si256(_mm256_set1_epi16(static_cast<int16_t>(*plane >> 16)), own);
      low = _mm256_add_epi16(low, _mm256_and_si256(_mm256_cmpeq_epi16(low_bits, own), worth));
      high = _mm256_add_epi16(high, _mm256_and_si256(_mm256_cmpeq_epi16(high_bits, own), worth));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + 16), high);
  }
}

}  // namespace

void FillDepthwiseAvx2(DepthwiseKernels* table) {
  FillDepthwiseTable<Narrow, Wide, Floats, 4>(table);
  table->spread = Spread;
}

}  // namespace x86
}  // namespace keras_ste
