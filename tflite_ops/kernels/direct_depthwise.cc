// Depthwise convolution without memory of its own.
#include "kernels/depthwise.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

// The largest absolute value that bits in a file can be worth: a bad one may hold the ternary code -2.
int64_t LargestStored(const Codes& c) { return c.encoding == Encoding::kTernary ? 2 : LargestWorth(c); }

int64_t LargestInput(const Numbers& n) {
  const int64_t zero_point = n.zero_point < 0 ? -n.zero_point : n.zero_point;
  if (n.kind == InputKind::kPacked) return LargestStored(n.codes) + zero_point;
  const int32_t low = n.kind == InputKind::kInt8 ? INT8_MIN : 0;
  const int32_t below = n.zero_point - low, above = low + UINT8_MAX - n.zero_point;
  return below > above ? below : above;
}

int32_t ValueAt(const Numbers& n, const void* input, int64_t pixel, int32_t channel) {
  if (n.kind == InputKind::kInt8) return static_cast<const int8_t*>(input)[pixel + channel] - n.zero_point;
  if (n.kind == InputKind::kUInt8) return static_cast<const uint8_t*>(input)[pixel + channel] - n.zero_point;
  return WorthAt(n.codes, static_cast<const uint32_t*>(input) + pixel, WordsOf(n.channels), channel) - n.zero_point;
}

void AddProduct(const Depthwise& d, const void* input, int64_t pixel, int32_t channel, int32_t weight, int32_t* sum) {
  *sum += (pixel < 0 ? (d.pad_with_one ? 1 : 0) : ValueAt(d.input, input, pixel, channel)) * weight;
}
void AddProduct(const Depthwise& d, const void* input, int64_t pixel, int32_t channel, int32_t weight, float* sum) {
  const float outside = d.pad_with_one ? 1.0f : 0.0f;
  const float x = pixel < 0 ? outside : static_cast<const float*>(input)[pixel + channel];
  *sum = Scalar(*sum + Scalar(x * static_cast<float>(weight)));
}

// Where a tap of a window reads the input; less than zero outside of the image.
int64_t PixelOf(const Depthwise& d, int32_t image, int64_t y, int64_t x) {
  if (y < 0 || y >= d.h.in || x < 0 || x >= d.w.in) return -1;
  return ((image * static_cast<int64_t>(d.h.in) + y) * d.w.in + x) * PixelElements(d.input);
}

// The weights of a chunk of output channels: rows of which they begin at `bit`.
struct ChunkFilter {
  CodeRows rows;
  int32_t bit;
};

constexpr int32_t kNearWords = 128;

// In a word a plane where so many are enough.
ChunkFilter FilterOf(const Depthwise& d, const void* filter, int32_t channel, uint32_t* near) {
  const CodeRows rows = RowsOf(d, filter);
  if (static_cast<int64_t>(d.h.kernel) * d.w.kernel * rows.bits > kNearWords) return {rows, channel};
  const int32_t taps = d.h.kernel * d.w.kernel;
  for (int32_t tap = 0; tap < taps; ++tap) {
    for (int32_t p = 0; p < rows.bits; ++p) near[tap * rows.bits + p] = WordOf(RowAt(rows, tap), p, channel / kChunk);
  }
  return {{near, false, rows.bits, kChunk, 0, 1}, 0};
}

// The sums of one output pixel's channels [channel, channel + count).
template <typename Sum>
void AddWindow(const Depthwise& d, const ChunkFilter& filter, const void* input, int32_t pixel, int32_t channel,
               int32_t count, Sum* sums) {
  const int32_t image = pixel / d.w.out / d.h.out;
  const int64_t top = static_cast<int64_t>(pixel / d.w.out % d.h.out) * d.h.stride - d.h.before;
  const int64_t left = static_cast<int64_t>(pixel % d.w.out) * d.w.stride - d.w.before;
  for (int32_t i = 0; i < count; ++i) sums[i] = 0;
  for (int32_t ky = 0; ky < d.h.kernel; ++ky) {
    for (int32_t kx = 0; kx < d.w.kernel; ++kx) {
      const int64_t from = PixelOf(d, image, top + static_cast<int64_t>(ky) * d.h.dilation,
                                   left + static_cast<int64_t>(kx) * d.w.dilation);
      if (from < 0 && !d.pad_with_one) continue;
      const CodeRow row = RowAt(filter.rows, static_cast<int64_t>(ky) * d.w.kernel + kx);
      for (int32_t i = 0; i < count; ++i) {
        const int32_t o = channel + i;
        AddProduct(d, input, from, o / d.multiplier, WorthAt(d.weights, row, filter.bit + i), sums + i);
      }
    }
  }
}

template <typename Sum>
void Run(const Depthwise& d, const OutputKernels& kernels, const void* filter, const OutputTensors& tensors,
         const void* input, int32_t begin, int32_t end) {
  const OutputPlan plan = PlanOutputs(d.outputs, kernels, tensors, d.input.kind == InputKind::kFloat32);
  for (int32_t channel = 0; channel < d.outputs.channels; channel += kChunk) {
    const int32_t left = d.outputs.channels - channel;
    const int32_t count = left < kChunk ? left : kChunk;
    uint32_t near[kNearWords];
    const ChunkFilter chunk = FilterOf(d, filter, channel, near);
    for (int32_t pixel = begin; pixel < end; ++pixel) {
      const int64_t place = pixel;
      Sum sums[kChunk] = {};
      AddWindow(d, chunk, input, pixel, channel, count, sums);
      StoreChunk(plan, sums, nullptr, 1, channel, count, &place);
    }
  }
}

}  // namespace

int64_t LargestDepthwiseSum(const Depthwise& d) {
  return static_cast<int64_t>(d.h.kernel) * d.w.kernel * LargestInput(d.input) * LargestStored(d.weights);
}

void DirectDepthwise(const Depthwise& d, const OutputKernels& kernels, const void* filter,
                     const OutputTensors& tensors, const void* input, int32_t begin, int32_t end) {
  if (d.input.kind == InputKind::kFloat32) {
    Run<float>(d, kernels, filter, tensors, input, begin, end);
  } else {
    Run<int32_t>(d, kernels, filter, tensors, input, begin, end);
  }
}

}  // namespace keras_ste
