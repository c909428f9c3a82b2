#include "kernels/counted_depthwise.h"
#include "kernels/depthwise.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/filter.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteDepthwiseConv2D";
constexpr const char* kRoles[kMaxInputs] = {"input",      "filter", "multiplier", "bias",
                                            "thresholds", "tail",   "residual",   "residual_scale"};
enum : int32_t { kInput, kFilter, kMultiplier, kBias, kThresholds };
constexpr int32_t kMost = 1 << 24;  // of channels, kernel, stride and dilation
constexpr int64_t kMostSum = int64_t{1} << 30;  // beside a bias as large

enum class Path : uint8_t { kDirect, kStaged, kCounted };

struct State {
  Depthwise depthwise;
  Path path;
  const KernelTable* kernels;  // kStaged
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }

bool ReadOptions(const uint8_t* bytes, size_t size, Depthwise* d, Padding* padding, Error* error) {
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 2, 4);
  d->input = ReadNumbers("input", version, &options);
  d->input.channels = options.Int("channels", 1, kMost);
  d->multiplier = options.Int("depth_multiplier", 1, kMost);
  d->h.kernel = options.Int("kernel_h", 1, kMost);
  d->w.kernel = options.Int("kernel_w", 1, kMost);
  d->h.stride = options.Int("stride_h", 1, kMost);
  d->w.stride = options.Int("stride_w", 1, kMost);
  d->h.dilation = options.Int("dilation_h", 1, kMost);
  d->w.dilation = options.Int("dilation_w", 1, kMost);
  *padding = ReadPadding(&options);
  d->pad_with_one = options.Int("pad_value", 0, 1) == 1;
  d->weights = ReadCodes("weight", version, &options);
  d->outputs = ReadOutputs(version, &options);
  return options.ok();
}

bool CheckSizes(Checks* checks, Depthwise* d) {
  int32_t taps = 0;
  if (!Multiply(d->input.channels, d->multiplier, &d->outputs.channels) || d->outputs.channels > kMost) {
    return checks->Fail("there are more than 2^24 output channels");
  }
  if (!Multiply(d->h.kernel, d->w.kernel, &taps)) return checks->Fail("the kernel has 2^31 places or more");
  const bool fits = d->input.kind == InputKind::kFloat32 || LargestDepthwiseSum(*d) < kMostSum;
  return fits || checks->Fail("the sum of products may reach 2^30");
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  *state = {};
  Depthwise& d = state->depthwise;
  Padding padding = Padding::kValid;
  if (!ReadOptions(bytes, size, &d, &padding, error)) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(2, MostInputs(d.outputs, kMultiplier)) || !CheckNumbers(inputs, kInput, true, &checks, &d.input)) return false;
  if (!checks.HasRank(kInput, 4)) return false;
  d.batch = inputs[kInput].dims[0];
  d.h.in = inputs[kInput].dims[1];
  d.w.in = inputs[kInput].dims[2];
  if (!PlaceWindows(padding, &d.h) || !PlaceWindows(padding, &d.w)) {
    return checks.Fail(kInput, "an image at least as large as the dilated kernel");
  }
  if (!CheckSizes(&checks, &d)) return false;
  const int32_t filter_dims[3] = {d.h.kernel, d.w.kernel, d.weights.bits * WordsOf(d.outputs.channels)};
  d.gapless = false;  // until the filter is looked at
  if (!CheckFilter(inputs, kFilter, 3, filter_dims, RowsOf(d, nullptr), int64_t{d.h.kernel} * d.w.kernel, &checks, &d.gapless)) {
    return false;
  }
  if (!CheckOutputs(inputs, kMultiplier, d.input.kind == InputKind::kFloat32, &checks, &d.outputs)) return false;
#if !defined(KERAS_STE_DIRECT_ONLY)
  state->kernels = kernels;
  if (kernels != nullptr) {
    state->path = CanCountDepthwise(d) ? Path::kCounted : CanStageDepthwise(d) ? Path::kStaged : Path::kDirect;
  }
