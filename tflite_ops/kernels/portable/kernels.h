// Kernels in plain C++ that any compiler may put into its own vector instructions.
#ifndef KERAS_STE_KERNELS_PORTABLE_KERNELS_H_
#define KERAS_STE_KERNELS_PORTABLE_KERNELS_H_

#include "kernels/code_kernels.h"
#include "kernels/depthwise_kernels.h"
#include "kernels/kernel_table.h"

namespace keras_ste {
namespace portable {

constexpr int32_t kPlaneDotRows = 4;
constexpr int32_t kByteDotRows = 4;
constexpr int32_t kFloatDotRows = 4;
constexpr int32_t kNearestRows = 2;
constexpr int32_t kSignSumRows = 4;

void FillSignSum(KernelTable* table);
void PackSigns(const float* x, int64_t n, uint32_t* words);

void FillPlaneDot(CodeKernels* table);
void FillByteDot(CodeKernels* table);
void FillFloatDot(CodeKernels* table);
void FillNearest(CodeKernels* table);
void FillRows(CodeKernels* table);

void FillDepthwise(DepthwiseKernels* table);

}  // namespace portable
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_PORTABLE_KERNELS_H_
