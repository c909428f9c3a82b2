#include "ops/code_options.h"
#include "ops/conv_op.h"
#include "ops/ops.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteConv2D";
constexpr int32_t kMost = 1 << 24;  // of channels, filters, kernel, stride and dilation

// The most words of one plane of an input pixel that one group touches.
int32_t MostGroupWords(const Conv& c) {
  int32_t most = 0;
  for (int32_t g = 0; g < c.groups; ++g) {
    const int32_t words = WordsOf((g + 1) * GroupChannels(c)) - GroupFirstWord(c, g);
    if (words > most) most = words;
  }
  return most;
}

bool ReadOptions(const uint8_t* bytes, size_t size, Conv* c, Padding* padding, Error* error) {
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 1, 4);
  c->channels = options.Int("channels", 1, kMost);
  const int32_t filters = options.Int("filters", 1, kMost);
  c->h.kernel = options.Int("kernel_h", 1, kMost);
  c->w.kernel = options.Int("kernel_w", 1, kMost);
  c->h.stride = options.Int("stride_h", 1, kMost);
  c->w.stride = options.Int("stride_w", 1, kMost);
  c->h.dilation = options.Int("dilation_h", 1, kMost);
  c->w.dilation = options.Int("dilation_w", 1, kMost);
  c->groups = options.Int("groups", 1, kMost);
  *padding = ReadPadding(&options);
  c->pad_value = options.Int("pad_value", 0, 1);
  ReadCodeOptions(version, filters, &options, c);
  return options.ok();
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  ConvState* state = static_cast<ConvState*>(memory);
  Conv& c = state->conv;
  Padding padding = Padding::kValid;
  if (!ReadOptions(bytes, size, &c, &padding, error)) return false;

  Checks checks(kName, kConvRoles, inputs, count, error);
  if (!checks.Count(2, MostInputs(c.outputs, kFirstConvConstant)) || !checks.Present(0) || !ReadInputKind(inputs[0], &checks, &c)) return false;
  if (!checks.HasRank(0, 4) || !checks.HasElements(0)) return false;
  c.batch = inputs[0].dims[0];
  c.h.in = inputs[0].dims[1];
  c.w.in = inputs[0].dims[2];
  int32_t stride = 0;
  if (Packed(c) && !Multiply(c.inputs.bits, WordsOf(c.channels), &stride)) return checks.Fail("too many channels");
  const int32_t expected[4] = {c.batch, c.h.in, c.w.in, PixelStride(c)};
  if (!checks.HasShape(0, 4, expected)) return false;
  if (c.channels % c.groups != 0 || Filters(c) % c.groups != 0) {
    return checks.Fail("channels and filters must be multiples of groups");
  }
  if (!PlaceWindows(padding, &c.h) || !PlaceWindows(padding, &c.w)) {
    return checks.Fail(0, "an image at least as large as the dilated kernel");
  }
  int32_t products = 0;
  if (!Multiply(c.h.kernel, c.w.kernel, &products) || !Multiply(products, GroupChannels(c), &products)) {
    return checks.Fail("the kernel has 2^31 weights or more");
  }
  c.filter_in_taps = Packed(c);
  c.filter_taps = Taps(c);
  c.taps = TapsInOrder(c);
  c.grid = WholeGrid(c);
  c.filter_words = Packed(c) ? MostGroupWords(c) : WordsOf(products);
  const int32_t words = c.weights.bits * c.filter_words;
  const int32_t packed_dims[4] = {Filters(c), c.h.kernel, c.w.kernel, words};
  const int32_t unpacked_dims[2] = {Filters(c), words};
  const bool packed = Packed(c);
  if (!FinishConv(inputs, packed ? 4 : 2, packed ? packed_dims : unpacked_dims, kernels, &checks, state)) return false;

  const int32_t dims[4] = {c.batch, c.h.out, c.w.out, Filters(c)};
  return SetProductOutputs(inputs, kFirstConvConstant, 4, dims, &checks, &c.outputs, output);
}

}  // namespace

const Op kConv2D = {kName,          Prepare,          ConvWeightsBytes, ConvFillWeights, ConvTablesBytes,
                    ConvFillTables, ConvScratchBytes, ConvStageUnits,   ConvStage,       ConvUnits,
                    ConvCost,       ConvRun};

}  // namespace keras_ste
