#include "kernels/bits.h"
#include "kernels/plane_moves.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "StePad";
constexpr const char* kRoles[kMaxInputs] = {"input"};
constexpr int32_t kMost = 1 << 24;

struct State {
  Pad pad;
  int32_t batch;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }

// The code, its bits as an unsigned number, that is worth so much.
uint32_t ReadCode(const Codes& codes, Options* options) {
  const int32_t worth = options->Int("pad_value", -LargestWorth(codes), LargestWorth(codes));
  uint32_t code = 0;
  while (code < 1u << codes.bits && Worth(codes, static_cast<int32_t>(code)) != worth) ++code;
  options->Require(code < 1u << codes.bits, "pad_value", "is what no code is worth");
  return code;
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable*, void* memory,
             Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Pad& p = state->pad;
  Options options(kName, bytes, size, error);
  const Codes codes = ReadCodes("input", options.Int("version", 2, 2), &options);
  p.bits = codes.bits;
  p.channels = options.Int("channels", 1, kMost);
  p.top = options.Int("pad_top", 0, kMost);
  p.left = options.Int("pad_left", 0, kMost);
  const int32_t bottom = options.Int("pad_bottom", 0, kMost), right = options.Int("pad_right", 0, kMost);
  p.code = ReadCode(codes, &options);
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 1) || !checks.HasType(0, Type::kInt32) || !checks.HasRank(0, 4)) return false;
  if (!checks.HasElements(0)) return false;
  state->batch = inputs[0].dims[0];
  p.in_h = inputs[0].dims[1];
  p.in_w = inputs[0].dims[2];
  const int32_t last = p.bits * WordsOf(p.channels);
  const int32_t expected[4] = {state->batch, p.in_h, p.in_w, last};
  if (!checks.HasShape(0, 4, expected)) return false;
  if (p.in_h > kMost || p.in_w > kMost) return checks.Fail(0, "an image of at most 2^24 rows and columns");
  p.out_h = p.top + p.in_h + bottom;
  p.out_w = p.left + p.in_w + right;
  const int32_t dims[4] = {state->batch, p.out_h, p.out_w, last};
  return SetOutput(Type::kInt32, 4, dims, &checks, output);
}

int32_t Units(const void* state) { return StateOf(state).batch * StateOf(state).pad.out_h; }

double Cost(const void* state) {
  const State& s = StateOf(state);
  return 32.0 * s.batch * s.pad.out_h * s.pad.out_w * s.pad.bits * WordsOf(s.pad.channels);
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  PadRows(StateOf(state).pad, static_cast<const uint32_t*>(buffers.inputs[0]), static_cast<uint32_t*>(buffers.output),
          begin, end);
}

}  // namespace

const Op kPad = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                 NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
