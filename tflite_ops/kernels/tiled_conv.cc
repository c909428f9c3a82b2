#include "kernels/tiled_conv.h"

#include <string.h>

#include "kernels/choice.h"
#include "kernels/staged_input.h"

namespace keras_ste {
namespace {

constexpr int32_t kMaxPointers = 2048;        // of one tile
constexpr size_t kCachedWeights = 256 << 10;  // bytes of weights that stay near while the tiles pass
constexpr int32_t kFewUnits = 32;             // of fewer, threads would wait for the one that has the largest part
constexpr double kMostStaged = 1e12;          // elements

// Chunks of 32 channels never span two groups.
int32_t GroupChunks(const Conv& c) { return CeilDiv(GroupFilters(c), kChunk); }
int32_t PaddedFilters(const Conv& c) { return c.groups * GroupChunks(c) * kChunk; }

// Where all taps of a kernel row lie next to each other, in the staged input as in the weights, they are one.
bool ByRows(const Conv& c) { return c.groups == 1 && (c.w.dilation == 1 || c.w.kernel == 1); }

bool SharedWords(const Conv& c) { return c.groups > 1 && GroupChannels(c) % 32 != 0; }

// The words of a pixel that any group reads.
int32_t GroupWords(const Conv& c) {
  if (c.groups == 1) return WordsOf(c.channels);
  return SharedWords(c) ? c.filter_words : GroupChannels(c) / 32;
}

Product ProductOf(const Conv& c, Way way) {
  const bool by_rows = ByRows(c);
  const int32_t pieces = by_rows ? c.w.kernel : 1;
  Product p = {};
  p.way = way;
  p.weights = c.weights;
  p.inputs = c.inputs;
  p.zero_point = c.zero_point;
  p.taps = by_rows ? c.h.kernel : Taps(c);
  p.count = GroupChannels(c) * pieces;
  p.words = GroupWords(c) * pieces;
  p.shared_words = SharedWords(c);
  p.outputs = GroupFilters(c);
  return p;
}

Filter FilterOf(const Conv& c, const void* filter, int32_t group) {
  const int64_t stride = FilterRows(c), first = static_cast<int64_t>(group) * GroupFilters(c) * stride + TapRow(c, 0, 0);
  const int32_t pieces = ByRows(c) ? c.w.kernel : 1;
  return {RowsOf(c, filter, group), first, stride, c.filter_in_taps, pieces, c.w.kernel, c.taps.row, c.taps.column};
}

// -- Tables: the starting sums --

// Window positions with the same taps inside the image share them. Only where a padding pixel is not worth what it should be
// do they differ.
bool HasBorderClasses(const Conv& c) {
  const bool padded = TapsInside(c.h, 0).begin > 0 || TapsInside(c.w, 0).begin > 0 ||
                      TapsInside(c.h, c.h.out - 1).end < c.h.kernel || TapsInside(c.w, c.w.out - 1).end < c.w.kernel;
  return padded && !PadCodeOf(c).exact;
}

bool SameRange(TapRange a, TapRange b) { return a.begin == b.begin && a.end == b.end; }

// The class of each window position, and their number.
int32_t FillClasses(const Axis& axis, int32_t* classes) {
  int32_t last = 0;
  for (int32_t i = 0; i < axis.out; ++i) {
    if (i > 0) last += !SameRange(TapsInside(axis, i), TapsInside(axis, i - 1));
    if (classes != nullptr) classes[i] = last;
  }
  return last + 1;
}

// The tables memory: this header, then arrays.
struct TablesHeader {
  size_t columns, start, end;
  int32_t column_classes;
};

TablesHeader LayOutTables(const Conv& c) {
  TablesHeader t;
  const bool borders = HasBorderClasses(c);
  const int32_t row_classes = borders ? FillClasses(c.h, nullptr) : 1;
  t.column_classes = borders ? FillClasses(c.w, nullptr) : 1;
  const size_t rows = AlignedBytes(sizeof(TablesHeader));
  t.columns = rows + (borders ? AlignedBytes(c.h.out * sizeof(int32_t)) : 0);
  t.start = t.columns + (borders ? AlignedBytes(c.w.out * sizeof(int32_t)) : 0);
  t.end = t.start + sizeof(int32_t) * static_cast<size_t>(row_classes) * t.column_classes * PaddedFilters(c);
  return t;
}

struct Tables {
  int32_t* row_classes;     // [h.out]; without border classes this and the next are null
  int32_t* column_classes;  // [w.out]
  int32_t* start;           // [row classes][column classes][PaddedFilters]
  int32_t columns;

