#include "kernels/code_rows.h"

#include <string.h>

namespace keras_ste {
namespace {

// Bits [at, at + count) of bytes, of 1 to 32.
uint32_t BitsAt(const uint8_t* bytes, int32_t at, int32_t count) {
  bytes += at / 8;
  int32_t have = 8 - at % 8;
  uint32_t bits = static_cast<uint32_t>(*bytes) >> (8 - have);
  for (; have < count; have += 8) bits |= static_cast<uint32_t>(*++bytes) << have;
  return bits & BitRange(0, count);
}

// Bits of bytes, one after the other.
class BitStream {
 public:
  // From bit `first` of the first byte on, of 0 to 7.
  BitStream(const uint8_t* bytes, int32_t first) : next_(bytes), held_(0), have_(0) {
    if (first == 0) return;
    held_ = *next_++ >> first;
    have_ = 8 - first;
  }

  // Of 1 to 32.
  uint32_t Next(int32_t count) {
    uint32_t bits = held_;
    if (count == 32) {  // those of four bytes, as many of which are left as there were
      uint32_t word;
      memcpy(&word, next_, sizeof(word));
      next_ += sizeof(word);
      held_ = have_ == 0 ? 0 : word >> (32 - have_);
      return bits | word << have_;
    }
    uint32_t byte = held_ << (8 - have_);
    int32_t have = have_;
    for (; have < count; have += 8) {
      byte = *next_++;
      bits |= byte << have;
    }
    have_ = have - count;
    held_ = byte >> (8 - have_);
    return bits & BitRange(0, count);
  }

 private:
  const uint8_t* next_;
  uint32_t held_;  // of the last byte, the bits that are left
  int32_t have_;   // so many, of 0 to 7
};

}  // namespace

uint32_t GaplessWord(const CodeRow& row, int32_t plane, int32_t i) {
  const int32_t begin = 32 * i - row.first_bit;  // the code of the lowest bit
  const int32_t first = begin < 0 ? 0 : begin;
  const int32_t end = begin + 32 < row.codes ? begin + 32 : row.codes;
  if (first >= end) return 0;
  return BitsAt(row.bytes, row.first + plane * row.codes + first, end - first) << (first - begin);
}

void CopyInWords(const CodeRows& rows, int64_t first, int32_t count, uint32_t* words) {
  const CodeRow row = RowAt(rows, first);
  if (!rows.gapless) {
    memcpy(words, row.words, static_cast<size_t>(count) * static_cast<size_t>(rows.bits * rows.words) * sizeof(uint32_t));
    return;
  }
  BitStream bits(row.bytes, row.first);
  for (int32_t plane = 0; plane < count * rows.bits; ++plane) {
    int32_t left = rows.codes, bit = rows.first_bit;
    for (int32_t i = 0; i < rows.words; ++i, bit = 0) {
      const int32_t n = left < 32 - bit ? left : 32 - bit;
      *words++ = n > 0 ? bits.Next(n) << bit : 0;
      left -= n;
    }
  }
}

int32_t GaplessCode(const CodeRow& row, int32_t bits, int32_t at) {
  int32_t number = 0;
  int32_t bit = row.first + at - row.first_bit;
  for (int32_t p = 0; p < bits; ++p, bit += row.codes) number |= (row.bytes[bit / 8] >> (bit % 8) & 1) << p;
  return number;
}

}  // namespace keras_ste
