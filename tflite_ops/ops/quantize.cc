#include "kernels/bits.h"
#include "kernels/kernel_table.h"
#include "kernels/portable/kernels.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteQuantize";
constexpr const char* kRoles[kMaxInputs] = {"input"};

struct State {
  int32_t pixels;
  int32_t channels;
  void (*pack_signs)(const float* x, int64_t n, uint32_t* words);
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Options options(kName, bytes, size, error);
  options.Int("version", 1, 1);
  options.Int("bits", 1, 1);
  const char* const bipolar = "bipolar";
  options.OneOf("encoding", &bipolar, 1);
  state->channels = options.Int("channels", 1, INT32_MAX);
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 1) || !checks.HasType(0, Type::kFloat32) || !checks.HasElements(0)) return false;
  const Tensor& input = inputs[0];
  if (input.rank < 1 || input.dims[input.rank - 1] != state->channels) {
    return checks.Fail(0, "a last dimension equal to option 'channels'");
  }
  output->type = Type::kInt32;
  output->rank = input.rank;
  state->pixels = 1;
  for (int32_t d = 0; d + 1 < input.rank; ++d) {
    output->dims[d] = input.dims[d];
    state->pixels *= input.dims[d];
  }
  output->dims[input.rank - 1] = WordsOf(state->channels);
  state->pack_signs = kernels == nullptr ? portable::PackSigns : kernels->pack_signs;
  return true;
}

int32_t Units(const void* state) { return static_cast<const State*>(state)->pixels; }

double Cost(const void* state) {
  const State& s = *static_cast<const State*>(state);
  return 64.0 * s.pixels * s.channels;  // reads a float where a one-bit product reads a bit
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  const State& s = *static_cast<const State*>(state);
  const float* x = static_cast<const float*>(buffers.inputs[0]) + static_cast<int64_t>(begin) * s.channels;
  uint32_t* words = static_cast<uint32_t*>(buffers.output) + static_cast<int64_t>(begin) * WordsOf(s.channels);
  if (s.channels % 32 == 0) {  // no gaps between the pixels' words
    s.pack_signs(x, static_cast<int64_t>(end - begin) * s.channels, words);
    return;
  }
  for (int32_t p = begin; p < end; ++p, x += s.channels, words += WordsOf(s.channels)) {
    s.pack_signs(x, s.channels, words);
  }
}

}  // namespace

const Op kQuantize = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                      NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