  int64_t Class(int32_t y, int32_t x) const {
    return row_classes == nullptr ? 0 : row_classes[y] * columns + column_classes[x];
  }
};

Tables TablesAt(const Conv& c, void* memory) {
  char* p = static_cast<char*>(memory);
  const TablesHeader& t = *static_cast<const TablesHeader*>(memory);
  const bool borders = HasBorderClasses(c);
  return {borders ? reinterpret_cast<int32_t*>(p + AlignedBytes(sizeof(TablesHeader))) : nullptr,
          borders ? reinterpret_cast<int32_t*>(p + t.columns) : nullptr, reinterpret_cast<int32_t*>(p + t.start),
          t.column_classes};
}

// What the padding pixels add that they should not, for a window whose taps `rows` and `columns` are inside.
int32_t PaddingSum(const Conv& c, const Product& p, const Filter& f, int32_t output, TapRange rows, TapRange columns) {
  const int32_t excess = Worth(c.inputs, PadCodeOf(c).number) - c.zero_point - c.pad_value;
  int32_t sum = 0;
  for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
    for (int32_t kx = 0; kx < c.w.kernel; ++kx) {
      const bool inside = ky >= rows.begin && ky < rows.end && kx >= columns.begin && kx < columns.end;
      if (!inside) sum += excess * TotalsOfPiece(p, f, output, ky * c.w.kernel + kx).worth;
    }
  }
  return sum;
}

void FillStart(const Conv& c, const Product& p, const Filter& f, int32_t group, int32_t output, const Tables& t) {
  const int32_t padded = group * GroupChunks(c) * kChunk + output;
  const int32_t start = StartOf(p, TotalsOf(p, f, output));
  if (t.row_classes == nullptr) {
    t.start[padded] = start;
    return;
  }
  for (int32_t y = 0; y < c.h.out; ++y) {
    if (y > 0 && t.row_classes[y] == t.row_classes[y - 1]) continue;
    for (int32_t x = 0; x < c.w.out; ++x) {
      if (x > 0 && t.column_classes[x] == t.column_classes[x - 1]) continue;
      const int32_t padding = PaddingSum(c, p, f, output, TapsInside(c.h, y), TapsInside(c.w, x));
      t.start[t.Class(y, x) * PaddedFilters(c) + padded] = start - padding;
    }
  }
}

// -- Tiles --

// The output pixels that are computed together. Always kMaxTileRows of them are written, from any of the first kMaxTileRows
// on, for a loop of a known length is a few instructions: those behind the last pixel mean nothing.
constexpr int32_t kTilePlaces = 2 * kMaxTileRows;
struct Tile {
  int32_t rows;
  int64_t first_tap[kTilePlaces];      // of the staged input, in elements
  int64_t first_sum[kTilePlaces];      // the staged pixel under the first tap, where bytes are added up
  const int32_t* start[kTilePlaces];   // starting sums of all chunks
  float scales[kTilePlaces];           // where rows are quantized
  int64_t outputs[kTilePlaces];        // their numbers
};

// Where the tiles are: what belongs to the next pixel.
struct Cursor {
  Place place;
  int64_t tap, sum;
  int64_t output;
  const int32_t* start;  // of the first column of its row
};

struct Run {
  const Conv& c;
  const Product p;
  const StagedInput s;
  const KernelTable& k;
  const OutputPlan& outputs;
  const char* weights;
  Tables tables;
  const void* staged;
  const int32_t* sums;   // of the staged bytes under kernel rows, or null
  const float* scales;   // of the images, or null

  Cursor CursorAt(const Place& place) const {
    const int64_t row = static_cast<int64_t>(place.y) * c.h.stride, column = static_cast<int64_t>(place.x) * c.w.stride;
    Cursor at = {place, 0, 0, 0, tables.start};
    at.tap = place.image * s.image_step + row * s.row_step + column * s.column_step;
    at.sum = (static_cast<int64_t>(place.image) * s.height + row) * s.width + column;
    at.output = OutputIndex(c, place.image, place.y, place.x);
    if (tables.row_classes != nullptr) at.start += tables.Class(place.y, 0) * padded_filters;
    return at;
  }

