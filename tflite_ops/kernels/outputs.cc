#include "kernels/outputs.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/output_loops.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

// Where a constant is absent.
constexpr float kOnes[kChunk] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
constexpr float kZeros[kChunk] = {};

// One chunk of a few pixels.
struct Chunk {
  const Outputs& outputs;
  const OutputKernels& kernels;
  const OutputTensors& tensors;
  int32_t channel, count;
};

const float* FloatsAt(const void* constant, int32_t channel, const float* absent) {
  return constant == nullptr ? absent : static_cast<const float*>(constant) + channel;
}

void Scale(const OutputKernels& k, const int32_t* sums, int32_t rows, const Scaling& scaling, int32_t n,
           float* const* out) {
  k.scale_int32(sums, rows, scaling, n, out);
}
void Scale(const OutputKernels& k, const float* sums, int32_t rows, const Scaling& scaling, int32_t n,
           float* const* out) {
  k.scale_float(sums, rows, scaling, n, out);
}

// (sum * multiplier) * scale + bias where there is a multiplier for each channel; a single one is multiplied with the
// scale first. So do the layers.
template <typename Sum>
void ScaleSums(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, float* const* out) {
  const Outputs& o = c.outputs;
  const float* bias = FloatsAt(c.tensors.bias, c.channel, kZeros);
  const float* multiplier = FloatsAt(c.tensors.multiplier, o.one_multiplier ? 0 : c.channel, kOnes);
  float factors[kMaxTileRows];
  if (o.one_multiplier) {
    for (int32_t r = 0; r < rows; ++r) factors[r] = scales == nullptr ? *multiplier : Scalar(*multiplier * scales[r]);
    multiplier = kOnes;
    scales = factors;
  }
  Scale(c.kernels, sums, rows, {multiplier, scales, bias, o.activation_min, o.activation_max}, c.count, out);
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
  const Sum* thresholds = static_cast<const Sum*>(c.tensors.thresholds) + (o.one_threshold ? 0 : c.channel);
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
  const int32_t* bias = static_cast<const int32_t*>(c.tensors.bias);
  const Requantize how = {bias == nullptr ? nullptr : bias + c.channel,
                          static_cast<const int32_t*>(c.tensors.multiplier) + c.channel,
                          static_cast<const int32_t*>(c.tensors.thresholds) + c.channel, o.zero_point, o.low, o.high};
  Out* out[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) out[r] = static_cast<Out*>(pixels[r]) + c.channel;
  requantize(sums, rows, how, c.count, out);
}

