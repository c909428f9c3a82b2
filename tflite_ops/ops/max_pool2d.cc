#include "kernels/bits.h"
#include "kernels/max_pool.h"
#include "ops/checks.h"
#include "ops/code_options.h"
#include "ops/ops.h"
#include "ops/options.h"

namespace keras_ste {
namespace {

constexpr const char* kName = "SteMaxPool2D";
constexpr const char* kRoles[kMaxInputs] = {"input", "minimum"};
constexpr int32_t kMost = 1 << 24;

static_assert(sizeof(MaxPool) <= kStateBytes, "kStateBytes is too small");

const MaxPool& StateOf(const void* state) { return *static_cast<const MaxPool*>(state); }

bool Prepare(const uint8_t* bytes, size_t size, const Tensor* inputs, int32_t count, const KernelTable*, void* memory,
             Output* output, Error* error) {
  MaxPool& p = *static_cast<MaxPool*>(memory);
  Options options(kName, bytes, size, error);
  const int32_t version = options.Int("version", 1, 2);
  p.codes = ReadCodes("input", version, &options);
  const int32_t channels = options.Int("channels", 1, kMost);
  p.h.kernel = options.Int("pool_h", 1, kMost);
  p.w.kernel = options.Int("pool_w", 1, kMost);
  p.h.stride = options.Int("stride_h", 1, kMost);
  p.w.stride = options.Int("stride_w", 1, kMost);
  p.h.dilation = p.w.dilation = 1;
  const Padding padding = ReadSamePadding(&options) ? Padding::kSame : Padding::kValid;
  if (!options.ok()) return false;

  Checks checks(kName, kRoles, inputs, count, error);
  if (!checks.Count(1, 2) || !checks.HasType(0, Type::kInt32) || !checks.HasRank(0, 4)) return false;
  if (!checks.HasElements(0)) return false;
  p.batch = inputs[0].dims[0];
  p.h.in = inputs[0].dims[1];
  p.w.in = inputs[0].dims[2];
  p.words = WordsOf(channels);
  const int32_t expected[4] = {p.batch, p.h.in, p.w.in, p.codes.bits * p.words};
  if (!checks.HasShape(0, 4, expected)) return false;
  if (count > 1 && inputs[1].present && !checks.IsConstant(1, Type::kInt32, 1, &p.words)) return false;
  if (!PlaceWindows(padding, &p.h) || !PlaceWindows(padding, &p.w)) {
    return checks.Fail(0, "an image at least as large as the pooling window");
  }
  output->type = Type::kInt32;
  output->rank = 4;
  output->dims[0] = p.batch;
  output->dims[1] = p.h.out;
  output->dims[2] = p.w.out;
  output->dims[3] = expected[3];
  return true;
}

int32_t Units(const void* state) { return StateOf(state).batch * StateOf(state).h.out; }

double Cost(const void* state) {
  const MaxPool& p = StateOf(state);
  return 512.0 * p.batch * p.h.out * p.w.out * p.codes.bits * p.words * p.h.kernel * p.w.kernel;
}

void Run(const void* state, const Buffers& buffers, int32_t begin, int32_t end) {
  PoolRows(StateOf(state), static_cast<const uint32_t*>(buffers.inputs[0]),
           static_cast<const uint32_t*>(buffers.inputs[1]), static_cast<uint32_t*>(buffers.output), begin, end);
}

}  // namespace

const Op kMaxPool2D = {kName,   Prepare, NoBytes,      FillNothing, NoBytes, FillNothing,
                       NoBytes, NoUnits, StageNothing, Units,       Cost,    Run};

}  // namespace keras_ste
