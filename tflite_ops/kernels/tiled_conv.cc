#include "kernels/tiled_conv.h"

#include <string.h>

namespace keras_ste {
namespace {

constexpr int32_t kMaxTaps = 256;

size_t Align(size_t bytes) { return (bytes + kTiledAlignment - 1) / kTiledAlignment * kTiledAlignment; }

// Chunks of 32 channels never span two groups, so every group has its own, the last one padded.
int32_t GroupChunks(const Conv& c) { return CeilDiv(GroupFilters(c), kChunk); }
int32_t GroupBlocks(const Conv& c) { return CeilDiv(GroupFilters(c), kBlock); }
int32_t PaddedFilters(const Conv& c) { return c.groups * GroupChunks(c) * kChunk; }
int32_t PaddedChannel(const Conv& c, int32_t group, int32_t channel) {
  return group * GroupChunks(c) * kChunk + channel;
}

bool Packed(const Conv& c) { return c.input == InputKind::kPacked; }
bool WordOutputs(const Conv& c) { return c.groups == 1 || GroupFilters(c) % 32 == 0; }

// Steps of one block: words (packed) or channels (unpacked) under all taps.
int64_t BlockSteps(const Conv& c) {
  return static_cast<int64_t>(Taps(c)) * (Packed(c) ? GroupWords(c, 0) : GroupChannels(c));
}
size_t StepBytes(const Conv& c) { return Packed(c) ? kBlock * sizeof(uint32_t) : sizeof(uint16_t); }
size_t BlocksBytes(const Conv& c) {
  return Align(static_cast<size_t>(c.groups) * GroupBlocks(c) * BlockSteps(c) * StepBytes(c));
}

// The weights memory: blocks, then multiplier and bias, or thresholds, of PaddedFilters() elements.
struct Weights {
  const void* blocks;
  const float* multiplier;
  const float* bias;
  const void* thresholds;
};

Weights WeightsAt(const Conv& c, const void* memory) {
  const char* p = static_cast<const char*>(memory);
  const char* channels = p + BlocksBytes(c);
  const float* multiplier = reinterpret_cast<const float*>(channels);
  return {p, multiplier, multiplier + PaddedFilters(c), channels};
}

bool BitOf(const uint32_t* words, int64_t i) { return (words[i / 32] >> (i % 32)) & 1u; }

void FillPackedBlock(const Conv& c, const uint32_t* filter, int32_t first, int32_t count, uint32_t* block) {
  const int64_t steps = BlockSteps(c);
  const int32_t words = GroupWords(c, 0);
  for (int64_t s = 0; s < steps; ++s) {
    for (int32_t lane = 0; lane < kBlock; ++lane) {
      const int64_t row = static_cast<int64_t>(first + lane) * Taps(c) * c.filter_words;
      block[s * kBlock + lane] = lane < count ? filter[row + s / words * c.filter_words + s % words] : 0;
    }
  }
}

void FillUnpackedBlock(const Conv& c, const uint32_t* filter, int32_t first, int32_t count, uint16_t* block) {
  const int64_t steps = BlockSteps(c);
  for (int64_t s = 0; s < steps; ++s) {
    uint16_t mask = 0;
    for (int32_t lane = 0; lane < count; ++lane) {
      const uint32_t* row = filter + static_cast<int64_t>(first + lane) * c.filter_words;
      if (BitOf(row, s)) mask = static_cast<uint16_t>(mask | 1u << lane);
    }
    block[s] = mask;
  }
}

template <typename T>
void FillChannels(const Conv& c, const T* values, T absent, T padding, T* padded) {
  for (int32_t i = 0; i < PaddedFilters(c); ++i) padded[i] = padding;
  for (int32_t o = 0; o < c.filters; ++o) {
    padded[PaddedChannel(c, o / GroupFilters(c), o % GroupFilters(c))] = values == nullptr ? absent : values[o];
  }
}

// Padding channels never reach their threshold, so that the unused bits of the last word are zero.
void FillThresholds(const Conv& c, const void* thresholds, void* padded) {
  if (c.input == InputKind::kFloat32) {
    FillChannels<float>(c, static_cast<const float*>(thresholds), 0.0f, __builtin_nanf(""),
                        static_cast<float*>(padded));
  } else {
    FillChannels<int32_t>(c, static_cast<const int32_t*>(thresholds), 0, INT32_MAX, static_cast<int32_t*>(padded));
  }
}

// Border classes: window positions with the same taps inside the image share their starting sums.
bool SameRange(TapRange a, TapRange b) { return a.begin == b.begin && a.end == b.end; }

bool HasBorderClasses(const Conv& c) { return Packed(c) && !c.pad_with_one; }

int32_t CountClasses(const Axis& axis) {
  int32_t classes = 1;
  for (int32_t i = 1; i < axis.out; ++i) classes += !SameRange(TapsInside(axis, i), TapsInside(axis, i - 1));
  return classes;
}

// What a tile needs to know of a window position on one axis; kept in a table because finding it takes divisions.
struct Position {
  TapRange inside;
  int32_t border_class;
};

void FillPositions(const Axis& axis, bool distinguish, Position* positions) {
  int32_t current = 0;
  for (int32_t i = 0; i < axis.out; ++i) {
    const TapRange inside = TapsInside(axis, i);
    if (distinguish && i > 0) current += !SameRange(inside, positions[i - 1].inside);
    positions[i] = {inside, current};
  }
}

// The tables memory: this header, then the arrays it points to by offsets.
struct TablesHeader {
  size_t columns, start, padding, end;
  int32_t row_classes, column_classes;
};

struct Tables {
  Position* rows;         // [h.out]
  Position* columns;      // [w.out]
  int32_t* start;         // [row classes][column classes][PaddedFilters]
  void* padding;          // a kernel row of padding pixels
  int32_t column_classes;
};

TablesHeader LayOutTables(const Conv& c) {
  TablesHeader l;
  const bool borders = HasBorderClasses(c);
  l.row_classes = borders ? CountClasses(c.h) : 1;
  l.column_classes = borders ? CountClasses(c.w) : 1;
  l.columns = Align(sizeof(TablesHeader)) + Align(c.h.out * sizeof(Position));
  l.start = l.columns + Align(c.w.out * sizeof(Position));
  l.padding = l.start + Align(sizeof(int32_t) * static_cast<size_t>(l.row_classes) * l.column_classes *
                              PaddedFilters(c));
  l.end = l.padding + Align(sizeof(uint32_t) * static_cast<size_t>(c.pixel_stride) * c.w.kernel);
  return l;
}

Tables TablesAt(void* memory) {
  char* p = static_cast<char*>(memory);
  const TablesHeader& header = *static_cast<const TablesHeader*>(memory);
  Tables t;
  t.rows = reinterpret_cast<Position*>(p + Align(sizeof(TablesHeader)));
  t.columns = reinterpret_cast<Position*>(p + header.columns);
  t.start = reinterpret_cast<int32_t*>(p + header.start);
  t.padding = p + header.padding;
  t.column_classes = header.column_classes;
  return t;
}

template <typename X>
void Fill(int32_t n, X value, void* memory) {
  for (int32_t i = 0; i < n; ++i) static_cast<X*>(memory)[i] = value;
}

void FillPadding(const Conv& c, void* padding) {
  const int32_t one = c.pad_with_one ? 1 : 0;
  const int32_t n = c.pixel_stride * c.w.kernel;
  switch (c.input) {
    case InputKind::kPacked: {
      // Groups are whole words here, so a tail exists only after the last channel of a pixel (or of each of the pixels
      // of a flattened row, which is never padded).
      uint32_t* words = static_cast<uint32_t*>(padding);
      Fill<uint32_t>(n, c.pad_with_one ? 0xFFFFFFFFu : 0u, words);
      if (c.pad_with_one && c.channels % 32 != 0) {
        for (int32_t i = c.pixel_stride - 1; i < n; i += c.pixel_stride) words[i] = BitRange(0, c.channels % 32);
      }
      break;
    }
    case InputKind::kFloat32:
      Fill<float>(n, static_cast<float>(one), padding);
      break;
    case InputKind::kInt8:
      Fill<int8_t>(n, static_cast<int8_t>(c.zero_point + one), padding);
      break;
    case InputKind::kUInt8:
      Fill<uint8_t>(n, static_cast<uint8_t>(c.zero_point + one), padding);
      break;
  }
}

// Sum of the +1 and -1 of one tap of output channel o.
int32_t TapSum(const Conv& c, const uint32_t* filter, int32_t o, int32_t tap) {
  const uint32_t* words = filter + (static_cast<int64_t>(o) * Taps(c) + tap) * c.filter_words;
  int32_t positive = 0;
  for (int32_t i = 0; i < c.filter_words; ++i) positive += static_cast<int32_t>(CountBits(words[i]));
  return 2 * positive - GroupChannels(c);
}

// Where the starting sums of a border class begin.
int64_t StartOf(const Conv& c, const Tables& t, const Position& row, const Position& column) {
  return static_cast<int64_t>(row.border_class * t.column_classes + column.border_class) * PaddedFilters(c);
}

// Packed input: all products positive, minus what the all-minus-one padding pixel takes away for taps that should count
// zero. The kernels then subtract two for every bit that differs.
void FillPackedStart(const Conv& c, const uint32_t* filter, const Tables& t) {
  const int32_t all = Taps(c) * GroupChannels(c);
  int32_t tap_sums[kMaxTaps];
  for (int32_t o = 0; o < c.filters; ++o) {
    int32_t* start = t.start + PaddedChannel(c, o / GroupFilters(c), o % GroupFilters(c));
    if (!HasBorderClasses(c)) {
      *start = all;
      continue;
    }
    for (int32_t tap = 0; tap < Taps(c); ++tap) tap_sums[tap] = TapSum(c, filter, o, tap);
    for (int32_t y = 0; y < c.h.out; ++y) {
      if (y > 0 && t.rows[y].border_class == t.rows[y - 1].border_class) continue;
      const TapRange rows = t.rows[y].inside;
      for (int32_t x = 0; x < c.w.out; ++x) {
        if (x > 0 && t.columns[x].border_class == t.columns[x - 1].border_class) continue;
        const TapRange columns = t.columns[x].inside;
        int32_t sum = all;
        for (int32_t tap = 0; tap < Taps(c); ++tap) {
          const int32_t ky = tap / c.w.kernel, kx = tap % c.w.kernel;
          const bool inside = ky >= rows.begin && ky < rows.end && kx >= columns.begin && kx < columns.end;
          if (!inside) sum += tap_sums[tap];
        }
        start[StartOf(c, t, t.rows[y], t.columns[x])] = sum;
      }
    }
  }
}

// Integer input: what the zero point adds is taken off beforehand, for the padding pixel too.
void FillIntegerStart(const Conv& c, const uint32_t* filter, const Tables& t) {
  const int64_t bits = BlockSteps(c);
  for (int32_t o = 0; o < c.filters; ++o) {
    const uint32_t* row = filter + static_cast<int64_t>(o) * c.filter_words;
    int32_t sum = 0;
    for (int64_t i = 0; i < bits; ++i) sum += BitOf(row, i) ? 1 : -1;
    t.start[PaddedChannel(c, o / GroupFilters(c), o % GroupFilters(c))] = -c.zero_point * sum;
  }
}

// One output pixel of a tile.
struct Pixel {
  const Position* row;
  const Position* column;
  int64_t first_tap;  // offset of tap (0, 0) in the input, which may lie outside the image
};

void FindPixels(const Conv& c, const Tables& t, int32_t first, int32_t count, Pixel* pixels) {
  Place place = PlaceOf(c, first);
  for (int32_t r = 0; r < count; ++r) {
    const int64_t top = static_cast<int64_t>(place.image) * c.h.in + place.y * c.h.stride - c.h.before;
    const int64_t left = place.x * c.w.stride - c.w.before;
    pixels[r] = {t.rows + place.y, t.columns + place.x, (top * c.w.in + left) * c.pixel_stride};
    if (++place.x == c.w.out) {
      place.x = 0;
      if (++place.y == c.h.out) {
        place.y = 0;
        ++place.image;
      }
    }
  }
}

// How the kernels walk a tile: under each of `taps` pointers lie `steps` words or elements. Where no column of the tile's
// windows is padding, the taps of a kernel row lie next to each other, in the input as in the weights, and are one.
struct Walk {
  int32_t taps, steps;
  bool by_rows;
};

Walk WalkOf(const Conv& c, const Pixel* pixels, int32_t rows) {
  const int32_t steps = Packed(c) ? GroupWords(c, 0) : GroupChannels(c);
  bool by_rows = c.groups == 1 && c.w.dilation == 1;
  for (int32_t r = 0; by_rows && r < rows; ++r) {
    by_rows = pixels[r].column->inside.end - pixels[r].column->inside.begin == c.w.kernel;
  }
  if (by_rows) return {c.h.kernel, steps * c.w.kernel, true};
  return {Taps(c), steps, false};
}

// Pointers to the input under every tap of one pixel, `step` apart.
template <typename X>
void PointAtInputs(const Conv& c, const Walk& walk, const X* input, const X* padding, const Pixel& pixel, int32_t step,
                   const X** pointers) {
  const TapRange rows = pixel.row->inside;
  const TapRange columns = pixel.column->inside;
  const int64_t row_step = static_cast<int64_t>(c.h.dilation) * c.w.in * c.pixel_stride;
  const int64_t column_step = static_cast<int64_t>(c.w.dilation) * c.pixel_stride;
  const int32_t columns_walked = walk.by_rows ? 1 : c.w.kernel;
  int64_t row_offset = pixel.first_tap;
  for (int32_t ky = 0; ky < c.h.kernel; ++ky, row_offset += row_step) {
    const bool row_inside = ky >= rows.begin && ky < rows.end;
    int64_t offset = row_offset;
    for (int32_t kx = 0; kx < columns_walked; ++kx, pointers += step, offset += column_step) {
      const bool inside = row_inside && (walk.by_rows || (kx >= columns.begin && kx < columns.end));
      *pointers = inside ? input + offset : padding;
    }
  }
}

template <typename X>
void PointAtTile(const Conv& c, const Walk& walk, const void* input, const void* padding, const Pixel* pixels,
                 int32_t rows, int32_t group_offset, const X** pointers) {
  for (int32_t r = 0; r < rows; ++r) {
    PointAtInputs(c, walk, static_cast<const X*>(input) + group_offset, static_cast<const X*>(padding) + group_offset,
                  pixels[r], rows, pointers + r);
  }
}

// Puts the bits of one chunk into a pixel's words. Chunks of whole words own them; others share them with the chunks of
// neighbouring groups, which the same unit computes.
void StoreBits(uint32_t* words, int32_t first_channel, uint32_t bits, bool whole_words) {
  uint32_t* word = words + first_channel / 32;
  if (whole_words) {
    *word = bits;
    return;
  }
  const int32_t shift = first_channel % 32;
  *word |= bits << shift;
  const uint32_t carried = shift == 0 ? 0 : bits >> (32 - shift);
  if (carried != 0) word[1] |= carried;
}

struct Run {
  const Conv& c;
  const KernelTable& k;
  Weights weights;
  Tables tables;
  const void* input;
  void* output;

