#include "ops/code_options.h"

#include "kernels/kernel_table.h"

namespace keras_ste {
namespace {

constexpr const char* kPaddings[] = {"valid", "same", "causal"};
constexpr const char* kEncodingNames[kEncodings] = {"bipolar", "unsigned", "signed", "ternary"};
constexpr const char* kOutputNames[] = {"float32", "packed", "int32", "int8", "int16"};
constexpr const char* kStepNames[] = {"add", "multiply", "maximum", "minimum", "prelu", "residual", "store"};
constexpr int32_t kStepKinds = 7;
constexpr int32_t kMostZeroPoint = 255;  // what the largest code is worth
constexpr int32_t kMostBias = 1 << 30;  // beside sums below 2^30: both together stay in 32 bits

// Multiplier and bias, in floats.
bool CheckScales(const Tensor* inputs, int32_t first, Checks* checks, Outputs* o) {
  const Tensor& multiplier = inputs[first];
  const int32_t one = 1;
  o->one_multiplier = multiplier.present && multiplier.rank == 1 && multiplier.dims[0] == 1;
  if (multiplier.present &&
      !checks->IsConstant(first, Type::kFloat32, 1, o->one_multiplier ? &one : &o->channels)) {
    return false;
  }
  return !inputs[first + 1].present || checks->IsConstant(first + 1, Type::kFloat32, 1, &o->channels);
}

bool CheckFloats(const Tensor* inputs, int32_t first, Checks* checks, Outputs* o) {
  return CheckScales(inputs, first, checks, o) && checks->Absent(first + 2, "where the output is float32");
}

// The lowest and the highest integer of an output.
int32_t Lowest(const Outputs& o) {
  return o.kind == OutputKind::kInt8 ? INT8_MIN : o.kind == OutputKind::kInt16 ? INT16_MIN : LowestCode(o.codes);
}
int32_t Highest(const Outputs& o) {
  return o.kind == OutputKind::kInt8 ? INT8_MAX : o.kind == OutputKind::kInt16 ? INT16_MAX : HighestCode(o.codes);
}

// Floats that become integers by a multiplier: they are clamped before they are rounded.
bool CheckRounded(const Tensor* inputs, int32_t first, Checks* checks, Outputs* o) {
  if (o->low > 0 || o->high < 0) {
    return checks->Fail("output_min and output_max must have 0, a NaN's code, between them");
  }
  o->rounded = true;
  return CheckScales(inputs, first, checks, o) && checks->Absent(first + 2, "where sums are rounded");
}

// A NaN is never reached, so that it is the highest of all.
bool Descends(float before, float after) { return after < before || (before != before && after == after); }
bool Descends(int32_t before, int32_t after) { return after < before; }

template <typename Sum>
bool NoneDescends(const void* data, int32_t thresholds, int32_t channels) {
  const Sum* t = static_cast<const Sum*>(data);
  for (int64_t i = channels; i < static_cast<int64_t>(thresholds) * channels; ++i) {
    if (Descends(t[i - channels], t[i])) return false;
  }
  return true;
}

bool CheckPacked(const Tensor* inputs, int32_t first, bool float_sums, Checks* checks, Outputs* outputs) {
  const char* why = "where the output is packed";
  Outputs& o = *outputs;
  if (float_sums && !inputs[first + 2].present) return CheckRounded(inputs, first, checks, outputs);
  if (o.tail.length > 0) {
    if (!CheckScales(inputs, first, checks, outputs)) return false;
  } else if (!checks->Absent(first, why) || !checks->Absent(first + 1, why)) {
    return false;
  }
  if (o.zero_point != 0 || o.low != Lowest(o) || o.high != Highest(o)) {
    return checks->Fail("output_zero_point, output_min and output_max must be absent where there are thresholds");
  }
  const Tensor& thresholds = inputs[first + 2];
  const bool has_columns = thresholds.rank > 0 && thresholds.rank <= kMaxRank;
  o.one_threshold = has_columns && thresholds.dims[thresholds.rank - 1] == 1;
  const int32_t dims[2] = {(1 << o.codes.bits) - 1, o.one_threshold ? 1 : o.channels};
  const bool one = o.codes.bits == 1;
  const Type type = float_sums ? Type::kFloat32 : Type::kInt32;
  if (!checks->IsConstant(first + 2, type, one ? 1 : 2, one ? dims + 1 : dims)) return false;
  const void* data = inputs[first + 2].data;
  const bool ascend = float_sums ? NoneDescends<float>(data, dims[0], dims[1])
                                 : NoneDescends<int32_t>(data, dims[0], dims[1]);
  return ascend || checks->Fail(first + 2, "thresholds that do not descend");
}

bool CheckQuantized(const Tensor* inputs, int32_t first, Checks* checks, const Outputs& o) {
  if (!checks->IsConstant(first, Type::kInt32, 1, &o.channels)) return false;
  const int32_t* multipliers = static_cast<const int32_t*>(inputs[first].data);
  for (int32_t i = 0; i < o.channels; ++i) {
    if (multipliers[i] != 0 && multipliers[i] < 1 << 30) return checks->Fail(first, "multipliers of 0, or from 2^30");
  }
  if (inputs[first + 1].present) {
    if (!checks->IsConstant(first + 1, Type::kInt32, 1, &o.channels)) return false;
    const int32_t* bias = static_cast<const int32_t*>(inputs[first + 1].data);
    for (int32_t i = 0; i < o.channels; ++i) {
      if (bias[i] < -kMostBias || bias[i] > kMostBias) return checks->Fail(first + 1, "a bias of at most 2^30");
    }
  }
  if (!checks->IsConstant(first + 2, Type::kInt32, 1, &o.channels)) return false;
  const int32_t* shifts = static_cast<const int32_t*>(inputs[first + 2].data);
  for (int32_t i = 0; i < o.channels; ++i) {
    if (shifts[i] < -31 || shifts[i] > 30) return checks->Fail(first + 2, "shifts from -31 to 30");
  }
  return true;
}

bool IsClamped(const Outputs& o) {
  return o.activation_min > -__builtin_inff() || o.activation_max < __builtin_inff();
}

int32_t StepsOf(TailStep step, const Tail& tail) {
  int32_t n = 0;
  for (int32_t i = 0; i < tail.length; ++i) n += tail.steps[i] == step;
  return n;
}

Tail ReadTail(int32_t version, Options* options) {
  Tail tail = {};
  if (version < 3) return tail;
  uint8_t steps[kMostSteps];
  tail.length = options->WordsOr("tail", kStepNames, kStepKinds, kMostSteps, steps);
  for (int32_t i = 0; i < tail.length; ++i) tail.steps[i] = static_cast<TailStep>(steps[i]);
  tail.residual = ReadNumbers("residual", version, options);
  const int32_t stores = StepsOf(TailStep::kStore, tail), residuals = StepsOf(TailStep::kResidual, tail);
  options->Require(stores < 2 && residuals < 2, "tail", "has \"residual\" or \"store\" twice");
  tail.stores = stores > 0;
  tail.adds = residuals > 0;
  return tail;
}

// The rows of constants, one for each step but the residual and the store.
bool CheckTail(int32_t i, Checks* checks, const Outputs& o) {
  if (o.kind == OutputKind::kInt32) return checks->Fail("int32 sums have no tail");
  if (o.kind == OutputKind::kFloat32 && o.tail.stores) return checks->Fail("a float32 output stores its floats already");
  const int32_t dims[2] = {o.tail.length - (o.tail.stores ? 1 : 0) - (o.tail.adds ? 1 : 0), o.channels};
  if (dims[0] == 0) return checks->Absent(i, "where no step of the tail has constants");
  return checks->IsConstant(i, Type::kFloat32, 2, dims);
}

// Of the output's pixels, with a scale for all or each of its channels.
bool CheckResidual(const Tensor* inputs, int32_t i, int32_t rank, const int32_t* dims, Checks* checks, Outputs* o) {
  const char* why = "where the tail has no residual";
  Tail& tail = o->tail;
  if (!tail.adds) return checks->Absent(i, why) && checks->Absent(i + 1, why);
  tail.residual.channels = o->channels;
  if (!CheckNumbers(inputs, i, true, checks, &tail.residual)) return false;
  const Tensor& t = inputs[i];
  bool same = t.rank == rank;
  for (int32_t d = 0; same && d + 1 < rank; ++d) same = t.dims[d] == dims[d];
  if (!same) return checks->Fail(i, "the pixels of the output");
  const Tensor& scale = inputs[i + 1];
  if (!scale.present) return true;
  const int32_t one = 1;
  tail.one_residual_scale = scale.rank == 1 && scale.dims[0] == 1;
  return checks->IsConstant(i + 1, Type::kFloat32, 1, tail.one_residual_scale ? &one : &o->channels);
}

}  // namespace

Padding ReadPadding(Options* options) { return static_cast<Padding>(options->OneOf("padding", kPaddings, 3)); }

bool ReadSamePadding(Options* options) { return options->OneOf("padding", kPaddings, 2) == 1; }

Codes ReadCodes(const char* name, int32_t version, Options* options) {
  Codes codes = {1, Encoding::kBipolar};
  if (version < 2) return codes;
  Error bits, encoding;  // texts put together without a heap
  codes.bits = options->IntOr(bits.Text(name).Text("_bits").c_str(), 1, 8, 1);
  encoding.Text(name).Text("_encoding");
  codes.encoding = static_cast<Encoding>(options->OneOfOr(encoding.c_str(), kEncodingNames, kEncodings, 0));
  const bool fits = codes.encoding != Encoding::kTernary || codes.bits == 2;
  options->Require(fits, encoding.c_str(), "\"ternary\" has 2 bits");
  return codes;
}

int32_t LowestCode(const Codes& codes) {
  if (codes.encoding == Encoding::kTernary) return -1;
  return codes.encoding == Encoding::kSigned ? -(1 << (codes.bits - 1)) : 0;
}

int32_t HighestCode(const Codes& codes) {
  return LowestCode(codes) < 0 ? (1 << (codes.bits - 1)) - 1 : (1 << codes.bits) - 1;
}

Outputs FloatOutputs(int32_t channels) {
  Outputs o = {};
  o.kind = OutputKind::kFloat32;
  o.channels = channels;
  o.activation_min = -__builtin_inff();
  o.activation_max = __builtin_inff();
  return o;
}

Outputs ReadOutputs(int32_t version, Options* options) {
  const float infinity = __builtin_inff();
  Outputs o = {};
  o.kind = static_cast<OutputKind>(options->OneOf("output", kOutputNames, version < 2 ? 2 : 5));
  o.codes = ReadCodes("output", version, options);
  o.activation_min = options->FloatOr("activation_min", -infinity);
  o.activation_max = options->FloatOr("activation_max", infinity);
  if (o.kind != OutputKind::kFloat32 && o.kind != OutputKind::kInt32) {
    const int32_t low = Lowest(o), high = Highest(o);
    o.zero_point = options->IntOr("output_zero_point", low, high, 0);
    o.low = options->IntOr("output_min", low, high, low);
    o.high = options->IntOr("output_max", low, high, high);
    options->Require(o.low <= o.high, "output_min", "is greater than output_max");
    o.rounding = {static_cast<float>(o.low - o.zero_point), static_cast<float>(o.high - o.zero_point), o.zero_point};
  }
  o.tail = ReadTail(version, options);
  return o;
}

bool CheckOutputs(const Tensor* inputs, int32_t first, bool float_sums, Checks* checks, Outputs* o) {
  const bool has_tail = o->tail.length > 0;
  if (has_tail && !CheckTail(first + 3, checks, *o)) return false;
  if (o->activation_min > o->activation_max) return checks->Fail("activation_min is greater than activation_max");
  if (o->kind != OutputKind::kFloat32 && !has_tail && IsClamped(*o)) {
    return checks->Fail("activation_min and activation_max must be absent where the output is of integers");
  }
  float_sums = float_sums || has_tail;
  switch (o->kind) {
    case OutputKind::kFloat32:
      return CheckFloats(inputs, first, checks, o);
    case OutputKind::kPacked:
      return CheckPacked(inputs, first, float_sums, checks, o);
    case OutputKind::kInt32:
    case OutputKind::kInt8:
    case OutputKind::kInt16:
      break;
  }
  if (float_sums && o->kind == OutputKind::kInt32) return checks->Fail("int32 sums want an input of integers");
  if (float_sums) return CheckRounded(inputs, first, checks, o);
  if (o->kind != OutputKind::kInt32) return CheckQuantized(inputs, first, checks, *o);
  for (int32_t i = first; i < first + 3; ++i) {
    if (!checks->Absent(i, "where the output is int32")) return false;
  }
  return true;
}

Numbers ReadNumbers(const char* name, int32_t version, Options* options) {
  Numbers numbers = {};
  numbers.codes = ReadCodes(name, version, options);
  Error key;
  numbers.zero_point =
      options->IntOr(key.Text(name).Text("_zero_point").c_str(), -kMostZeroPoint, kMostZeroPoint, 0);
  return numbers;
}

bool CheckNumbers(const Tensor* inputs, int32_t i, bool floats, Checks* checks, Numbers* n) {
  if (!checks->Present(i)) return false;
  const Tensor& t = inputs[i];
  int32_t low = -kMostZeroPoint, high = kMostZeroPoint;
  if (t.type == Type::kInt32) {
    n->kind = InputKind::kPacked;
  } else if (t.type == Type::kInt8) {
    n->kind = InputKind::kInt8;
    low = INT8_MIN;
    high = INT8_MAX;
  } else if (t.type == Type::kUInt8) {
    n->kind = InputKind::kUInt8;
    low = 0;
  } else if (t.type == Type::kFloat32 && floats) {
    n->kind = InputKind::kFloat32;
    low = high = 0;
  } else {
    return checks->Fail(i, floats ? "INT32 (packed), INT8, UINT8 or FLOAT32" : "INT32 (packed), INT8 or UINT8");
  }
  if (n->zero_point < low || n->zero_point > high) return checks->Fail(i, "a type that can hold the zero point");
  if (!checks->HasElements(i) || (t.constant && !checks->HasBytes(i))) return false;
  const bool whole = t.rank > 0 && t.dims[t.rank - 1] == PixelElements(*n);
  return whole || checks->Fail(i, "a last dimension that holds 'channels' channels");
}

int32_t PixelsOf(const Tensor& t) {
  int32_t pixels = 1;
  for (int32_t d = 0; d + 1 < t.rank; ++d) pixels *= t.dims[d];
  return pixels;
}

bool SetOutput(Type type, int32_t rank, const int32_t* dims, Checks* checks, Output* output) {
  output->type = type;
  output->rank = rank;
  int32_t elements = 1;
  for (int32_t d = 0; d < rank; ++d) {
    output->dims[d] = dims[d];
    if (!Multiply(elements, dims[d], &elements)) return checks->Fail("the output has 2^31 elements or more");
  }
  return true;
}

bool SetPixelOutput(const Tensor& input, Type type, int32_t last, Checks* checks, Output* output) {
  int32_t dims[kMaxRank];
  for (int32_t d = 0; d < input.rank; ++d) dims[d] = input.dims[d];
  dims[input.rank - 1] = last;
  return SetOutput(type, input.rank, dims, checks, output);
}

const OutputKernels* OutputKernelsOf(const KernelTable* kernels) {
  return kernels == nullptr ? &portable::kOutput : &kernels->output;
}

OutputTensors OutputTensorsOf(const Buffers& b, int32_t first) {
  return {b.inputs[first], b.inputs[first + 1], b.inputs[first + 2], nullptr, nullptr, nullptr, b.output, nullptr};
}

OutputTensors TailTensorsOf(const Buffers& b, int32_t first) {
  OutputTensors tensors = OutputTensorsOf(b, first);
  tensors.tail = static_cast<const float*>(b.inputs[first + 3]);
  tensors.residual = b.inputs[first + 4];
  tensors.residual_scale = static_cast<const float*>(b.inputs[first + 5]);
  tensors.floats = static_cast<float*>(b.second_output);
  return tensors;
}

int32_t MostInputs(const Outputs& o, int32_t first) { return first + (o.tail.length > 0 ? 6 : 3); }

bool SetProductOutputs(const Tensor* inputs, int32_t first, int32_t rank, const int32_t* dims, Checks* checks,
                       Outputs* o, Output* output) {
  if (!CheckResidual(inputs, first + 4, rank, dims, checks, o)) return false;
  int32_t own[kMaxRank];
  for (int32_t d = 0; d + 1 < rank; ++d) own[d] = dims[d];
  own[rank - 1] = o->channels;
  if (o->tail.stores && !SetOutput(Type::kFloat32, rank, own, checks, &output[1])) return false;
  own[rank - 1] = OutputStride(*o);
  return SetOutput(OutputType(*o), rank, own, checks, &output[0]);
}

Type OutputType(const Outputs& o) {
  switch (o.kind) {
    case OutputKind::kFloat32:
      return Type::kFloat32;
    case OutputKind::kInt8:
      return Type::kInt8;
    case OutputKind::kInt16:
      return Type::kInt16;
    case OutputKind::kPacked:
    case OutputKind::kInt32:
      break;
  }
  return Type::kInt32;
}

}  // namespace keras_ste
