#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {

void PackSigns(const float* x, int64_t n, uint32_t* words) {
  for (int64_t i = 0; i < n; i += 32, ++words) {
    uint32_t bits = 0;
    for (int64_t j = 0; j < 32 && i + j < n; ++j) bits |= ScalarBit(x[i + j] >= 0.0f) << j;
    *words = bits;
  }
}

}  // namespace portable
}  // namespace keras_ste
