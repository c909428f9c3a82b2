// Two pixels by 32 channels, without VPOPCNTDQ. Bits are added before they are counted: of three vectors whose bits weigh the
// same, one VPTERNLOG makes the bits of their sum that weigh as much and another those of twice the weight, so that of four
// words one vector is counted, each nibble looked up with VPSHUFB. Byte counters are widened before they can overflow (a group
// adds at most 8 to a byte, so 31 groups fit).
#include <immintrin.h>

#include "kernels/tiles.h"
#include "kernels/x86/kernels.h"

namespace keras_ste {
namespace x86 {
namespace {

constexpr int32_t kLevels = 2;
constexpr int32_t kGroup = 1 << kLevels;
constexpr int32_t kGroupsBetweenFlushes = 31;

template <int32_t kMeeting>
inline __m512i Meet(__m512i a, const uint32_t* weights) {
  const __m512i w = _mm512_loadu_si512(weights);
  if constexpr (kMeeting == kXor) return _mm512_xor_si512(a, w);
  if constexpr (kMeeting == kAnd) return _mm512_and_si512(a, w);
  return _mm512_ternarylogic_epi32(_mm512_loadu_si512(weights + kBlock), a, w, 0x28);  // (negative ^ a) & nonzero
}

inline __m512i CountBytes(__m512i v) {
  const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i low_nibble = _mm512_set1_epi8(15);
  const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low_nibble));
  const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi32(v, 4), low_nibble));
  return _mm512_add_epi8(low, high);
}

// The sum of the four bytes of each 32-bit lane.
inline __m512i SumBytes(__m512i bytes) {
  return _mm512_madd_epi16(_mm512_maddubs_epi16(bytes, _mm512_set1_epi8(1)), _mm512_set1_epi16(1));
}

// Adds the bits of word(first) and the 2^kLevel - 1 behind it to bits[i], each of which counts 2^i; returns what exceeds
// them, each bit of which counts 2^kLevel.
template <int32_t kLevel, typename Word>
inline __m512i AddBits(const Word& word, int32_t first, __m512i* bits) {
  if constexpr (kLevel == 0) {
    return word(first);
  } else {
    const __m512i a = AddBits<kLevel - 1>(word, first, bits);
    const __m512i b = AddBits<kLevel - 1>(word, first + (1 << (kLevel - 1)), bits);
    const __m512i c = bits[kLevel - 1];
    bits[kLevel - 1] = _mm512_ternarylogic_epi32(a, b, c, 0x96);  // a ^ b ^ c
    return _mm512_ternarylogic_epi32(a, b, c, 0xE8);              // at least two of them
  }
}

// The words of some pixels, one after the other through all taps.
template <int32_t kRows>
struct Inputs {
  const uint32_t* const* pixels;
  int32_t words;
  int32_t word = 0;

  // The next word of each pixel, in all lanes.
  void Next(__m512i (*lanes)[kRows]) {
    for (int32_t r = 0; r < kRows; ++r) (*lanes)[r] = _mm512_set1_epi32(static_cast<int32_t>(pixels[r][word]));
    if (++word == words) {
      word = 0;
      pixels += kRows;
    }
  }
};

template <int32_t kMeeting, int32_t kBlocks, int32_t kRows>
struct Tile {
  static constexpr int32_t kStep = (kMeeting == kMaskedXor ? 2 : 1) * kBlock;

  Inputs<kRows> inputs;
  const uint32_t* weights;
  int64_t block_stride;
  __m512i bits[kRows][kBlocks][kLevels];

  // Adds up 2^kLevel words of each pixel, and calls add(r, b, counts in bytes of what exceeds `bits`).
  template <int32_t kLevel, typename Add>
  void Group(const Add& add) {
    __m512i a[1 << kLevel][kRows];
    for (auto& word : a) inputs.Next(&word);
#pragma GCC unroll 8  // or `bits` would be kept in memory
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) {
        const auto word = [&](int32_t j) { return Meet<kMeeting>(a[j][r], weights + b * block_stride + j * kStep); };
        add(r, b, CountBytes(AddBits<kLevel>(word, 0, bits[r][b])));
      }
    }
    weights += kStep << kLevel;
  }
};

template <int32_t kMeeting>
struct Planes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums) {
    Tile<kMeeting, kBlocks, kRows> tile = {{inputs, words}, weights, block_stride, {}};
    __m512i count[kRows][kBlocks] = {};
    int32_t left = taps * words;
    while (left >= kGroup) {
      __m512i bytes[kRows][kBlocks] = {};
      for (int32_t i = 0; i < kGroupsBetweenFlushes && left >= kGroup; ++i, left -= kGroup) {
        tile.template Group<kLevels>([&](int32_t r, int32_t b, __m512i counts) {
          bytes[r][b] = _mm512_add_epi8(bytes[r][b], counts);
        });
      }
#pragma GCC unroll 8
      for (int32_t r = 0; r < kRows; ++r) {
        for (int32_t b = 0; b < kBlocks; ++b) {
          count[r][b] = _mm512_add_epi32(count[r][b], _mm512_slli_epi32(SumBytes(bytes[r][b]), kLevels));
        }
      }
    }
    __m512i rest[kRows][kBlocks] = {};
    if ((left & 2) != 0) {
      tile.template Group<1>([&](int32_t r, int32_t b, __m512i counts) { rest[r][b] = _mm512_add_epi8(counts, counts); });
    }
    if ((left & 1) != 0) {
      tile.template Group<0>([&](int32_t r, int32_t b, __m512i counts) {
        rest[r][b] = _mm512_add_epi8(rest[r][b], counts);
      });
    }
    const __m512i factor = _mm512_set1_epi32(coefficient);
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t b = 0; b < kBlocks; ++b) {
        const __m512i twos = CountBytes(tile.bits[r][b][1]);
        const __m512i ones = _mm512_add_epi8(rest[r][b], CountBytes(tile.bits[r][b][0]));
        const __m512i bytes = _mm512_add_epi8(_mm512_add_epi8(twos, twos), ones);
        const __m512i total = _mm512_add_epi32(count[r][b], SumBytes(bytes));
        const __m512i first = _mm512_loadu_si512(start[r] + b * kBlock);
        _mm512_storeu_si512(sums + r * kChunk + b * kBlock,
                            _mm512_add_epi32(first, _mm512_mullo_epi32(total, factor)));
      }
    }
  }
};

}  // namespace

void FillPlaneDotAvx512Bw(CodeKernels* table) {
  table->planedot_rows = 2;
  FillTiles<Planes<kXor>, 2>(table->planedot[kXor]);
  FillTiles<Planes<kAnd>, 2>(table->planedot[kAnd]);
  FillTiles<Planes<kMaskedXor>, 2>(table->planedot[kMaskedXor]);
}

}  // namespace x86
}  // namespace keras_ste
