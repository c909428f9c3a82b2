#include "kernels/code_book.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteNearest";
constexpr const char* kRoles[kMaxInputs] = {"input", "vectors"};
constexpr int32_t kMost = 1 << 24;

struct State {
  CodeBook book;
  int32_t rows;
  const CodeKernels* kernels;  // null: from the vectors as they lie in the file
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }
const float* VectorsOf(const void* const* inputs) { return static_cast<const float*>(inputs[1]); }

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Options options(kName, bytes, size, error);
  options.Int("version", 2, 2);
  state->book.size = options.Int("channels", 1, kMost);
  state->book.vectors = options.Int("vectors", 1, kMost);
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(2, 2) || !checks.HasType(0, Type::kFloat32) || !checks.HasElements(0)) return false;
  const Tensor& rows = inputs[0];
  if (rows.rank < 2 || rows.dims[rows.rank - 1] != state->book.size) {
    return checks.Fail(0, "two dimensions or more, the last of which is equal to option 'channels'");
  }
  const int32_t dims[2] = {state->book.vectors, state->book.size};
  if (!checks.IsConstant(1, Type::kFloat32, 2, dims)) return false;
  state->rows = PixelsOf(rows);
#if defined(KERAS_STE_DIRECT_ONLY)
  (void)kernels;
  state->kernels = nullptr;
#else
  state->kernels = kernels == nullptr ? nullptr : CodeKernelsOf(*kernels);
#endif
  return SetOutput(Type::kInt32, rows.rank - 1, rows.dims, &checks, output);
}

size_t WeightsBytes(const void* state) {
  const State& s = StateOf(state);
  return s.kernels == nullptr ? 0 : CodeBookBytes(s.book);
}

void FillWeights(const void* state, const void* const* inputs, void* weights) {
  FillCodeBook(StateOf(state).book, VectorsOf(inputs), static_cast<float*>(weights));
}

// Without memory of its own, the lengths of the vectors are found at each call.
size_t ScratchBytes(const void* state) {
  const State& s = StateOf(state);
  return s.kernels == nullptr ? static_cast<size_t>(s.book.vectors) * sizeof(float) : 0;
}

int32_t StageUnits(const void* state) {
  const State& s = StateOf(state);
  return s.kernels == nullptr ? s.book.vectors : 0;
}

void Stage(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  SquaredLengths(StateOf(state).book, VectorsOf(b.inputs), begin, end, static_cast<float*>(b.scratch));
}

int32_t Units(const void* state) { return StateOf(state).rows; }

double Cost(const void* state) {
  const State& s = StateOf(state);
  return 16.0 * s.rows * s.book.vectors * s.book.size;  // a multiply-add of floats
}

void Run(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  const State& s = StateOf(state);
  const float* rows = static_cast<const float*>(b.inputs[0]);
  int32_t* nearest = static_cast<int32_t*>(b.output);
#if !defined(KERAS_STE_DIRECT_ONLY)
  if (s.kernels != nullptr) {
    TiledNearest(s.book, *s.kernels, static_cast<const float*>(b.weights), rows, begin, end, nearest);
    return;
  }
#endif
  DirectNearest(s.book, VectorsOf(b.inputs), static_cast<const float*>(b.scratch), rows, begin, end, nearest);
}

}  // namespace

const Op kNearest = {kName,        Prepare,    WeightsBytes, FillWeights, NoBytes, FillNothing,
                     ScratchBytes, StageUnits, Stage,        Units,       Cost,    Run};

}  // namespace keras_ste
