#include "kernels/outputs.h"

#include <string.h>

#include "kernels/bit_planes.h"
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

void Scale(const OutputKernels& k, const int32_t* sums, const Scaling& scaling, int32_t n, float* out) {
  k.scale_int32(sums, scaling, n, out);
}
void Scale(const OutputKernels& k, const float* sums, const Scaling& scaling, int32_t n, float* out) {
  k.scale_float(sums, scaling, n, out);
}

// (sum * multiplier) * scale + bias where there is a multiplier for each channel; a single one is multiplied with the
// scale first. So do the layers.
template <typename Sum>
void StoreFloats(const Chunk& c, const Sum* sums, const float* scale, float* out) {
  const Outputs& o = c.outputs;
  const float* bias = FloatsAt(c.constants.bias, c.channel, kZeros);
  const float* multiplier = FloatsAt(c.constants.multiplier, o.one_multiplier ? 0 : c.channel, kOnes);
  float factor;
  if (o.one_multiplier) {
    factor = scale == nullptr ? *multiplier : Scalar(*multiplier * *scale);
    multiplier = kOnes;
    scale = &factor;
  }
  Scale(c.kernels, sums, {multiplier, scale, bias, o.activation_min, o.activation_max}, c.count, out);
}

void CodesOf(const OutputKernels& k, const int32_t* sums, int32_t rows, const int32_t* thresholds, int64_t stride,
             const PlaneWords& out) {
  k.codes_int32(sums, rows, thresholds, stride, out);
}
void CodesOf(const OutputKernels& k, const float* sums, int32_t rows, const float* thresholds, int64_t stride,
             const PlaneWords& out) {
  k.codes_float(sums, rows, thresholds, stride, out);
}

// Puts the bits of one chunk where they belong in a plane: behind those of the chunk before, where they share a word.
void StoreBits(uint32_t* plane, int32_t channel, int32_t count, uint32_t bits) {
  uint32_t* word = plane + channel / 32;
  const int32_t shift = channel % 32;
  *word = shift == 0 ? bits : *word | bits << shift;
  if (shift + count > 32) word[1] = bits >> (32 - shift);
}

// The last chunk may have fewer thresholds than the kernels read, and channels may share them: the sums are compared
// with copies of those of 32 channels, one at a time.
template <typename Sum>
void CodesOfCopies(const Chunk& c, const Sum* sums, int32_t rows, const Sum* thresholds, const PlaneWords& out) {
  Sum whole[kChunk] = {};
  uint32_t reached[kMaxTileRows];
  void* words[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) {
    words[r] = reached + r;
    for (int32_t p = 0; p < out.bits; ++p) out.At(r)[p * out.step] = p == out.bits - 1 ? out.flip : 0;
  }
  for (int32_t t = 1; t < 1 << out.bits; ++t, thresholds += c.outputs.one_threshold ? 1 : c.outputs.channels) {
    if (c.outputs.one_threshold) {
      for (Sum& lane : whole) lane = *thresholds;
    } else {
      memcpy(whole, thresholds, static_cast<size_t>(c.count) * sizeof(Sum));
    }
    CodesOf(c.kernels, sums, rows, whole, 0, {1, 0, words, 0, 0});
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t p = 0; t % (1 << p) == 0; ++p) out.At(r)[p * out.step] ^= reached[r];
    }
  }
}

// In two's complement the lowest code is -2^(bits - 1): the highest bit is turned over.
uint32_t FlipOf(const Codes& codes) { return TwosComplement(codes) ? ~0u : 0u; }

// Chunks that do not fill words of their own.
template <typename Sum>
void StorePartOfWords(const Chunk& c, const Sum* sums, int32_t rows, const Sum* thresholds, void* const* pixels) {
  const Outputs& o = c.outputs;
  uint32_t codes[kMaxTileRows][8];
  void* words[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) words[r] = codes[r];
  CodesOfCopies(c, sums, rows, thresholds, {o.codes.bits, FlipOf(o.codes), words, 0, 1});
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t p = 0; p < o.codes.bits; ++p) {
      uint32_t* plane = static_cast<uint32_t*>(pixels[r]) + p * WordsOf(o.channels);
      StoreBits(plane, c.channel, c.count, codes[r][p] & BitRange(0, c.count));
    }
  }
}