  // `count` pixels of one row of an image as the tile's rows from `first` on; moves the cursor behind them.
  void FindInRow(Cursor* at, int32_t first, int32_t count, Tile* tile) const {
    const int64_t tap = at->tap, tap_each = tap_step, output = at->output, output_each = output_step;  // the tile is not these
    for (int32_t i = 0; i < kMaxTileRows; ++i) tile->first_tap[first + i] = tap + i * tap_each;
    for (int32_t i = 0; i < kMaxTileRows; ++i) tile->outputs[first + i] = output + i * output_each;
    if (tables.column_classes == nullptr) {
      for (int32_t i = 0; i < kMaxTileRows; ++i) tile->start[first + i] = at->start;
    } else {
      const int32_t* classes = tables.column_classes + at->place.x;
      const int32_t* start = at->start + static_cast<int64_t>(classes[0]) * padded_filters;
      for (int32_t i = 0; i < kMaxTileRows; ++i) tile->start[first + i] = start;
      // Classes ascend: between two that are equal there is no other.
      for (int32_t i = 1; classes[0] != classes[count - 1] && i < count; ++i) {
        tile->start[first + i] = at->start + static_cast<int64_t>(classes[i]) * padded_filters;
      }
    }
    if (sums != nullptr) {
      for (int32_t i = 0; i < kMaxTileRows; ++i) tile->first_sum[first + i] = at->sum + i * c.w.stride;
    }
    if (scales != nullptr) {
      for (int32_t i = 0; i < kMaxTileRows; ++i) tile->scales[first + i] = scales[at->place.image];
    }
    at->place.x += count;
    at->tap += count * tap_step;
    at->sum += count * c.w.stride;
    at->output += count * output_step;
  }

  // The next `count` pixels.
  void FindPixels(Cursor* at, int32_t count, Tile* tile) const {
    tile->rows = count;
    for (int32_t r = 0; r < count;) {
      const int32_t left = c.w.out - at->place.x, n = count - r < left ? count - r : left;
      FindInRow(at, r, n, tile);
      r += n;
      Place& place = at->place;
      if (place.x < c.w.out) continue;
      place.x = 0;
      if (++place.y == c.h.out) {
        place.y = 0;
        ++place.image;
      }
      *at = CursorAt(place);
    }
  }

  // Pointers to the staged input, from `offset` on in each pixel, under all taps of the tile; behind the last there are up to
  // kMaxTileRows that mean nothing.
  template <typename X>
  void PointAtTile(const Tile& tile, int64_t offset, const X** pointers) const {
    const X* base = static_cast<const X*>(staged) + offset;
    const int64_t row_step = c.h.dilation * s.row_step, column_step = c.w.dilation * s.column_step;
    for (int32_t plane = 0; plane < s.planes; ++plane, base += s.plane_step) {
      const X* row = base;
      for (int32_t ky = 0; ky < c.h.kernel; ++ky, row += row_step) {
        const X* tap = row;
        for (int32_t kx = 0; kx < tap_columns; ++kx, tap += column_step, pointers += tile.rows) {
          for (int32_t r = 0; r < kMaxTileRows; ++r) pointers[r] = tap + tile.first_tap[r];
        }
      }
    }
  }

  // What the sums of the windows' bytes add to all sums of the tile's rows.
  void StartRows(const Tile& tile, int32_t group, int32_t* row_start) const {
    memset(row_start, 0, kMaxTileRows * sizeof(*row_start));
    if (sums == nullptr) return;
    const int64_t step = static_cast<int64_t>(c.h.dilation) * s.width * c.groups;
    const int32_t* row = sums + group;
    for (int32_t ky = 0; ky < c.h.kernel; ++ky, row += step) {
      for (int32_t r = 0; r < tile.rows; ++r) row_start[r] += row[tile.first_sum[r] * c.groups];
    }
    for (int32_t r = 0; r < kMaxTileRows; ++r) row_start[r] *= sum_factor;
  }

