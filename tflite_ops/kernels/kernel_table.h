// The kernels of one instruction set, and the choice of one set for this machine.
//
// Layout shared by all of them: a block is 16 output channels, one a vector lane, so that no kernel sums across lanes and
// scale, bias and thresholds are plain vector operations.
#ifndef KERAS_STE_KERNELS_KERNEL_TABLE_H_
#define KERAS_STE_KERNELS_KERNEL_TABLE_H_

#include <stdint.h>

#include "kernels/output_kernels.h"

namespace keras_ste {

// Packed input times one-bit weights for up to `bitdot_rows` pixels and one or two blocks.
//   inputs[tap * rows + r]   the words of pixel r under that tap
//   weights                  [taps * words][16], the second block `block_stride` words behind the first
//   start[r]                 32 starting sums; sums[r * 32 + lane] = start - 2 * (number of differing bits)
using BitDot = void (*)(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                        int64_t block_stride, const int32_t* const* start, int32_t* sums);

// Unpacked input times one-bit weights: adds or subtracts each input element, in order, for one block.
//   inputs[tap * rows + r]   the elements of pixel r under that tap
//   weights                  [taps * channels] masks of 16 bits, bit = lane, set = +1
//   start                    16 starting sums (null for float: zero); sums[r * 32 + lane]
template <typename X, typename Sum>
using SignSum = void (*)(const X* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights,
                         const Sum* start, Sum* sums);

struct KernelTable {
  const char* name;

  int32_t bitdot_rows;
  BitDot bitdot[2][kMaxTileRows + 1];  // [blocks - 1][rows]

  int32_t signsum_rows;
  SignSum<float, float> signsum_float[kMaxTileRows + 1];  // [rows]
  SignSum<int8_t, int32_t> signsum_int8[kMaxTileRows + 1];
  SignSum<uint8_t, int32_t> signsum_uint8[kMaxTileRows + 1];

  OutputKernels output;

  // The signs of n floats, x >= 0, as ceil(n / 32) words.
  void (*pack_signs)(const float* x, int64_t n, uint32_t* words);
};

const KernelTable* PortableKernels();
// Null where the library was built without them, or the machine or its system lacks the instructions.
const KernelTable* Avx2Kernels();
const KernelTable* Avx512Kernels();
const KernelTable* NeonKernels();
const KernelTable* DotProdKernels();

// The sets that run on this machine, slowest first; returns their number.
constexpr int32_t kMaxKernelTables = 3;  // no machine has both x86's and Arm's
int32_t AvailableKernels(const KernelTable* tables[kMaxKernelTables]);

// The fastest set, or the one called `name` where that is not null or empty. Null where it is not available.
const KernelTable* ChooseKernels(const char* name);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_KERNEL_TABLE_H_
