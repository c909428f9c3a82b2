#include "ops/ops.h"

#include <string.h>

namespace keras_ste {

const Op* const kOps[kOpCount] = {
    &kQuantize,      &kConv2D, &kDepthwiseConv2D, &kTransposeConv2D, &kFullyConnected, &kMaxPool2D, &kAveragePool2D,
    &kAdd,           &kDequantize, &kNearest,     &kGather,          &kConcat,         &kPad,       &kShuffle};

const Op* FindOp(const char* name) {
  if (name == nullptr) return nullptr;
  for (const Op* op : kOps) {
    if (strcmp(op->name, name) == 0) return op;
  }
  return nullptr;
}

}  // namespace keras_ste