Rounding RoundingOf(const Outputs& o) {
  return {static_cast<float>(o.low - o.zero_point), static_cast<float>(o.high - o.zero_point), o.zero_point};
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

// The integers of floats that are scaled already.
void StoreRounded(const Chunk& c, const float* floats, int32_t rows, void* const* pixels) {
  const Rounding rounding = RoundingOf(c.outputs);
  if (c.outputs.kind == OutputKind::kInt8) {
    int8_t* out[kMaxTileRows];
    for (int32_t r = 0; r < rows; ++r) out[r] = static_cast<int8_t*>(pixels[r]) + c.channel;
    c.kernels.round_int8(floats, rows, rounding, c.count, out);
    return;
  }
  for (int32_t r = 0; r < rows; ++r, floats += kChunk) {
    int32_t codes[kChunk];
    for (int32_t i = 0; i < kChunk; ++i) codes[i] = RoundOne(floats[i], rounding);
    if (c.outputs.kind == OutputKind::kPacked) {
      StoreCodes(c, codes, static_cast<uint32_t*>(pixels[r]));
    } else {
      int16_t* out = static_cast<int16_t*>(pixels[r]) + c.channel;
      for (int32_t i = 0; i < c.count; ++i) out[i] = static_cast<int16_t>(codes[i]);
    }
  }
}

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

// Rows that go through floats together. Boards compute one at a time, and have little room on their stacks.
#if defined(KERAS_STE_DIRECT_ONLY)
constexpr int32_t kTailRows = 1;
#else
constexpr int32_t kTailRows = kMaxTileRows;
#endif

// The residual under a chunk: as it lies in the tensor, or what its numbers stand for, in `memory`.
void FindResidual(const Chunk& c, int32_t rows, const int64_t* pixels, float* memory, const float** operands) {
  const Tail& tail = c.outputs.tail;
  const float* scale = FloatsAt(c.tensors.residual_scale, tail.one_residual_scale ? 0 : c.channel, nullptr);
  const int64_t bytes = PixelBytes(tail.residual);
  const bool as_it_lies = tail.residual.kind == InputKind::kFloat32 && scale == nullptr && c.count == kChunk;
  for (int32_t r = 0; r < rows; ++r) {
    const char* pixel = static_cast<const char*>(c.tensors.residual) + pixels[r] * bytes;
    operands[r] = memory + r * kChunk;
    if (as_it_lies) {
      operands[r] = reinterpret_cast<const float*>(pixel) + c.channel;
      continue;
    }
    float* lanes = memory + r * kChunk;
    LoadFloats(tail.residual, pixel, c.channel, c.count, lanes);
    if (scale == nullptr) continue;
    for (int32_t i = 0; i < c.count; ++i) lanes[i] = Scalar(lanes[i] * scale[tail.one_residual_scale ? 0 : i]);
  }
}

// Of a step with constants.
Combination CombinationOf(TailStep step) {
  switch (step) {
    case TailStep::kMultiply:
      return Combination::kMultiply;
    case TailStep::kMaximum:
      return Combination::kMaximum;
    case TailStep::kMinimum:
      return Combination::kMinimum;
    case TailStep::kPrelu:
      return Combination::kPrelu;
    case TailStep::kAdd:
    case TailStep::kResidual:
    case TailStep::kStore:
      break;
  }
  return Combination::kAdd;
}

void StoreFloats(const Chunk& c, const float* floats, int32_t rows, const int64_t* pixels, float* out) {
  for (int32_t r = 0; r < rows; ++r, floats += kChunk) {
    float* to = out + pixels[r] * c.outputs.channels + c.channel;
    if (c.count == kChunk) {  // a number that compilers know
      memcpy(to, floats, kChunk * sizeof(float));
    } else {
      memcpy(to, floats, static_cast<size_t>(c.count) * sizeof(float));
    }
  }
}

// Where the floats of a chunk go in a tensor of floats.
struct FloatPlaces {
  float* at[kMaxTileRows];

  FloatPlaces(const Chunk& c, int32_t rows, const int64_t* pixels, void* tensor) {
    for (int32_t r = 0; r < rows; ++r) {
      at[r] = static_cast<float*>(tensor) + pixels[r] * c.outputs.channels + c.channel;
    }
  }
};

// All steps of a whole chunk, in place, of at most kTailRows rows: each float goes through them in one go.
void RunTail(const Chunk& c, int32_t rows, const int64_t* pixels, float* floats) {
  const Tail& tail = c.outputs.tail;
  alignas(64) float memory[kTailRows * kChunk];
  const float* residual[kTailRows];
  if (tail.adds) FindResidual(c, rows, pixels, memory, residual);
  const FloatPlaces stored(c, tail.stores ? rows : 0, pixels, c.tensors.floats);
  const float* constants = c.tensors.tail + c.channel;
  Combine steps[kMostSteps];
  for (int32_t s = 0; s < tail.length; ++s) {
    if (tail.steps[s] == TailStep::kStore) {
      steps[s] = {Combination::kStore, nullptr, nullptr, stored.at};
    } else if (tail.steps[s] == TailStep::kResidual) {
      steps[s] = {Combination::kAddRows, nullptr, residual, nullptr};
    } else {
      steps[s] = {CombinationOf(tail.steps[s]), constants, nullptr, nullptr};
      constants += c.outputs.channels;
    }
  }
  c.kernels.combine(steps, tail.length, rows, floats);
}

// The last chunk may have fewer constants, and room for fewer floats, than the kernels read and write: one step at a time.
void RunPartialTail(const Chunk& c, int32_t rows, const int64_t* pixels, float* floats) {
  const Tail& tail = c.outputs.tail;
  const float* constants = c.tensors.tail + c.channel;
  for (int32_t s = 0; s < tail.length; ++s) {
    if (tail.steps[s] == TailStep::kStore) {
      StoreFloats(c, floats, rows, pixels, c.tensors.floats);
      continue;
    }
    if (tail.steps[s] == TailStep::kResidual) {
      float memory[kTailRows * kChunk] = {};
      const float* residual[kTailRows];
      FindResidual(c, rows, pixels, memory, residual);
      const Combine step = {Combination::kAddRows, nullptr, residual, nullptr};
      c.kernels.combine(&step, 1, rows, floats);
      continue;
    }
    float whole[kChunk] = {};
    memcpy(whole, constants, static_cast<size_t>(c.count) * sizeof(float));
    constants += c.outputs.channels;
    const Combine step = {CombinationOf(tail.steps[s]), whole, nullptr, nullptr};
    c.kernels.combine(&step, 1, rows, floats);
  }
}

// Where each pixel begins in the output tensor.
struct Places {
  void* at[kMaxTileRows];

  Places(const Chunk& c, int32_t rows, const int64_t* pixels) {
    const int64_t bytes = static_cast<int64_t>(OutputStride(c.outputs)) * ElementBytes(c.outputs);
    for (int32_t r = 0; r < rows; ++r) at[r] = static_cast<char*>(c.tensors.output) + pixels[r] * bytes;
  }
};

// Sums that are the output, when scaled.
template <typename Sum>
void StoreScaled(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, const int64_t* pixels) {
  ScaleSums(c, sums, scales, rows, FloatPlaces(c, rows, pixels, c.tensors.output).at);
}

// Sums that become floats first, of at most kTailRows rows.
template <typename Sum>
void StoreByFloats(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, const int64_t* pixels) {
  const Outputs& o = c.outputs;
  const Places places(c, rows, pixels);
  alignas(64) float floats[kTailRows * kChunk];
  float* of_rows[kTailRows];
  for (int32_t r = 0; r < rows; ++r) of_rows[r] = floats + r * kChunk;
  if (c.count < kChunk) memset(floats, 0, sizeof(floats));
  ScaleSums(c, sums, scales, rows, of_rows);
  if (o.tail.length > 0) (c.count == kChunk ? RunTail : RunPartialTail)(c, rows, pixels, floats);
  if (o.rounded) {
    StoreRounded(c, floats, rows, places.at);
  } else if (o.kind == OutputKind::kPacked) {
    StorePacked(c, floats, rows, places.at);
  } else {
    StoreFloats(c, floats, rows, pixels, static_cast<float*>(c.tensors.output));
  }
}

template <typename Sum>
void Store(const Chunk& c, const Sum* sums, const float* scales, int32_t rows, const int64_t* pixels) {
  const Outputs& o = c.outputs;
  if (o.rounded || o.tail.length > 0) {
    for (int32_t r = 0; r < rows; r += kTailRows) {
      const int32_t count = rows - r < kTailRows ? rows - r : kTailRows;
      StoreByFloats(c, sums + r * kChunk, scales == nullptr ? nullptr : scales + r, count, pixels + r);
    }
  } else if (o.kind == OutputKind::kFloat32) {
    StoreScaled(c, sums, scales, rows, pixels);
  } else if (o.kind == OutputKind::kPacked) {
    StorePacked(c, sums, rows, Places(c, rows, pixels).at);
  } else {
    StoreIntegers(c, sums, rows, Places(c, rows, pixels).at);
  }
}

}  // namespace