  void Scale(const int32_t* sums, const float* m, const float* b, int32_t n, float* out) const {
    k.output.scale_int32(sums, m, b, c.activation_min, c.activation_max, n, out);
  }
  void Scale(const float* sums, const float* m, const float* b, int32_t n, float* out) const {
    k.output.scale_float(sums, m, b, c.activation_min, c.activation_max, n, out);
  }
  uint32_t Threshold(const int32_t* sums, int32_t padded) const {
    return k.output.threshold_int32(sums, static_cast<const int32_t*>(weights.thresholds) + padded);
  }
  uint32_t Threshold(const float* sums, int32_t padded) const {
    return k.output.threshold_float(sums, static_cast<const float*>(weights.thresholds) + padded);
  }

  // Writes one chunk of channels of `rows` pixels from their sums.
  template <typename Sum>
  void Store(const Sum* sums, int32_t first_pixel, int32_t rows, int32_t group, int32_t chunk) const {
    const int32_t channel = group * GroupFilters(c) + chunk * kChunk;
    const int32_t padded = PaddedChannel(c, group, chunk * kChunk);
    const int32_t left = GroupFilters(c) - chunk * kChunk;
    const int32_t count = left < kChunk ? left : kChunk;
    const int64_t stride = OutputStride(c);
    for (int32_t r = 0; r < rows; ++r) {
      const Sum* row = sums + r * kChunk;
      if (c.packed_output) {
        uint32_t* words = static_cast<uint32_t*>(output) + (first_pixel + r) * stride;
        StoreBits(words, channel, Threshold(row, padded), WordOutputs(c));
      } else {
        float* floats = static_cast<float*>(output) + (first_pixel + r) * stride + channel;
        Scale(row, weights.multiplier + padded, weights.bias + padded, count, floats);
      }
    }
  }