#else
  (void)kernels;
#endif
  const int32_t dims[4] = {d.batch, d.h.out, d.w.out, d.outputs.channels};
  return SetProductOutputs(inputs, kMultiplier, 4, dims, &checks, &d.outputs, output);
}

void RunDirect(const Depthwise& d, const Buffers& b, int32_t begin, int32_t end) {
  DirectDepthwise(d, portable::kOutput, b.inputs[kFilter], TailTensorsOf(b, kMultiplier), b.inputs[kInput], begin, end);
}

#if defined(KERAS_STE_DIRECT_ONLY)

int32_t Units(const void* state) { return DepthwisePixels(StateOf(state).depthwise); }
void Run(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  RunDirect(StateOf(state).depthwise, b, begin, end);
}

#else

const DepthwiseKernels& KernelsOf(const State& s) { return *s.kernels->depthwise; }

size_t WeightsBytes(const void* state) {
  const State& s = StateOf(state);
  if (s.path == Path::kCounted) return CountedWeightsBytes(s.depthwise);
  return s.path == Path::kStaged ? DepthwiseWeightsBytes(s.depthwise) : 0;
}
void FillWeights(const void* state, const void* const* inputs, void* weights) {
  const State& s = StateOf(state);
  if (s.path == Path::kCounted) {
    FillCountedWeights(s.depthwise, inputs[kFilter], static_cast<const int32_t*>(inputs[kThresholds]), weights);
  } else {
    FillDepthwiseWeights(s.depthwise, inputs[kFilter], weights);
  }
}

size_t TablesBytes(const void* state) {
  const State& s = StateOf(state);
  return s.path == Path::kStaged ? DepthwiseTablesBytes(s.depthwise) : 0;
}
void FillTables(const void* state, const void* const*, void* tables) {
  FillDepthwiseTables(StateOf(state).depthwise, tables);
}

size_t ScratchBytes(const void* state) {
  const State& s = StateOf(state);
  return s.path == Path::kStaged ? DepthwiseImageBytes(s.depthwise) : 0;
}
int32_t StageUnits(const void* state) {
  const State& s = StateOf(state);
  return s.path == Path::kStaged ? DepthwiseImagePixels(s.depthwise) : 0;
}
void Stage(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const State& s = StateOf(state);
  StageDepthwise(s.depthwise, KernelsOf(s), b.inputs[kInput], b.scratch, begin, end);
}

int32_t Units(const void* state) {
  const State& s = StateOf(state);
  return s.path == Path::kStaged ? DepthwiseUnits(s.depthwise, KernelsOf(s)) : DepthwisePixels(s.depthwise);
}
void Run(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const State& s = StateOf(state);
  if (s.path == Path::kDirect) return RunDirect(s.depthwise, b, begin, end);
  if (s.path == Path::kCounted) {
    return CountedDepthwise(s.depthwise, b.weights, static_cast<const uint32_t*>(b.inputs[kInput]),
                            static_cast<uint32_t*>(b.output), begin, end);
  }
  StagedDepthwise(s.depthwise, KernelsOf(s), s.kernels->output, b.weights, b.tables,
                  TailTensorsOf(b, kMultiplier), b.scratch, begin, end);
}

#endif

double Cost(const void* state) {
  const Depthwise& d = StateOf(state).depthwise;
  return 16.0 * d.h.kernel * d.w.kernel * d.outputs.channels * DepthwisePixels(d);
}

}  // namespace

#if defined(KERAS_STE_DIRECT_ONLY)
const Op kDepthwiseConv2D = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                             NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};
#else
const Op kDepthwiseConv2D = {kName,        Prepare,    WeightsBytes, FillWeights, TablesBytes, FillTables,
                             ScratchBytes, StageUnits, Stage,        Units,       Cost,        Run};
#endif

}  // namespace keras_ste
