#include "kernels/average_pool.h"
#include "kernels/kernel_table.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteAveragePool2D";
constexpr const char* kRoles[kMaxInputs] = {"input", "multiplier", "bias", "thresholds"};
constexpr int32_t kMost = 1 << 24;

struct State {
  AveragePool pool;
  const OutputKernels* kernels;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const AveragePool& PoolOf(const void* state) { return static_cast<const State*>(state)->pool; }

// The places of a window that is wholly inside the image, as far as it can be.
int64_t MostPlaces(const AveragePool& p) {
  const int64_t rows = p.h.kernel < p.h.in ? p.h.kernel : p.h.in;
  return rows * (p.w.kernel < p.w.in ? p.w.kernel : p.w.in);
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  AveragePool& p = state->pool;
  state->kernels = OutputKernelsOf(kernels);
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 2, 2);
  p.input = ReadNumbers("input", version, &options);
  p.outputs = ReadOutputs(version, &options);
  p.input.channels = p.outputs.channels = options.Int("channels", 1, kMost);
  p.h.kernel = options.Int("pool_h", 1, kMost);
  p.w.kernel = options.Int("pool_w", 1, kMost);
  p.h.stride = options.Int("stride_h", 1, kMost);
  p.w.stride = options.Int("stride_w", 1, kMost);
  p.h.dilation = p.w.dilation = 1;
  const Padding padding = ReadSamePadding(&options) ? Padding::kSame : Padding::kValid;
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 4) || !CheckNumbers(inputs, 0, true, &checks, &p.input) || !checks.HasRank(0, 4)) return false;
  p.batch = inputs[0].dims[0];
  p.h.in = inputs[0].dims[1];
  p.w.in = inputs[0].dims[2];
  if (!PlaceWindows(padding, &p.h) || !PlaceWindows(padding, &p.w)) {
    return checks.Fail(0, "an image at least as large as the pooling window");
  }
  if (MostPlaces(p) > kMostPoolPlaces) return checks.Fail("a window has more than 2^21 places");
  const bool floats = p.input.kind == InputKind::kFloat32 || p.outputs.kind != OutputKind::kInt32;
  if (!CheckOutputs(inputs, 1, floats, &checks, &p.outputs)) return false;
  const int32_t dims[4] = {p.batch, p.h.out, p.w.out, OutputStride(p.outputs)};
  return SetOutput(OutputType(p.outputs), 4, dims, &checks, output);
}

int32_t Units(const void* state) { return PoolOf(state).batch * PoolOf(state).h.out; }

double Cost(const void* state) {
  const AveragePool& p = PoolOf(state);
  const double element = p.input.kind == InputKind::kPacked ? 512.0 : 64.0;  // a word of bits, or a byte
  const double pixel = element * MostPlaces(p) * PixelElements(p.input) + 1024.0 * p.input.channels;
  return pixel * p.batch * p.h.out * p.w.out;
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  AveragePoolRows(PoolOf(state), buffers.inputs[0], *static_cast<const State*>(state)->kernels,
                  OutputTensorsOf(buffers, 1), begin, end);
}

}  // namespace

const Op kAveragePool2D = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                           NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
