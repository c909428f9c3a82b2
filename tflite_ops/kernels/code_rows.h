// Rows of codes as a file has them, which may lie there in two ways:
//   in words     each plane of a row begins at a word, as codes.h describes
//   without gaps each plane of a row begins at the bit behind the one before it, of bytes whose lowest bit is the first
// The second takes no more than its bits, and is read a bit slower. Whoever reads rows need not know which it is: a word of a plane
// is the same in both.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_CODE_ROWS_H_
#define KERAS_STE_KERNELS_CODE_ROWS_H_

#include <stdint.h>

#include "kernels/bits.h"
#include "kernels/codes.h"

namespace keras_ste {

struct CodeRows {
  const void* data;   // words, or bytes where there are no gaps
  bool gapless;
  int32_t bits;       // planes of a row
  int32_t codes;      // of a row
  int32_t first_bit;  // of the words of a plane, where the codes begin
  int32_t words;      // of a plane
};

// Of fewer than 2^31 bits where there are no gaps.
struct CodeRow {
  const uint32_t* words;  // null where there are no gaps
  int32_t plane_words;
  const uint8_t* bytes;
  int32_t first;          // bit of these, of 0 to 7
  int32_t codes, first_bit;
};

static inline CodeRow RowAt(const CodeRows& rows, int64_t number) {
  const int64_t words = number * rows.bits * rows.words;
  if (!rows.gapless) return {static_cast<const uint32_t*>(rows.data) + words, rows.words, nullptr, 0, rows.codes, rows.first_bit};
  const int64_t first = number * rows.bits * rows.codes;
  return {nullptr, 0, static_cast<const uint8_t*>(rows.data) + first / 8, static_cast<int32_t>(first % 8), rows.codes, rows.first_bit};
}

// Word `i` of a plane of a row without gaps.
uint32_t GaplessWord(const CodeRow& row, int32_t plane, int32_t i);
// The code at bit `at` of such words, as an unsigned number.
int32_t GaplessCode(const CodeRow& row, int32_t bits, int32_t at);

// Word `i` of a plane.
static inline uint32_t WordOf(const CodeRow& row, int32_t plane, int32_t i) {
  return row.words != nullptr ? row.words[plane * row.plane_words + i] : GaplessWord(row, plane, i);
}

// The code at bit `at` of the words, as an unsigned number.
static inline int32_t CodeAt(const CodeRow& row, int32_t bits, int32_t at) {
  if (row.words == nullptr) return GaplessCode(row, bits, at);
  const uint32_t* word = row.words + at / 32;
  int32_t number = 0;
  for (int32_t p = 0; p < bits; ++p, word += row.plane_words) {
    number |= static_cast<int32_t>(*word >> (at % 32) & 1u) << p;
  }
  return number;
}

// What it is worth.
static inline int32_t WorthAt(const Codes& codes, const CodeRow& row, int32_t at) {
  return Worth(codes, CodeAt(row, codes.bits, at));
}

// Rows [first, first + count) in words, `bits * words` of each.
void CopyInWords(const CodeRows& rows, int64_t first, int32_t count, uint32_t* words);

// The bytes that so many rows take without gaps.
static inline int64_t GaplessBytes(const CodeRows& rows, int64_t count) {
  return (count * rows.bits * rows.codes + 7) / 8;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CODE_ROWS_H_