  template <typename Sum>
  void Store(const Sum* values, const Tile& tile, int32_t group, int32_t chunk) const {
    const int32_t left = p.outputs - chunk * kChunk;
    StoreChunk(outputs, values, scales == nullptr ? nullptr : tile.scales, tile.rows, group * p.outputs + chunk * kChunk,
               left < kChunk ? left : kChunk, tile.outputs);
  }

  // What is behind the last output is not computed, but compared with thresholds.
  template <typename Sum>
  void ClearLastBlock(Sum* values) const {
    if (clears) memset(values, 0, kMaxTileRows * kChunk * sizeof(Sum));
  }

  // The chunks [begin, end) of one group.
  void PlaneChunks(const Tile& tile, int32_t group, int32_t begin, int32_t end) const {
    const uint32_t* pointers[kMaxPointers + kMaxTileRows];
    PointAtTile(tile, group * group_channels / 32, pointers);
    const int32_t* start[kMaxTileRows];
    const int32_t first = (group * group_chunks + begin) * kChunk;
    for (int32_t r = 0; r < kMaxTileRows; ++r) start[r] = tile.start[r] + first;
    if (ends_in_steps) return EndChunks(tile, pointers, group, begin, end, start);
    alignas(64) int32_t values[kMaxTileRows * kChunk];
    ClearLastBlock(values);
    for (int32_t chunk = begin; chunk < end; ++chunk) {
      PlaneSums(plan, GroupWeights(group), pointers, tile.rows, chunk, start, values);
      Store(values, tile, group, chunk);
      for (const int32_t*& sums_of_row : start) sums_of_row += kChunk;
    }
  }

  // The same where the kernels write the outputs, too. Boards' kernels do not: no room on their stacks for it.
  __attribute__((noinline)) void EndChunks(const Tile& tile, const uint32_t* const* pointers, int32_t group, int32_t begin,
                                           int32_t end, const int32_t** start) const {
    PlacedRows placed;
    PlaceRows(outputs, tile.rows, tile.outputs, &placed);
    for (int32_t chunk = begin; chunk < end; ++chunk) {
      PlaceChannels(outputs, group * p.outputs + chunk * kChunk, &placed.rows);
      PlaneEnds(plan, GroupWeights(group), pointers, chunk, start, outputs.steps, outputs.count + outputs.ends, placed.rows);
      for (int32_t r = 0; r < kMaxTileRows; ++r) start[r] += kChunk;
    }
  }

  void ByteChunks(const Tile& tile, int32_t group, int32_t begin, int32_t end) const {
    const int8_t* pointers[kMaxPointers + kMaxTileRows];
    PointAtTile(tile, group * group_channels, pointers);
    alignas(64) int32_t values[kMaxTileRows * kChunk];
    ClearLastBlock(values);
    int32_t row_start[kMaxTileRows];
    StartRows(tile, group, row_start);
    for (int32_t chunk = begin; chunk < end; ++chunk) {
      const int32_t first = (group * group_chunks + chunk) * kChunk;
      const int32_t* start = tile.start[0] + first;
      ByteSums(plan, GroupWeights(group), pointers, tile.rows, chunk, start, row_start, values);
      for (int32_t r = 1; r < tile.rows; ++r) {  // which may be of another border class
        if (tile.start[r] == tile.start[0]) continue;
        for (int32_t i = 0; i < kChunk; ++i) values[r * kChunk + i] += tile.start[r][first + i] - start[i];
      }
      Store(values, tile, group, chunk);
    }
  }

  void FloatChunks(const Tile& tile, int32_t group, int32_t begin, int32_t end) const {
    const float* pointers[kMaxPointers + kMaxTileRows];
    PointAtTile(tile, group * group_channels, pointers);
    alignas(64) float values[kMaxTileRows * kChunk];
    ClearLastBlock(values);
    for (int32_t chunk = begin; chunk < end; ++chunk) {
      FloatSums(plan, GroupWeights(group), pointers, tile.rows, chunk, values);
      Store(values, tile, group, chunk);
    }
  }

  const char* GroupWeights(int32_t group) const { return weights + group * group_bytes; }

