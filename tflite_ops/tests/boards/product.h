// One random SteConv2D or SteFullyConnected that fits into the memory of the smallest board, and what docs/ops.md says
// that its output is.
#ifndef KERAS_STE_TESTS_BOARDS_PRODUCT_H_
#define KERAS_STE_TESTS_BOARDS_PRODUCT_H_

#include <stdint.h>

#include "ops/op.h"
#include "tests/boards/memory.h"
#include "tests/boards/option_writer.h"
#include "tests/random.h"

namespace keras_ste {

struct WindowAxis {
  int32_t in, kernel, stride, dilation;
};

// A fully connected op is the convolution of an image of one row with a kernel of the same size.
struct Product {
  bool fully_connected;
  Type input;  // kInt32: packed
  bool packed_output;
  bool same;  // padding
  int32_t pad_value;
  int32_t batch;
  WindowAxis h, w;
  int32_t channels, filters, groups;  // input and output channels of all groups
  int32_t zero_point;
  bool clamped, has_multiplier, has_bias;
};

Product RandomProduct(bool fully_connected, Type input, bool packed_output, Random* random);

// The op's options, and its tensors with random data.
void WriteOptions(const Product& product, OptionWriter* options);
int32_t MakeInputs(const Product& product, Random* random, Memory* memory, Tensor* tensors, const void** data);

// The 32 bits of output element i, by the plain definition.
int32_t OutputElements(const Product& product);
uint32_t ExpectedElement(const Product& product, const void* const* data, int32_t i);

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_BOARDS_PRODUCT_H_
