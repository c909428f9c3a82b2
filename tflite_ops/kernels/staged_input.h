// The inputs of a convolution in the form in which its tiles read them: padded, so that no window has an edge, with the planes
// of codes apart from each other, or as bytes. Where they lie so already, nothing is copied.
#ifndef KERAS_STE_KERNELS_STAGED_INPUT_H_
#define KERAS_STE_KERNELS_STAGED_INPUT_H_

#include <stddef.h>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "kernels/product.h"

namespace keras_ste {

struct StagedInput {
  Way way;
  bool in_place;
  int32_t planes;
  int32_t height, width;  // of what all windows of an image cover
  int32_t pixel;          // words or elements of one pixel of one plane
  int64_t column_step, row_step, image_step, plane_step;  // in words or elements
  // Offsets in the scratch memory, in bytes.
  // int32 [batch][height][width][groups], where kBytes wants them: of the bytes under a row of the kernel that begins there
  size_t sums;
  size_t scales;  // float [batch] of rows that are quantized
  size_t end;     // the whole
};

StagedInput StagedInputOf(const Conv& conv, const Product& product);

// The number whose bits a padding pixel has in all channels, and whether that is worth what it should be.
struct PadCode {
  int32_t number;
  bool exact;
};
PadCode PadCodeOf(const Conv& conv);

// The work falls into this many independent units: rows of images.
int32_t StageUnits(const Conv& conv, const StagedInput& staged);
void StageInput(const Conv& conv, const StagedInput& staged, const KernelTable& kernels, const void* input, void* scratch,
                int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_STAGED_INPUT_H_
