#include "kernels/max_pool.h"

namespace keras_ste {
namespace {

// One word of each plane of a place and, in `best`, of the greatest so far, as unsigned numbers.
void TakeGreater(const MaxPool& p, const uint32_t* place, const uint32_t* inverted, uint32_t* best) {
  if (p.codes.bits == 1) {
    best[0] |= place[0] ^ inverted[0];
    return;
  }
  uint32_t bits[8];
  uint32_t greater = 0, equal = 0xFFFFFFFFu;
  for (int32_t b = p.codes.bits - 1; b >= 0; --b) {
    bits[b] = place[static_cast<int64_t>(b) * p.words] ^ inverted[b];
    greater |= equal & bits[b] & ~best[b];
    equal &= ~(bits[b] ^ best[b]);
  }
  for (int32_t b = 0; b < p.codes.bits; ++b) best[b] ^= (bits[b] ^ best[b]) & greater;
}

// The greatest unsigned number serves all: on the way in and out, each channel pooled by minimum is inverted, and so is the
// highest bit of two's complement.
void PoolPixel(const MaxPool& p, const uint32_t* image, const uint32_t* minimum, int32_t y, int32_t x, uint32_t* out) {
  const int64_t pixel_words = static_cast<int64_t>(p.codes.bits) * p.words;
  const TapRange rows = TapsInside(p.h, y);
  const TapRange columns = TapsInside(p.w, x);
  const int32_t top = y * p.h.stride - p.h.before;
  const int32_t left = x * p.w.stride - p.w.before;
  for (int32_t i = 0; i < p.words; ++i) {
    uint32_t inverted[8] = {}, best[8] = {};
    for (int32_t b = 0; b < p.codes.bits; ++b) inverted[b] = minimum == nullptr ? 0u : minimum[i];
    if (TwosComplement(p.codes)) inverted[p.codes.bits - 1] ^= 0xFFFFFFFFu;
    for (int32_t ky = rows.begin; ky < rows.end; ++ky) {
      const int64_t row = (top + ky) * static_cast<int64_t>(p.w.in) + left;
      for (int32_t kx = columns.begin; kx < columns.end; ++kx) {
        TakeGreater(p, image + (row + kx) * pixel_words + i, inverted, best);
      }
    }
    for (int32_t b = 0; b < p.codes.bits; ++b) out[static_cast<int64_t>(b) * p.words + i] = best[b] ^ inverted[b];
  }
}

}  // namespace

void PoolRows(const MaxPool& p, const uint32_t* input, const uint32_t* minimum, uint32_t* output, int32_t begin,
              int32_t end) {
  const int64_t pixel_words = static_cast<int64_t>(p.codes.bits) * p.words;
  const int64_t image_words = static_cast<int64_t>(p.h.in) * p.w.in * pixel_words;
  for (int32_t row = begin; row < end; ++row) {
    const uint32_t* image = input + row / p.h.out * image_words;
    uint32_t* out = output + static_cast<int64_t>(row) * p.w.out * pixel_words;
    for (int32_t x = 0; x < p.w.out; ++x, out += pixel_words) PoolPixel(p, image, minimum, row % p.h.out, x, out);
  }
}

}  // namespace keras_ste
