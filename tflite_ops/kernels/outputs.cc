#include "kernels/outputs.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/output_loops.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

// One chunk of a few pixels.
struct Chunk {
  const Outputs& outputs;
  const OutputKernels& kernels;
  const OutputTensors& tensors;
  int32_t channel, count;
};

const float* FloatsAt(const void* constant, int32_t channel) {
  return constant == nullptr ? nullptr : static_cast<const float*>(constant) + channel;
}

void CombineSums(const OutputKernels& k, const int32_t* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
  k.combine_int32(sums, steps, count, rows);
}
void CombineSums(const OutputKernels& k, const float* sums, const Combine* steps, int32_t count, const CombinedRows& rows) {
  k.combine_float(sums, steps, count, rows);
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

// Of so many bits all thresholds are copied at once. Boards have little room on their stacks.
constexpr int32_t kMostCopiedBits = sizeof(void*) < 8 ? 0 : 4;

// The last chunk may have fewer thresholds than the kernels read, and channels may share them: the sums are compared
// with copies of those of 32 channels, of many or shared ones one at a time.
template <typename Sum>
void CodesOfCopies(const Chunk& c, const Sum* sums, int32_t rows, const Sum* thresholds, const PlaneWords& out) {
  if constexpr (kMostCopiedBits > 0) {
    if (!c.outputs.one_threshold && out.bits <= kMostCopiedBits) {
      Sum copies[((1 << kMostCopiedBits) - 1) * kChunk] = {};
      for (int32_t t = 0; t < (1 << out.bits) - 1; ++t) {
        memcpy(copies + t * kChunk, thresholds + int64_t{t} * c.outputs.channels, static_cast<size_t>(c.count) * sizeof(Sum));
      }
      return CodesOf(c.kernels, sums, rows, copies, kChunk, out);
    }
  }
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

// The integers of floats that are scaled already, where they are not what a step writes.
void StoreRounded(const Chunk& c, const float* floats, int32_t rows, void* const* pixels) {
  const Outputs& o = c.outputs;
  for (int32_t r = 0; r < rows; ++r, floats += kChunk) {
    int32_t codes[kChunk];
    for (int32_t i = 0; i < kChunk; ++i) codes[i] = RoundOne(floats[i], o.rounding);
    if (o.kind == OutputKind::kPacked) {
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

constexpr int64_t kRowsOfChunk[kMaxTileRows] = {0, 32, 64, 96, 128, 160, 192, 224};
constexpr int64_t kRowsOfFloats[kMaxTileRows] = {0, 128, 256, 384, 512, 640, 768, 896};  // bytes
static_assert(kChunk == 32, "these are multiples of it");
constexpr float kZeros[kChunk] = {};

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

void Append(OutputPlan* plan, Combination how, const float* constants, bool one, void* out) {
  plan->steps[plan->count++] = {how, one, constants, out};
}

// (sum * multiplier) * scale + bias where there is a multiplier for each channel; a single one is multiplied with the
// scale first. So do the layers.
void AppendScaling(OutputPlan* plan, bool float_sums, bool scaled_rows) {
  const Outputs& o = plan->outputs;
  const float* multiplier = FloatsAt(plan->tensors.multiplier, 0);
  const float* bias = FloatsAt(plan->tensors.bias, 0);
  if (multiplier != nullptr && !(o.one_multiplier && scaled_rows)) {
    Append(plan, Combination::kMultiply, multiplier, o.one_multiplier, nullptr);
  }
  if (scaled_rows) Append(plan, Combination::kMultiplyRows, nullptr, false, nullptr);
  const bool negative_zero = float_sums || scaled_rows || multiplier != nullptr;  // may be, of which +0 makes +0
  if (bias != nullptr) {
    Append(plan, Combination::kAdd, bias, false, nullptr);
  } else if (negative_zero) {
    Append(plan, Combination::kAdd, kZeros, true, nullptr);
  }
  if (o.activation_min > -__builtin_inff()) Append(plan, Combination::kMaximum, &o.activation_min, true, nullptr);
  if (o.activation_max < __builtin_inff()) Append(plan, Combination::kMinimum, &o.activation_max, true, nullptr);
}

void AppendTail(OutputPlan* plan) {
  const Tail& tail = plan->outputs.tail;
  const float* constants = plan->tensors.tail;
  for (int32_t s = 0; s < tail.length; ++s) {
    if (tail.steps[s] == TailStep::kStore) {
      Append(plan, Combination::kStore, nullptr, false, plan->tensors.floats);
    } else if (tail.steps[s] == TailStep::kResidual) {
      Append(plan, Combination::kAddRows, nullptr, false, nullptr);
    } else {
      Append(plan, CombinationOf(tail.steps[s]), constants, false, nullptr);
      constants += plan->outputs.channels;
    }
  }
}

// Codes of one bit, and integers of 8, are what a step writes.
void PlanEnd(OutputPlan* plan) {
  const Outputs& o = plan->outputs;
  Combine* end = plan->steps + plan->count;
  if (o.kind == OutputKind::kFloat32) {
    *end = {Combination::kStore, false, nullptr, plan->tensors.output};
    plan->ends = true;
  } else if (o.kind == OutputKind::kInt8 && o.rounded) {
    *end = {Combination::kRound, false, nullptr, plan->tensors.output, &o.rounding};
    plan->ends = true;
  } else if (o.kind == OutputKind::kPacked && !o.rounded && o.codes.bits == 1 && !TwosComplement(o.codes)) {
    *end = {Combination::kReach, o.one_threshold, FloatsAt(plan->tensors.thresholds, 0), plan->tensors.output};
    plan->ends = true;
  }
}

// Codes of one bit from thresholds of integers.
void PlanReachedSums(OutputPlan* plan) {
  const Outputs& o = plan->outputs;
  if (o.kind != OutputKind::kPacked || o.codes.bits > 1 || TwosComplement(o.codes)) return;
  plan->steps[0] = {Combination::kReachSums, o.one_threshold, nullptr, plan->tensors.output};
  plan->steps[0].thresholds = static_cast<const int32_t*>(plan->tensors.thresholds);
  plan->ends = true;
}

// Whether the sums become floats before they are put out.
bool ByFloats(const Outputs& o) { return o.kind == OutputKind::kFloat32 || o.rounded || o.tail.length > 0; }

// What a residual's numbers stand for, in `memory`.
void LoadResidual(const Chunk& c, int32_t rows, const int64_t* pixels, float* memory) {
  const Tail& tail = c.outputs.tail;
  const float* scale = FloatsAt(c.tensors.residual_scale, tail.one_residual_scale ? 0 : c.channel);
  const int64_t bytes = PixelBytes(tail.residual);
  if (c.count < kChunk) memset(memory, 0, static_cast<size_t>(rows) * kChunk * sizeof(float));
  for (int32_t r = 0; r < rows; ++r) {
    float* lanes = memory + r * kChunk;
    LoadFloats(tail.residual, static_cast<const char*>(c.tensors.residual) + pixels[r] * bytes, c.channel, c.count, lanes);
    if (scale == nullptr) continue;
    for (int32_t i = 0; i < c.count; ++i) lanes[i] = Scalar(lanes[i] * scale[tail.one_residual_scale ? 0 : i]);
  }
}

void StoreFloats(const Chunk& c, const float* floats, const CombinedRows& rows, void* tensor) {
  float* to = static_cast<float*>(tensor) + c.channel;
  for (int32_t r = 0; r < rows.rows; ++r) {
    memcpy(to + rows.places[r], floats + r * kChunk, static_cast<size_t>(c.count) * sizeof(float));
  }
}

// The last chunk may have fewer constants, and room for fewer floats, than the kernels read and write: one step at a time, of
// `rows.floats` in place.
void TakePartialSteps(const Chunk& c, const OutputPlan& plan, const int64_t* pixels, CombinedRows rows) {
  float residual[kTailRows * kChunk];
  if (c.outputs.tail.adds) LoadResidual(c, rows.rows, pixels, residual);
  rows.residual = residual;
  rows.residual_places = kRowsOfChunk;
  rows.channel = 0;
  rows.lanes = kChunk;
  for (int32_t s = 0; s < plan.count; ++s) {
    Combine step = plan.steps[s];
    if (step.how == Combination::kStore) {
      StoreFloats(c, rows.floats, rows, step.out);
      continue;
    }
    float whole[kChunk] = {};
    if (step.lanes != nullptr && !step.one) {
      memcpy(whole, step.lanes + c.channel, static_cast<size_t>(c.count) * sizeof(float));
      step.lanes = whole;
    }
    c.kernels.combine_float(rows.floats, &step, 1, rows);
  }
}

// int8 of floats that are scaled already, for which there is less room than kernels write: they first lie where the row's floats
// were, of which each is read before its byte is written.
void StoreInt8(const Chunk& c, float* floats, CombinedRows rows) {
  int8_t* bytes = reinterpret_cast<int8_t*>(floats);
  const Combine round = {Combination::kRound, false, nullptr, bytes, &c.outputs.rounding};
  int8_t* to = static_cast<int8_t*>(c.tensors.output) + c.channel;
  const int64_t* places = rows.places;
  rows.channel = 0;
  rows.lanes = kChunk;
  rows.places = kRowsOfFloats;
  rows.floats = nullptr;
  c.kernels.combine_float(floats, &round, 1, rows);
  for (int32_t r = 0; r < rows.rows; ++r) memcpy(to + places[r], bytes + kRowsOfFloats[r], static_cast<size_t>(c.count));
}

// Where each pixel begins in the output tensor.
struct Places {
  void* at[kMaxTileRows];

  Places(const Chunk& c, int32_t rows, const int64_t* pixels) {
    const int64_t bytes = static_cast<int64_t>(OutputStride(c.outputs)) * ElementBytes(c.outputs);
    for (int32_t r = 0; r < rows; ++r) at[r] = static_cast<char*>(c.tensors.output) + pixels[r] * bytes;
  }
};

// A residual, if there is one.
bool TakenAsItLies(const OutputPlan& plan) {
  return plan.outputs.tail.residual.kind == InputKind::kFloat32 && plan.tensors.residual_scale == nullptr;
}

// Of at most kTailRows rows.
template <typename Sum>
void StoreByFloats(const Chunk& c, const OutputPlan& plan, const Sum* sums, const float* scales, int32_t rows,
                   const int64_t* pixels) {
  const Outputs& o = c.outputs;
  alignas(64) float floats[kTailRows * kChunk];
  float factors[kTailRows];
  int64_t places[kTailRows], words[kTailRows];
  for (int32_t r = 0; r < rows; ++r) places[r] = pixels[r] * o.channels;
  CombinedRows how = {rows, c.channel, c.count, places, words, scales, nullptr, places, floats};
  if (o.one_multiplier && scales != nullptr) {
    const float multiplier = *FloatsAt(c.tensors.multiplier, 0);
    for (int32_t r = 0; r < rows; ++r) factors[r] = Scalar(multiplier * scales[r]);
    how.scales = factors;
  }
  const bool whole = c.count % kBlock == 0;
  if (TakenAsItLies(plan)) {
    how.residual = FloatsAt(c.tensors.residual, c.channel);
  } else if (whole && o.tail.adds) {
    LoadResidual(c, rows, pixels, floats);
    how.residual = floats;
    how.residual_places = kRowsOfChunk;
  }
  if (whole && plan.ends && (o.kind != OutputKind::kPacked || (c.channel % 32 == 0 && c.count == kChunk))) {
    how.floats = nullptr;
    if (o.kind == OutputKind::kPacked) {
      for (int32_t r = 0; r < rows; ++r) words[r] = pixels[r] * OutputStride(o);
    }
    return CombineSums(c.kernels, sums, plan.steps, plan.count + 1, how);
  }
  if (!whole) how.lanes = kChunk;
  CombineSums(c.kernels, sums, plan.steps, whole ? plan.count : 0, how);
  if (!whole) TakePartialSteps(c, plan, pixels, how);
  if (o.kind == OutputKind::kFloat32) return StoreFloats(c, floats, how, c.tensors.output);
  if (o.kind == OutputKind::kInt8) return StoreInt8(c, floats, how);
  const Places to(c, rows, pixels);
  if (!o.rounded) return StorePacked(c, floats, rows, to.at);
  StoreRounded(c, floats, rows, to.at);
}

template <typename Sum>
void Store(const OutputPlan& plan, const Sum* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
           const int64_t* pixels) {
  const Outputs& o = plan.outputs;
  const Chunk c = {o, plan.kernels, plan.tensors, channel, count};
  if (ByFloats(o)) {
    for (int32_t r = 0; r < rows; r += kTailRows) {
      const int32_t left = rows - r < kTailRows ? rows - r : kTailRows;
      StoreByFloats(c, plan, sums + r * kChunk, scales == nullptr ? nullptr : scales + r, left, pixels + r);
    }
  } else if (o.kind == OutputKind::kPacked) {
    StorePacked(c, sums, rows, Places(c, rows, pixels).at);
  } else {
    StoreIntegers(c, sums, rows, Places(c, rows, pixels).at);
  }
}

}  // namespace

OutputPlan PlanOutputs(const Outputs& outputs, const OutputKernels& kernels, const OutputTensors& tensors, bool float_sums,
                       bool scaled_rows) {
  OutputPlan plan = {outputs, kernels, tensors, {}, 0, false};
  if (!ByFloats(outputs)) {
    if (!float_sums) PlanReachedSums(&plan);
    return plan;
  }
  AppendScaling(&plan, float_sums, scaled_rows);
  AppendTail(&plan);
  PlanEnd(&plan);
  return plan;
}

bool EndsInSteps(const OutputPlan& plan) {
  return plan.ends && (!plan.outputs.tail.adds || TakenAsItLies(plan));
}

void PlaceRows(const OutputPlan& plan, int32_t rows, const int64_t* pixels, PlacedRows* placed) {
  const int64_t channels = plan.outputs.channels, words = OutputStride(plan.outputs);
  for (int32_t r = 0; r < rows; ++r) placed->places[r] = pixels[r] * channels;
  for (int32_t r = 0; r < rows; ++r) placed->words[r] = pixels[r] * words;
  placed->rows = {rows, 0, kChunk, placed->places, placed->words, nullptr, nullptr, placed->places, nullptr};
}

void PlaceChannels(const OutputPlan& plan, int32_t channel, CombinedRows* rows) {
  rows->channel = channel;
  rows->residual = FloatsAt(plan.tensors.residual, channel);
}

void StoreChunk(const OutputPlan& plan, const int32_t* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                const int64_t* pixels) {
  Store(plan, sums, scales, rows, channel, count, pixels);
}

void StoreChunk(const OutputPlan& plan, const float* sums, const float* scales, int32_t rows, int32_t channel, int32_t count,
                const int64_t* pixels) {
  Store(plan, sums, scales, rows, channel, count, pixels);
}

}  // namespace keras_ste
