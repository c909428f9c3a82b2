#ifndef KERAS_STE_KERNELS_ARM_KERNELS_H_
#define KERAS_STE_KERNELS_ARM_KERNELS_H_

#include "kernels/code_kernels.h"
#include "kernels/depthwise_kernels.h"
#include "kernels/kernel_table.h"

namespace keras_ste {
namespace arm {

void FillPlaneDotNeon(CodeKernels* table);
void FillByteDotNeon(CodeKernels* table);
void FillFloatDotNeon(CodeKernels* table);
void FillNearestNeon(CodeKernels* table);
void FillRowsNeon(CodeKernels* table);

void FillDepthwiseNeon(DepthwiseKernels* table);

void FillSignSumNeon(KernelTable* table);
extern const OutputKernels kOutputNeon;
void PackSignsNeon(const float* x, int64_t n, uint32_t* words);

void FillPlaneDotDotProd(CodeKernels* table);
void FillByteDotDotProd(CodeKernels* table);

void FillByteDotI8mm(CodeKernels* table);

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_KERNELS_H_
