#include "kernels/plane_moves.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/filter.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteGather";
constexpr const char* kRoles[kMaxInputs] = {"indices", "table"};
constexpr int32_t kIndices = 0, kTable = 1;
constexpr int32_t kMost = 1 << 24;

struct State {
  CodeRows table;  // its data are those of the call
  int32_t rows;
  int32_t lookups;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }
const int32_t* IndicesOf(const Buffers& b) { return static_cast<const int32_t*>(b.inputs[kIndices]); }

// The indices' dimensions, which are checked, and one for the row that each becomes.
bool SetRows(const Tensor& indices, int32_t row_words, Checks* checks, State* state, Output* output) {
  if (indices.rank == kMaxRank) return checks->Fail(kIndices, "at most 5 dimensions");
  int32_t dims[kMaxRank];
  state->lookups = 1;
  for (int32_t d = 0; d < indices.rank; ++d) {
    dims[d] = indices.dims[d];
    state->lookups *= dims[d];
  }
  dims[indices.rank] = row_words;
  return SetOutput(Type::kInt32, indices.rank + 1, dims, checks, output);
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable*, void* memory,
             Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  CodeRows& table = state->table;
  table = {};
  Options options(kName, bytes, size, error);
  table.bits = ReadCodes("input", options.Int("version", 4, 4), &options).bits;
  state->rows = options.Int("rows", 1, kMost);
  table.codes = options.Int("channels", 1, kMost);
  if (!options.ok()) return false;
  table.words = WordsOf(table.codes);

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(2, 2) || !checks.HasType(kIndices, Type::kInt32) || !checks.HasElements(kIndices)) return false;
  const int32_t dims[2] = {state->rows, table.bits * table.words};
  if (!CheckFilter(inputs, kTable, 2, dims, table, state->rows, &checks, &table.gapless)) return false;
  return SetRows(inputs[kIndices], dims[1], &checks, state, output);
}

bool Check(const void* state, const Buffers& buffers, Error* error) {
  const State& s = StateOf(state);
  const int32_t* indices = IndicesOf(buffers);
  for (int32_t i = 0; i < s.lookups; ++i) {
    if (indices[i] >= 0 && indices[i] < s.rows) continue;
    error->Text(kName).Text(": index ").Number(indices[i]).Text(" is not one of the table's ").Number(s.rows).Text(" rows");
    return false;
  }
  return true;
}

int32_t Units(const void* state) { return StateOf(state).lookups; }

double Cost(const void* state) {
  const State& s = StateOf(state);
  const double words = static_cast<double>(s.lookups) * s.table.bits * s.table.words;
  return (s.table.gapless ? 1024 : 128) * words;
}

void Run(const void* state, const Buffers& b, int32_t begin, int32_t end) {
  CodeRows table = StateOf(state).table;
  table.data = b.inputs[kTable];
  GatherRows(table, IndicesOf(b), static_cast<uint32_t*>(b.output), begin, end);
}

}  // namespace

const Op kGather = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                    NoBytes, NoUnits, StageNothing, Units,       Cost,    Run,         Check};

}  // namespace keras_ste
