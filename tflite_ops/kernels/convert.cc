#include "kernels/convert.h"

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

}  // namespace

void ConvertPixels(const Convert& c, const void* input, const float* table, const OutputKernels& kernels,
                   const OutputTensors& tensors, int32_t begin, int32_t end) {
  const int32_t channels = c.input.channels;
  for (int32_t p = begin; p < end; ++p) {
    const void* from = static_cast<const char*>(input) + p * PixelBytes(c.input);
    const int64_t to = p;
    for (int32_t channel = 0; channel < channels; channel += kLanes) {
      const int32_t count = channels - channel < kLanes ? channels - channel : kLanes;
      if (c.input.kind == InputKind::kFloat32 && count == kLanes) {  // as they are
        StoreChunk(c.outputs, kernels, tensors, static_cast<const float*>(from) + channel, nullptr, 1, channel, count,
                   &to);
        continue;
      }
      float lanes[kLanes] = {};
      if (table != nullptr) {
        LookUp(c, from, table, channel, count, lanes);
      } else {
        LoadFloats(c.input, from, channel, count, lanes);
      }
      StoreChunk(c.outputs, kernels, tensors, lanes, nullptr, 1, channel, count, &to);
    }
  }
}

}  // namespace keras_ste
