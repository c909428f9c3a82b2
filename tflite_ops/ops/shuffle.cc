#include "kernels/bits.h"
#include "kernels/plane_moves.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteShuffle";
constexpr const char* kRoles[kMaxInputs] = {"input"};
constexpr int32_t kMost = 1 << 24;

struct State {
  Shuffle shuffle;
  int32_t pixels;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable*, void* memory,
             Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Shuffle& s = state->shuffle;
  Options options(kName, bytes, size, error);
  s.bits = ReadCodes("input", options.Int("version", 2, 2), &options).bits;
  s.channels = options.Int("channels", 1, kMost);
  s.groups = options.Int("groups", 1, kMost);
  options.Require(s.channels % s.groups == 0, "groups", "does not divide the channels");
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 1) || !checks.HasType(0, Type::kInt32) || !checks.HasElements(0)) return false;
  const Tensor& input = inputs[0];
  const int32_t last = s.bits * WordsOf(s.channels);
  if (input.rank < 1 || input.dims[input.rank - 1] != last) {
    return checks.Fail(0, "a last dimension that holds 'channels' channels");
  }
  state->pixels = PixelsOf(input);
  return SetPixelOutput(input, Type::kInt32, last, &checks, output);
}

int32_t Units(const void* state) { return StateOf(state).pixels; }

double Cost(const void* state) {
  const State& s = StateOf(state);
  return 64.0 * s.pixels * s.shuffle.bits * s.shuffle.channels;
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  ShufflePixels(StateOf(state).shuffle, static_cast<const uint32_t*>(buffers.inputs[0]),
                static_cast<uint32_t*>(buffers.output), begin, end);
}

}  // namespace

const Op kShuffle = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                     NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
