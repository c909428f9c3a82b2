#include "kernels/convert.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/code_kernels.h"
#include "kernels/product.h"

namespace keras_ste {
namespace {

constexpr int32_t kLanes = 32;

void LookUp(const Convert& c, const void* pixel, const float* table, int32_t channel, int32_t count, float* lanes) {
  uint8_t codes[kLanes];
  CodesOfPlanes(static_cast<const uint32_t*>(pixel) + channel / 32, WordsOf(c.input.channels), c.input.codes.bits,
                codes);
  const int64_t step = c.one_table ? 0 : int64_t{1} << c.input.codes.bits;
  for (int32_t i = 0; i < count; ++i) lanes[i] = table[(channel + i) * step + codes[i]];
}

// Pixels that are stored together. Boards have little room on their stacks.
#if defined(KERAS_STE_DIRECT_ONLY)
constexpr int32_t kMostPixels = 1;
#else
constexpr int32_t kMostPixels = kMaxTileRows;
#endif

void LoadLanes(const Convert& c, const void* pixel, const float* table, int32_t channel, int32_t count, float* lanes) {
  if (table != nullptr) {
    LookUp(c, pixel, table, channel, count, lanes);
  } else if (c.input.kind == InputKind::kFloat32 && count == kLanes) {  // a number that compilers know
    memcpy(lanes, static_cast<const float*>(pixel) + channel, kLanes * sizeof(float));
  } else {
    LoadFloats(c.input, pixel, channel, count, lanes);
  }
}

}  // namespace

void ConvertPixels(const Convert& c, const void* input, const float* table, const OutputKernels& kernels,
                   const OutputTensors& tensors, int32_t begin, int32_t end) {
  const OutputPlan plan = PlanOutputs(c.outputs, kernels, tensors, true);
  const int32_t channels = c.input.channels;
  float lanes[kMostPixels * kLanes] = {};
  int64_t to[kMostPixels];
  for (int32_t p = begin; p < end; p += kMostPixels) {
    const int32_t pixels = end - p < kMostPixels ? end - p : kMostPixels;
    for (int32_t r = 0; r < pixels; ++r) to[r] = p + r;
    for (int32_t channel = 0; channel < channels; channel += kLanes) {
      const int32_t count = channels - channel < kLanes ? channels - channel : kLanes;
      for (int32_t r = 0; r < pixels; ++r) {
        const void* from = static_cast<const char*>(input) + to[r] * PixelBytes(c.input);
        LoadLanes(c, from, table, channel, count, lanes + r * kLanes);
      }
      StoreChunk(plan, lanes, nullptr, pixels, channel, count, to);
    }
  }
}

#if !defined(KERAS_STE_DIRECT_ONLY)

namespace {

bool NoConstants(const Convert& c, const OutputTensors& t) {
  return c.outputs.rounded && c.input.zero_point == 0 && c.outputs.zero_point == 0 && t.multiplier == nullptr &&
         t.bias == nullptr && t.thresholds == nullptr;
}

// Integers of a pixel in the range of the codes, and zeros up to 32.
void Clamp(const Outputs& o, const int8_t* bytes, int32_t count, uint8_t* codes) {
  for (int32_t i = 0; i < count; ++i) {
    const int32_t low = bytes[i] < o.low ? o.low : bytes[i];
    codes[i] = static_cast<uint8_t>(low > o.high ? o.high : low);
  }
  if (count < kLanes) memset(codes + count, 0, static_cast<size_t>(kLanes - count));
}

}  // namespace

bool Unpacks(const Convert& c, const OutputTensors& tensors) {
  if (c.input.kind != InputKind::kPacked || c.outputs.kind != OutputKind::kInt8 || !NoConstants(c, tensors)) return false;
  const InputBytes b = InputBytesOf(c.input.codes);
  return b.scale == 1 && b.offset == 0 && c.outputs.low == INT8_MIN && c.outputs.high == INT8_MAX;
}

bool Packs(const Convert& c, const OutputTensors& tensors) {
  return c.input.kind == InputKind::kInt8 && c.outputs.kind == OutputKind::kPacked && NoConstants(c, tensors);
}

void UnpackPixels(const Convert& c, const CodeKernels& kernels, const void* input, void* output, int32_t begin,
                  int32_t end) {
  const InputBytes b = InputBytesOf(c.input.codes);
  const uint32_t* planes = static_cast<const uint32_t*>(input) + int64_t{begin} * PixelElements(c.input);
  int8_t* bytes = static_cast<int8_t*>(output) + int64_t{begin} * c.input.channels;
  kernels.unpack_planes(planes, end - begin, c.input.channels, c.input.codes.bits, b.start, b.worth, bytes, nullptr);
}

void PackPixels(const Convert& c, const void* input, void* output, int32_t begin, int32_t end) {
  const int32_t channels = c.input.channels, bits = c.outputs.codes.bits, words = WordsOf(channels);
  const int8_t* bytes = static_cast<const int8_t*>(input) + int64_t{begin} * channels;
  uint32_t* pixel = static_cast<uint32_t*>(output) + int64_t{begin} * OutputStride(c.outputs);
  for (int32_t p = begin; p < end; ++p, bytes += channels, pixel += OutputStride(c.outputs)) {
    for (int32_t i = 0; i < words; ++i) {
      const int32_t left = channels - kLanes * i;
      uint8_t codes[kLanes];
      uint32_t planes[8];
      Clamp(c.outputs, bytes + kLanes * i, left < kLanes ? left : kLanes, codes);
      PlanesOfCodes(codes, bits, planes);
      for (int32_t plane = 0; plane < bits; ++plane) pixel[plane * words + i] = planes[plane];
    }
  }
}

#endif

}  // namespace keras_ste
