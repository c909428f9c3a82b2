#include "ops/conv_op.h"
#include "ops/ops.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteFullyConnected";
constexpr int32_t kMost = 1 << 28;  // of units, channels and pixels
constexpr Axis kOnePixel = {1, 1, 1, 1, 1, 0};

struct Row {
  int32_t axes, pixels, channels;
};

bool ReadOptions(const uint8_t* bytes, size_t size, Conv* c, Row* row, Error* error) {
  Options options(kName, bytes, size, error);
  options.Int("version", 1, 1);
  c->filters = options.Int("units", 1, kMost);
  row->channels = options.Int("channels", 1, kMost);
  row->pixels = options.IntOr("pixels", 1, kMost, 1);
  row->axes = options.IntOr("input_axes", 1, kMaxRank, 1);
  ReadOutputOptions(&options, c);
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
  if (!checks.Count(2, kMaxInputs) || !checks.Present(0) || !ReadInputKind(inputs[0], &checks, &c)) return false;
  const bool packed = c.input == InputKind::kPacked;
  const Tensor& input = inputs[0];
  if (!checks.HasElements(0)) return false;
  if (!CheckRow(input, row, packed ? WordsOf(row.channels) : row.channels, &checks)) return false;

  c.pad_with_one = false;
  c.groups = 1;
  c.h = c.w = kOnePixel;
  c.batch = 1;
  for (int32_t d = 0; d < input.rank - row.axes; ++d) c.batch *= input.dims[d];
  if (!Multiply(row.pixels, row.channels, &c.channels) ||
      !Multiply(row.pixels, packed ? WordsOf(row.channels) : row.channels, &c.pixel_stride)) {
    return checks.Fail("a row has 2^31 elements or more");
  }
  c.filter_words = packed ? c.pixel_stride : WordsOf(c.channels);
  const int32_t filter_dims[2] = {c.filters, c.filter_words};
  if (!FinishConv(inputs, 2, filter_dims, kernels, &checks, state)) return false;

  output->type = c.packed_output ? Type::kInt32 : Type::kFloat32;
  output->rank = input.rank - row.axes + 1;
  for (int32_t d = 0; d < input.rank - row.axes; ++d) output->dims[d] = input.dims[d];
  output->dims[output->rank - 1] = OutputStride(c);
  return true;
}

}  // namespace

const Op kFullyConnected = {kName,          Prepare, ConvWeightsBytes, ConvFillWeights, ConvTablesBytes, ConvFillTables, NoBytes, NoUnits,
                    StageNothing, ConvUnits, ConvCost, ConvRun};

}  // namespace keras_ste
