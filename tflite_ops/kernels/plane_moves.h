// Packed codes moved without a look at what they are worth.
#ifndef KERAS_STE_KERNELS_PLANE_MOVES_H_
#define KERAS_STE_KERNELS_PLANE_MOVES_H_

#include <stdint.h>

#include "kernels/code_rows.h"

namespace keras_ste {

constexpr int32_t kMostParts = 8;

// The channels of several tensors behind each other.
struct Concat {
  int32_t bits;
  int32_t parts;
  int32_t channels[kMostParts];  // of each part
  int32_t all_channels;
};
void ConcatPixels(const Concat& concat, const void* const* parts, uint32_t* output, int32_t begin, int32_t end);

// Images with pixels of one code around them.
struct Pad {
  int32_t bits, channels;
  uint32_t code;  // its bits
  int32_t in_h, in_w, top, left, out_h, out_w;
};
// Computes the output rows [begin, end) of batch * out_h.
void PadRows(const Pad& pad, const uint32_t* input, uint32_t* output, int32_t begin, int32_t end);

// The channels as a matrix of `groups` rows, transposed.
struct Shuffle {
  int32_t bits, channels, groups;
};
void ShufflePixels(const Shuffle& shuffle, const uint32_t* input, uint32_t* output, int32_t begin, int32_t end);

// Those rows of a table that the indices say, all of which it has, in words.
void GatherRows(const CodeRows& table, const int32_t* indices, uint32_t* output, int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_PLANE_MOVES_H_