  // The chunks [begin, end) of all groups, of the next `rows` pixels.
  void RunTile(Cursor* at, int32_t rows, int32_t begin, int32_t end) const {
    Tile tile;
    FindPixels(at, rows, &tile);
    int32_t first = 0;
    for (int32_t group = 0; first < end; ++group, first += group_chunks) {
      const int32_t from = begin > first ? begin - first : 0;
      const int32_t to = end - first < group_chunks ? end - first : group_chunks;
      if (from >= to) continue;
      if (p.way == Way::kPlanes) {
        PlaneChunks(tile, group, from, to);
      } else if (p.way == Way::kBytes) {
        ByteChunks(tile, group, from, to);
      } else {
        FloatChunks(tile, group, from, to);
      }
    }
  }

  // What is the same for all tiles.
  const Plan plan = PlanOf(p, k);
  const int32_t sum_factor = ByteSumFactor(p);
  const int32_t group_channels = GroupChannels(c);
  const int32_t group_chunks = GroupChunks(c);
  const int32_t tap_columns = p.taps / c.h.kernel;  // 1 by rows
  const bool ends_in_steps = plan.planedot_ends != nullptr && p.outputs % kChunk == 0 && EndsInSteps(outputs);
  const bool clears = plan.last_blocks == 1 && c.outputs.kind == OutputKind::kPacked;
  const int32_t padded_filters = PaddedFilters(c);
  const size_t group_bytes = WeightsBytes(p);
  const int64_t tap_step = c.w.stride * s.column_step, output_step = c.grid.step_w;
};

int32_t PointersOfRow(const Conv& c, const Product& p) {
  return p.taps * (p.way == Way::kPlanes ? c.inputs.bits : 1);
}

// As few tiles as can be, of as many pixels each as the others.
int32_t RowsOf(const Conv& c, const Product& p, const KernelTable& k) {
  const int32_t rows = TileRows(p, k), most = kMaxPointers / PointersOfRow(c, p);
  const int32_t tiles = CeilDiv(OutputPixels(c), rows < most ? rows : most);
  return CeilDiv(OutputPixels(c), tiles);
}

// The units of the work: the tiles, for each of some parts of the chunks of all groups. The tiles of a part follow each other, so
// that its weights stay near while they pass; and where tiles are few, there are parts for all threads.
struct Units {
  int32_t rows, tiles;           // pixels of a tile; tiles of a part
  int32_t part, parts, chunks;   // chunks of a part; parts; chunks of all

  int32_t number() const { return tiles * parts; }
};

Units UnitsOf(const Conv& c, const Product& p, const KernelTable& k) {
  Units u;
  u.rows = RowsOf(c, p, k);
  u.tiles = CeilDiv(OutputPixels(c), u.rows);
  u.chunks = c.groups * GroupChunks(c);
  const int32_t cached = 1 + static_cast<int32_t>(kCachedWeights / ChunkBytes(p));
  const int32_t by_memory = CeilDiv(u.chunks, cached), by_threads = CeilDiv(kFewUnits, u.tiles);
  const int32_t wanted = by_memory > by_threads ? by_memory : by_threads;
  const int32_t most = SharesWords(c.outputs, GroupFilters(c)) ? 1 : u.chunks;  // two threads must not write one word
  u.part = CeilDiv(u.chunks, wanted < most ? wanted : most);
  u.parts = CeilDiv(u.chunks, u.part);
  return u;
}

bool StagedFits(const Conv& c, const Product& p) {
  const StagedInput s = StagedInputOf(c, p);
  return static_cast<double>(c.batch) * s.height * s.width * s.pixel * s.planes <= kMostStaged;
}

bool WayFits(const Conv& c, Way way) {
  if (static_cast<int64_t>(c.h.kernel) * c.w.kernel > kMaxPointers) return false;
  const Product p = ProductOf(c, way);
  const int64_t products = static_cast<int64_t>(p.taps) * p.count;
  if (!c.filter_in_taps && !FloatSumsOf(c) && HasBorderClasses(c)) return false;
  return PointersOfRow(c, p) <= kMaxPointers && PartsFit(way, c.weights, c.inputs, c.zero_point, products) &&
         StagedFits(c, p);
}

}  // namespace

bool ChooseTiledWay(const Conv& c, const KernelTable& kernels, Way* way) {
  if (FloatSumsOf(c)) {
    const bool signs = c.weights.bits == 1 && c.weights.encoding == Encoding::kBipolar;
    *way = signs ? Way::kSigns : Way::kFloats;
    return WayFits(c, *way);
  }
  *way = Packed(c) ? ChooseWay(*kernels.codes, c.weights, c.inputs, OutputPixels(c)) : Way::kBytes;
  if (WayFits(c, *way)) return true;
  *way = *way == Way::kBytes ? Way::kPlanes : Way::kBytes;
  return Packed(c) && WayFits(c, *way);
}

