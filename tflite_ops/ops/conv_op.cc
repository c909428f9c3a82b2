#include "ops/conv_op.h"

#include "kernels/direct_conv.h"
#include "ops/code_options.h"
#include "ops/filter.h"
#if !defined(KERAS_STE_DIRECT_ONLY)
#include "kernels/row_conv.h"
#include "kernels/tiled_conv.h"
#endif

namespace keras_ste {

const char* const kConvRoles[kMaxInputs] = {"input",      "filter", "multiplier", "bias",
                                             "thresholds", "tail",   "residual",   "residual_scale"};

namespace {

enum : int32_t { kInput, kFilter };

const ConvState& StateOf(const void* state) { return *static_cast<const ConvState*>(state); }

ConvTensors TensorsOf(const Buffers& b) { return {b.inputs[kFilter], TailTensorsOf(b, kFirstConvConstant)}; }

bool SumFits(const Conv& c) {
  if (FloatSumsOf(c)) return true;
  return SumsFit(c.weights, c.inputs, c.zero_point, static_cast<int64_t>(Taps(c)) * GroupChannels(c));
}

// With few channels a group, a kernel row can be short and the row of whole pixels under it enormous.
bool KernelRowFits(const Conv& c) {
  int32_t n = 0;
  return Multiply(c.w.kernel, PixelStride(c), &n);
}

bool OutputFits(const Conv& c) {
  int32_t n = c.batch;
  return Multiply(n, c.h.out, &n) && Multiply(n, c.w.out, &n) && Multiply(n, Filters(c), &n) &&
         Multiply(n, c.outputs.codes.bits, &n);
}

}  // namespace

void ReadCodeOptions(int32_t version, int32_t filters, Options* options, Conv* c) {
  c->weights = ReadCodes("weight", version, options);
  c->inputs = ReadCodes("input", version, options);
  c->zero_point = options->IntOr("input_zero_point", version < 2 ? INT8_MIN : -UINT8_MAX, UINT8_MAX, 0);
  c->quantize_rows = false;
  c->outputs = ReadOutputs(version, options);
  c->outputs.channels = filters;
}

bool ReadInputKind(const Tensor& input, Checks* checks, Conv* c) {
  int32_t low = 0, high = 0;
  const Codes bytes = {8, input.type == Type::kUInt8 ? Encoding::kUnsigned : Encoding::kSigned};
  switch (input.type) {
    case Type::kInt32:
      c->input = InputKind::kPacked;
      if (c->inputs.bits > 1 || c->inputs.encoding != Encoding::kBipolar) {
        high = LargestWorth(c->inputs);
        low = c->inputs.encoding == Encoding::kUnsigned ? 0 : -high;
      }
      break;
    case Type::kFloat32:
      c->input = InputKind::kFloat32;
      break;
    case Type::kInt8:
      c->input = InputKind::kInt8;
      low = INT8_MIN;
      high = INT8_MAX;
      break;
    case Type::kUInt8:
      c->input = InputKind::kUInt8;
      high = UINT8_MAX;
      break;
    case Type::kInt16:
    case Type::kOther:
      return checks->Fail(kInput, "INT32 (packed), FLOAT32, INT8 or UINT8");
  }
  if (!Packed(*c)) c->inputs = bytes;
  if (c->zero_point < low || c->zero_point > high) {
    return checks->Fail(kInput, "a type that can hold input_zero_point");
  }
  if (c->quantize_rows && c->input != InputKind::kFloat32) {
    return checks->Fail(kInput, "FLOAT32, whose rows are to be quantized");
  }
  return true;
}

bool FinishConv(const Tensor* inputs, int32_t filter_rank, const int32_t* filter_dims, const KernelTable* kernels,
                Checks* checks, ConvState* state) {
  Conv& c = state->conv;
  if (c.quantize_rows && c.outputs.kind != OutputKind::kFloat32 && c.outputs.tail.length == 0) {
    return checks->Fail("rows that are quantized at run time want a float32 output or a tail");
  }
  if (!SumFits(c)) return checks->Fail("the sum of products may exceed 32 bits");
  if (!KernelRowFits(c)) return checks->Fail("the pixels under a row of the kernel have 2^31 elements or more");
  if (!OutputFits(c)) return checks->Fail("the output has 2^31 elements or more");
  c.gapless = false;  // until the filter is looked at
  if (!CheckFilter(inputs, kFilter, filter_rank, filter_dims, RowsOf(c, nullptr, 0), int64_t{FilterRows(c)} * Filters(c), checks,
                   &c.gapless)) {
    return false;
  }
  if (!CheckOutputs(inputs, kFirstConvConstant, FloatSumsOf(c), checks, &c.outputs)) return false;
  state->kernels = nullptr;
  state->rows = false;
#if !defined(KERAS_STE_DIRECT_ONLY)
  if (kernels != nullptr) {
    state->rows = ChooseRowConv(c, *kernels);
    if (state->rows || ChooseTiledWay(c, *kernels, &state->way)) state->kernels = kernels;
  }
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
size_t ConvScratchBytes(const void* state) { return DirectScratchBytes(StateOf(state).conv); }
int32_t ConvStageUnits(const void* state) { return DirectStageUnits(StateOf(state).conv); }
int32_t ConvUnits(const void* state) { return OutputPixels(StateOf(state).conv); }

void ConvStage(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  DirectStage(StateOf(state).conv, b.inputs[kInput], b.scratch, begin, end);
}

void ConvRun(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  DirectConv(StateOf(state).conv, TensorsOf(b), b.inputs[kInput], b.scratch, begin, end);
}

#else

size_t ConvWeightsBytes(const void* state) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) return 0;
  return s.rows ? RowWeightsBytes(s.conv) : TiledWeightsBytes(s.conv, s.way);
}