  void PackedChunk(const Walk& walk, const uint32_t* const* pointers, const int32_t* const* starts,
                   int32_t first_pixel, int32_t rows, int32_t group, int32_t chunk) const {
    const int32_t block = chunk * 2;
    const int32_t blocks = GroupBlocks(c) - block < 2 ? 1 : 2;
    const int64_t block_words = BlockSteps(c) * kBlock;
    const uint32_t* w = static_cast<const uint32_t*>(weights.blocks) + (group * GroupBlocks(c) + block) * block_words;
    const int32_t* chunk_starts[kMaxTileRows];
    const int32_t padded = PaddedChannel(c, group, chunk * kChunk);
    for (int32_t r = 0; r < rows; ++r) chunk_starts[r] = starts[r] + padded;
    alignas(64) int32_t sums[kMaxTileRows * kChunk];
    if (blocks == 1) ClearSecondBlock(sums, rows);
    k.bitdot[blocks - 1][rows](pointers, walk.taps, walk.steps, w, block_words, chunk_starts, sums);
    Store(sums, first_pixel, rows, group, chunk);
  }

  template <typename X, typename Sum>
  void UnpackedChunk(const SignSum<X, Sum>* by_rows, const Walk& walk, const X* const* pointers, const Sum* start,
                     int32_t first_pixel, int32_t rows, int32_t group, int32_t chunk) const {
    const int32_t block = chunk * 2;
    const int32_t blocks = GroupBlocks(c) - block < 2 ? 1 : 2;
    alignas(64) Sum sums[kMaxTileRows * kChunk];
    if (blocks == 1) ClearSecondBlock(sums, rows);
    for (int32_t b = 0; b < blocks; ++b) {
      const uint16_t* w = static_cast<const uint16_t*>(weights.blocks) +
                          (group * GroupBlocks(c) + block + b) * BlockSteps(c);
      const Sum* block_start =
          start == nullptr ? nullptr : start + PaddedChannel(c, group, chunk * kChunk + b * kBlock);
      by_rows[rows](pointers, walk.taps, walk.steps, w, block_start, sums + b * kBlock);
    }
    Store(sums, first_pixel, rows, group, chunk);
  }