void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputTensors& tensors, const int32_t* sums,
                const float* scales, int32_t rows, int32_t channel, int32_t count, const int64_t* pixels) {
  Store<int32_t>({outputs, kernels, tensors, channel, count}, sums, scales, rows, pixels);
}

void StoreChunk(const Outputs& outputs, const OutputKernels& kernels, const OutputTensors& tensors, const float* sums,
                const float* scales, int32_t rows, int32_t channel, int32_t count, const int64_t* pixels) {
  Store<float>({outputs, kernels, tensors, channel, count}, sums, scales, rows, pixels);
}

void FindFloatSteps(const Outputs& o, const OutputTensors& tensors, int32_t channel, FloatSteps* f) {
  f->count = 0;
  const auto add = [f](Combination how, const float* lanes) { f->steps[f->count++] = {how, lanes, nullptr, nullptr}; };
  const auto fill = [](float value, float* lanes) {
    for (int32_t i = 0; i < kChunk; ++i) lanes[i] = value;
    return lanes;
  };
  if (tensors.multiplier != nullptr) {
    const float* multiplier = static_cast<const float*>(tensors.multiplier);
    add(Combination::kMultiply, o.one_multiplier ? fill(*multiplier, f->multiplier) : multiplier + channel);
  }
  add(Combination::kAdd, FloatsAt(tensors.bias, channel, kZeros));
  if (o.activation_min > -__builtin_inff()) add(Combination::kMaximum, fill(o.activation_min, f->low));
  if (o.activation_max < __builtin_inff()) add(Combination::kMinimum, fill(o.activation_max, f->high));
  for (int32_t s = 0; s < o.tail.length; ++s) {
    add(CombinationOf(o.tail.steps[s]), tensors.tail + static_cast<int64_t>(s) * o.channels + channel);
  }
}

}  // namespace keras_ste
