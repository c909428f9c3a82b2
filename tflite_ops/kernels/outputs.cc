#include "kernels/outputs.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/kernel_table.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

// Where a constant is absent.
constexpr float kOnes[kChunk] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
constexpr float kZeros[kChunk] = {};

// One chunk of one pixel.
struct Chunk {
  const Outputs& outputs;
  const OutputKernels& kernels;
  const OutputConstants& constants;
  int32_t channel, count;
};

const float* FloatsAt(const void* constant, int32_t channel, const float* absent) {
  return constant == nullptr ? absent : static_cast<const float*>(constant) + channel;
}

void Scale(const OutputKernels& k, const int32_t* sums, const float* multiplier, const float* bias, float low,
           float high, int32_t n, float* out) {
  k.scale_int32(sums, multiplier, bias, low, high, n, out);
}
void Scale(const OutputKernels& k, const float* sums, const float* multiplier, const float* bias, float low, float high,
           int32_t n, float* out) {
  k.scale_float(sums, multiplier, bias, low, high, n, out);
}

// (sum * multiplier) * scale + bias where there is a multiplier for each channel; a single one is multiplied with the scale
// first. So do the layers.
template <typename Sum>
void StoreFloats(const Chunk& c, const Sum* sums, const float* scale, float* out) {
  const Outputs& o = c.outputs;
  const float* bias = FloatsAt(c.constants.bias, c.channel, kZeros);
  const float* multiplier = FloatsAt(c.constants.multiplier, o.one_multiplier ? 0 : c.channel, kOnes);
  float same[kChunk];
  if (o.one_multiplier || (scale != nullptr && multiplier == kOnes)) {
    const float factor = scale == nullptr ? multiplier[0] : Scalar(multiplier[0] * *scale);
    for (float& lane : same) lane = factor;
    multiplier = same;
    scale = nullptr;
  }
  if (scale == nullptr) {
    Scale(c.kernels, sums, multiplier, bias, o.activation_min, o.activation_max, c.count, out);
    return;
  }
  float products[kChunk];
  for (int32_t i = 0; i < c.count; ++i) products[i] = Scalar(static_cast<float>(sums[i]) * multiplier[i]);
  for (float& lane : same) lane = *scale;
  Scale(c.kernels, products, same, bias, o.activation_min, o.activation_max, c.count, out);
}

uint32_t Reach(const OutputKernels& k, const int32_t* sums, const int32_t* thresholds) {
  return k.threshold_int32(sums, thresholds);
}
uint32_t Reach(const OutputKernels& k, const float* sums, const float* thresholds) {
  return k.threshold_float(sums, thresholds);
}

// Puts the bits of one chunk where they belong in a plane: behind those of the chunk before, where they share a word.
void StoreBits(uint32_t* plane, int32_t channel, int32_t count, uint32_t bits) {
  uint32_t* word = plane + channel / 32;
  const int32_t shift = channel % 32;
  *word = shift == 0 ? bits : *word | bits << shift;
  if (shift + count > 32) word[1] = bits >> (32 - shift);
}

// The code of a sum is the number c of thresholds it reaches, of 2^bits - 1 that do not descend. It reaches floor(c / 2^p) of
// those whose number, from 1, is a multiple of 2^p; bit p of c says whether that is odd. In two's complement the lowest code is
// -2^(bits - 1): the highest bit is turned over.
template <typename Sum>
void StorePacked(const Chunk& c, const Sum* sums, uint32_t* pixel) {
  const Outputs& o = c.outputs;
  const Sum* thresholds = static_cast<const Sum*>(c.constants.thresholds) + (o.one_threshold ? 0 : c.channel);
  const uint32_t lanes = BitRange(0, c.count);
  Sum whole[kChunk] = {};
  uint32_t planes[8] = {};
  for (int32_t t = 1; t < 1 << o.codes.bits; ++t, thresholds += o.one_threshold ? 1 : o.channels) {
    const Sum* reached_from = thresholds;
    if (o.one_threshold) {
      for (Sum& lane : whole) lane = *thresholds;
      reached_from = whole;
    } else if (c.count < kChunk) {
      memcpy(whole, thresholds, static_cast<size_t>(c.count) * sizeof(Sum));
      reached_from = whole;
    }
    const uint32_t reached = Reach(c.kernels, sums, reached_from);
    for (int32_t p = 0; t % (1 << p) == 0; ++p) planes[p] ^= reached;
  }
  if (TwosComplement(o.codes)) planes[o.codes.bits - 1] = ~planes[o.codes.bits - 1];
  for (int32_t p = 0; p < o.codes.bits; ++p) {
    StoreBits(pixel + p * WordsOf(o.channels), c.channel, c.count, planes[p] & lanes);
  }
}

