#include "kernels/choice.h"

#include <string.h>

namespace keras_ste {

// Measured by benchmarks/tune.py.
const Choice kChoiceTable[kChoices] = {
    {"portable", 1, 24, 8},
    {"portable", INT32_MAX, 16, 8},
    {"avx2", 1, 3, 2},
    {"avx2", INT32_MAX, 3, 3},
    {"avx512", 1, 4, 2},
    {"avx512", INT32_MAX, 4, 4},
};

Way ChooseWay(const CodeKernels& kernels, const Codes& weights, const Codes& inputs, int32_t rows) {
  for (const Choice& c : kChoiceTable) {
    if (rows > c.most_rows || strcmp(c.kernels, kernels.name) != 0) continue;
    const int32_t most = weights.encoding == Encoding::kTernary ? c.most_ternary_pairs : c.most_pairs;
    return PlanePairs(weights, inputs) <= most ? Way::kPlanes : Way::kBytes;
  }
  return Way::kBytes;
}

}  // namespace keras_ste
