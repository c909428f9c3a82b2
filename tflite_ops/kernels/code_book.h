// The nearest of some code vectors to a row of floats.
#ifndef KERAS_STE_KERNELS_CODE_BOOK_H_
#define KERAS_STE_KERNELS_CODE_BOOK_H_

#include <stddef.h>
#include <stdint.h>

#include "kernels/code_kernels.h"

namespace keras_ste {

struct CodeBook {
  int32_t size;     // floats of a vector
  int32_t vectors;
};

// |c|^2 of the vectors [begin, end), their squares added up in order.
void SquaredLengths(const CodeBook& book, const float* vectors, int32_t begin, int32_t end, float* lengths);

// The index of the nearest vector to each of the rows [begin, end), as `Nearest` defines it (kernels/code_kernels.h):
// from the vectors in blocks, with their lengths behind, or as they lie in the file.
size_t CodeBookBytes(const CodeBook& book);
void FillCodeBook(const CodeBook& book, const float* vectors, float* blocks);
void TiledNearest(const CodeBook& book, const CodeKernels& kernels, const float* blocks, const float* rows,
                  int32_t begin, int32_t end, int32_t* nearest);
void DirectNearest(const CodeBook& book, const float* vectors, const float* lengths, const float* rows, int32_t begin,
                   int32_t end, int32_t* nearest);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CODE_BOOK_H_
