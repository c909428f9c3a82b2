#include "kernels/add.h"

#include "kernels/kernel_table.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteAdd";
constexpr const char* kRoles[kMaxInputs] = {"a", "b", "scale_a", "scale_b", "multiplier", "bias", "thresholds"};
constexpr int32_t kScales = 2, kFirstConstant = 4;
constexpr int32_t kMost = 1 << 24;

struct State {
  Add add;
  int32_t pixels;
  const OutputKernels* kernels;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

bool CheckAddend(const Tensor* inputs, int32_t i, Checks* checks, Addend* addend) {
  if (!CheckNumbers(inputs, i, true, checks, &addend->numbers)) return false;
  const Tensor& scale = inputs[kScales + i];
  const int32_t channels = addend->numbers.channels, one = 1;
  addend->one_scale = scale.present && scale.rank == 1 && scale.dims[0] == 1;
  return !scale.present ||
         checks->IsConstant(kScales + i, Type::kFloat32, 1, addend->one_scale ? &one : &channels);
}

bool SamePixels(const Tensor& a, const Tensor& b) {
  bool same = a.rank == b.rank;
  for (int32_t d = 0; same && d + 1 < a.rank; ++d) same = a.dims[d] == b.dims[d];
  return same;
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Add& add = state->add;
  state->kernels = OutputKernelsOf(kernels);
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 2, 2);
  add.a.numbers = ReadNumbers("a", version, &options);
  add.b.numbers = ReadNumbers("b", version, &options);
  add.outputs = ReadOutputs(version, &options);
  add.a.numbers.channels = add.b.numbers.channels = add.outputs.channels = options.Int("channels", 1, kMost);
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(2, 7)) return false;
  if (!CheckAddend(inputs, 0, &checks, &add.a) || !CheckAddend(inputs, 1, &checks, &add.b)) return false;
  if (!SamePixels(inputs[0], inputs[1])) return checks.Fail(1, "as many pixels as input 0 has, in the same order");
  state->pixels = PixelsOf(inputs[0]);
  return CheckOutputs(inputs, kFirstConstant, true, &checks, &add.outputs) &&
         SetPixelOutput(inputs[0], OutputType(add.outputs), OutputStride(add.outputs), &checks, output);
}

int32_t Units(const void* state) { return static_cast<const State*>(state)->pixels; }

double Cost(const void* state) {
  const State& s = *static_cast<const State*>(state);
  return 2048.0 * s.pixels * s.add.outputs.channels;
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  const State& s = *static_cast<const State*>(state);
  const void* const* inputs = buffers.inputs;
  AddPixels(s.add, {inputs[0], static_cast<const float*>(inputs[kScales])},
            {inputs[1], static_cast<const float*>(inputs[kScales + 1])}, *s.kernels,
            OutputTensorsOf(buffers, kFirstConstant), begin, end);
}

}  // namespace

const Op kAdd = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                 NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
