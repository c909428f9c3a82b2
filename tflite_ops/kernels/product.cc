#include "kernels/product.h"

#include <string.h>

#include "kernels/bits.h"

namespace keras_ste {
namespace {

bool Bipolar(const Codes& c) { return c.encoding == Encoding::kBipolar; }

int32_t Blocks(const Product& p) { return CeilDiv(p.outputs, kBlock); }

// -- The file's weights --

int32_t SetBits(const CodeRow& row, int32_t plane) {
  const int32_t end = row.first_bit + row.codes;
  int32_t count = 0;
  for (int32_t i = row.first_bit / 32; i < WordsOf(end); ++i) {
    const int32_t begin = row.first_bit - 32 * i, left = end - 32 * i;
    count += static_cast<int32_t>(CountBits(WordOf(row, plane, i) & BitRange(begin < 0 ? 0 : begin, left < 32 ? left : 32)));
  }
  return count;
}

Totals TotalsOfRow(const Codes& c, const CodeRow& row) {
  int32_t worth = 0;
  for (int32_t p = 0; p < c.bits; ++p) worth += PlaneWorth(c, p) * SetBits(row, p);
  if (Bipolar(c)) worth = 2 * worth - ((1 << c.bits) - 1) * row.codes;
  return {worth, SetBits(row, 0)};
}

CodeRow PieceAt(const Filter& f, int32_t output, int32_t piece) {
  return RowAt(f.rows, f.first + output * f.stride + piece / f.row * f.row_step + piece % f.row * f.step);
}

// Calls visit(i, number) for `count` codes, the first of them at bit `first` of the words.
template <typename Visit>
void VisitCodes(const CodeRow& row, int32_t bits, int32_t first, int32_t count, const Visit& visit) {
  for (int32_t i = 0; i < count; ++i) visit(i, CodeAt(row, bits, first + i));
}

// The same for the codes of one tap.
template <typename Visit>
void VisitTap(const Product& p, const Filter& f, int32_t output, int32_t tap, const Visit& visit) {
  if (!f.in_pieces) {
    VisitCodes(PieceAt(f, output, 0), p.weights.bits, tap * p.count, p.count, visit);
    return;
  }
  for (int32_t i = 0; i < f.pieces; ++i) {
    VisitCodes(PieceAt(f, output, tap * f.pieces + i), p.weights.bits, f.rows.first_bit, f.rows.codes,
               [&](int32_t k, int32_t number) { visit(i * f.rows.codes + k, number); });
  }
}

// -- Planes --
//
// With t = 2 b - 1 for each bit b, a bipolar code is the sum of its c t, c = 2^plane, and any other code is half the sum of
// its c (t + 1). Bipolar weights: t_w t_a is +1 where the bits are equal, -1 where they differ, so a sum over k is
// k - 2 popcount(w ^ a). Under a mask it is 2 popcount((~w ^ a) & mask) less the bits of the mask: ternary weights, the mask
// telling those that are not zero, and bipolar ones whose words hold other groups' bits besides. Other weights: w a =
// popcount(w & a).

PlaneMeeting MeetingOf(const Product& p) {
  if (Bipolar(p.weights)) return p.shared_words ? kMaskedXor : kXor;
  return p.weights.encoding == Encoding::kTernary ? kMaskedXor : kAnd;
}

// The planes of the weights that are multiplied one after the other, and the vectors of words in each.
int32_t WeightPlanes(const Product& p) { return p.weights.encoding == Encoding::kTernary ? 1 : p.weights.bits; }
int32_t PlaneVectors(const Product& p) { return MeetingOf(p) == kMaskedXor ? 2 : 1; }
int64_t PlaneSize(const Product& p) { return static_cast<int64_t>(p.taps) * p.words * PlaneVectors(p) * kBlock; }

int32_t WeightPlaneWorth(const Product& p, int32_t plane) {
  return p.weights.encoding == Encoding::kTernary ? 1 : PlaneWorth(p.weights, plane);
}

// A pair of planes is worth the product of these two for each bit that is counted.
int32_t WeightCoefficient(const Product& p, int32_t plane) {
  const int32_t worth = WeightPlaneWorth(p, plane);
  return MeetingOf(p) == kXor ? -worth : worth;
}
int32_t InputCoefficient(const Product& p, int32_t plane) {
  return (Bipolar(p.inputs) ? 2 : 1) * PlaneWorth(p.inputs, plane);
}

int32_t PlanesStart(const Product& p, const Totals& t) {
  int32_t all = 0;  // what an input is worth whose bits are all set
  for (int32_t i = 0; i < p.inputs.bits; ++i) all += PlaneWorth(p.inputs, i);
  int32_t start = 0;
  if (MeetingOf(p) == kAnd) {
    if (Bipolar(p.inputs)) start = -all * t.worth;
  } else {
    const int32_t whole = Bipolar(p.weights) ? ((1 << p.weights.bits) - 1) * p.taps * p.count : t.nonzero;
    const int32_t largest = MeetingOf(p) == kXor ? whole : -whole;
    start = Bipolar(p.inputs) ? all * largest : all * ((largest + t.worth) / 2);
  }
  return start - p.zero_point * t.worth;
}

// A word of the weights for one vector of a step.
uint32_t PlaneWord(const Product& p, const Filter& f, int32_t output, int32_t tap, int32_t word, int32_t plane,
                   int32_t vector) {
  const CodeRow row = PieceAt(f, output, tap * f.pieces + word / f.rows.words);
  const int32_t i = word % f.rows.words;
  if (MeetingOf(p) != kMaskedXor || p.weights.encoding == Encoding::kTernary) return WordOf(row, plane + vector, i);
  const int32_t begin = row.first_bit - 32 * i, end = begin + row.codes;
  const uint32_t mask = end <= 0 || begin >= 32 ? 0 : BitRange(begin < 0 ? 0 : begin, end > 32 ? 32 : end);
  return vector == 0 ? mask : ~WordOf(row, plane, i) & mask;
}

void FillPlanes(const Product& p, const Filter& f, int32_t block, uint32_t* out) {
  for (int32_t plane = 0; plane < WeightPlanes(p); ++plane) {
    for (int32_t tap = 0; tap < p.taps; ++tap) {
      for (int32_t word = 0; word < p.words; ++word) {
        for (int32_t v = 0; v < PlaneVectors(p); ++v) {
          for (int32_t o = block * kBlock; o < (block + 1) * kBlock; ++o) {
            *out++ = o < p.outputs ? PlaneWord(p, f, o, tap, word, plane, v) : 0;
          }
        }
      }
    }
  }
}

// -- Bytes --
//
// The kernels multiply unsigned weights u by signed bytes y. A weight is worth scale u - offset, an input scale y + offset. Of
// w a = (p u - q)(s y + t) = p s u y - q s y + t w, only the sum of the y depends on the inputs and not on the output.

// Weights of 3 bits are stored in 4, of 5 to 7 bits in 8. Those of 1 bit that meet floats are rare (where they are -1 and +1,
// the way is kSigns) and stored in 2.
int32_t StoredBits(const Product& p) {
  int32_t bits = p.way == Way::kFloats ? 2 : 1;
  while (bits < p.weights.bits) bits *= 2;
  return bits;
}
int32_t Steps(const Product& p) { return CeilDiv(p.count, 32 / StoredBits(p)); }  // of one tap

// The logarithm of that, by which the kernels are found.
int32_t Width(const Product& p) {
  int32_t width = 0;
  while (1 << width < StoredBits(p)) ++width;
  return width;
}

struct WeightBytes {
  int32_t scale, offset;
};

WeightBytes WeightBytesOf(const Codes& c) {
  if (Bipolar(c)) return {2, (1 << c.bits) - 1};
  return {1, TwosComplement(c) ? 1 << (c.bits - 1) : 0};
}

void FillBytes(const Product& p, const Filter& f, int32_t block, uint32_t* out) {
  const int32_t bits = StoredBits(p);
  const int32_t step = 32 / bits;
  const int32_t flip = TwosComplement(p.weights) ? 1 << (p.weights.bits - 1) : 0;
  memset(out, 0, static_cast<size_t>(p.taps) * Steps(p) * kBlock * sizeof(uint32_t));
  for (int32_t lane = 0; lane < kBlock && block * kBlock + lane < p.outputs; ++lane) {
    for (int32_t tap = 0; tap < p.taps; ++tap) {
      uint32_t* lanes = out + static_cast<int64_t>(tap) * Steps(p) * kBlock + lane;
      VisitTap(p, f, block * kBlock + lane, tap, [&](int32_t k, int32_t number) {
        const int32_t in_step = k % step;
        const int32_t shift = 8 * (in_step % 4) + bits * (in_step / 4);
        lanes[k / step * kBlock] |= static_cast<uint32_t>(number ^ flip) << shift;
      });
    }
  }
}

// Codes of 8 bits from -255 to 255 are halved.
int32_t InputScale(const Codes& c) { return Bipolar(c) && c.bits == 8 ? 2 : 1; }

int32_t BytesStart(const Product& p, const Totals& t) {
  return (InputBytesOf(p.inputs).offset - p.zero_point) * t.worth;
}

// -- Signs --

void FillSigns(const Product& p, const Filter& f, int32_t block, uint16_t* out) {
  memset(out, 0, static_cast<size_t>(p.taps) * p.count * sizeof(uint16_t));
  for (int32_t lane = 0; lane < kBlock && block * kBlock + lane < p.outputs; ++lane) {
    for (int32_t tap = 0; tap < p.taps; ++tap) {
      uint16_t* masks = out + static_cast<int64_t>(tap) * p.count;
      VisitTap(p, f, block * kBlock + lane, tap, [&](int32_t k, int32_t number) {
        masks[k] = static_cast<uint16_t>(masks[k] | number << lane);
      });
    }
  }
}

// -- The weights memory: one block after the other --

size_t BlockBytes(const Product& p) {
  switch (p.way) {
    case Way::kPlanes:
      return static_cast<size_t>(WeightPlanes(p) * PlaneSize(p)) * sizeof(uint32_t);
    case Way::kSigns:
      return static_cast<size_t>(p.taps) * p.count * sizeof(uint16_t);
    case Way::kBytes:
    case Way::kFloats:
      break;
  }
  return static_cast<size_t>(p.taps) * Steps(p) * kBlock * sizeof(uint32_t);
}

const void* ChunkAt(const Plan& p, const void* weights, int32_t chunk) {
  return static_cast<const char*>(weights) + 2 * chunk * p.block_bytes;
}
int32_t BlocksOf(const Plan& p, int32_t chunk) { return chunk < p.chunks - 1 ? 2 : p.last_blocks; }

}  // namespace

Totals TotalsOfPiece(const Product& p, const Filter& f, int32_t output, int32_t piece) {
  return TotalsOfRow(p.weights, PieceAt(f, output, piece));
}

Totals TotalsOf(const Product& p, const Filter& f, int32_t output) {
  if (!f.in_pieces) return TotalsOfPiece(p, f, output, 0);
  Totals all = {0, 0};
  for (int32_t piece = 0; piece < p.taps * f.pieces; ++piece) {
    const Totals t = TotalsOfPiece(p, f, output, piece);
    all.worth += t.worth;
    all.nonzero += t.nonzero;
  }
  return all;
}

int32_t PlanePairs(const Codes& weights, const Codes& inputs) {
  return (weights.encoding == Encoding::kTernary ? 1 : weights.bits) * inputs.bits;
}

bool SumsFit(const Codes& weights, const Codes& inputs, int32_t zero_point, int64_t products) {
  const int64_t input = LargestWorth(inputs) + (zero_point < 0 ? -zero_point : zero_point);
  return products <= (INT64_C(1) << 30) / (input * LargestWorth(weights));
}

// Planes go through twice the largest sum; bytes may stand for numbers that are moved by 128, and so may weights.
bool PartsFit(Way way, const Codes& weights, const Codes& inputs, int32_t zero_point, int64_t products) {
  if (way == Way::kFloats || way == Way::kSigns) return true;
  if (way == Way::kBytes && products > kMaxByteDotK) return false;
  const int64_t largest = LargestWorth(inputs);
  const int64_t input = (way == Way::kBytes ? largest + 256 : 3 * largest) + (zero_point < 0 ? -zero_point : zero_point);
  return products < (INT64_C(1) << 31) / (input * LargestWorth(weights));
}

InputBytes InputBytesOf(const Codes& c) {
  const bool halved = InputScale(c) == 2;
  const bool moved = c.encoding == Encoding::kUnsigned && c.bits == 8;  // 0 to 255
  InputBytes b = {InputScale(c), halved ? 1 : moved ? 128 : 0, 0, {}};
  const int32_t scale = Bipolar(c) && !halved ? 2 : 1;
  b.start = static_cast<int8_t>(halved || moved ? -128 : Bipolar(c) ? 1 - (1 << c.bits) : 0);
  for (int32_t p = 0; p < 8; ++p) {
    b.worth[p] = static_cast<int8_t>(static_cast<uint8_t>(p < c.bits ? scale * PlaneWorth(c, p) : 0));
  }
  return b;
}

int32_t ByteSumFactor(const Product& p) { return -WeightBytesOf(p.weights).offset * InputBytesOf(p.inputs).scale; }

size_t WeightsBytes(const Product& p) { return AlignedBytes(BlockBytes(p) * static_cast<size_t>(Blocks(p))); }

void FillWeights(const Product& p, const Filter& filter, void* weights) {
  char* block_at = static_cast<char*>(weights);
  for (int32_t block = 0; block < Blocks(p); ++block, block_at += BlockBytes(p)) {
    if (p.way == Way::kPlanes) {
      FillPlanes(p, filter, block, reinterpret_cast<uint32_t*>(block_at));
    } else if (p.way == Way::kSigns) {
      FillSigns(p, filter, block, reinterpret_cast<uint16_t*>(block_at));
    } else {
      FillBytes(p, filter, block, reinterpret_cast<uint32_t*>(block_at));
    }
  }
}

int32_t StartOf(const Product& p, const Totals& totals) {
  return p.way == Way::kPlanes ? PlanesStart(p, totals) : BytesStart(p, totals);
}

int32_t Chunks(const Product& p) { return CeilDiv(p.outputs, kChunk); }

size_t ChunkBytes(const Product& p) { return 2 * BlockBytes(p); }

int32_t ChunkBlocks(const Product& p, int32_t chunk) { return Blocks(p) - 2 * chunk < 2 ? 1 : 2; }

int32_t TileRows(const Product& p, const KernelTable& kernels) {
  const CodeKernels& codes = *kernels.codes;
  switch (p.way) {
    case Way::kPlanes:
      return codes.planedot_rows;
    case Way::kBytes:
      return codes.bytedot_rows;
    case Way::kFloats:
      return codes.floatdot_rows;
    case Way::kSigns:
      break;
  }
  return kernels.signsum_rows;
}

Plan PlanOf(const Product& p, const KernelTable& kernels) {
  const CodeKernels& codes = *kernels.codes;
  Plan plan = {};
  plan.way = p.way;
  plan.taps = p.taps;
  plan.chunks = Chunks(p);
  plan.last_blocks = ChunkBlocks(p, plan.chunks - 1);
  plan.block_bytes = static_cast<int64_t>(BlockBytes(p));
  plan.length = p.count;
  const WeightBytes worth = WeightBytesOf(p.weights);
  switch (p.way) {
    case Way::kPlanes:
      plan.length = p.words;
      plan.weight_planes = WeightPlanes(p);
      plan.input_planes = p.inputs.bits;
      plan.plane_words = PlaneSize(p);
      for (int32_t w = 0; w < plan.weight_planes; ++w) plan.weight_coefficients[w] = WeightCoefficient(p, w);
      for (int32_t a = 0; a < plan.input_planes; ++a) plan.input_coefficients[a] = InputCoefficient(p, a);
      plan.planedot = codes.planedot[MeetingOf(p)];
      if (plan.weight_planes * plan.input_planes == 1 && MeetingOf(p) == kXor && codes.planedot_ends[1] != nullptr) {
        plan.planedot_ends = codes.planedot_ends;
      }
      break;
    case Way::kBytes:
      plan.length = Steps(p);
      plan.shift = (worth.scale - 1) + (InputScale(p.inputs) - 1);
      plan.bytedot = codes.bytedot[Width(p)];
      break;
    case Way::kFloats:
      plan.scale = worth.scale;
      plan.offset = -worth.offset;
      plan.floatdot = codes.floatdot[Width(p) - 1];
      break;
    case Way::kSigns:
      plan.signsum = kernels.signsum;
      break;
  }
  return plan;
}

void PlaneSums(const Plan& p, const void* weights, const uint32_t* const* inputs, int32_t rows, int32_t chunk,
               const int32_t* const* start, int32_t* sums) {
  const int64_t block_words = p.weight_planes * p.plane_words;
  const uint32_t* first = static_cast<const uint32_t*>(ChunkAt(p, weights, chunk));
  const PlaneDot dot = p.planedot[BlocksOf(p, chunk) - 1][rows];
  const int32_t* so_far[kMaxTileRows];
  if (p.input_planes * p.weight_planes > 1) {
    for (int32_t r = 0; r < kMaxTileRows; ++r) so_far[r] = sums + r * kChunk;
  }
  for (int32_t a = 0; a < p.input_planes; ++a, inputs += p.taps * rows) {
    for (int32_t w = 0; w < p.weight_planes; ++w, start = so_far) {
      dot(inputs, p.taps, p.length, first + w * p.plane_words, block_words,
          p.weight_coefficients[w] * p.input_coefficients[a], start, sums);
    }
  }
}

void PlaneEnds(const Plan& p, const void* weights, const uint32_t* const* inputs, int32_t chunk, const int32_t* const* start,
               const Combine* steps, int32_t count, const CombinedRows& rows) {
  p.planedot_ends[rows.rows](inputs, p.taps, p.length, static_cast<const uint32_t*>(ChunkAt(p, weights, chunk)), p.plane_words,
                             p.weight_coefficients[0] * p.input_coefficients[0], start, steps, count, rows);
}

void ByteSums(const Plan& p, const void* weights, const int8_t* const* inputs, int32_t rows, int32_t chunk,
              const int32_t* start, const int32_t* row_start, int32_t* sums) {
  p.bytedot[BlocksOf(p, chunk) - 1][rows](inputs, p.taps, p.length,
                                          static_cast<const uint32_t*>(ChunkAt(p, weights, chunk)),
                                          p.block_bytes / static_cast<int64_t>(sizeof(uint32_t)), p.shift, start, row_start,
                                          sums);
}

void FloatSums(const Plan& p, const void* weights, const float* const* inputs, int32_t rows, int32_t chunk, float* sums) {
  const void* first = ChunkAt(p, weights, chunk);
  const int32_t blocks = BlocksOf(p, chunk);
  if (p.way == Way::kSigns) {
    const uint16_t* block = static_cast<const uint16_t*>(first);
    for (int32_t b = 0; b < blocks; ++b, block += static_cast<int64_t>(p.taps) * p.length) {
      p.signsum[rows](inputs, p.taps, p.length, block, sums + b * kBlock);
    }
    return;
  }
  p.floatdot[blocks - 1][rows](inputs, p.taps, p.length, static_cast<const uint32_t*>(first),
                               p.block_bytes / static_cast<int64_t>(sizeof(uint32_t)), p.scale, p.offset, sums);
}

}  // namespace keras_ste
