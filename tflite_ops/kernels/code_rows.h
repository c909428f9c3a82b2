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

struct CodeRow {
  const uint32_t* words;  // null where there are no gaps
  int32_t plane_words;
  const uint8_t* bytes;
  int64_t first;          // bit of the first plane
  int32_t codes, first_bit;
};

static inline CodeRow RowAt(const CodeRows& rows, int64_t number) {
  CodeRow row = {nullptr, rows.words, nullptr, number * rows.bits * rows.codes, rows.codes, rows.first_bit};
  if (rows.gapless) {
    row.bytes = static_cast<const uint8_t*>(rows.data);
  } else {
    row.words = static_cast<const uint32_t*>(rows.data) + number * rows.bits * rows.words;
  }
  return row;
}

// Bits [at, at + count) of bytes, of 1 to 32.
static inline uint32_t BitsAt(const uint8_t* bytes, int64_t at, int32_t count) {
  bytes += at / 8;
  int32_t have = 8 - static_cast<int32_t>(at % 8);
  uint32_t bits = static_cast<uint32_t>(*bytes) >> (8 - have);
  for (; have < count; have += 8) bits |= static_cast<uint32_t>(*++bytes) << have;
  return bits & BitRange(0, count);
}

// Word `i` of a plane.
static inline uint32_t WordOf(const CodeRow& row, int32_t plane, int32_t i) {
  if (row.words != nullptr) return row.words[plane * row.plane_words + i];
  const int32_t begin = 32 * i - row.first_bit;  // the code of the lowest bit
  const int32_t first = begin < 0 ? 0 : begin;
  const int32_t end = begin + 32 < row.codes ? begin + 32 : row.codes;
  if (first >= end) return 0;
  return BitsAt(row.bytes, row.first + static_cast<int64_t>(plane) * row.codes + first, end - first) << (first - begin);
}

// The code at bit `at` of the words, as an unsigned number.
static inline int32_t CodeAt(const CodeRow& row, int32_t bits, int64_t at) {
  int32_t number = 0;
  if (row.words != nullptr) {
    const uint32_t* word = row.words + at / 32;
    for (int32_t p = 0; p < bits; ++p, word += row.plane_words) {
      number |= static_cast<int32_t>(*word >> (at % 32) & 1u) << p;
    }
    return number;
  }
  int64_t bit = row.first + at - row.first_bit;
  for (int32_t p = 0; p < bits; ++p, bit += row.codes) number |= (row.bytes[bit / 8] >> (bit % 8) & 1) << p;
  return number;
}

// What it is worth.
static inline int32_t WorthAt(const Codes& codes, const CodeRow& row, int64_t at) {
  return Worth(codes, CodeAt(row, codes.bits, at));
}

// The bytes that so many rows take without gaps.
static inline int64_t GaplessBytes(const CodeRows& rows, int64_t count) {
  return (count * rows.bits * rows.codes + 7) / 8;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CODE_ROWS_H_
