// Products of a matrix of weights with rows of inputs, both of them codes of 1 to 8 bits, as exact sums of 32 bits.
//
// There are two ways (choice.h picks one):
//   planes   counts the bits in which each plane of the weights meets each plane of the inputs: the fewer planes, the faster
//   bytes    multiplies packed weights by inputs of one byte: the speed of any product of bytes, in fewer bytes of weights
// A third takes rows of floats, and its sums are floats.
//
// All that does not depend on the inputs is in the starting sums, so neither way adds up an input row more than once.
// The caller owns the memory: weights (aligned to kDenseAlignment) and rows.
#ifndef KERAS_STE_KERNELS_DENSE_H_
#define KERAS_STE_KERNELS_DENSE_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/codes.h"
#include "kernels/code_kernels.h"

namespace keras_ste {

constexpr size_t kDenseAlignment = 64;

enum class Product : uint8_t { kPlanes, kBytes, kFloats };

struct Dense {
  Codes weights;
  Codes inputs;        // not for kFloats
  int32_t k;           // inputs of one row
  int32_t n;           // outputs of one row
  int32_t zero_point;  // what an input code is worth that stands for zero; not for kFloats
  Product product;
};

// Whether all sums fit into 32 bits, and their parts into those of the kernels.
bool DenseFits(const Dense& dense);

// Planes of bits that meet: the cost of kPlanes. Ternary weights count as one plane.
int32_t PlanePairs(const Codes& weights, const Codes& inputs);

// The filter is [n][bits][ceil(k / 32)] words: codes.h.
size_t DenseWeightsBytes(const Dense& dense);
void FillDenseWeights(const Dense& dense, const uint32_t* filter, void* weights);

// Rows of inputs as the kernels read them, from one byte a code (unsigned, or two's complement). Not for kFloats.
size_t DenseRowBytes(const Dense& dense);
void FillDenseRow(const Dense& dense, const CodeKernels& kernels, const int8_t* codes, void* row);

// The sums of up to DenseTileRows() rows, for one chunk of kChunk outputs: sums[r * kChunk + lane]. Lanes beyond n hold
// anything. There are DenseChunks() chunks.
int32_t DenseChunks(const Dense& dense);
int32_t DenseTileRows(const Dense& dense, const CodeKernels& kernels);
void DenseSums(const Dense& dense, const CodeKernels& kernels, const void* weights, const void* rows, int32_t count,
               int32_t chunk, int32_t* sums);

// The same for rows of floats: products are rounded and added up one after the other, starting at +0.
void DenseFloatSums(const Dense& dense, const CodeKernels& kernels, const void* weights, const float* const* rows,
                    int32_t count, int32_t chunk, float* sums);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DENSE_H_
