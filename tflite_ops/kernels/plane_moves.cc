#include "kernels/plane_moves.h"

#include <string.h>

#include "kernels/bits.h"

namespace keras_ste {
namespace {

void Clear(uint32_t* words, int64_t count) { memset(words, 0, static_cast<size_t>(count) * sizeof(uint32_t)); }

// Adds `count` bits to a plane that has `offset` of them and zeros behind.
void AppendBits(const uint32_t* from, int32_t count, int32_t offset, uint32_t* plane) {
  const int32_t shift = offset % 32;
  uint32_t* to = plane + offset / 32;
  for (; count > 0; count -= 32, ++from, ++to) {
    const int32_t here = count < 32 ? count : 32;
    const uint32_t word = *from & BitRange(0, here);
    *to |= word << shift;
    if (shift + here > 32) to[1] |= word >> (32 - shift);
  }
}

// A pixel all of whose channels have the code.
void FillPixel(const Pad& p, uint32_t* pixel) {
  for (int32_t b = 0; b < p.bits; ++b) {
    for (int32_t left = p.channels; left > 0; left -= 32) {
      *pixel++ = (p.code >> b & 1u) != 0 ? BitRange(0, left < 32 ? left : 32) : 0u;
    }
  }
}

void FillPixels(const Pad& p, int32_t count, int64_t pixel_words, uint32_t* pixels) {
  for (int32_t i = 0; i < count; ++i) FillPixel(p, pixels + i * pixel_words);
}

}  // namespace

void ConcatPixels(const Concat& c, const void* const* parts, uint32_t* output, int32_t begin, int32_t end) {
  const int64_t out_words = WordsOf(c.all_channels);
  for (int64_t p = begin; p < end; ++p) {
    uint32_t* pixel = output + p * c.bits * out_words;
    Clear(pixel, c.bits * out_words);
    int32_t offset = 0;
    for (int32_t i = 0; i < c.parts; ++i) {
      const int64_t words = WordsOf(c.channels[i]);
      const uint32_t* from = static_cast<const uint32_t*>(parts[i]) + p * c.bits * words;
      for (int32_t b = 0; b < c.bits; ++b) AppendBits(from + b * words, c.channels[i], offset, pixel + b * out_words);
      offset += c.channels[i];
    }
  }
}

void PadRows(const Pad& p, const uint32_t* input, uint32_t* output, int32_t begin, int32_t end) {
  const int64_t pixel_words = static_cast<int64_t>(p.bits) * WordsOf(p.channels);
  const int32_t right = p.out_w - p.left - p.in_w;
  for (int32_t row = begin; row < end; ++row) {
    uint32_t* out = output + static_cast<int64_t>(row) * p.out_w * pixel_words;
    const int32_t y = row % p.out_h - p.top;
    if (y < 0 || y >= p.in_h) {
      FillPixels(p, p.out_w, pixel_words, out);
      continue;
    }
    const int64_t in_row = static_cast<int64_t>(row / p.out_h) * p.in_h + y;
    FillPixels(p, p.left, pixel_words, out);
    out += p.left * pixel_words;
    memcpy(out, input + in_row * p.in_w * pixel_words, static_cast<size_t>(p.in_w * pixel_words) * sizeof(uint32_t));
    FillPixels(p, right, pixel_words, out + p.in_w * pixel_words);
  }
}

void ShufflePixels(const Shuffle& s, const uint32_t* input, uint32_t* output, int32_t begin, int32_t end) {
  const int64_t words = WordsOf(s.channels);
  const int32_t group_channels = s.channels / s.groups;
  for (int64_t plane = static_cast<int64_t>(begin) * s.bits; plane < static_cast<int64_t>(end) * s.bits; ++plane) {
    const uint32_t* from = input + plane * words;
    uint32_t* to = output + plane * words;
    uint32_t word = 0;
    int32_t channel = 0;
    for (int32_t i = 0; i < group_channels; ++i) {
      for (int32_t source = i; source < s.channels; source += group_channels) {
        word |= (from[source / 32] >> (source % 32) & 1u) << (channel % 32);
        if (++channel % 32 != 0 && channel < s.channels) continue;
        *to++ = word;
        word = 0;
      }
    }
  }
}

void GatherRows(const CodeRows& table, const int32_t* indices, uint32_t* output, int32_t begin, int32_t end) {
  const int64_t row_words = static_cast<int64_t>(table.bits) * table.words;
  for (int32_t i = begin; i < end; ++i) CopyInWords(table, indices[i], 1, output + i * row_words);
}

}  // namespace keras_ste
