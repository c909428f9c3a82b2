#ifndef KERAS_STE_OPS_OPS_H_
#define KERAS_STE_OPS_OPS_H_

#include "ops/op.h"

namespace keras_ste {

extern const Op kQuantize;
extern const Op kConv2D;
extern const Op kDepthwiseConv2D;
extern const Op kFullyConnected;
extern const Op kMaxPool2D;
extern const Op kAveragePool2D;
extern const Op kAdd;
extern const Op kDequantize;
extern const Op kNearest;
extern const Op kGather;
extern const Op kConcat;
extern const Op kPad;
extern const Op kShuffle;
extern const Op kTransposeConv2D;

// For ops that need no memory of their own.
inline size_t NoBytes(const void*) { return 0; }
inline void FillNothing(const void*, const void* const*, void*) {}
inline int32_t NoUnits(const void*) { return 0; }
inline void StageNothing(const void*, const Buffers&, int32_t, int32_t) {}

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_OPS_H_
