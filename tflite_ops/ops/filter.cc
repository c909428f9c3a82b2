#include "ops/filter.h"

namespace keras_ste {

bool CheckFilter(const Tensor* inputs, int32_t i, int32_t rank, const int32_t* dims, const CodeRows& rows, int64_t count,
                 Checks* checks, bool* gapless) {
  if (!checks->Present(i)) return false;
  *gapless = inputs[i].type == Type::kUInt8;
  if (!*gapless) return checks->IsConstant(i, Type::kInt32, rank, dims);
  if (rows.codes > INT32_MAX / rows.bits - 8) return checks->Fail(i, "rows of fewer than 2^31 bits");
  const int64_t bytes = GaplessBytes(rows, count);
  const int32_t size = static_cast<int32_t>(bytes);
  if (size != bytes) return checks->Fail(i, "fewer than 2^31 bytes");
  return checks->IsConstant(i, Type::kUInt8, 1, &size);
}

}  // namespace keras_ste
