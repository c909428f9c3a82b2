// Eight pixels by 32 channels.
#include <immintrin.h>

#include "kernels/depthwise_loops.h"
#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

template <int32_t kPixels>
void StoreNarrow(const __m512i* sum, int32_t* sums) {
  for (int32_t p = 0; p < kPixels; ++p, sums += kChunk) {
    _mm512_storeu_si512(sums, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(sum[p])));
    _mm512_storeu_si512(sums + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(sum[p], 1)));
  }
}

struct Narrow {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    __m512i sum[kPixels];
    for (int32_t p = 0; p < kPixels; ++p) sum[p] = _mm512_setzero_si512();
    for (int32_t tap = 0; tap < taps; ++tap, weights += kChunk) {
      const __m512i w = _mm512_loadu_si512(weights);
      const int16_t* x = input + offsets[tap];
      for (int32_t p = 0; p < kPixels; ++p, x += step) {
        sum[p] = _mm512_add_epi16(sum[p], _mm512_mullo_epi16(_mm512_loadu_si512(x), w));
      }
    }
    StoreNarrow<kPixels>(sum, sums);
  }
};

inline void AddProduct(__m512i x, __m512i w, __m512i* sum) {
  *sum = _mm512_add_epi16(*sum, _mm512_mullo_epi16(x, w));
}

struct ByThree {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    __m512i sum[kPixels];
    for (int32_t p = 0; p < kPixels; ++p) sum[p] = _mm512_setzero_si512();
    for (int32_t tap = 0; tap < taps; tap += 3, weights += 3 * kChunk) {
      const __m512i left = _mm512_loadu_si512(weights), middle = _mm512_loadu_si512(weights + kChunk);
      const __m512i right = _mm512_loadu_si512(weights + 2 * kChunk);
      const int16_t* x = input + offsets[tap];
      for (int32_t p = 0; p < kPixels + 2; ++p, x += step) {
        const __m512i v = _mm512_loadu_si512(x);
        if (p < kPixels) AddProduct(v, left, sum + p);
        if (p >= 1 && p <= kPixels) AddProduct(v, middle, sum + p - 1);
        if (p >= 2) AddProduct(v, right, sum + p - 2);
      }
    }
    StoreNarrow<kPixels>(sum, sums);
  }
};

// Two taps at a time: pairs of numbers are multiplied and added up by one instruction. Unpacking leaves in each 128-bit
// lane of the first vector of sums the channels 8 i to 8 i + 3, in the second the others.
struct Wide {
  template <int32_t kPixels>
  static void Run(const int16_t* input, int64_t step, const int32_t* offsets, int32_t taps, const int16_t* weights,
                  int32_t* sums) {
    __m512i sum[kPixels][2];
    for (int32_t p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm512_setzero_si512();
    for (int32_t tap = 0; tap < taps; tap += 2, weights += 2 * kChunk) {
      const __m512i w0 = _mm512_loadu_si512(weights), w1 = _mm512_loadu_si512(weights + kChunk);
      const __m512i low = _mm512_unpacklo_epi16(w0, w1), high = _mm512_unpackhi_epi16(w0, w1);
      const int16_t* first = input + offsets[tap];
      const int16_t* second = input + offsets[tap + 1];
      for (int32_t p = 0; p < kPixels; ++p, first += step, second += step) {
        const __m512i x0 = _mm512_loadu_si512(first), x1 = _mm512_loadu_si512(second);
        sum[p][0] = _mm512_add_epi32(sum[p][0], _mm512_madd_epi16(_mm512_unpacklo_epi16(x0, x1), low));
        sum[p][1] = _mm512_add_epi32(sum[p][1], _mm512_madd_epi16(_mm512_unpackhi_epi16(x0, x1), high));
      }
    }
    const __m512i first_half = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second_half = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (int32_t p = 0; p < kPixels; ++p, sums += kChunk) {
      _mm512_storeu_si512(sums, _mm512_permutex2var_epi64(sum[p][0], first_half, sum[p][1]));
      _mm512_storeu_si512(sums + 16, _mm512_permutex2var_epi64(sum[p][0], second_half, sum[p][1]));
    }
  }
};

struct Floats {
  template <int32_t kPixels>
  static void Run(const float* input, int64_t step, const int32_t* offsets, int32_t taps, const float* weights,
                  float* sums) {
    __m512 sum[kPixels][2];
    for (int32_t p = 0; p < kPixels; ++p) sum[p][0] = sum[p][1] = _mm512_setzero_ps();
    for (int32_t tap = 0; tap < taps; ++tap, weights += kChunk) {
      const __m512 low = _mm512_loadu_ps(weights), high = _mm512_loadu_ps(weights + 16);
      const float* x = input + offsets[tap];
      for (int32_t p = 0; p < kPixels; ++p, x += step) {
        sum[p][0] = _mm512_add_ps(sum[p][0], _mm512_mul_ps(_mm512_loadu_ps(x), low));
        sum[p][1] = _mm512_add_ps(sum[p][1], _mm512_mul_ps(_mm512_loadu_ps(x + 16), high));
      }
    }
    for (int32_t p = 0; p < kPixels; ++p, sums += kChunk) {
      _mm512_storeu_ps(sums, sum[p][0]);
      _mm512_storeu_ps(sums + 16, sum[p][1]);
    }
  }
};

void Spread(const uint32_t* planes, const Numbers& numbers, int32_t chunks, int16_t* values) {
  const __m512i start = _mm512_set1_epi16(StartOf(numbers));
  const int32_t bits = numbers.codes.bits, words = WordsOf(numbers.channels);
  int16_t worths[8];
  for (int32_t p = 0; p < bits; ++p) worths[p] = WorthOf(numbers, p);
  for (int32_t chunk = 0; chunk < chunks; ++chunk, ++planes, values += kChunk) {
    __m512i sum = start;
    for (int32_t p = 0; p < bits; ++p) {
      sum = _mm512_mask_add_epi16(sum, planes[p * words], sum, _mm512_set1_epi16(worths[p]));
    }
    _mm512_storeu_si512(values, sum);
  }
}

inline __m512i Widen(__m256i x, const int8_t*) { return _mm512_cvtepi8_epi16(x); }
inline __m512i Widen(__m256i x, const uint8_t*) { return _mm512_cvtepu8_epi16(x); }

// Masks only where they are needed: stores under them take longer.
template <typename X>
void WidenBytes(const X* x, int32_t n, int32_t zero_point, int16_t* values) {
  const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(zero_point));
  int32_t i = 0;
  for (; i + kChunk <= n; i += kChunk) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    _mm512_storeu_si512(values + i, _mm512_sub_epi16(Widen(bytes, x), zero));
  }
  if (i == n) return;
  const __mmask32 valid = (1u << (n - i)) - 1;
  const __m256i bytes = _mm256_maskz_loadu_epi8(valid, x + i);
  _mm512_mask_storeu_epi16(values + i, valid, _mm512_sub_epi16(Widen(bytes, x), zero));
}

}  // namespace

void FillDepthwiseAvx512Bw(DepthwiseKernels* table) {
  FillDepthwiseTable<Narrow, Wide, Floats, 8>(table);
  FillByRows<ByThree, 8>(table->narrow_by_three);
  table->widen_int8 = WidenBytes<int8_t>;
  table->widen_uint8 = WidenBytes<uint8_t>;
  table->spread = Spread;
}

}  // namespace x86
}  // namespace keras_ste
