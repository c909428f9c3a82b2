// Signs times signs by AVX-512 VPOPCNTDQ, from weights that lie as the file has them: one output channel behind the other, each a
// row of words. A vector holds 16 words of one row, so that every sum is added up across its vector at the end.
#include <immintrin.h>
#include <stdint.h>

namespace {

constexpr int32_t kTile = 4;  // 4 rows by 4 outputs: 16 sums, 8 vectors of words, in 32 registers

template <int32_t kRows>
void Tile(const uint32_t* inputs, const uint32_t* weights, int32_t words, int32_t outputs, int32_t k, int32_t* sums) {
  __m512i counts[kRows][kTile] = {};
  for (int32_t word = 0; word < words; word += 16) {
    const __mmask16 mask = words - word >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << (words - word)) - 1);
    __m512i x[kRows];
    for (int32_t r = 0; r < kRows; ++r) x[r] = _mm512_maskz_loadu_epi32(mask, inputs + r * words + word);
    for (int32_t o = 0; o < kTile; ++o) {
      const __m512i w = _mm512_maskz_loadu_epi32(mask, weights + o * words + word);
      for (int32_t r = 0; r < kRows; ++r) {
        counts[r][o] = _mm512_add_epi32(counts[r][o], _mm512_popcnt_epi32(_mm512_xor_si512(x[r], w)));
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t o = 0; o < kTile; ++o) sums[r * outputs + o] = k - 2 * _mm512_reduce_add_epi32(counts[r][o]);
  }
}

}  // namespace

// sums[m][outputs] of inputs[m][words] and weights[outputs][words], `repeats` times over; `outputs` is a multiple of 4. Bits
// from k on are zero in both.
extern "C" void RowLayoutSums(const uint32_t* inputs, const uint32_t* weights, int32_t m, int32_t outputs, int32_t k,
                              int32_t repeats, int32_t* sums) {
  const int32_t words = (k + 31) / 32;
  for (int32_t i = 0; i < repeats; ++i) {
    int32_t row = 0;
    for (; row + kTile <= m; row += kTile) {
      for (int32_t o = 0; o < outputs; o += kTile) {
        Tile<kTile>(inputs + row * words, weights + o * words, words, outputs, k, sums + row * outputs + o);
      }
    }
    for (; row < m; ++row) {
      for (int32_t o = 0; o < outputs; o += kTile) {
        Tile<1>(inputs + row * words, weights + o * words, words, outputs, k, sums + row * outputs + o);
      }
    }
  }
}