  template <typename Sum>
  static void ClearSecondBlock(Sum* sums, int32_t rows) {
    for (int32_t r = 0; r < rows; ++r) memset(sums + r * kChunk + kBlock, 0, kBlock * sizeof(Sum));
  }

  void ClearSharedWords(int32_t first_pixel, int32_t rows) const {
    if (!c.packed_output || WordOutputs(c)) return;
    const int64_t stride = OutputStride(c);
    memset(static_cast<uint32_t*>(output) + first_pixel * stride, 0, rows * stride * sizeof(uint32_t));
  }

  void PackedTile(const Pixel* pixels, int32_t first_pixel, int32_t rows, int32_t begin_chunk,
                  int32_t end_chunk) const {
    const Walk walk = WalkOf(c, pixels, rows);
    const uint32_t* pointers[kMaxTaps * kMaxTileRows];
    const int32_t* starts[kMaxTileRows];
    for (int32_t r = 0; r < rows; ++r) {
      starts[r] = tables.start + StartOf(c, tables, *pixels[r].row, *pixels[r].column);
    }
    for (int32_t group = begin_chunk / GroupChunks(c); group * GroupChunks(c) < end_chunk; ++group) {
      PointAtTile(c, walk, input, tables.padding, pixels, rows, GroupFirstWord(c, group), pointers);
      for (int32_t chunk = 0; chunk < GroupChunks(c); ++chunk) {
        const int32_t index = group * GroupChunks(c) + chunk;
        if (index < begin_chunk || index >= end_chunk) continue;
        PackedChunk(walk, pointers, starts, first_pixel, rows, group, chunk);
      }
    }
  }

