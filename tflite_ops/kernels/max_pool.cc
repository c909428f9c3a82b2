#include "kernels/max_pool.h"

namespace keras_ste {
namespace {

// Each channel pooled by minimum is inverted on the way in and out, so that one OR serves all.
void PoolPixel(const MaxPool& p, const uint32_t* image, const uint32_t* minimum, int32_t y, int32_t x, uint32_t* out) {
  const TapRange rows = TapsInside(p.h, y);
  const TapRange columns = TapsInside(p.w, x);
  const int32_t top = y * p.h.stride - p.h.before;
  const int32_t left = x * p.w.stride - p.w.before;
  for (int32_t i = 0; i < p.words; ++i) {
    const uint32_t inverted = minimum == nullptr ? 0u : minimum[i];
    uint32_t any = 0;
    for (int32_t ky = rows.begin; ky < rows.end; ++ky) {
      const int64_t row = (top + ky) * static_cast<int64_t>(p.w.in) + left;
      for (int32_t kx = columns.begin; kx < columns.end; ++kx) any |= image[(row + kx) * p.words + i] ^ inverted;
    }
    out[i] = any ^ inverted;
  }
}

}  // namespace

void PoolRows(const MaxPool& p, const uint32_t* input, const uint32_t* minimum, uint32_t* output, int32_t begin,
              int32_t end) {
  const int64_t image_words = static_cast<int64_t>(p.h.in) * p.w.in * p.words;
  for (int32_t row = begin; row < end; ++row) {
    const uint32_t* image = input + row / p.h.out * image_words;
    uint32_t* out = output + static_cast<int64_t>(row) * p.w.out * p.words;
    for (int32_t x = 0; x < p.w.out; ++x, out += p.words) PoolPixel(p, image, minimum, row % p.h.out, x, out);
  }
}

}  // namespace keras_ste
