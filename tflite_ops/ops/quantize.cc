#include "kernels/bits.h"
#include "kernels/convert.h"
#include "kernels/kernel_table.h"
#include "kernels/portable/kernels.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteQuantize";
constexpr const char* kRoles[kMaxInputs] = {"input", "multiplier", "bias", "thresholds"};
constexpr int32_t kMost = 1 << 24;

struct State {
  int32_t pixels;
  Convert convert;
  const OutputKernels* kernels;
  const CodeKernels* codes;                                           // null where there are none
  void (*pack_signs)(const float* x, int64_t n, uint32_t* words);  // version 1; else null
};
static_assert(sizeof(State) <= kStateBytes, "kStateBytes is too small");

// Version 1: one bipolar bit of floats.
void ReadSigns(Options* options, Convert* convert) {
  options->Int("bits", 1, 1);
  const char* const bipolar = "bipolar";
  options->OneOf("encoding", &bipolar, 1);
  convert->outputs.kind = OutputKind::kPacked;
  convert->outputs.codes = {1, Encoding::kBipolar};
  convert->outputs.channels = options->Int("channels", 1, INT32_MAX);
}

bool CheckSigns(const Tensor* inputs, Checks* checks, const Convert& convert) {
  if (!checks->Count(1, 1) || !checks->HasType(0, Type::kFloat32) || !checks->HasElements(0)) return false;
  const bool whole = inputs[0].rank > 0 && inputs[0].dims[inputs[0].rank - 1] == convert.outputs.channels;
  return whole || checks->Fail(0, "a last dimension equal to option 'channels'");
}

void ReadConversion(int32_t version, Options* options, Convert* convert) {
  convert->input = ReadNumbers("input", version, options);
  convert->outputs = ReadOutputs(version, options);
  const OutputKind kind = convert->outputs.kind;
  options->Require(kind != OutputKind::kFloat32 && kind != OutputKind::kInt32, "output",
                   "is not \"packed\", \"int8\" or \"int16\"");
  convert->input.channels = convert->outputs.channels = options->Int("channels", 1, kMost);
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  State* state = static_cast<State*>(memory);
  Convert& convert = state->convert;
  state->kernels = OutputKernelsOf(kernels);
  state->codes = kernels == nullptr ? nullptr : kernels->codes;
  state->pack_signs = nullptr;
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 1, 2);
  if (version == 1) {
    ReadSigns(&options, &convert);
    state->pack_signs = kernels == nullptr ? portable::PackSigns : kernels->pack_signs;
  } else {
    ReadConversion(version, &options, &convert);
  }
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (version == 1) {
    if (!CheckSigns(inputs, &checks, convert)) return false;
  } else if (!checks.Count(1, 4) || !CheckNumbers(inputs, 0, true, &checks, &convert.input) ||
             !CheckOutputs(inputs, 1, true, &checks, &convert.outputs)) {
    return false;
  }
  state->pixels = PixelsOf(inputs[0]);
  return SetPixelOutput(inputs[0], OutputType(convert.outputs), OutputStride(convert.outputs), &checks, output);
}

int32_t Units(const void* state) { return static_cast<const State*>(state)->pixels; }

double Cost(const void* state) {
  const State& s = *static_cast<const State*>(state);
  // Signs are packed as fast as floats are read; codes take some twenty instructions each.
  return (s.pack_signs != nullptr ? 64.0 : 1024.0) * s.pixels * s.convert.outputs.channels;
}

void PackSigns(const State& s, const Buffers& buffers, int32_t begin, int32_t end) {
  const int32_t channels = s.convert.outputs.channels;
  const float* x = static_cast<const float*>(buffers.inputs[0]) + static_cast<int64_t>(begin) * channels;
  uint32_t* words = static_cast<uint32_t*>(buffers.output) + static_cast<int64_t>(begin) * WordsOf(channels);
  if (channels % 32 == 0) {  // no gaps between the pixels' words
    s.pack_signs(x, static_cast<int64_t>(end - begin) * channels, words);
    return;
  }
  for (int32_t p = begin; p < end; ++p, x += channels, words += WordsOf(channels)) s.pack_signs(x, channels, words);
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  const State& s = *static_cast<const State*>(state);
  if (s.pack_signs != nullptr) return PackSigns(s, buffers, begin, end);
  const OutputTensors tensors = OutputTensorsOf(buffers, 1);
#if !defined(KERAS_STE_DIRECT_ONLY)
  if (s.codes != nullptr && Unpacks(s.convert, tensors)) {
    return UnpackPixels(s.convert, *s.codes, buffers.inputs[0], buffers.output, begin, end);
  }
  if (Packs(s.convert, tensors)) return PackPixels(s.convert, buffers.inputs[0], buffers.output, begin, end);
#endif
  ConvertPixels(s.convert, buffers.inputs[0], nullptr, *s.kernels, tensors, begin, end);
}

}  // namespace

const Op kQuantize = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                      NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
