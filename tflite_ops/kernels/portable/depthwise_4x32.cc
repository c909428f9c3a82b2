// Four pixels by 32 channels.
#include "kernels/depthwise_loops.h"
#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {
namespace {

constexpr int32_t kLanes = 8;  // at once, so that the sums of all pixels stay in registers

template <typename X, typename Sum, int32_t kPixels>
void Run(const X* input, int64_t step, const int32_t* offsets, int32_t taps, const X* weights, Sum* sums) {
  for (int32_t first = 0; first < kChunk; first += kLanes) {
    Sum sum[kPixels][kLanes] = {};
    for (int32_t tap = 0; tap < taps; ++tap) {
      const X* w = weights + static_cast<int64_t>(tap) * kChunk + first;
      const X* x = input + offsets[tap] + first;
      for (int32_t p = 0; p < kPixels; ++p, x += step) {
        for (int32_t i = 0; i < kLanes; ++i) {
          sum[p][i] = Scalar(sum[p][i] + static_cast<Sum>(x[i]) * static_cast<Sum>(w[i]));
        }
      }
    }
    for (int32_t p = 0; p < kPixels; ++p) {
      for (int32_t i = 0; i < kLanes; ++i) sums[p * kChunk + first + i] = sum[p][i];
    }
  }
}

template <typename X, typename Sum>
void Fill(DepthDot<X, Sum>* by_pixels) {
  by_pixels[1] = Run<X, Sum, 1>;
  by_pixels[2] = Run<X, Sum, 2>;
  by_pixels[3] = Run<X, Sum, 3>;
  by_pixels[4] = Run<X, Sum, 4>;
}

void Spread(const uint32_t* planes, int32_t words, const Codes& codes, int16_t* values) {
  const bool bipolar = codes.encoding == Encoding::kBipolar;
  for (int32_t i = 0; i < kChunk; ++i) values[i] = static_cast<int16_t>(bipolar ? 1 - (1 << codes.bits) : 0);
  for (int32_t p = 0; p < codes.bits; ++p, planes += words) {
    const int32_t worth = bipolar ? 2 * PlaneWorth(codes, p) : PlaneWorth(codes, p);
    for (int32_t i = 0; i < kChunk; ++i) {
      values[i] = static_cast<int16_t>(values[i] + ((*planes >> i & 1u) != 0 ? worth : 0));
    }
  }
}

}  // namespace

void FillDepthwise(DepthwiseKernels* table) {
  table->pixels = 4;
  Fill(table->codes);
  Fill(table->floats);
  table->spread = Spread;
  table->widen_int8 = WidenLoop<int8_t>;
  table->widen_uint8 = WidenLoop<uint8_t>;
}

}  // namespace portable

const DepthwiseKernels* PortableDepthwiseKernels() {
  static const DepthwiseKernels table = [] {
    DepthwiseKernels t = {};
    t.name = "portable";
    portable::FillDepthwise(&t);
    return t;
  }();
  return &table;
}

}  // namespace keras_ste
