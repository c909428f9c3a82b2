// A transposed convolution with strides is as many ordinary ones as the strides have remainders, each with the taps
// that meet its output pixels: no zeros are put between the inputs.
#include "ops/code_options.h"
#include "ops/conv_op.h"
#include "ops/ops.h"
#if !defined(KERAS_STE_DIRECT_ONLY)
#include "kernels/tiled_conv.h"
#endif

namespace keras_ste {
namespace {

constexpr const char* kName = "SteTransposeConv2D";
constexpr int32_t kMost = 1 << 24;    // of channels, filters and kernel
constexpr int32_t kMostStride = 64;

// One axis of the whole: output place i meets input place (i + before - tap) / stride where that is a whole number.
// `extra` places of the output, or so many fewer, are there at its end.
struct TransposedAxis {
  int32_t in, out, kernel, stride, before, extra;
};

struct State {
  ConvState conv;  // of which each part has its own axes
  TransposedAxis h, w;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }

// The outputs of an axis whose first tap is number `remainder`.
struct Part {
  Axis axis;
  int32_t first_output, last_tap;
};

Part PartOf(const TransposedAxis& a, int32_t remainder) {
  Part part;
  const int32_t behind = (remainder - a.before) % a.stride;
  part.first_output = behind < 0 ? behind + a.stride : behind;
  const int32_t taps = CeilDiv(a.kernel - remainder, a.stride);
  const int32_t outputs = part.first_output < a.out ? CeilDiv(a.out - part.first_output, a.stride) : 0;
  part.axis = {a.in, outputs, taps, 1, 1, taps - 1 - (part.first_output + a.before - remainder) / a.stride};
  part.last_tap = remainder + (taps - 1) * a.stride;
  return part;
}

int32_t Parts(const State& s) { return s.h.stride * s.w.stride; }

// False where the part has no outputs.
bool PartAt(const State& s, int32_t index, ConvState* state) {
  const Part h = PartOf(s.h, index / s.w.stride), w = PartOf(s.w, index % s.w.stride);
  *state = s.conv;
  Conv& c = state->conv;
  c.h = h.axis;
  c.w = w.axis;
  c.taps = {h.last_tap * s.w.kernel + w.last_tap, -s.h.stride * s.w.kernel, -s.w.stride};
  c.grid = {h.first_output, s.h.stride, w.first_output, s.w.stride, s.w.out,
            static_cast<int64_t>(s.h.out) * s.w.out};
  return h.axis.out > 0 && w.axis.out > 0;
}

// Calls visit(part) for all parts with outputs.
template <typename Visit>
void ForEachPart(const void* state, const Visit& visit) {
  ConvState part;
  for (int32_t i = 0; i < Parts(StateOf(state)); ++i) {
    if (PartAt(StateOf(state), i, &part)) visit(part);
  }
}

bool PlaceAxis(bool same, TransposedAxis* a) {
  const int64_t places = static_cast<int64_t>(a->in) * a->stride + a->extra;
  const int64_t out = same ? places : places - a->stride + a->kernel;
  const int32_t cut = a->kernel - a->stride - a->extra;
  a->out = static_cast<int32_t>(out);
  a->before = same && cut > 0 ? cut / 2 : 0;
  return out >= 1 && out <= INT32_MAX / 2;
}

bool ReadOptions(const uint8_t* bytes, size_t size, State* s, bool* same, Error* error) {
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 2, 4);
  Conv& c = s->conv.conv;
  c.channels = options.Int("channels", 1, kMost);
  const int32_t filters = options.Int("filters", 1, kMost);
  s->h.kernel = options.Int("kernel_h", 1, kMost);
  s->w.kernel = options.Int("kernel_w", 1, kMost);
  s->h.stride = options.Int("stride_h", 1, kMostStride);
  s->w.stride = options.Int("stride_w", 1, kMostStride);
  s->h.extra = options.IntOr("extra_h", 1 - s->h.stride, s->h.stride - 1, 0);
  s->w.extra = options.IntOr("extra_w", 1 - s->w.stride, s->w.stride - 1, 0);
  *same = ReadSamePadding(&options);
  ReadCodeOptions(version, filters, &options, &c);
  options.Require(s->h.kernel >= s->h.stride, "stride_h", "is greater than kernel_h");
  options.Require(s->w.kernel >= s->w.stride, "stride_w", "is greater than kernel_w");
  return options.ok();
}

// All parts are computed alike.
void ChooseWays(const State& s, const KernelTable* kernels, ConvState* state) {
#if !defined(KERAS_STE_DIRECT_ONLY)
  state->kernels = kernels;
  bool first = true;
  ForEachPart(&s, [&](const ConvState& part) {
    Way way = Way::kPlanes;
    const bool fits = kernels != nullptr && ChooseTiledWay(part.conv, *kernels, &way) && (first || way == state->way);
    if (!fits) state->kernels = nullptr;
    state->way = way;
    first = false;
  });
#else
  (void)s;
  (void)kernels;
  state->kernels = nullptr;
#endif
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* s = static_cast<State*>(memory);
  Conv& c = s->conv.conv;
  bool same = false;
  if (!ReadOptions(bytes, size, s, &same, error)) return false;

  Checks checks(kName, kConvRoles, inputs, count, error);
  if (!checks.Count(2, MostInputs(c.outputs, kFirstConvConstant)) || !checks.Present(0) || !ReadInputKind(inputs[0], &checks, &c)) return false;
  if (!checks.HasRank(0, 4) || !checks.HasElements(0)) return false;
  c.batch = inputs[0].dims[0];
  s->h.in = inputs[0].dims[1];
  s->w.in = inputs[0].dims[2];
  int32_t stride = 0;
  if (Packed(c) && !Multiply(c.inputs.bits, WordsOf(c.channels), &stride)) return checks.Fail("too many channels");
  const int32_t expected[4] = {c.batch, s->h.in, s->w.in, PixelStride(c)};
  if (!checks.HasShape(0, 4, expected)) return false;
  if (!PlaceAxis(same, &s->h) || !PlaceAxis(same, &s->w)) return checks.Fail("the output has no elements, or 2^31 or more");
  int32_t products = 0;
  if (!Multiply(s->h.kernel, s->w.kernel, &products) || !Multiply(products, c.channels, &products)) {
    return checks.Fail("the kernel has 2^31 weights or more");
  }
  c.pad_value = 0;
  c.groups = 1;
  c.h = {s->h.in, s->h.out, s->h.kernel, 1, 1, 0};
  c.w = {s->w.in, s->w.out, s->w.kernel, 1, 1, 0};
  c.filter_in_taps = true;
  c.filter_taps = Taps(c);
  c.taps = TapsInOrder(c);
  c.grid = WholeGrid(c);
  c.filter_words = WordsOf(c.channels);
  const int32_t filter_dims[4] = {Filters(c), s->h.kernel, s->w.kernel, c.weights.bits * c.filter_words};
  if (!FinishConv(inputs, 4, filter_dims, nullptr, &checks, &s->conv)) return false;
  ChooseWays(*s, kernels, &s->conv);
  const int32_t dims[4] = {c.batch, s->h.out, s->w.out, Filters(c)};
  return SetProductOutputs(inputs, kFirstConvConstant, 4, dims, &checks, &c.outputs, output);
}

// The memory of the parts lies one behind the other.
size_t AllBytes(const void* state, size_t (*bytes)(const void*)) {
  size_t all = 0;
  ForEachPart(state, [&](const ConvState& part) { all += AlignedBytes(bytes(&part)); });
  return all;
}

void FillAll(const void* state, const void* const* inputs, void* memory, size_t (*bytes)(const void*),
             void (*fill)(const void*, const void* const*, void*)) {
  char* at = static_cast<char*>(memory);
  ForEachPart(state, [&](const ConvState& part) {
    if (bytes(&part) > 0) fill(&part, inputs, at);
    at += AlignedBytes(bytes(&part));
  });
}

int32_t AllUnits(const void* state, int32_t (*units)(const void*)) {
  int32_t all = 0;
  ForEachPart(state, [&](const ConvState& part) { all += units(&part); });
  return all;
}

void WorkOnAll(const void* state, const Buffers& buffers, int32_t begin, int32_t end, int32_t (*units)(const void*),
               void (*work)(const void*, const Buffers&, int32_t, int32_t)) {
  int32_t first = 0;
  Buffers own = buffers;
  ForEachPart(state, [&](const ConvState& part) {
    const int32_t count = units(&part);
    const int32_t from = begin > first ? begin - first : 0, to = end - first < count ? end - first : count;
    if (from < to) work(&part, own, from, to);
    first += count;
    const size_t weights = AlignedBytes(ConvWeightsBytes(&part));
    if (own.weights != nullptr) own.weights = static_cast<const char*>(own.weights) + weights;
    if (own.tables != nullptr) own.tables = static_cast<const char*>(own.tables) + AlignedBytes(ConvTablesBytes(&part));
    if (own.scratch != nullptr) own.scratch = static_cast<char*>(own.scratch) + AlignedBytes(ConvScratchBytes(&part));
  });
}

size_t WeightsBytesOfAll(const void* state) { return AllBytes(state, ConvWeightsBytes); }
void FillWeightsOfAll(const void* state, const void* const* inputs, void* weights) {
  FillAll(state, inputs, weights, ConvWeightsBytes, ConvFillWeights);
}
size_t TablesBytesOfAll(const void* state) { return AllBytes(state, ConvTablesBytes); }
void FillTablesOfAll(const void* state, const void* const* inputs, void* tables) {
  FillAll(state, inputs, tables, ConvTablesBytes, ConvFillTables);
}
size_t ScratchBytesOfAll(const void* state) { return AllBytes(state, ConvScratchBytes); }
int32_t StageUnitsOfAll(const void* state) { return AllUnits(state, ConvStageUnits); }
void StageAll(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  WorkOnAll(state, buffers, begin, end, ConvStageUnits, ConvStage);
}
int32_t UnitsOfAll(const void* state) { return AllUnits(state, ConvUnits); }
double CostOfAll(const void* state) {
  double all = 0;
  ForEachPart(state, [&](const ConvState& part) { all += ConvCost(&part); });
  return all;
}
void RunAll(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  WorkOnAll(state, buffers, begin, end, ConvUnits, ConvRun);
}

}  // namespace

const Op kTransposeConv2D = {kName,            Prepare,           WeightsBytesOfAll, FillWeightsOfAll, TablesBytesOfAll,
                             FillTablesOfAll,  ScratchBytesOfAll, StageUnitsOfAll,   StageAll,         UnitsOfAll,
                             CostOfAll,        RunAll};

}  // namespace keras_ste
