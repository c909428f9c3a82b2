#include "ops/conv_op.h"

#include "kernels/direct_conv.h"
#include "ops/code_options.h"
#if !defined(KERAS_STE_DIRECT_ONLY)
#include "kernels/tiled_conv.h"
#endif

namespace keras_ste {

const char* const kConvRoles[kMaxInputs] = {"input", "filter", "multiplier", "bias", "thresholds"};

namespace {

enum : int32_t { kInput, kFilter, kMultiplier, kBias, kThresholds };

const ConvState& StateOf(const void* state) { return *static_cast<const ConvState*>(state); }

ConvConstants ConstantsOf(const void* const* inputs) {
  return {static_cast<const uint32_t*>(inputs[kFilter]), static_cast<const float*>(inputs[kMultiplier]),
          static_cast<const float*>(inputs[kBias]), inputs[kThresholds]};
}

// The products of one output are at most 1 (packed) or 255 + 1 in size, and their sum must stay below 2^31 - 1. Of packed
// words all bits count, for a bad file may have set the unused ones.
bool SumFits(const Conv& c) {
  if (c.input == InputKind::kPacked) return static_cast<int64_t>(Taps(c)) * c.filter_words < INT32_MAX / (2 * 32);
  return static_cast<int64_t>(Taps(c)) * GroupChannels(c) < INT32_MAX / 512;
}

// With few channels a group, a kernel row can be short and the row of whole pixels under it enormous.
bool KernelRowFits(const Conv& c) {
  int32_t n = 0;
  return Multiply(c.w.kernel, c.pixel_stride, &n);
}

bool OutputFits(const Conv& c) {
  int32_t n = c.batch;
  return Multiply(n, c.h.out, &n) && Multiply(n, c.w.out, &n) && Multiply(n, c.filters, &n);
}

}  // namespace

void ReadOutputOptions(Options* options, Conv* conv) {
  const float infinity = __builtin_inff();
  conv->packed_output = ReadOutputs(1, options).kind == OutputKind::kPacked;
  conv->zero_point = options->IntOr("input_zero_point", INT8_MIN, UINT8_MAX, 0);
  conv->activation_min = options->FloatOr("activation_min", -infinity);
  conv->activation_max = options->FloatOr("activation_max", infinity);
}

bool ReadInputKind(const Tensor& input, Checks* checks, Conv* conv) {
  int32_t low = 0, high = 0;
  switch (input.type) {
    case Type::kInt32:
      conv->input = InputKind::kPacked;
      break;
    case Type::kFloat32:
      conv->input = InputKind::kFloat32;
      break;
    case Type::kInt8:
      conv->input = InputKind::kInt8;
      low = INT8_MIN;
      high = INT8_MAX;
      break;
    case Type::kUInt8:
      conv->input = InputKind::kUInt8;
      high = UINT8_MAX;
      break;
    case Type::kInt16:
    case Type::kOther:
      return checks->Fail(kInput, "INT32 (packed), FLOAT32, INT8 or UINT8");
  }
  if (conv->zero_point < low || conv->zero_point > high) {
    return checks->Fail(kInput, "a type that can hold input_zero_point");
  }
  return true;
}

bool FinishConv(const Tensor* inputs, int32_t filter_rank, const int32_t* filter_dims, const KernelTable* kernels,
                Checks* checks, ConvState* state) {
  const Conv& c = state->conv;
  if (!SumFits(c)) return checks->Fail("the sum of products may exceed 32 bits");
  if (!KernelRowFits(c)) return checks->Fail("the pixels under a row of the kernel have 2^31 elements or more");
  if (!OutputFits(c)) return checks->Fail("the output has 2^31 elements or more");
  if (c.activation_min > c.activation_max) return checks->Fail("activation_min is greater than activation_max");
  if (!checks->IsConstant(kFilter, Type::kInt32, filter_rank, filter_dims)) return false;
  if (c.packed_output) {
    const Type type = c.input == InputKind::kFloat32 ? Type::kFloat32 : Type::kInt32;
    const char* why = "where the output is packed";
    if (c.activation_min > -__builtin_inff() || c.activation_max < __builtin_inff()) {
      return checks->Fail("activation_min and activation_max must be absent where the output is packed");
    }
    if (!checks->Absent(kMultiplier, why) || !checks->Absent(kBias, why)) return false;
    if (!checks->IsConstant(kThresholds, type, 1, &c.filters)) return false;
  } else {
    for (int32_t i = kMultiplier; i <= kBias; ++i) {
      if (inputs[i].present && !checks->IsConstant(i, Type::kFloat32, 1, &c.filters)) return false;
    }
    if (!checks->Absent(kThresholds, "where the output is float32")) return false;
  }
  state->kernels = nullptr;
#if !defined(KERAS_STE_DIRECT_ONLY)
  if (kernels != nullptr && CanTile(c)) state->kernels = kernels;
#else
  (void)kernels;
#endif
  return true;
}

#if defined(KERAS_STE_DIRECT_ONLY)

size_t ConvWeightsBytes(const void*) { return 0; }
void ConvFillWeights(const void*, const void* const*, void*) {}
size_t ConvTablesBytes(const void*) { return 0; }
void ConvFillTables(const void*, const void* const*, void*) {}
int32_t ConvUnits(const void* state) { return OutputPixels(StateOf(state).conv); }

void ConvRun(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  DirectConv(StateOf(state).conv, ConstantsOf(b.inputs), b.inputs[kInput], b.output, begin, end);
}

#else

size_t ConvWeightsBytes(const void* state) {
  const ConvState& s = StateOf(state);
  return s.kernels == nullptr ? 0 : TiledWeightsBytes(s.conv);
}

void ConvFillWeights(const void* state, const void* const* inputs, void* weights) {
  FillTiledWeights(StateOf(state).conv, ConstantsOf(inputs), weights);
}

size_t ConvTablesBytes(const void* state) {
  const ConvState& s = StateOf(state);
  return s.kernels == nullptr ? 0 : TiledTablesBytes(s.conv);
}

void ConvFillTables(const void* state, const void* const* inputs, void* tables) {
  FillTiledTables(StateOf(state).conv, ConstantsOf(inputs), tables);
}

int32_t ConvUnits(const void* state) {
  const ConvState& s = StateOf(state);
  return s.kernels == nullptr ? OutputPixels(s.conv) : TiledUnits(s.conv, *s.kernels);
}

void ConvRun(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) {
    DirectConv(s.conv, ConstantsOf(b.inputs), b.inputs[kInput], b.output, begin, end);
  } else {
    TiledConv(s.conv, *s.kernels, b.weights, b.tables, b.inputs[kInput], b.output, begin, end);
  }
}

#endif

double ConvCost(const void* state) {
  const Conv& c = StateOf(state).conv;
  const double products = static_cast<double>(Taps(c)) * GroupChannels(c) * c.filters * OutputPixels(c);
  return c.input == InputKind::kPacked ? products : 16 * products;
}

}  // namespace keras_ste
