// The kernels of one instruction set, and the choice of one set for this machine.
//
// Layout shared by all of them: a block is 16 output channels, one a vector lane, so that no kernel sums across lanes
// and scale, bias and thresholds are plain vector operations.
#ifndef KERAS_STE_KERNELS_KERNEL_TABLE_H_
#define KERAS_STE_KERNELS_KERNEL_TABLE_H_

#include <stdint.h>

#include "kernels/output_kernels.h"

namespace keras_ste {

struct CodeKernels;
struct DepthwiseKernels;

// Floats times one-bit weights: adds or subtracts each input, in order, for one block.
//   inputs[tap * rows + r]   the elements of pixel r under that tap
//   weights                  [taps * channels] masks of 16 bits, bit = lane, set = +1
//   sums[r * 32 + lane]      starting at +0
using SignSum = void (*)(const float* const* inputs, int32_t taps, int32_t channels, const uint16_t* weights,
                         float* sums);

struct KernelTable {
  const char* name;
  const CodeKernels* codes;
  const DepthwiseKernels* depthwise;

  int32_t signsum_rows;
  SignSum signsum[kMaxTileRows + 1];  // [rows]

  OutputKernels output;

  // The signs of n floats, x >= 0, as ceil(n / 32) words.
  void (*pack_signs)(const float* x, int64_t n, uint32_t* words);
};

const KernelTable* PortableKernels();
// Null where the library was built without them, or the machine or its system lacks the instructions.
const KernelTable* Avx2Kernels();
const KernelTable* AvxVnniKernels();
const KernelTable* Avx512BwKernels();
const KernelTable* Avx512Kernels();
const KernelTable* NeonKernels();
const KernelTable* DotProdKernels();
const KernelTable* I8mmKernels();

// The sets that run on this machine, slowest first; returns their number.
constexpr int32_t kMaxKernelTables = 5;  // no machine has both x86's and Arm's
int32_t AvailableKernels(const KernelTable* tables[kMaxKernelTables]);

// The fastest set, or the one called `name` where that is not null or empty. Null where it is not available.
const KernelTable* ChooseKernels(const char* name);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_KERNEL_TABLE_H_