  template <typename X, typename Sum>
  void UnpackedTile(const SignSum<X, Sum>* by_rows, const Sum* start, const Pixel* pixels, int32_t first_pixel,
                    int32_t rows, int32_t begin_chunk, int32_t end_chunk) const {
    const Walk walk = WalkOf(c, pixels, rows);
    const X* pointers[kMaxTaps * kMaxTileRows];
    for (int32_t group = begin_chunk / GroupChunks(c); group * GroupChunks(c) < end_chunk; ++group) {
      PointAtTile(c, walk, input, tables.padding, pixels, rows, group * GroupChannels(c), pointers);
      for (int32_t chunk = 0; chunk < GroupChunks(c); ++chunk) {
        const int32_t index = group * GroupChunks(c) + chunk;
        if (index < begin_chunk || index >= end_chunk) continue;
        UnpackedChunk<X, Sum>(by_rows, walk, pointers, start, first_pixel, rows, group, chunk);
      }
    }
  }

  void Tile(int32_t first_pixel, int32_t rows, int32_t begin_chunk, int32_t end_chunk) const {
    ClearSharedWords(first_pixel, rows);
    Pixel pixels[kMaxTileRows];
    FindPixels(c, tables, first_pixel, rows, pixels);
    switch (c.input) {
      case InputKind::kPacked:
        PackedTile(pixels, first_pixel, rows, begin_chunk, end_chunk);
        break;
      case InputKind::kFloat32:
        UnpackedTile<float, float>(k.signsum_float, nullptr, pixels, first_pixel, rows, begin_chunk, end_chunk);
        break;
      case InputKind::kInt8:
        UnpackedTile<int8_t, int32_t>(k.signsum_int8, tables.start, pixels, first_pixel, rows, begin_chunk,
                                       end_chunk);
        break;
      case InputKind::kUInt8:
        UnpackedTile<uint8_t, int32_t>(k.signsum_uint8, tables.start, pixels, first_pixel, rows, begin_chunk,
                                       end_chunk);
        break;
    }
  }
};

int32_t TileRows(const Conv& c, const KernelTable& k) { return Packed(c) ? k.bitdot_rows : k.signsum_rows; }

// One tile of pixels would leave the other threads idle: then the units are chunks of channels.
bool UnitsAreChunks(const Conv& c, const KernelTable& k) {
  return OutputPixels(c) <= TileRows(c, k) && WordOutputs(c);
}

bool PadPixelFits(const Conv& c) {
  if (!c.pad_with_one) return true;
  if (c.input == InputKind::kInt8) return c.zero_point < INT8_MAX;
  if (c.input == InputKind::kUInt8) return c.zero_point < UINT8_MAX;
  return true;
}

}  // namespace

bool CanTile(const Conv& c) {
  if (c.groups > 1 && Packed(c) && GroupChannels(c) % 32 != 0) return false;
  return static_cast<int64_t>(c.h.kernel) * c.w.kernel <= kMaxTaps && PadPixelFits(c);
}

size_t TiledWeightsBytes(const Conv& c) {
  return BlocksBytes(c) + Align(2 * sizeof(float) * static_cast<size_t>(PaddedFilters(c)));
}

void FillTiledWeights(const Conv& c, const ConvConstants& k, void* memory) {
  char* p = static_cast<char*>(memory);
  for (int32_t group = 0; group < c.groups; ++group) {
    for (int32_t block = 0; block < GroupBlocks(c); ++block) {
      const int32_t first = group * GroupFilters(c) + block * kBlock;
      const int32_t left = GroupFilters(c) - block * kBlock;
      const int32_t count = left < kBlock ? left : kBlock;
      void* at = p + (group * GroupBlocks(c) + block) * BlockSteps(c) * StepBytes(c);
      if (Packed(c)) {
        FillPackedBlock(c, k.filter, first, count, static_cast<uint32_t*>(at));
      } else {
        FillUnpackedBlock(c, k.filter, first, count, static_cast<uint16_t*>(at));
      }
    }
  }
  char* channels = p + BlocksBytes(c);
  if (c.packed_output) {
    FillThresholds(c, k.thresholds, channels);
  } else {
    float* multiplier = reinterpret_cast<float*>(channels);
    FillChannels<float>(c, k.multiplier, 1.0f, 0.0f, multiplier);
    FillChannels<float>(c, k.bias, 0.0f, 0.0f, multiplier + PaddedFilters(c));
  }
}

size_t TiledTablesBytes(const Conv& c) { return LayOutTables(c).end; }

void FillTiledTables(const Conv& c, const ConvConstants& k, void* memory) {
  const TablesHeader header = LayOutTables(c);
  memset(memory, 0, header.end);
  *static_cast<TablesHeader*>(memory) = header;
  const Tables t = TablesAt(memory);
  FillPositions(c.h, HasBorderClasses(c), t.rows);
  FillPositions(c.w, HasBorderClasses(c), t.columns);
  FillPadding(c, t.padding);
  if (Packed(c)) {
    FillPackedStart(c, k.filter, t);
  } else if (c.input != InputKind::kFloat32) {
    FillIntegerStart(c, k.filter, t);
  }
}

int32_t TiledUnits(const Conv& c, const KernelTable& k) {
  if (UnitsAreChunks(c, k)) return c.groups * GroupChunks(c);
  return CeilDiv(OutputPixels(c), TileRows(c, k));
}

void TiledConv(const Conv& c, const KernelTable& k, const void* weights, const void* memory, const void* input,
               void* output, int32_t begin, int32_t end) {
  const Tables tables = TablesAt(const_cast<void*>(memory));
  const Run run = {c, k, WeightsAt(c, weights), tables, input, output};
  const int32_t chunks = c.groups * GroupChunks(c);
  const int32_t pixels = OutputPixels(c);
  if (UnitsAreChunks(c, k)) {
    run.Tile(0, pixels, begin, end);
    return;
  }
  const int32_t tile = TileRows(c, k);
  for (int32_t unit = begin; unit < end; ++unit) {
    const int32_t first = unit * tile;
    run.Tile(first, pixels - first < tile ? pixels - first : tile, 0, chunks);
  }
}

}  // namespace keras_ste
