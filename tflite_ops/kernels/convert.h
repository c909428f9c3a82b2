// Numbers of one form in another: floats, bytes and packed codes.
#ifndef KERAS_STE_KERNELS_CONVERT_H_
#define KERAS_STE_KERNELS_CONVERT_H_

#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

struct CodeKernels;

struct Convert {
  Numbers input;
  Outputs outputs;  // of the numbers as floats
  bool one_table;   // for all channels, not one for each
};

// Converts the pixels [begin, end). Where `table` is not null, the numbers are those that it has for codes: 2^bits
// floats for all channels or for each.
void ConvertPixels(const Convert& convert, const void* input, const float* table, const OutputKernels& kernels,
                   const OutputTensors& tensors, int32_t begin, int32_t end);

#if !defined(KERAS_STE_DIRECT_ONLY)
// Whether packed codes become bytes of the same values, and bytes packed codes: without constants both only move bits.
bool Unpacks(const Convert& convert, const OutputTensors& tensors);
bool Packs(const Convert& convert, const OutputTensors& tensors);

// The pixels [begin, end) of such codes, and of such bytes.
void UnpackPixels(const Convert& convert, const CodeKernels& kernels, const void* input, void* output, int32_t begin,
                  int32_t end);
void PackPixels(const Convert& convert, const void* input, void* output, int32_t begin, int32_t end);
#endif

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CONVERT_H_
