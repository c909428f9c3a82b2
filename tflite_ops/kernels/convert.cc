#include "kernels/convert.h"

#include <string.h>

#include "kernels/bit_planes.h"

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

}  // namespace keras_ste
