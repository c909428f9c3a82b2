#include "ops/code_options.h"

namespace keras_ste {
namespace {

constexpr const char* kPaddings[] = {"valid", "same"};
constexpr const char* kEncodingNames[kEncodings] = {"bipolar", "unsigned", "signed", "ternary"};
constexpr const char* kOutputNames[] = {"float32", "packed", "int32", "int8", "int16"};
constexpr int32_t kMostBias = 1 << 30;  // beside sums below 2^30: both together stay in 32 bits

bool CheckFloats(const Tensor* inputs, int32_t first, Checks* checks, Outputs* o) {
  if (o->activation_min > o->activation_max) return checks->Fail("activation_min is greater than activation_max");
  const Tensor& multiplier = inputs[first];
  const int32_t one = 1;
  o->one_multiplier = multiplier.present && multiplier.rank == 1 && multiplier.dims[0] == 1;
  if (multiplier.present &&
      !checks->IsConstant(first, Type::kFloat32, 1, o->one_multiplier ? &one : &o->channels)) {
    return false;
  }
  if (inputs[first + 1].present && !checks->IsConstant(first + 1, Type::kFloat32, 1, &o->channels)) return false;
  return checks->Absent(first + 2, "where the output is float32");
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

bool IsClamped(const Outputs& o) {
  return o.activation_min > -__builtin_inff() || o.activation_max < __builtin_inff();
}

bool CheckPacked(const Tensor* inputs, int32_t first, bool float_sums, Checks* checks, const Outputs& o) {
  const char* why = "where the output is packed";
  if (IsClamped(o)) return checks->Fail("activation_min and activation_max must be absent where the output is packed");
  if (!checks->Absent(first, why) || !checks->Absent(first + 1, why)) return false;
  const int32_t dims[2] = {(1 << o.codes.bits) - 1, o.channels};
  const bool one = o.codes.bits == 1;
  const Type type = float_sums ? Type::kFloat32 : Type::kInt32;
  if (!checks->IsConstant(first + 2, type, one ? 1 : 2, one ? dims + 1 : dims)) return false;
  const void* data = inputs[first + 2].data;
  const bool ascend = float_sums ? NoneDescends<float>(data, dims[0], o.channels)
                                 : NoneDescends<int32_t>(data, dims[0], o.channels);
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

}  // namespace

int32_t ReadVersion(Options* options) { return options->Int("version", 1, 2); }

bool ReadSamePadding(Options* options) { return options->OneOf("padding", kPaddings, 2) == 1; }

Codes ReadCodes(const char* name, int32_t version, Options* options) {
  Codes codes = {1, Encoding::kBipolar};
  if (version < 2) return codes;
  Error bits, encoding;  // texts put together without a heap
  codes.bits = options->IntOr(bits.Text(name).Text("_bits").c_str(), 1, 8, 1);
  encoding.Text(name).Text("_encoding");
  codes.encoding = static_cast<Encoding>(options->OneOfOr(encoding.c_str(), kEncodingNames, kEncodings, 0));
  if (codes.encoding == Encoding::kTernary) options->Require(codes.bits == 2, encoding.c_str(), "\"ternary\" has 2 bits");
  return codes;
}

Outputs ReadOutputs(int32_t version, Options* options) {
  const float infinity = __builtin_inff();
  Outputs o = {};
  o.kind = static_cast<OutputKind>(options->OneOf("output", kOutputNames, version < 2 ? 2 : 5));
  o.codes = ReadCodes("output", version, options);
  o.activation_min = options->FloatOr("activation_min", -infinity);
  o.activation_max = options->FloatOr("activation_max", infinity);
  if (o.kind == OutputKind::kInt8 || o.kind == OutputKind::kInt16) {
    const int32_t low = o.kind == OutputKind::kInt8 ? INT8_MIN : INT16_MIN, high = -1 - low;
    o.zero_point = options->IntOr("output_zero_point", low, high, 0);
    o.low = options->IntOr("output_min", low, high, low);
    o.high = options->IntOr("output_max", low, high, high);
    options->Require(o.low <= o.high, "output_min", "is greater than output_max");
  }
  return o;
}

bool CheckOutputs(const Tensor* inputs, int32_t first, bool float_sums, Checks* checks, Outputs* o) {
  switch (o->kind) {
    case OutputKind::kFloat32:
      return CheckFloats(inputs, first, checks, o);
    case OutputKind::kPacked:
      return CheckPacked(inputs, first, float_sums, checks, *o);
    case OutputKind::kInt32:
    case OutputKind::kInt8:
    case OutputKind::kInt16:
      break;
  }
  if (IsClamped(*o)) return checks->Fail("activation_min and activation_max must be absent where the output is of integers");
  if (float_sums) return checks->Fail("an output of integers wants an input of integers");
  if (o->kind != OutputKind::kInt32) return CheckQuantized(inputs, first, checks, *o);
  for (int32_t i = first; i < first + 3; ++i) {
    if (!checks->Absent(i, "where the output is int32")) return false;
  }
  return true;
}

OutputConstants OutputConstantsOf(const void* const* inputs, int32_t first) {
  return {inputs[first], inputs[first + 1], inputs[first + 2]};
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
