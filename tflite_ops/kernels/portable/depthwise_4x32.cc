// Four pixels by 32 channels.
#include "kernels/depthwise_loops.h"
#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {
namespace {

constexpr int32_t kLanes = 8;  // at once, so that the sums of all pixels stay in registers

// Sums of the type T, which for narrow ones is that of the input, too.
template <typename T, typename X, typename Sum>
struct Sums {
  template <int32_t kPixels>
  static void Run(const X* input, int64_t step, const int32_t* offsets, int32_t taps, const X* weights, Sum* sums) {
    for (int32_t first = 0; first < kChunk; first += kLanes) {
      T sum[kPixels][kLanes] = {};
      for (int32_t tap = 0; tap < taps; ++tap) {
        const X* w = weights + static_cast<int64_t>(tap) * kChunk + first;
        const X* x = input + offsets[tap] + first;
        for (int32_t p = 0; p < kPixels; ++p, x += step) {
          for (int32_t i = 0; i < kLanes; ++i) {
            sum[p][i] = static_cast<T>(Scalar(sum[p][i] + static_cast<Sum>(x[i]) * static_cast<Sum>(w[i])));
          }
        }
      }
      for (int32_t p = 0; p < kPixels; ++p) {
        for (int32_t i = 0; i < kLanes; ++i) sums[p * kChunk + first + i] = sum[p][i];
      }
    }
  }
};

void Spread(const uint32_t* planes, const Numbers& numbers, int32_t chunks, int16_t* values) {
  for (int32_t chunk = 0; chunk < chunks; ++chunk, ++planes, values += kChunk) {
    const uint32_t* plane = planes;
    for (int32_t i = 0; i < kChunk; ++i) values[i] = StartOf(numbers);
    for (int32_t p = 0; p < numbers.codes.bits; ++p, plane += WordsOf(numbers.channels)) {
      const uint32_t word = *plane;
      for (int32_t i = 0; i < kChunk; ++i) {
        values[i] = static_cast<int16_t>(values[i] + ((word & 1u << i) != 0 ? WorthOf(numbers, p) : 0));
      }
    }
  }
}

using Narrow = Sums<int16_t, int16_t, int32_t>;
using Wide = Sums<int32_t, int16_t, int32_t>;
using Floats = Sums<float, float, float>;

}  // namespace

void FillDepthwise(DepthwiseKernels* table) {
  FillDepthwiseTable<Narrow, Wide, Floats, 4>(table);
  table->spread = Spread;
}

}  // namespace portable

const DepthwiseKernels* PortableDepthwiseKernels() {
  static const DepthwiseKernels table = [] {
    DepthwiseKernels t = {};
    portable::FillDepthwise(&t);
    return t;
  }();
  return &table;
}

}  // namespace keras_ste