void ConvFillWeights(const void* state, const void* const* inputs, void* weights) {
  const ConvState& s = StateOf(state);
  if (s.rows) {
    FillRowWeights(s.conv, inputs[kFilter], weights);
  } else {
    FillTiledWeights(s.conv, s.way, inputs[kFilter], weights);
  }
}

size_t ConvTablesBytes(const void* state) {
  const ConvState& s = StateOf(state);
  return s.kernels == nullptr || s.rows ? 0 : TiledTablesBytes(s.conv, s.way);
}

void ConvFillTables(const void* state, const void* const* inputs, void* tables) {
  const ConvState& s = StateOf(state);
  FillTiledTables(s.conv, s.way, inputs[kFilter], tables);
}

size_t ConvScratchBytes(const void* state) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) return DirectScratchBytes(s.conv);
  return s.rows ? RowScratchBytes(s.conv) : TiledScratchBytes(s.conv, s.way);
}

int32_t ConvStageUnits(const void* state) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) return DirectStageUnits(s.conv);
  return s.rows ? RowStageUnits(s.conv) : TiledStageUnits(s.conv, s.way);
}

void ConvStage(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) {
    DirectStage(s.conv, b.inputs[kInput], b.scratch, begin, end);
  } else if (s.rows) {
    RowStage(s.conv, *s.kernels, b.inputs[kInput], b.scratch, begin, end);
  } else {
    TiledStage(s.conv, s.way, *s.kernels, b.inputs[kInput], b.scratch, begin, end);
  }
}

int32_t ConvUnits(const void* state) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) return OutputPixels(s.conv);
  return s.rows ? RowUnits(s.conv) : TiledUnits(s.conv, s.way, *s.kernels);
}

void ConvRun(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const ConvState& s = StateOf(state);
  if (s.kernels == nullptr) {
    DirectConv(s.conv, TensorsOf(b), b.inputs[kInput], b.scratch, begin, end);
  } else if (s.rows) {
    RowConv(s.conv, *s.kernels, TensorsOf(b), b.weights, b.scratch, begin, end);
  } else {
    TiledConv(s.conv, s.way, *s.kernels, TensorsOf(b), b.weights, b.tables, b.inputs[kInput], b.scratch, begin,
              end);
  }
}

#endif

double ConvCost(const void* state) {
  const Conv& c = StateOf(state).conv;
  const double products = static_cast<double>(Taps(c)) * GroupChannels(c) * Filters(c) * OutputPixels(c);
  if (FloatSumsOf(c)) return 16 * products;
  const int32_t pairs = Packed(c) ? PlanePairs(c.weights, c.inputs) : 8;
  return products * (pairs < 5 ? pairs : 5);  // bytes cost as much as about five planes that meet
}

}  // namespace keras_ste
