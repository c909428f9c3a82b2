#include "kernels/row_conv.h"

#include <string.h>

#include "kernels/choice.h"
#include "kernels/code_kernels.h"
#include "kernels/product.h"

namespace keras_ste {
namespace {

constexpr int32_t kStep = 4;             // bytes of a lane
constexpr int32_t kUnitPixels = 64;      // at most, of a unit
constexpr double kMostStaged = 1e12;     // bytes

int32_t Steps(const Conv& c) { return CeilDiv(c.w.kernel * c.channels, kStep); }  // of one row of the kernel
int32_t Blocks(const Conv& c) { return CeilDiv(Filters(c), kBlock); }
int64_t BlockBytes(const Conv& c) { return static_cast<int64_t>(c.h.kernel) * Steps(c) * kBlock * kStep; }
size_t StartBytes(const Conv& c) {
  return AlignedBytes(static_cast<size_t>(CeilDiv(Filters(c), kChunk)) * kChunk * sizeof(int32_t));
}

// Inputs are staged as unsigned bytes: an int8 is 128 more.
int32_t Moved(const Conv& c) { return c.input == InputKind::kInt8 ? 128 : 0; }
int32_t PadByte(const Conv& c) { return c.zero_point + c.pad_value + Moved(c); }

// From the first place that a window covers to the last.
int32_t Covered(const Axis& a) { return (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1; }
int64_t RowBytes(const Conv& c) { return static_cast<int64_t>(Covered(c.w)) * c.channels; }

bool WeightsAreSignedBytes(const Codes& c) {
  return c.bits < 8 || c.encoding == Encoding::kSigned;
}

struct Unit {
  int32_t image, y, x, pixels;
};

int32_t UnitsOfRow(const Conv& c) { return CeilDiv(c.w.out, kUnitPixels); }

Unit UnitAt(const Conv& c, int32_t unit) {
  const int32_t parts = UnitsOfRow(c), row = unit / parts, pixels = CeilDiv(c.w.out, parts);
  const int32_t x = unit % parts * pixels, left = c.w.out - x;
  return {row / c.h.out, row % c.h.out, x, left < pixels ? left : pixels};
}

struct Run {
  const Conv& c;
  const KernelTable& k;
  const char* weights;
  const uint8_t* staged;
  const OutputPlan& outputs;

  ByteRow RowOf(const Unit& u) const {
    const int64_t row_bytes = RowBytes(c), row = static_cast<int64_t>(u.image) * Covered(c.h) + u.y * c.h.stride;
    ByteRow r = {};
    r.inputs = staged + row * row_bytes + static_cast<int64_t>(u.x) * c.w.stride * c.channels;
    r.pixel_step = static_cast<int64_t>(c.w.stride) * c.channels;
    r.tap_step = c.h.dilation * row_bytes;
    r.taps = c.h.kernel;
    r.steps = Steps(c);
    r.block_stride = BlockBytes(c);
    return r;
  }

  // Calls run(row, first pixel, pixels) for as few tiles as can be, of as many pixels each as the others.
  template <typename F>
  void EveryTile(ByteRow row, int32_t pixels, const F& run) const {
    const int32_t most = CeilDiv(pixels, CeilDiv(pixels, k.codes->byterow_rows));
    for (int32_t first = 0; first < pixels; first += most) {
      const int32_t count = pixels - first < most ? pixels - first : most;
      run(row, first, count);
      row.inputs += count * row.pixel_step;
    }
  }

  void Floats(const ByteRow& row, const Unit& u, int32_t channel, int32_t blocks) const {
    EveryTile(row, u.pixels, [&](const ByteRow& tile, int32_t first, int32_t count) {
      int64_t places[kMaxTileRows];
      for (int32_t r = 0; r < count; ++r) places[r] = OutputIndex(c, u.image, u.y, u.x + first + r) * Filters(c);
      const CombinedRows rows = {count, channel, blocks * kBlock, places, nullptr, nullptr, nullptr, nullptr, nullptr};
      k.codes->byterow_floats[blocks - 1][count](tile, outputs.steps, outputs.count + outputs.ends, rows);
    });
  }

  void Sums(const ByteRow& row, const Unit& u, int32_t channel, int32_t blocks) const {
    const int32_t left = Filters(c) - channel;
    alignas(64) int32_t sums[kMaxTileRows * kChunk] = {};  // lanes behind the last block are compared with thresholds
    EveryTile(row, u.pixels, [&](const ByteRow& tile, int32_t first, int32_t count) {
      int64_t pixels[kMaxTileRows];
      for (int32_t r = 0; r < count; ++r) pixels[r] = OutputIndex(c, u.image, u.y, u.x + first + r);
      k.codes->byterow_sums[blocks - 1][count](tile, sums);
      StoreChunk(outputs, sums, nullptr, count, channel, left < kChunk ? left : kChunk, pixels);
    });
  }

  void RunUnit(const Unit& u) const {
    ByteRow row = RowOf(u);
    const int32_t* start = reinterpret_cast<const int32_t*>(weights);
    const int8_t* first = reinterpret_cast<const int8_t*>(weights + StartBytes(c));
    const bool floats = OnlyScaled(c.outputs) && Filters(c) % kBlock == 0;
    for (int32_t block = 0; block < Blocks(c); block += 2) {
      row.start = start + block * kBlock;
      row.weights = first + block * BlockBytes(c);
      const int32_t blocks = Blocks(c) - block < 2 ? 1 : 2;
      if (floats) {
        Floats(row, u, block * kBlock, blocks);
      } else {
        Sums(row, u, block * kBlock, blocks);
      }
    }
  }
};

}  // namespace

bool ChooseRowConv(const Conv& c, const KernelTable& kernels) {
  if (c.input != InputKind::kInt8 && c.input != InputKind::kUInt8) return false;
  if (c.groups > 1 || c.filter_in_taps || (c.w.dilation > 1 && c.w.kernel > 1)) return false;
  if (!WeightsAreSignedBytes(c.weights) || PadByte(c) < 0 || PadByte(c) > UINT8_MAX) return false;
  if (static_cast<double>(c.batch) * Covered(c.h) * RowBytes(c) > kMostStaged) return false;
  return ChooseRows(*kernels.codes, c.weights, c.channels, c.w.out);
}

size_t RowWeightsBytes(const Conv& c) {
  return StartBytes(c) + static_cast<size_t>(Blocks(c)) * static_cast<size_t>(BlockBytes(c));
}

void FillRowWeights(const Conv& c, const void* filter, void* weights) {
  memset(weights, 0, RowWeightsBytes(c));
  int32_t* start = static_cast<int32_t*>(weights);
  int8_t* blocks = reinterpret_cast<int8_t*>(static_cast<char*>(weights) + StartBytes(c));
  const int32_t run = c.w.kernel * c.channels;
  for (int32_t o = 0; o < Filters(c); ++o) {
    const CodeRow row = RowAt(RowsOf(c, filter, 0), o);
    int8_t* lane = blocks + o / kBlock * BlockBytes(c) + o % kBlock * kStep;
    int32_t sum = 0;
    for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
      for (int32_t i = 0; i < run; ++i) {
        const int32_t worth = WorthAt(c.weights, row, ky * run + i);
        sum += worth;
        const int64_t step = static_cast<int64_t>(ky) * Steps(c) + i / kStep;
        lane[step * kBlock * kStep + i % kStep] = static_cast<int8_t>(worth);
      }
    }
    start[o] = -(c.zero_point + Moved(c)) * sum;
  }
}

// Tiles read up to a step beyond the last row.
size_t RowScratchBytes(const Conv& c) {
  return static_cast<size_t>(c.batch) * static_cast<size_t>(Covered(c.h)) * static_cast<size_t>(RowBytes(c)) + kStep;
}

int32_t RowStageUnits(const Conv& c) { return c.batch * Covered(c.h); }

void RowStage(const Conv& c, const KernelTable& kernels, const void* input, void* scratch, int32_t begin, int32_t end) {
  const int64_t row_bytes = RowBytes(c), before = static_cast<int64_t>(c.w.before) * c.channels;
  const int64_t image_bytes = static_cast<int64_t>(c.w.in) * c.channels, behind = row_bytes - before;
  const int64_t inside = image_bytes < behind ? image_bytes : behind;
  const int8_t flip = c.input == InputKind::kInt8 ? INT8_MIN : 0;
  for (int32_t unit = begin; unit < end; ++unit) {
    const int32_t image = unit / Covered(c.h), y = unit % Covered(c.h) - c.h.before;
    int8_t* out = static_cast<int8_t*>(scratch) + unit * row_bytes;
    if (y < 0 || y >= c.h.in || inside <= 0) {
      memset(out, PadByte(c), static_cast<size_t>(row_bytes));
      continue;
    }
    const int8_t* row = static_cast<const int8_t*>(input) + (static_cast<int64_t>(image) * c.h.in + y) * image_bytes;
    memset(out, PadByte(c), static_cast<size_t>(before));
    for (int64_t i = 0; i < inside; i += kMaxByteDotK) {
      const int64_t count = inside - i < kMaxByteDotK ? inside - i : kMaxByteDotK;
      kernels.codes->flip_bytes(row + i, static_cast<int32_t>(count), flip, out + before + i);
    }
    memset(out + before + inside, PadByte(c), static_cast<size_t>(behind - inside));
  }
}

int32_t RowUnits(const Conv& c) { return c.batch * c.h.out * UnitsOfRow(c); }

void RowConv(const Conv& c, const KernelTable& k, const ConvTensors& tensors, const void* weights, const void* scratch,
             int32_t begin, int32_t end) {
  const OutputPlan outputs = PlanOutputs(c.outputs, k.output, tensors.outputs, false);
  const Run run = {c, k, static_cast<const char*>(weights), static_cast<const uint8_t*>(scratch), outputs};
  for (int32_t unit = begin; unit < end; ++unit) run.RunUnit(UnitAt(c, unit));
}

}  // namespace keras_ste
