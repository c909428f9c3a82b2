#include "kernels/bits.h"
#include "kernels/plane_moves.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteConcat";
constexpr const char* kRoles[kMaxInputs] = {"input 0", "input 1", "input 2", "input 3",
                                            "input 4", "input 5", "input 6", "input 7"};
constexpr const char* kChannels[kMaxInputs] = {"channels_0", "channels_1", "channels_2", "channels_3",
                                               "channels_4", "channels_5", "channels_6", "channels_7"};
static_assert(kMaxInputs <= kMostParts, "kMostParts is too small");
constexpr int32_t kMost = 1 << 24;

struct State {
  Concat concat;
  int32_t pixels;
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

const State& StateOf(const void* state) { return *static_cast<const State*>(state); }

// Of a part: the shape of the first one but for its channels.
bool CheckPart(const Tensor* inputs, int32_t i, const Concat& c, Checks* checks) {
  if (!checks->HasType(i, Type::kInt32) || !checks->HasElements(i)) return false;
  if (inputs[i].constant && !checks->HasBytes(i)) return false;
  int32_t dims[kMaxRank] = {};
  for (int32_t d = 0; d < inputs[0].rank; ++d) dims[d] = inputs[0].dims[d];
  if (inputs[0].rank < 1) return checks->Fail(0, "one dimension or more");
  dims[inputs[0].rank - 1] = c.bits * WordsOf(c.channels[i]);
  return checks->HasShape(i, inputs[0].rank, dims);
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable*, void* memory,
             Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Concat& c = state->concat;
  Options options(kName, bytes, size, error);
  c.bits = ReadCodes("input", options.Int("version", 2, 2), &options).bits;
  c.parts = count < kMaxInputs ? count : kMaxInputs;
  c.all_channels = 0;
  for (int32_t i = 0; i < c.parts; ++i) {
    c.channels[i] = options.Int(kChannels[i], 1, kMost);
    c.all_channels += c.channels[i];
  }
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, kMaxInputs)) return false;
  for (int32_t i = 0; i < c.parts; ++i) {
    if (!CheckPart(inputs, i, c, &checks)) return false;
  }
  state->pixels = PixelsOf(inputs[0]);
  return SetPixelOutput(inputs[0], Type::kInt32, c.bits * WordsOf(c.all_channels), &checks, output);
}

int32_t Units(const void* state) { return StateOf(state).pixels; }

double Cost(const void* state) {
  const State& s = StateOf(state);
  return 64.0 * s.pixels * s.concat.bits * WordsOf(s.concat.all_channels);
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  ConcatPixels(StateOf(state).concat, buffers.inputs, static_cast<uint32_t*>(buffers.output), begin, end);
}

}  // namespace

const Op kConcat = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                    NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
