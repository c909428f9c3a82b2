#include "kernels/max_pool.h"

namespace keras_ste {
namespace {

constexpr int32_t kGroup = 4;  // words pooled together: what every vector holds

// kWords words of up to 8 planes.
template <int32_t kWords>
using Planes = uint32_t[8][kWords];

// Puts the greater of two unsigned numbers in `best`.
template <int32_t kWords>
void TakeGreater(const MaxPool& p, const uint32_t* place, const Planes<kWords>& inverted, Planes<kWords>* best) {
  if (p.codes.bits == 1) {
    for (int32_t i = 0; i < kWords; ++i) (*best)[0][i] |= place[i] ^ inverted[0][i];
    return;
  }
  Planes<kWords> changes;
  uint32_t greater[kWords] = {}, less[kWords] = {};
  for (int32_t b = p.codes.bits - 1; b >= 0; --b) {
    for (int32_t i = 0; i < kWords; ++i) {
      const uint32_t bits = place[static_cast<int64_t>(b) * p.words + i] ^ inverted[b][i];
      changes[b][i] = bits ^ (*best)[b][i];
      greater[i] |= changes[b][i] & bits & ~less[i];
      less[i] |= changes[b][i] & ~bits & ~greater[i];
    }
  }
  for (int32_t b = 0; b < p.codes.bits; ++b) {
    for (int32_t i = 0; i < kWords; ++i) (*best)[b][i] ^= changes[b][i] & greater[i];
  }
}

// One window, and the words of each of its planes from `first` on. The greatest unsigned number serves all: on the way
// in and out, each channel pooled by minimum is inverted, and so is the highest bit of two's complement.
template <int32_t kWords>
void PoolWords(const MaxPool& p, const uint32_t* image, const uint32_t* minimum, int32_t y, int32_t x, int32_t first,
               uint32_t* out) {
  const int64_t pixel_words = static_cast<int64_t>(p.codes.bits) * p.words;
  const TapRange rows = TapsInside(p.h, y);
  const TapRange columns = TapsInside(p.w, x);
  const int32_t top = y * p.h.stride - p.h.before;
  const int32_t left = x * p.w.stride - p.w.before;
  Planes<kWords> inverted = {}, best = {};
  for (int32_t b = 0; b < p.codes.bits; ++b) {
    const uint32_t highest = TwosComplement(p.codes) && b == p.codes.bits - 1 ? 0xFFFFFFFFu : 0u;
    for (int32_t i = 0; i < kWords; ++i) inverted[b][i] = highest ^ (minimum == nullptr ? 0u : minimum[first + i]);
  }
  for (int32_t ky = rows.begin; ky < rows.end; ++ky) {
    const int64_t row = (top + ky) * static_cast<int64_t>(p.w.in) + left;
    for (int32_t kx = columns.begin; kx < columns.end; ++kx) {
      TakeGreater<kWords>(p, image + (row + kx) * pixel_words + first, inverted, &best);
    }
  }
  for (int32_t b = 0; b < p.codes.bits; ++b) {
    for (int32_t i = 0; i < kWords; ++i) {
      out[static_cast<int64_t>(b) * p.words + first + i] = best[b][i] ^ inverted[b][i];
    }
  }
}

void PoolPixel(const MaxPool& p, const uint32_t* image, const uint32_t* minimum, int32_t y, int32_t x, uint32_t* out) {
  int32_t first = 0;
  for (; first + kGroup <= p.words; first += kGroup) PoolWords<kGroup>(p, image, minimum, y, x, first, out);
  for (; first < p.words; ++first) PoolWords<1>(p, image, minimum, y, x, first, out);
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
