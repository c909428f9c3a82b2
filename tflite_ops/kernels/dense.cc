#include "kernels/dense.h"

#include <string.h>

#include "kernels/bits.h"

namespace keras_ste {
namespace {

// -- What both ways share --

int32_t Blocks(const Dense& d) { return CeilDiv(d.n, kBlock); }

size_t Align(size_t bytes) { return (bytes + kDenseAlignment - 1) / kDenseAlignment * kDenseAlignment; }

// The bits of one code as an unsigned number.
int32_t NumberAt(const Dense& d, const uint32_t* filter, int32_t o, int32_t k) {
  const int32_t words = WordsOf(d.k);
  const uint32_t* plane = filter + static_cast<int64_t>(o) * d.weights.bits * words + k / 32;
  int32_t number = 0;
  for (int32_t p = 0; p < d.weights.bits; ++p, plane += words) {
    number |= static_cast<int32_t>((*plane >> (k % 32)) & 1u) << p;
  }
  return number;
}

int32_t SetBits(const uint32_t* plane, int32_t words) {
  int32_t count = 0;
  for (int32_t i = 0; i < words; ++i) count += static_cast<int32_t>(CountBits(plane[i]));
  return count;
}

// What all weights of one output are worth together, and how many ternary ones are not zero.
struct Totals {
  int32_t worth, nonzero;
};

Totals TotalsOf(const Dense& d, const uint32_t* filter, int32_t o) {
  const int32_t words = WordsOf(d.k);
  const uint32_t* planes = filter + static_cast<int64_t>(o) * d.weights.bits * words;
  int32_t worth = 0;
  for (int32_t p = 0; p < d.weights.bits; ++p) {
    worth += PlaneWorth(d.weights, p) * SetBits(planes + static_cast<int64_t>(p) * words, words);
  }
  if (d.weights.encoding == Encoding::kBipolar) worth = 2 * worth - ((1 << d.weights.bits) - 1) * d.k;
  return {worth, SetBits(planes, words)};
}

// -- Planes --
//
// With t = 2 b - 1 for each bit b, a bipolar code is the sum of its c t, c = 2^plane, and any other code is half the sum of
// its c (t + 1). Bipolar weights: t_w t_a is +1 where the bits are equal, -1 where they differ, so a sum over k is
// k - 2 popcount(w ^ a). Ternary weights are -1 where the bit is set: 2 popcount((negative ^ a) & nonzero) less the number of
// those that are not zero. Other weights: w a = popcount(w & a).

bool Bipolar(const Codes& c) { return c.encoding == Encoding::kBipolar; }

PlaneMeeting MeetingOf(const Dense& d) {
  if (Bipolar(d.weights)) return kXor;
  return d.weights.encoding == Encoding::kTernary ? kMaskedXor : kAnd;
}

// The planes of the weights that are multiplied one after the other, and the vectors of words in each.
int32_t WeightPlanes(const Dense& d) { return MeetingOf(d) == kMaskedXor ? 1 : d.weights.bits; }
int32_t PlaneVectors(const Dense& d) { return MeetingOf(d) == kMaskedXor ? 2 : 1; }
int64_t PlaneSize(const Dense& d) { return static_cast<int64_t>(WordsOf(d.k)) * PlaneVectors(d) * kBlock; }

int32_t WeightPlaneWorth(const Dense& d, int32_t plane) {
  return MeetingOf(d) == kMaskedXor ? 1 : PlaneWorth(d.weights, plane);
}

int32_t Coefficient(const Dense& d, int32_t weight_plane, int32_t input_plane) {
  const int32_t worth = WeightPlaneWorth(d, weight_plane) * PlaneWorth(d.inputs, input_plane);
  const int32_t twice = Bipolar(d.inputs) ? 2 * worth : worth;
  return MeetingOf(d) == kXor ? -twice : twice;
}

int32_t PlanesStart(const Dense& d, const Totals& t) {
  int32_t all = 0;  // what an input is worth whose bits are all set
  for (int32_t p = 0; p < d.inputs.bits; ++p) all += PlaneWorth(d.inputs, p);
  int32_t start = 0;
  if (MeetingOf(d) == kAnd) {
    if (Bipolar(d.inputs)) start = -all * t.worth;
  } else {
    const int32_t largest = MeetingOf(d) == kXor ? ((1 << d.weights.bits) - 1) * d.k : -t.nonzero;
    start = Bipolar(d.inputs) ? all * largest : all * ((largest + t.worth) / 2);
  }
  return start - d.zero_point * t.worth;
}

void FillPlanes(const Dense& d, const uint32_t* filter, int32_t block, uint32_t* out) {
  const int32_t words = WordsOf(d.k);
  const int32_t vectors = PlaneVectors(d);
  for (int32_t plane = 0; plane < WeightPlanes(d); ++plane) {
    for (int32_t i = 0; i < words; ++i) {
      for (int32_t v = 0; v < vectors; ++v) {
        for (int32_t lane = 0; lane < kBlock; ++lane) {
          const int32_t o = block * kBlock + lane;
          const int64_t at = (static_cast<int64_t>(o) * d.weights.bits + plane + v) * words + i;
          *out++ = o < d.n ? filter[at] : 0;
        }
      }
    }
  }
}

void PlaneSums(const Dense& d, const CodeKernels& kernels, const uint32_t* weights, const int32_t* start,
               const void* rows, int32_t count, int32_t blocks, int32_t* sums) {
  const int32_t words = WordsOf(d.k);
  const int64_t plane_size = PlaneSize(d);
  const int32_t* starts[kMaxTileRows];
  for (int32_t r = 0; r < count; ++r) starts[r] = start;
  const PlaneDot dot = kernels.planedot[MeetingOf(d)][blocks - 1][count];
  for (int32_t w = 0; w < WeightPlanes(d); ++w) {
    for (int32_t a = 0; a < d.inputs.bits; ++a) {
      const uint32_t* inputs[kMaxTileRows];
      for (int32_t r = 0; r < count; ++r) {
        inputs[r] = static_cast<const uint32_t*>(rows) + (static_cast<int64_t>(r) * d.inputs.bits + a) * words;
      }
      dot(inputs, 1, words, weights + w * plane_size, WeightPlanes(d) * plane_size, Coefficient(d, w, a), starts, sums);
      for (int32_t r = 0; r < count; ++r) starts[r] = sums + r * kChunk;
    }
  }
}

// -- Bytes --
//
// The kernels multiply unsigned weights u by signed bytes y. A weight is worth `scale` u - `offset`, an input `scale` y +
// `offset`. Of w a = (p u - q)(s y + t) = p s u y - q s y + t w, only the sum of the y depends on the inputs and not on the
// output: each row brings it along.

// Weights of 3 bits are stored in 4, of 5 to 7 bits in 8. Those of 1 bit that meet floats are rare (where they are -1 and +1,
// SignSum takes them) and stored in 2.
int32_t StoredBits(const Dense& d) {
  int32_t bits = d.product == Product::kFloats ? 2 : 1;
  while (bits < d.weights.bits) bits *= 2;
  return bits;
}
int32_t Steps(const Dense& d) { return CeilDiv(d.k, 32 / StoredBits(d)); }

// The logarithm of that, by which the kernels are found.
int32_t Width(const Dense& d) {
  int32_t width = 0;
  while (1 << width < StoredBits(d)) ++width;
  return width;
}

struct Affine {
  int32_t scale, offset;
};

Affine WeightBytes(const Codes& c) {
  if (Bipolar(c)) return {2, (1 << c.bits) - 1};
  return {1, TwosComplement(c) ? 1 << (c.bits - 1) : 0};
}

bool TopBitFlipped(const Codes& inputs) { return inputs.bits == 8 && !TwosComplement(inputs); }

Affine InputBytes(const Codes& c) {
  const int32_t flipped = TopBitFlipped(c) ? 128 : 0;
  if (Bipolar(c)) return {2, 2 * flipped - ((1 << c.bits) - 1)};
  return {1, flipped};
}

void FillBytes(const Dense& d, const uint32_t* filter, int32_t block, uint32_t* out) {
  const int32_t bits = StoredBits(d);
  const int32_t step = 32 / bits;
  memset(out, 0, static_cast<size_t>(Steps(d)) * kBlock * sizeof(uint32_t));
  const int32_t flip = TwosComplement(d.weights) ? 1 << (d.weights.bits - 1) : 0;
  for (int32_t k = 0; k < d.k; ++k) {
    const int32_t in_step = k % step;
    const int32_t shift = 8 * (in_step % 4) + bits * (in_step / 4);
    uint32_t* lanes = out + static_cast<int64_t>(k / step) * kBlock;
    for (int32_t lane = 0; lane < kBlock && block * kBlock + lane < d.n; ++lane) {
      lanes[lane] |= static_cast<uint32_t>(NumberAt(d, filter, block * kBlock + lane, k) ^ flip) << shift;
    }
  }
}

int32_t BytesStart(const Dense& d, const Totals& t) { return (InputBytes(d.inputs).offset - d.zero_point) * t.worth; }

void ByteSums(const Dense& d, const CodeKernels& kernels, const uint32_t* weights, const int32_t* start,
              const void* rows, int32_t count, int32_t blocks, int32_t* sums) {
  const int32_t shift = (WeightBytes(d.weights).scale - 1) + (InputBytes(d.inputs).scale - 1);
  const int8_t* inputs[kMaxTileRows];
  int32_t row_start[kMaxTileRows];
  const size_t row_bytes = DenseRowBytes(d);
  for (int32_t r = 0; r < count; ++r) {
    const int8_t* row = static_cast<const int8_t*>(rows) + r * row_bytes;
    memcpy(row_start + r, row, sizeof(int32_t));
    inputs[r] = row + sizeof(int32_t);
  }
  kernels.bytedot[Width(d)][blocks - 1][count](inputs, 1, Steps(d), weights, static_cast<int64_t>(Steps(d)) * kBlock,
                                               shift, start, row_start, sums);
}

// -- The weights memory: blocks, then the starting sums --

int64_t BlockWords(const Dense& d) {
  return d.product == Product::kPlanes ? WeightPlanes(d) * PlaneSize(d) : static_cast<int64_t>(Steps(d)) * kBlock;
}

const uint32_t* ChunkWeights(const Dense& d, const void* weights, int32_t chunk) {
  return static_cast<const uint32_t*>(weights) + 2 * chunk * BlockWords(d);
}
int32_t ChunkBlocks(const Dense& d, int32_t chunk) { return Blocks(d) - 2 * chunk < 2 ? 1 : 2; }

size_t BlocksBytes(const Dense& d) { return Align(static_cast<size_t>(BlockWords(d) * Blocks(d)) * sizeof(uint32_t)); }

}  // namespace

bool DenseFits(const Dense& d) {
  if (d.product == Product::kFloats) return true;
  if (d.product == Product::kBytes && d.k > kMaxByteDotK) return false;
  const int64_t input = 2 * LargestWorth(d.inputs) + (d.zero_point < 0 ? -d.zero_point : d.zero_point) + 128;
  return 2 * input * LargestWorth(d.weights) * d.k < INT32_MAX;
}

int32_t PlanePairs(const Codes& weights, const Codes& inputs) {
  return (weights.encoding == Encoding::kTernary ? 1 : weights.bits) * inputs.bits;
}

size_t DenseWeightsBytes(const Dense& d) { return BlocksBytes(d) + sizeof(int32_t) * DenseChunks(d) * kChunk; }

void FillDenseWeights(const Dense& d, const uint32_t* filter, void* weights) {
  uint32_t* out = static_cast<uint32_t*>(weights);
  for (int32_t block = 0; block < Blocks(d); ++block, out += BlockWords(d)) {
    if (d.product == Product::kPlanes) {
      FillPlanes(d, filter, block, out);
    } else {
      FillBytes(d, filter, block, out);
    }
  }
  int32_t* start = reinterpret_cast<int32_t*>(static_cast<char*>(weights) + BlocksBytes(d));
  memset(start, 0, sizeof(int32_t) * DenseChunks(d) * kChunk);
  for (int32_t o = 0; o < d.n && d.product != Product::kFloats; ++o) {
    const Totals totals = TotalsOf(d, filter, o);
    start[o] = d.product == Product::kPlanes ? PlanesStart(d, totals) : BytesStart(d, totals);
  }
}

size_t DenseRowBytes(const Dense& d) {
  if (d.product == Product::kPlanes) return sizeof(uint32_t) * d.inputs.bits * WordsOf(d.k);
  return sizeof(int32_t) + static_cast<size_t>(Steps(d)) * (32 / StoredBits(d));
}

void FillDenseRow(const Dense& d, const CodeKernels& kernels, const int8_t* codes, void* row) {
  if (d.product == Product::kPlanes) {
    kernels.pack_planes(codes, d.k, d.inputs.bits, static_cast<uint32_t*>(row));
    return;
  }
  int8_t* bytes = static_cast<int8_t*>(row) + sizeof(int32_t);
  const int32_t sum = kernels.flip_bytes(codes, d.k, TopBitFlipped(d.inputs) ? INT8_MIN : 0, bytes);
  memset(bytes + d.k, 0, DenseRowBytes(d) - sizeof(int32_t) - d.k);
  const int32_t start = -WeightBytes(d.weights).offset * InputBytes(d.inputs).scale * sum;
  memcpy(row, &start, sizeof(start));
}

int32_t DenseChunks(const Dense& d) { return CeilDiv(d.n, kChunk); }

int32_t DenseTileRows(const Dense& d, const CodeKernels& kernels) {
  if (d.product == Product::kFloats) return kernels.floatdot_rows;
  return d.product == Product::kPlanes ? kernels.planedot_rows : kernels.bytedot_rows;
}

void DenseSums(const Dense& d, const CodeKernels& kernels, const void* weights, const void* rows, int32_t count,
               int32_t chunk, int32_t* sums) {
  const int32_t* start =
      reinterpret_cast<const int32_t*>(static_cast<const char*>(weights) + BlocksBytes(d)) + chunk * kChunk;
  const auto add = d.product == Product::kPlanes ? PlaneSums : ByteSums;
  add(d, kernels, ChunkWeights(d, weights, chunk), start, rows, count, ChunkBlocks(d, chunk), sums);
}

void DenseFloatSums(const Dense& d, const CodeKernels& kernels, const void* weights, const float* const* rows,
                    int32_t count, int32_t chunk, float* sums) {
  const Affine worth = WeightBytes(d.weights);
  kernels.floatdot[Width(d) - 1][ChunkBlocks(d, chunk) - 1][count](rows, d.k, ChunkWeights(d, weights, chunk),
                                                                  BlockWords(d), worth.scale, -worth.offset, sums);
}

}  // namespace keras_ste
