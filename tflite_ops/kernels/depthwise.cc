#include "kernels/depthwise.h"

#include <string.h>

namespace keras_ste {
namespace {

// Beyond so many times its own pixels, an image is mostly padding: dilated kernels on small images.
constexpr int64_t kMostPadding = 32;

bool Floats(const Depthwise& d) { return d.input.kind == InputKind::kFloat32; }
size_t ElementBytes(const Depthwise& d) { return Floats(d) ? sizeof(float) : sizeof(int16_t); }

int32_t Taps(const Depthwise& d) { return d.h.kernel * d.w.kernel; }
// Wide kernels take two at a time.
int32_t PaddedTaps(const Depthwise& d) { return Floats(d) ? Taps(d) : CeilDiv(Taps(d), 2) * 2; }

int32_t Chunks(const Depthwise& d) { return CeilDiv(d.outputs.channels, kChunk); }
int32_t Lanes(const Depthwise& d) { return Chunks(d) * kChunk; }  // of one pixel of the image

// Pixels that the windows reach, of which the first axis->before lie before the input's.
int64_t Reach(const Axis& axis) {
  return static_cast<int64_t>(axis.out - 1) * axis.stride + static_cast<int64_t>(axis.kernel - 1) * axis.dilation + 1;
}

template <typename X>
void FillWeights(const Depthwise& d, const void* filter, X* weights) {
  const CodeRows rows = RowsOf(d, filter);
  for (int32_t o = 0; o < Lanes(d); ++o) {
    X* lane = weights + static_cast<int64_t>(o / kChunk) * PaddedTaps(d) * kChunk + o % kChunk;
    for (int32_t tap = 0; tap < PaddedTaps(d); ++tap, lane += kChunk) {
      const bool there = o < d.outputs.channels && tap < Taps(d);
      *lane = static_cast<X>(there ? WorthAt(d.weights, RowAt(rows, tap), o) : 0);
    }
  }
}

template <typename X>
void FillPadding(const Depthwise& d, X* pixel) {
  for (int32_t i = 0; i < Lanes(d); ++i) pixel[i] = d.pad_with_one ? X{1} : X{0};
}

// The values of the channels [channel, channel + count), `channel` a multiple of kChunk.
void Load(const Numbers& n, const DepthwiseKernels& k, const void* pixel, int32_t channel, int32_t count,
          int16_t* values) {
  if (n.kind == InputKind::kInt8) {
    k.widen_int8(static_cast<const int8_t*>(pixel) + channel, count, n.zero_point, values);
  } else if (n.kind == InputKind::kUInt8) {
    k.widen_uint8(static_cast<const uint8_t*>(pixel) + channel, count, n.zero_point, values);
  } else {
    k.spread(static_cast<const uint32_t*>(pixel) + channel / 32, n, CeilDiv(count, kChunk), values);
  }
}
void Load(const Numbers&, const DepthwiseKernels&, const void* pixel, int32_t channel, int32_t count, float* values) {
  memcpy(values, static_cast<const float*>(pixel) + channel, static_cast<size_t>(count) * sizeof(float));
}

// Of each channel as many as are made of it.
template <typename X>
void LoadRepeated(const Depthwise& d, const DepthwiseKernels& k, const void* pixel, X* values) {
  for (int32_t channel = 0; channel < d.input.channels; channel += kChunk) {
    const int32_t left = d.input.channels - channel;
    const int32_t count = left < kChunk ? left : kChunk;
    X once[kChunk];
    Load(d.input, k, pixel, channel, count, once);
    for (int32_t i = 0; i < count; ++i) {
      for (int32_t j = 0; j < d.multiplier; ++j) *values++ = once[i];
    }
  }
}

template <typename X>
void Stage(const Depthwise& d, const DepthwiseKernels& k, const void* input, X* image, int32_t begin, int32_t end) {
  const int32_t width = static_cast<int32_t>(Reach(d.w)), height = static_cast<int32_t>(Reach(d.h));
  int32_t x = begin % width - d.w.before, y = begin / width % height - d.h.before, batch = begin / width / height;
  X* values = image + static_cast<int64_t>(begin) * Lanes(d);
  for (int32_t i = begin; i < end; ++i, values += Lanes(d)) {
    if (x < 0 || x >= d.w.in || y < 0 || y >= d.h.in) {
      FillPadding(d, values);
    } else {
      const int64_t from = (static_cast<int64_t>(batch) * d.h.in + y) * d.w.in + x;
      const void* pixel = static_cast<const char*>(input) + from * PixelBytes(d.input);
      if (d.multiplier == 1) {
        Load(d.input, k, pixel, 0, d.input.channels, values);
      } else {
        LoadRepeated(d, k, pixel, values);
      }
    }
    if (++x < width - d.w.before) continue;
    x = -d.w.before;
    if (++y < height - d.h.before) continue;
    y = -d.h.before;
    ++batch;
  }
}

// Each unit is a few pixels of a row.
int32_t UnitsOfRow(const Depthwise& d, const DepthwiseKernels& k) { return CeilDiv(d.w.out, k.pixels); }

// Of the taps, `taps` are multiplied.
template <typename X, typename Sum>
void Run(const Depthwise& d, const DepthDot<X, Sum>* dots, int32_t taps, int32_t pixels,
         const OutputKernels& output_kernels, const X* weights, const int32_t* offsets,
         const OutputTensors& tensors, const X* image, int32_t begin, int32_t end) {
  const int64_t step = static_cast<int64_t>(d.w.stride) * Lanes(d);
  const OutputPlan plan = PlanOutputs(d.outputs, output_kernels, tensors, Floats(d));
  const int32_t units_of_row = CeilDiv(d.w.out, pixels);
  for (int32_t unit = begin; unit < end; ++unit) {
    const int32_t row = unit / units_of_row, x = unit % units_of_row * pixels;
    const int32_t count = d.w.out - x < pixels ? d.w.out - x : pixels;
    const int64_t top = row / d.h.out * Reach(d.h) + static_cast<int64_t>(row % d.h.out) * d.h.stride;
    const X* input = image + top * Reach(d.w) * Lanes(d) + x * step;
    int64_t places[kMaxTileRows];
    for (int32_t p = 0; p < count; ++p) places[p] = static_cast<int64_t>(row) * d.w.out + x + p;
    for (int32_t chunk = 0; chunk < Chunks(d); ++chunk) {
      alignas(64) Sum sums[kMaxTileRows * kChunk];
      const int32_t channel = chunk * kChunk, left = d.outputs.channels - channel;
      dots[count](input + channel, step, offsets, taps, weights + static_cast<int64_t>(channel) * PaddedTaps(d), sums);
      StoreChunk(plan, sums, nullptr, count, channel, left < kChunk ? left : kChunk, places);
    }
  }
}

}  // namespace

bool CanStageDepthwise(const Depthwise& d) {
  const int64_t height = Reach(d.h), width = Reach(d.w);
  const int64_t most = static_cast<int64_t>(d.h.in) * d.w.in * kMostPadding;
  return height <= most / width && height * width <= INT32_MAX / d.batch / Lanes(d);
}

size_t DepthwiseWeightsBytes(const Depthwise& d) {
  return static_cast<size_t>(PaddedTaps(d)) * static_cast<size_t>(Lanes(d)) * ElementBytes(d);
}

void FillDepthwiseWeights(const Depthwise& d, const void* filter, void* weights) {
  if (Floats(d)) {
    FillWeights(d, filter, static_cast<float*>(weights));
  } else {
    FillWeights(d, filter, static_cast<int16_t*>(weights));
  }
}

size_t DepthwiseTablesBytes(const Depthwise& d) { return static_cast<size_t>(PaddedTaps(d)) * sizeof(int32_t); }

void FillDepthwiseTables(const Depthwise& d, void* tables) {
  int32_t* offsets = static_cast<int32_t*>(tables);
  for (int32_t tap = 0; tap < PaddedTaps(d); ++tap) {
    const int32_t real = tap < Taps(d) ? tap : Taps(d) - 1;  // where the weight is zero, any place will do
    const int64_t row = static_cast<int64_t>(real / d.w.kernel) * d.h.dilation * Reach(d.w);
    offsets[tap] = static_cast<int32_t>((row + real % d.w.kernel * d.w.dilation) * Lanes(d));
  }
}

int32_t DepthwiseImagePixels(const Depthwise& d) { return static_cast<int32_t>(d.batch * Reach(d.h) * Reach(d.w)); }

size_t DepthwiseImageBytes(const Depthwise& d) {
  return static_cast<size_t>(DepthwiseImagePixels(d)) * static_cast<size_t>(Lanes(d)) * ElementBytes(d);
}

void StageDepthwise(const Depthwise& d, const DepthwiseKernels& kernels, const void* input, void* image, int32_t begin,
                    int32_t end) {
  if (Floats(d)) {
    Stage(d, kernels, input, static_cast<float*>(image), begin, end);
  } else {
    Stage(d, kernels, input, static_cast<int16_t*>(image), begin, end);
  }
}

int32_t DepthwiseUnits(const Depthwise& d, const DepthwiseKernels& k) { return d.batch * d.h.out * UnitsOfRow(d, k); }

void StagedDepthwise(const Depthwise& d, const DepthwiseKernels& k, const OutputKernels& output_kernels,
                     const void* weights, const void* tables, const OutputTensors& tensors, const void* image,
                     int32_t begin, int32_t end) {
  const int32_t* offsets = static_cast<const int32_t*>(tables);
  if (Floats(d)) {
    Run(d, k.floats, Taps(d), k.pixels, output_kernels, static_cast<const float*>(weights), offsets, tensors,
        static_cast<const float*>(image), begin, end);
    return;
  }
  const bool narrow = LargestDepthwiseSum(d) <= INT16_MAX;
  const bool by_three = d.w.kernel == 3 && d.w.stride == 1 && d.w.dilation == 1 && k.narrow_by_three[1] != nullptr;
  Run(d, !narrow ? k.wide : by_three ? k.narrow_by_three : k.narrow, narrow ? Taps(d) : PaddedTaps(d), k.pixels,
      output_kernels, static_cast<const int16_t*>(weights), offsets, tensors, static_cast<const int16_t*>(image), begin,
      end);
}

}  // namespace keras_ste
