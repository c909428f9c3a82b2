#include "kernels/choice.h"

#include <string.h>

namespace keras_ste {

// Those of x86 and the portable ones are measured by benchmarks/tune.py. Those of ARM are estimates: the cycles of the
// inner loops that benchmarks/aarch64.py has from llvm-mca's models of Cortex-A72, A53 (neon), Neoverse N1, Cortex-A55
// (dotprod), Neoverse N2 and V1 (i8mm), where of two ways that are as fast bytes are taken, which are one call instead
// of several.
const Choice kChoiceTable[kChoices] = {
    {"portable", 1, 24, 8},
    {"portable", INT32_MAX, 16, 8},
    {"avx2", 1, 3, 2},
    {"avx2", INT32_MAX, 3, 3},
    {"avxvnni", 1, 2, 2},
    {"avxvnni", INT32_MAX, 1, 1},
    {"avx512bw", 1, 5, 4},
    {"avx512bw", INT32_MAX, 3, 3},
    {"avx512", 1, 4, 2},
    {"avx512", INT32_MAX, 4, 4},
    {"neon", INT32_MAX, 8, 6},
    {"dotprod", 1, 5, 3},
    {"dotprod", INT32_MAX, 2, 2},
    {"i8mm", 1, 5, 3},
    {"i8mm", INT32_MAX, 2, 1},
};

Way ChooseWay(const CodeKernels& kernels, const Codes& weights, const Codes& inputs, int32_t rows) {
  for (const Choice& c : kChoiceTable) {
    if (rows > c.most_rows || strcmp(c.kernels, kernels.name) != 0) continue;
    const int32_t most = weights.encoding == Encoding::kTernary ? c.most_ternary_pairs : c.most_pairs;
    return PlanePairs(weights, inputs) <= most ? Way::kPlanes : Way::kBytes;
  }
  return Way::kBytes;
}

// Rows keep all weights as bytes. Where weights of few bits are many, it is worth more that they are read packed.
bool ChooseRows(const CodeKernels& kernels, const Codes& weights, int32_t channels, int32_t pixels) {
  constexpr int32_t kLeastPixels = 4, kFewChannels = 16;
  return kernels.byterow_rows > 0 && pixels >= kLeastPixels && (weights.bits > 4 || channels <= kFewChannels);
}

}  // namespace keras_ste