size_t TiledWeightsBytes(const Conv& c, Way way) {
  return static_cast<size_t>(c.groups) * WeightsBytes(ProductOf(c, way));
}

void FillTiledWeights(const Conv& c, Way way, const void* filter, void* weights) {
  const Product p = ProductOf(c, way);
  for (int32_t g = 0; g < c.groups; ++g) {
    FillWeights(p, FilterOf(c, filter, g), static_cast<char*>(weights) + g * WeightsBytes(p));
  }
}

size_t TiledTablesBytes(const Conv& c, Way) { return FloatSumsOf(c) ? 0 : LayOutTables(c).end; }

void FillTiledTables(const Conv& c, Way way, const void* filter, void* memory) {
  const TablesHeader header = LayOutTables(c);
  memset(memory, 0, header.end);
  *static_cast<TablesHeader*>(memory) = header;
  const Tables t = TablesAt(c, memory);
  if (t.row_classes != nullptr) {
    FillClasses(c.h, t.row_classes);
    FillClasses(c.w, t.column_classes);
  }
  const Product p = ProductOf(c, way);
  for (int32_t g = 0; g < c.groups; ++g) {
    const Filter f = FilterOf(c, filter, g);
    for (int32_t o = 0; o < p.outputs; ++o) FillStart(c, p, f, g, o, t);
  }
}

size_t TiledScratchBytes(const Conv& c, Way way) { return StagedInputOf(c, ProductOf(c, way)).end; }

int32_t TiledStageUnits(const Conv& c, Way way) { return StageUnits(c, StagedInputOf(c, ProductOf(c, way))); }

void TiledStage(const Conv& c, Way way, const KernelTable& kernels, const void* input, void* scratch, int32_t begin,
                int32_t end) {
  StageInput(c, StagedInputOf(c, ProductOf(c, way)), kernels, input, scratch, begin, end);
}

int32_t TiledUnits(const Conv& c, Way way, const KernelTable& k) { return UnitsOf(c, ProductOf(c, way), k).number(); }

void TiledConv(const Conv& c, Way way, const KernelTable& k, const ConvTensors& tensors, const void* weights,
               const void* tables, const void* input, const void* scratch, int32_t begin, int32_t end) {
  const Product p = ProductOf(c, way);
  const StagedInput s = StagedInputOf(c, p);
  const char* memory = static_cast<const char*>(scratch);
  const Tables t = FloatSumsOf(c) ? Tables() : TablesAt(c, const_cast<void*>(tables));
  const int32_t* sums = s.scales > s.sums ? reinterpret_cast<const int32_t*>(memory + s.sums) : nullptr;
  const float* scales = s.end > s.scales && c.quantize_rows ? reinterpret_cast<const float*>(memory + s.scales) : nullptr;
  const OutputPlan outputs = PlanOutputs(c.outputs, k.output, tensors.outputs, FloatSumsOf(c), scales != nullptr);
  const Run run = {c, p, s, k, outputs, static_cast<const char*>(weights), t, s.in_place ? input : scratch, sums, scales};
  const Units u = UnitsOf(c, p, k);
  for (int32_t unit = begin; unit < end;) {
    const int32_t first_tile = unit % u.tiles, first_chunk = unit / u.tiles * u.part;
    const int32_t tiles = end - unit < u.tiles - first_tile ? end - unit : u.tiles - first_tile;
    // A single tile takes all its parts at once.
    const int32_t parts = u.tiles == 1 ? end - unit : 1, most = parts * u.part;
    const int32_t chunks = u.chunks - first_chunk < most ? u.chunks - first_chunk : most;
    Cursor at = run.CursorAt(PlaceOf(c, first_tile * u.rows));
    for (int32_t tile = first_tile; tile < first_tile + tiles; ++tile) {
      const int32_t left = OutputPixels(c) - tile * u.rows;
      run.RunTile(&at, left < u.rows ? left : u.rows, first_chunk, first_chunk + chunks);
    }
    unit += tiles * parts;
  }
}

}  // namespace keras_ste