template <typename Sum>
void StorePacked(const Chunk& c, const Sum* sums, int32_t rows, void* const* pixels) {
  const Outputs& o = c.outputs;
  const Sum* thresholds = static_cast<const Sum*>(c.constants.thresholds) + (o.one_threshold ? 0 : c.channel);
  if (c.count < kChunk || c.channel % 32 != 0) return StorePartOfWords(c, sums, rows, thresholds, pixels);
  const PlaneWords out = {o.codes.bits, FlipOf(o.codes), pixels, c.channel / 32, WordsOf(o.channels)};
  if (o.one_threshold) {
    CodesOfCopies(c, sums, rows, thresholds, out);
  } else {
    CodesOf(c.kernels, sums, rows, thresholds, o.channels, out);
  }
}

template <typename Out>
void StoreQuantized(const Chunk& c, void (*requantize)(const int32_t*, int32_t, const Requantize&, int32_t, Out* const*),
                    const int32_t* sums, int32_t rows, void* const* pixels) {
  const Outputs& o = c.outputs;
  const int32_t* bias = static_cast<const int32_t*>(c.constants.bias);
  const Requantize how = {bias == nullptr ? nullptr : bias + c.channel,
                          static_cast<const int32_t*>(c.constants.multiplier) + c.channel,
                          static_cast<const int32_t*>(c.constants.thresholds) + c.channel, o.zero_point, o.low, o.high};
  Out* out[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) out[r] = static_cast<Out*>(pixels[r]) + c.channel;
  requantize(sums, rows, how, c.count, out);
}

// The codes of floats that are scaled and clamped already: rounded half to even and moved by the zero point; 0 of a
// NaN. Where 1.5 * 2^23 is added, the lowest bits of the sum are the integer.
void RoundFloats(const Outputs& o, const float* floats, int32_t* codes) {
  constexpr float kRound = 12582912.0f;
  constexpr int32_t kBitsOfRound = 0x4B400000;
  for (int32_t i = 0; i < kChunk; ++i) {
    const float sum = Scalar(floats[i] + kRound);
    int32_t bits = 0;
    memcpy(&bits, &sum, sizeof(bits));
    const bool number = (bits & 0x7FFFFFFF) <= 0x7F800000;
    codes[i] = number ? bits - kBitsOfRound + o.zero_point : 0;
  }
}

void StoreCodes(const Chunk& c, const int32_t* codes, uint32_t* pixel) {
  const Outputs& o = c.outputs;
  uint8_t bytes[kChunk];
  uint32_t planes[8];
  for (int32_t i = 0; i < kChunk; ++i) bytes[i] = static_cast<uint8_t>(codes[i]);
  PlanesOfCodes(bytes, o.codes.bits, planes);
  for (int32_t p = 0; p < o.codes.bits; ++p) {
    StoreBits(pixel + p * WordsOf(o.channels), c.channel, c.count, planes[p] & BitRange(0, c.count));
  }
}

void StoreRounded(const Chunk& c, const float* sums, void* pixel) {
  float floats[kChunk] = {};
  int32_t codes[kChunk];
  StoreFloats(c, sums, nullptr, floats);
  RoundFloats(c.outputs, floats, codes);
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

void StoreIntegers(const Chunk& c, const int32_t* sums, int32_t rows, void* const* pixels) {
  if (c.outputs.kind == OutputKind::kInt8) {
    StoreQuantized(c, c.kernels.requantize_int8, sums, rows, pixels);
  } else if (c.outputs.kind == OutputKind::kInt16) {
    StoreQuantized(c, c.kernels.requantize_int16, sums, rows, pixels);
  } else {
    for (int32_t r = 0; r < rows; ++r, sums += kChunk) {
      memcpy(static_cast<int32_t*>(pixels[r]) + c.channel, sums, static_cast<size_t>(c.count) * sizeof(int32_t));
    }
  }
}
void StoreIntegers(const Chunk&, const float*, int32_t, void* const*) {}

template <typename Sum>
void Store(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, void* const* pixels) {
  if (c.outputs.rounded) {
    for (int32_t r = 0; r < rows; ++r) StoreRounded(c, sums + r * kChunk, pixels[r]);
  } else if (c.outputs.kind == OutputKind::kPacked) {
    StorePacked(c, sums, rows, pixels);
  } else if (c.outputs.kind != OutputKind::kFloat32) {
    StoreIntegers(c, sums, rows, pixels);
  } else {
    for (int32_t r = 0; r < rows; ++r, sums += kChunk) {
      float* floats = static_cast<float*>(pixels[r]) + c.channel;
      StoreFloats(c, sums, scales == nullptr ? nullptr : scales + r, floats);
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
