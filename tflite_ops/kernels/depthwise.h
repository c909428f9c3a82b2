// Depthwise convolution: each output channel is the sum over a window of one input channel.
//
// A window has about nine products, so that nothing is gained by counting bits along it. Inputs of every kind but
// floats become 16-bit numbers, in an image with its padding around it, and are multiplied by weights of 16 bits, 32
// channels at a time. Where there is no memory for that, it is computed from codes as they lie in the file.
#ifndef KERAS_STE_KERNELS_DEPTHWISE_H_
#define KERAS_STE_KERNELS_DEPTHWISE_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/code_rows.h"
#include "kernels/codes.h"
#include "kernels/depthwise_kernels.h"
#include "kernels/geometry.h"
#include "kernels/numbers.h"
#include "kernels/outputs.h"

namespace keras_ste {

struct Depthwise {
  Numbers input;
  bool pad_with_one;   // else with zero
  int32_t batch;
  Axis h, w;
  int32_t multiplier;  // output channels of each input channel: output channel o reads o / multiplier
  Codes weights;       // the filter is a row of the output channels' codes for each place of the kernel
  bool gapless;        // how these rows lie in the file (code_rows.h)
  Outputs outputs;
};

static inline CodeRows RowsOf(const Depthwise& d, const void* filter) {
  return {filter, d.gapless, d.weights.bits, d.outputs.channels, 0, WordsOf(d.outputs.channels)};
}

static inline int32_t DepthwisePixels(const Depthwise& d) { return d.batch * d.h.out * d.w.out; }

// What no sum exceeds; not of floats, nor where there are 2^31 taps or more.
int64_t LargestDepthwiseSum(const Depthwise& d);

// Computes the output pixels [begin, end).
void DirectDepthwise(const Depthwise& d, const OutputKernels& kernels, const void* filter,
                     const OutputTensors& tensors, const void* input, int32_t begin, int32_t end);

// The same by way of an image with padding, whose memory the caller owns, as that of the weights and of the tables.

// False where the image would be mostly padding, or too large to be counted.
bool CanStageDepthwise(const Depthwise& d);

size_t DepthwiseWeightsBytes(const Depthwise& d);
void FillDepthwiseWeights(const Depthwise& d, const void* filter, void* weights);
size_t DepthwiseTablesBytes(const Depthwise& d);
void FillDepthwiseTables(const Depthwise& d, void* tables);

size_t DepthwiseImageBytes(const Depthwise& d);
// Fills the pixels [begin, end) of DepthwiseImagePixels().
int32_t DepthwiseImagePixels(const Depthwise& d);
void StageDepthwise(const Depthwise& d, const DepthwiseKernels& kernels, const void* input, void* image, int32_t begin,
                    int32_t end);

// Computes the units [begin, end) of DepthwiseUnits().
int32_t DepthwiseUnits(const Depthwise& d, const DepthwiseKernels& kernels);
void StagedDepthwise(const Depthwise& d, const DepthwiseKernels& kernels, const OutputKernels& output_kernels,
                     const void* weights, const void* tables, const OutputTensors& tensors, const void* image,
                     int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_DEPTHWISE_H_