template <typename Out>
void StoreQuantized(const Chunk& c, void (*requantize)(const int32_t*, const Requantize&, int32_t, Out*),
                    const int32_t* sums, Out* out) {
  const Outputs& o = c.outputs;
  const Requantize how = {static_cast<const int32_t*>(c.constants.multiplier) + c.channel,
                          static_cast<const int32_t*>(c.constants.thresholds) + c.channel, o.zero_point, o.low, o.high};
  const int32_t* bias = static_cast<const int32_t*>(c.constants.bias);
  int32_t moved[kChunk];
  if (bias != nullptr) {
    for (int32_t i = 0; i < c.count; ++i) moved[i] = sums[i] + bias[c.channel + i];
    sums = moved;
  }
  requantize(sums, how, c.count, out);
}

// The codes of floats that are scaled and clamped already: rounded half to even, to which adding 1.5 * 2^23 leads, and moved
// by the zero point; 0 of a NaN.
void RoundFloats(const Outputs& o, const float* floats, int32_t count, int32_t* codes) {
  constexpr float kRound = 12582912.0f;
  for (int32_t i = 0; i < count; ++i) {
    const float rounded = Scalar((floats[i] + kRound) - kRound);
    codes[i] = ScalarBit(rounded == rounded) != 0 ? static_cast<int32_t>(rounded) + o.zero_point : 0;
  }
}

void StoreCodes(const Chunk& c, const int32_t* codes, uint32_t* pixel) {
  const Outputs& o = c.outputs;
  uint8_t bytes[kChunk] = {};
  uint32_t planes[8];
  for (int32_t i = 0; i < c.count; ++i) bytes[i] = static_cast<uint8_t>(codes[i]);
  PlanesOfCodes(bytes, o.codes.bits, planes);
  for (int32_t p = 0; p < o.codes.bits; ++p) {
    StoreBits(pixel + p * WordsOf(o.channels), c.channel, c.count, planes[p]);
  }
}

void StoreRounded(const Chunk& c, const float* sums, void* pixel) {
  float floats[kChunk];
  int32_t codes[kChunk];
  StoreFloats(c, sums, nullptr, floats);
  RoundFloats(c.outputs, floats, c.count, codes);
  if (c.outputs.kind == OutputKind::kPacked) {
    StoreCodes(c, codes, static_cast<uint32_t*>(pixel));
  } else if (c.outputs.kind == OutputKind::kInt8) {
    int8_t* out = static_cast<int8_t*>(pixel) + c.channel;
    for (int32_t i = 0; i < c.count; ++i) out[i] = static_cast<int8_t>(codes[i]);
  } else {
    int16_t* out = static_cast<int16_t*>(pixel) + c.channel;
    for (int32_t i = 0; i < c.count; ++i) out[i] = static_cast<int16_t>(codes[i]);
  }
}
void StoreRounded(const Chunk&, const int32_t*, void*) {}

void StoreNumbers(const Chunk& c, const int32_t* sums, void* pixel) {
  switch (c.outputs.kind) {
    case OutputKind::kInt32:
      memcpy(static_cast<int32_t*>(pixel) + c.channel, sums, static_cast<size_t>(c.count) * sizeof(int32_t));
      break;
    case OutputKind::kInt8:
      StoreQuantized(c, c.kernels.requantize_int8, sums, static_cast<int8_t*>(pixel) + c.channel);
      break;
    case OutputKind::kInt16:
      StoreQuantized(c, c.kernels.requantize_int16, sums, static_cast<int16_t*>(pixel) + c.channel);
      break;
    case OutputKind::kFloat32:
    case OutputKind::kPacked:
      break;
  }
}
void StoreNumbers(const Chunk&, const float*, void*) {}

template <typename Sum>
void Store(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, void* const* pixels) {
  for (int32_t r = 0; r < rows; ++r, sums += kChunk) {
    if (c.outputs.rounded) {
      StoreRounded(c, sums, pixels[r]);
    } else if (c.outputs.kind == OutputKind::kPacked) {
      StorePacked(c, sums, static_cast<uint32_t*>(pixels[r]));
    } else if (c.outputs.kind == OutputKind::kFloat32) {
      float* floats = static_cast<float*>(pixels[r]) + c.channel;
      StoreFloats(c, sums, scales == nullptr ? nullptr : scales + r, floats);
    } else {
      StoreNumbers(c, sums, pixels[r]);
    }
  }
}

}  // namespace

void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputConstants& constants,
                const int32_t* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                void* const* pixels) {
  Store<int32_t>({outputs, kernels, constants, channel, count}, sums, scales, rows, pixels);
}

void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputConstants& constants, const float* sums,
                const float* scales, int32_t rows, int32_t channel, int32_t count, void* const* pixels) {
  Store<float>({outputs, kernels, constants, channel, count}, sums, scales, rows, pixels);
}

}  // namespace keras_ste
