#include "kernels/add.h"

#include "kernels/scalar.h"

namespace keras_ste {
namespace {

constexpr int32_t kLanes = 32;

void LoadScaled(const Addend& addend, const AddendData& data, int32_t pixel, int32_t channel, int32_t count,
                float* lanes) {
  const char* at = static_cast<const char*>(data.pixels) + pixel * PixelBytes(addend.numbers);
  LoadFloats(addend.numbers, at, channel, count, lanes);
  if (data.scale == nullptr) return;
  for (int32_t i = 0; i < count; ++i) {
    lanes[i] = Scalar(lanes[i] * data.scale[addend.one_scale ? 0 : channel + i]);
  }
}

}  // namespace

void AddPixels(const Add& add, const AddendData& a, const AddendData& b, const OutputKernels& kernels,
               const OutputTensors& tensors, int32_t begin, int32_t end) {
  const OutputPlan plan = PlanOutputs(add.outputs, kernels, tensors, true);
  const int32_t channels = add.outputs.channels;
  for (int32_t p = begin; p < end; ++p) {
    const int64_t pixel = p;
    for (int32_t channel = 0; channel < channels; channel += kLanes) {
      const int32_t count = channels - channel < kLanes ? channels - channel : kLanes;
      float sums[kLanes] = {}, others[kLanes];
      LoadScaled(add.a, a, p, channel, count, sums);
      LoadScaled(add.b, b, p, channel, count, others);
      for (int32_t i = 0; i < count; ++i) sums[i] = Scalar(sums[i] + others[i]);
      StoreChunk(plan, sums, nullptr, 1, channel, count, &pixel);
    }
  }
}

}  // namespace keras_ste
