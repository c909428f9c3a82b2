// Products of the weights of a group of outputs with the inputs under a window, as exact sums of 32 bits, or as floats.
//
// There are four ways (choice.h picks one of the first two where both are possible):
//   planes   counts the bits in which each plane of the weights meets each plane of the inputs: the fewer planes, the faster
//   bytes    multiplies packed weights by inputs of one byte: the speed of any product of bytes, in fewer bytes of weights
//   floats   multiplies packed weights by inputs that are floats
//   signs    adds and subtracts inputs that are floats, where the weights are -1 and +1
//
// All that does not depend on the inputs is in the starting sums, so no way adds up the inputs more than once.
// The caller owns the memory: weights (aligned to kProductAlignment) and inputs.
#ifndef KERAS_STE_KERNELS_PRODUCT_H_
#define KERAS_STE_KERNELS_PRODUCT_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/code_kernels.h"
#include "kernels/code_rows.h"
#include "kernels/codes.h"

namespace keras_ste {

constexpr size_t kProductAlignment = 64;

// The bytes of a piece of memory behind which another may begin.
static inline size_t AlignedBytes(size_t bytes) {
  return (bytes + kProductAlignment - 1) / kProductAlignment * kProductAlignment;
}

enum class Way : uint8_t { kPlanes, kBytes, kFloats, kSigns };

struct Product {
  Way way;
  Codes weights;
  Codes inputs;        // kPlanes and kBytes
  int32_t zero_point;  // what an input code is worth that stands for zero
  int32_t taps;        // runs of memory in which the inputs of one output lie
  int32_t count;       // inputs of one run
  int32_t words;       // kPlanes: of one plane of a run
  bool shared_words;   // kPlanes: these hold bits of other groups, too
  int32_t outputs;
};

// The weights of a group as they lie in a file.
//
// In pieces: each tap of an output is `pieces` rows of codes. Piece i is (i / row) * row_step + (i % row) * step rows behind the
// first. Otherwise an output is one row of codes, those of its taps one after the other.
struct Filter {
  CodeRows rows;
  int64_t first;   // row of the first output
  int64_t stride;  // rows from one output to the next
  bool in_pieces;
  int32_t pieces, row, row_step, step;
};

// What all weights of an output, or of one of its pieces, are worth together, and how many ternary ones are not zero.
struct Totals {
  int32_t worth, nonzero;
};
Totals TotalsOf(const Product& product, const Filter& filter, int32_t output);
Totals TotalsOfPiece(const Product& product, const Filter& filter, int32_t output, int32_t piece);

// Planes of bits that meet: the cost of kPlanes. Ternary weights count as one plane.
int32_t PlanePairs(const Codes& weights, const Codes& inputs);

// Whether all sums, of `products` each, are at most 2^30 in size.
bool SumsFit(const Codes& weights, const Codes& inputs, int32_t zero_point, int64_t products);
// Whether, besides, what is added up on this way stays in 32 bits.
bool PartsFit(Way way, const Codes& weights, const Codes& inputs, int32_t zero_point, int64_t products);

// An input byte y of kBytes is worth scale * y + offset. Bit p of a code adds worth[p] to `start`, as bytes do, which is y.
struct InputBytes {
  int32_t scale, offset;
  int8_t start, worth[8];
};
InputBytes InputBytesOf(const Codes& inputs);

// kBytes: what is added to the sums of a window for each 1 in the sum of its bytes.
int32_t ByteSumFactor(const Product& product);

size_t WeightsBytes(const Product& product);
void FillWeights(const Product& product, const Filter& filter, void* weights);

// The starting sum of an output: kPlanes and kBytes.
int32_t StartOf(const Product& product, const Totals& totals);

// The outputs fall into chunks of kChunk, the last of which may have one block only.
int32_t Chunks(const Product& product);
size_t ChunkBytes(const Product& product);
int32_t ChunkBlocks(const Product& product, int32_t chunk);
// Rows that are computed at once.
int32_t TileRows(const Product& product, const KernelTable& kernels);

// What is the same for all tiles of a product, found once: of small tiles the search would take longer than the sums.
struct Plan {
  Way way;
  int32_t taps, chunks, last_blocks;  // blocks of the last chunk
  int64_t block_bytes;
  int32_t length;      // words, steps or floats of a tap
  int32_t shift;       // kBytes
  int32_t scale, offset;  // kFloats
  int32_t weight_planes, input_planes;  // kPlanes
  int64_t plane_words;                  // of one plane of a block
  int32_t weight_coefficients[8], input_coefficients[8];  // a pair of planes has their product
  // [blocks - 1][rows], of the way's kind
  const PlaneDot (*planedot)[kMaxTileRows + 1];
  const PlaneDotEnds* planedot_ends;  // [rows]; null where there are none for these planes
  const ByteDot (*bytedot)[kMaxTileRows + 1];
  const FloatDot (*floatdot)[kMaxTileRows + 1];
  const SignSum* signsum;  // [rows]
};
Plan PlanOf(const Product& product, const KernelTable& kernels);

// The sums of up to TileRows() rows, for one chunk: sums[r * kChunk + lane]. Lanes beyond the last output hold anything.
//   inputs[(plane * taps + tap) * rows + r]   a plane of the inputs of row r under that tap
//   start[r]                                  kChunk starting sums
void PlaneSums(const Plan& plan, const void* weights, const uint32_t* const* inputs, int32_t rows, int32_t chunk,
               const int32_t* const* start, int32_t* sums);
// Of a whole chunk, where the plan has planedot_ends: what the steps make of the sums.
void PlaneEnds(const Plan& plan, const void* weights, const uint32_t* const* inputs, int32_t chunk, const int32_t* const* start,
               const Combine* steps, int32_t count, const CombinedRows& rows);
//   inputs[tap * rows + r]   may be read up to kByteSlack bytes beyond the last input
//   start                    of all rows; row_start[r] is added to each of row r
void ByteSums(const Plan& plan, const void* weights, const int8_t* const* inputs, int32_t rows, int32_t chunk,
              const int32_t* start, const int32_t* row_start, int32_t* sums);
constexpr size_t kByteSlack = 32;
// Products are rounded and added up one after the other, starting at +0.
void FloatSums(const Plan& plan, const void* weights, const float* const* inputs, int32_t rows, int32_t chunk, float* sums);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_PRODUCT_H_
