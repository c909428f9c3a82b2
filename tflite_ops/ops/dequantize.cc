#include "kernels/convert.h"
#include "kernels/kernel_table.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteDequantize";
constexpr const char* kRoles[kMaxInputs] = {"input", "table", "multiplier", "bias"};
constexpr int32_t kTable = 1, kFirstConstant = 2;
constexpr int32_t kMost = 1 << 24;

struct State {
  int32_t pixels;
  Convert convert;
  const OutputKernels* kernels;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

bool CheckTable(const Tensor* inputs, Checks* checks, Convert* convert) {
  const Numbers& n = convert->input;
  const int32_t dims[2] = {n.channels, 1 << n.codes.bits};
  if (!inputs[kTable].present) return true;
  if (n.kind != InputKind::kPacked) return checks->Absent(kTable, "where the input is not packed");
  if (n.zero_point != 0) return checks->Absent(kTable, "where there is a zero point");
  convert->one_table = inputs[kTable].rank == 1;
  return checks->IsConstant(kTable, Type::kFloat32, convert->one_table ? 1 : 2, convert->one_table ? dims + 1 : dims);
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Convert& convert = state->convert;
  state->kernels = OutputKernelsOf(kernels);
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 2, 2);
  convert.input = ReadNumbers("input", version, &options);
  convert.input.channels = options.Int("channels", 1, kMost);
  convert.outputs = FloatOutputs(convert.input.channels);
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 4) || !CheckNumbers(inputs, 0, false, &checks, &convert.input)) return false;
  if (!CheckTable(inputs, &checks, &convert)) return false;
  if (!CheckOutputs(inputs, kFirstConstant, true, &checks, &convert.outputs)) return false;
  state->pixels = PixelsOf(inputs[0]);
  return SetPixelOutput(inputs[0], Type::kFloat32, convert.input.channels, &checks, output);
}

int32_t Units(const void* state) { return static_cast<const State*>(state)->pixels; }

double Cost(const void* state) {
  const State& s = *static_cast<const State*>(state);
  return 1024.0 * s.pixels * s.convert.input.channels;
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  const State& s = *static_cast<const State*>(state);
  ConvertPixels(s.convert, buffers.inputs[0], static_cast<const float*>(buffers.inputs[kTable]), *s.kernels,
                OutputTensorsOf(buffers, kFirstConstant), begin, end);
}

}  // namespace

const Op kDequantize = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                        NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
