// The constant filter of a product, or the table of a look-up: an INT32 tensor of rows in words, or, from version 4 of the ops on, a UINT8 one of rows
// without gaps.
#ifndef KERAS_STE_OPS_FILTER_H_
#define KERAS_STE_OPS_FILTER_H_

#include "kernels/code_rows.h"
#include "ops/checks.h"

namespace keras_ste {

// Checks input `i`: in words of `rank` and `dims`, or without gaps `count` of these rows. Sets which of both it is.
bool CheckFilter(const Tensor* inputs, int32_t i, int32_t rank, const int32_t* dims, const CodeRows& rows, int64_t count,
                 Checks* checks, bool* gapless);

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_FILTER_H_
