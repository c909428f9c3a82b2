#include "ops/code_options.h"
#include "ops/conv_op.h"
#include "ops/ops.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteFullyConnected";
constexpr int32_t kMost = 1 << 28;  // of units, channels and pixels
constexpr Axis kOneRow = {1, 1, 1, 1, 1, 0};

struct Row {
  int32_t axes, pixels, channels;
};

bool ReadOptions(const uint8_t* bytes, size_t size, Conv* c, Row* row, Error* error) {
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 1, 4);
  const int32_t units = options.Int("units", 1, kMost);
  row->channels = options.Int("channels", 1, kMost);
  row->pixels = options.IntOr("pixels", 1, kMost, 1);
  row->axes = options.IntOr("input_axes", 1, kMaxRank, 1);
  ReadCodeOptions(version, units, &options, c);
  const int32_t row_bits = version < 2 ? 0 : options.IntOr("row_bits", 2, 8, 0);
  c->quantize_rows = row_bits > 0;
  c->row_limit = static_cast<float>((1 << (row_bits > 0 ? row_bits - 1 : 0)) - 1);
  c->row_least = options.FloatOr("row_epsilon", 1e-5f);
  options.Require(c->row_least > 0, "row_epsilon", "is not positive");
  return options.ok();
}

// The last axes of the input are one row: `pixels` of them (whose product that is), then the channels.
bool CheckRow(const Tensor& input, const Row& row, int32_t last, Checks* checks) {
  if (input.rank < row.axes) return checks->Fail(0, "at least input_axes dimensions");
  int32_t pixels = 1;
  for (int32_t d = input.rank - row.axes; d < input.rank - 1; ++d) pixels *= input.dims[d];
  if (pixels != row.pixels) return checks->Fail(0, "rows of as many pixels as option 'pixels' says");
  if (input.dims[input.rank - 1] != last) return checks->Fail(0, "a last dimension that holds 'channels' channels");
  return true;
}

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
             void* memory, Output* output, Error* error) {
  ConvState* state = static_cast<ConvState*>(memory);
  Conv& c = state->conv;
  Row row;
  if (!ReadOptions(bytes, size, &c, &row, error)) return false;

  Checks checks(kName, kConvRoles, inputs, count, error);
  if (!checks.Count(2, MostInputs(c.outputs, kFirstConvConstant)) || !checks.Present(0) || !ReadInputKind(inputs[0], &checks, &c)) return false;
  const Tensor& input = inputs[0];
  if (!checks.HasElements(0)) return false;
  c.channels = row.channels;
  int32_t stride = row.channels, words = 0;
  if (Packed(c) && !Multiply(c.inputs.bits, WordsOf(row.channels), &stride)) return checks.Fail("too many channels");
  if (!CheckRow(input, row, stride, &checks)) return false;

  c.pad_value = 0;
  c.groups = 1;
  c.h = kOneRow;
  c.w = {row.pixels, 1, row.pixels, 1, 1, 0};
  c.batch = 1;
  for (int32_t d = 0; d < input.rank - row.axes; ++d) c.batch *= input.dims[d];
  int32_t products = 0;
  if (!Multiply(row.pixels, row.channels, &products)) return checks.Fail("a row has 2^31 elements or more");
  c.filter_in_taps = Packed(c);
  c.filter_taps = Taps(c);
  c.taps = TapsInOrder(c);
  c.grid = WholeGrid(c);
  c.filter_words = WordsOf(Packed(c) ? c.channels : products);
  if (!Multiply(c.weights.bits, c.filter_words, &words) || !Multiply(Packed(c) ? row.pixels : 1, words, &words)) {
    return checks.Fail("a row has 2^31 elements or more");
  }
  const int32_t filter_dims[2] = {Filters(c), words};
  if (!FinishConv(inputs, 2, filter_dims, kernels, &checks, state)) return false;

  const int32_t rank = input.rank - row.axes + 1;
  int32_t dims[kMaxRank];
  for (int32_t d = 0; d + 1 < rank; ++d) dims[d] = input.dims[d];
  dims[rank - 1] = Filters(c);
  return SetProductOutputs(inputs, kFirstConvConstant, rank, dims, &checks, &c.outputs, output);
}

}  // namespace

const Op kFullyConnected = {kName,          Prepare,          ConvWeightsBytes, ConvFillWeights, ConvTablesBytes,
                            ConvFillTables, ConvScratchBytes, ConvStageUnits,   ConvStage,       ConvUnits,
                            ConvCost,       ConvRun};

}  // namespace keras_ste
